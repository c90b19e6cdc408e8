package c4c_test

import (
	"crypto/x509"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user     = "eva"
	password = "correct horse battery staple"
)

// world is a tenant of ours with real authorizer and safe.
type world struct {
	t    testing.TB
	az   *authztest.World
	safe *secrets.Safe
	hub  *connectors.Hub
}

func newWorld(t testing.TB, more ...string) *world {
	t.Helper()
	w := &world{t: t, az: authztest.New(t, append([]string{
		"allow " + ana(t).String() + " role:crm-user tenants/acme/crm",
		"allow service:connections role:connection tenants/acme",
		"allow service:admin role:tenant-admin tenants/acme",
	}, more...)...)}
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	w.safe, err = secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.safe.Close()) })
	w.hub, err = connectors.NewHub(w.az.Authorizer, w.safe, c4c.Plugin())
	require.NoError(t, err)
	return w
}

func ana(t testing.TB) authz.Principal {
	p, err := authz.User("https://id.example", "ana")
	require.NoError(t, err)
	return p
}

// open puts a credential into the safe and connects with it.
func (w *world) open(url string, roots *x509.CertPool, scheme secrets.Scheme, value string, opts map[string]string) *connectors.Conn {
	w.t.Helper()
	ctx := w.t.Context()
	ref, err := secrets.NewRef(authztest.Resource(w.t, "tenants/acme"), "c4c")
	require.NoError(w.t, err)
	g, err := w.az.Authorize(ctx, authz.Request{Principal: authztest.Principal(w.t, "service:admin"),
		Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(w.t, err)
	require.NoError(w.t, w.safe.Put(ctx, g, ref, []byte(value), secrets.PutOptions{Scheme: scheme}))
	c, err := w.hub.Open(ctx, ana(w.t), connectors.Endpoint{Plugin: c4c.Name, URL: url, Secret: ref, Roots: roots,
		Resource: authztest.Resource(w.t, "tenants/acme/crm"), Options: opts})
	require.NoError(w.t, err)
	return c
}

// emulator starts a server and connects to it with user and password.
func emulator(t testing.TB, o c4ctest.Options, opts map[string]string) (*c4ctest.Server, *connectors.Conn) {
	t.Helper()
	w := newWorld(t)
	o.Users = map[string]c4ctest.User{user: {Password: password}}
	s := c4ctest.New(&o)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, w.open(s.URL(), s.Roots(), secrets.Scheme{Kind: secrets.Basic, Username: user}, password, opts)
}

// seconds is a clock that moves on by a second whenever somebody looks.
func seconds() func() time.Time {
	var n atomic.Int64
	return func() time.Time {
		return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n.Add(1)) * time.Second)
	}
}

func contact(given, family string) *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.GivenName, r.Contact.FamilyName = given, family
	return r
}

func richContact() *connectors.Record {
	r := contact("Žofie", "O'Brien-Šťastná")
	c := r.Contact
	c.MiddleName, c.Nickname, c.JobTitle, c.Department = "Marie", "Žo", "Head of \"R&D\"", "F&E; 研究"
	c.Company, c.Email, c.Phone, c.Mobile, c.Fax = "Bäckerei 'Süß' & Söhne", "zofie@example.com", "+49 6221 123-4", "+49 170 1234567", "+49 6221 123-5"
	c.Street, c.City, c.Region, c.PostalCode, c.Country = "Hauptstraße 5", "Walldorf", "Baden-Württemberg", "69190", "DE"
	c.Birthday, c.Note = "1969-07-20", "Likes tea.\n\nשלום עולם 👩‍🚀"
	return r
}
