package authz

import (
	"errors"
	"fmt"
)

var (
	// ErrDenied is what every refusal is. The zero value of anything that
	// stands for a permission refuses with it.
	ErrDenied = errors.New("denied")
	// ErrAuditUnavailable means that the decision could not be recorded, so
	// nothing was handed over. It is also an ErrDenied.
	ErrAuditUnavailable = fmt.Errorf("audit record not written: %w", ErrDenied)
	// ErrConflict means that someone else changed the authorizations first.
	ErrConflict = errors.New("changed by someone else meanwhile")
	// ErrUnknown means that an id or name is not known.
	ErrUnknown = errors.New("unknown")
	// ErrUnsupported means that a policy cannot answer or express what was
	// wanted of it.
	ErrUnsupported = errors.New("unsupported")
)

// DeniedError is a refusal that says why.
type DeniedError struct {
	Request  Request
	Decision Decision
}

// Error names the permission, the resource and the reason; all are names that
// the caller brought.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("authz: %s on %s: denied: %s", e.Request.Permission, e.Request.Resource, e.Decision.Reason())
}

// Unwrap returns ErrDenied.
func (e *DeniedError) Unwrap() error { return ErrDenied }
