package gormstore

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
)

var _ authz.Sink = (*Audit)(nil)

// Audit implements authz.Sink and reads the records again. Where the Store is
// the sink, it writes the same trail.
type Audit struct {
	db      *gorm.DB
	dialect *dialect
	ready   map[string]*sql.Stmt
}

// NewAudit brings the tables to the present form, as NewStore does, and returns
// the sink.
func NewAudit(ctx context.Context, db *gorm.DB) (*Audit, error) {
	d, err := newDialect(db)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db, d); err != nil {
		return nil, err
	}
	a := &Audit{db, d, map[string]*sql.Stmt{}}
	if err := d.prepare(ctx, db, a.ready, []string{recording(d, 1), d.sql(lastBefore)}); err != nil {
		return nil, fmt.Errorf("gormstore: prepare: %w", err)
	}
	return a, nil
}

// Append implements authz.Sink. Records that do not go on where the trail ends,
// because another process wrote meanwhile, are authz.ErrConflict.
func (a *Audit) Append(ctx context.Context, rs []authz.AuditRecord) error {
	err := in(ctx, a.db, a.ready, a.dialect.write, func(t transaction) error { return t.record(a.dialect, rs) })
	if err != nil {
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

// lastBefore finds the record that a new one must follow.
const lastBefore = "SELECT COALESCE(MAX(sequence), 0) FROM authz_audit WHERE sequence < ?"

// recording adds n records, or fewer where one of them is there already.
func recording(d *dialect, n int) string {
	return d.sql(insertion("authz_audit", []string{"sequence", "time", "decision", "cause", "principal", "on_behalf_of", "permission",
		"resource", "allowed", "reason", "revision", "previous", "hash"}, n) + " ON CONFLICT DO NOTHING")
}

// record appends records to the trail.
func (t transaction) record(d *dialect, rs []authz.AuditRecord) error {
	if len(rs) == 0 {
		return nil
	}
	for i, r := range rs {
		if r.Sequence != rs[0].Sequence+uint64(i) {
			return fmt.Errorf("record %d follows %d", r.Sequence, rs[i-1].Sequence)
		}
	}
	args := make([]any, 0, 13*min(len(rs), batch))
	for n, some := range inBatches(rs) {
		args = args[:0]
		for _, r := range some {
			args = append(args, r.Sequence, r.Time.UnixMicro(), r.Decision.String(), r.Cause.String(), r.Principal.String(), r.OnBehalfOf.String(),
				r.Permission.String(), r.Resource.String(), r.Allowed, r.Reason, r.Revision, r.Previous[:], r.Hash[:])
		}
		switch added, err := t.exec(recording(d, n), args...); {
		case err != nil:
			return err
		case added != int64(n):
			return authz.ErrConflict
		}
	}
	var last uint64
	if err := t.row(d.sql(lastBefore), rs[0].Sequence).Scan(&last); err != nil {
		return err
	}
	if last+1 != rs[0].Sequence {
		return authz.ErrConflict
	}
	return nil
}

type auditRow struct {
	Sequence   uint64
	Time       int64 // microseconds since 1970
	Decision   string
	Cause      string
	Principal  string
	OnBehalfOf string
	Permission string
	Resource   string
	Allowed    bool
	Reason     string
	Revision   uint64
	Previous   []byte
	Hash       []byte
}

func (auditRow) TableName() string { return "authz_audit" }

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
	}{{&v.Principal, r.Principal}, {&v.OnBehalfOf, r.OnBehalfOf}, {&v.Resource, r.Resource}, {&v.Permission, r.Permission}} {
		if err := f.to.UnmarshalText([]byte(f.text)); err != nil {
			return v, err
		}
	}
	return v, nil
}
