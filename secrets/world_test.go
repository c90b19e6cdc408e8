package secrets_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a Safe with someone who fills it and a service that uses it.
type world struct {
	*authztest.World
	clock *clock
	safe  *secrets.Safe
	store *secrets.Memory
	keys  *local.Keyring
	path  string // of the keyring
}

func newWorld(t testing.TB, lines ...string) *world {
	t.Helper()
	if lines == nil {
		lines = []string{"allow user:idp/admin role:tenant-admin tenants/acme", "allow service:conn role:connection tenants/acme",
			"allow user:idp/admin role:tenant-admin tenants/beta", "allow service:conn role:connection tenants/beta",
			"allow service:custodian role:custodian tenants", "allow service:second role:custodian tenants"}
	}
	w := &world{clock: newClock(), store: &secrets.Memory{}, path: filepath.Join(t.TempDir(), "keyring")}
	w.World = authztest.NewAt(t, w.clock.now, lines...)
	var err error
	w.keys, err = local.Create(w.path, nil)
	require.NoError(t, err)
	w.safe = w.open(t, w.keys, w.keys, w.store)
	return w
}

// open makes another Safe in the same world.
func (w *world) open(t testing.TB, k secrets.Keeper, ks secrets.KeyStore, s secrets.Store) *secrets.Safe {
	t.Helper()
	safe, err := secrets.New(k, ks, s, &secrets.Options{Clock: w.clock.now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, safe.Close()) })
	return safe
}

// record is what the store has of a secret.
func (w *world) record(t testing.TB, ref secrets.Ref) secrets.Record {
	t.Helper()
	r, err := w.store.Load(context.Background(), ref.Resource().Segments()[1], ref.String(), 0)
	require.NoError(t, err)
	return r
}

func (w *world) grant(t testing.TB, who, perm string, on authz.Resource) authz.Grant {
	t.Helper()
	g, err := w.Authorize(context.Background(), request(t, who, perm, on))
	require.NoError(t, err)
	return g
}

func request(t testing.TB, who, perm string, on authz.Resource) authz.Request {
	return authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(perm), Resource: on}
}

func newRef(t testing.TB, owner, name string) secrets.Ref {
	t.Helper()
	r, err := secrets.NewRef(authztest.Resource(t, owner), name)
	require.NoError(t, err)
	return r
}

func basic(user string) secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}}
}

func bearer() secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}
}

func (w *world) put(t testing.TB, ref secrets.Ref, value string, o secrets.PutOptions) {
	t.Helper()
	require.NoError(t, w.safe.Put(context.Background(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, []byte(value), o))
}

func (w *world) revoke(t testing.TB, ref secrets.Ref) {
	t.Helper()
	require.NoError(t, w.safe.Revoke(context.Background(), w.grant(t, "user:idp/admin", "secrets.revoke", ref.Resource()), ref))
}

func (w *world) handle(t testing.TB, ref secrets.Ref) secrets.Handle {
	t.Helper()
	h, err := w.safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	return h
}

func (w *world) client(t testing.TB, ref secrets.Ref, p secrets.ClientPolicy) *http.Client {
	t.Helper()
	c, err := w.handle(t, ref).HTTPClient(context.Background(), p)
	require.NoError(t, err)
	return c
}

// server is a TLS server that keeps the Authorization of every request.
type server struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newServer(t testing.TB, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.got = append(s.got, r.Header.Get("Authorization"))
		s.mu.Unlock()
		if h != nil {
			h(w, r)
		}
	}))
	s.Config.ErrorLog = quiet()
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.got...)
}

func (s *server) policy() secrets.ClientPolicy {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return secrets.ClientPolicy{Origin: s.URL, Roots: roots}
}

// do sends a request and returns the status; the body is read to its end.
func get(t testing.TB, c *http.Client, url string) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return send(c, r)
}
