package authz

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var changesFlag = flag.Int("authz.changes", 0, "changes that one writer makes while others ask; 0: 30,000, or 20,000 under the race detector")

// moving is an index that one writer changes, and what the reference says of
// each revision, written down before the change is made.
type moving struct {
	a       *Authorizer
	ref     refWorld
	who     []Principal
	keys    []string
	do      []string
	on      []Resource
	at      [][]string
	live    []movingRow
	spare   []Authorization // that nobody asks about
	masks   map[string]uint32
	is      [6][6]bool
	past    []atomic.Pointer[[6]uint32] // by revision: a bit for each permission and resource
	changes int
}

type movingRow struct {
	x    Authorization
	who  int
	mask uint32
}

func newMoving(t *testing.T, changes int) *moving {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles}), nil)
	require.NoError(t, err)
	m := &moving{a: a, changes: changes, masks: map[string]uint32{}, past: make([]atomic.Pointer[[6]uint32], changes+1), do: []string{"a.read", "a.write", "b.read"}}
	m.ref = refWorld{carries: map[string][]string{"role:reader": {"a.read"}, "role:writer": {"a.write"}, "role:all": {"b.*"}}, includes: map[string][]string{"role:writer": {"role:reader"}}}
	for _, s := range []string{"user:i/a", "user:i/b", "service:a", "user:i/much", "team:a", "team:b"} {
		m.who, m.keys = append(m.who, Principal{s}), append(m.keys, s)
	}
	m.at = [][]string{{"t"}, {"t", "a"}, {"t", "a", "b"}, {"t", "ab"}, {"t", "a", "b", "c"}, {"u"}, {"u", "a"}, {"u", "a", "b"}}
	for _, at := range m.at {
		r, err := NewResource(at...)
		require.NoError(t, err)
		m.on = append(m.on, r)
	}
	for _, role := range []string{"role:reader", "role:writer", "role:all"} {
		for k := range m.at {
			m.ref.rows = []refRow{{who: "x", role: role, on: m.at[k]}}
			for i, word := range m.ref.matrix([]string{"x"}, m.do, m.at, time.Time{}) {
				m.masks[fmt.Sprint(role, k)] |= uint32(word) << (3 * i)
			}
		}
	}
	m.relate()
	m.past[1].Store(new([6]uint32))
	a.ix = newIndex(a.cat, nil, nil, 1, nil)
	return m
}

// relate asks the reference who is in what.
func (m *moving) relate() {
	for i := range m.is {
		for j := range m.is {
			m.is[i][j] = m.ref.is(m.keys[i], m.keys[j])
		}
	}
}

