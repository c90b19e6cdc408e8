package gormstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// ErrNewer means that a newer version of this module wrote the database. It is
// left alone: what an old program does not know, it would lose.
var ErrNewer = errors.New("written by a newer version")

// step brings the tables from one number to the next. Once released it is never
// altered; what is wrong with it, the next one puts right.
type step struct {
	name string
	do   func(*gorm.DB, *dialect) error
}

func steps() []step {
	return []step{
		{"tables", createTables},
		{"rows from before there were numbers", adoptUnnumbered},
		{"assignments by their holder", clusterAssignments},
	}
}

// migrate takes the steps that a database lacks, all in one transaction, one
// process at a time.
func migrate(ctx context.Context, db *gorm.DB, d *dialect) error {
	all := steps()
	db = db.WithContext(ctx)
	// Most starts find nothing to do and need no lock to see it.
	if db.Migrator().HasTable("authz_schema") {
		switch n, err := version(db); {
		case err != nil:
			return fmt.Errorf("gormstore: migrate: %w", err)
		case n == len(all):
			return nil
		}
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		if d.lock != "" {
			if err := tx.Exec(d.lock).Error; err != nil {
				return err
			}
		}
		if err := tx.Exec("CREATE TABLE IF NOT EXISTS authz_schema (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT NOT NULL)").Error; err != nil {
			return err
		}
		n, err := version(tx)
		if err != nil {
			return err
		}
		if n > len(all) {
			return fmt.Errorf("database of schema %d, this program knows those up to %d: %w", n, len(all), ErrNewer)
		}
		for ; n < len(all); n++ {
			if err := all[n].do(tx, d); err != nil {
				return fmt.Errorf("step %d, %s: %w", n+1, all[n].name, err)
			}
			if err := tx.Exec("INSERT INTO authz_schema (version, name, applied) VALUES (?, ?, ?)", n+1, all[n].name, time.Now().UTC().Format(time.RFC3339)).Error; err != nil {
				return err
			}
		}
		return nil
	}, &d.write)
	if err != nil {
		return fmt.Errorf("gormstore: migrate: %w", err)
	}
	return nil
}

// version returns the last step that was taken.
func version(db *gorm.DB) (n int, err error) {
	err = db.Raw("SELECT COALESCE(MAX(version), 0) FROM authz_schema").Scan(&n).Error
	return n, err
}

// createTables is step 1. What is a key is short: an index of PostgreSQL cannot
// hold two names of full length, so that a membership goes by their hash.
func createTables(tx *gorm.DB, d *dialect) error {
	for _, ddl := range []string{
		`CREATE TABLE authz_assignments (
			id ` + d.key + ` PRIMARY KEY,
			principal TEXT NOT NULL,
			role TEXT NOT NULL,
			resource TEXT NOT NULL,
			effect SMALLINT NOT NULL,
			starts TEXT NOT NULL,
			ends TEXT NOT NULL,
			granted_by TEXT NOT NULL,
			pending SMALLINT NOT NULL,
			approved_by TEXT NOT NULL,
			reason TEXT NOT NULL,
			condition TEXT NOT NULL
		)` + d.tail,
		`CREATE TABLE authz_members (
			id ` + d.key + ` PRIMARY KEY,
			member TEXT NOT NULL,
			team TEXT NOT NULL
		)` + d.tail,
		`CREATE TABLE authz_roles (
			role ` + d.key + ` PRIMARY KEY,
			definition TEXT NOT NULL
		)` + d.tail,
		`CREATE TABLE authz_history (
			revision ` + d.number + ` PRIMARY KEY,
			change TEXT NOT NULL
		)`,
		// The table of the audit trail is as it was before there were numbers.
		`CREATE TABLE IF NOT EXISTS authz_audit (
			sequence ` + d.number + ` PRIMARY KEY,
			time BIGINT NOT NULL,
			decision VARCHAR(36) NOT NULL,
			cause VARCHAR(36) NOT NULL,
			principal VARCHAR(8192) NOT NULL,
			on_behalf_of VARCHAR(8192) NOT NULL,
			permission VARCHAR(128) NOT NULL,
			resource VARCHAR(8192) NOT NULL,
			allowed BOOLEAN NOT NULL,
			reason TEXT NOT NULL,
			revision BIGINT NOT NULL,
			previous ` + d.blob + ` NOT NULL,
			hash ` + d.blob + ` NOT NULL
		)`,
		// It had an index that nothing asked and every record paid for.
		`DROP INDEX IF EXISTS idx_authz_audit_time`,
	} {
		if err := tx.Exec(ddl).Error; err != nil {
			return err
		}
	}
	return nil
}
