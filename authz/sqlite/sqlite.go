// Package sqlite opens the embedded databases of the module: one file each,
// encrypted as a whole when a key is given, readable by its owner only.
//
// The encryption keeps content from whoever holds the file. It does not detect
// changes or an older copy put back; what matters is sealed again by its owner.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/gormlite"
	_ "github.com/ncruces/go-sqlite3/vfs/adiantum" // the encrypting file system, used with a key
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// ErrWrongKey means that a file cannot be read with this key: it belongs to
// another key, is damaged, or is no database. Nothing was changed.
var ErrWrongKey = errors.New("sqlite: wrong key, or not a database")

// Open opens or creates a database file. A nil key means no encryption. The
// file is in WAL mode, every commit is on disk before it returns, and one
// connection at a time uses it. Close the result.
func Open(ctx context.Context, path string, key []byte) (*sql.DB, error) {
	if key != nil && len(key) != KeySize {
		return nil, fmt.Errorf("sqlite: open: key of %d bytes, want %d", len(key), KeySize)
	}
	if strings.ContainsAny(path, "?#%") {
		return nil, errors.New("sqlite: open: path with ?, # or %: choose another directory")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	uri := "file:" + path
	if key != nil {
		uri += "?vfs=adiantum"
	}
	db, err := driver.Open(uri, func(c *sqlite3.Conn) error {
		if key != nil {
			// By PRAGMA and never in the name: names end up in errors and logs.
			if err := c.Exec("PRAGMA hexkey='" + hex.EncodeToString(key) + "'"); err != nil {
				return ErrWrongKey
			}
		}
		return c.Exec("PRAGMA busy_timeout=10000; PRAGMA journal_mode=wal; PRAGMA synchronous=full; PRAGMA foreign_keys=on; PRAGMA temp_store=memory")
	})
	if err == nil {
		db.SetMaxOpenConns(1)
		var n int
		err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
		if err == nil {
			return db, nil
		}
		_ = db.Close()
	}
	if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, ErrWrongKey) {
		return nil, ErrWrongKey
	}
	return nil, fmt.Errorf("sqlite: open: %w", err)
}

// Gorm wraps an open database for gorm. Its logger is silent: statements carry
// values, and values do not belong in logs.
func Gorm(db *sql.DB) (*gorm.DB, error) {
	g, err := gorm.Open(gormlite.OpenDB(db), &gorm.Config{Logger: logger.Discard, TranslateError: true})
	if err != nil {
		return nil, fmt.Errorf("sqlite: gorm: %w", err)
	}
	return g, nil
}
