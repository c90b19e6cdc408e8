// Package gormstore keeps Authorizations and audit records in an SQL database
// through gorm: the embedded SQLite or any other that gorm speaks.
package gormstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
)

var (
	_ authz.Store = (*Store)(nil)
	_ authz.Sink  = (*Audit)(nil)
)

type authorization struct {
	ID        string `gorm:"primaryKey;size:36"`
	Principal string `gorm:"size:8192;not null;index"`
	Role      string `gorm:"size:128;not null"`
	Resource  string `gorm:"size:8192;not null"`
	Effect    uint8  `gorm:"not null"`
	From      *time.Time
	Until     *time.Time
	GrantedBy string `gorm:"size:8192;not null"`
	Reason    string `gorm:"size:1024;not null"`
}

func (authorization) TableName() string { return "authz_authorizations" }

type membership struct {
	Member string `gorm:"primaryKey;size:4096"`
	Team   string `gorm:"primaryKey;size:4096"`
}

func (membership) TableName() string { return "authz_memberships" }

// revision is the history: one row for each change, never altered.
type revision struct {
	Number uint64    `gorm:"primaryKey;autoIncrement:false"`
	Author string    `gorm:"size:8192;not null"`
	Reason string    `gorm:"size:1024;not null"`
	Time   time.Time `gorm:"not null"`
	Diff   string    `gorm:"not null"` // JSON: what was added and removed
}

func (revision) TableName() string { return "authz_revisions" }

// Store implements authz.Store. Safe for concurrent use and by several
// processes: of two changes made from one revision, one is authz.ErrConflict.
type Store struct{ db *gorm.DB }

// NewStore prepares the tables and returns the store. The database stays the
// caller's to close.
func NewStore(ctx context.Context, db *gorm.DB) (*Store, error) {
	if err := db.WithContext(ctx).AutoMigrate(&authorization{}, &membership{}, &revision{}); err != nil {
		return nil, fmt.Errorf("gormstore: migrate: %w", err)
	}
	return &Store{db}, nil
}

// Load implements authz.Store.
func (s *Store) Load(ctx context.Context, each func(authz.Authorization) error) (authz.Assignments, error) {
	var out authz.Assignments
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&revision{}).Select("COALESCE(MAX(number), 0)").Scan(&out.Revision).Error; err != nil {
			return err
		}
		rows, err := tx.Model(&authorization{}).Order("id").Rows()
		if err != nil {
			return err
		}
		for rows.Next() {
			var r authorization
			if err := tx.ScanRows(rows, &r); err != nil {
				_ = rows.Close()
				return err
			}
			a, err := r.value()
			if err != nil {
				_ = rows.Close()
				return fmt.Errorf("authorization %s: %w", r.ID, err)
			}
			if err := each(a); err != nil {
				_ = rows.Close()
				return err
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		var ms []membership
		if err := tx.Order("member, team").Find(&ms).Error; err != nil {
			return err
		}
		for _, m := range ms {
			member, err := authz.ParsePrincipal(m.Member)
			if err != nil {
				return err
			}
			team, err := authz.ParsePrincipal(m.Team)
			if err != nil {
				return err
			}
			out.Memberships = append(out.Memberships, authz.Membership{Member: member, Team: team})
		}
		return nil
	})
	if err != nil {
		return authz.Assignments{}, fmt.Errorf("gormstore: load: %w", err)
	}
	return out, nil
}

// Apply implements authz.Store.
func (s *Store) Apply(ctx context.Context, c authz.Change) error {
	diff, err := json.Marshal(struct {
		Add    []authz.Authorization `json:"add,omitempty"`
		Remove []authz.Authorization `json:"remove,omitempty"`
		Join   []authz.Membership    `json:"join,omitempty"`
		Leave  []authz.Membership    `json:"leave,omitempty"`
	}{c.Add, c.Remove, c.Join, c.Leave})
	if err != nil {
		return fmt.Errorf("gormstore: apply: %w", err)
	}
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// Write first: whoever reads first and writes then may find the
		// database locked by another who did the same, and neither waits.
		if err := tx.Create(&revision{c.Revision, c.Author.String(), c.Reason, c.Time.UTC(), string(diff)}).Error; err != nil {
			if errors.Is(err, gorm.ErrDuplicatedKey) {
				return authz.ErrConflict
			}
			return err
		}
		var last uint64
		if err := tx.Model(&revision{}).Where("number < ?", c.Revision).Select("COALESCE(MAX(number), 0)").Scan(&last).Error; err != nil {
			return err
		}
		if last+1 != c.Revision {
			return authz.ErrConflict
		}
		for _, x := range c.Remove {
			if err := tx.Delete(&authorization{}, "id = ?", x.ID.String()).Error; err != nil {
				return err
			}
		}
		for _, a := range c.Add {
			r := row(a)
			if err := tx.Create(&r).Error; err != nil {
				return err
			}
		}
		for _, m := range c.Leave {
			if err := tx.Delete(&membership{}, "member = ? AND team = ?", m.Member.String(), m.Team.String()).Error; err != nil {
				return err
			}
		}
		for _, m := range c.Join {
			r := membership{m.Member.String(), m.Team.String()}
			if err := tx.Where(&r).FirstOrCreate(&r).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("gormstore: apply: %w", err)
	}
	return nil
}

// Changes implements authz.Store.
func (s *Store) Changes(ctx context.Context, after uint64) iter.Seq2[authz.Change, error] {
	return func(yield func(authz.Change, error) bool) {}
}

