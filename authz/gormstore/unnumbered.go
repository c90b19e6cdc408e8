package gormstore

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
)

// adoptUnnumbered is step 2: rows of the tables that this package made before
// it numbered their forms. Texts are carried over as they are, so that nothing
// is lost that someone altered by hand: loading judges them.
func adoptUnnumbered(tx *gorm.DB, _ *dialect) error {
	if !tx.Migrator().HasTable("authz_authorizations") {
		return nil
	}
	for _, part := range []func(*gorm.DB) error{adoptAuthorizations, adoptMemberships, adoptRevisions} {
		if err := part(tx); err != nil {
			return err
		}
	}
	return tx.Migrator().DropTable("authz_authorizations", "authz_memberships", "authz_revisions")
}

type unnumberedAuthorization struct {
	ID, Principal, Role, Resource string
	Effect                        int64
	From, Until                   sql.NullTime
	GrantedBy, Reason             string
}

func (unnumberedAuthorization) TableName() string { return "authz_authorizations" }

func adoptAuthorizations(tx *gorm.DB) error {
	for last := ""; ; {
		var rows []unnumberedAuthorization
		if err := tx.Where("id > ?", last).Order("id").Limit(batch).Find(&rows).Error; err != nil {
			return err
		}
		for _, r := range rows {
			if err := tx.Exec(insertion("authz_assignments", columnsApart(), 1), r.ID, r.Principal, r.Role, r.Resource, r.Effect, stamp(r.From.Time), stamp(r.Until.Time),
				r.GrantedBy, 0, "", r.Reason, "").Error; err != nil {
				return err
			}
			last = r.ID
		}
		if len(rows) < batch {
			return nil
		}
	}
}

func adoptMemberships(tx *gorm.DB) error {
	var rows []struct{ Member, Team string }
	if err := tx.Table("authz_memberships").Find(&rows).Error; err != nil {
		return err
	}
	for _, r := range rows {
		if err := tx.Exec(insertion("authz_members", []string{"id", "member", "team"}, 1), memberID(r.Member, r.Team), r.Member, r.Team).Error; err != nil {
			return err
		}
	}
	return nil
}

type unnumberedRevision struct {
	Number         uint64
	Author, Reason string
	Time           sql.NullTime
	Diff           string
}

func (unnumberedRevision) TableName() string { return "authz_revisions" }

// adoptRevisions writes the history anew: it named what was removed by id only.
func adoptRevisions(tx *gorm.DB) error {
	held := map[uuid.UUID]authz.Authorization{}
	for last := uint64(0); ; {
		var rows []unnumberedRevision
		if err := tx.Where("number > ?", last).Order("number").Limit(batch).Find(&rows).Error; err != nil {
			return err
		}
		for _, r := range rows {
			c, err := r.change(held)
			if err != nil {
				return fmt.Errorf("revision %d: %w", r.Number, err)
			}
			text, err := json.Marshal(c)
			if err != nil {
				return fmt.Errorf("revision %d: %w", r.Number, err)
			}
			if err := tx.Exec(insertion("authz_history", []string{"revision", "change"}, 1), c.Revision, string(text)).Error; err != nil {
				return err
			}
			last = r.Number
		}
		if len(rows) < batch {
			return nil
		}
	}
}

// change reads a revision, given what was held before it, which it updates.
func (r unnumberedRevision) change(held map[uuid.UUID]authz.Authorization) (c authz.Change, err error) {
	var diff struct {
		Add    []authz.Authorization
		Remove []uuid.UUID
		Join   []authz.Membership
		Leave  []authz.Membership
	}
	if err := json.Unmarshal([]byte(r.Diff), &diff); err != nil {
		return c, err
	}
	c = inUTC(authz.Change{Revision: r.Number, Reason: r.Reason, Time: r.Time.Time, Add: diff.Add, Join: diff.Join, Leave: diff.Leave})
	if err := c.Author.UnmarshalText([]byte(r.Author)); err != nil {
		return c, err
	}
	for _, id := range diff.Remove {
		x, ok := held[id]
		if !ok {
			x = authz.Authorization{ID: id} // more is not known
		}
		c.Remove = append(c.Remove, x)
		delete(held, id)
	}
	for _, x := range c.Add {
		held[x.ID] = x
	}
	return c, nil
}
