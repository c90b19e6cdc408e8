package gormstore

import (
	"strings"

	"gorm.io/gorm"
)

// columnsApart are those of an assignment up to step 2.
func columnsApart() []string {
	return []string{"id", "principal", "role", "resource", "effect", "starts", "ends", "granted_by", "pending", "approved_by", "reason", "condition"}
}

// clusterAssignments is step 3: where a database can keep rows in the order of
// their key, those of one principal lie together, and what most rows have none
// of is one column. Both are for whoever loads all of them. Texts are carried
// over as they are: loading judges them.
func clusterAssignments(tx *gorm.DB, d *dialect) error {
	us := "'\x1f'"
	rest := strings.Join([]string{"starts", "ends", "pending", "approved_by", "octet_length(reason)", "reason"}, " || "+us+" || ") + " || condition"
	for _, ddl := range []string{
		"ALTER TABLE authz_assignments RENAME TO authz_assignments_apart",
		`CREATE TABLE authz_assignments (
			id ` + d.key + ` NOT NULL,
			principal TEXT NOT NULL,
			role TEXT NOT NULL,
			resource TEXT NOT NULL,
			effect SMALLINT NOT NULL,
			granted_by TEXT NOT NULL,
			terms TEXT NOT NULL,
			PRIMARY KEY (` + strings.Join(d.order, ", ") + `)
		)` + d.tail,
		`INSERT INTO authz_assignments (id, principal, role, resource, effect, granted_by, terms)
			SELECT id, principal, role, resource, effect, granted_by,
				CASE WHEN starts = '' AND ends = '' AND pending = 0 AND approved_by = '' AND reason = '' AND condition = '' THEN '' ELSE ` + rest + ` END
			FROM authz_assignments_apart ORDER BY ` + strings.Join(d.order, ", "),
		"DROP TABLE authz_assignments_apart",
	} {
		if err := tx.Exec(ddl).Error; err != nil {
			return err
		}
	}
	return nil
}
