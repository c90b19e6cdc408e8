package secrets

import "context"

// Keeper guards a root key that wraps other keys and never leaves it. Wrap and
// Unwrap are all that a Safe needs; a Keeper that can do more says so by
// implementing BatchKeeper, BatchWrapper, Rewrapper, Rotator or Prober as well. Safe for
// concurrent use.
type Keeper interface {
	// Wrap seals a key of 32 bytes, bound to aad.
	Wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	// Unwrap is the inverse for the same aad. What does not open is
	// ErrTampered; a root key that cannot be reached now is ErrKeeper.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// KeyItem is one wrapped key among several, and what it is bound to.
type KeyItem struct{ Wrapped, AAD []byte }

// OpenKey is one key of 32 bytes in the clear among several, and what it is to be
// bound to.
type OpenKey struct{ Key, AAD []byte }

// KeyResult answers one KeyItem or OpenKey: what was asked for, or why not.
type KeyResult struct {
	Key []byte // the key in the clear from UnwrapAll, its wrap from WrapAll and Rewrap
	Err error  // ErrTampered for what does not open
}

// BatchKeeper unwraps many keys in few calls.
type BatchKeeper interface {
	// UnwrapAll answers each item in its place. The error is for what stopped
	// all of them; then there are no results.
	UnwrapAll(ctx context.Context, items []KeyItem) ([]KeyResult, error)
}

// BatchWrapper wraps many keys in few calls.
type BatchWrapper interface {
	// WrapAll answers each key in its place with its wrap, or the error that is
	// about it alone. The error is for what stopped all of them; then there are
	// no results. It keeps nothing of the keys.
	WrapAll(ctx context.Context, keys []OpenKey) ([]KeyResult, error)
}

// Rewrapper wraps keys under the newest root key without showing them.
type Rewrapper interface {
	// Rewrap answers each item in its place. The error is for what stopped all
	// of them; then there are no results.
	Rewrap(ctx context.Context, items []KeyItem) ([]KeyResult, error)
}

// Rotator can make its root key new. What older versions wrapped goes on to open.
type Rotator interface {
	// Rotate makes a new version that wraps from now on, and returns its number.
	Rotate(ctx context.Context) (version uint32, err error)
	// Retire gives up versions before the given one for good: what they wrapped
	// is ErrTampered from then on. Rewrap it first.
	Retire(ctx context.Context, before uint32) error
}

// Prober tells how it is.
type Prober interface {
	// Probe asks the root key's guardian, within ctx. An error means that it
	// could not even ask; whatever was learned is in the Health.
	Probe(ctx context.Context) (Health, error)
}

// State is how a Keeper is.
type State string

// States.
const (
	Ready       State = "ready"
	Sealed      State = "sealed"      // waits for its operators
	Standby     State = "standby"     // another node answers
	Unreachable State = "unreachable" // no answer, or none in time
	Denied      State = "denied"      // it answers, and refuses us
	Misused     State = "misused"     // it answers, but is not set up as it must be
)

// Health is what a Prober found.
type Health struct {
	State   State
	Detail  string // one sentence for an operator: what is wrong and what to do; no addresses, no tokens
	Version uint32 // of the newest root key; 0: not known
}

// WrappedKey is one version of a tenant's key, wrapped by a Keeper.
type WrappedKey struct {
	ID      [16]byte
	Version uint32 // from 1
	Wrapped []byte
}

// TenantKeys are the keys of one tenant, oldest first.
type TenantKeys struct {
	Tenant string
	Keys   []WrappedKey
}

// KeyStore keeps the tenants' wrapped keys, apart from the secrets that they
// seal: not in the same database, not in the same backup. Safe for concurrent use.
type KeyStore interface {
	// Keys returns the versions of a tenant's key, oldest first; none is no error.
	Keys(ctx context.Context, tenant string) ([]WrappedKey, error)
	// List returns tenants and their keys page by page, each tenant once, in an
	// order of its own. The cursor "" begins, and as next ends.
	List(ctx context.Context, cursor string) (page []TenantKeys, next string, err error)
	// AddKey makes a new version durable. It is ErrConflict unless the version
	// is one more than the newest, or 1 where there is none.
	AddKey(ctx context.Context, tenant string, k WrappedKey) error
	// ReplaceKey puts a new wrap of the same key in the place of the old one. It
	// is ErrConflict unless old is what is stored for this id and version.
	ReplaceKey(ctx context.Context, tenant string, old []byte, k WrappedKey) error
	// RemoveKeys destroys the versions before the given one, but never the newest.
	RemoveKeys(ctx context.Context, tenant string, before uint32) error
	// Shred destroys every version of a tenant's key, and with them everything
	// that was sealed for the tenant.
	Shred(ctx context.Context, tenant string) error
}

// KeyImporter is a KeyStore that takes over what another one had.
type KeyImporter interface {
	// ImportKeys makes the keys of tenants durable, for each tenant all or none,
	// and answers each in its place: nil, or ErrConflict for a tenant that has
	// keys here already. The versions of a tenant follow one another and may
	// begin with any. The error is for what stopped all of them; some tenants
	// may have been imported then.
	ImportKeys(ctx context.Context, ts []TenantKeys) ([]error, error)
}
