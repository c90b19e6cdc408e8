package connectors

import (
	"context"
	"time"
)

// Driver is what the author of a connector writes. The Hub calls it, never
// anybody else: a Driver has no credential and no network of its own and can
// act only through the Call it is handed, until the method returns.
//
// Methods may be called concurrently. They stop soon after ctx is cancelled.
// Errors are *Error values of a fixed class. A method that works on several
// records answers for each: result i belongs to argument i and carries its own
// error; the method's error means that nothing was sent at all.
type Driver interface {
	// Changes returns what changed since the cursor, oldest first where the
	// system has an order. The empty cursor lists everything that is there.
	// A replay of the same cursor may report the same again; absence from a
	// listing never means deletion. An expired cursor is ErrCursorExpired.
	Changes(ctx context.Context, c Call, k Kind, cursor string, limit int) (Page, error)

	// Get reads records by id. A missing one is ErrNotFound in its result.
	Get(ctx context.Context, c Call, k Kind, ids []string) ([]Result, error)

	// Find looks for records by the create key they carry; several may carry
	// one. Keys that nothing carries are absent from the answer.
	Find(ctx context.Context, c Call, k Kind, keys []string) (map[string][]Change, error)

	// List pages through the ids that exist, without content, in any fixed
	// order; the empty after starts and an empty Next ends it.
	List(ctx context.Context, c Call, k Kind, after string, limit int) (IDs, error)

	// Create makes records that carry their keys. Where the system itself can
	// refuse a second record with the same key, that is ErrExists.
	Create(ctx context.Context, c Call, k Kind, ds []Draft) ([]Written, error)

	// Update changes the named fields of records that still have the given
	// revision, else ErrPrecondition. Everything else in the record stays as
	// it is, known to this module or not.
	Update(ctx context.Context, c Call, k Kind, es []Edit) ([]Written, error)

	// Delete removes records that still have the given revision. One that is
	// gone already is a success.
	Delete(ctx context.Context, c Call, k Kind, ts []Target) ([]Written, error)
}

// Page is one page of changes.
type Page struct {
	Changes []Change
	Cursor  string // where to go on, at most MaxCursor bytes; always set
	More    bool   // another page is ready now
}

// MaxCursor is the longest cursor, in bytes.
const MaxCursor = 64 << 10

// Change is the news about one record. Gone is a tombstone: the system says
// that it was deleted. Record is set when the content came along for nothing.
// With Head it lacks its long texts, the description, note or body: enough to
// decide whether the record is wanted, and to be read with Get if it is. Of mails
// nothing but heads comes along: a body is read when somebody wants the mail.
type Change struct {
	ID       string
	Rev      string
	Modified time.Time
	Gone     bool
	Record   *Record
	Head     bool
}

// Result is the outcome of reading one record.
type Result struct {
	Record *Record
	Err    error
}

// IDs is one page of ids.
type IDs struct {
	IDs  []string
	Next string
}

// Draft is a record to create, and the key it has to carry so that it can be
// found again when the answer is lost.
type Draft struct {
	Record *Record
	Key    string
}

// Edit is a change of some fields of a record. Record holds the values; only
// those of Fields count.
type Edit struct {
	ID, Rev string
	Record  *Record
	Fields  []Field
}

// Target is a record to delete, as it was last seen.
type Target struct{ ID, Rev string }

// Written is the outcome of one write. Rev may be empty when the system does
// not say; the next Get or Changes tells.
type Written struct {
	ID       string
	Rev      string
	Modified time.Time
	Err      error
}
