// Package gormstore keeps sealed secrets in an SQL database through gorm, SQLite
// or PostgreSQL. What it writes is ciphertext, names and dates; it never sees a
// key.
package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/secrets"
)

var _ secrets.Store = (*Store)(nil)

// Store implements secrets.Store. Safe for concurrent use and by several
// processes.
type Store struct {
	db   *gorm.DB
	kind kind
}

// kind is how one database differs from the other.
type kind struct {
	text   string // type of a text that is compared byte by byte
	blob   string // type of bytes
	tail   string // end of CREATE TABLE
	lock   string // first statement of New
	share  string // end of a SELECT whose row is not to change until the transaction ends
	write  sql.TxOptions
	params int // values that one statement may carry
}

func kindOf(db *gorm.DB) (kind, error) {
	switch name := db.Name(); name {
	case "sqlite":
		// Serializable takes the write lock at the beginning: who reads first
		// and then writes may find that another did the same.
		return kind{text: "TEXT", blob: "BLOB", tail: " WITHOUT ROWID", write: sql.TxOptions{Isolation: sql.LevelSerializable}, params: 900}, nil
	case "postgres":
		return kind{text: `TEXT COLLATE "C"`, blob: "BYTEA", lock: "SELECT pg_advisory_xact_lock(5471200938155302417)", share: " FOR SHARE",
			write: sql.TxOptions{Isolation: sql.LevelReadCommitted}, params: 900}, nil
	default:
		return kind{}, fmt.Errorf("gormstore: database %.40q: want sqlite or postgres", name)
	}
}

// New prepares the tables and returns the store. The database stays the caller's
// to close.
func New(ctx context.Context, db *gorm.DB) (*Store, error) {
	k, err := kindOf(db)
	if err != nil {
		return nil, err
	}
	s := &Store{db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: true}), k}
	if err := s.in(ctx, s.migrate); err != nil {
		return nil, fmt.Errorf("gormstore: migrate: %w", err)
	}
	return s, nil
}

func (s *Store) migrate(tx *gorm.DB) error {
	if s.kind.lock != "" {
		if err := tx.Exec(s.kind.lock).Error; err != nil {
			return err
		}
	}
	// Versions are kept in a table with row ids in SQLite: their bodies are long,
	// and a scan of heads and wraps is not to read them.
	for _, text := range []string{
		`CREATE TABLE IF NOT EXISTS secret_tenants (name %[1]s PRIMARY KEY, generation BIGINT NOT NULL, head_key %[2]s NOT NULL, erased BIGINT NOT NULL)%[3]s`,
		`CREATE TABLE IF NOT EXISTS secret_heads (name %[1]s PRIMARY KEY, tenant %[1]s NOT NULL, revision BIGINT NOT NULL, current BIGINT NOT NULL,
			oldest BIGINT NOT NULL, revoked BIGINT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL, created BIGINT NOT NULL, changed BIGINT NOT NULL,
			expires BIGINT NOT NULL, due BIGINT NOT NULL, last_use BIGINT NOT NULL, mac %[2]s NOT NULL)%[3]s`,
		`CREATE TABLE IF NOT EXISTS secret_versions (name %[1]s NOT NULL, number BIGINT NOT NULL, tenant %[1]s NOT NULL, kind TEXT NOT NULL,
			created BIGINT NOT NULL, expires BIGINT NOT NULL, key_version BIGINT NOT NULL, wrap %[2]s NOT NULL, body %[2]s NOT NULL, PRIMARY KEY (name, number))`,
		`CREATE INDEX IF NOT EXISTS secret_versions_key ON secret_versions (tenant, key_version)`,
		`CREATE INDEX IF NOT EXISTS secret_versions_tenant ON secret_versions (tenant, name, number)`,
		`CREATE INDEX IF NOT EXISTS secret_heads_tenant ON secret_heads (tenant)`,
	} {
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text, s.kind.text, s.kind.blob, s.kind.tail)
		}
		if err := tx.Exec(text).Error; err != nil {
			return err
		}
	}
	return nil
}

