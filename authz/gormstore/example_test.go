package gormstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/gormstore"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/policy"
)

// must keeps the example short; programs handle errors.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Assignments and audit records are in a file. Another process, or this one
// after a restart, finds them, and how they came to be.
func Example() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "house.db")
	root := authz.Authorization{Principal: must(authz.User("idp", "root")), Role: authz.MustRole("role:tenant-admin"),
		Resource: must(authz.NewResource("tenants")), Effect: authz.Allow}

	db := must(sqlite.Open(ctx, path, nil)) // with a key in earnest
	store := must(gormstore.NewStore(ctx, must(sqlite.Gorm(db))))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Store: store, Audit: store, Seed: []authz.Authorization{root}}))
	grant := must(a.Authorize(ctx, authz.Request{Principal: root.Principal, Permission: authz.MustPermission("authz.authorizations.write"), Resource: root.Resource}))
	must(a.Edit(grant).Assign(ctx, authz.Authorization{Principal: must(authz.User("idp", "ana")), Role: authz.MustRole("role:user"),
		Resource: must(authz.NewResource("tenants", "acme", "users", "ana")), Effect: authz.Allow, Reason: "new here"}))
	fmt.Println(db.Close())

	db = must(sqlite.Open(ctx, path, nil))
	defer db.Close()
	g := must(sqlite.Gorm(db))
	store = must(gormstore.NewStore(ctx, g))
	for c, err := range store.Changes(ctx, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, x := range c.Add {
			fmt.Printf("%d %q: %s gets %s on %s\n", c.Revision, c.Reason, x.Principal, x.Role, x.Resource)
		}
	}
	last, _, err := authz.Verify(must(gormstore.NewAudit(ctx, g)).Records(ctx, 0, false))
	fmt.Println(last, err)
	// Output:
	// <nil>
	// 1 "seed": user:idp/root gets role:tenant-admin on tenants
	// 2 "new here": user:idp/ana gets role:user on tenants/acme/users/ana
	// 2 <nil>
}
