package authz

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var exhaustive = flag.Bool("authz.exhaustive", false, "go through every small world of four rows at most, not through one in fifty of those of three")

var smallPermissions = []string{"a.read", "a.write", "b.read"}

// small makes an Authorizer of a small policy, and the reference beside it.
func (p smallPolicy) small(t *testing.T) (*Authorizer, *refWorld) {
	ref := &refWorld{carries: map[string][]string{}, includes: map[string][]string{}}
	var ps, rs strings.Builder
	for b, n := range smallPermissions {
		fmt.Fprintf(&ps, "%s, asked for\n", n)
		for r := range 3 {
			if p.carries[r]>>b&1 == 1 {
				role := fmt.Sprintf("role:r%d", r)
				fmt.Fprintf(&rs, "p, %s, %s\n", role, n)
				ref.carries[role] = append(ref.carries[role], n)
			}
		}
	}
	for r := range 3 {
		for o := range 3 {
			if p.includes[r]>>o&1 == 1 {
				role, other := fmt.Sprintf("role:r%d", r), fmt.Sprintf("role:r%d", o)
				fmt.Fprintf(&rs, "g, %s, %s\n", role, other)
				ref.includes[role] = append(ref.includes[role], other)
			}
		}
	}
	a, err := New(t.Context(), fstest.MapFS{"model.conf": {Data: []byte(indexable)}, "permissions.csv": {Data: []byte(ps.String())}, "roles.csv": {Data: []byte(rs.String())}}, nil)
	require.NoError(t, err, rs.String())
	return a, ref
}

// Every way for three roles to carry three permissions, by themselves and
// through each other, up to a change of names: each role carries what the
// reference says, and one row gives it.
//
// evidence: P20, P22, G3
func TestEverySmallPolicy(t *testing.T) {
	all := policies()
	who := Principal{"user:i/a"}
	seen := map[[3]int]bool{}
	for _, p := range all {
		a, ref := p.small(t)
		want, ok := p.effective()
		require.True(t, ok)
		least := [3]int{7, 7, 7}
		for _, o := range orders {
			m := [3]int{mapped(want[0], o), mapped(want[1], o), mapped(want[2], o)}
			slices.Sort(m[:])
			if slices.Compare(m[:], least[:]) < 0 {
				least = m
			}
		}
		seen[least] = true
		for r := range 3 {
			role := fmt.Sprintf("role:r%d", r)
			ix := newIndex(a.cat, []Authorization{{ID: newID(), Principal: who, Role: Role{role}, Resource: Resource{"t"}, Effect: Allow}}, nil, 1, nil)
			for b, n := range smallPermissions {
				require.Equal(t, want[r]>>b&1 == 1, ref.has(role, n))
				require.Equal(t, want[r]>>b&1 == 1, ix.decide(who, b, Resource{"t"}).Allowed, "%+v: %s %s", p, role, n)
			}
		}
	}
	for _, c := range carried() {
		require.True(t, seen[c])
	}
	require.Len(t, seen, len(carried()))
	t.Logf("%d policies, which come to %d ways of carrying", len(all), len(seen))
}

// smallWorld is an index that is changed from one world of a frame to another.
type smallWorld struct {
	a      *Authorizer
	who    []Principal
	on     []Resource
	rows   [rowCount]Authorization
	refs   [rowCount]refRow
	masks  [rowCount]uint32 // the questions that a row has to do with
	ref    refWorld
	now    []int
	whoH   [3]PrincipalHandle
	doH    [3]PermissionHandle
	onH    [3]ResourceHandle
	keys   []string
	change Change
}

func (f frame) open(t *testing.T, a *Authorizer, ref *refWorld) *smallWorld {
	w := &smallWorld{a: &Authorizer{cat: a.cat, meaning: a.meaning, now: time.Now}, ref: *ref}
	var ms []Membership
	w.who = []Principal{{"user:i/a"}, {"user:i/ab"}, {"service:a"}}
	for _, m := range teamings[f.teaming] {
		w.who[m[1]] = Principal{fmt.Sprintf("team:%d", m[1])}
	}
	for _, p := range w.who {
		w.keys = append(w.keys, p.name)
	}
	w.ref.members = nil
	for _, m := range teamings[f.teaming] {
		ms = append(ms, Membership{w.who[m[0]], w.who[m[1]]})
		w.ref.members = append(w.ref.members, [2]string{w.keys[m[0]], w.keys[m[1]]})
	}
	w.a.ix = newIndex(a.cat, nil, ms, 1, nil)
	var err error
	for i, at := range forests[f.shape] {
		r, err := NewResource(at...)
		require.NoError(t, err)
		w.on = append(w.on, r)
		w.onH[i], err = w.a.ResourceHandle(r)
		require.NoError(t, err)
	}
	for i := range 3 {
		w.whoH[i], err = w.a.PrincipalHandle(w.who[i])
		require.NoError(t, err)
		w.doH[i], err = w.a.PermissionHandle(Permission{smallPermissions[i]})
		require.NoError(t, err)
	}
	for p := range 3 {
		for r := range 3 {
			for o := range 3 {
				for d := range 2 {
					i := rowOf(p, r, o, d)
					role := fmt.Sprintf("role:r%d", r)
					w.rows[i] = Authorization{ID: uuid.New(), Principal: w.who[p], Role: Role{role}, Resource: w.on[o], Effect: Effect(1 + d)}
					w.refs[i] = refRow{who: w.keys[p], role: role, on: forests[f.shape][o], deny: d == 1}
					w.ref.rows = []refRow{{who: w.keys[p], role: role, on: forests[f.shape][o]}}
					for k, word := range w.ref.matrix(w.keys, smallPermissions, forests[f.shape], time.Time{}) {
						w.masks[i] |= uint32(word) << (k * 3)
					}
				}
			}
		}
	}
	return w
}

