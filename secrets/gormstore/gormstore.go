// Package gormstore keeps sealed secrets in an SQL database through gorm. What
// it writes is ciphertext, names and dates; it never sees a key.
package gormstore

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/lockkeeper/lockkeeper/secrets"
)

var _ secrets.Store = (*Store)(nil)

type row struct {
	Name    string `gorm:"primaryKey;size:8192"`
	Tenant  string `gorm:"size:3072;not null;index"`
	Kind    string `gorm:"size:64;not null"`
	Version uint64 `gorm:"not null"`
	Created int64  `gorm:"not null"` // seconds since 1970
	Expires int64  `gorm:"not null"` // seconds since 1970, 0: never
	Revoked bool   `gorm:"not null"`
	Sealed  []byte
}

func (row) TableName() string { return "secrets" }

// Store implements secrets.Store. Safe for concurrent use and by several
// processes.
type Store struct{ db *gorm.DB }

// New prepares the table and returns the store. The database stays the caller's
// to close.
func New(ctx context.Context, db *gorm.DB) (*Store, error) {
	if err := db.WithContext(ctx).AutoMigrate(&row{}); err != nil {
		return nil, fmt.Errorf("gormstore: migrate: %w", err)
	}
	return &Store{db}, nil
}

// Load implements secrets.Store.
func (s *Store) Load(ctx context.Context, name string) (secrets.Row, error) {
	var r row
	switch err := s.db.WithContext(ctx).Take(&r, "name = ?", name).Error; {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return secrets.Row{}, secrets.ErrNotFound
	case err != nil:
		return secrets.Row{}, fmt.Errorf("gormstore: load: %w", err)
	}
	return r.value(), nil
}

// Save implements secrets.Store.
func (s *Store) Save(ctx context.Context, v secrets.Row, ifVersion uint64) error {
	r := row{Name: v.Name, Tenant: v.Tenant, Kind: string(v.Kind), Version: v.Version, Created: v.Created.Unix(), Revoked: v.Revoked, Sealed: v.Sealed}
	if !v.Expires.IsZero() {
		r.Expires = v.Expires.Unix()
	}
	if ifVersion == 0 {
		res := s.db.WithContext(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&r)
		switch {
		case res.Error != nil:
			return fmt.Errorf("gormstore: save: %w", res.Error)
		case res.RowsAffected != 1:
			return secrets.ErrConflict
		}
		return nil
	}
	res := s.db.WithContext(ctx).Model(&row{}).Where("name = ? AND version = ?", v.Name, ifVersion).
		Select("*").Omit("name").Updates(&r)
	switch {
	case res.Error != nil:
		return fmt.Errorf("gormstore: save: %w", res.Error)
	case res.RowsAffected != 1:
		return secrets.ErrConflict
	}
	return nil
}

// List implements secrets.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]secrets.Row, error) {
	var rows []row
	// Not LIKE: where it ignores case, a page can be full of another tenant's rows.
	if err := s.db.WithContext(ctx).Omit("sealed").Where("substr(name, 1, ?) = ? AND name > ?", utf8.RuneCountInString(prefix), prefix, after).
		Order("name").Limit(max(limit, 0)).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("gormstore: list: %w", err)
	}
	out := make([]secrets.Row, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.value())
	}
	return out, nil
}

func (r row) value() secrets.Row {
	v := secrets.Row{Name: r.Name, Tenant: r.Tenant, Kind: secrets.Kind(r.Kind), Version: r.Version, Created: time.Unix(r.Created, 0).UTC(),
		Revoked: r.Revoked, Sealed: r.Sealed}
	if r.Expires != 0 {
		v.Expires = time.Unix(r.Expires, 0).UTC()
	}
	return v
}
