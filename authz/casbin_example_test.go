package authz_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/lockkeeper/lockkeeper/authz"
)

// withDomains is an Enforcer as a program may have it already.
func withDomains() *casbin.Enforcer {
	e := must(casbin.NewEnforcer(must(model.NewModelFromString(`
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
`))))
	must(e.AddPolicy("admin", "acme", "invoices", "read"))
	must(e.AddGroupingPolicy("alice", "admin", "acme"))
	return e
}

// A policy of Casbin moves here, and both are proved to say the same.
func ExampleFromCasbin() {
	ctx := context.Background()
	im := must(authz.FromCasbin(withDomains()))
	for _, x := range im.Authorizations {
		fmt.Println(x.Principal, x.Effect, x.Role, x.Resource)
	}
	for _, m := range im.Members {
		fmt.Println(m.Member, "in", m.Team)
	}
	a := must(authz.New(ctx, im.Policy, &authz.Options{Seed: im.Authorizations, SeedMembers: im.Members}))

	asked, differ, err := im.Prove(ctx, a, 1_000_000)
	fmt.Println(asked, "questions,", len(differ), "differences,", err)

	d := must(a.Check(ctx, must(im.Request("alice", "acme", "invoices", "read"))))
	fmt.Println(d.Allowed, "-", d.Reason())
	// Output:
	// team:casbin%2Facme%2Fadmin allow role:casbin-read casbin/acme/invoices
	// user:casbin/alice in team:casbin%2Facme%2Fadmin
	// 24 questions, 0 differences, <nil>
	// true - user:casbin/alice, through team:casbin%2Facme%2Fadmin, holds role:casbin-read on casbin/acme/invoices
}

// What has no equal is refused with a reason, never approximated.
func ExampleFromCasbin_refused() {
	e := must(casbin.NewEnforcer(must(model.NewModelFromString(`
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act
`))))
	im, err := authz.FromCasbin(e)
	fmt.Println(err != nil)
	for _, why := range im.NotExpressed {
		fmt.Println(why)
	}
	// Output:
	// true
	// e: the first row decides, here a deny always wins: keep the model as it is, with its policy.csv beside it, or rewrite the rows so that a deny may win
	// m: "keyMatch(r.obj, p.obj)" is more than a comparison or a role: a role on a resource holds below it too: write the rows for the nodes that the patterns mean
}

// While both run side by side, Casbin is asked what was decided here. Answers
// stay as they are; where they differ somebody is told.
func ExampleShadow() {
	ctx := context.Background()
	e := withDomains()
	im := must(authz.FromCasbin(e))
	a := must(authz.New(ctx, im.Policy, &authz.Options{Seed: im.Authorizations, SeedMembers: im.Members}))

	shadow := must(authz.NewShadow(e, 1, im.Values, func(d authz.Disagreement) { fmt.Println(d) }))
	must(e.AddPolicy("bob", "acme", "invoices", "read")) // only Casbin hears of it
	for _, who := range []string{"alice", "bob"} {
		req := must(im.Request(who, "acme", "invoices", "read"))
		shadow.Compare(req, must(a.Check(ctx, req)))
	}
	if err := shadow.Close(ctx); err != nil {
		fmt.Println(err)
	}
	c := shadow.Counts()
	fmt.Println(c.Compared, "compared,", c.Differed, "differed,", c.Dropped, "dropped")
	// Output:
	// user:casbin/bob, casbin.read on casbin/acme/invoices: here false, Casbin true
	// 2 compared, 1 differed, 0 dropped
}

// A model.conf of any meaning decides by its own policy.csv, as Casbin does.
func ExampleNew_ownModel() {
	ctx := context.Background()
	a := must(authz.New(ctx, fstest.MapFS{
		"model.conf": {Data: []byte(`
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act
`)},
		"policy.csv": {Data: []byte(`
p, user:idp/ana, tenants/acme/private, mailbox.items.read, deny
p, user:idp/ana, tenants/acme/*, mailbox.items.read, allow
`)},
	}, nil))
	ana := must(authz.User("idp", "ana"))
	for _, path := range []string{"tenants/acme/shared", "tenants/acme/private", "tenants/globex"} {
		d := must(a.Check(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: must(authz.ParseResource(path))}))
		fmt.Println(d.Allowed, "-", d.Reason())
	}
	// Output:
	// true - the model allows it by user:idp/ana, tenants/acme/*, mailbox.items.read, allow
	// false - the model denies it by user:idp/ana, tenants/acme/private, mailbox.items.read, deny
	// false - no row of the model allows it to user:idp/ana
}
