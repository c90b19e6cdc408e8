package gormstore

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Statements that make a change. The first makes a revision from the one before
// it and from no other; it comes first in each transaction, so that of several
// writers all but one wait for that one and then add no row.
const (
	revise = `INSERT INTO authz_history (revision, change) SELECT CAST(? AS BIGINT), CAST(? AS TEXT)
		WHERE COALESCE((SELECT MAX(revision) FROM authz_history), 0) = CAST(? AS BIGINT) ON CONFLICT DO NOTHING`
	revoke   = "DELETE FROM authz_assignments WHERE principal = ? AND id = ?"
	leave    = "DELETE FROM authz_members WHERE id = ?"
	join     = "INSERT INTO authz_members (id, member, team) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
	undefine = "DELETE FROM authz_roles WHERE role = ?"
	define   = "INSERT INTO authz_roles (role, definition) VALUES (?, ?) ON CONFLICT (role) DO UPDATE SET definition = excluded.definition"
)

// assigning adds n assignments.
func assigning(d *dialect, n int) string { return d.sql(insertion("authz_assignments", columns(), n)) }

// applying lists all statements of which a change is made.
func applying(d *dialect) []string {
	out := []string{assigning(d, 1)}
	for _, s := range []string{revise, revoke, leave, join, undefine, define} {
		out = append(out, d.sql(s))
	}
	return out
}

// Apply implements authz.Store. An error may come after the change was made,
// when the connection breaks in that moment; it is then made whole.
func (s *Store) Apply(ctx context.Context, c authz.Change) error {
	if err := s.commit(ctx, nil, c); err != nil {
		return fmt.Errorf("gormstore: apply: %w", err)
	}
	return nil
}

// Commit implements authz.Committer. Records that do not go on where the trail
// ends are authz.ErrConflict too: someone else was first.
func (s *Store) Commit(ctx context.Context, rs []authz.AuditRecord, c authz.Change) error {
	if err := s.commit(ctx, rs, c); err != nil {
		return fmt.Errorf("gormstore: commit: %w", err)
	}
	return nil
}

func (s *Store) commit(ctx context.Context, rs []authz.AuditRecord, c authz.Change) error {
	if c.Revision == 0 || c.Revision > math.MaxInt64 {
		return authz.ErrConflict
	}
	if err := writable(c); err != nil {
		return err
	}
	c = inUTC(c)
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return in(ctx, s.db, s.ready, s.dialect.write, func(t transaction) error {
		switch n, err := t.exec(s.dialect.sql(revise), c.Revision, string(text), c.Revision-1); {
		case err != nil:
			return err
		case n != 1:
			return authz.ErrConflict
		}
		if err := t.record(s.dialect, rs); err != nil {
			return err
		}
		return t.apply(s.dialect, c)
	})
}

// apply changes what holds now. What is removed goes first.
func (t transaction) apply(d *dialect, c authz.Change) error {
	for _, x := range c.Remove {
		if _, err := t.exec(d.sql(revoke), x.Principal.String(), x.ID.String()); err != nil {
			return err
		}
	}
	args := make([]any, 0, len(columns())*min(len(c.Add), batch))
	for n, some := range inBatches(c.Add) {
		args = args[:0]
		for _, x := range some {
			args = appendRow(args, x)
		}
		if _, err := t.exec(assigning(d, n), args...); err != nil {
			return err
		}
	}
	for _, m := range c.Leave {
		if _, err := t.exec(d.sql(leave), memberID(m.Member.String(), m.Team.String())); err != nil {
			return err
		}
	}
	for _, m := range c.Join {
		member, team := m.Member.String(), m.Team.String()
		if _, err := t.exec(d.sql(join), memberID(member, team), member, team); err != nil {
			return err
		}
	}
	for _, r := range c.Undefine {
		if _, err := t.exec(d.sql(undefine), r.Role.String()); err != nil {
			return err
		}
	}
	for _, r := range c.Define {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := t.exec(d.sql(define), r.Role.String(), string(text)); err != nil {
			return err
		}
	}
	return nil
}

// memberID is the key of a membership. No name holds a space.
func memberID(member, team string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(member+" "+team)))
}

var errText = errors.New("reason or condition: want UTF-8 without NUL")

// writable refuses texts that JSON or a database would alter or not take.
func writable(c authz.Change) error {
	bad := func(s string) bool { return !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 }
	if bad(c.Reason) {
		return errText
	}
	for _, xs := range [][]authz.Authorization{c.Remove, c.Add} {
		for _, x := range xs {
			if bad(x.Reason) || bad(x.Condition) {
				return errText
			}
		}
	}
	return nil
}

// inUTC returns the change as it is read again.
func inUTC(c authz.Change) authz.Change {
	utc := func(t time.Time) time.Time {
		if t.IsZero() {
			return time.Time{}
		}
		return t.UTC()
	}
	all := func(xs []authz.Authorization) []authz.Authorization {
		xs = slices.Clone(xs)
		for i := range xs {
			xs[i].From, xs[i].Until = utc(xs[i].From), utc(xs[i].Until)
		}
		return xs
	}
	c.Time, c.Remove, c.Add = utc(c.Time), all(c.Remove), all(c.Add)
	return c
}