// next makes a change of several principals and writes down what it comes to.
func (m *moving) next(rnd *rand.Rand, rev int) Change {
	c := Change{Revision: uint64(rev)}
	for range rnd.IntN(5) {
		if len(m.live) > 0 && (len(m.live) > 18 || rnd.IntN(2) == 0) {
			i := rnd.IntN(len(m.live))
			c.Remove = append(c.Remove, m.live[i].x)
			m.live[i] = m.live[len(m.live)-1]
			m.live = m.live[:len(m.live)-1]
		}
	}
	for range rnd.IntN(5) {
		r := movingRow{who: rnd.IntN(len(m.who))}
		role, k := []string{"role:reader", "role:writer", "role:all"}[rnd.IntN(3)], rnd.IntN(len(m.on))
		r.mask = m.masks[fmt.Sprint(role, k)]
		r.x = Authorization{ID: newID(), Principal: m.who[r.who], Role: Role{role}, Resource: m.on[k], Effect: Allow}
		if rnd.IntN(5) == 0 {
			r.x.Effect = Deny
		}
		c.Add = append(c.Add, r.x)
		m.live = append(m.live, r)
	}
	// Others come and go beside them, so that tables grow and blocks move; one
	// principal holds so much that its run is searched.
	for range rnd.IntN(4) {
		who := Principal{"user:i/much"}
		if rnd.IntN(3) == 0 {
			who = Principal{fmt.Sprint("user:i/", rnd.IntN(m.changes))}
		}
		x := Authorization{ID: newID(), Principal: who, Role: Role{"role:writer"}, Resource: Resource{fmt.Sprintf("v/%d/w", rnd.IntN(m.changes))}, Effect: Allow}
		c.Add = append(c.Add, x)
		m.spare = append(m.spare, x)
	}
	for n := len(m.spare); n > 150; n-- { // one that was there before
		i := rnd.IntN(100)
		c.Remove = append(c.Remove, m.spare[i])
		m.spare[i] = m.spare[100]
		m.spare = append(m.spare[:100], m.spare[101:]...)
	}
	if rnd.IntN(4) == 0 {
		l := [][2]int{{0, 4}, {1, 4}, {1, 5}, {5, 4}, {3, 5}}[rnd.IntN(5)]
		x, link := Membership{m.who[l[0]], m.who[l[1]]}, [2]string{m.keys[l[0]], m.keys[l[1]]}
		left := false
		for i, o := range m.ref.members {
			if o == link {
				m.ref.members = append(m.ref.members[:i:i], m.ref.members[i+1:]...)
				c.Leave = append(c.Leave, x)
				left = true
				break
			}
		}
		if !left {
			m.ref.members = append(m.ref.members, link)
			c.Join = append(c.Join, x)
		}
		m.relate()
	}
	var allow, deny [6]uint32
	for _, r := range m.live {
		for i := range m.who {
			if m.is[i][r.who] {
				if r.x.Effect == Deny {
					deny[i] |= r.mask
				} else {
					allow[i] |= r.mask
				}
			}
		}
	}
	for i := range allow {
		allow[i] &^= deny[i]
	}
	m.past[rev].Store(&allow)
	return c
}

// want is what the reference says of a question at a revision.
func (m *moving) want(rev uint64, i, j, k int) bool { return m.past[rev].Load()[i]>>(3*k+j)&1 == 1 }

