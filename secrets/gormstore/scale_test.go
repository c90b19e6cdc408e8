package gormstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// site is a Safe over files, as a process has it.
type site struct {
	*authztest.World
	dir   string
	safe  *secrets.Safe
	store *gormstore.Store
	keys  *local.Keyring
	db    *sql.DB
	close func()
}

func openSite(t *testing.T, dir string) *site {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "a.db"), bytes.Repeat([]byte{3}, sqlite.KeySize))
	require.NoError(t, err)
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	s := &site{dir: dir, db: db, World: authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants")}
	s.store, err = gormstore.New(t.Context(), g)
	require.NoError(t, err)
	s.keys, _, err = local.OpenOrCreate(filepath.Join(dir, "keyring"), nil)
	require.NoError(t, err)
	s.safe, err = secrets.New(s.keys, s.keys, s.store, nil)
	require.NoError(t, err)
	s.close = func() { require.NoError(t, s.safe.Close()); require.NoError(t, db.Close()) }
	return s
}

func (s *site) grant(t *testing.T, who, perm, on string) authz.Grant {
	t.Helper()
	g, err := s.Authorize(context.Background(), authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(perm), Resource: authztest.Resource(t, on)})
	require.NoError(t, err)
	return g
}

// fill puts n secrets: in memory, and then all rows at once, since a transaction
// for each of so many is another test.
func (s *site) fill(t *testing.T, n int) []secrets.Ref {
	t.Helper()
	memory := &secrets.Memory{}
	safe, err := secrets.New(s.keys, s.keys, memory, nil)
	require.NoError(t, err)
	defer safe.Close()
	refs := make([]secrets.Ref, n)
	var g authz.Grant
	for i := range refs {
		refs[i], err = secrets.NewRef(authztest.Resource(t, "tenants/acme"), fmt.Sprintf("s%06d", i))
		require.NoError(t, err)
		if i%10_000 == 0 { // a Grant lasts ten minutes
			g = s.grant(t, "user:idp/admin", "secrets.write", "tenants/acme")
		}
		require.NoError(t, safe.Put(t.Context(), g, refs[i], []byte("value"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}))
	}
	tenant, err := memory.Load(t.Context(), "acme", "", 0)
	require.NoError(t, err)
	require.NoError(t, s.store.SaveTenant(t.Context(), tenant.Tenant, 0))
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, ref := range refs {
		r, err := memory.Load(t.Context(), "acme", ref.String(), 0)
		require.NoError(t, err)
		h, v := r.Head, r.Version
		_, err = tx.ExecContext(t.Context(), "INSERT INTO secret_heads VALUES (?, ?, 1, 1, 1, 0, ?, '', ?, ?, 0, 0, 0, ?)", h.Name, h.Tenant, string(h.Kind), h.Created.Unix(), h.Changed.Unix(), h.MAC)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO secret_versions VALUES (?, 1, ?, ?, ?, 0, 1, ?, ?)", v.Name, v.Tenant, string(v.Kind), v.Created.Unix(), v.Wrap, v.Body)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	return refs
}

// use opens secrets until told to stop, and counts.
func (s *site) use(t *testing.T, refs []secrets.Ref, stop <-chan struct{}, used *atomic.Int64) error {
	for i := 0; ; i += 7919 {
		select {
		case <-stop:
			return nil
		default:
		}
		ref := refs[i%len(refs)]
		g, err := s.Authorize(context.Background(), authz.Request{Principal: authztest.Principal(t, "service:conn"), Permission: authz.MustPermission("secrets.use"), Resource: ref.Resource()})
		if err != nil {
			return err
		}
		h, err := s.safe.Handle(g, ref)
		if err != nil {
			return err
		}
		if _, err := h.HTTPClient(context.Background(), secrets.ClientPolicy{Origin: "https://crm.example"}); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		used.Add(1)
	}
}

// howMany secrets a rotation is tested with.
func howMany(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("LOCKKEEPER_ROTATE")); err == nil {
		return n
	}
	if testing.Short() || raceEnabled {
		return 3_000
	}
	return otherwise
}

