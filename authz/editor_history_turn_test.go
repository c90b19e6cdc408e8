package authz

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is turned around is what differs and nothing more: what came and went, or
// went and came back, is not touched.
func TestOnlyWhatDiffersIsTurnedAround(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	x := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/a"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow, From: now.Add(-time.Hour), Until: now.Add(time.Hour)}
	later, zone, glass := x, x, x
	later.Until = now.Add(2 * time.Hour)
	zone.From, zone.Until = x.From.In(time.FixedZone("", 3600)), x.Until.In(time.FixedZone("", 3600))
	glass.GrantedBy, glass.Reason = glass.Principal, breakGlassReason+"fire"
	ended, seen := glass, glass
	seen.ApprovedBy = Principal{"user:i/b"}
	ended.Until = now
	m := Membership{Principal{"user:i/a"}, Principal{"team:t"}}
	d, wide := RoleDefinition{Role: Role{"role:d"}, Permissions: []Permission{{"crm.items.read"}}}, RoleDefinition{Role: Role{"role:d"}, Permissions: []Permission{{"crm.items.read"}, {"crm.items.write"}}}
	add, remove, alter := Change{Add: []Authorization{x}}, Change{Remove: []Authorization{x}}, Change{Remove: []Authorization{x}, Add: []Authorization{later}}
	back := Change{Remove: []Authorization{later}, Add: []Authorization{zone}}
	join, leave := Change{Join: []Membership{m}}, Change{Leave: []Membership{m}}
	define, undefine, widen := Change{Define: []RoleDefinition{d}}, Change{Undefine: []RoleDefinition{d}}, Change{Undefine: []RoleDefinition{d}, Define: []RoleDefinition{wide}}
	for name, c := range map[string]struct {
		first Change // before the revision that is gone back to
		later []Change
		want  Change
	}{
		"nothing":                 {add, nil, Change{}},
		"one came":                {Change{}, []Change{add}, remove},
		"one went":                {add, []Change{remove}, add},
		"one came and went":       {Change{}, []Change{add, remove}, Change{}},
		"one went and came":       {add, []Change{remove, add}, Change{}},
		"one is longer":           {add, []Change{alter}, Change{Remove: []Authorization{later}, Add: []Authorization{x}}},
		"one is shorter":          {Change{Add: []Authorization{later}}, []Change{{Remove: []Authorization{later}, Add: []Authorization{x}}}, Change{Remove: []Authorization{x}, Add: []Authorization{later}}},
		"and as it was again":     {add, []Change{alter, back}, Change{}},
		"one joined":              {Change{}, []Change{join}, leave},
		"one left":                {join, []Change{leave}, join},
		"one joined and left":     {Change{}, []Change{join, leave}, Change{}},
		"one left and joined":     {join, []Change{leave, join}, Change{}},
		"a role came":             {Change{}, []Change{define}, undefine},
		"a role went":             {define, []Change{undefine}, define},
		"a role came and went":    {Change{}, []Change{define, undefine}, Change{}},
		"a role is wider":         {define, []Change{widen}, Change{Undefine: []RoleDefinition{wide}, Define: []RoleDefinition{d}}},
		"in an emergency":         {Change{}, []Change{{Add: []Authorization{glass}}}, Change{Remove: []Authorization{glass}, Add: []Authorization{ended}}},
		"a review":                {Change{Add: []Authorization{glass}}, []Change{{Remove: []Authorization{glass}, Add: []Authorization{seen}}}, Change{Remove: []Authorization{seen}, Add: []Authorization{glass}}},
		"an emergency that ended": {Change{Add: []Authorization{glass}}, []Change{{Remove: []Authorization{glass}, Add: []Authorization{ended}}}, Change{}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := New(t.Context(), files(t, nil), &Options{Clock: func() time.Time { return now }})
			require.NoError(t, err)
			for i, ch := range append([]Change{c.first}, c.later...) {
				ch.Revision = uint64(i + 1)
				require.NoError(t, a.valid(a.ix, ch))
				a.ix.apply(ch)
			}
			got := turnAround(a.ix, c.later)
			if name == "an emergency that ended" { // it comes back as it is now: it does not grow
				require.Equal(t, got.Remove, got.Add)
				return
			}
			if len(got.Remove) == 0 {
				got.Remove = nil
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Two Authorizations are one if nothing tells them apart but the zone of a time.
func TestWhatIsTheSameAuthorization(t *testing.T) {
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	x := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/a"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow, From: at, Until: at.Add(time.Hour)}
	for name, change := range map[string]func(y *Authorization) bool{
		"itself": func(*Authorization) bool { return true },
		"in a zone": func(y *Authorization) bool {
			y.From, y.Until = at.Local(), y.Until.In(time.FixedZone("", -3600))
			return true
		},
		"from":    func(y *Authorization) bool { y.From = at.Add(1); return false },
		"until":   func(y *Authorization) bool { y.Until = at.Add(1); return false },
		"reason":  func(y *Authorization) bool { y.Reason = "x"; return false },
		"nothing": func(y *Authorization) bool { *y = Authorization{}; return false },
	} {
		y := x
		want := change(&y)
		require.Equal(t, want, x.same(y), name)
		require.Equal(t, want, y.same(x), name)
	}
}

// What was taken in an emergency is told by all of three things, and what is left
// of it after its end keeps that end.
func TestWhatIsAnEmergency(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	glass := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/a"}, GrantedBy: Principal{"user:i/a"}, Reason: breakGlassReason, From: now.Add(-3 * time.Hour), Until: now.Add(time.Hour)}
	for name, change := range map[string]func(y *Authorization){
		"of another": func(y *Authorization) { y.GrantedBy = Principal{"user:i/b"} },
		"pending":    func(y *Authorization) { y.Pending = true },
		"no reason":  func(y *Authorization) { y.Reason = "since " + breakGlassReason },
	} {
		y := glass
		change(&y)
		require.False(t, y.emergency(), name)
		require.Empty(t, remains(y, now), name)
	}
	require.True(t, glass.emergency() && glass.unreviewed())
	require.Equal(t, now, remains(glass, now)[0].Until)
	for _, end := range []time.Time{now, now.Add(-time.Hour)} {
		glass.Until = end
		require.Equal(t, []Authorization{glass}, remains(glass, now))
	}
	glass.From, glass.Until = now.Add(time.Hour), now.Add(2*time.Hour)
	require.Equal(t, []Authorization{glass}, remains(glass, now))
	glass.ApprovedBy = Principal{"user:i/b"}
	require.True(t, glass.emergency() && !glass.unreviewed())
	require.Empty(t, remains(glass, now))
}

// A history that cannot be read is an error and no short history.
func TestAHistoryThatCannotBeReadIsSaid(t *testing.T) {
	failed := errors.New("no")
	boss := Principal{"user:idp/boss"}
	s := &forgetful{memoryStore: &memoryStore{}}
	a, err := New(t.Context(), files(t, nil), &Options{Store: s, Seed: []Authorization{{Principal: boss, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow}}})
	require.NoError(t, err)
	g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{readAuthorizations}, Resource: Resource{"t"}})
	require.NoError(t, err)
	w, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: Resource{"t"}})
	require.NoError(t, err)
	s.changes = func(yield func(Change, error) bool) { yield(s.history[0], failed) }
	n := 0
	for c, err := range a.History(t.Context(), g, 0) {
		require.ErrorIs(t, err, failed)
		require.True(t, c.empty())
		n++
	}
	require.Equal(t, 1, n)
	require.ErrorIs(t, a.Edit(w).Rollback(t.Context(), 0, ""), failed)
	s.changes = func(yield func(Change, error) bool) { _ = yield(s.history[0], nil) && yield(Change{Revision: 2}, nil) }
	require.ErrorIs(t, a.Edit(w).Rollback(t.Context(), 0, ""), ErrConflict, "another process was quicker")
	s.changes = func(yield func(Change, error) bool) {}
	require.ErrorIs(t, a.Edit(w).Rollback(t.Context(), 0, ""), ErrUnknown)
}