// become changes the index to hold these rows and no others, and returns the
// questions that are to be allowed.
func (w *smallWorld) become(rows []int) uint32 {
	w.change = Change{Revision: w.change.Revision + 1, Remove: w.change.Remove[:0], Add: w.change.Add[:0]}
	for _, r := range w.now {
		if !slices.Contains(rows, r) {
			w.change.Remove = append(w.change.Remove, w.rows[r])
		}
	}
	var allow, deny uint32
	for _, r := range rows {
		if !slices.Contains(w.now, r) {
			w.change.Add = append(w.change.Add, w.rows[r])
		}
		if r&1 == 1 {
			deny |= w.masks[r]
		} else {
			allow |= w.masks[r]
		}
	}
	w.now = append(w.now[:0], rows...)
	w.a.ix.apply(w.change)
	return allow &^ deny
}

// answers asks everything by handles.
func (w *smallWorld) answers() (out uint32) {
	bit := uint32(1)
	for i := range w.whoH {
		for k := range w.onH {
			for j := range w.doH {
				if w.a.CheckHandles(w.whoH[i], w.doH[j], &w.onH[k]).Allowed() {
					out |= bit
				}
				bit <<= 1
			}
		}
	}
	return out
}

// otherAnswers asks everything by names, or Casbin, or the reference with the
// whole world before it.
func (w *smallWorld) otherAnswers(ask func(who, do, on int) bool) (out uint32) {
	for i := range 3 {
		for k := range 3 {
			for j := range 3 {
				if ask(i, j, k) {
					out |= questions(i, k, 1<<j)
				}
			}
		}
	}
	return out
}

// Most mistakes that a large world can show, a small one shows. Here none of the
// small ones is left out: everything that three roles can carry, every way to
// be in teams, every way for resources to be in one another, and every set of
// three rows at most, allowing and denying, with -authz.exhaustive of four.
// Index by handles in all worlds; index by names, Casbin, and the reference
// row by row, in a share of them.
//
// evidence: P20, G3
func TestEverySmallWorld(t *testing.T) {
	rows, one, every := 3, 50, 97 // of those that are asked, Casbin is asked of one in every
	if *exhaustive {
		rows, one, every = 4, 1, 4850
	} else if underRace {
		one, every = 500, 10
	}
	began := time.Now()
	var frames []frame
	authorizers := map[[3]int]*Authorizer{}
	refs := map[[3]int]*refWorld{}
	for _, c := range carried() {
		authorizers[c], refs[c] = smallPolicy{carries: c}.small(t)
		for teaming := range teamings {
			for shape := range forests {
				frames = append(frames, frame{c, teaming, shape})
			}
		}
	}
	var next, worlds, played, casbin, allowed, expected atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := int(next.Add(1) - 1); n < len(frames) && !t.Failed(); n = int(next.Add(1) - 1) {
				f := frames[n]
				w := f.open(t, authorizers[f.carries], refs[f.carries])
				count, yes := n, 0
				did, asked := 0, 0
				f.worlds(rows, func(rows []int) {
					if count++; count%one != 0 || t.Failed() {
						return
					}
					want := w.become(rows)
					if got := w.answers(); got != want {
						t.Errorf("%+v: rows %v: by handles %027b, want %027b", f, w.named(), got, want)
					}
					did++
					yes += ones(want)
					if did%16 == 0 {
						if got := w.otherAnswers(func(i, j, k int) bool { return w.a.ix.decide(w.who[i], j, w.on[k]).Allowed }); got != want {
							t.Errorf("%+v: rows %v: by names %027b, want %027b", f, w.named(), got, want)
						}
					}
					if did%every == 0 {
						asked++
						got := w.otherAnswers(func(i, j, k int) bool {
							ok, err := w.a.meaning.enforce(w.a.ix, w.who[i], smallPermissions[j], w.on[k])
							return ok && err == nil
						})
						w.ref.rows = w.ref.rows[:0]
						for _, r := range w.now {
							w.ref.rows = append(w.ref.rows, w.refs[r])
						}
						whole := w.otherAnswers(func(i, j, k int) bool {
							return w.ref.allowed(w.keys[i], smallPermissions[j], forests[f.shape][k], time.Time{})
						})
						if got != want || whole != want {
							t.Errorf("%+v: rows %v: Casbin %027b, reference %027b, want %027b", f, w.named(), got, whole, want)
						}
					}
				})
				worlds.Add(int64(count - n))
				expected.Add(int64(f.count(rows)))
				played.Add(int64(did))
				casbin.Add(int64(asked))
				allowed.Add(int64(yes))
			}
		})
	}
	wg.Wait()
	if !t.Failed() {
		require.Equal(t, expected.Load(), worlds.Load(), "some small worlds were left out, or gone through twice")
		require.Positive(t, casbin.Load())
	}
	t.Logf("%d frames, %d worlds of %d rows at most, %d of them asked, %d decisions, %.1f %% allowed, %d worlds asked of Casbin, %.1f seconds",
		len(frames), worlds.Load(), rows, played.Load(), played.Load()*27, share(int(allowed.Load()), int(played.Load()*27)), casbin.Load(), time.Since(began).Seconds())
}

func (w *smallWorld) named() (out []string) {
	for _, r := range w.now {
		x := w.rows[r]
		out = append(out, fmt.Sprintf("%s %s %s on %s", x.Principal, x.Effect, x.Role, x.Resource))
	}
	return out
}
