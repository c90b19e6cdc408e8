package gormstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

// dialect is how one kind of database differs from the other. Where gorm knows
// the difference it is asked; this is the rest.
type dialect struct {
	name   string
	key    string // type of a text that is a primary key
	number string // type of a number that is a primary key
	blob   string // type of bytes
	tail   string // end of CREATE TABLE, for tables that are found by their key only
	// order is the key of an assignment. PostgreSQL keeps no rows in the order of
	// a key, nor a name of full length in an index.
	order   []string
	lock    string // first statement of a migration; "" where the isolation does it
	concat  string // aggregate function that joins texts
	char    string // function from a number to a character
	prepped bool   // preparing statements here pays; a driver that does so itself needs no help

	read, write sql.TxOptions
}

func newDialect(db *gorm.DB) (*dialect, error) {
	switch name := db.Name(); name {
	case "sqlite":
		return &dialect{name: name, key: "TEXT", number: "INTEGER", blob: "BLOB", tail: " WITHOUT ROWID", order: []string{"principal", "id"}, concat: "group_concat", char: "char", prepped: true,
			// Serializable takes the write lock at the beginning. Whoever reads
			// first and then writes may find that another did the same, and
			// neither of the two could go on.
			read: sql.TxOptions{ReadOnly: true}, write: sql.TxOptions{Isolation: sql.LevelSerializable}}, nil
	case "postgres":
		return &dialect{name: name, key: `TEXT COLLATE "C"`, number: "BIGINT", blob: "BYTEA", order: []string{"id"}, concat: "string_agg", char: "chr",
			lock: "SELECT pg_advisory_xact_lock(7311437120031415927)",
			read: sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
			// The row of the revision, written first, puts writers in a line. A
			// stricter level would only turn some conflicts into other errors.
			write: sql.TxOptions{Isolation: sql.LevelReadCommitted}}, nil
	default:
		return nil, fmt.Errorf("gormstore: database %.40q: want sqlite or postgres", name)
	}
}

// sql writes a statement with the dialect's parameters in place of each "?".
func (d *dialect) sql(text string) string {
	if d.name == "sqlite" {
		return text
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, more := strings.Cut(text, "?")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		text = after
	}
}

// prepare prepares statements for transactions to come. Within a transaction of
// the caller it does nothing, since the only connection may be in use.
func (d *dialect) prepare(ctx context.Context, db *gorm.DB, ready map[string]*sql.Stmt, texts []string) error {
	if _, in := db.Statement.ConnPool.(gorm.TxCommitter); in || !d.prepped {
		return nil
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	for _, text := range texts {
		if ready[text] != nil {
			continue
		}
		if ready[text], err = pool.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
