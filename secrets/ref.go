package secrets

import (
	"fmt"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Ref names a secret: whose it is and what it is called. Refs are comparable
// values; the zero Ref names nothing.
type Ref struct{ at authz.Resource }

// NewRef names a secret of an owner, a tenant or one of its users as in
// tenants/acme or tenants/acme/users/7f3a.
func NewRef(owner authz.Resource, name string) (Ref, error) {
	if s := owner.Segments(); len(s) < 2 || s[0] != "tenants" {
		return Ref{}, fmt.Errorf("secrets: ref: owner %s: want tenants/NAME or below", owner)
	}
	at, err := owner.Child("secrets", name)
	if err != nil {
		return Ref{}, fmt.Errorf("secrets: ref: %w", err)
	}
	return Ref{at}, nil
}

// Resource is the node on which permissions for this secret are asked:
// OWNER/secrets/NAME.
func (r Ref) Resource() authz.Resource { return r.at }

// String returns the path of the resource.
func (r Ref) String() string { return r.at.String() }

// IsZero reports whether the Ref names nothing.
func (r Ref) IsZero() bool { return r.at.IsZero() }

// tenant is the second segment, escaped.
func (r Ref) tenant() string {
	parts := strings.SplitN(r.at.String(), "/", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// ParseRef reads what Ref.String wrote.
func ParseRef(s string) (Ref, error) {
	at, err := authz.ParseResource(s)
	if err != nil {
		return Ref{}, fmt.Errorf("secrets: ref: %w", err)
	}
	n := at.Segments()
	if len(n) < 4 || n[0] != "tenants" || n[len(n)-2] != "secrets" || at.String() != s {
		return Ref{}, fmt.Errorf("secrets: ref: want OWNER/secrets/NAME")
	}
	return Ref{at}, nil
}
