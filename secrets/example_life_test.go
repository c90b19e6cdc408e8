package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// token puts a bearer token of tenant acme.
func (i *installation) token(name, value string) secrets.Ref {
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), name))
	if err := i.safe.Put(context.Background(), i.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, []byte(value),
		secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}); err != nil {
		panic(err)
	}
	return ref
}

// A wrong token was put: the one before comes back, as a new version.
func ExampleSafe_Rollback() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := in.token("crm", "right")
	in.token("crm", "wrong")

	fmt.Println(in.safe.Rollback(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, 1))
	for _, v := range must(in.safe.Versions(ctx, in.grant("user:idp/ada", "secrets.describe", ref.Resource()), ref)) {
		fmt.Println(v.Version, v.Current)
	}
	// Output:
	// <nil>
	// 1 false
	// 2 false
	// 3 true
}

// A tenant's key is made new. What it sealed is brought under the new one while
// everybody goes on, and then the old one is destroyed.
func ExampleSafe_RotateTenant() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	for i := range 3 {
		in.token(fmt.Sprint("crm", i), "token")
	}
	tenant := must(authz.ParseResource("tenants/acme"))
	g := in.grant("service:custodian", "secrets.rotate", tenant)

	fmt.Println("generation", must(in.safe.RotateTenant(ctx, g, tenant)))
	fmt.Println(errors.Is(in.safe.RetireTenantKeys(ctx, g, tenant), secrets.ErrInUse))
	p := must(in.safe.Rewrap(ctx, g, tenant, &secrets.JobOptions{Batch: 2, Progress: func(p secrets.Progress) {
		fmt.Println(p.Done, "of", p.Total)
	}}))
	fmt.Println(p.Failed, "failed")
	fmt.Println(in.safe.RetireTenantKeys(ctx, g, tenant))
	// Output:
	// generation 2
	// true
	// 0 of 3
	// 2 of 3
	// 3 of 3
	// 0 failed
	// <nil>
}

// Everything of a tenant is destroyed, in the copies of the database too, and a
// certificate says so.
func ExampleSafe_Erase() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := in.token("crm", "token")
	tenant := must(authz.ParseResource("tenants/acme"))

	c := must(in.safe.Erase(ctx, in.grant("service:custodian", "secrets.erase", tenant), tenant))
	fmt.Println(c.Tenant, c.KeyVersions, c.Secrets, c.Verify())
	for _, line := range c.Checked {
		fmt.Println("-", line)
	}
	h := must(in.safe.Handle(in.grant("service:crm", "secrets.use", ref.Resource()), ref))
	_, err := h.HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://crm.example"})
	fmt.Println(errors.Is(err, secrets.ErrErased))
	// Output:
	// acme [1] 1 true
	// - the tenant's row is marked as erased
	// - the store has no secret of the tenant
	// - the key store has no key of the tenant
	// - 1 of the versions from before were tried and none opens
	// true
}

// A copy for the day when the keys are lost, which only the holder of a key that
// is kept elsewhere can read.
func ExampleSafe_Export() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	in.token("crm", "token")
	tenant := must(authz.ParseResource("tenants/acme"))
	recovery := must(secrets.NewRecoveryKey()) // recovery.Bytes go into a vault of another kind

	var file bytes.Buffer
	x := must(in.safe.Export(ctx, in.grant("service:custodian", "secrets.export", tenant), authz.Grant{}, tenant, recovery.PublicKey(), &file))
	fmt.Println(x.Secrets, "exported", bytes.Contains(file.Bytes(), []byte("token")))

	other := newInstallation() // new keys, an empty store
	defer other.close()
	y := must(other.safe.ImportExport(ctx, other.grant("user:idp/ada", "secrets.write", tenant), recovery, &file))
	fmt.Println(y.Secrets, "restored")
	// Output:
	// 1 exported false
	// 1 restored
}

// What was in the environment until now moves into the safe, and is gone from
// the environment.
func ExampleSafe_Import() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	_ = os.Setenv("EXAMPLE_CRM_TOKEN", "token")
	tenant := must(authz.ParseResource("tenants/acme"))

	x := must(in.safe.Import(ctx, in.grant("user:idp/ada", "secrets.write", tenant), slices.Values([]secrets.Item{
		{Ref: must(secrets.NewRef(tenant, "crm")), Options: secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}, Value: secrets.FromEnvironment("EXAMPLE_CRM_TOKEN")},
		{Ref: must(secrets.NewRef(tenant, "mail")), Options: secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}, Value: secrets.FromEnvironment("EXAMPLE_MAIL_TOKEN")},
	})))
	fmt.Println(x.Secrets, "imported")
	fmt.Println(x.Failed[0].Name, "failed:", x.Failed[0].Err)
	fmt.Printf("%q\n", os.Getenv("EXAMPLE_CRM_TOKEN"))
	// Output:
	// 1 imported
	// tenants/acme/secrets/mail failed: secrets: environment variable EXAMPLE_MAIL_TOKEN is not set
	// ""
}

// The database is compared with the record of changes, which somebody who can
// only write to the database has not altered.
func ExampleSafe_Verify() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	in.token("crm", "token")
	tenant := must(authz.ParseResource("tenants/acme"))
	records := func(yield func(authz.AuditRecord, error) bool) {
		for _, r := range in.audit.Records() {
			if !yield(r, nil) {
				return
			}
		}
	}

	n := 0
	for finding, err := range in.safe.Verify(ctx, in.grant("user:idp/ada", "secrets.describe", tenant), tenant, records) {
		fmt.Println(finding, err)
		n++
	}
	fmt.Println(n, "findings")
	// Output:
	// 0 findings
}
