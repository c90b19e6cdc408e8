package gormstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/gormstore"
	"github.com/lockkeeper/lockkeeper/authz/gormstore/pgtest"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/authz/storetest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// database is a new one, opened as often as wanted: each time as another
// process would.
type database func(t testing.TB) *gorm.DB

func onSQLite(t testing.TB) database {
	path := filepath.Join(t.TempDir(), "store.db")
	return func(t testing.TB) *gorm.DB {
		db, err := sqlite.Open(context.Background(), path, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		g, err := sqlite.Gorm(db)
		require.NoError(t, err)
		return g
	}
}

func onPostgres(s *pgtest.Server) func(t testing.TB) database {
	return func(t testing.TB) database {
		where := s.Database(t)
		return func(t testing.TB) *gorm.DB {
			g, err := gorm.Open(postgres.Open(where), &gorm.Config{Logger: logger.Discard, TranslateError: true})
			require.NoError(t, err)
			db, err := g.DB()
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return g
		}
	}
}

func newStore(t testing.TB, g *gorm.DB) *gormstore.Store {
	t.Helper()
	s, err := gormstore.NewStore(t.Context(), g)
	require.NoError(t, err)
	return s
}

// readable is the store and reads its trail too, for the suite.
type readable struct {
	*gormstore.Store
	*gormstore.Audit
}

func (r readable) Append(ctx context.Context, rs []authz.AuditRecord) error {
	return r.Store.Append(ctx, rs)
}
func (r readable) Head(ctx context.Context) (uint64, authz.Hash, error) { return r.Store.Head(ctx) }

func load(t testing.TB, s authz.Store) (authz.Assignments, []authz.Authorization) {
	t.Helper()
	var held []authz.Authorization
	rest, err := s.Load(t.Context(), func(x authz.Authorization) error { held = append(held, x); return nil })
	require.NoError(t, err)
	return rest, held
}

func TestSQLite(t *testing.T) { everything(t, onSQLite) }

func TestPostgreSQL(t *testing.T) { everything(t, onPostgres(pgtest.Start(t))) }

// everything is what holds for each kind of database.
func everything(t *testing.T, make func(testing.TB) database) {
	t.Run("contract", func(t *testing.T) {
		storetest.RunCommitter(t, func(t *testing.T) authz.Committer {
			g := make(t)(t)
			audit, err := gormstore.NewAudit(t.Context(), g)
			require.NoError(t, err)
			return readable{newStore(t, g), audit}
		})
	})
	t.Run("audit", func(t *testing.T) {
		storetest.RunSink(t, func(t *testing.T) authz.Sink {
			audit, err := gormstore.NewAudit(t.Context(), make(t)(t))
			require.NoError(t, err)
			return audit
		})
	})
	for name, f := range map[string]func(*testing.T, database){
		"writers":    concurrentWriters,
		"trails":     concurrentTrails,
		"failures":   failures,
		"texts":      texts,
		"within":     withinATransaction,
		"migration":  migration,
		"refusal":    migrationRefused,
		"newer":      newer,
		"apart":      assignmentsApart,
		"starts":     simultaneousStarts,
		"tampered":   tampered,
		"authorizer": authorizer,
	} {
		t.Run(name, func(t *testing.T) { f(t, make(t)) })
	}
}

// Several processes write: each change is made by exactly one, each other is
// told, and all is in the history.
func concurrentWriters(t *testing.T, open database) {
	st := newStore(t, open(t))
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for i := range writers {
		own := newStore(t, open(t))
		wg.Go(func() {
			for made := 0; made < each; {
				rest, err := own.Load(t.Context(), func(authz.Authorization) error { return nil })
				if err != nil {
					t.Error(err)
					return
				}
				x := administrator(t)
				x.ID, x.Reason = uuid.New(), fmt.Sprint(i)
				seq, _, err := own.Head(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				c := authz.Change{Revision: rest.Revision + 1, Add: []authz.Authorization{x}}
				// Every other writer writes the trail at the same time.
				if i%2 == 0 {
					err = own.Apply(t.Context(), c)
				} else {
					err = own.Commit(t.Context(), []authz.AuditRecord{{Sequence: seq + 1}, {Sequence: seq + 2}}, c)
				}
				switch {
				case err == nil:
					made++
				case !errors.Is(err, authz.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	rest, held := load(t, st)
	require.Equal(t, uint64(writers*each), rest.Revision)
	require.Len(t, held, writers*each)
	n := 0
	for c, err := range st.Changes(t.Context(), 0) {
		require.NoError(t, err)
		require.Len(t, c.Add, 1)
		n++
	}
	require.Equal(t, writers*each, n)
	seq, _, err := st.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(writers/2*each*2), seq)
}

// A trail has one end: what does not go on from it is a conflict.
func concurrentTrails(t *testing.T, open database) {
	a := newStore(t, open(t))
	b, err := gormstore.NewAudit(t.Context(), open(t))
	require.NoError(t, err)
	record := func(seq ...uint64) (rs []authz.AuditRecord) {
		for _, s := range seq {
			rs = append(rs, authz.AuditRecord{Sequence: s})
		}
		return rs
	}
	require.NoError(t, a.Append(t.Context(), record(1, 2)))
	require.NoError(t, b.Append(t.Context(), record(3)))
	require.ErrorIs(t, a.Append(t.Context(), record(3, 4)), authz.ErrConflict)
	require.ErrorIs(t, a.Append(t.Context(), record(5)), authz.ErrConflict, "a gap")
	require.ErrorIs(t, a.Append(t.Context(), record(0)), authz.ErrConflict)
	require.Error(t, a.Append(t.Context(), record(4, 6)), "a gap within")
	require.ErrorIs(t, a.Commit(t.Context(), record(3), authz.Change{Revision: 1}), authz.ErrConflict)
	require.ErrorIs(t, a.Commit(t.Context(), record(5), authz.Change{Revision: 1}), authz.ErrConflict)
	seq, _, err := b.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(3), seq)
	rest, _ := load(t, a)
	require.Zero(t, rest.Revision)
}

// Whatever statement of a change fails, nothing of it is kept.
func failures(t *testing.T, open database) {
	g := open(t)
	st := newStore(t, g)
	who := authztest.Principal(t, "team:a")
	x, y := administrator(t), administrator(t)
	x.ID, y.ID = uuid.New(), uuid.New()
	m, n := authz.Membership{Member: authztest.Principal(t, admin), Team: who}, authz.Membership{Member: authztest.Principal(t, "service:s"), Team: who}
	r, q := authz.RoleDefinition{Role: authz.MustRole("role:a")}, authz.RoleDefinition{Role: authz.MustRole("role:b")}
	require.NoError(t, st.Commit(t.Context(), []authz.AuditRecord{{Sequence: 1}}, authz.Change{Revision: 1, Add: []authz.Authorization{x}, Join: []authz.Membership{m}, Define: []authz.RoleDefinition{r}}))
	before, held := load(t, st)
	next := authz.Change{Revision: 2, Remove: []authz.Authorization{x}, Add: []authz.Authorization{y}, Leave: []authz.Membership{m}, Join: []authz.Membership{n}, Undefine: []authz.RoleDefinition{r}, Define: []authz.RoleDefinition{q}}
	same := func() {
		t.Helper()
		after, still := load(t, st)
		require.Equal(t, before, after)
		require.Equal(t, held, still)
		seq, _, err := st.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(1), seq)
		for c, err := range st.Changes(t.Context(), 0) {
			require.NoError(t, err)
			require.Equal(t, uint64(1), c.Revision)
		}
	}
	for _, at := range []string{"INSERT ON authz_history", "INSERT ON authz_audit", "DELETE ON authz_assignments", "INSERT ON authz_assignments", "DELETE ON authz_members", "INSERT ON authz_members", "DELETE ON authz_roles", "INSERT ON authz_roles"} {
		make, drop := "CREATE TRIGGER fail BEFORE "+at+" BEGIN SELECT RAISE(ABORT, 'disk on fire'); END", "DROP TRIGGER fail"
		if g.Name() == "postgres" {
			require.NoError(t, g.Exec("CREATE OR REPLACE FUNCTION burn() RETURNS trigger AS $$ BEGIN RAISE 'disk on fire'; END $$ LANGUAGE plpgsql").Error)
			make, drop = "CREATE TRIGGER fail BEFORE "+at+" FOR EACH ROW EXECUTE FUNCTION burn()", drop+" ON "+at[len("INSERT ON "):]
		}
		require.NoError(t, g.Exec(make).Error)
		require.ErrorContains(t, st.Commit(t.Context(), []authz.AuditRecord{{Sequence: 2}}, next), "disk on fire", at)
		same()
		require.NoError(t, g.Exec(drop).Error)
	}
	twice := next
	twice.Add = []authz.Authorization{y, y}
	require.Error(t, st.Apply(t.Context(), twice), "an id twice")
	same()
	over := authz.Change{Revision: 2, Add: []authz.Authorization{x}}
	require.Error(t, st.Apply(t.Context(), over), "an id that is held and not removed")
	same()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, st.Apply(ctx, next), context.Canceled)
	_, err := st.Load(ctx, func(authz.Authorization) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range st.Changes(ctx, 0) {
		require.ErrorIs(t, err, context.Canceled)
	}
	same()
	require.NoError(t, st.Commit(t.Context(), []authz.AuditRecord{{Sequence: 2}}, next))
}

// What JSON or one of the databases would alter is refused on both.
func texts(t *testing.T, open database) {
	st := newStore(t, open(t))
	x := administrator(t)
	x.ID = uuid.New()
	for _, bad := range []string{"\x00", "a\x00b", "\xff", "\xed\xa0\x80"} {
		reason, condition := x, x
		reason.Reason, condition.Condition = bad, bad
		for _, c := range []authz.Change{{Reason: bad}, {Add: []authz.Authorization{reason}}, {Add: []authz.Authorization{condition}}, {Remove: []authz.Authorization{reason}}} {
			c.Revision = 1
			require.ErrorContains(t, st.Apply(t.Context(), c), "UTF-8")
		}
	}
	rest, held := load(t, st)
	require.Zero(t, rest.Revision)
	require.Empty(t, held)
}

// A caller with a transaction of its own writes within it.
func withinATransaction(t *testing.T, open database) {
	g := open(t)
	st := newStore(t, g)
	back := errors.New("back")
	for _, want := range []error{back, nil} {
		require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
			inner, err := gormstore.NewStore(t.Context(), tx)
			require.NoError(t, err)
			x := administrator(t)
			x.ID = uuid.New()
			require.NoError(t, inner.Apply(t.Context(), authz.Change{Revision: 1, Add: []authz.Authorization{x}}))
			require.ErrorIs(t, inner.Apply(t.Context(), authz.Change{Revision: 1}), authz.ErrConflict)
			return want
		}), want)
		rest, held := load(t, st)
		require.Equal(t, want == nil, rest.Revision == 1)
		require.Equal(t, want == nil, len(held) == 1)
	}
}

// A row that somebody changed by hand into nonsense stops the start; it is not
// skipped, since it may be a deny.
func tampered(t *testing.T, open database) {
	g := open(t)
	st := newStore(t, g)
	x := administrator(t)
	x.ID, x.Reason = uuid.New(), "because"
	require.NoError(t, st.Apply(t.Context(), authz.Change{Revision: 1, Add: []authz.Authorization{x}, Define: []authz.RoleDefinition{{Role: authz.MustRole("role:a")}}}))
	require.NoError(t, st.Apply(t.Context(), authz.Change{Revision: 2}))
	back := errors.New("back")
	for _, sql := range []string{
		"UPDATE authz_assignments SET principal = 'ana'", "UPDATE authz_assignments SET principal = ''", "UPDATE authz_assignments SET role = 'user'", "UPDATE authz_assignments SET resource = 'a//b'",
		"UPDATE authz_assignments SET resource = 'tenants/a%41'", "UPDATE authz_assignments SET resource = ''", "UPDATE authz_assignments SET resource = 'tenants/..'", "UPDATE authz_assignments SET resource = '/a'",
		"UPDATE authz_assignments SET id = 'x'", "UPDATE authz_assignments SET id = '{' || id || '}'", "UPDATE authz_assignments SET granted_by = 'x'", "UPDATE authz_assignments SET effect = 3", "UPDATE authz_assignments SET effect = 0",
		"UPDATE authz_assignments SET terms = 'x'", "UPDATE authz_assignments SET terms = 'x' || terms", "UPDATE authz_assignments SET terms = replace(terms, '\x1f0', '\x1f2')", "UPDATE authz_assignments SET terms = '\x1f2026-01-01\x1f0\x1f\x1f0\x1f'",
		"UPDATE authz_assignments SET terms = '\x1f\x1f0\x1fx\x1f0\x1f'", "UPDATE authz_assignments SET terms = '\x1f\x1f0\x1f\x1f9\x1fa'", "UPDATE authz_assignments SET terms = '\x1f\x1f0\x1f\x1f'", "UPDATE authz_assignments SET terms = '\x1f\x1f0\x1f\x1f-1\x1f'",
		"UPDATE authz_assignments SET role = role || '\x1f'", "UPDATE authz_assignments SET role = role || '\x1e'",
		"INSERT INTO authz_members(id, member, team) VALUES ('1', 'x', 'team:t')", "INSERT INTO authz_members(id, member, team) VALUES ('1', 'team:t', 'x')",
		"UPDATE authz_roles SET definition = '{'", "UPDATE authz_roles SET definition = '{\"role\":\"role:b\"}'", "UPDATE authz_roles SET definition = '{\"role\":\"role:a\",\"permissions\":[\"x\"]}'",
	} {
		require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.Exec(sql).Error, sql)
			inner, err := gormstore.NewStore(t.Context(), tx)
			require.NoError(t, err)
			_, err = inner.Load(t.Context(), func(authz.Authorization) error { return nil })
			require.Error(t, err, sql)
			return back
		}), back)
	}
	for _, sql := range []string{
		"DELETE FROM authz_history WHERE revision = 1", "UPDATE authz_history SET revision = 3 WHERE revision = 2", "UPDATE authz_history SET change = '{' WHERE revision = 2",
		"UPDATE authz_history SET change = '{\"revision\":7,\"author\":\"\",\"time\":\"2026-01-01T00:00:00Z\"}' WHERE revision = 2",
	} {
		require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.Exec(sql).Error, sql)
			inner, err := gormstore.NewStore(t.Context(), tx)
			require.NoError(t, err)
			var last error
			for _, err := range inner.Changes(t.Context(), 0) {
				last = err
			}
			require.Error(t, last, sql)
			return back
		}), back)
	}
	_, held := load(t, st)
	require.Len(t, held, 1)
}

// authorizer puts an Authorizer over the database, twice.
func authorizer(t *testing.T, open database) {
	for i := range 2 {
		st := newStore(t, open(t))
		a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Store: st, Audit: st, Seed: []authz.Authorization{administrator(t)}})
		require.NoError(t, err)
		_, err = edit(t, a).Assign(t.Context(), authz.Authorization{Principal: authztest.Principal(t, "user:idp/ana"), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/t"), Effect: authz.Allow})
		require.NoError(t, err)
		rest, held := load(t, st)
		require.Equal(t, uint64(i+2), rest.Revision)
		require.Len(t, held, i+2)
	}
}
