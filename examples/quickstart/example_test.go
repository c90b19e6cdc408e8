package quickstart_test

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

// A worker that acts for Ana brings her mailbox and the CRM into line. It needs
// a role, and so does she: without either the round is refused.
func Example() {
	ctx, crm, mailbox := context.Background(), filled(connectors.CRM), filled(connectors.Mailbox)

	az := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		allow("user:idp/ana", "role:user", "tenants/acme/users/ana"),
		allow("user:idp/ana", "role:crm-user", "tenants/acme/crm"),
		allow("service:sync-worker", "role:sync-worker", "tenants/acme"),
	}}))
	hub := must(connectors.NewHub(az, nil, crm, mailbox)) // c4c.Plugin(), dav.Plugin(): with a secrets.Safe
	worker, ana := must(authz.ParsePrincipal("service:sync-worker")), must(authz.ParsePrincipal("user:idp/ana"))
	left := must(hub.Open(ctx, worker, connectors.Endpoint{Plugin: "crm", OnBehalfOf: ana, Resource: at("tenants/acme/crm")}))
	right := must(hub.Open(ctx, worker, connectors.Endpoint{Plugin: "mailbox", OnBehalfOf: ana, Resource: at("tenants/acme/users/ana/mailbox")}))
	engine := lksync.New(az, &lksync.Memory{}, nil)
	pair := lksync.Pair{ID: "ana", OnBehalfOf: ana, Resource: at("tenants/acme/users/ana/sync"), Left: left, Right: right}
	report := must(engine.Sync(ctx, worker, pair))

	contacts := report.Kinds[connectors.KindContact]
	fmt.Println("found on both sides:", contacts.Linked)
	fmt.Println("created in the CRM and in the mailbox:", contacts.Created)
	fmt.Println("written by the next round:", must(engine.Sync(ctx, worker, pair)).Writes())
	// Output:
	// found on both sides: 1
	// created in the CRM and in the mailbox: [2 1]
	// written by the next round: 0
}

// filled makes a system in memory that knows a few people.
func filled(area connectors.Area) connectors.Plugin {
	s := mem.New(nil)
	people := map[connectors.Area][]string{connectors.CRM: {"Zoé", "Jürgen"}, connectors.Mailbox: {"Zoé", "さくら", "Ελπινίκη"}}
	for _, name := range people[area] {
		r := connectors.NewRecord(connectors.KindContact)
		r.Contact.GivenName, r.Contact.FamilyName = name, "Example"
		s.Add(r)
	}
	return must(s.Plugin(area.String(), area))
}

func allow(principal, role, resource string) authz.Authorization {
	return authz.Authorization{Principal: must(authz.ParsePrincipal(principal)), Role: authz.MustRole(role), Resource: at(resource), Effect: authz.Allow}
}

func at(path string) authz.Resource { return must(authz.ParseResource(path)) }

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
