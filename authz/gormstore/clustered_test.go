package gormstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

// A database of schema 2, which kept each term in a column of its own, loses
// nothing of any assignment.
func assignmentsApart(t *testing.T, open database) {
	g := open(t)
	newStore(t, g)
	for _, ddl := range []string{
		"DELETE FROM authz_schema WHERE version > 2",
		"DROP TABLE authz_assignments",
		`CREATE TABLE authz_assignments (id VARCHAR(36) PRIMARY KEY, principal TEXT NOT NULL, role TEXT NOT NULL, resource TEXT NOT NULL, effect SMALLINT NOT NULL, starts TEXT NOT NULL,
			ends TEXT NOT NULL, granted_by TEXT NOT NULL, pending SMALLINT NOT NULL, approved_by TEXT NOT NULL, reason TEXT NOT NULL, condition TEXT NOT NULL)`,
	} {
		require.NoError(t, g.Exec(ddl).Error)
	}
	from, until := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	ana, zoe := authztest.Principal(t, "user:idp/ana"), authztest.Principal(t, "user:idp/zoe")
	plain := authz.Authorization{Principal: zoe, Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/a%20b"), Effect: authz.Allow}
	var want []authz.Authorization
	for _, change := range []func(x *authz.Authorization){
		func(*authz.Authorization) {},
		func(x *authz.Authorization) { x.Effect, x.GrantedBy = authz.Deny, ana },
		func(x *authz.Authorization) { x.From = from },
		func(x *authz.Authorization) { x.Until = until },
		func(x *authz.Authorization) { x.Until, x.Pending = until, true },
		func(x *authz.Authorization) { x.ApprovedBy = ana },
		func(x *authz.Authorization) { x.Reason = "ü \x1f\x1e, it's\n" },
		func(x *authz.Authorization) { x.Condition = "hour == 1" },
		func(x *authz.Authorization) {
			x.Principal, x.From, x.Until, x.Pending, x.ApprovedBy, x.Reason, x.Condition = ana, from, until, true, zoe, "\x1f", "hour == 2"
		},
	} {
		x := plain
		x.ID = uuid.New()
		change(&x)
		want = append(want, x)
		pending := 0
		if x.Pending {
			pending = 1
		}
		stamp := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.Format(time.RFC3339Nano)
		}
		require.NoError(t, g.Exec("INSERT INTO authz_assignments VALUES (?"+strings.Repeat(", ?", 11)+")", x.ID.String(), x.Principal.String(), x.Role.String(), x.Resource.String(), int(x.Effect),
			stamp(x.From), stamp(x.Until), x.GrantedBy.String(), pending, x.ApprovedBy.String(), x.Reason, x.Condition).Error)
	}
	st := newStore(t, g)
	_, held := load(t, st)
	require.ElementsMatch(t, want, held)
	require.False(t, g.Migrator().HasTable("authz_assignments_apart"))
	require.NoError(t, st.Apply(t.Context(), authz.Change{Revision: 1, Remove: want[1:]}))
	_, held = load(t, st)
	require.Equal(t, want[:1], held)
}
