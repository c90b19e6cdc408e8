package authz_test

import (
	"context"
	"fmt"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// A page with many buttons asks once, and every answer is of the same moment.
func ExampleAuthorizer_CheckBatch() {
	ctx := context.Background()
	ana := must(authz.User("idp", "ana"))
	home := must(authz.NewResource("tenants", "acme", "users", "ana"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow},
	}}))
	var reqs []authz.Request
	for _, p := range []string{"sync.run", "sync.pause", "secrets.write"} {
		reqs = append(reqs, authz.Request{Principal: ana, Permission: authz.MustPermission(p), Resource: home})
	}
	reqs = append(reqs, authz.Request{}) // no question
	out := make([]authz.Decision, len(reqs))
	fmt.Println(a.CheckBatch(ctx, reqs, out))
	for i, d := range out {
		fmt.Println(reqs[i].Permission, d.Allowed, d.Code == authz.BadRequest)
	}
	// Output:
	// <nil>
	// sync.run true false
	// sync.pause true false
	// secrets.write false false
	//  false true
}

func ExampleAuthorizer_Permissions() {
	a := must(authz.New(context.Background(), policy.Files(), nil))
	for p, about := range a.Permissions() {
		if p.String() < "b" {
			fmt.Printf("%s: %s\n", p, about)
		}
	}
	// Output:
	// audit.read: read the record of decisions
	// authz.authorizations.read: see who holds which role where
	// authz.authorizations.write: give and take roles
	// authz.decisions.explain: ask why somebody may or may not do something
}

func ExampleAuthorizer_Roles() {
	a := must(authz.New(context.Background(), policy.Files(), nil))
	for role, permissions := range a.Roles() {
		fmt.Println(role, len(permissions))
	}
	// Output:
	// role:administration 12
	// role:connection 1
	// role:crm-user 8
	// role:custodian 4
	// role:customer-success 4
	// role:sales 2
	// role:support 6
	// role:sync-worker 17
	// role:tenant-admin 18
	// role:user 16
}

// Names that could be mistaken for others, or mean another place in other
// notations, are none.
func ExampleNewResource_refused() {
	for _, segment := range []string{"", "..", "a\x00b", "a\u200bb"} {
		_, err := authz.NewResource("tenants", segment)
		fmt.Println(err)
	}
	// What stands in a segment stays in it.
	fmt.Println(must(authz.NewResource("tenants", "a/../b")))
	// Output:
	// authz: resource: segment 2: empty
	// authz: resource: segment 2: .. means another place in many notations of paths
	// authz: resource: segment 2: control or invisible character U+0000
	// authz: resource: segment 2: control or invisible character U+200B
	// tenants/a%2F..%2Fb
}

func ExampleParsePrincipal_refused() {
	for _, s := range []string{"ana", "user:ana", "role:admin", "team:a/b", "user:idp/a%62c"} {
		_, err := authz.ParsePrincipal(s)
		fmt.Println(err)
	}
	// Output:
	// authz: principal: want user:ISSUER/SUBJECT, service:NAME or team:NAME
	// authz: principal: want user:ISSUER/SUBJECT, service:NAME or team:NAME
	// authz: principal: want user:ISSUER/SUBJECT, service:NAME or team:NAME
	// authz: principal: want user:ISSUER/SUBJECT, service:NAME or team:NAME
	// authz: principal: not in escaped form at byte 1
}
