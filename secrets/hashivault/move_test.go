package hashivault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// site is what a small installation has: a database, and a keyring beside it.
type site struct {
	*authztest.World
	store *gormstore.Store
	keys  *local.Keyring
}

func openSite(t testing.TB, dir string) *site {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "a.db"), bytes.Repeat([]byte{3}, sqlite.KeySize))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	s := &site{World: authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants")}
	s.store, err = gormstore.New(t.Context(), g)
	require.NoError(t, err)
	s.keys, _, err = local.OpenOrCreate(filepath.Join(dir, "keyring"), nil)
	require.NoError(t, err)
	return s
}

func (s *site) safe(t testing.TB, k secrets.Keeper, ks secrets.KeyStore) *secrets.Safe {
	t.Helper()
	safe, err := secrets.New(k, ks, s.store, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, safe.Close()) })
	return safe
}

func (s *site) grant(t testing.TB, who, perm, on string) authz.Grant {
	t.Helper()
	g, err := s.Authorize(context.Background(), authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(perm), Resource: authztest.Resource(t, on)})
	require.NoError(t, err)
	return g
}

func refOf(t testing.TB, i int) secrets.Ref {
	t.Helper()
	ref, err := secrets.NewRef(authztest.Resource(t, fmt.Sprintf("tenants/t%d", i)), "mark")
	require.NoError(t, err)
	return ref
}

// marks uses the secret of each tenant and returns what it makes of a message.
func (s *site) marks(t testing.TB, safe *secrets.Safe, n int) (out []string) {
	t.Helper()
	g := s.grant(t, "service:conn", "secrets.use", "tenants")
	for i := range n {
		h, err := safe.Handle(g, refOf(t, i))
		require.NoError(t, err)
		b, err := h.HMAC(t.Context(), []byte("message"))
		require.NoError(t, err, "%d", i)
		out = append(out, string(b))
	}
	return out
}

const moved = 120 // tenants

// Tenants' keys move from a keyring to Vault, with a kill -9 in the middle:
// nothing is lost, the keyring is of use to the end, and Vault is after it.
//
// evidence: P29
func TestMoveFromKeyring(t *testing.T) {
	if dir := os.Getenv("LOCKKEEPER_MOVE_CHILD"); dir != "" {
		moveUntilKilled(t, dir)
		return
	}
	r := newRig(t, server(t), nil)
	dir := t.TempDir()
	s := openSite(t, dir)
	old := s.safe(t, s.keys, s.keys)
	g := s.grant(t, "user:idp/admin", "secrets.write", "tenants")
	for i := range moved {
		require.NoError(t, old.Put(t.Context(), g, refOf(t, i), fmt.Appendf(nil, "the secret of tenant number %d, long enough", i), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}}))
	}
	first := authztest.Resource(t, "tenants/t0")
	cust := s.grant(t, "service:custodian", "secrets.rotate", "tenants")
	_, err := old.RotateTenant(t.Context(), cust, first)
	require.NoError(t, err)
	_, err = old.Rewrap(t.Context(), cust, first, nil)
	require.NoError(t, err)
	require.NoError(t, old.RetireTenantKeys(t.Context(), cust, first), "so that one begins with version 2")
	want := s.marks(t, old, moved)

	b, err := json.Marshal(child{r.cfg.Address, string(r.cfg.CA), r.cfg.Transit, r.cfg.KV})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vault.json"), b, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(r.Token(t, r.policy, nil)), 0o600))
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestMoveFromKeyring$", "-test.v")
	cmd.Env = append(os.Environ(), "LOCKKEEPER_MOVE_CHILD="+dir)
	out := &lines{want: "DONE SOME", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-out.seen:
		require.NoError(t, cmd.Process.Kill())
		<-ended
	case err := <-ended:
		t.Fatalf("the child ended: %v: %s", err, out)
	}

	again := s.safe(t, s.keys, s.keys)
	require.Equal(t, want, s.marks(t, again, moved), "the keyring is of use in the middle")
	c := r.open(t)
	var told []secrets.Progress
	p, err := again.MoveKeys(t.Context(), cust, c.Transit(), c.KV(), &secrets.JobOptions{Batch: 20, Progress: func(p secrets.Progress) { told = append(told, p) }})
	require.NoError(t, err)
	require.Equal(t, moved, p.Done)
	require.Equal(t, moved, p.Total)
	require.Zero(t, p.Failed)
	require.GreaterOrEqual(t, told[0].Done, moved/3, "it goes on where the other one was killed")
	require.Less(t, told[0].Done, moved)
	t.Logf("killed with %d of %d done; then: %v", told[0].Done, moved, p)
	require.Equal(t, want, s.marks(t, s.safe(t, s.keys, s.keys), moved), "and at the end")

	require.NoError(t, os.Remove(filepath.Join(dir, "keyring")))
	require.Equal(t, want, s.marks(t, s.safe(t, c.Transit(), c.KV()), moved), "without the keyring")
}

