package gormstore

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// transaction executes statements in one transaction. They go to the connection
// of gorm's transaction: the values are many and small, and reflection over
// them, done by gorm for each, would cost more than the database does.
type transaction struct {
	ctx   context.Context
	conn  gorm.ConnPool
	ready map[string]*sql.Stmt
	under *sql.Conn // what the transaction is on, where it is known
}

// in runs f in a transaction, or in a nested one if db is in one already.
func in(ctx context.Context, db *gorm.DB, ready map[string]*sql.Stmt, o sql.TxOptions, f func(transaction) error) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		return f(transaction{ctx: ctx, conn: tx.Statement.ConnPool, ready: ready})
	}, &o)
}

// snapshot runs f in a transaction that reads. Outside of a transaction of the
// caller it knows its connection.
func (s *Store) snapshot(ctx context.Context, f func(transaction) error) error {
	if _, within := s.db.Statement.ConnPool.(gorm.TxCommitter); within {
		return in(ctx, s.db, s.ready, s.dialect.read, f)
	}
	return s.db.WithContext(ctx).Connection(func(db *gorm.DB) error {
		under, _ := db.Statement.ConnPool.(*sql.Conn)
		return in(ctx, db, s.ready, s.dialect.read, func(t transaction) error {
			t.under = under
			return f(t)
		})
	})
}

// exec executes a statement and returns how many rows it touched.
func (t transaction) exec(text string, args ...any) (int64, error) {
	var r sql.Result
	var err error
	if tx, ok := t.conn.(gorm.Tx); ok && t.ready[text] != nil {
		r, err = tx.StmtContext(t.ctx, t.ready[text]).ExecContext(t.ctx, args...)
	} else {
		r, err = t.conn.ExecContext(t.ctx, text, args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row asks for one row.
func (t transaction) row(text string, args ...any) *sql.Row {
	if tx, ok := t.conn.(gorm.Tx); ok && t.ready[text] != nil {
		return tx.StmtContext(t.ctx, t.ready[text]).QueryRowContext(t.ctx, args...)
	}
	return t.conn.QueryRowContext(t.ctx, text, args...)
}
