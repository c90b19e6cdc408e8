package authz

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Authorizations that differ in one thing that few checks read each keep their
// own, whichever of them was made last.
func TestWhatDiffersIsNotShared(t *testing.T) {
	a, _ := audited(t, NewMemory(0), 0)
	x := Authorization{Principal: Principal{"user:i/x"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow, Until: time.Unix(2e9, 0).UTC()}
	want := map[uuid.UUID]Authorization{}
	for i, alter := range []func(x *Authorization){
		func(*Authorization) {},
		func(x *Authorization) { x.GrantedBy = Principal{"user:i/ana"} },
		func(x *Authorization) { x.GrantedBy = Principal{"user:i/ben"} },
		func(x *Authorization) { x.ApprovedBy = Principal{"user:i/ana"} },
		func(x *Authorization) { x.From = time.Unix(1, 0).UTC() },
		func(x *Authorization) { x.Until = time.Unix(3e9, 0).UTC() },
		func(x *Authorization) { x.Reason = "because" },
		func(x *Authorization) { x.Condition = "hour == 1" },
		func(x *Authorization) { x.Pending = true },
	} {
		for n := range 2 { // one after the other, and one after the first again
			y := x
			alter(&y)
			y.ID = uuid.UUID{1, byte(i), byte(n)}
			want[y.ID] = y
			a.ix.apply(Change{Revision: a.ix.revision() + 1, Add: []Authorization{y}})
			x.ID = uuid.UUID{2, byte(i), byte(n)}
			want[x.ID] = x
			a.ix.apply(Change{Revision: a.ix.revision() + 1, Add: []Authorization{x}})
		}
	}
	held := a.ix.heldBy(x.Principal)
	require.Len(t, held, len(want))
	for _, y := range held {
		require.Equal(t, want[y.ID], y)
	}
}

// A change of what one principal holds that also alters a role or a team is a
// change for everybody: whoever was being answered is answered anew.
func TestAChangeOfARoleOrATeamConcernsAll(t *testing.T) {
	ana, ben, at := Principal{"user:idp/anna"}, Principal{"user:idp/ben"}, Resource{"t/a"}
	own := Role{"role:own"}
	for name, c := range map[string]Change{
		"role": {Define: []RoleDefinition{{Role: own, Permissions: []Permission{{"crm.items.read"}}}}},
		"team": {Join: []Membership{{ana, Principal{"team:other"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := audited(t, NewMemory(0), 0)
			now := time.Unix(1_800_000_000, 0)
			bounded := Authorization{ID: uuid.UUID{7}, Principal: ana, Role: own, Resource: at, Effect: Allow, Until: now.Add(time.Hour)}
			a.ix.apply(Change{Revision: 2, Define: []RoleDefinition{{Role: own, Permissions: []Permission{{"mailbox.items.read"}}}}})
			a.ix.apply(Change{Revision: 3, Add: []Authorization{bounded, {ID: uuid.UUID{8}, Principal: ben, Role: own, Resource: at, Effect: Allow}}})
			require.NotSame(t, a.ix.partOf(a.ix.numberOf(ana.name)), a.ix.partOf(a.ix.numberOf(ben.name)))
			asked := 0
			a.ix.now = func() time.Time {
				if asked++; asked == 1 {
					c := c
					c.Revision, c.Add = 4, []Authorization{{ID: uuid.UUID{9}, Principal: ben, Role: own, Resource: at, Effect: Allow}}
					a.ix.apply(c)
				}
				return now
			}
			d := a.ix.decide(ana, a.cat.number["mailbox.items.read"], at)
			require.Equal(t, uint64(4), d.Revision)
			require.Equal(t, name == "team", d.Allowed)
		})
	}
}

// Taking what is not there, beside what is, takes what is.
func TestWhatIsNotThereIsNotTaken(t *testing.T) {
	a, _ := audited(t, NewMemory(0), 0)
	x := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/x"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}
	y, no := x, x
	y.ID, no.ID = uuid.UUID{2}, uuid.UUID{3}
	a.ix.apply(Change{Revision: 2, Add: []Authorization{x, y}})
	a.ix.apply(Change{Revision: 3, Remove: []Authorization{no, x}})
	require.Equal(t, []Authorization{y}, a.ix.heldBy(x.Principal))
}

// What replaces an Authorization under its id stays, and what it replaces goes,
// however many of one principal are replaced and wherever they are in its run.
func TestWhatReplacesStays(t *testing.T) {
	for _, n := range []int{2, longRun, 3 * longRun} {
		a, _ := audited(t, NewMemory(0), 0)
		all, alter := Change{Revision: 2}, Change{Revision: 3}
		for i := range n {
			x := Authorization{ID: uuid.UUID{2, byte(i)}, Principal: Principal{"user:i/x"}, Role: Role{"role:user"}, Resource: Resource{"t/" + string(rune('a'+i%26))}, Effect: Allow}
			all.Add, alter.Remove = append(all.Add, x), append(alter.Remove, x)
			x.Effect, x.Resource = Deny, Resource{"t/" + string(rune('z'-i%26))}
			alter.Add = append(alter.Add, x)
		}
		a.ix.apply(all)
		a.ix.apply(alter)
		require.ElementsMatch(t, alter.Add, a.ix.heldBy(Principal{"user:i/x"}))
	}
}
