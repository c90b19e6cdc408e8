// Package gormstate keeps the state of each pair in a database file of its own,
// encrypted under a key of its own. Nothing of one mailbox is in the file of
// another, and a file that is copied to another's place does not open.
//
// The files use plain SQL: there are thousands of them, and each is opened for
// one round and closed again.
package gormstate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// Wrapper seals the keys of the files. A Keeper of package secrets is one.
type Wrapper interface {
	Wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// Options of a Store. The nil Options work.
type Options struct {
	// Idle is how many states at most stay open after they were closed, for their
	// next round: those that were used last. Each takes four descriptors or so.
	// Zero: none.
	Idle int
}

// Store implements lksync.StateStore in a directory. Safe for concurrent use,
// also by several processes: of two that open one state, the later has it. Close
// it if it keeps idle states open.
type Store struct {
	dir  string
	w    Wrapper
	idle *idle
}

var _ lksync.StateStore = (*Store)(nil)

// New uses a directory, which is made if need be, readable by its owner only.
func New(dir string, w Wrapper, o *Options) (*Store, error) {
	if w == nil {
		return nil, errors.New("gormstate: new: no wrapper for the keys")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("gormstate: new: %w", err)
	}
	if o == nil {
		o = &Options{}
	}
	s := &Store{dir, w, newIdle(o.Idle)}
	return s, s.tidy()
}

// Close closes what no round uses. The Store can be used further.
func (s *Store) Close() error {
	if err := s.idle.close(); err != nil {
		return fmt.Errorf("gormstate: close: %w", err)
	}
	return nil
}

// tidy removes scratch files that a crash left.
func (s *Store) tidy() error {
	files, err := filepath.Glob(filepath.Join(s.dir, ".scratch-*"))
	for _, f := range files {
		if st, e := os.Stat(f); e == nil && time.Since(st.ModTime()) > 24*time.Hour {
			err = errors.Join(err, os.Remove(f))
		}
	}
	if err != nil {
		return fmt.Errorf("gormstate: tidy: %w", err)
	}
	return nil
}

// Open implements lksync.StateStore.
func (s *Store) Open(ctx context.Context, id lksync.PairID) (lksync.State, error) {
	sum := sha256.Sum256([]byte(id)) // a name that any file system takes and that tells nothing
	base := filepath.Join(s.dir, hex.EncodeToString(sum[:16]))
	if k := s.idle.take(base); k != nil {
		return s.take(ctx, id, k)
	}
	key, err := s.key(ctx, base, id)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	db, err := sqlite.Open(ctx, base+".state", key)
	if errors.Is(err, sqlite.ErrWrongKey) {
		return nil, fmt.Errorf("gormstate: open %s: %w: %w", id, lksync.ErrState, err)
	}
	if err != nil {
		return nil, fmt.Errorf("gormstate: open %s: %w", id, spaceless(s.dir, err))
	}
	k := &kept{base: base, db: db, statements: statements{}}
	if k.files, err = look(base); err != nil {
		return nil, errors.Join(fmt.Errorf("gormstate: open %s: %w", id, err), db.Close())
	}
	return s.take(ctx, id, k)
}

// take makes an open file the state of whoever asked for it.
func (s *Store) take(ctx context.Context, id lksync.PairID, k *kept) (lksync.State, error) {
	h := &state{kept: k, idle: s.idle}
	if err := h.takeOver(ctx); err != nil {
		_ = k.db.Close()
		return nil, fmt.Errorf("gormstate: open %s: %w", id, spaceless(s.dir, err))
	}
	return h, nil
}

// key returns the key of a file, making one for a new file.
func (s *Store) key(ctx context.Context, base string, id lksync.PairID) ([]byte, error) {
	aad := []byte("lockkeeper state key 1\x00" + string(id))
	wrapped, err := os.ReadFile(base + ".key")
	if err == nil {
		key, err := s.w.Unwrap(ctx, wrapped, aad)
		if err != nil {
			return nil, fmt.Errorf("gormstate: key of %s: %w: %w", id, lksync.ErrState, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	if st, err := os.Stat(base + ".state"); err == nil && st.Size() > 0 {
		return nil, fmt.Errorf("gormstate: key of %s: %w: the state is there and its key is not", id, lksync.ErrState)
	}
	key := make([]byte, sqlite.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	if wrapped, err = s.w.Wrap(ctx, key, aad); err != nil {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	// Written aside and linked into place: of two who make one, one wins, and
	// a crash leaves none or all of it.
	tmp, err := os.CreateTemp(s.dir, ".key-*")
	if err != nil {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(wrapped)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	switch err := os.Link(tmp.Name(), base+".key"); {
	case errors.Is(err, fs.ErrExist):
		return s.key(ctx, base, id)
	case err != nil:
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return nil, fmt.Errorf("gormstate: key of %s: %w", id, err)
	}
	return key, errors.Join(d.Sync(), d.Close())
}

// schemaVersion is what this release reads and writes.
const schemaVersion = 5

// schema holds ids, revisions, dates, cursors, counters and flags, and one
// column with a name that expires. A test knows the class of every column.
const schema = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE link (
	number INTEGER PRIMARY KEY, kind INTEGER NOT NULL,
	left_id TEXT NOT NULL, left_rev TEXT NOT NULL, right_id TEXT NOT NULL, right_rev TEXT NOT NULL,
	origin INTEGER NOT NULL, state INTEGER NOT NULL, seen INTEGER NOT NULL,
	role INTEGER NOT NULL DEFAULT 0, apart TEXT NOT NULL DEFAULT '', base BLOB, loop INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL DEFAULT 0,
	files TEXT NOT NULL DEFAULT '', left_hash BLOB, right_hash BLOB);` + byHash + `
CREATE INDEX link_waiting ON link (kind, number) WHERE state = 5;
CREATE TABLE intent (
	key TEXT PRIMARY KEY, kind INTEGER NOT NULL, side INTEGER NOT NULL, source_id TEXT NOT NULL, rev TEXT NOT NULL, missed INTEGER NOT NULL, proof INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE issue (
	number INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, left_id TEXT NOT NULL, right_id TEXT NOT NULL,
	code TEXT NOT NULL, field TEXT NOT NULL, detail TEXT NOT NULL, name TEXT NOT NULL,
	first INTEGER NOT NULL, last INTEGER NOT NULL, next_try INTEGER NOT NULL, tries INTEGER NOT NULL);
CREATE INDEX issue_left ON issue (kind, left_id);
CREATE INDEX issue_right ON issue (kind, right_id);
CREATE TABLE position (side INTEGER NOT NULL, kind INTEGER NOT NULL, cursor TEXT NOT NULL DEFAULT '', swept INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (side, kind)) WITHOUT ROWID;
CREATE TABLE approval (kind INTEGER PRIMARY KEY, deletions INTEGER NOT NULL);
CREATE TABLE self (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', 5), ('epoch', 0);` + tally

// byHash finds links by a keyed hash of an id: some systems' ids are longer than all
// else that is kept of a pair, and an index of them would keep them twice.
const byHash = `
CREATE UNIQUE INDEX link_left ON link (kind, left_hash) WHERE left_hash IS NOT NULL;
CREATE UNIQUE INDEX link_right ON link (kind, right_hash) WHERE right_hash IS NOT NULL;`

// tally keeps the number of links that are kept alike, those in the states Linked
// and Conflicted. Counting them takes longer the more there are, and every round
// asks twice.
const tally = `
CREATE TABLE tally (kind INTEGER PRIMARY KEY, links INTEGER NOT NULL);
CREATE TRIGGER link_came AFTER INSERT ON link WHEN new.state IN (1, 3) BEGIN
	INSERT INTO tally VALUES (new.kind, 1) ON CONFLICT DO UPDATE SET links = links + 1;
END;
CREATE TRIGGER link_went AFTER DELETE ON link WHEN old.state IN (1, 3) BEGIN
	UPDATE tally SET links = links - 1 WHERE kind = old.kind;
END;
CREATE TRIGGER link_turned AFTER UPDATE ON link WHEN (old.state IN (1, 3)) <> (new.state IN (1, 3)) BEGIN
	INSERT INTO tally VALUES (new.kind, 0) ON CONFLICT DO NOTHING;
	UPDATE tally SET links = links + (new.state IN (1, 3)) - (old.state IN (1, 3)) WHERE kind = new.kind;
END;`

// from1 brings a state of the first form to the second.
const from1 = `
ALTER TABLE link ADD COLUMN role INTEGER NOT NULL DEFAULT 0;
ALTER TABLE link ADD COLUMN apart TEXT NOT NULL DEFAULT '';
ALTER TABLE link ADD COLUMN base BLOB;
ALTER TABLE link ADD COLUMN loop INTEGER NOT NULL DEFAULT 0;
ALTER TABLE link ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intent ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
CREATE INDEX link_waiting ON link (kind, number) WHERE state = 5;
CREATE TABLE self (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
UPDATE meta SET value = 2 WHERE name = 'schema';`

// from2 brings a state of the second form to the third.
const from2 = tally + `
INSERT INTO tally SELECT kind, count(*) FROM link WHERE state IN (1, 3) GROUP BY kind;
UPDATE meta SET value = 3 WHERE name = 'schema';`

// from3 brings one of the third form to the fourth.
const from3 = `
ALTER TABLE link ADD COLUMN files TEXT NOT NULL DEFAULT '';
UPDATE meta SET value = 4 WHERE name = 'schema';`

// from4 brings one of the fourth form to the fifth, whose links are hashed after it.
// When an intent was made says nothing of when it was looked for.
const from4 = `
ALTER TABLE intent RENAME COLUMN made TO missed;
UPDATE intent SET missed = 0;
DROP INDEX link_left;
DROP INDEX link_right;
ALTER TABLE link ADD COLUMN left_hash BLOB;
ALTER TABLE link ADD COLUMN right_hash BLOB;
UPDATE meta SET value = 5 WHERE name = 'schema';`

type state struct {
	*kept
	idle   *idle
	epoch  int64
	failed bool // a commit: the file is opened anew next time
}

// statements remembers what was prepared: reading SQL takes longer than most of it
// takes to run. For one goroutine; what is in it goes when its database is closed.
type statements map[string]*sql.Stmt

func (s statements) prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	if st := s[query]; st != nil {
		return st, nil
	}
	st, err := db.PrepareContext(ctx, query)
	if err == nil {
		s[query] = st
	}
	return st, err
}

// takeOver makes the tables if need be and takes the state over.
func (h *state) takeOver(ctx context.Context) error {
	return h.tx(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			if _, err := tx.ExecContext(ctx, schema); err != nil {
				return err
			}
		}
		var version int
		if err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'schema'").Scan(&version); err != nil {
			return fmt.Errorf("%w: %w", lksync.ErrState, err)
		}
		if version < 1 || version > schemaVersion {
			return fmt.Errorf("%w: schema %d, this release knows %d", lksync.ErrState, version, schemaVersion)
		}
		for _, step := range []string{from1, from2, from3, from4}[version-1:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		if version < schemaVersion {
			if err := rehash(ctx, tx); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, "UPDATE meta SET value = value + 1 WHERE name = 'epoch' RETURNING value").Scan(&h.epoch)
	})
}

func (h *state) tx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close implements lksync.State.
func (h *state) Close() error {
	k := h.kept
	if k == nil {
		return nil
	}
	h.kept = nil // whoever goes on using it gets no other's state
	if h.failed {
		return k.db.Close()
	}
	return h.idle.put(context.Background(), k)
}

// Cursor implements lksync.State.
func (h *state) Cursor(ctx context.Context, s lksync.Side, k connectors.Kind) (string, error) {
	var c string
	err := h.db.QueryRowContext(ctx, "SELECT cursor FROM position WHERE side = ? AND kind = ?", s, k).Scan(&c)
	return c, none(err)
}

// Swept implements lksync.State.
func (h *state) Swept(ctx context.Context, s lksync.Side, k connectors.Kind) (time.Time, error) {
	var at int64
	err := h.db.QueryRowContext(ctx, "SELECT swept FROM position WHERE side = ? AND kind = ?", s, k).Scan(&at)
	return when(at), none(err)
}

func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// when and unix carry times as seconds, 0 for no time.
func when(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

const linkColumns = "number, kind, left_id, left_rev, right_id, right_rev, origin, state, seen, role, apart, base, loop, since, files"

// hashed is what a link is found by. Nobody who does not have the key can make two
// ids that have the same; if two have, the second is refused, and none is taken for
// the other, because the whole id is compared when it is read.
func hashed(key []byte, id string) []byte {
	if id == "" {
		return nil
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("id\x00" + id))
	return m.Sum(nil)[:16]
}

// hashKey returns the key of the hashes, which is kept with the open file.
func (h *state) hashKey(ctx context.Context) ([]byte, error) {
	var err error
	if h.ids == nil {
		h.ids, err = ownKey(ctx, h.db)
	}
	return h.ids, err
}

// rehash gives the links of an older form their hashes, and the index of these.
func rehash(ctx context.Context, tx *sql.Tx) error {
	key, err := ownKey(ctx, tx)
	if err != nil {
		return err
	}
	type row struct {
		number int64
		id     [2]string
	}
	scan := func(scan func(...any) error) (r row, err error) { return r, scan(&r.number, &r.id[0], &r.id[1]) }
	for after := int64(0); ; {
		rows, err := list(ctx, tx, scan, "SELECT number, left_id, right_id FROM link WHERE number > ? ORDER BY number LIMIT 1000", after)
		if err != nil {
			return err
		}
		for _, r := range rows {
			after = r.number
			if _, err := tx.ExecContext(ctx, "UPDATE link SET left_hash = ?, right_hash = ? WHERE number = ?", hashed(key, r.id[0]), hashed(key, r.id[1]), after); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			_, err = tx.ExecContext(ctx, byHash)
			return err
		}
	}
}

func scanLink(scan func(...any) error) (l lksync.Link, err error) {
	var seen, loop, since int64
	var apart, files string
	err = scan(&l.Number, &l.Kind, &l.ID[0], &l.Rev[0], &l.ID[1], &l.Rev[1], &l.Origin, &l.State, &seen, &l.Role, &apart, (*[]byte)(&l.Base), &loop, &since, &files)
	l.Seen, l.Since = when(seen), when(since)
	l.Way, l.Turns, l.Writes = uint8(loop>>16), uint8(loop>>8), uint8(loop) // packed by Commit
	for f := range strings.FieldsSeq(apart) {
		l.Apart = append(l.Apart, connectors.Field(f))
	}
	if files != "" && err == nil {
		err = json.Unmarshal([]byte(files), &l.Files)
	}
	return l, err
}

// fields writes names of fields into one column.
func fields(fs []connectors.Field) string {
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = string(f)
	}
	return strings.Join(out, " ")
}

// Find implements lksync.State.
func (h *state) Find(ctx context.Context, k connectors.Kind, s lksync.Side, id string) (lksync.Link, bool, error) {
	if id == "" {
		return lksync.Link{}, false, nil
	}
	q, i := "SELECT "+linkColumns+" FROM link WHERE kind = ? AND left_hash = ?", 0
	if s == lksync.Right {
		q, i = "SELECT "+linkColumns+" FROM link WHERE kind = ? AND right_hash = ?", 1
	}
	key, err := h.hashKey(ctx)
	if err != nil {
		return lksync.Link{}, false, err
	}
	st, err := h.prepare(ctx, h.db, q)
	if err != nil {
		return lksync.Link{}, false, err
	}
	l, err := scanLink(st.QueryRowContext(ctx, k, hashed(key, id)).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && l.ID[i] != id {
		return lksync.Link{}, false, nil
	}
	return l, err == nil, err
}

// Links implements lksync.State.
func (h *state) Links(ctx context.Context, k connectors.Kind, after int64, limit int) ([]lksync.Link, error) {
	return list(ctx, h.db, scanLink, "SELECT "+linkColumns+" FROM link WHERE kind = ? AND number > ? ORDER BY number LIMIT ?", k, after, limit)
}

func list[T any](ctx context.Context, db querier, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// Waiting implements lksync.State.
func (h *state) Waiting(ctx context.Context, k connectors.Kind, after int64, limit int) ([]lksync.Link, error) {
	// The state is written out: only so the index of these few is used.
	return list(ctx, h.db, scanLink, "SELECT "+linkColumns+" FROM link WHERE state = 5 AND kind = ? AND number > ? ORDER BY number LIMIT ?", k, after, limit)
}

// Identity implements lksync.State.
func (h *state) Identity(ctx context.Context) (is [2]string, err error) {
	for i, name := range []string{"left", "right"} {
		if err := h.db.QueryRowContext(ctx, "SELECT value FROM self WHERE name = ?", name).Scan(&is[i]); none(err) != nil {
			return is, err
		}
	}
	return is, nil
}

// Key implements lksync.State.
func (h *state) Key(ctx context.Context) ([]byte, error) { return ownKey(ctx, h.db) }

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// ownKey returns the key of a state, making it at first.
func ownKey(ctx context.Context, q querier) (key []byte, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM self WHERE name = 'key'").Scan(&key)
	if !errors.Is(err, sql.ErrNoRows) {
		return key, err
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if _, err := q.ExecContext(ctx, "INSERT OR IGNORE INTO self (name, value) VALUES ('key', ?)", key); err != nil {
		return nil, err
	}
	err = q.QueryRowContext(ctx, "SELECT value FROM self WHERE name = 'key'").Scan(&key)
	return key, err
}

// Held implements lksync.State.
func (h *state) Held(ctx context.Context) error {
	var epoch int64
	if err := h.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'epoch'").Scan(&epoch); err != nil {
		return fmt.Errorf("gormstate: held: %w", err)
	}
	if epoch != h.epoch {
		return lksync.ErrFenced
	}
	return nil
}

// Count implements lksync.State.
func (h *state) Count(ctx context.Context, k connectors.Kind) (n int, err error) {
	err = h.db.QueryRowContext(ctx, "SELECT links FROM tally WHERE kind = ?", k).Scan(&n)
	return n, none(err)
}

// Intents implements lksync.State.
func (h *state) Intents(ctx context.Context) ([]lksync.Intent, error) {
	return list(ctx, h.db, func(scan func(...any) error) (i lksync.Intent, err error) {
		var missed int64
		err = scan(&i.Key, &i.Kind, &i.Side, &i.SourceID, &i.Rev, &missed, &i.Check)
		i.Missed = when(missed)
		return i, err
	}, "SELECT key, kind, side, source_id, rev, missed, proof FROM intent ORDER BY key")
}

// Issues implements lksync.State.
func (h *state) Issues(ctx context.Context, after int64, limit int) ([]lksync.Trouble, error) {
	return list(ctx, h.db, func(scan func(...any) error) (t lksync.Trouble, err error) {
		var first, last, next int64
		err = scan(&t.Number, &t.Kind, &t.ID[0], &t.ID[1], &t.Code, &t.Field, &t.Detail, &t.Name, &first, &last, &next, &t.Tries)
		t.First, t.Last, t.NextTry = when(first), when(last), when(next)
		return t, err
	}, `SELECT number, kind, left_id, right_id, code, field, detail, name, first, last, next_try, tries
		FROM issue WHERE number > ? ORDER BY number LIMIT ?`, after, limit)
}

// Approved implements lksync.State.
func (h *state) Approved(ctx context.Context, k connectors.Kind) (n int, err error) {
	err = h.db.QueryRowContext(ctx, "SELECT deletions FROM approval WHERE kind = ?", k).Scan(&n)
	return n, none(err)
}

// What a commit does for each record of a batch.
const (
	dropLink = "DELETE FROM link WHERE number = ?"
	putLink  = "INSERT INTO link (" + linkColumns + `, left_hash, right_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (number) DO UPDATE SET left_id = excluded.left_id, left_rev = excluded.left_rev, right_id = excluded.right_id,
		right_rev = excluded.right_rev, origin = excluded.origin, state = excluded.state, seen = excluded.seen, role = excluded.role,
		apart = excluded.apart, base = excluded.base, loop = excluded.loop, since = excluded.since, files = excluded.files,
		left_hash = excluded.left_hash, right_hash = excluded.right_hash`
	beginIntent = "INSERT OR REPLACE INTO intent (key, kind, side, source_id, rev, missed, proof) VALUES (?, ?, ?, ?, ?, ?, ?)"
	endIntent   = "DELETE FROM intent WHERE key = ?"
)

// Commit implements lksync.State.
func (h *state) Commit(ctx context.Context, b lksync.Batch) error {
	// Before the transaction, which has the only connection to itself.
	var key []byte
	if len(b.Put) > 0 {
		var err error
		if key, err = h.hashKey(ctx); err != nil {
			return fmt.Errorf("gormstate: commit: %w", spaceless(filepath.Dir(h.base), err))
		}
	}
	for query, n := range map[string]int{dropLink: len(b.Drop), putLink: len(b.Put), beginIntent: len(b.Begin), endIntent: len(b.End)} {
		if n > 0 {
			if _, err := h.prepare(ctx, h.db, query); err != nil {
				return fmt.Errorf("gormstate: commit: %w", err)
			}
		}
	}
	err := h.tx(ctx, func(tx *sql.Tx) error {
		exec := func(query string, args ...any) error {
			if st := h.statements[query]; st != nil {
				_, err := tx.StmtContext(ctx, st).ExecContext(ctx, args...)
				return err
			}
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		}
		// Writing first takes the file's lock: whoever takes the state over
		// does so before or after this batch.
		res, err := tx.ExecContext(ctx, "UPDATE meta SET value = value WHERE name = 'epoch' AND value = ?", h.epoch)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(lksync.ErrFenced, err)
		}
		for _, n := range b.Drop {
			if err := exec(dropLink, n); err != nil {
				return err
			}
		}
		for _, l := range b.Put {
			files := ""
			if len(l.Files) > 0 {
				b, err := json.Marshal(l.Files) // ids and revisions
				if err != nil {
					return err
				}
				files = string(b)
			}
			var number any
			if l.Number != 0 {
				number = l.Number
			}
			if err := exec(putLink,
				number, l.Kind, l.ID[0], l.Rev[0], l.ID[1], l.Rev[1], l.Origin, l.State, unix(l.Seen), l.Role, fields(l.Apart), []byte(l.Base),
				int64(l.Way)<<16|int64(l.Turns)<<8|int64(l.Writes), unix(l.Since), files, hashed(key, l.ID[0]), hashed(key, l.ID[1])); err != nil {
				return err
			}
		}
		for _, i := range b.Begin {
			if err := exec(beginIntent,
				i.Key, i.Kind, i.Side, i.SourceID, i.Rev, unix(i.Missed), i.Check); err != nil {
				return err
			}
		}
		for _, key := range b.End {
			if err := exec(endIntent, key); err != nil {
				return err
			}
		}
		for _, t := range append(append([]lksync.Trouble(nil), b.Solve...), b.Raise...) {
			for i, column := range []string{"left_id", "right_id"} {
				if t.ID[i] != "" {
					if err := exec("DELETE FROM issue WHERE kind = ? AND "+column+" = ?", t.Kind, t.ID[i]); err != nil {
						return err
					}
				}
			}
		}
		for _, t := range b.Raise {
			if err := exec(`INSERT INTO issue (kind, left_id, right_id, code, field, detail, name, first, last, next_try, tries)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				t.Kind, t.ID[0], t.ID[1], t.Code, t.Field, t.Detail, t.Name, unix(t.First), unix(t.Last), unix(t.NextTry), t.Tries); err != nil {
				return err
			}
		}
		if !b.Forget.IsZero() {
			if err := exec("UPDATE issue SET name = '' WHERE name <> '' AND first < ?", b.Forget.Unix()); err != nil {
				return err
			}
		}
		for _, p := range b.Cursors {
			if err := exec("INSERT INTO position (side, kind, cursor) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cursor = excluded.cursor", p.Side, p.Kind, p.Cursor); err != nil {
				return err
			}
		}
		for _, p := range b.Sweeps {
			if err := exec("INSERT INTO position (side, kind, swept) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET swept = excluded.swept", p.Side, p.Kind, unix(p.At)); err != nil {
				return err
			}
		}
		if b.Identity != nil {
			for i, name := range []string{"left", "right"} {
				if err := exec("INSERT OR REPLACE INTO self (name, value) VALUES (?, ?)", name, b.Identity[i]); err != nil {
					return err
				}
			}
		}
		for k, n := range b.Approve {
			if err := exec("INSERT OR REPLACE INTO approval (kind, deletions) VALUES (?, ?)", k, n); err != nil {
				return err
			}
		}
		return nil
	})
	h.failed = h.failed || err != nil
	if errors.Is(err, lksync.ErrFenced) {
		return lksync.ErrFenced
	}
	if err != nil {
		return fmt.Errorf("gormstate: commit: %w", spaceless(filepath.Dir(h.base), err))
	}
	return nil
}