// in runs f in a transaction that writes.
func (s *Store) in(ctx context.Context, f func(tx *gorm.DB) error) error {
	return s.db.WithContext(ctx).Transaction(f, &s.kind.write)
}

// Load implements secrets.Store with one statement.
func (s *Store) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	var r secrets.Record
	var t tenantRow
	var h headRow
	var v versionRow
	var newest *int64
	err := s.db.WithContext(ctx).Raw(`SELECT t.name, t.generation, t.head_key, t.erased,
		h.name, h.tenant, h.revision, h.current, h.oldest, h.revoked, h.kind, h.scope, h.created, h.changed, h.expires, h.due, h.last_use, h.mac,
		v.name, v.number, v.tenant, v.kind, v.created, v.expires, v.key_version, v.wrap, v.body,
		(SELECT MAX(number) FROM secret_versions WHERE name = h.name)
		FROM (SELECT CAST(? AS TEXT) AS tenant, CAST(? AS TEXT) AS name, CAST(? AS BIGINT) AS number) q
		LEFT JOIN secret_tenants t ON t.name = q.tenant
		LEFT JOIN secret_heads h ON h.name = q.name AND h.tenant = q.tenant
		LEFT JOIN secret_versions v ON v.name = h.name AND v.number = CASE q.number WHEN 0 THEN h.current ELSE q.number END`,
		tenant, name, int64(version)).Row().Scan(append(append(append(t.fields(), h.fields()...), v.fields()...), &newest)...)
	if err != nil {
		return secrets.Record{}, fmt.Errorf("gormstore: load: %w", err)
	}
	r.Tenant, r.Head, r.Version = t.value(), h.value(), v.value()
	if newest != nil {
		r.Newest = uint64(*newest)
	}
	return r, nil
}

