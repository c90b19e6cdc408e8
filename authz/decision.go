package authz

import (
	"fmt"

	"github.com/google/uuid"
)

// Request asks whether a principal may use a permission on a resource. With
// OnBehalfOf both principals must be allowed: a worker that serves a user can
// do no more than either.
type Request struct {
	Principal  Principal
	OnBehalfOf Principal
	Permission Permission
	Resource   Resource
	AtLeast    uint64    // the revision that must be known to whoever decides, as a change returned it; zero: any
	Context    Context   // the circumstances, for Authorizations with a Condition; zero if nothing is known
	Cause      uuid.UUID // the Decision that this request follows from, for the audit trail; zero if none
}

// Code is the kind of reason behind a Decision.
type Code uint8

// Codes. The zero Code is a refusal like every other but AllowedBy.
const (
	NothingHeld       Code = iota // no Authorization allows it
	AllowedBy                     // an Authorization allows it and none denies it
	DeniedBy                      // an Authorization denies it
	UnknownPermission             // the policy does not have the permission
	BadRequest                    // principal, permission or resource is missing
	ModelFailed                   // a model of the policy's own could not be evaluated
	Stale                         // what is known here is older than the request demands
)

// Decision is the answer to a Request. It is plain data and proves nothing.
type Decision struct {
	ID            uuid.UUID // set when recorded, that is by Authorize
	Allowed       bool
	Code          Code
	Principal     Principal // whose holdings decided: the acting principal or the one it acts for
	Through       Principal // that principal, or the team of it, that the Authorization names
	Authorization uuid.UUID // the one that decided; zero if none did
	Role          Role
	On            Resource // where that Authorization stands: the resource asked for or one above
	Revision      uint64   // of the assignments that were looked at
	Rule          string   // the row that decided, or what failed, in a model of the policy's own; else empty
}

// Reason says in a sentence why.
func (d Decision) Reason() string {
	if d.Rule != "" {
		return d.foreignReason()
	}
	switch d.Code {
	case AllowedBy, DeniedBy:
		verb := "holds"
		if d.Code == DeniedBy {
			verb = "is denied"
		}
		if d.Through != d.Principal {
			return fmt.Sprintf("%s, through %s, %s %s on %s", d.Principal, d.Through, verb, d.Role, d.On)
		}
		return fmt.Sprintf("%s %s %s on %s", d.Principal, verb, d.Role, d.On)
	case UnknownPermission:
		return "the policy has no such permission"
	case BadRequest:
		return "principal, permission or resource is missing"
	case Stale:
		return fmt.Sprintf("what is known here is as of revision %d, which is older than demanded", d.Revision)
	}
	return fmt.Sprintf("%s holds no role with this permission here or above", d.Principal)
}
