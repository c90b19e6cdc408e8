package gormstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/gormstore"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/policy"
)

// cpu is what the process has used, in user and system mode: unlike the clock,
// it tells the same on a busy machine.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// filled is a store of n assignments over n/10 principals and n/1000 tenants,
// in a file without encryption.
func filled(b *testing.B, n int) (*gormstore.Store, *gorm.DB) {
	b.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(b.TempDir(), "bench.db"), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	g, err := sqlite.Gorm(db)
	require.NoError(b, err)
	st, err := gormstore.NewStore(context.Background(), g)
	require.NoError(b, err)
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	roles := someRoles()
	const step = 10_000
	revision := uint64(0)
	for i := 0; i < n; i += step {
		c := authz.Change{Author: authztest.Principal(b, admin), Time: time.Now()}
		for j := i; j < min(n, i+step); j++ {
			c.Add = append(c.Add, someAssignment(b, rnd, roles, n))
		}
		revision++
		c.Revision = revision
		require.NoError(b, st.Apply(context.Background(), c))
	}
	// What filling left to be done is not what is measured.
	require.NoError(b, g.Exec("PRAGMA wal_checkpoint(TRUNCATE)").Error)
	return st, g
}

func someAssignment(b testing.TB, rnd *rand.Rand, roles []authz.Role, n int) authz.Authorization {
	x := authz.Authorization{ID: uuid.Must(uuid.NewV7()), Effect: authz.Allow, GrantedBy: authztest.Principal(b, admin),
		Principal: authztest.Principal(b, fmt.Sprintf("user:idp/p%d", rnd.IntN(n/10+1))),
		Role:      roles[rnd.IntN(len(roles))],
		Resource:  authztest.Resource(b, fmt.Sprintf("tenants/t%d/units/u%d/users/m%d", rnd.IntN(n/1000+1), rnd.IntN(10), rnd.IntN(100)))}
	if rnd.IntN(50) == 0 {
		x.Effect = authz.Deny
	}
	if rnd.IntN(10) == 0 {
		x.Until = time.Now().Add(time.Duration(rnd.IntN(1e6)) * time.Second)
		x.Reason = "cover while on leave"
	}
	return x
}

func someRoles() []authz.Role {
	return []authz.Role{authz.MustRole("role:user"), authz.MustRole("role:support"), authz.MustRole("role:tenant-admin")}
}

// BenchmarkAssign makes one change with its place in the history and an audit
// record, on disk when it returns: an assignment is added, the next change
// removes it. It is compared with the same rows written by gorm, and with the
// least that a durable transaction of this driver can be: one row of two
// numbers. Much of either is the system's, for the disk.
func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		st, g := filled(b, n)
		rest, err := st.Load(context.Background(), func(authz.Authorization) error { return nil })
		require.NoError(b, err)
		rnd, roles := rand.New(rand.NewPCG(2, 2)), someRoles()
		permission, author := authz.MustPermission("authz.authorizations.write"), authztest.Principal(b, admin)
		revision, seq := rest.Revision, uint64(0)
		next := func(i int, last *authz.Authorization) (authz.AuditRecord, authz.Change) {
			revision, seq = revision+1, seq+1
			c := authz.Change{Revision: revision, Author: author, Time: time.Now(), Reason: "because"}
			if i%2 == 0 {
				*last = someAssignment(b, rnd, roles, n)
				c.Add = []authz.Authorization{*last}
			} else {
				c.Remove = []authz.Authorization{*last}
			}
			return authz.AuditRecord{Sequence: seq, Time: c.Time, Decision: uuid.Must(uuid.NewV7()), Principal: author, Permission: permission,
				Resource: last.Resource, Allowed: true, Reason: "user:idp/admin holds role:tenant-admin on tenants", Revision: revision}, c
		}
		run := func(way string, once func(i int, last *authz.Authorization) error) {
			b.Run(fmt.Sprintf("way=%s/n=%d", way, n), func(b *testing.B) {
				var last authz.Authorization
				before := cpu()
				for i := range b.N {
					if err := once(i, &last); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			})
		}
		run("store", func(i int, last *authz.Authorization) error {
			r, c := next(i, last)
			return st.Commit(context.Background(), []authz.AuditRecord{r}, c)
		})
		run("gorm", func(i int, last *authz.Authorization) error {
			r, c := next(i, last)
			return plainCommit(g, r, c)
		})
		require.NoError(b, g.Exec("CREATE TABLE bare (a INTEGER PRIMARY KEY, b INTEGER)").Error)
		db, err := g.DB()
		require.NoError(b, err)
		insert, err := db.PrepareContext(context.Background(), "INSERT INTO bare (b) VALUES (?)")
		require.NoError(b, err)
		run("bare", func(i int, _ *authz.Authorization) error {
			_, err := insert.ExecContext(context.Background(), i)
			return err
		})
		require.NoError(b, insert.Close())
	}
}

