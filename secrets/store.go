package secrets

import (
	"context"
	"time"
)

// Row is a sealed secret as a Store keeps it. Everything in the clear here but
// Created and Revoked is also bound inside Sealed, so that a changed row does
// not open; what was revoked has no Sealed to open.
type Row struct {
	Name    string // Ref.String
	Tenant  string
	Kind    Kind
	Version uint64    // from 1, counts Puts
	Created time.Time // of this version
	Expires time.Time // zero: never
	Revoked bool      // Sealed is gone
	Sealed  []byte    // an envelope, see FORMAT.md; nil in listings
}

// Store keeps sealed secrets. Safe for concurrent use.
type Store interface {
	// Load returns a row, or ErrNotFound.
	Load(ctx context.Context, name string) (Row, error)
	// Save makes a row durable before it returns. It is ErrConflict unless the
	// stored version is ifVersion, with 0 for a row that is not there yet.
	Save(ctx context.Context, r Row, ifVersion uint64) error
	// List returns up to limit rows, without Sealed, whose names begin with
	// prefix and sort after the given name.
	List(ctx context.Context, prefix, after string, limit int) ([]Row, error)
}
