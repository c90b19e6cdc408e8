package authz

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The trail says what a change does: each part of it, in words that somebody can
// search for, and nothing that it does not do.
func TestTheRecordSaysEachPartOfAChange(t *testing.T) {
	x := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow}
	other := x
	other.ID, other.Effect = uuid.UUID{2}, Deny
	until, pending, approved := x, x, x
	until.Until = time.Date(2030, 1, 2, 4, 0, 0, 0, time.FixedZone("", 3600))
	pending.Pending = true
	approved.ApprovedBy = Principal{"user:idp/ben"}
	m, n := Membership{Principal{"user:idp/ana"}, Principal{"team:a"}}, Membership{Principal{"user:idp/ben"}, Principal{"team:a"}}
	d, e := RoleDefinition{Role: Role{"role:one"}}, RoleDefinition{Role: Role{"role:two"}}
	const one, two = "00000000-0000-0000-0000-000000000000", "02000000-0000-0000-0000-000000000000"
	id := "01" + one[2:]
	for _, c := range []struct {
		c    Change
		want string
	}{
		{Change{}, ""},
		{Change{Add: []Authorization{x}}, "; assigns allow role:user to user:idp/ana on t as " + id},
		{Change{Add: []Authorization{until}}, "; assigns allow role:user to user:idp/ana on t as " + id},
		{Change{Remove: []Authorization{x}}, "; revokes allow role:user of user:idp/ana on t, " + id},
		{Change{Remove: []Authorization{x}, Add: []Authorization{x}}, "; alters allow role:user of user:idp/ana on t, " + id},
		{Change{Remove: []Authorization{x}, Add: []Authorization{until}}, "; alters allow role:user of user:idp/ana on t, " + id + ", until 2030-01-02T03:00:00Z"},
		{Change{Remove: []Authorization{x}, Add: []Authorization{pending}}, "; alters allow role:user of user:idp/ana on t, " + id + ", pending"},
		{Change{Remove: []Authorization{x}, Add: []Authorization{approved}}, "; alters allow role:user of user:idp/ana on t, " + id + ", with consent of user:idp/ben"},
		{Change{Remove: []Authorization{other, x}, Add: []Authorization{x}}, "; alters allow role:user of user:idp/ana on t, " + id + "; revokes deny role:user of user:idp/ana on t, " + two},
		{Change{Join: []Membership{m}, Leave: []Membership{n}}, "; user:idp/ana joins team:a; user:idp/ben leaves team:a"},
		{Change{Define: []RoleDefinition{d}, Undefine: []RoleDefinition{d, e}}, "; defines role:one; undefines role:two"},
	} {
		require.Equal(t, c.want, c.c.summary())
	}
}

// A change is on record where all of it stands, or where the Grant is if it
// stands in several places or in none.
func TestAChangeIsRecordedWhereItStands(t *testing.T) {
	boss := Principal{"user:idp/boss"}
	a, err := New(t.Context(), files(t, nil), &Options{Seed: []Authorization{{Principal: boss, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow}}})
	require.NoError(t, err)
	g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: Resource{"t"}})
	require.NoError(t, err)
	on := func(path string) Authorization { return Authorization{Resource: Resource{path}} }
	for name, c := range map[string]struct {
		c    Change
		want string
	}{
		"nothing":                 {Change{}, "t"},
		"one":                     {Change{Add: []Authorization{on("t/a")}}, "t/a"},
		"two on one":              {Change{Add: []Authorization{on("t/a"), on("t/a")}}, "t/a"},
		"taken and given":         {Change{Remove: []Authorization{on("t/a")}, Add: []Authorization{on("t/a")}}, "t/a"},
		"two":                     {Change{Add: []Authorization{on("t/a"), on("t/b")}}, "t"},
		"taken here, given there": {Change{Remove: []Authorization{on("t/a")}, Add: []Authorization{on("t/b")}}, "t"},
		"a member":                {Change{Join: make([]Membership, 1)}, "t"},
		"and a member":            {Change{Add: []Authorization{on("t/a")}, Join: make([]Membership, 1)}, "t"},
		"and one who left":        {Change{Add: []Authorization{on("t/a")}, Leave: make([]Membership, 1)}, "t"},
		"and a role":              {Change{Add: []Authorization{on("t/a")}, Define: make([]RoleDefinition, 1)}, "t"},
		"and a role that went":    {Change{Add: []Authorization{on("t/a")}, Undefine: make([]RoleDefinition, 1)}, "t"},
	} {
		require.Equal(t, c.want, a.Edit(g).on(c.c).path, name)
	}

	// A Grant of another house changes nothing here and leaves nothing in the trail.
	m := NewMemory(0)
	other, err := New(t.Context(), files(t, nil), &Options{Audit: m})
	require.NoError(t, err)
	_, err = other.Edit(g).Assign(t.Context(), on("t/a"))
	require.ErrorIs(t, err, ErrDenied)
	require.Empty(t, m.Records())
}

// Whoever may change it while a change is checked and no longer when it is made
// makes none: whenever in between the right ends.
func TestARightThatEndsWhileItIsUsed(t *testing.T) {
	boss, start := Principal{"user:idp/boss"}, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	made := 0
	for last := range 40 {
		calls := -1 << 20
		clock := func() time.Time {
			if calls++; calls > last {
				return start.Add(2 * time.Minute)
			}
			return start
		}
		m := NewMemory(0)
		a, err := New(t.Context(), files(t, nil), &Options{Clock: clock, Audit: m, Seed: []Authorization{{Principal: boss, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow, Until: start.Add(time.Minute)}}})
		require.NoError(t, err)
		g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: Resource{"t"}})
		require.NoError(t, err)
		calls = 0
		_, err = a.Edit(g).Assign(t.Context(), Authorization{Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Deny})
		rs := m.Records()
		require.Equal(t, err == nil, rs[len(rs)-1].Allowed, "call %d: %v", last, err)
		if err == nil {
			made++
			continue
		}
		require.ErrorIs(t, err, ErrDenied, "call %d", last)
		require.Equal(t, uint64(1), a.Revision())
	}
	require.Positive(t, made)
}

// Each kind of refusal has its sentence.
func TestEachDecisionSaysWhy(t *testing.T) {
	d := Decision{Principal: Principal{"user:idp/ana"}, Through: Principal{"user:idp/ana"}, Role: Role{"role:r"}, On: Resource{"t"}, Revision: 3}
	for code, want := range map[Code]string{NothingHeld: "user:idp/ana holds no role with this permission here or above", AllowedBy: "user:idp/ana holds role:r on t", DeniedBy: "user:idp/ana is denied role:r on t",
		UnknownPermission: "the policy has no such permission", BadRequest: "principal, permission or resource is missing", Stale: "what is known here is as of revision 3, which is older than demanded"} {
		d.Code = code
		require.Equal(t, want, d.Reason())
	}
	d.Code, d.Through = AllowedBy, Principal{"team:a"}
	require.Equal(t, "user:idp/ana, through team:a, holds role:r on t", d.Reason())
}
