package secrets

import (
	"context"
	"time"
)

// A Store keeps three kinds of rows. Nothing in them is a secret in the clear,
// and a change of any column but LastUse is seen when the row is used: versions
// are bound to what is sealed in them, heads are under a MAC, and the key of
// that MAC is sealed in the tenant's row together with its generation.
//
// Times are whole seconds, in UTC; the zero time is stored as none.

// Tenant is one tenant's row. Every Load brings it along, so that a rotation or
// an erasure by another process is seen at the next use.
type Tenant struct {
	Name       string
	Generation uint32    // version of the tenant key that seals now; 0: there is no row
	HeadKey    []byte    // an envelope: the key of the heads' MACs, sealed at this generation
	Erased     time.Time // not zero: everything of the tenant is gone for good and nothing is put again
}

// Head is what is known of one secret, whatever its version.
type Head struct {
	Name     string // Ref.String
	Tenant   string
	Revision uint64 // from 1, counts changes of this row
	Current  uint64 // the version in use: the newest, always
	Oldest   uint64 // the oldest version that is kept; Current+1 when none is
	Revoked  bool   // no version is kept
	Kind     Kind
	Scope    string    // what the secret may do elsewhere, where its scheme says so
	Created  time.Time // of the secret
	Changed  time.Time // of the current version, or when it was revoked
	Expires  time.Time // zero: never
	Due      time.Time // when it is to be replaced; zero: not said
	LastUse  time.Time // about; zero: not known. The only column that nothing protects
	MAC      []byte
}

// Version is one sealed value. Its row never changes, but that the key in it is
// wrapped anew.
type Version struct {
	Name       string
	Tenant     string
	Number     uint64 // from 1, without gaps
	Kind       Kind
	Created    time.Time
	Expires    time.Time
	KeyVersion uint32 // of the tenant key that Wrap is under
	Wrap       []byte // the head of an envelope, see FORMAT.md
	Body       []byte // the rest of it
}

// Record is a secret as of one moment. What is not there is zero.
type Record struct {
	Tenant  Tenant
	Head    Head
	Version Version
	Newest  uint64 // the highest version that there is a row of, 0: none
}

// Entry is a secret in a listing.
type Entry struct {
	Head
	KeyVersion uint32 // of the current version; 0: it has none
}

// Rewrap is a new wrap for a version.
type Rewrap struct {
	Name       string
	Number     uint64
	Old        []byte // the wrap as it was read
	KeyVersion uint32
	Wrap       []byte
	Body       []byte // nil: stays as it is
}

// HeadMAC is a new MAC for a head.
type HeadMAC struct {
	Name string
	Old  []byte // as it was read
	MAC  []byte
}

// At is a position between versions: after a number of a name, in the order of
// names. The zero At is before all.
type At struct {
	Name   string
	Number uint64
}

// AllKeys is above every version of a tenant key.
const AllKeys = 1<<32 - 1

// Store keeps sealed secrets. Safe for concurrent use and, where it is durable,
// by several processes; whatever returned nil is durable and is what every later
// call sees, in whichever process.
type Store interface {
	// Load returns a secret with one of its versions, 0 for the current one, all
	// as of one moment. What is not there is zero and no error. An empty name
	// loads the tenant alone.
	Load(ctx context.Context, tenant, name string, version uint64) (Record, error)
	// Save makes a new state of a secret durable as a whole: its head, whose
	// Revision is one more than the stored one; a version, unless it is nil; and
	// that versions before Head.Oldest are gone. It leaves LastUse alone. It is
	// ErrConflict, and nothing has changed, if the revision does not follow, if
	// the version is there already, or if the tenant's generation is another or
	// the tenant was erased.
	Save(ctx context.Context, h Head, v *Version, generation uint32) error
	// List returns up to limit secrets whose names begin with prefix and sort
	// after the given one, byte by byte.
	List(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Scan returns up to limit versions of a tenant, or with a name of that
	// secret, whose key is older than before and which follow a position, in
	// order and without their bodies.
	Scan(ctx context.Context, tenant, name string, before uint32, after At, limit int) ([]Version, error)
	// Count counts the versions of a tenant whose key is older than before.
	Count(ctx context.Context, tenant string, before uint32) (int, error)
	// Replace puts new wraps in the place of old ones and answers each in its
	// place: nil once it is durable, ErrConflict if the stored wrap is not Old.
	// The error is for what stopped all of them.
	Replace(ctx context.Context, tenant string, rs []Rewrap) ([]error, error)
	// ReplaceMACs puts new MACs in the place of those of a tenant's heads, leaves
	// everything else of them as it is, and answers each in its place: nil once
	// it is durable, ErrConflict if the stored MAC is not Old. The error is for
	// what stopped all of them.
	ReplaceMACs(ctx context.Context, tenant string, ms []HeadMAC) ([]error, error)
	// Touch notes when secrets were last used. It never takes a time back.
	Touch(ctx context.Context, tenant string, names []string, at time.Time) error
	// Tenants returns up to limit rows whose names sort after the given one.
	Tenants(ctx context.Context, after string, limit int) ([]Tenant, error)
	// SaveTenant makes a tenant's row durable. It is ErrConflict unless the
	// stored generation is the given one, 0 for none, or if the tenant was erased.
	SaveTenant(ctx context.Context, t Tenant, generation uint32) error
	// Erase removes every head and version of a tenant, and marks its row as
	// erased, making one if there is none and clearing its HeadKey. All of it is
	// one transaction or, where there is no such thing, the mark comes first. It
	// returns how many heads and versions it removed. Again it is no error and
	// the time of the first stays.
	Erase(ctx context.Context, tenant string, at time.Time) (heads, versions int, err error)
}
