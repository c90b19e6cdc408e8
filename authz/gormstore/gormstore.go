// Package gormstore keeps assignments, the history of their changes and audit
// records in an SQL database through gorm: the embedded SQLite of package
// sqlite, or PostgreSQL where one machine is outgrown.
//
// A change, its place in the history and the audit records that lead to it are
// one transaction. The history is the outbox too: whoever has read it up to a
// revision asks for what came after.
//
// Times are kept to the nanosecond, in UTC. Reasons and conditions are UTF-8
// without NUL, as both databases and JSON can hold; anything else is refused
// and changes nothing.
package gormstore

import (
	"context"
	"database/sql"
	"fmt"

	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
)

var _ authz.Committer = (*Store)(nil)

// Store implements authz.Committer. Safe for concurrent use and by several
// processes: of two changes made from one revision, one is authz.ErrConflict.
type Store struct {
	db      *gorm.DB
	dialect *dialect
	audit   *Audit
	ready   map[string]*sql.Stmt // prepared statements by their text, where that pays
}

// NewStore brings the tables to the present form and returns the store. The
// database stays the caller's to close. A database that a newer version wrote
// is ErrNewer.
func NewStore(ctx context.Context, db *gorm.DB) (*Store, error) {
	audit, err := NewAudit(ctx, db)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: audit.dialect, audit: audit, ready: audit.ready}
	if err := s.dialect.prepare(ctx, db, s.ready, applying(s.dialect)); err != nil {
		return nil, fmt.Errorf("gormstore: prepare: %w", err)
	}
	return s, nil
}

// Append implements authz.Sink; see Audit.
func (s *Store) Append(ctx context.Context, rs []authz.AuditRecord) error {
	return s.audit.Append(ctx, rs)
}

// Head implements authz.Sink; see Audit.
func (s *Store) Head(ctx context.Context) (uint64, authz.Hash, error) { return s.audit.Head(ctx) }