func row(a authz.Authorization) authorization {
	r := authorization{ID: a.ID.String(), Principal: a.Principal.String(), Role: a.Role.String(), Resource: a.Resource.String(),
		Effect: uint8(a.Effect), GrantedBy: a.GrantedBy.String(), Reason: a.Reason}
	if !a.From.IsZero() {
		t := a.From.UTC()
		r.From = &t
	}
	if !a.Until.IsZero() {
		t := a.Until.UTC()
		r.Until = &t
	}
	return r
}

func (r authorization) value() (a authz.Authorization, err error) {
	a.Effect, a.Reason = authz.Effect(r.Effect), r.Reason
	if r.From != nil {
		a.From = *r.From
	}
	if r.Until != nil {
		a.Until = *r.Until
	}
	if a.ID, err = uuid.Parse(r.ID); err != nil {
		return a, err
	}
	if a.Role, err = authz.ParseRole(r.Role); err != nil {
		return a, err
	}
	if a.Resource, err = authz.ParseResource(r.Resource); err != nil {
		return a, err
	}
	if a.Principal, err = authz.ParsePrincipal(r.Principal); err != nil {
		return a, err
	}
	return a, a.GrantedBy.UnmarshalText([]byte(r.GrantedBy))
}

type auditRow struct {
	Sequence   uint64 `gorm:"primaryKey;autoIncrement:false"`
	Time       int64  `gorm:"not null;index"` // microseconds since 1970
	Decision   string `gorm:"size:36;not null"`
	Cause      string `gorm:"size:36;not null"`
	Principal  string `gorm:"size:8192;not null"`
	OnBehalfOf string `gorm:"size:8192;not null"`
	Permission string `gorm:"size:128;not null"`
	Resource   string `gorm:"size:8192;not null"`
	Allowed    bool   `gorm:"not null"`
	Reason     string `gorm:"not null"`
	Revision   uint64 `gorm:"not null"`
	Previous   []byte `gorm:"not null"`
	Hash       []byte `gorm:"not null"`
}

func (auditRow) TableName() string { return "authz_audit" }

// Audit implements authz.Sink.
type Audit struct{ db *gorm.DB }

// NewAudit prepares the table and returns the sink.
func NewAudit(ctx context.Context, db *gorm.DB) (*Audit, error) {
	if err := db.WithContext(ctx).AutoMigrate(&auditRow{}); err != nil {
		return nil, fmt.Errorf("gormstore: migrate: %w", err)
	}
	return &Audit{db}, nil
}

// Append implements authz.Sink.
func (a *Audit) Append(ctx context.Context, rs []authz.AuditRecord) error {
	rows := make([]auditRow, len(rs))
	for i, r := range rs {
		rows[i] = auditRow{r.Sequence, r.Time.UnixMicro(), r.Decision.String(), r.Cause.String(), r.Principal.String(), r.OnBehalfOf.String(),
			r.Permission.String(), r.Resource.String(), r.Allowed, r.Reason, r.Revision, r.Previous[:], r.Hash[:]}
	}
	if err := a.db.WithContext(ctx).CreateInBatches(rows, 200).Error; err != nil {
		return fmt.Errorf("gormstore: audit: %w", err)
	}
	return nil
}

// Head implements authz.Sink.
func (a *Audit) Head(ctx context.Context) (uint64, authz.Hash, error) {
	for r, err := range a.Records(ctx, 0, true) {
		return r.Sequence, r.Hash, err
	}
	return 0, authz.Hash{}, nil
}

// Records streams records: those after a sequence number, oldest first, or all,
// newest first. Feed it to authz.Verify.
func (a *Audit) Records(ctx context.Context, after uint64, newestFirst bool) iter.Seq2[authz.AuditRecord, error] {
	return func(yield func(authz.AuditRecord, error) bool) {
		const page = 500
		for {
			q := a.db.WithContext(ctx).Limit(page)
			switch {
			case !newestFirst:
				q = q.Where("sequence > ?", after).Order("sequence")
			case after > 0:
				q = q.Where("sequence < ?", after).Order("sequence DESC")
			default:
				q = q.Order("sequence DESC")
			}
			var rows []auditRow
			if err := q.Find(&rows).Error; err != nil {
				yield(authz.AuditRecord{}, fmt.Errorf("gormstore: audit: %w", err))
				return
			}
			for _, r := range rows {
				v, err := r.value()
				if !yield(v, err) || err != nil {
					return
				}
				after = r.Sequence
			}
			if len(rows) < page || after <= 1 && newestFirst {
				return
			}
		}
	}
}

func (r auditRow) value() (v authz.AuditRecord, err error) {
	v = authz.AuditRecord{Sequence: r.Sequence, Time: time.UnixMicro(r.Time).UTC(), Allowed: r.Allowed, Reason: r.Reason, Revision: r.Revision}
	if len(r.Hash) != len(v.Hash) || len(r.Previous) != len(v.Previous) {
		return v, fmt.Errorf("gormstore: audit: record %d: hash of wrong length", r.Sequence)
	}
	copy(v.Hash[:], r.Hash)
	copy(v.Previous[:], r.Previous)
	if v.Decision, err = uuid.Parse(r.Decision); err != nil {
		return v, err
	}
	if v.Cause, err = uuid.Parse(r.Cause); err != nil {
		return v, err
	}
	for _, f := range []struct {
		to   interface{ UnmarshalText([]byte) error }
		text string
	}{{&v.Principal, r.Principal}, {&v.OnBehalfOf, r.OnBehalfOf}, {&v.Resource, r.Resource}} {
		if err := f.to.UnmarshalText([]byte(f.text)); err != nil {
			return v, err
		}
	}
	// A request for no permission at all is recorded too.
	if r.Permission != "" {
		v.Permission, err = authz.ParsePermission(r.Permission)
	}
	return v, err
}
