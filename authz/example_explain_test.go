package authz_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// Every reason is named, not only the first: whoever revokes one has not yet
// taken anything.
func ExampleAuthorizer_Explain_allowed() {
	ctx := context.Background()
	ben, boss := must(authz.User("idp", "ben")), must(authz.User("idp", "boss"))
	support, emea := must(authz.Team("support")), must(authz.Team("support-emea"))
	tenants := must(authz.NewResource("tenants"))
	acme := must(tenants.Child("acme"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{
		Seed: []authz.Authorization{
			{Principal: support, Role: authz.MustRole("role:support"), Resource: tenants, Effect: authz.Allow, GrantedBy: boss, Reason: "first line"},
			{Principal: ben, Role: authz.MustRole("role:sales"), Resource: acme, Effect: authz.Allow, Until: time.Date(2130, 1, 1, 0, 0, 0, 0, time.UTC)},
		},
		SeedMembers: []authz.Membership{{Member: ben, Team: emea}, {Member: emea, Team: support}},
	}))
	x := must(a.Explain(ctx, authz.Request{Principal: ben, Permission: authz.MustPermission("tenants.read"), Resource: acme}))
	fmt.Println(x.Decision.Allowed)
	for _, r := range x.Allows {
		fmt.Println("-", r)
	}
	// Output:
	// true
	// - user:idp/ben, in team:support-emea in team:support, holds role:support on tenants, given by user:idp/boss: first line
	// - user:idp/ben holds role:sales on tenants/acme until 2130-01-01 00:00 UTC
}

// A refusal says what would change it, and whom to ask.
func ExampleAuthorizer_Explain_refused() {
	ctx := context.Background()
	ana, admin := must(authz.User("idp", "ana")), must(authz.User("idp", "admin"))
	acme := must(authz.NewResource("tenants", "acme"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: admin, Role: authz.MustRole("role:tenant-admin"), Resource: acme, Effect: authz.Allow},
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: must(acme.Child("users", "ana")), Effect: authz.Allow},
	}}))
	mailbox := must(acme.Child("users", "ben", "mailbox"))
	x := must(a.Explain(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: mailbox}))
	fmt.Println(x.Reason)
	for _, m := range x.Misses {
		fmt.Println("nearest:", m)
	}
	for _, y := range x.Change.Add {
		fmt.Println("would do:", y.Effect, y.Role, "to", y.Principal, "on", y.Resource)
	}
	fmt.Println("ask:", x.Givers)

	g := must(a.Authorize(ctx, authz.Request{Principal: x.Givers[0], Permission: authz.MustPermission("authz.authorizations.write"), Resource: mailbox}))
	_ = must(a.Edit(g).Assign(ctx, x.Change.Add[0]))
	d := must(a.Check(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: mailbox}))
	fmt.Println(d.Allowed)
	// Output:
	// user:idp/ana holds no role with this permission here or above
	// nearest: role:user is held on tenants/acme/users/ana, not here
	// would do: allow role:user to user:idp/ana on tenants/acme/users/ben/mailbox
	// ask: [user:idp/admin]
	// true
}

// People are told what their own Grant covers. What stands above is counted.
func ExampleAuthorizer_ExplainFor() {
	ctx := context.Background()
	ana, worker := must(authz.User("idp", "ana")), must(authz.Service("sync-worker"))
	acme := must(authz.NewResource("tenants", "acme"))
	home := must(acme.Child("users", "ana"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow},
		{Principal: worker, Role: authz.MustRole("role:sync-worker"), Resource: acme, Effect: authz.Allow},
	}}))
	g := must(a.Authorize(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("authz.decisions.explain"), Resource: home}))
	mailbox := must(home.Child("mailbox"))
	x := must(a.ExplainFor(ctx, g, authz.Request{Principal: worker, Permission: authz.MustPermission("mailbox.items.read"), Resource: mailbox}))
	fmt.Println(x.Decision.Allowed, len(x.Allows), x.Hidden, "-", x.Reason)
	_, err := a.ExplainFor(ctx, g, authz.Request{Principal: worker, Permission: authz.MustPermission("mailbox.items.read"), Resource: acme})
	fmt.Println(errors.Is(err, authz.ErrDenied))
	// Output:
	// true 0 1 - allowed by something outside tenants/acme/users/ana
	// true
}
