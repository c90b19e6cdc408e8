package authz_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// must keeps the examples short; programs handle errors.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func Example() {
	ctx := context.Background()
	ana := must(authz.User("https://login.example", "7f3a"))
	mailbox := must(authz.NewResource("tenants", "acme", "users", "7f3a", "mailbox"))
	home, _ := mailbox.Parent()

	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow},
	}}))

	grant, err := a.Authorize(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: mailbox})
	fmt.Println(grant, err)
	_, err = a.Authorize(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("secrets.use"), Resource: mailbox})
	fmt.Println(err)
	// Output:
	// grant of mailbox.items.read on tenants/acme/users/7f3a/mailbox <nil>
	// authz: secrets.use on tenants/acme/users/7f3a/mailbox: denied: user:https%3A%2F%2Flogin.example/7f3a holds no role with this permission here or above
}

// Check is for showing or hiding a button: it records nothing and hands over
// nothing.
func ExampleAuthorizer_Check() {
	ctx := context.Background()
	ben := must(authz.User("idp", "ben"))
	support := must(authz.Team("support"))
	tenants := must(authz.NewResource("tenants"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{
		Seed:        []authz.Authorization{{Principal: support, Role: authz.MustRole("role:support"), Resource: tenants, Effect: authz.Allow}},
		SeedMembers: []authz.Membership{{Member: ben, Team: support}},
	}))
	acme := must(tenants.Child("acme"))
	for _, p := range []string{"sync.issues.retry", "sync.issues.names.read"} {
		d := must(a.Check(ctx, authz.Request{Principal: ben, Permission: authz.MustPermission(p), Resource: acme}))
		fmt.Println(p, d.Allowed, "-", d.Reason())
	}
	// Output:
	// sync.issues.retry true - user:idp/ben, through team:support, holds role:support on tenants
	// sync.issues.names.read false - user:idp/ben holds no role with this permission here or above
}

// A worker acts on behalf of a user and can do no more than either of them.
// What was decided is on record before the Grant is there.
func ExampleAuthorizer_Authorize() {
	ctx := context.Background()
	worker, ana := must(authz.Service("sync-worker")), must(authz.User("idp", "ana"))
	acme := must(authz.NewResource("tenants", "acme"))
	anas, bens := must(acme.Child("users", "ana")), must(acme.Child("users", "ben"))
	audit := authz.NewMemory(0)
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Audit: audit, Seed: []authz.Authorization{
		{Principal: worker, Role: authz.MustRole("role:sync-worker"), Resource: acme, Effect: authz.Allow},
		{Principal: ana, Role: authz.MustRole("role:user"), Resource: anas, Effect: authz.Allow},
	}}))
	read := authz.MustPermission("mailbox.items.read")
	g, err := a.Authorize(ctx, authz.Request{Principal: worker, OnBehalfOf: ana, Permission: read, Resource: anas})
	fmt.Println(err, g.Covers(read, anas), errors.Is(g.Covers(read, bens), authz.ErrDenied))
	_, err = a.Authorize(ctx, authz.Request{Principal: worker, OnBehalfOf: ana, Permission: read, Resource: bens})
	fmt.Println(errors.Is(err, authz.ErrDenied))
	for _, r := range audit.Records() {
		fmt.Println(r.Sequence, r.Principal, "for", r.OnBehalfOf, r.Resource, r.Allowed)
	}
	// Output:
	// <nil> <nil> true
	// true
	// 1 service:sync-worker for user:idp/ana tenants/acme/users/ana true
	// 2 service:sync-worker for user:idp/ana tenants/acme/users/ben false
}

func ExampleAuthorizer_Explain() {
	ctx := context.Background()
	ana := must(authz.User("idp", "ana"))
	tenants := must(authz.NewResource("tenants"))
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Clock: func() time.Time { return noon }, Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:crm-user"), Resource: must(tenants.Child("acme", "crm")), Effect: authz.Allow, Until: noon.Add(-time.Hour)},
		{Principal: ana, Role: authz.MustRole("role:crm-user"), Resource: must(tenants.Child("beta", "crm")), Effect: authz.Allow},
	}}))
	x := must(a.Explain(ctx, authz.Request{Principal: ana, Permission: authz.MustPermission("crm.items.write"), Resource: must(tenants.Child("acme", "crm"))}))
	fmt.Println(x.Reason)
	for _, n := range x.Nearest {
		fmt.Println("-", n)
	}
	// Output:
	// user:idp/ana holds no role with this permission here or above
	// - role:crm-user is held on tenants/beta/crm, not here
	// - role:crm-user on tenants/acme/crm ended at 2030-01-01 11:00 UTC
	// - carried by role:crm-user, role:sync-worker
}

