package sync

import (
	"testing"
	"testing/fstest"
	"time"

	"io/fs"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// denying is the usual world of permissions, with one permission denied to the
// user by a role made for it.
func denying(t testing.TB, permission string, clock func() time.Time) *authztest.World {
	files := fstest.MapFS{}
	for _, f := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		b, err := fs.ReadFile(policy.Files(), f)
		require.NoError(t, err)
		if f == "roles.csv" {
			b = append(b, "\np, role:denied, "+permission+"\n"...)
		}
		files[f] = &fstest.MapFile{Data: b}
	}
	audit := authz.NewMemory(0)
	var seed []authz.Authorization
	for _, x := range []struct {
		who, role, on string
		effect        authz.Effect
	}{
		{"service:sync-worker", "role:sync-worker", "tenants/acme", authz.Allow},
		{"user:idp/ana", "role:user", "tenants/acme/users/ana", authz.Allow},
		{"user:idp/ana", "role:crm-user", "tenants/acme/crm", authz.Allow},
		{"user:idp/ana", "role:denied", "tenants", authz.Deny},
	} {
		seed = append(seed, authz.Authorization{Principal: authztest.Principal(t, x.who), Role: authztest.Role(t, x.role), Resource: authztest.Resource(t, x.on), Effect: x.effect})
	}
	a, err := authz.New(t.Context(), files, &authz.Options{Audit: audit, Seed: seed, Clock: clock})
	require.NoError(t, err)
	return &authztest.World{Authorizer: a, Audit: audit}
}