// plainCommit writes the rows of a change through gorm's models.
func plainCommit(g *gorm.DB, r authz.AuditRecord, c authz.Change) error {
	return g.Transaction(func(tx *gorm.DB) error {
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if err := tx.Create(&plainHistory{c.Revision, string(text)}).Error; err != nil {
			return err
		}
		if err := tx.Create(&auditBefore{r.Sequence, r.Time.UnixMicro(), r.Decision.String(), r.Cause.String(), r.Principal.String(), r.OnBehalfOf.String(),
			r.Permission.String(), r.Resource.String(), r.Allowed, r.Reason, r.Revision, r.Previous[:], r.Hash[:]}).Error; err != nil {
			return err
		}
		for _, x := range c.Remove {
			if err := tx.Delete(&plainRow{}, "principal = ? AND id = ?", x.Principal.String(), x.ID.String()).Error; err != nil {
				return err
			}
		}
		for _, x := range c.Add {
			row := plainRow{x.ID.String(), x.Principal.String(), x.Role.String(), x.Resource.String(), x.Effect, x.GrantedBy.String(), plainTerms(x)}
			if err := tx.Create(&row).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

type plainHistory struct {
	Revision uint64
	Change   string
}

func (plainHistory) TableName() string { return "authz_history" }

// plainRow is an assignment as gorm reads it, field by field.
type plainRow struct {
	ID, Principal, Role, Resource string
	Effect                        authz.Effect
	GrantedBy, Terms              string
}

// plainTerms writes an end and a reason.
func plainTerms(x authz.Authorization) string {
	if x.Until.IsZero() {
		return ""
	}
	return "\x1f" + x.Until.Format(time.RFC3339Nano) + "\x1f0\x1f\x1f" + strconv.Itoa(len(x.Reason)) + "\x1f" + x.Reason
}

func (plainRow) TableName() string { return "authz_assignments" }

// BenchmarkLoad compares with rows found by gorm, all at once and parsed as
// they are, and says what an Authorizer takes until it can answer.
func BenchmarkLoad(b *testing.B) {
	const n = 1_000_000
	st, g := filled(b, n)
	run := func(name string, f func(each func(authz.Authorization))) {
		b.Run(fmt.Sprintf("way=%s/n=%d", name, n), func(b *testing.B) {
			b.ReportAllocs()
			before := cpu()
			for range b.N {
				got := 0
				f(func(authz.Authorization) { got++ }) // whoever loads keeps what it needs and no more
				require.Equal(b, n, got)
			}
			b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
	run("store", func(each func(authz.Authorization)) {
		_, err := st.Load(context.Background(), func(x authz.Authorization) error { each(x); return nil })
		require.NoError(b, err)
	})
	run("authorizer", func(each func(authz.Authorization)) {
		_, err := authz.New(context.Background(), policy.Files(), &authz.Options{Store: counted{st, each}, Audit: authz.NewMemory(0)})
		require.NoError(b, err)
	})
	run("gorm", func(each func(authz.Authorization)) {
		roles := map[string]authz.Role{} // to parse one compiles a regular expression, which is not what is compared
		for _, r := range someRoles() {
			roles[r.String()] = r
		}
		var rows []plainRow
		require.NoError(b, g.Find(&rows).Error)
		for _, r := range rows {
			x := authz.Authorization{ID: uuid.MustParse(r.ID), Principal: authztest.Principal(b, r.Principal), Role: roles[r.Role],
				Resource: authztest.Resource(b, r.Resource), Effect: r.Effect, GrantedBy: authztest.Principal(b, r.GrantedBy)}
			if r.Terms != "" {
				parts := strings.SplitN(r.Terms, "\x1f", 6)
				x.Until, _ = time.Parse(time.RFC3339Nano, parts[1])
				x.Reason = parts[5]
			}
			each(x)
		}
	})
}

// counted is a Store that tells what passes.
type counted struct {
	authz.Store
	each func(authz.Authorization)
}

func (c counted) Load(ctx context.Context, each func(authz.Authorization) error) (authz.Assignments, error) {
	return c.Store.Load(ctx, func(x authz.Authorization) error { c.each(x); return each(x) })
}
