package secrets

import (
	"context"
	"time"
)

// Keeper guards a root key that wraps other keys and never leaves it. Safe for
// concurrent use.
type Keeper interface {
	// Wrap seals a key of 32 bytes, bound to aad.
	Wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	// Unwrap is the inverse for the same aad. What does not open is
	// ErrTampered; a root key that cannot be reached now is ErrKeeper.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// WrappedKey is one version of a tenant's key, wrapped by a Keeper.
type WrappedKey struct {
	ID      [16]byte
	Version uint32 // from 1
	Wrapped []byte
}

// KeyStore keeps the tenants' wrapped keys, apart from the secrets that they
// seal: not in the same database, not in the same backup. Safe for concurrent use.
type KeyStore interface {
	// Keys returns the versions of a tenant's key, oldest first; none is no error.
	Keys(ctx context.Context, tenant string) ([]WrappedKey, error)
	// AddKey makes a new version durable. It is ErrConflict unless the version
	// is one more than the newest.
	AddKey(ctx context.Context, tenant string, k WrappedKey) error
	// Shred destroys every version of a tenant's key, and with them everything
	// that was sealed for the tenant.
	Shred(ctx context.Context, tenant string) error
}

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