// Keys go to Vault in bulk, and come from there: the calls are by the hundred of
// tenants, a cold start's too.
func TestManyTenantsInFewCalls(t *testing.T) {
	r := newRig(t, server(t), nil)
	s := openSite(t, t.TempDir())
	rows := &secrets.Memory{}
	old, err := secrets.New(s.keys, s.keys, rows, nil)
	require.NoError(t, err)
	defer old.Close()
	const n = 1000
	g := s.grant(t, "user:idp/admin", "secrets.write", "tenants")
	for i := range n {
		require.NoError(t, old.Put(t.Context(), g, refOf(t, i), []byte("value"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}))
	}
	p := r.through(t)
	c := r.open(t)
	got, err := old.MoveKeys(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants"), c.Transit(), c.KV(), nil)
	require.NoError(t, err)
	require.Equal(t, n, got.Done)
	moving := p.Calls()
	require.Less(t, moving, n/10)

	c = r.open(t) // as another process
	safe, err := secrets.New(c.Transit(), c.KV(), rows, nil)
	require.NoError(t, err)
	defer safe.Close()
	before := p.Calls()
	loaded, err := safe.Warm(t.Context())
	require.NoError(t, err)
	require.Equal(t, n, loaded)
	warming := p.Calls() - before
	require.LessOrEqual(t, warming, n/100+5, "and a few to sign in and find the documents")
	before = p.Calls()
	h, err := safe.Handle(s.grant(t, "service:conn", "secrets.use", "tenants"), refOf(t, n-1))
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
	require.NoError(t, err)
	require.Equal(t, before, p.Calls(), "nor is Vault asked by a use")
	t.Logf("%d calls to move the keys of %d tenants, %d to start with them", moving, n, warming)
}

// child is what the other process is told.
type child struct{ Address, CA, Transit, KV string }

// moveUntilKilled is the other process.
func moveUntilKilled(t *testing.T, dir string) {
	var to child
	b, err := os.ReadFile(filepath.Join(dir, "vault.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &to))
	c, err := hashivault.New(hashivault.Config{Address: to.Address, CA: []byte(to.CA), Transit: to.Transit, KV: to.KV, Auth: hashivault.Token(hashivault.File(filepath.Join(dir, "token")))})
	require.NoError(t, err)
	s := openSite(t, dir)
	_, err = s.safe(t, s.keys, s.keys).MoveKeys(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants"), c.Transit(), c.KV(), &secrets.JobOptions{Batch: 10, Progress: func(p secrets.Progress) {
		if p.Done >= p.Total/3 {
			fmt.Println("DONE SOME")
			select {} // until the kill: whatever is under way now was not told
		}
	}})
	t.Fatalf("it was not killed: %v", err)
}

// lines is output in which something is awaited.
type lines struct {
	mu   sync.Mutex
	b    strings.Builder
	want string
	seen chan struct{}
	once sync.Once
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	if strings.Contains(l.b.String(), l.want) {
		l.once.Do(func() { close(l.seen) })
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