// Whoever asks while one writer changes several principals at a time, who is in
// which team and what they hold, is answered from one revision, the one that the
// answer names: never from half a change, never from before what was seen.
// Run it with the race detector too.
//
// evidence: P20, G21
func TestAnswersAreOfOneRevision(t *testing.T) {
	changes := *changesFlag
	if changes == 0 {
		if changes = 30_000; underRace {
			changes = 20_000
		}
	}
	m := newMoving(t, changes)
	ix := m.a.ix
	var whoH []PrincipalHandle
	var doH []PermissionHandle
	var onH []ResourceHandle
	for _, p := range m.who {
		h, err := m.a.PrincipalHandle(p)
		require.NoError(t, err)
		whoH = append(whoH, h)
	}
	for _, p := range m.do {
		h, err := m.a.PermissionHandle(Permission{p})
		require.NoError(t, err)
		doH = append(doH, h)
	}
	for _, r := range m.on {
		h, err := m.a.ResourceHandle(r)
		require.NoError(t, err)
		onH = append(onH, h)
	}
	stop := make(chan struct{})
	var asked, revisions, mixed, yes atomic.Int64
	var wg sync.WaitGroup
	reader := func(ask func(rnd *rand.Rand, i, j, k int) (rev uint64, ok bool, got bool)) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
			last := uint64(0)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i, j, k := rnd.IntN(len(m.who)), rnd.IntN(len(m.do)), rnd.IntN(len(m.on))
				rev, ok, got := ask(rnd, i, j, k)
				asked.Add(1)
				if !ok {
					t.Errorf("%s %s %s: answered otherwise than revision %d says", m.who[i], m.do[j], m.on[k], rev)
					return
				}
				if rev < last {
					t.Errorf("revision %d after %d", rev, last)
					return
				}
				if rev != last {
					revisions.Add(1)
				}
				if last = rev; got {
					yes.Add(1)
				}
				if n%16 == 0 {
					runtime.Gosched() // so that the writer comes between
				}
			}
		})
	}
	reader(func(_ *rand.Rand, i, j, k int) (uint64, bool, bool) {
		d, err := m.a.Check(t.Context(), Request{Principal: m.who[i], Permission: Permission{m.do[j]}, Resource: m.on[k]})
		return d.Revision, err == nil && d.Allowed == m.want(d.Revision, i, j, k), d.Allowed
	})
	reader(func(_ *rand.Rand, i, j, k int) (uint64, bool, bool) {
		d := m.a.CheckHandles(whoH[i], doH[j], &onH[k]).Decision()
		return d.Revision, d.Allowed == m.want(d.Revision, i, j, k), d.Allowed
	})
	// Two principals in one reading: from one revision both.
	reader(func(rnd *rand.Rand, i, j, k int) (uint64, bool, bool) {
		o := rnd.IntN(len(m.who))
		ask := func(i int) Request {
			return Request{Principal: m.who[i], Permission: Permission{m.do[j]}, Resource: m.on[k]}
		}
		reqs, out := [...]Request{ask(i), ask(o)}, [2]Decision{}
		if m.a.CheckBatch(t.Context(), reqs[:], out[:]) != nil || out[0].Revision != out[1].Revision {
			return 0, false, false
		}
		rev, a, b := out[0].Revision, out[0], out[1]
		mixed.Add(1)
		return rev, a.Allowed == m.want(rev, i, j, k) && b.Allowed == m.want(rev, o, j, k), a.Allowed
	})
	// Lists beside it: they see whole Authorizations or none.
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			n := 0
			for x := range ix.each() {
				if x.Principal.IsZero() || x.Role.name == "" || x.Resource.IsZero() {
					t.Errorf("half an authorization: %+v", x)
					return
				}
				if n++; n%50 == 0 {
					ix.get(x.ID)
					ix.heldBy(x.Principal)
				}
			}
		}
	})
	rnd := rand.New(rand.NewPCG(*seedFlag, 1))
	began, searched, resized := time.Now(), 0, 0
	tables := func() int { return len(*ix.who.slots.Load()) + len(*ix.tree.slots.slots.Load()) }
	size := 0
	for rev := 2; rev <= m.changes && !t.Failed(); rev++ {
		ix.apply(m.next(rnd, rev))
		if n := tables(); n != size {
			size = n
			resized++
		}
		if ix.find("user:i/much") != nil && len(ix.heldBy(Principal{"user:i/much"})) > longRun {
			searched++
		}
		if rev%1000 == 0 {
			// The short way to what is wanted, against the long one.
			m.ref.rows = m.ref.rows[:0]
			for _, r := range m.live {
				m.ref.rows = append(m.ref.rows, refRow{who: m.keys[r.who], role: r.x.Role.name, on: r.x.Resource.Segments(), deny: r.x.Effect == Deny})
			}
			for i, word := range m.ref.matrix(m.keys, m.do, m.at, time.Time{}) {
				require.Equal(t, word, uint64(m.past[rev].Load()[i/len(m.on)]>>(3*(i%len(m.on)))&7))
			}
		}
	}
	took := time.Since(began)
	close(stop)
	wg.Wait()
	all, gone := blocks(ix)
	t.Logf("%d changes in %.1f seconds, beside %d answers (%d of two at once), %d of them of another revision than the one before, %.1f %% allowed; %d blocks, %d given back, tables resized %d times, a run long enough to be searched after %d changes",
		m.changes, took.Seconds(), asked.Load(), mixed.Load(), revisions.Load(), share(int(yes.Load()), int(asked.Load())), all, gone, resized, searched)
	require.Positive(t, gone)
	require.Greater(t, resized, 5)
	require.Positive(t, searched)
	require.Positive(t, yes.Load())
	requireSlab(t, ix)
}
