package authz

import (
	"fmt"
	"strings"
)

// Principal is who acts: a user, a service or a team, never mistaken for one
// another. Principals are comparable values; the zero Principal is nobody and
// is denied everything.
type Principal struct{ name string }

// User is a person as an identity provider knows one: its issuer and the
// subject there, never an e-mail address, which may pass to someone else.
func User(issuer, subject string) (Principal, error) { return principal("user", issuer, subject) }

// Service is a program that acts, such as a worker.
func Service(name string) (Principal, error) { return principal("service", name) }

// Team is a group of principals. Its members hold what it holds.
func Team(name string) (Principal, error) { return principal("team", name) }

func principal(kind string, parts ...string) (Principal, error) {
	for i, p := range parts {
		if err := checkSegment(p); err != nil {
			return Principal{}, fmt.Errorf("authz: %s: part %d: %w", kind, i+1, err)
		}
		parts[i] = escape(p)
	}
	return Principal{kind + ":" + strings.Join(parts, "/")}, nil
}

// ParsePrincipal is the inverse of String and accepts nothing else.
func ParsePrincipal(s string) (Principal, error) {
	if len(s) > MaxName {
		return Principal{}, fmt.Errorf("authz: principal: %d bytes, %d at most", len(s), MaxName)
	}
	kind, rest, _ := strings.Cut(s, ":")
	parts := strings.Count(rest, "/") + 1
	if !(kind == "user" && parts == 2 || (kind == "service" || kind == "team") && parts == 1) {
		return Principal{}, fmt.Errorf("authz: principal: want user:ISSUER/SUBJECT, service:NAME or team:NAME")
	}
	if _, err := checkEscaped(rest); err != nil {
		return Principal{}, fmt.Errorf("authz: principal: %w", err)
	}
	return Principal{s}, nil
}

// String returns the name: its kind, a colon and the escaped parts. Different
// principals have different names.
func (p Principal) String() string { return p.name }

// IsZero reports whether this is nobody.
func (p Principal) IsZero() bool { return p.name == "" }

// IsTeam reports whether this is a team.
func (p Principal) IsTeam() bool { return strings.HasPrefix(p.name, "team:") }

// MarshalText writes the name.
func (p Principal) MarshalText() ([]byte, error) { return []byte(p.name), nil }

// UnmarshalText reads a name; empty text is nobody.
func (p *Principal) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*p = Principal{}
		return nil
	}
	*p, err = ParsePrincipal(string(b))
	return err
}
