package authz

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Each thing that makes an Authorization worthless, or mean something else than
// its author thought, is refused by itself; the limits are as they are told.
func TestEachFieldOfAnAuthorizationIsChecked(t *testing.T) {
	good := Authorization{ID: newID(), Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow, Until: time.Unix(9, 0), From: time.Unix(8, 0)}
	for name, c := range map[string]struct {
		change func(x *Authorization)
		says   string // "" if it stays good
	}{
		"good":                    {func(*Authorization) {}, ""},
		"principal":               {func(x *Authorization) { x.Principal = Principal{} }, "principal: missing"},
		"role":                    {func(x *Authorization) { x.Role = Role{} }, "role: missing"},
		"resource":                {func(x *Authorization) { x.Resource = Resource{} }, "resource: missing"},
		"no effect":               {func(x *Authorization) { x.Effect = 0 }, "effect: want"},
		"another effect":          {func(x *Authorization) { x.Effect = 3 }, "effect: want"},
		"deny":                    {func(x *Authorization) { x.Effect = Deny }, ""},
		"no end":                  {func(x *Authorization) { x.Until = time.Time{} }, ""},
		"no beginning":            {func(x *Authorization) { x.From = time.Time{} }, ""},
		"ends as it begins":       {func(x *Authorization) { x.Until = x.From }, "until: not after from"},
		"ends before":             {func(x *Authorization) { x.Until = x.From.Add(-1) }, "until: not after from"},
		"reason":                  {func(x *Authorization) { x.Reason = strings.Repeat("x", 1024) }, ""},
		"a long reason":           {func(x *Authorization) { x.Reason = strings.Repeat("x", 1025) }, "reason: 1025 bytes"},
		"condition":               {func(x *Authorization) { x.Condition = strings.Repeat(" ", 1020) + "true" }, ""},
		"a long condition":        {func(x *Authorization) { x.Condition = strings.Repeat(" ", 1021) + "true" }, "condition: 1025 bytes"},
		"pending":                 {func(x *Authorization) { x.Pending = true }, ""},
		"a deny that waits":       {func(x *Authorization) { x.Pending, x.Effect = true, Deny }, "pending: only"},
		"without end, waiting":    {func(x *Authorization) { x.Pending, x.Until = true, time.Time{} }, "pending: only"},
		"not pending, no end":     {func(x *Authorization) { x.Until = time.Time{} }, ""},
		"a role nobody knows":     {func(x *Authorization) { x.Role = Role{"role:none"} }, "role role:none"},
		"no condition that is":    {func(x *Authorization) { x.Condition = "hour <" }, "condition: "},
		"id":                      {func(x *Authorization) { x.ID = uuid.Nil }, "missing or used twice"},
		"an id that is used":      {func(x *Authorization) { x.ID = uuid.UUID{1} }, "missing or used twice"},
		"an id that becomes free": {func(x *Authorization) { x.ID = uuid.UUID{2} }, ""},
	} {
		x := good
		c.change(&x)
		a, err := New(t.Context(), files(t, nil), nil)
		require.NoError(t, err)
		other := good
		a.ix.apply(Change{Revision: 1, Add: []Authorization{with(other, uuid.UUID{1}), with(other, uuid.UUID{2})}})
		err = a.valid(a.ix, Change{Revision: 2, Remove: []Authorization{with(other, uuid.UUID{2})}, Add: []Authorization{x}})
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
		require.Error(t, a.valid(a.ix, Change{Revision: 2, Add: []Authorization{x, x}}), "one id twice")

		// What cannot be assigned cannot be what an installation begins with.
		// A missing id is made then.
		if x.ID = uuid.Nil; c.says == "missing or used twice" {
			continue
		}
		_, err = New(t.Context(), files(t, nil), &Options{Seed: []Authorization{x}})
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
	}
}

func with(x Authorization, id uuid.UUID) Authorization { x.ID = id; return x }

func TestEachFieldOfAMembershipIsChecked(t *testing.T) {
	ana, team, other := Principal{"user:idp/ana"}, Principal{"team:a"}, Principal{"team:b"}
	for m, ok := range map[Membership]bool{{ana, team}: true, {other, team}: true, {Principal{}, team}: false, {ana, Principal{}}: false, {ana, Principal{"user:idp/ben"}}: false, {team, team}: false} {
		_, err := New(t.Context(), files(t, nil), &Options{SeedMembers: []Membership{m}})
		require.Equal(t, ok, err == nil, "%v: %v", m, err)
	}
}
