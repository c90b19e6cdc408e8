package dav_test

import (
	"crypto/x509"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const user, password = "ana", "correct horse battery staple"

// connect opens a mailbox through real authorizer and safe.
func connect(t testing.TB, url string, roots *x509.CertPool, opts map[string]string) *connectors.Conn {
	t.Helper()
	c, err := try(t, url, roots, opts)
	require.NoError(t, err)
	return c
}

func try(t testing.TB, url string, roots *x509.CertPool, opts map[string]string) (*connectors.Conn, error) {
	t.Helper()
	ctx := t.Context()
	ana, err := authz.User("https://id.example", user)
	require.NoError(t, err)
	az := authztest.New(t,
		"allow "+ana.String()+" role:user tenants/acme/users/ana",
		"allow service:connections role:connection tenants/acme",
		"allow service:admin role:tenant-admin tenants/acme")
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, safe.Close()) })
	plugin, err := dav.Plugin()
	require.NoError(t, err)
	hub, err := connectors.NewHub(az.Authorizer, safe, plugin)
	require.NoError(t, err)
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme/users/ana"), "mailbox")
	require.NoError(t, err)
	g, err := az.Authorize(ctx, authz.Request{Principal: authztest.Principal(t, "service:admin"),
		Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(t, err)
	require.NoError(t, safe.Put(ctx, g, ref, []byte(password), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}}))
	return hub.Open(ctx, ana, connectors.Endpoint{Plugin: dav.Name, URL: url, Secret: ref, Roots: roots,
		Resource: authztest.Resource(t, "tenants/acme/users/ana/mailbox"), Options: opts})
}

// mailbox starts a server and connects to it.
func mailbox(t testing.TB) (*davtest.Server, *connectors.Conn) {
	t.Helper()
	s, err := davtest.New(&davtest.Options{Users: map[string]string{user: password, "bo": "x"}})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(s.Close)
	return s, connect(t, s.URL(), s.Roots(), options())
}

func options() map[string]string {
	return map[string]string{dav.OptContacts: davtest.Path(user, davtest.Contacts), dav.OptCalendar: davtest.Path(user, davtest.Calendar)}
}
