package authz

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var worlds = flag.Int("authz.worlds", 0, "random worlds in which index, Casbin and reference are compared; 0: as many as -rapid.checks")

const rootRole = "role:all"

// world is one installation under three descriptions: the Authorizer with its
// index, the Casbin model inside it, and the reference.
type world struct {
	a     *Authorizer
	ref   *refWorld
	now   time.Time
	root  Principal
	perms []Permission
	roles []string
	who   []Principal
	teams []Principal
	tree  []Resource
	at    [][]string // the tree again, in the reference's words
	ids   []uuid.UUID
	live  []liveGrant
}

type liveGrant struct {
	g       Grant
	req     Request
	behalf  string
	expires time.Time
}

func newWorld(t *rapid.T, policyFiles func(map[string]string) *Authorizer) *world {
	w := &world{ref: &refWorld{carries: map[string][]string{}, includes: map[string][]string{}}, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	names := []string{"a.read", "a.write", "a.x.read", "b.read", "b.write", writeAuthorizations}
	var ps, rs strings.Builder
	for _, n := range names {
		fmt.Fprintf(&ps, "%s, what it is\n", n)
		w.perms = append(w.perms, MustPermission(n))
		fmt.Fprintf(&rs, "p, %s, %s\n", rootRole, n)
		w.ref.carries[rootRole] = append(w.ref.carries[rootRole], n)
	}
	n := rapid.IntRange(2, 5).Draw(t, "roles")
	for i := range n {
		role := fmt.Sprintf("role:r%d", i)
		w.roles = append(w.roles, role)
		for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a.read", "a.write", "a.*", "a.x.*", "b.read", "b.*"}), 1, 2, rapid.ID[string]).Draw(t, role) {
			fmt.Fprintf(&rs, "p, %s, %s\n", role, p)
			w.ref.carries[role] = append(w.ref.carries[role], p)
		}
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "include") == 0 {
				other := fmt.Sprintf("role:r%d", j)
				fmt.Fprintf(&rs, "g, %s, %s\n", role, other)
				w.ref.includes[role] = append(w.ref.includes[role], other)
			}
		}
	}
	for _, s := range []string{"user:idp/ana", "user:idp/ben", "service:ana", "team:ana", "team:a", "team:b", "team:c"} {
		p, err := ParsePrincipal(s)
		require.NoError(t, err)
		w.who = append(w.who, p)
		if p.IsTeam() {
			w.teams = append(w.teams, p)
		}
	}
	for _, segs := range [][]string{{"t"}, {"t", "a"}, {"t", "ab"}, {"t", "a", "b"}, {"t", "a/b"}, {"t", "a", "b", "c"}, {"t", "b"}, {"t", "b", "a"}, {"t", "a%2Fb"}} {
		r, err := NewResource(segs...)
		require.NoError(t, err)
		w.tree, w.at = append(w.tree, r), append(w.at, segs)
	}
	w.root, _ = Service("root")
	w.a = policyFiles(map[string]string{"permissions.csv": ps.String(), "roles.csv": rs.String()})
	w.a.now = func() time.Time { return w.now }
	seed := Authorization{ID: newID(), Principal: w.root, Role: Role{rootRole}, Resource: w.tree[0], Effect: Allow}
	w.a.ix = newIndex(w.a.cat, []Authorization{seed}, nil, 1, w.a.now)
	w.a.store = &memoryStore{all: map[uuid.UUID]Authorization{seed.ID: seed}, rest: Assignments{Revision: 1}}
	w.ref.rows = []refRow{{id: seed.ID.String(), who: w.root.String(), role: rootRole, on: w.at[0]}}
	return w
}

func (w *world) editor(t *rapid.T) Editor {
	g, err := w.a.Authorize(t.Context(), Request{Principal: w.root, Permission: Permission{writeAuthorizations}, Resource: w.tree[0]})
	require.NoError(t, err)
	return w.a.Edit(g)
}

// step changes all descriptions alike, by the doors that users use.
func (w *world) step(t *rapid.T) {
	pick := func(what string) int { return rapid.IntRange(0, 1<<20).Draw(t, what) }
	switch k := rapid.IntRange(0, 9).Draw(t, "step"); {
	case k < 4: // assign
		i := pick("on") % len(w.tree)
		x := Authorization{Principal: w.who[pick("who")%len(w.who)], Role: Role{w.roles[pick("role")%len(w.roles)]}, Resource: w.tree[i], Effect: Allow}
		if pick("deny")%4 == 0 {
			x.Effect = Deny
		}
		if pick("bounded")%2 == 0 {
			x.From = w.now.Add(time.Duration(rapid.IntRange(-3, 5).Draw(t, "from")) * time.Minute)
			if pick("ends")%2 == 0 {
				x.Until = x.From.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "for")) * time.Minute)
			}
		}
		id, err := w.editor(t).Assign(t.Context(), x)
		require.NoError(t, err)
		w.ids = append(w.ids, id)
		w.ref.rows = append(w.ref.rows, refRow{id.String(), x.Principal.String(), x.Role.String(), w.at[i], x.Effect == Deny, x.From, x.Until})
	case k < 5 && len(w.ids) > 0: // revoke
		i := pick("which") % len(w.ids)
		require.NoError(t, w.editor(t).Revoke(t.Context(), w.ids[i], "over"))
		w.ref.rows = slices.DeleteFunc(w.ref.rows, func(r refRow) bool { return r.id == w.ids[i].String() })
		w.ids = slices.Delete(w.ids, i, i+1)
	case k < 7: // join
		m := Membership{w.who[pick("member")%len(w.who)], w.teams[pick("team")%len(w.teams)]}
		err := w.editor(t).Join(t.Context(), m, "")
		if w.ref.is(m.Team.String(), m.Member.String()) {
			require.Error(t, err, "a team in itself")
			return
		}
		require.NoError(t, err)
		w.ref.members = append(w.ref.members, [2]string{m.Member.String(), m.Team.String()})
	case k < 8 && len(w.ref.members) > 0: // leave
		m := w.ref.members[pick("leaves")%len(w.ref.members)]
		member, _ := ParsePrincipal(m[0])
		team, _ := ParsePrincipal(m[1])
		require.NoError(t, w.editor(t).Leave(t.Context(), Membership{member, team}, ""))
		w.ref.members = slices.DeleteFunc(w.ref.members, func(x [2]string) bool { return x == m })
	default:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "minutes")) * time.Minute)
	}
}

