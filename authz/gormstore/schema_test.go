package gormstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/gormstore"
)

// The tables as this package made them before it numbered their forms.
type (
	authorizationBefore struct {
		ID        string `gorm:"primaryKey;size:36"`
		Principal string `gorm:"size:8192;not null;index"`
		Role      string `gorm:"size:128;not null"`
		Resource  string `gorm:"size:8192;not null"`
		Effect    uint8  `gorm:"not null"`
		From      *time.Time
		Until     *time.Time
		GrantedBy string `gorm:"size:8192;not null"`
		Reason    string `gorm:"size:1024;not null"`
	}
	membershipBefore struct {
		Member string `gorm:"primaryKey;size:4096"`
		Team   string `gorm:"primaryKey;size:4096"`
	}
	revisionBefore struct {
		Number uint64    `gorm:"primaryKey;autoIncrement:false"`
		Author string    `gorm:"size:8192;not null"`
		Reason string    `gorm:"size:1024;not null"`
		Time   time.Time `gorm:"not null"`
		Diff   string    `gorm:"not null"`
	}
	auditBefore struct {
		Sequence   uint64 `gorm:"primaryKey;autoIncrement:false"`
		Time       int64  `gorm:"not null;index"`
		Decision   string `gorm:"size:36;not null"`
		Cause      string `gorm:"size:36;not null"`
		Principal  string `gorm:"size:8192;not null"`
		OnBehalfOf string `gorm:"size:8192;not null"`
		Permission string `gorm:"size:128;not null"`
		Resource   string `gorm:"size:8192;not null"`
		Allowed    bool   `gorm:"not null"`
		Reason     string `gorm:"not null"`
		Revision   uint64 `gorm:"not null"`
		Previous   []byte `gorm:"not null"`
		Hash       []byte `gorm:"not null"`
	}
)

func (authorizationBefore) TableName() string { return "authz_authorizations" }
func (membershipBefore) TableName() string    { return "authz_memberships" }
func (revisionBefore) TableName() string      { return "authz_revisions" }
func (auditBefore) TableName() string         { return "authz_audit" }

// before fills the old tables with three revisions and an audit record.
func before(t *testing.T, g *gorm.DB) (kept, gone authz.Authorization) {
	t.Helper()
	require.NoError(t, g.AutoMigrate(&authorizationBefore{}, &membershipBefore{}, &revisionBefore{}, &auditBefore{}))
	from, until := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	kept = authz.Authorization{ID: uuid.New(), Principal: authztest.Principal(t, "user:https%3A%2F%2Fidp/ana"), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/a%20b"),
		Effect: authz.Deny, From: from, Until: until, GrantedBy: authztest.Principal(t, admin), Reason: "it's 'so' \x1f"}
	gone = kept
	gone.ID, gone.From, gone.Until, gone.GrantedBy = uuid.New(), time.Time{}, time.Time{}, authz.Principal{}
	id := func(x authz.Authorization) string { b, _ := x.ID.MarshalText(); return string(b) }
	for _, row := range []any{
		&authorizationBefore{id(kept), kept.Principal.String(), "role:user", kept.Resource.String(), 2, &from, &until, admin, kept.Reason},
		&membershipBefore{"service:s", "team:t"}, &membershipBefore{"user:i/s", "team:t"},
		&revisionBefore{1, "", "seed", from, `{"add":[{"id":"` + id(gone) + `","principal":"user:https%3A%2F%2Fidp/ana","role":"role:user","resource":"tenants/a%20b","effect":"deny","granted_by":"","reason":"it's 'so' \u001f"}],"join":[{"member":"service:s","team":"team:t"},{"member":"user:i/gone","team":"team:t"}]}`},
		&revisionBefore{2, admin, "", from.Add(time.Hour), `{"add":[{"id":"` + id(kept) + `","principal":"user:https%3A%2F%2Fidp/ana","role":"role:user","resource":"tenants/a%20b","effect":"deny","from":"2026-01-02T03:04:05.678901Z","until":"2027-01-01T00:00:00Z","granted_by":"` + admin + `","reason":"it's 'so' \u001f"}],"remove":["` + id(gone) + `"]}`},
		&revisionBefore{3, admin, "bye", from.Add(2 * time.Hour), `{"join":[{"member":"user:i/s","team":"team:t"}],"leave":[{"member":"user:i/gone","team":"team:t"}]}`},
		&auditBefore{1, from.UnixMicro(), id(kept), uuid.Nil.String(), admin, "", "audit.read", "tenants", true, "r", 3, make([]byte, 32), append(make([]byte, 31), 7)},
	} {
		require.NoError(t, g.Create(row).Error)
	}
	return kept, gone
}

