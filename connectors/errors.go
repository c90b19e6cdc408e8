package connectors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Classes of failures: what a caller may branch on with errors.Is. Every error
// of a driver carries exactly one of them.
var (
	ErrNotFound       = errors.New("not found")                          // the record is not there; says nothing about who removed it
	ErrPrecondition   = errors.New("changed meanwhile")                  // the revision no longer holds: read again
	ErrExists         = errors.New("already exists")                     // a create met a record with the same key or identity
	ErrInvalid        = errors.New("refused by the rules of the system") // trying again without a change is useless
	ErrCursorExpired  = errors.New("change history expired")             // start again with an empty cursor; nothing was deleted
	ErrUnauthorized   = errors.New("credential refused")                 // someone must sign in again
	ErrForbidden      = errors.New("forbidden by the system")            // signed in, but not allowed there
	ErrThrottled      = errors.New("asked to slow down")                 // see Error.RetryAfter
	ErrUnavailable    = errors.New("system unavailable")                 // nothing was done; try later
	ErrUnknownOutcome = errors.New("outcome unknown")                    // a write may or may not have happened: find out before repeating
	ErrMalformed      = errors.New("answer not understood")              // the system broke its own protocol or a limit of ours
	ErrUnsupported    = errors.New("not supported")                      // the connector cannot do this, see Capabilities
	ErrCallOver       = errors.New("call is over")                       // a Call was used after its verb returned
)

// Error is what went wrong with one request or one record. It never holds what
// the remote side said in words, and never a value of a record.
type Error struct {
	Plugin     string // name of the connector
	Op         string // verb: changes, get, find, list, create, update, delete, check
	Kind       Kind
	ID         string // the system's id of the record, "" if the whole call failed
	Field      Field  // the field at fault, "" if none
	Class      error  // one of the classes
	Status     int    // HTTP status, zero if there was none
	RetryAfter time.Duration
	Detail     string // our own words, from a fixed vocabulary
	Cause      error  // an error of ours or of the standard library, already free of content
}

// Error reads "connectors: c4c create contacts 00163E: field company: changed meanwhile (HTTP 412)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("connectors:")
	for _, s := range []string{e.Plugin, e.Op} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if e.Kind != 0 {
		b.WriteString(" " + e.Kind.String())
	}
	if e.ID != "" {
		fmt.Fprintf(&b, " %q", e.ID)
	}
	if e.Field != "" {
		b.WriteString(": field " + string(e.Field))
	}
	if e.Class != nil {
		b.WriteString(": " + e.Class.Error())
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap makes errors.Is find the class and errors.As the cause.
func (e *Error) Unwrap() []error {
	var out []error
	for _, x := range []error{e.Class, e.Cause} {
		if x != nil {
			out = append(out, x)
		}
	}
	return out
}
