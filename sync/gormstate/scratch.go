package gormstate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// scratch is a file beside the state, encrypted under a key that is nowhere but
// in this process: what a crash leaves of it cannot be read by anybody.
type scratch struct {
	path string
	db   *sql.DB
	statements
}

var _ lksync.Scratch = (*scratch)(nil)

// Scratch implements lksync.State.
func (h *state) Scratch(ctx context.Context) (lksync.Scratch, error) {
	key := make([]byte, sqlite.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("gormstate: scratch: %w", err)
	}
	defer clear(key)
	f, err := os.CreateTemp(filepath.Dir(h.base), ".scratch-*")
	if err != nil {
		return nil, fmt.Errorf("gormstate: scratch: %w", err)
	}
	s := &scratch{path: f.Name(), statements: statements{}}
	if err := f.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("gormstate: scratch: %w", err), s.Close())
	}
	if s.db, err = sqlite.Open(ctx, s.path, key); err != nil {
		return nil, errors.Join(fmt.Errorf("gormstate: scratch: %w", err), s.Close())
	}
	// Nothing in it has to survive anything.
	_, err = s.db.ExecContext(ctx, `PRAGMA journal_mode=off; PRAGMA synchronous=off; PRAGMA cache_size=-2000;
		CREATE TABLE seen (side INTEGER NOT NULL, id TEXT NOT NULL, grp TEXT NOT NULL, PRIMARY KEY (side, id)) WITHOUT ROWID;
		CREATE INDEX seen_grp ON seen (grp, side, id);`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gormstate: scratch: %w", err), s.Close())
	}
	return s, nil
}

// Add implements lksync.Scratch.
func (s *scratch) Add(ctx context.Context, seen []lksync.Seen) error {
	st, err := s.prepare(ctx, s.db, "INSERT OR REPLACE INTO seen (side, id, grp) VALUES (?, ?, ?)")
	if err != nil {
		return fmt.Errorf("gormstate: scratch: %w", err)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("gormstate: scratch: %w", err)
	}
	st = tx.StmtContext(ctx, st)
	for _, x := range seen {
		if _, err := st.ExecContext(ctx, x.Side, x.ID, x.Group); err != nil {
			return errors.Join(fmt.Errorf("gormstate: scratch: %w", spaceless(filepath.Dir(s.path), err)), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("gormstate: scratch: %w", spaceless(filepath.Dir(s.path), err))
	}
	return nil
}

// Next implements lksync.Scratch.
func (s *scratch) Next(ctx context.Context, after string, limit int) ([]lksync.Seen, error) {
	scan := func(scan func(...any) error) (x lksync.Seen, err error) { return x, scan(&x.Side, &x.ID, &x.Group) }
	out, err := list(ctx, s.db, scan, "SELECT side, id, grp FROM seen WHERE grp > ? ORDER BY grp, side, id LIMIT ?", after, limit)
	if err != nil || len(out) < limit {
		return out, err
	}
	end := out[len(out)-1]
	rest, err := list(ctx, s.db, scan, "SELECT side, id, grp FROM seen WHERE grp = ? AND (side, id) > (?, ?) ORDER BY side, id", end.Group, end.Side, end.ID)
	return append(out, rest...), err
}

// Has implements lksync.Scratch.
func (s *scratch) Has(ctx context.Context, side lksync.Side, ids []string) ([]bool, error) {
	out := make([]bool, len(ids))
	st, err := s.prepare(ctx, s.db, "SELECT 1 FROM seen WHERE side = ? AND id = ?")
	if err != nil {
		return nil, fmt.Errorf("gormstate: scratch: %w", err)
	}
	for i, id := range ids {
		err := st.QueryRowContext(ctx, side, id).Scan(&out[i])
		if none(err) != nil {
			return nil, fmt.Errorf("gormstate: scratch: %w", err)
		}
	}
	return out, nil
}

// Close implements lksync.Scratch. The file goes.
func (s *scratch) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	for _, p := range []string{s.path, s.path + "-wal", s.path + "-shm", s.path + "-journal"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
