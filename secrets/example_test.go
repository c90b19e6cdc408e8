package secrets_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// installation is what a program sets up once: who may do what, a keyring, a
// store, and the Safe over them.
type installation struct {
	az    *authz.Authorizer
	audit *authz.Memory
	safe  *secrets.Safe
	dir   string
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newInstallation() *installation {
	tenant := must(authz.ParseResource("tenants/acme"))
	audit := authz.NewMemory(0)
	az := must(authz.New(context.Background(), policy.Files(), &authz.Options{Audit: audit, Seed: []authz.Authorization{
		{Principal: must(authz.ParsePrincipal("user:idp/ada")), Role: must(authz.ParseRole("role:tenant-admin")), Resource: tenant, Effect: authz.Allow},
		{Principal: must(authz.ParsePrincipal("service:crm")), Role: must(authz.ParseRole("role:connection")), Resource: tenant, Effect: authz.Allow},
		{Principal: must(authz.ParsePrincipal("service:custodian")), Role: must(authz.ParseRole("role:custodian")), Resource: must(authz.ParseResource("tenants")), Effect: authz.Allow},
	}}))
	dir := must(os.MkdirTemp("", "example"))
	keys := must(local.Create(filepath.Join(dir, "keyring"), nil))
	return &installation{az, audit, must(secrets.New(keys, keys, &secrets.Memory{}, nil)), dir}
}

func (i *installation) close() {
	_ = i.safe.Close()
	_ = os.RemoveAll(i.dir)
}

// grant asks for a permission; what comes back has been recorded.
func (i *installation) grant(who, permission string, on authz.Resource) authz.Grant {
	return must(i.az.Authorize(context.Background(), authz.Request{Principal: must(authz.ParsePrincipal(who)), Permission: authz.MustPermission(permission), Resource: on}))
}

// A password goes in and is gone from the caller's memory.
func ExampleSafe_Put() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme/users/7f3a")), "mailbox"))

	value := []byte("open sesame")
	err := in.safe.Put(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, value,
		secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: "ana@example.com"}})
	fmt.Println(err)
	fmt.Printf("%q\n", value)
	d := must(in.safe.Describe(ctx, in.grant("user:idp/ada", "secrets.describe", ref.Resource()), ref))
	fmt.Println(d.Ref, d.Kind, d.Version)
	// Output:
	// <nil>
	// "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	// tenants/acme/users/7f3a/secrets/mailbox basic 1
}

// The service that acts in another system gets a client and no password. The
// client serves one origin.
func ExampleHandle_HTTPClient() {
	crm := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s is in: %t", user, password == "open sesame")
	}))
	defer crm.Close()
	roots := x509.NewCertPool()
	roots.AddCert(crm.Certificate())

	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), "crm"))
	if err := in.safe.Put(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, []byte("open sesame"),
		secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: "ana"}}); err != nil {
		panic(err)
	}

	h := must(in.safe.Handle(in.grant("service:crm", "secrets.use", ref.Resource()), ref))
	client := must(h.HTTPClient(ctx, secrets.ClientPolicy{Origin: crm.URL, Roots: roots}))
	resp := must(client.Get(crm.URL + "/accounts"))
	defer resp.Body.Close()
	fmt.Printf("%s\n", must(io.ReadAll(resp.Body)))
	fmt.Println(resp.Request.Header)
	fmt.Printf("%+v\n", h)
	_, err := client.Get("https://elsewhere.example/")
	fmt.Println(errors.Is(err, secrets.ErrOrigin))
	// Output:
	// ana is in: true
	// map[]
	// secret tenants/acme/secrets/crm
	// true
}

// A signing key is made where it stays. Making it again rotates it: the other
// system gets a new certificate, and clients of the old key stop.
func ExampleSafe_Generate() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), "signing"))
	o := secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SAMLBearer, TokenURL: "https://crm.example/token", ClientID: "our-client",
		Issuer: "lockkeeper.example", Subject: "ana@example.com", Audience: "crm.example"}}

	var old string
	for range 2 {
		certificate := must(in.safe.Generate(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, o, time.Now().AddDate(1, 0, 0)))
		d := must(in.safe.Describe(ctx, in.grant("user:idp/ada", "secrets.describe", ref.Resource()), ref))
		fmt.Println(certificate[:27], certificate != old, "version", d.Version)
		old = certificate
	}
	// Output:
	// -----BEGIN CERTIFICATE----- true version 1
	// -----BEGIN CERTIFICATE----- true version 2
}

// An inventory says what there is, of what kind and how old, and no more.
func ExampleSafe_List() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	for _, at := range [][2]string{{"tenants/acme/users/7f3a", "mailbox"}, {"tenants/acme/users/9c1e", "mailbox"}, {"tenants/acme", "crm"}} {
		ref := must(secrets.NewRef(must(authz.ParseResource(at[0])), at[1]))
		if err := in.safe.Put(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, []byte("mF_9.B5f-4.1JqM"),
			secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}, Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
			panic(err)
		}
	}
	tenant := must(authz.ParseResource("tenants/acme"))
	for d, err := range in.safe.List(ctx, in.grant("user:idp/ada", "secrets.describe", tenant), tenant) {
		if err != nil {
			panic(err)
		}
		d.First, d.Created = time.Time{}, time.Time{} // now
		fmt.Printf("%s\n", must(json.Marshal(d)))
	}
	// Output:
	// {"ref":"tenants/acme/secrets/crm","kind":"bearer","version":1,"versions":1,"key_version":1,"first":"0001-01-01T00:00:00Z","created":"0001-01-01T00:00:00Z","expires":"2100-01-01T00:00:00Z"}
	// {"ref":"tenants/acme/users/7f3a/secrets/mailbox","kind":"bearer","version":1,"versions":1,"key_version":1,"first":"0001-01-01T00:00:00Z","created":"0001-01-01T00:00:00Z","expires":"2100-01-01T00:00:00Z"}
	// {"ref":"tenants/acme/users/9c1e/secrets/mailbox","kind":"bearer","version":1,"versions":1,"key_version":1,"first":"0001-01-01T00:00:00Z","created":"0001-01-01T00:00:00Z","expires":"2100-01-01T00:00:00Z"}
}

// A revocation stops the clients that are in use, at their next request.
func ExampleSafe_Revoke() {
	crm := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer crm.Close()
	roots := x509.NewCertPool()
	roots.AddCert(crm.Certificate())

	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), "crm"))
	if err := in.safe.Put(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, []byte("mF_9.B5f-4.1JqM"),
		secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}); err != nil {
		panic(err)
	}
	h := must(in.safe.Handle(in.grant("service:crm", "secrets.use", ref.Resource()), ref))
	client := must(h.HTTPClient(ctx, secrets.ClientPolicy{Origin: crm.URL, Roots: roots}))
	resp := must(client.Get(crm.URL))
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)

	fmt.Println(in.safe.Revoke(ctx, in.grant("user:idp/ada", "secrets.revoke", ref.Resource()), ref))
	_, err := client.Get(crm.URL)
	fmt.Println(errors.Is(err, secrets.ErrNotFound))
	// Output:
	// 200
	// <nil>
	// true
}