// A database from before there were numbers loses nothing, and its history now
// names whole what was removed.
func migration(t *testing.T, open database) {
	kept, gone := before(t, open(t))
	g := open(t)
	audit, err := gormstore.NewAudit(t.Context(), g) // whichever comes first
	require.NoError(t, err)
	st := newStore(t, g)
	rest, held := load(t, st)
	require.Equal(t, uint64(3), rest.Revision)
	require.Equal(t, []authz.Authorization{kept}, held)
	member := func(s string) authz.Membership {
		return authz.Membership{Member: authztest.Principal(t, s), Team: authztest.Principal(t, "team:t")}
	}
	require.ElementsMatch(t, []authz.Membership{member("service:s"), member("user:i/s")}, rest.Memberships)
	var made []authz.Change
	for c, err := range st.Changes(t.Context(), 0) {
		require.NoError(t, err)
		made = append(made, c)
	}
	author := authztest.Principal(t, admin)
	require.Equal(t, []authz.Change{
		{Revision: 1, Reason: "seed", Time: kept.From, Add: []authz.Authorization{gone}, Join: []authz.Membership{member("service:s"), member("user:i/gone")}},
		{Revision: 2, Author: author, Time: kept.From.Add(time.Hour), Add: []authz.Authorization{kept}, Remove: []authz.Authorization{gone}},
		{Revision: 3, Author: author, Reason: "bye", Time: kept.From.Add(2 * time.Hour), Join: []authz.Membership{member("user:i/s")}, Leave: []authz.Membership{member("user:i/gone")}},
	}, made)
	for r, err := range audit.Records(t.Context(), 0, false) {
		require.NoError(t, err)
		require.Equal(t, authz.AuditRecord{Sequence: 1, Time: kept.From, Decision: kept.ID, Principal: author, Permission: authz.MustPermission("audit.read"), Resource: authztest.Resource(t, "tenants"),
			Allowed: true, Reason: "r", Revision: 3, Hash: authz.Hash{31: 7}}, r)
	}
	for _, old := range []string{"authz_authorizations", "authz_memberships", "authz_revisions"} {
		require.False(t, g.Migrator().HasTable(old), old)
	}
	require.NoError(t, st.Commit(t.Context(), []authz.AuditRecord{{Sequence: 2}}, authz.Change{Revision: 4, Remove: held, Leave: rest.Memberships}))
	newStore(t, open(t)) // once is enough
	rest, held = load(t, st)
	require.Empty(t, held)
	require.Equal(t, authz.Assignments{Revision: 4}, rest)
}

// What cannot be carried over stops the migration, and all is as it was.
func migrationRefused(t *testing.T, open database) {
	g := open(t)
	before(t, g)
	require.NoError(t, g.Exec("UPDATE authz_revisions SET diff = '{' WHERE number = 3").Error)
	_, err := gormstore.NewStore(t.Context(), g)
	require.ErrorContains(t, err, "step 2, rows from before there were numbers: revision 3")
	require.False(t, g.Migrator().HasTable("authz_assignments"))
	var n int64
	require.NoError(t, g.Table("authz_authorizations").Count(&n).Error)
	require.Equal(t, int64(1), n)
	require.NoError(t, g.Exec("UPDATE authz_revisions SET diff = '{}' WHERE number = 3").Error)
	_, held := load(t, newStore(t, g))
	require.Len(t, held, 1)
}

func newer(t *testing.T, open database) {
	g := open(t)
	newStore(t, g)
	require.NoError(t, g.Exec("INSERT INTO authz_schema (version, name, applied) VALUES (99, 'of tomorrow', '')").Error)
	_, err := gormstore.NewStore(t.Context(), g)
	require.ErrorIs(t, err, gormstore.ErrNewer)
	require.ErrorContains(t, err, "database of schema 99, this program knows those up to 3")
	_, err = gormstore.NewAudit(t.Context(), g)
	require.ErrorIs(t, err, gormstore.ErrNewer)
}

// Processes that start at the same time migrate once.
func simultaneousStarts(t *testing.T, open database) {
	before(t, open(t))
	var wg sync.WaitGroup
	for range 4 {
		g := open(t)
		wg.Go(func() {
			if _, err := gormstore.NewStore(t.Context(), g); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	g := open(t)
	_, held := load(t, newStore(t, g))
	require.Len(t, held, 1)
	var n int64
	require.NoError(t, g.Table("authz_schema").Count(&n).Error)
	require.Equal(t, int64(3), n)
}