// compare asks everything of index and reference, and a share of it of Casbin.
func (w *world) compare(t *rapid.T) (asked, casbin int) {
	ix, share := w.a.ix, rapid.IntRange(0, 10).Draw(t, "share")
	for i, p := range w.who {
		for j, perm := range w.perms {
			for k, r := range w.tree {
				want := w.ref.allowed(p.String(), perm.String(), w.at[k], w.now)
				d, err := w.a.Check(t.Context(), Request{Principal: p, Permission: perm, Resource: r})
				require.NoError(t, err)
				require.Equal(t, want, d.Allowed, "index: %s %s %s at %s: %s", p, perm, r, w.now, d.Reason())
				require.Equal(t, want, d.Code == AllowedBy)
				if d.Code == AllowedBy || d.Code == DeniedBy {
					// A decision names what made it so.
					x, _ := ix.get(d.Authorization)
					require.Equal(t, d.Code == AllowedBy, x.Effect == Allow)
					require.True(t, x.Role == d.Role && x.Resource == d.On && x.Principal == d.Through && d.On.Contains(r) && x.active(w.now))
					require.True(t, w.ref.is(p.String(), d.Through.String()) && w.ref.has(d.Role.String(), perm.String()))
				}
				asked++
				if (i+j+k)%11 == share {
					ok, err := w.a.meaning.enforce(ix, p, perm.name, r)
					require.NoError(t, err)
					require.Equal(t, want, ok, "Casbin: %s %s %s at %s", p, perm, r, w.now)
					casbin++
				}
			}
		}
	}
	// On behalf of another.
	for range 12 {
		k := rapid.IntRange(0, len(w.tree)-1).Draw(t, "on")
		req := Request{Principal: rapid.SampledFrom(w.who).Draw(t, "who"), OnBehalfOf: rapid.SampledFrom(append(slices.Repeat([]Principal{{}}, 4), w.who...)).Draw(t, "behalf"),
			Permission: rapid.SampledFrom(w.perms).Draw(t, "permission"), Resource: w.tree[k]}
		want := w.ref.both(req.Principal.String(), req.OnBehalfOf.String(), req.Permission.String(), w.at[k], w.now)
		g, err := w.a.Authorize(t.Context(), req)
		require.Equal(t, want, err == nil, "%+v: %v", req, err)
		if err == nil {
			w.live = append(w.live, liveGrant{g, req, req.OnBehalfOf.String(), w.now.Add(w.a.ttl)})
		} else {
			require.ErrorIs(t, err, ErrDenied)
		}
		asked++
	}
	// Grants made before: good for what is allowed now, and for nothing else.
	for _, l := range w.live {
		for k, r := range w.tree {
			err := l.g.Covers(l.req.Permission, r)
			want := l.req.Resource.Contains(r) && w.now.Before(l.expires) && w.ref.both(l.req.Principal.String(), l.behalf, l.req.Permission.String(), w.at[k], w.now)
			require.Equal(t, want, err == nil, "a grant of %+v on %s: %v", l.req, r, err)
			require.True(t, want || errors.Is(err, ErrDenied))
			asked++
		}
	}
	return asked, casbin
}

// Index, Casbin and reference give one answer in any world, after any change,
// at any time, and each Grant is worth what they say.
//
// evidence: P20, P23
func TestIndexCasbinAndReferenceAgree(t *testing.T) {
	if *worlds > 0 {
		f := flag.Lookup("rapid.checks")
		old := f.Value.String()
		require.NoError(t, f.Value.Set(fmt.Sprint(*worlds)))
		t.Cleanup(func() { require.NoError(t, f.Value.Set(old)) })
	}
	asked, casbin, yes := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, func(m map[string]string) *Authorizer {
			a, err := New(t.Context(), files(t, m), nil)
			require.NoError(t, err)
			return a
		})
		for range rapid.IntRange(4, 20).Draw(rt, "steps") {
			w.step(rt)
			n, c := w.compare(rt)
			asked, casbin = asked+n, casbin+c
		}
		yes += len(w.live)
	})
	require.Positive(t, casbin)
	require.Positive(t, yes, "worlds in which nothing is allowed prove nothing")
	t.Logf("%d questions to the index, %d of them to Casbin, %d grants", asked, casbin, yes)
}
