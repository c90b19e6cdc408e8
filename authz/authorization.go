package authz

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Effect is what an Authorization does. The zero Effect is none and is refused.
type Effect uint8

// Effects.
const (
	Allow Effect = iota + 1
	Deny
)

// String returns "allow" or "deny".
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return "none"
}

// MarshalText writes the text form.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads "allow" or "deny" and, for the zero Effect, "none".
func (e *Effect) UnmarshalText(b []byte) error {
	switch string(b) {
	case "allow":
		*e = Allow
	case "deny":
		*e = Deny
	case "none":
		*e = 0
	default:
		return fmt.Errorf("authz: effect %.16q: want allow or deny", b)
	}
	return nil
}

// Authorization says that a principal holds a role on a resource and on
// everything below it, or, with Deny, that whatever the role permits is refused
// there.
type Authorization struct {
	ID        uuid.UUID `json:"id"`
	Principal Principal `json:"principal"`
	Role      Role      `json:"role"`
	Resource  Resource  `json:"resource"`
	Effect    Effect    `json:"effect"`
	From      time.Time `json:"from,omitzero"`  // zero: since ever
	Until     time.Time `json:"until,omitzero"` // exclusive; zero: until revoked
	GrantedBy Principal `json:"granted_by"`     // zero only for the seeds of an installation
	Reason    string    `json:"reason,omitempty"`

	// Condition narrows it to requests whose Context satisfies an
	// expression; "" is always. Only where it is satisfied does an allow
	// give; where it cannot be evaluated a deny takes. It is written in a
	// part of the language of Casbin's matchers: network and device, texts,
	// and hour, minute and weekday (1 to 7, Monday to Sunday), numbers in
	// UTC, are compared by == != < <= > >= and in ('a', 'b'), with
	// ipMatch(network, '10.0.0.0/8') for ranges, and joined by && || ! and
	// parentheses. A text that is not known cannot be compared, unless the
	// expression compares it with '' somewhere: then it is ''.
	Condition string `json:"condition,omitempty"`
	// Pending waits for a second person and gives nothing until then.
	Pending    bool      `json:"pending,omitempty"`
	ApprovedBy Principal `json:"approved_by,omitzero"` // the second person
}

// Membership says that a principal, perhaps itself a team, belongs to a team.
type Membership struct {
	Member Principal `json:"member"`
	Team   Principal `json:"team"`
}

func (m Membership) valid() error {
	if m.Member.IsZero() || !m.Team.IsTeam() || m.Member == m.Team {
		return fmt.Errorf("authz: membership: want a member and another team")
	}
	return nil
}

func (a Authorization) active(now time.Time) bool { return active(a.From, a.Until, now) }

func active(from, until, now time.Time) bool {
	return !(now.Before(from) || !until.IsZero() && !now.Before(until))
}

func (a *Authorization) valid() error {
	switch {
	case a.Principal.IsZero():
		return fmt.Errorf("authz: authorization: principal: missing")
	case a.Role.name == "":
		return fmt.Errorf("authz: authorization: role: missing")
	case a.Resource.IsZero():
		return fmt.Errorf("authz: authorization: resource: missing")
	case a.Effect != Allow && a.Effect != Deny:
		return fmt.Errorf("authz: authorization: effect: want allow or deny")
	case !a.Until.IsZero() && !a.From.Before(a.Until):
		return fmt.Errorf("authz: authorization: until: not after from")
	case len(a.Reason) > 1024:
		return fmt.Errorf("authz: authorization: reason: %d bytes, 1024 at most", len(a.Reason))
	case len(a.Condition) > 1024:
		return fmt.Errorf("authz: authorization: condition: %d bytes, 1024 at most", len(a.Condition))
	case a.Pending && (a.Effect != Allow || a.Until.IsZero()):
		return fmt.Errorf("authz: authorization: pending: only an allow with an until can wait for a second person")
	}
	return nil
}

// RoleDefinition is a role that was defined while running, beside those of the
// policy. It carries the permissions and everything that the roles it includes
// carry.
type RoleDefinition struct {
	Role        Role         `json:"role"`
	Permissions []Permission `json:"permissions,omitempty"`
	Includes    []Role       `json:"includes,omitempty"`
}
