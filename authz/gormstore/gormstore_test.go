package gormstore_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/gormstore"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is an encrypted database on disk, opened as often as wanted.
type file struct {
	path string
	key  []byte
}

func newFile(t testing.TB) file {
	return file{filepath.Join(t.TempDir(), "house.db"), bytes.Repeat([]byte{9}, sqlite.KeySize)}
}

func (f file) open(t testing.TB) (g *gorm.DB, closeIt func()) {
	t.Helper()
	db, err := sqlite.Open(context.Background(), f.path, f.key)
	require.NoError(t, err)
	g, err = sqlite.Gorm(db)
	require.NoError(t, err)
	return g, func() { require.NoError(t, db.Close()) }
}

func house(t testing.TB, g *gorm.DB, seed ...authz.Authorization) (*authz.Authorizer, *gormstore.Audit, *gormstore.Store) {
	t.Helper()
	st, err := gormstore.NewStore(t.Context(), g)
	require.NoError(t, err)
	audit, err := gormstore.NewAudit(t.Context(), g)
	require.NoError(t, err)
	a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Store: st, Audit: audit, AuditTimeout: time.Minute, Seed: seed})
	require.NoError(t, err)
	return a, audit, st
}

func ask(t testing.TB, who, permission, on string) authz.Request {
	return authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(permission), Resource: authztest.Resource(t, on)}
}

const admin = "user:idp/admin"

func administrator(t testing.TB) authz.Authorization {
	return authz.Authorization{Principal: authztest.Principal(t, admin), Role: authz.MustRole("role:tenant-admin"), Resource: authztest.Resource(t, "tenants"), Effect: authz.Allow}
}

func edit(t testing.TB, a *authz.Authorizer) authz.Editor {
	t.Helper()
	g, err := a.Authorize(t.Context(), ask(t, admin, "authz.authorizations.write", "tenants"))
	require.NoError(t, err)
	return a.Edit(g)
}