// Rights are changed by an Editor, which needs a right itself and gives nothing
// that its holder could not.
func ExampleAuthorizer_Edit() {
	ctx := context.Background()
	admin, ana := must(authz.User("idp", "admin")), must(authz.User("idp", "ana"))
	acme := must(authz.NewResource("tenants", "acme"))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: admin, Role: authz.MustRole("role:tenant-admin"), Resource: acme, Effect: authz.Allow},
	}}))
	g := must(a.Authorize(ctx, authz.Request{Principal: admin, Permission: authz.MustPermission("authz.authorizations.write"), Resource: acme}))
	edit := a.Edit(g)

	home := must(acme.Child("users", "ana"))
	id := must(edit.Assign(ctx, authz.Authorization{Principal: ana, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow, Reason: "starts on Monday"}))
	read := authz.Request{Principal: ana, Permission: authz.MustPermission("mailbox.items.read"), Resource: home}
	live := must(a.Authorize(ctx, read))
	fmt.Println("given:", live.Covers(read.Permission, home))

	_, err := edit.Assign(ctx, authz.Authorization{Principal: admin, Role: authz.MustRole("role:user"), Resource: home, Effect: authz.Allow})
	fmt.Println(err)

	if err := edit.Revoke(ctx, id, "has left"); err != nil {
		fmt.Println(err)
	}
	fmt.Println("taken:", live.Covers(read.Permission, home))
	// Output:
	// given: <nil>
	// authz: role:user on tenants/acme/users/ana: user:idp/admin does not hold mailbox.attachments.delete there and cannot give it: denied
	// taken: authz: mailbox.items.read on tenants/acme/users/ana: denied: user:idp/ana holds no role with this permission here or above
}

// A product brings its own permissions and roles. What they mean is always the
// same; model.conf says it in Casbin's words.
func ExampleNew_ownPolicy() {
	ctx := context.Background()
	own := fstest.MapFS{
		"model.conf":      {Data: must(policy.Files().(interface{ ReadFile(string) ([]byte, error) }).ReadFile("model.conf"))},
		"permissions.csv": {Data: []byte("door.open, open a door\ndoor.lock, lock a door\n")},
		"roles.csv":       {Data: []byte("p, role:guest, door.open\ng, role:host, role:guest\np, role:host, door.lock\n")},
	}
	a := must(authz.New(ctx, own, nil))
	for role, permissions := range a.Roles() {
		fmt.Println(role, permissions)
	}
	own["roles.csv"].Data = []byte("p, role:guest, door.open\np, role:host, door.lcok\n")
	_, err := authz.New(ctx, own, nil)
	fmt.Println(err)
	// Output:
	// role:guest [door.open]
	// role:host [door.lock door.open]
	// authz: policy: roles.csv:2: permission "door.lcok" is not in permissions.csv: add it there or correct it
}

// Decisions are a chain: what was altered or left out shows. Keep a copy of the
// last sequence and hash elsewhere to see an end that was cut off.
func ExampleVerify() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "audit"))
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "decisions")
	sink := must(authz.OpenJSONLines(path))
	a := must(authz.New(ctx, policy.Files(), &authz.Options{Audit: sink}))
	nobody := must(authz.User("idp", "nobody"))
	for range 3 {
		_, _ = a.Authorize(ctx, authz.Request{Principal: nobody, Permission: authz.MustPermission("audit.read"), Resource: must(authz.NewResource("tenants"))})
	}
	_ = sink.Close()

	text := must(os.ReadFile(path))
	seq, _, err := authz.Verify(authz.ReadJSONLines(bytes.NewReader(text)))
	fmt.Println(seq, err)

	text = bytes.Replace(text, []byte(`"allowed":false`), []byte(`"allowed":true`), 1)
	_, _, err = authz.Verify(authz.ReadJSONLines(bytes.NewReader(text)))
	fmt.Println(err)
	// Output:
	// 3 <nil>
	// authz: audit: record 1 was altered
}
