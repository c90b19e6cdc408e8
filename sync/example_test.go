package sync_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	"github.com/lockkeeper/lockkeeper/policy"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// office is a CRM and Ana's mailbox with the people in them.
type office struct {
	crm, mailbox *mem.System
	az           *authz.Authorizer
	worker       authz.Principal
	pair         lksync.Pair
}

func newOffice(ctx context.Context) *office {
	allow := func(principal, role, resource string) authz.Authorization {
		return authz.Authorization{Principal: must(authz.ParsePrincipal(principal)), Role: authz.MustRole(role), Resource: at(resource), Effect: authz.Allow}
	}
	o := &office{crm: mem.New(nil), mailbox: mem.New(nil)}
	o.az = must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		allow("user:idp/ana", "role:user", "tenants/acme/users/ana"),
		allow("user:idp/ana", "role:crm-user", "tenants/acme/crm"),
		allow("service:sync-worker", "role:sync-worker", "tenants/acme"),
	}}))
	hub := must(connectors.NewHub(o.az, nil, must(o.crm.Plugin("crm", connectors.CRM)), must(o.mailbox.Plugin("mailbox", connectors.Mailbox))))
	ana := must(authz.ParsePrincipal("user:idp/ana"))
	o.worker = must(authz.ParsePrincipal("service:sync-worker"))
	open := func(plugin, path string) *connectors.Conn {
		return must(hub.Open(ctx, o.worker, connectors.Endpoint{Plugin: plugin, OnBehalfOf: ana, Resource: at(path)}))
	}
	o.pair = lksync.Pair{ID: "ana", OnBehalfOf: ana, Resource: at("tenants/acme/users/ana/sync"),
		Left: open("crm", "tenants/acme/crm"), Right: open("mailbox", "tenants/acme/users/ana/mailbox")}
	return o
}

func person(given, family, title string) *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.GivenName, r.Contact.FamilyName, r.Contact.JobTitle = given, family, title
	return r
}

// A dry run says what a round would do, and does nothing.
func ExampleEngine_Plan() {
	ctx := context.Background()
	o := newOffice(ctx)
	o.crm.Add(person("Zoé", "Lefèvre", ""))
	engine := lksync.New(o.az, &lksync.Memory{}, nil)
	plan := must(engine.Plan(ctx, o.worker, o.pair))
	for _, a := range plan.Actions {
		fmt.Println(a)
	}
	fmt.Println("in the mailbox:", len(o.mailbox.Records(connectors.KindContact)))
	// Output:
	// create contact in the mailbox: new in the CRM
	// in the mailbox: 0
}

// What a person must see is an issue: what happened, what was not done, and what
// to do next. The next edit on one side decides a conflict.
func ExampleEngine_Issues() {
	ctx := context.Background()
	o := newOffice(ctx)
	id := o.crm.Add(person("Zoé", "Lefèvre", ""))
	engine := lksync.New(o.az, &lksync.Memory{}, nil)
	must(engine.Sync(ctx, o.worker, o.pair))

	there := o.mailbox.Records(connectors.KindContact)[0].ID
	o.crm.Edit(connectors.KindContact, id, func(r *connectors.Record) { r.Contact.JobTitle = "Baker" })
	o.mailbox.Edit(connectors.KindContact, there, func(r *connectors.Record) { r.Contact.JobTitle = "Pilot" })
	must(engine.Sync(ctx, o.worker, o.pair))
	hers := o.pair // Ana looks herself, on behalf of nobody
	hers.OnBehalfOf = authz.Principal{}
	issue := must(engine.Issues(ctx, o.pair.OnBehalfOf, hers, lksync.IssueQuery{})).Issues[0]
	fmt.Println(issue.Code, issue.What)
	fmt.Println(issue.Undone)
	fmt.Println(issue.Next)

	o.mailbox.Edit(connectors.KindContact, there, func(r *connectors.Record) { r.Contact.JobTitle = "Astronaut" })
	must(engine.Sync(ctx, o.worker, o.pair))
	fmt.Println("in the CRM:", o.crm.Records(connectors.KindContact)[0].Contact.JobTitle)
	// Output:
	// LK-CONFLICT Both sides changed this record differently since they were last alike.
	// Neither side was changed.
	// Edit the side you want to keep, or make both alike: the next edit on one side decides.
	// in the CRM: Astronaut
}

// Many deletions at once are held until somebody says that they are meant.
func ExampleEngine_Approve() {
	ctx := context.Background()
	o := newOffice(ctx)
	for i := range 40 {
		o.crm.Add(person("N.", fmt.Sprint("Person ", i), ""))
	}
	engine := lksync.New(o.az, &lksync.Memory{}, nil)
	must(engine.Sync(ctx, o.worker, o.pair))
	for _, r := range o.mailbox.Records(connectors.KindContact)[:20] {
		o.mailbox.Remove(connectors.KindContact, r.ID)
	}
	report := must(engine.Sync(ctx, o.worker, o.pair))
	fmt.Println("deleted:", report.Kinds[connectors.KindContact].Deleted, "held:", report.Held != "")

	hers := o.pair // Ana says so herself
	hers.OnBehalfOf = authz.Principal{}
	if err := engine.Approve(ctx, o.pair.OnBehalfOf, hers, connectors.KindContact, 20); err != nil {
		log.Fatal(err)
	}
	report = must(engine.Sync(ctx, o.worker, o.pair))
	fmt.Println("deleted:", report.Kinds[connectors.KindContact].Deleted)
	// Output:
	// deleted: [0 0] held: true
	// deleted: [20 0]
}

func at(path string) authz.Resource { return must(authz.ParseResource(path)) }

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