// A tenant's key is made new and all its secrets are brought under it while
// others use them, with a kill in the middle.
//
// evidence: P29
func TestRotationUnderUse(t *testing.T) {
	owner := authztest.Resource(t, "tenants/acme")
	rewrap := func(s *site, o *secrets.JobOptions) (secrets.Progress, error) {
		return s.safe.Rewrap(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants/acme"), owner, o)
	}
	if dir := os.Getenv("LOCKKEEPER_ROTATE_CHILD"); dir != "" {
		untilKilled(t, openSite(t, dir), rewrap)
		return
	}
	n := howMany(100_000)
	s := openSite(t, t.TempDir())
	defer s.close()
	refs := s.fill(t, n)
	use := s.users(t, refs)
	generation, err := s.safe.RotateTenant(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants/acme"), owner)
	require.NoError(t, err)
	require.EqualValues(t, 2, generation)
	killedChild(t, s.dir)
	left, err := s.store.Count(t.Context(), "acme", generation)
	require.NoError(t, err)
	require.Positive(t, left)
	require.Less(t, left, n)
	t.Logf("killed with %d of %d left", left, n)
	resumed(t, s, n, rewrap)
	require.NoError(t, s.safe.RetireTenantKeys(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants/acme"), owner))
	use.end(t)
	left, err = s.store.Count(t.Context(), "acme", generation)
	require.NoError(t, err)
	require.Zero(t, left, "rows under the old key")
	ks, err := s.keys.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, ks, 1)
}

// The key of the heads is made new, the same way.
//
// evidence: P29
func TestRotationOfTheHeadsKeyUnderUse(t *testing.T) {
	owner := authztest.Resource(t, "tenants/acme")
	rotate := func(s *site, o *secrets.JobOptions) (secrets.Progress, error) {
		return s.safe.RotateHeads(t.Context(), s.grant(t, "service:custodian", "secrets.rotate", "tenants/acme"), owner, o)
	}
	if dir := os.Getenv("LOCKKEEPER_ROTATE_CHILD"); dir != "" {
		untilKilled(t, openSite(t, dir), rotate)
		return
	}
	n := howMany(10_000)
	s := openSite(t, t.TempDir())
	defer s.close()
	refs := s.fill(t, n)
	was, err := s.store.Load(t.Context(), "acme", refs[0].String(), 0)
	require.NoError(t, err)
	use := s.users(t, refs)
	killedChild(t, s.dir)
	between, err := s.store.Load(t.Context(), "acme", refs[0].String(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 2, between.Tenant.Generation, "it has begun, and not ended")
	done := resumed(t, s, n, rotate)
	require.Positive(t, done, "what the one that was killed did counts")
	require.Less(t, done, n)
	use.end(t)
	is, err := s.store.Load(t.Context(), "acme", refs[0].String(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 3, is.Tenant.Generation)
	require.Equal(t, between.Head, is.Head, "a head that was done is not done again")
	errs, err := s.store.ReplaceMACs(t.Context(), "acme", []secrets.HeadMAC{{Name: refs[0].String(), Old: is.Head.MAC, MAC: was.Head.MAC}})
	require.NoError(t, errors.Join(err, errs[0]))
	h, err := s.safe.Handle(s.grant(t, "service:conn", "secrets.use", refs[0].String()), refs[0])
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
	require.ErrorIs(t, err, secrets.ErrTampered, "the old key is over")
}

// users are four who use secrets until the end.
type users struct {
	stop chan struct{}
	wg   sync.WaitGroup
	used atomic.Int64
	errs [4]error
}

func (s *site) users(t *testing.T, refs []secrets.Ref) *users {
	u := &users{stop: make(chan struct{})}
	for i := range u.errs {
		u.wg.Go(func() { u.errs[i] = s.use(t, refs, u.stop, &u.used) })
	}
	return u
}

// end lets them go on for a while, and requires that no use failed.
func (u *users) end(t *testing.T) {
	t.Helper()
	before := u.used.Load()
	require.Eventually(t, func() bool { return u.used.Load() > before+100 }, time.Minute, time.Millisecond)
	close(u.stop)
	u.wg.Wait()
	require.NoError(t, errors.Join(u.errs[:]...))
	t.Logf("%d uses meanwhile, none failed", u.used.Load())
}

// killedChild runs this test in another process, which does the job, and kills
// it when it has done a part.
func killedChild(t *testing.T, dir string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "LOCKKEEPER_ROTATE_CHILD="+dir)
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
}

// untilKilled is the other process.
func untilKilled(t *testing.T, s *site, job func(*site, *secrets.JobOptions) (secrets.Progress, error)) {
	_, err := job(s, &secrets.JobOptions{Batch: 200, Progress: func(p secrets.Progress) {
		if p.Done >= p.Total/3 {
			fmt.Println("DONE SOME")
			select {} // until the kill: whatever is under way now was not told
		}
	}})
	t.Fatalf("it was not killed: %v", err)
}

// resumed runs a job to its end, and returns how much was done before.
func resumed(t *testing.T, s *site, n int, job func(*site, *secrets.JobOptions) (secrets.Progress, error)) int {
	t.Helper()
	var told []secrets.Progress
	began := time.Now()
	p, err := job(s, &secrets.JobOptions{Progress: func(p secrets.Progress) {
		if told = append(told, p); len(told)%20 == 1 {
			t.Log(p)
		}
	}})
	require.NoError(t, err)
	require.Equal(t, n, p.Done)
	require.Equal(t, n, p.Total)
	require.Zero(t, p.Failed)
	require.Greater(t, len(told), 1)
	t.Logf("%v, in %v", p, time.Since(began).Round(time.Millisecond))
	return told[0].Done
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

// A database file from before an erasure, restored with the keyring from then:
// the tombstones of the trail are replayed before a Safe is opened.
//
// evidence: T10
func TestARestoredFileStaysErased(t *testing.T) {
	dir, backup := t.TempDir(), t.TempDir()
	s := openSite(t, dir)
	refs := s.fill(t, 3)
	s.close()
	for _, name := range []string{"a.db", "keyring"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(backup, name), b, 0o600))
	}
	use := func(s *site) error {
		h, err := s.safe.Handle(s.grant(t, "service:conn", "secrets.use", refs[0].String()), refs[0])
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
		return err
	}
	s = openSite(t, dir)
	require.NoError(t, use(s))
	c, err := s.safe.Erase(t.Context(), s.grant(t, "service:custodian", "secrets.erase", "tenants/acme"), authztest.Resource(t, "tenants/acme"))
	require.NoError(t, err)
	require.Equal(t, 3, c.Secrets)
	require.ErrorIs(t, use(s), secrets.ErrErased)
	trail := s.Audit.Records()
	s.close()
	restored := openSite(t, backup)
	defer restored.close()
	alive, err := secrets.Bury(t.Context(), restored.store, restored.keys, secrets.Tombstones(func(yield func(authz.AuditRecord, error) bool) {
		for _, r := range trail {
			if !yield(r, nil) {
				return
			}
		}
	}))
	require.NoError(t, err)
	require.Equal(t, 1, alive)
	require.ErrorIs(t, use(restored), secrets.ErrErased)
}