// Save implements secrets.Store.
func (s *Store) Save(ctx context.Context, h secrets.Head, v *secrets.Version, generation uint32) error {
	err := s.in(ctx, func(tx *gorm.DB) error {
		var n int64
		if err := tx.Raw("SELECT generation FROM secret_tenants WHERE name = ? AND erased = 0"+s.kind.share, h.Tenant).Scan(&n).Error; err != nil {
			return err
		}
		if generation == 0 || n != int64(generation) {
			return secrets.ErrConflict
		}
		var r *gorm.DB
		if h.Revision == 1 {
			r = tx.Exec(`INSERT INTO secret_heads (name, tenant, revision, current, oldest, revoked, kind, scope, created, changed, expires, due, last_use, mac)
				VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING`,
				h.Name, h.Tenant, int64(h.Current), int64(h.Oldest), flag(h.Revoked), h.Kind, h.Scope, unix(h.Created), unix(h.Changed), unix(h.Expires), unix(h.Due), bytesOf(h.MAC))
		} else {
			r = tx.Exec(`UPDATE secret_heads SET revision = ?, current = ?, oldest = ?, revoked = ?, kind = ?, scope = ?, created = ?, changed = ?, expires = ?, due = ?, mac = ?
				WHERE name = ? AND tenant = ? AND revision = ?`,
				int64(h.Revision), int64(h.Current), int64(h.Oldest), flag(h.Revoked), h.Kind, h.Scope, unix(h.Created), unix(h.Changed), unix(h.Expires), unix(h.Due), bytesOf(h.MAC),
				h.Name, h.Tenant, int64(h.Revision-1))
		}
		if err := one(r); err != nil {
			return err
		}
		if v != nil {
			if err := one(tx.Exec(`INSERT INTO secret_versions (name, number, tenant, kind, created, expires, key_version, wrap, body)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				v.Name, int64(v.Number), v.Tenant, v.Kind, unix(v.Created), unix(v.Expires), int64(v.KeyVersion), bytesOf(v.Wrap), bytesOf(v.Body))); err != nil {
				return err
			}
		}
		return tx.Exec("DELETE FROM secret_versions WHERE name = ? AND number < ?", h.Name, int64(h.Oldest)).Error
	})
	return wrap("save", err)
}

// List implements secrets.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (out []secrets.Entry, err error) {
	// Not LIKE: where it ignores case, a page can be full of another tenant's rows.
	err = s.rows(ctx, func(row *sql.Rows) error {
		var h headRow
		var key *int64
		if err := row.Scan(append(h.fields(), &key)...); err != nil {
			return err
		}
		e := secrets.Entry{Head: h.value()}
		if key != nil {
			e.KeyVersion = uint32(*key)
		}
		out = append(out, e)
		return nil
	}, `SELECT h.name, h.tenant, h.revision, h.current, h.oldest, h.revoked, h.kind, h.scope, h.created, h.changed, h.expires, h.due, h.last_use, h.mac, v.key_version
		FROM secret_heads h LEFT JOIN secret_versions v ON v.name = h.name AND v.number = h.current
		WHERE h.name >= ? AND h.name > ? AND substr(h.name, 1, ?) = ? ORDER BY h.name LIMIT ?`,
		prefix, after, utf8.RuneCountInString(prefix), prefix, max(limit, 0))
	return out, wrap("list", err)
}

// Scan implements secrets.Store.
func (s *Store) Scan(ctx context.Context, tenant, name string, before uint32, after secrets.At, limit int) (out []secrets.Version, err error) {
	where, args := "", []any{tenant, after.Name, int64(after.Number)}
	if name != "" {
		where, args = " AND name = ?", append(args, name)
	}
	if before != secrets.AllKeys {
		where, args = where+" AND key_version < ?", append(args, int64(before))
	}
	err = s.rows(ctx, func(row *sql.Rows) error {
		var v versionRow
		f := v.fields()
		if err := row.Scan(f[:len(f)-1]...); err != nil {
			return err
		}
		out = append(out, v.value())
		return nil
	}, `SELECT name, number, tenant, kind, created, expires, key_version, wrap FROM secret_versions
		WHERE tenant = ? AND (name, number) > (?, ?)`+where+` ORDER BY tenant, name, number LIMIT ?`, append(args, max(limit, 0))...)
	return out, wrap("scan", err)
}

// Count implements secrets.Store.
func (s *Store) Count(ctx context.Context, tenant string, before uint32) (int, error) {
	var n int
	err := s.db.WithContext(ctx).Raw("SELECT COUNT(*) FROM secret_versions WHERE tenant = ? AND key_version < ?", tenant, int64(before)).Row().Scan(&n)
	return n, wrap("count", err)
}

// Replace implements secrets.Store in one transaction.
func (s *Store) Replace(ctx context.Context, tenant string, rs []secrets.Rewrap) ([]error, error) {
	out := make([]error, len(rs))
	err := s.in(ctx, func(tx *gorm.DB) error {
		for i, r := range rs {
			set, args := "wrap = ?, key_version = ?", []any{bytesOf(r.Wrap), int64(r.KeyVersion)}
			if r.Body != nil {
				set, args = set+", body = ?", append(args, r.Body)
			}
			args = append(args, r.Name, int64(r.Number), tenant, bytesOf(r.Old))
			switch err := one(tx.Exec("UPDATE secret_versions SET "+set+" WHERE name = ? AND number = ? AND tenant = ? AND wrap = ?", args...)); {
			case errors.Is(err, secrets.ErrConflict):
				out[i] = err
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("replace", err)
	}
	return out, nil
}

// ReplaceMACs implements secrets.Store in one transaction.
func (s *Store) ReplaceMACs(ctx context.Context, tenant string, ms []secrets.HeadMAC) ([]error, error) {
	out := make([]error, len(ms))
	err := s.in(ctx, func(tx *gorm.DB) error {
		for i, m := range ms {
			switch err := one(tx.Exec("UPDATE secret_heads SET mac = ? WHERE name = ? AND tenant = ? AND mac = ?", bytesOf(m.MAC), m.Name, tenant, bytesOf(m.Old))); {
			case errors.Is(err, secrets.ErrConflict):
				out[i] = err
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("replace MACs", err)
	}
	return out, nil
}

// Touch implements secrets.Store.
func (s *Store) Touch(ctx context.Context, tenant string, names []string, at time.Time) error {
	for len(names) > 0 {
		n := min(len(names), s.kind.params)
		if err := s.db.WithContext(ctx).Exec("UPDATE secret_heads SET last_use = ? WHERE tenant = ? AND last_use < ? AND name IN ?",
			unix(at), tenant, unix(at), names[:n]).Error; err != nil {
			return wrap("touch", err)
		}
		names = names[n:]
	}
	return nil
}

// Tenants implements secrets.Store.
func (s *Store) Tenants(ctx context.Context, after string, limit int) (out []secrets.Tenant, err error) {
	err = s.rows(ctx, func(row *sql.Rows) error {
		var t tenantRow
		if err := row.Scan(t.fields()...); err != nil {
			return err
		}
		out = append(out, t.value())
		return nil
	}, "SELECT name, generation, head_key, erased FROM secret_tenants WHERE name > ? ORDER BY name LIMIT ?", after, max(limit, 0))
	return out, wrap("tenants", err)
}

// SaveTenant implements secrets.Store.
func (s *Store) SaveTenant(ctx context.Context, t secrets.Tenant, generation uint32) error {
	db := s.db.WithContext(ctx)
	if generation == 0 {
		return wrap("save tenant", one(db.Exec("INSERT INTO secret_tenants (name, generation, head_key, erased) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			t.Name, int64(t.Generation), bytesOf(t.HeadKey), unix(t.Erased))))
	}
	return wrap("save tenant", one(db.Exec("UPDATE secret_tenants SET generation = ?, head_key = ?, erased = ? WHERE name = ? AND generation = ? AND erased = 0",
		int64(t.Generation), bytesOf(t.HeadKey), unix(t.Erased), t.Name, int64(generation))))
}

// Erase implements secrets.Store in one transaction.
func (s *Store) Erase(ctx context.Context, tenant string, at time.Time) (heads, versions int, err error) {
	err = s.in(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec(`INSERT INTO secret_tenants (name, generation, head_key, erased) VALUES (?, 0, ?, ?)
			ON CONFLICT (name) DO UPDATE SET head_key = excluded.head_key, erased = CASE secret_tenants.erased WHEN 0 THEN excluded.erased ELSE secret_tenants.erased END`,
			tenant, []byte{}, unix(at)).Error; err != nil {
			return err
		}
		v := tx.Exec("DELETE FROM secret_versions WHERE tenant = ?", tenant)
		if v.Error != nil {
			return v.Error
		}
		h := tx.Exec("DELETE FROM secret_heads WHERE tenant = ?", tenant)
		heads, versions = int(h.RowsAffected), int(v.RowsAffected)
		return h.Error
	})
	if err != nil {
		return 0, 0, wrap("erase", err)
	}
	return heads, versions, nil
}

// rows runs a query and gives each row to f.
func (s *Store) rows(ctx context.Context, f func(*sql.Rows) error, text string, args ...any) error {
	rows, err := s.db.WithContext(ctx).Raw(text, args...).Rows()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one is ErrConflict unless a statement changed one row.
func one(r *gorm.DB) error {
	if r.Error != nil {
		return r.Error
	}
	if r.RowsAffected != 1 {
		return secrets.ErrConflict
	}
	return nil
}

// wrap says where an error is from. Conflicts are for the caller alone.
func wrap(what string, err error) error {
	if err == nil || errors.Is(err, secrets.ErrConflict) {
		return err
	}
	return fmt.Errorf("gormstore: %s: %w", what, err)
}