// evidence: P28
func TestAssignmentsAndAuditSurviveReopening(t *testing.T) {
	f := newFile(t)
	g, closeIt := f.open(t)
	a, audit, _ := house(t, g, administrator(t))
	e := edit(t, a)
	give := authz.Authorization{Principal: authztest.Principal(t, "team:canary-team"), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/canary-tenant"), Effect: authz.Allow, Reason: "canary-reason"}
	kept, err := e.Assign(t.Context(), give)
	require.NoError(t, err)
	give.Principal = authztest.Principal(t, "user:idp/gone")
	gone, err := e.Assign(t.Context(), give)
	require.NoError(t, err)
	require.NoError(t, e.Revoke(t.Context(), gone, "over"))
	ana := authz.Membership{Member: authztest.Principal(t, "user:idp/ana"), Team: authztest.Principal(t, "team:canary-team")}
	require.NoError(t, e.Join(t.Context(), ana, ""))
	require.NoError(t, e.Join(t.Context(), ana, "twice is once"))
	ben := authz.Membership{Member: authztest.Principal(t, "user:idp/ben"), Team: ana.Team}
	require.NoError(t, e.Join(t.Context(), ben, ""))
	require.NoError(t, e.Leave(t.Context(), ben, ""))
	_, err = a.Authorize(t.Context(), authz.Request{}) // recorded too, with nothing in it
	require.ErrorIs(t, err, authz.ErrDenied)
	seq, head, err := authz.Verify(audit.Records(t.Context(), 0, false))
	require.NoError(t, err)
	require.Equal(t, uint64(9), seq)
	closeIt()

	for _, p := range []string{f.path, f.path + "-wal"} {
		if b, err := os.ReadFile(p); err == nil {
			require.NotContains(t, string(b), "canary", "readable in %s", filepath.Base(p))
		}
	}

	g, closeIt = f.open(t)
	defer closeIt()
	a, audit, st := house(t, g, administrator(t)) // the seed is for an empty store only
	for who, want := range map[string]bool{"user:idp/ana": true, "user:idp/ben": false, "user:idp/gone": false} {
		d, err := a.Check(t.Context(), ask(t, who, "mailbox.items.read", "tenants/canary-tenant/users/x"))
		require.NoError(t, err)
		require.Equal(t, want, d.Allowed, who)
		require.Equal(t, uint64(8), d.Revision, "one for the seed and each change")
		if want {
			require.Equal(t, kept, d.Authorization)
		}
	}
	s, held := load(t, st)
	require.Len(t, held, 2)
	require.Equal(t, []authz.Membership{ana}, s.Memberships)
	again, h, err := authz.Verify(audit.Records(t.Context(), 0, false))
	require.NoError(t, err)
	require.True(t, again == seq && h == head)

	// The chain goes on where it ended.
	_, err = a.Authorize(t.Context(), ask(t, admin, "audit.read", "tenants"))
	require.NoError(t, err)
	again, _, err = authz.Verify(audit.Records(t.Context(), 0, false))
	require.NoError(t, err)
	require.Equal(t, seq+1, again)
}

func TestConcurrentDecisionsAreOneChain(t *testing.T) {
	g, closeIt := newFile(t).open(t)
	defer closeIt()
	a, audit, _ := house(t, g, administrator(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if _, err := a.Authorize(t.Context(), ask(t, admin, "audit.read", "tenants")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	e := edit(t, a)
	for range 5 {
		id, err := e.Assign(t.Context(), administrator(t))
		require.NoError(t, err)
		require.NoError(t, e.Revoke(t.Context(), id, ""))
	}
	wg.Wait()
	seq, _, err := authz.Verify(audit.Records(t.Context(), 0, false))
	require.NoError(t, err)
	require.Equal(t, uint64(8*25+1+10), seq)
}

// Two processes write one trail: a chain has one end, so that one of them is
// refused now and then, but never a second chain begins.
func TestTwoProcessesKeepOneChain(t *testing.T) {
	f := newFile(t)
	g1, close1 := f.open(t)
	defer close1()
	g2, close2 := f.open(t)
	defer close2()
	a, audit, _ := house(t, g1, administrator(t))
	b, _, _ := house(t, g2)
	granted := 0
	for i := range 20 {
		for _, p := range []*authz.Authorizer{a, b} {
			if i%3 == 0 && p == a {
				continue
			}
			_, err := p.Authorize(t.Context(), ask(t, admin, "audit.read", "tenants"))
			require.NoError(t, err, "the other wrote meanwhile, which is no reason to refuse")
			granted++
		}
	}
	seq, _, err := authz.Verify(audit.Records(t.Context(), 0, false))
	require.NoError(t, err)
	require.Equal(t, uint64(granted), seq)
}

func TestRecordsPageByPage(t *testing.T) {
	g, closeIt := newFile(t).open(t)
	defer closeIt()
	audit, err := gormstore.NewAudit(t.Context(), g)
	require.NoError(t, err)
	seq, head, err := audit.Head(t.Context())
	require.NoError(t, err)
	require.True(t, seq == 0 && head == authz.Hash{})
	const n = 1203 // pages of 500, and batches of 200
	rs := make([]authz.AuditRecord, n)
	for i := range rs {
		rs[i] = authz.AuditRecord{Sequence: uint64(i + 1), Time: time.Unix(int64(i), 0).UTC(), Hash: authz.Hash{byte(i), byte(i >> 8)}, Reason: "r"}
	}
	require.NoError(t, audit.Append(t.Context(), rs))
	seq, head, err = audit.Head(t.Context())
	require.NoError(t, err)
	require.True(t, seq == n && head == rs[n-1].Hash)
	for _, after := range []uint64{0, 1, 499, 500, 501, 1000, 1202, 1203, 2000} {
		want := after
		for r, err := range audit.Records(t.Context(), after, false) {
			require.NoError(t, err)
			want++
			require.Equal(t, rs[want-1], r)
		}
		require.Equal(t, max(after, n), want)
	}
	want := n
	for r, err := range audit.Records(t.Context(), 0, true) {
		require.NoError(t, err)
		require.Equal(t, uint64(want), r.Sequence)
		want--
	}
	require.Zero(t, want)
	for range audit.Records(t.Context(), 0, true) {
		break
	}

	// All or none, over the border of a batch.
	more := make([]authz.AuditRecord, 300)
	for i := range more {
		more[i].Sequence = uint64(n + 1 + i)
	}
	more[299].Sequence = 5 // there already
	require.Error(t, audit.Append(t.Context(), more))
	seq, _, err = audit.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(n), seq)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = audit.Head(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// The database's own tools leave traces.
func TestVerifyOverTheStoredChain(t *testing.T) {
	for what, sql := range map[string]string{
		"altered: reason":      "UPDATE authz_audit SET reason = 'x' WHERE sequence = 3",
		"altered: allowed":     "UPDATE authz_audit SET allowed = NOT allowed WHERE sequence = 3",
		"altered: time":        "UPDATE authz_audit SET time = time + 1 WHERE sequence = 3",
		"altered: principal":   "UPDATE authz_audit SET principal = 'user:idp/ana' WHERE sequence = 3",
		"altered: behalf":      "UPDATE authz_audit SET on_behalf_of = 'user:idp/ana' WHERE sequence = 3",
		"altered: permission":  "UPDATE authz_audit SET permission = 'audit.write' WHERE sequence = 3",
		"altered: nonsense":    "UPDATE authz_audit SET permission = 'x' WHERE sequence = 3",
		"altered: resource":    "UPDATE authz_audit SET resource = 'a//b' WHERE sequence = 3",
		"altered: decision":    "UPDATE authz_audit SET decision = 'x' WHERE sequence = 3",
		"altered: cause":       "UPDATE authz_audit SET cause = 'x' WHERE sequence = 3",
		"altered: revision":    "UPDATE authz_audit SET revision = 7 WHERE sequence = 3",
		"altered: hash":        "UPDATE authz_audit SET hash = x'00' WHERE sequence = 3",
		"altered: previous":    "UPDATE authz_audit SET previous = hash WHERE sequence = 3",
		"removed":              "DELETE FROM authz_audit WHERE sequence = 3",
		"removed at the start": "DELETE FROM authz_audit WHERE sequence = 1",
		"removed and closed":   "DELETE FROM authz_audit WHERE sequence = 3; UPDATE authz_audit SET sequence = sequence - 1 WHERE sequence > 3",
		"swapped":              "UPDATE authz_audit SET sequence = 99 WHERE sequence = 3; UPDATE authz_audit SET sequence = 3 WHERE sequence = 4; UPDATE authz_audit SET sequence = 4 WHERE sequence = 99",
	} {
		t.Run(what, func(t *testing.T) {
			g, closeIt := newFile(t).open(t)
			defer closeIt()
			a, audit, _ := house(t, g, administrator(t))
			for range 5 {
				_, err := a.Authorize(t.Context(), ask(t, admin, "audit.read", "tenants"))
				require.NoError(t, err)
			}
			_, _, err := authz.Verify(audit.Records(t.Context(), 0, false))
			require.NoError(t, err)
			for _, s := range strings.Split(sql, ";") {
				require.NoError(t, g.Exec(s).Error)
			}
			_, _, err = authz.Verify(audit.Records(t.Context(), 0, false))
			require.Error(t, err)
		})
	}
}
