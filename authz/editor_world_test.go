package authz_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

const (
	read = "authz.authorizations.read"
	ben  = "user:idp/ben"
	cara = "user:idp/cara"
)

// officePermissions and officeRoles: who pays does not check, readers may ask to
// write and take everything in an emergency.
const (
	officePermissions = "a.read, look\na.write, change\nb.read, look there\nmoney.pay, pay\nmoney.check, check what was paid\n" + read + ", see\n" + write + ", give\n"
	officeRoles       = `p, role:reader, a.read
p, role:writer, a.write
g, role:writer, role:reader
p, role:clerk, b.read
p, role:payer, money.pay
p, role:checker, money.check
p, role:admin, authz.authorizations.*
g, role:boss, role:admin
g, role:boss, role:writer
g, role:boss, role:clerk
d, role:admin, role:payer
d, role:admin, role:checker
x, money.pay, money.check
e, role:reader, role:writer
b, role:reader, role:boss
`
)

func officePolicy(t testing.TB, permissions, roles string) fstest.MapFS {
	model, err := policy.Files().(interface{ ReadFile(string) ([]byte, error) }).ReadFile("model.conf")
	require.NoError(t, err)
	return fstest.MapFS{"model.conf": {Data: model}, "permissions.csv": {Data: []byte(officePermissions + permissions)}, "roles.csv": {Data: []byte(officeRoles + roles)}}
}

// office is a small house with its own policy and a clock.
type office struct {
	*authz.Authorizer
	t     testing.TB
	clock *clock
	audit *authz.Memory
	ids   []uuid.UUID // of the lines, in order
}

// newOffice takes lines as authztest does; "until 1h" at the end of one bounds it.
func newOffice(t testing.TB, lines ...string) *office {
	return newOfficeWith(t, authz.Options{}, "", "", lines...)
}

func newOfficeWith(t testing.TB, o authz.Options, permissions, roles string, lines ...string) *office {
	t.Helper()
	w := &office{t: t, clock: &clock{t: start}, audit: authz.NewMemory(0)}
	o.Audit = w.audit
	if o.Clock == nil {
		o.Clock = w.clock.now
	}
	for _, l := range lines {
		if f := strings.Fields(l); f[0] == "member" {
			o.SeedMembers = append(o.SeedMembers, w.member(f[1], f[2]))
			continue
		}
		x := w.line(l)
		x.ID = uuid.Must(uuid.NewV7())
		w.ids = append(w.ids, x.ID)
		o.Seed = append(o.Seed, x)
	}
	a, err := authz.New(t.Context(), officePolicy(t, permissions, roles), &o)
	require.NoError(t, err)
	w.Authorizer = a
	return w
}

func (w *office) line(l string) authz.Authorization {
	l, bound, limited := strings.Cut(l, " until ")
	x := parse(w.t, l)
	if limited {
		d, err := time.ParseDuration(bound)
		require.NoError(w.t, err)
		x.Until = w.clock.now().Add(d)
	}
	return x
}

func (w *office) member(member, team string) authz.Membership {
	return authz.Membership{Member: authztest.Principal(w.t, member), Team: authztest.Principal(w.t, team)}
}

func (w *office) as(who, on string) authz.Editor {
	w.t.Helper()
	return w.Edit(grant(w.t, w.Authorizer, who, write, on))
}

func (w *office) can(who, permission, on string) bool {
	w.t.Helper()
	return allowed(w.t, w.Authorizer, who, permission, on)
}

func (w *office) assign(e authz.Editor, l string) uuid.UUID {
	w.t.Helper()
	id, err := e.Assign(w.t.Context(), w.line(l))
	require.NoError(w.t, err)
	return id
}

// refused wants a refusal, changes nothing, and finds it on record.
func (w *office) refused(err error, what ...string) {
	w.t.Helper()
	require.ErrorIs(w.t, err, authz.ErrDenied)
	for _, s := range what {
		require.ErrorContains(w.t, err, s)
	}
	rs := w.audit.Records()
	last := rs[len(rs)-1]
	require.False(w.t, last.Allowed)
	require.Equal(w.t, write, last.Permission.String())
	require.Equal(w.t, "refused: "+strings.TrimPrefix(err.Error(), "authz: "), last.Reason)
}

func (w *office) last() authz.AuditRecord {
	rs := w.audit.Records()
	return rs[len(rs)-1]
}

func define(role string, names ...string) authz.RoleDefinition {
	d := authz.RoleDefinition{Role: authz.MustRole(role)}
	for _, n := range names {
		if strings.HasPrefix(n, "role:") {
			d.Includes = append(d.Includes, authz.MustRole(n))
		} else {
			d.Permissions = append(d.Permissions, authz.MustPermission(n))
		}
	}
	return d
}
