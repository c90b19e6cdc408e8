package gormstate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	gosync "sync"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// Tenants keeps what mailboxes share, in one encrypted file beside their states:
// which CRM record a meeting is, and where the stop switch is pulled. It holds
// keyed hashes, ids and dates. Safe for concurrent use, also by several
// processes. Close it.
type Tenants struct {
	db *sql.DB

	mu   gosync.Mutex
	keys map[string][]byte
}

var (
	_ lksync.MeetingStore = (*Tenants)(nil)
	_ lksync.StopStore    = (*Tenants)(nil)
)

// tenantSchema is what is shared. A test knows the class of every column.
const tenantSchema = `
CREATE TABLE IF NOT EXISTS shared_key (crm TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meeting (
	crm TEXT NOT NULL, hash TEXT NOT NULL, record TEXT NOT NULL, lead TEXT NOT NULL, host INTEGER NOT NULL, create_key TEXT NOT NULL, rev TEXT NOT NULL,
	gone INTEGER NOT NULL, parties TEXT NOT NULL, since INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (crm, hash)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS meeting_record ON meeting (crm, record) WHERE record <> '';
CREATE TABLE IF NOT EXISTS stop (resource TEXT PRIMARY KEY) WITHOUT ROWID;`

// Tenants opens the file that mailboxes share in the directory of their states.
func (s *Store) Tenants(ctx context.Context) (*Tenants, error) {
	base := filepath.Join(s.dir, "tenants")
	key, err := s.key(ctx, base, "tenants")
	if err != nil {
		return nil, err
	}
	defer clear(key)
	db, err := sqlite.Open(ctx, base+".state", key)
	if errors.Is(err, sqlite.ErrWrongKey) {
		return nil, fmt.Errorf("gormstate: open tenants: %w: %w", lksync.ErrState, err)
	}
	if err != nil {
		return nil, fmt.Errorf("gormstate: open tenants: %w", err)
	}
	if _, err := db.ExecContext(ctx, tenantSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("gormstate: open tenants: %w", err), db.Close())
	}
	return &Tenants{db: db, keys: map[string][]byte{}}, nil
}

// Close lets go of the file.
func (t *Tenants) Close() error { return t.db.Close() }

// MeetingKey implements lksync.MeetingStore.
func (t *Tenants) MeetingKey(ctx context.Context, crm authz.Resource) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := t.keys[crm.String()]; key != nil {
		return key, nil
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("gormstate: meeting key: %w", err)
	}
	if _, err := t.db.ExecContext(ctx, "INSERT OR IGNORE INTO shared_key (crm, value) VALUES (?, ?)", crm.String(), key); err != nil {
		return nil, fmt.Errorf("gormstate: meeting key: %w", err)
	}
	if err := t.db.QueryRowContext(ctx, "SELECT value FROM shared_key WHERE crm = ?", crm.String()).Scan(&key); err != nil {
		return nil, fmt.Errorf("gormstate: meeting key: %w", err)
	}
	t.keys[crm.String()] = key
	return key, nil
}

const meetingColumns = "hash, record, lead, host, create_key, rev, gone, parties, since, version"

func (t *Tenants) one(ctx context.Context, where string, args ...any) (m lksync.Meeting, ok bool, err error) {
	var since int64
	err = t.db.QueryRowContext(ctx, "SELECT "+meetingColumns+" FROM meeting WHERE "+where+" LIMIT 1", args...).
		Scan(&m.Hash, &m.Record, &m.Lead, &m.Host, &m.Key, &m.Rev, &m.Gone, &m.Parties, &since, &m.Version)
	m.Since = when(since)
	if errors.Is(err, sql.ErrNoRows) {
		return lksync.Meeting{}, false, nil
	}
	if err != nil {
		return lksync.Meeting{}, false, fmt.Errorf("gormstate: meeting: %w", err)
	}
	return m, true, nil
}

// Meeting implements lksync.MeetingStore.
func (t *Tenants) Meeting(ctx context.Context, crm authz.Resource, hash string) (lksync.Meeting, bool, error) {
	return t.one(ctx, "crm = ? AND hash = ?", crm.String(), hash)
}

// MeetingOf implements lksync.MeetingStore.
func (t *Tenants) MeetingOf(ctx context.Context, crm authz.Resource, record string) (lksync.Meeting, bool, error) {
	return t.one(ctx, "crm = ? AND record = ? AND record <> ''", crm.String(), record)
}

// PutMeeting implements lksync.MeetingStore.
func (t *Tenants) PutMeeting(ctx context.Context, crm authz.Resource, m lksync.Meeting) (bool, error) {
	q := `UPDATE meeting SET record = ?, lead = ?, host = ?, create_key = ?, rev = ?, gone = ?, parties = ?, since = ?, version = version + 1
		WHERE crm = ? AND hash = ? AND version = ?`
	if m.Version == 0 {
		q = `INSERT INTO meeting (record, lead, host, create_key, rev, gone, parties, since, crm, hash, version)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? + 1) ON CONFLICT DO NOTHING`
	}
	res, err := t.db.ExecContext(ctx, q, m.Record, m.Lead, m.Host, m.Key, m.Rev, m.Gone, m.Parties, unix(m.Since), crm.String(), m.Hash, m.Version)
	if err != nil {
		return false, fmt.Errorf("gormstate: put meeting: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// ReleaseMeetings implements lksync.MeetingStore.
func (t *Tenants) ReleaseMeetings(ctx context.Context, crm authz.Resource, lead lksync.PairID) error {
	_, err := t.db.ExecContext(ctx, "UPDATE meeting SET lead = '', host = 0, version = version + 1 WHERE crm = ? AND lead = ?", crm.String(), lead)
	if err != nil {
		return fmt.Errorf("gormstate: release meetings: %w", err)
	}
	return nil
}

// Stops implements lksync.StopStore.
func (t *Tenants) Stops(ctx context.Context) ([]authz.Resource, error) {
	names, err := list(ctx, t.db, func(scan func(...any) error) (s string, err error) { return s, scan(&s) }, "SELECT resource FROM stop ORDER BY resource")
	if err != nil {
		return nil, fmt.Errorf("gormstate: stops: %w", err)
	}
	var out []authz.Resource
	for _, n := range names {
		r, err := authz.ParseResource(n)
		if err != nil {
			return nil, fmt.Errorf("gormstate: stops: %w: %w", lksync.ErrState, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// SetStop implements lksync.StopStore.
func (t *Tenants) SetStop(ctx context.Context, on authz.Resource, stopped bool) error {
	q := "DELETE FROM stop WHERE resource = ?"
	if stopped {
		q = "INSERT OR IGNORE INTO stop (resource) VALUES (?)"
	}
	if _, err := t.db.ExecContext(ctx, q, on.String()); err != nil {
		return fmt.Errorf("gormstate: stop: %w", err)
	}
	return nil
}
