package gormstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Load implements authz.Store. It holds a connection until it returns: each
// must not use the store where there is only one, as in package sqlite. What
// cannot be read ends it and is not skipped, since it may be a deny.
func (s *Store) Load(ctx context.Context, each func(authz.Authorization) error) (authz.Assignments, error) {
	var out authz.Assignments
	err := s.snapshot(ctx, func(t transaction) (err error) {
		if err := t.row("SELECT COALESCE(MAX(revision), 0) FROM authz_history").Scan(&out.Revision); err != nil {
			return err
		}
		if err := t.assignments(s.dialect, each); err != nil {
			return err
		}
		if out.Memberships, err = t.memberships(); err != nil {
			return err
		}
		out.Roles, err = t.roles()
		return err
	})
	if err != nil {
		return authz.Assignments{}, fmt.Errorf("gormstore: load: %w", err)
	}
	return out, nil
}

// loadPage is how many assignments come in one text. More do not make it
// faster; at the full length of every name it is about 30 MB.
const loadPage = 1000

// packed asks for a page of assignments as one text, since each value that a
// driver hands over costs more than what is done with it here. No name holds a
// control character. Terms may, and come with their length.
func packed(d *dialect) string {
	names := columns()
	last := names[len(names)-1]
	us, rs := d.char+"(31)", d.char+"(30)"
	row := "concat_ws(" + us + ", " + strings.Join(names[:len(names)-1], ", ") + ", octet_length(" + last + "), " + last + ")"
	order := strings.Join(d.order, ", ")
	after := "(" + order + ") > (?" + strings.Repeat(", ?", len(d.order)-1) + ")"
	return d.sql("SELECT COUNT(*), COALESCE(" + d.concat + "(" + row + ", " + rs + "), '')" +
		" FROM (SELECT * FROM authz_assignments WHERE " + after + " ORDER BY " + order + " LIMIT ?) AS page")
}

func (t transaction) assignments(d *dialect, each func(authz.Authorization) error) error {
	p := newParser()
	if stepped, err := t.step(p, each); stepped || err != nil {
		return err
	}
	text := packed(d)
	for {
		values := make([]any, 0, 3)
		for _, name := range d.order {
			values = append(values, string(p.key[name]))
		}
		var n int
		var rows []byte
		if err := t.row(text, append(values, loadPage)...).Scan(&n, &rows); err != nil {
			return err
		}
		for range n {
			x, rest, err := p.next(rows)
			if err != nil {
				return err
			}
			rows = rest
			if err := each(x); err != nil {
				return err
			}
		}
		if len(rows) > 0 {
			return errRow
		}
		if n < loadPage {
			return nil
		}
	}
}

func (t transaction) memberships() (out []authz.Membership, err error) {
	rows, err := t.conn.QueryContext(t.ctx, "SELECT member, team FROM authz_members ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var member, team string
		if err := rows.Scan(&member, &team); err != nil {
			return nil, err
		}
		var m authz.Membership
		if m.Member, err = authz.ParsePrincipal(member); err != nil {
			return nil, fmt.Errorf("membership: %w", err)
		}
		if m.Team, err = authz.ParsePrincipal(team); err != nil {
			return nil, fmt.Errorf("membership: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

func (t transaction) roles() (out []authz.RoleDefinition, err error) {
	rows, err := t.conn.QueryContext(t.ctx, "SELECT role, definition FROM authz_roles ORDER BY role")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var role, text string
		if err := rows.Scan(&role, &text); err != nil {
			return nil, err
		}
		var r authz.RoleDefinition
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("definition of %s: %w", role, err)
		}
		if r.Role.String() != role {
			return nil, fmt.Errorf("definition of %s: of another role", role)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
