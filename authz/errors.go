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
	// ErrStale means that a request demanded a revision that is not known
	// here, nor in the store. It is also an ErrDenied.
	ErrStale = fmt.Errorf("older than demanded: %w", ErrDenied)
	// ErrSeparation means that somebody would come to hold two permissions
	// that the policy keeps apart. It is also an ErrDenied.
	ErrSeparation = fmt.Errorf("separation of duties: %w", ErrDenied)
	// ErrLastAdministrator means that nobody would be left who can give and
	// take roles on a resource. It is also an ErrDenied.
	ErrLastAdministrator = fmt.Errorf("last administrator: %w", ErrDenied)
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

// Unwrap returns ErrDenied, by way of ErrStale where that is the reason.
func (e *DeniedError) Unwrap() error {
	if e.Decision.Code == Stale {
		return ErrStale
	}
	return ErrDenied
}
