package hashivault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/lockkeeper/lockkeeper/secrets"
)

var (
	// ErrWrongVault means that this is not the Vault that was expected, or an
	// older copy of it: its Transit key is another one or lacks versions, or its
	// key store went back. Nothing was written to it.
	ErrWrongVault = errors.New("hashivault: not the Vault that was expected, or an older copy of it")
	// ErrDamaged means that a document of KV or of Store is not as it was
	// written: emptied, soft-deleted, or altered. Nothing was written over it.
	ErrDamaged = errors.New("hashivault: a document is damaged")
	// ErrConfig means that a Config cannot work. The error names the field.
	ErrConfig = errors.New("hashivault: config")
)

// Error tells why Vault did not do what was asked. It is a secrets.ErrKeeper:
// the keys are not available now.
type Error struct {
	Op     string        // what was asked: "decrypt", "login"
	State  secrets.State // Sealed, Standby, Unreachable, Denied or Misused
	Reason string        // from a fixed list, for operators; never what Vault answered
	Known  bool          // Vault was not asked again: this is what it said a moment ago
	cause  error         // ErrWrongVault or nil
}

// Error names operation, state and reason.
func (e *Error) Error() string {
	return "hashivault: " + e.Op + ": " + string(e.State) + ": " + e.Reason
}

// Unwrap makes it a secrets.ErrKeeper.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{secrets.ErrKeeper, e.cause}
	}
	return []error{secrets.ErrKeeper}
}

// down reports whether the error is about Vault as a whole, so that asking it
// anything else is no use either.
func (e *Error) down() bool {
	return e.State == secrets.Sealed || e.State == secrets.Standby || e.State == secrets.Unreachable
}

// Reasons that are looked at again.
const (
	whyAuthority    = "the server's certificate is from an unknown authority"
	whyHost         = "the server's certificate is for another host"
	whyCert         = "the server's certificate is not valid"
	whyNoTLS        = "the server does not speak TLS"
	whyLate         = "no answer in time"
	whyDNS          = "the host's name is not known"
	whyRefused      = "the connection was refused"
	whyReset        = "the connection was reset"
	whyNotReady     = "it is not ready"
	whyTooMany      = "it gets too many requests"
	whyInside       = "it failed inside"
	whyNotVault     = "the answer is not one of Vault's: check the address"
	whyUninit       = "it was never initialised"
	whyRefusedCred  = "the credential was refused"
	whyNoMethod     = "there is no such auth method at the mount, or nobody may use it"
	whyUnconfigured = "the auth method is not set up, or the mount is another method's"
	whyNoRole       = "there is no such role"
	whyTokenOver    = "the token is not valid, or its policy does not let it look at itself"
)

// ofTransport says in our own words why there was no answer.
func ofTransport(op string, err error) *Error {
	e := &Error{Op: op, State: secrets.Unreachable, Reason: "the connection failed"}
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		host   x509.HostnameError
		signed x509.UnknownAuthorityError
		dns    *net.DNSError
		nerr   net.Error
	)
	switch {
	case errors.Is(err, errTooLarge):
		e.State, e.Reason = secrets.Misused, "the answer is larger than allowed"
	case errors.As(err, &signed):
		e.Reason = whyAuthority
	case errors.As(err, &host):
		e.Reason = whyHost
	case errors.As(err, &verify):
		e.Reason = whyCert
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.Reason = whyNoTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &nerr) && nerr.Timeout():
		e.Reason = whyLate
	case errors.As(err, &dns):
		e.Reason = whyDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Reason = whyRefused
	case errors.Is(err, syscall.ECONNRESET):
		e.Reason = whyReset
	}
	return e
}

// ofStatus classifies an answer that no operation has use for. It is nil for
// those that are up to the operation: 2xx, 400 and 404.
func ofStatus(op string, a answer) *Error {
	e := &Error{Op: op, State: secrets.Unreachable}
	switch {
	case a.status >= 200 && a.status < 300, a.status == 400 && a.vaults, a.status == 404 && a.vaults:
		return nil
	case a.status >= 300 && a.status < 400:
		e.State, e.Reason = secrets.Standby, "it sends us to another address, which is not followed: give the address of the active node or of a balancer"
	case a.status == 403 && a.vaults:
		e.State, e.Reason = secrets.Denied, "the policy does not allow it, or the token is no longer valid"
	case a.status == 472, a.status == 473:
		e.State, e.Reason = secrets.Standby, "the node stands by"
	case a.status == 503 && a.says("sealed"):
		e.State, e.Reason = secrets.Sealed, "an operator has to unseal it"
	case a.status == 503 && a.vaults:
		e.Reason = whyNotReady
	case a.status == 429:
		e.Reason = whyTooMany
	case a.status == 412:
		e.State, e.Reason = secrets.Standby, "the node has not caught up"
	case a.status >= 500:
		e.Reason = whyInside
	default:
		e.State, e.Reason = secrets.Misused, whyNotVault
	}
	return e
}

// says reports whether one of Vault's error texts contains a phrase. The texts
// go no further.
func (a answer) says(phrase string) bool {
	for _, s := range a.errs {
		if strings.Contains(s, phrase) {
			return true
		}
	}
	return false
}
