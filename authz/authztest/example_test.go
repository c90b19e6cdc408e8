package authztest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// example stands for the *testing.T that a test has.
type example struct{ testing.TB }

func (example) Helper()                  {}
func (example) Context() context.Context { return context.Background() }
func (example) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }

// A test says in a few lines who holds what, and asks the real thing.
func ExampleNew() {
	var t example // func TestSupport(t *testing.T)
	w := authztest.New(t,
		"allow user:idp/ana role:user tenants/acme/users/ana",
		"member user:idp/ben team:support",
		"allow team:support role:support tenants",
	)
	for _, p := range []string{"sync.status.read", "mailbox.items.read"} {
		_, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "user:idp/ben"),
			Permission: authz.MustPermission(p), Resource: authztest.Resource(t, "tenants/acme/users/ana")})
		fmt.Println(err)
	}
	for _, r := range w.Audit.Records() {
		fmt.Println(r.Allowed, r.Permission, "-", r.Reason)
	}
	// Output:
	// <nil>
	// authz: mailbox.items.read on tenants/acme/users/ana: denied: user:idp/ben holds no role with this permission here or above
	// true sync.status.read - user:idp/ben, through team:support, holds role:support on tenants
	// false mailbox.items.read - user:idp/ben holds no role with this permission here or above
}

func (example) Error(args ...any) { fmt.Println(args...) }

// Policy tests are text beside the policy, here those that ship: the test that
// runs them is a line.
func ExampleRun() {
	var t example // func TestPolicy(t *testing.T)
	authztest.Run(t, policy.Files())
	fmt.Println("what does not hold would stand above")
	// Output:
	// what does not hold would stand above
}
