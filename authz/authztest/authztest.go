// Package authztest makes real Authorizers for tests from a few lines of text.
package authztest

import (
	"strings"
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// World is an Authorizer over the shipped policy, with its audit records at hand.
type World struct {
	*authz.Authorizer
	Audit *authz.Memory
}

// New makes a World from lines of the forms
//
//	allow PRINCIPAL ROLE RESOURCE
//	deny PRINCIPAL ROLE RESOURCE
//	member PRINCIPAL TEAM
//
// in the names that authz prints. A line that cannot be read fails the test.
func New(t testing.TB, lines ...string) *World { return NewAt(t, nil, lines...) }

// NewAt is New with a clock.
func NewAt(t testing.TB, clock func() time.Time, lines ...string) *World {
	t.Helper()
	o := &authz.Options{Audit: authz.NewMemory(0), Clock: clock}
	for _, l := range lines {
		f := strings.Fields(l)
		switch {
		case len(f) == 4 && (f[0] == "allow" || f[0] == "deny"):
			x := authz.Authorization{Principal: Principal(t, f[1]), Role: Role(t, f[2]), Resource: Resource(t, f[3]), Effect: authz.Allow}
			if f[0] == "deny" {
				x.Effect = authz.Deny
			}
			o.Seed = append(o.Seed, x)
		case len(f) == 3 && f[0] == "member":
			o.SeedMembers = append(o.SeedMembers, authz.Membership{Member: Principal(t, f[1]), Team: Principal(t, f[2])})
		default:
			t.Fatalf("authztest: %q: want allow|deny PRINCIPAL ROLE RESOURCE or member PRINCIPAL TEAM", l)
		}
	}
	a, err := authz.New(t.Context(), policy.Files(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &World{a, o.Audit.(*authz.Memory)}
}

// Principal parses a name or fails the test.
func Principal(t testing.TB, s string) authz.Principal { return must(t, authz.ParsePrincipal, s) }

// Resource parses a path or fails the test.
func Resource(t testing.TB, s string) authz.Resource { return must(t, authz.ParseResource, s) }

// Role parses a name or fails the test.
func Role(t testing.TB, s string) authz.Role { return must(t, authz.ParseRole, s) }

func must[T any](t testing.TB, parse func(string) (T, error), s string) T {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
