package authz_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// A role that is worth something in office hours and from the office only.
// What cannot be evaluated, here for want of an address, gives nothing.
func ExampleAuthorization_condition() {
	ctx := context.Background()
	ben := must(authz.User("idp", "ben"))
	acme := must(authz.NewResource("tenants", "acme"))
	now := time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)
	seed := authz.Authorization{
		Principal: ben, Role: authz.MustRole("role:support"), Resource: acme, Effect: authz.Allow,
		Condition: "ipMatch(network, '10.0.0.0/8') && hour >= 8 && hour < 18 && weekday <= 5",
	}
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Clock: func() time.Time { return now }, Seed: []authz.Authorization{seed}}))
	ask := func(c authz.Context) bool {
		return must(a.Check(ctx, authz.Request{Principal: ben, Permission: authz.MustPermission("users.read"), Resource: acme, Context: c})).Allowed
	}
	office := authz.Context{Network: netip.MustParseAddr("10.1.2.3")}
	fmt.Println("office:", ask(office))
	fmt.Println("home:", ask(authz.Context{Network: netip.MustParseAddr("203.0.113.9")}))
	fmt.Println("unknown:", ask(authz.Context{}))
	now = now.Add(10 * time.Hour)
	fmt.Println("office, in the evening:", ask(office))

	// What nobody could evaluate is refused where it is written.
	seed.ID, seed.Condition = uuid.MustParse("019b7a00-0000-7000-8000-000000000001"), "country == 'DE'"
	_, err := authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{seed}})
	fmt.Println(err)
	// Output:
	// office: true
	// home: false
	// unknown: false
	// office, in the evening: false
	// 019b7a00-0000-7000-8000-000000000001: authz: condition: byte 1: "country": unknown: the names are network, device, hour, minute, weekday and ipMatch
}

// A deny beats every allow, whichever is nearer and whoever holds it.
func ExampleAuthorization_deny() {
	ctx := context.Background()
	ana := must(authz.User("idp", "ana"))
	acme := must(authz.NewResource("tenants", "acme"))
	legal := must(acme.Child("users", "legal"))
	user := authz.MustRole("role:user")
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: ana, Role: user, Resource: acme, Effect: authz.Allow},
		{Principal: ana, Role: user, Resource: legal, Effect: authz.Deny},
		{Principal: ana, Role: user, Resource: must(legal.Child("mailbox")), Effect: authz.Allow},
	}}))
	for _, on := range []authz.Resource{acme, legal, must(legal.Child("mailbox"))} {
		d := must(a.Check(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: on}))
		fmt.Println(d.Allowed, "-", d.Reason())
	}
	// Output:
	// true - user:idp/ana holds role:user on tenants/acme
	// false - user:idp/ana is denied role:user on tenants/acme/users/legal
	// false - user:idp/ana is denied role:user on tenants/acme/users/legal
}

// What is given for a time ends by itself, and with it the Grants that rest on it.
func ExampleAuthorization_until() {
	ctx := context.Background()
	ben := must(authz.User("idp", "ben"))
	acme := must(authz.NewResource("tenants", "acme"))
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Clock: func() time.Time { return now }, Seed: []authz.Authorization{
		{Principal: ben, Role: authz.MustRole("role:support"), Resource: acme, Effect: authz.Allow, From: now, Until: now.Add(5 * time.Minute)},
	}}))
	req := authz.Request{Principal: ben, Permission: authz.MustPermission("sync.issues.read"), Resource: acme}
	g := must(a.Authorize(ctx, req))
	fmt.Println(g.Covers(req.Permission, acme))
	now = now.Add(5 * time.Minute)
	fmt.Println(g.Covers(req.Permission, acme))
	// Output:
	// <nil>
	// authz: sync.issues.read on tenants/acme: denied: user:idp/ben holds no role with this permission here or above
}

// Members of a team hold what the team holds, and what the teams hold that it
// is in.
func ExampleMembership() {
	ctx := context.Background()
	ben := must(authz.User("idp", "ben"))
	night, support := must(authz.Team("night-shift")), must(authz.Team("support"))
	tenants := must(authz.NewResource("tenants"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{
		Seed:        []authz.Authorization{{Principal: support, Role: authz.MustRole("role:support"), Resource: tenants, Effect: authz.Allow}},
		SeedMembers: []authz.Membership{{Member: ben, Team: night}, {Member: night, Team: support}},
	}))
	for _, who := range []authz.Principal{ben, night, must(authz.User("idp", "stranger"))} {
		d := must(a.Check(ctx, authz.Request{Principal: who, Permission: authz.MustPermission("users.read"), Resource: tenants}))
		fmt.Println(d.Allowed, "-", d.Reason())
	}
	_, err := authz.New(ctx, policy.Files(), &authz.Options{SeedMembers: []authz.Membership{{Member: night, Team: night}}})
	fmt.Println(err)
	// Output:
	// true - user:idp/ben, through team:support, holds role:support on tenants
	// true - team:night-shift, through team:support, holds role:support on tenants
	// false - user:idp/stranger holds no role with this permission here or above
	// authz: membership: want a member and another team
}

// A connection uses a credential because a worker reads a mailbox because its
// user may: the record of each decision names the one it follows from.
func ExampleRequest_cause() {
	ctx := context.Background()
	ana, worker, conn := must(authz.User("idp", "ana")), must(authz.Service("sync-worker")), must(authz.Service("connection"))
	home := must(authz.NewResource("tenants", "acme", "users", "ana"))
	audit := authz.NewMemory(0)
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Audit: audit, Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow},
		{Principal: worker, Role: authz.MustRole("role:sync-worker"), Resource: home, Effect: authz.Allow},
		{Principal: conn, Role: authz.MustRole("role:connection"), Resource: home, Effect: authz.Allow},
	}}))
	read := must(a.Authorize(ctx, authz.Request{Principal: worker, OnBehalfOf: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: home}))
	use := must(a.Authorize(ctx, authz.Request{Principal: conn, Permission: authz.MustPermission("secrets.use"), Resource: home, Cause: read.Decision().ID}))
	fmt.Println(read, "-", use)
	_, err := a.Authorize(ctx, authz.Request{Principal: conn, OnBehalfOf: ana, Permission: authz.MustPermission("secrets.use"), Resource: home})
	fmt.Println(err)
	rs := audit.Records()
	fmt.Println(rs[1].Cause == rs[0].Decision)
	// Output:
	// grant of mailbox.items.read on tenants/acme/users/ana - grant of secrets.use on tenants/acme/users/ana
	// authz: secrets.use on tenants/acme/users/ana: denied: user:idp/ana holds no role with this permission here or above
	// true
}
