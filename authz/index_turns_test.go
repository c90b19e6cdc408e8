package authz

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A change that is published while an answer is being found makes it be found
// again, whichever way it was asked for.
func TestAnAnswerFromBeforeAChangeIsFoundAgain(t *testing.T) {
	ana, at := Principal{"user:idp/ana"}, Resource{"t/a"}
	for name, ask := range map[string]func(a *Authorizer, bit int) Decision{
		"by names": func(a *Authorizer, bit int) Decision { return a.ix.decide(ana, bit, at) },
		"by handles": func(a *Authorizer, _ int) Decision {
			who, err := a.PrincipalHandle(ana)
			require.NoError(t, err)
			do, err := a.PermissionHandle(Permission{"mailbox.items.read"})
			require.NoError(t, err)
			on, err := a.ResourceHandle(at)
			require.NoError(t, err)
			return a.CheckHandles(who, do, &on).Decision()
		},
		"in a list": func(a *Authorizer, bit int) Decision {
			var seen sighting
			return a.ix.decideAt(a.ix.numberOf(ana.name), bit, at, &seen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := audited(t, NewMemory(0), 0)
			now := time.Unix(1_800_000_000, 0)
			bounded := Authorization{ID: uuid.UUID{7}, Principal: ana, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow, Until: now.Add(time.Hour)}
			a.ix.apply(Change{Revision: 2, Remove: a.ix.heldBy(ana), Add: []Authorization{bounded}})
			asked := 0
			a.ix.now = func() time.Time { // it is asked in the middle: the entry has an end
				if asked++; asked == 1 {
					a.ix.apply(Change{Revision: 3, Remove: []Authorization{bounded}})
				}
				return now
			}
			d := ask(a, a.cat.number["mailbox.items.read"])
			require.Equal(t, 1, asked)
			require.False(t, d.Allowed, "it was revoked before the answer")
			require.Equal(t, uint64(3), d.Revision)
		})
	}
}

// Nobody reads what is being published.
func TestReadingWaitsWhileAChangeIsPublished(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	bit := a.cat.number[req.Permission.name]
	part := a.ix.partOf(a.ix.numberOf(req.Principal.name))
	part.begun.Add(1)
	answers := make(chan Decision)
	go func() { answers <- a.ix.decide(req.Principal, bit, req.Resource) }()
	select {
	case <-answers:
		t.Fatal("answered in the middle of a change")
	case <-time.After(50 * time.Millisecond): // it goes round a hundred times and then lets others run
	}
	a.ix.rev.Store(9)
	part.done.Add(1)
	require.Equal(t, uint64(9), (<-answers).Revision)
}

// What is loaded is as what was added, in runs that are read and in runs that are
// searched.
func TestLoadedIsAsAdded(t *testing.T) {
	for _, n := range []int{1, longRun, longRun + 1, 3 * fillPiece} {
		a, req := audited(t, NewMemory(0), 0)
		var as []Authorization
		for i := range n {
			effect := Allow
			if i%3 == 0 {
				effect = Deny
			}
			as = append(as, Authorization{ID: uuid.UUID{1, byte(i), byte(i >> 8)}, Principal: Principal{"user:i/p"}, Role: Role{"role:user"},
				Resource: Resource{"t/" + string(rune('a'+i*7%26)) + "/" + string(rune('a'+i*5%26)) + "/" + uuid.UUID{byte(i), byte(i >> 8)}.String()[:4]}, Effect: effect, Condition: []string{"", "hour >= 0"}[i%2]})
		}
		bit := a.cat.number[req.Permission.name]
		loaded, added := newIndex(a.cat, as, nil, 1, nil), newIndex(a.cat, nil, nil, 1, nil)
		added.apply(Change{Revision: 1, Add: as})
		require.ElementsMatch(t, added.heldBy(as[0].Principal), loaded.heldBy(as[0].Principal))
		for i := range as {
			for _, r := range []Resource{as[i].Resource, {as[i].Resource.path + "/below"}, {as[i].Resource.path[:3]}} {
				require.Equal(t, added.decide(as[0].Principal, bit, r).Allowed, loaded.decide(as[0].Principal, bit, r).Allowed, r.path)
			}
		}
		loaded.apply(Change{Revision: 2, Remove: as[:1]})
		require.Len(t, loaded.heldBy(as[0].Principal), n-1)
	}
}
