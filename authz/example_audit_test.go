package authz_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// support is an Authorizer with one support engineer, and a request of theirs.
func support(o *authz.Options) (*authz.Authorizer, authz.Request) {
	ben := must(authz.User("idp", "ben"))
	acme := must(authz.NewResource("tenants", "acme"))
	o.Seed = []authz.Authorization{{Principal: ben, Role: authz.MustRole("role:support"), Resource: acme, Effect: authz.Allow}}
	return must(authz.New(context.Background(), policy.Files(), o)), authz.Request{Principal: ben, Permission: authz.MustPermission("sync.status.read"), Resource: acme}
}

// Decisions in the program's own log, as structured attributes.
func ExampleNewSlog() {
	ctx := context.Background()
	log := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, x slog.Attr) slog.Attr {
		switch x.Key {
		case "time", "decision", "cause", "previous", "hash", "revision", "on_behalf_of": // they differ from run to run, or are empty here
			return slog.Attr{}
		}
		return x
	}})
	a, req := support(&authz.Options{Audit: authz.NewSlog(log)})
	_ = must(a.Authorize(ctx, req))
	req.Permission = authz.MustPermission("mailbox.items.read")
	_, err := a.Authorize(ctx, req)
	fmt.Println(errors.Is(err, authz.ErrDenied))
	// Output:
	// level=INFO msg="authz decision" seq=1 principal=user:idp/ben permission=sync.status.read resource=tenants/acme allowed=true reason="user:idp/ben holds role:support on tenants/acme"
	// level=WARN msg="authz decision" seq=2 principal=user:idp/ben permission=mailbox.items.read resource=tenants/acme allowed=false reason="user:idp/ben holds no role with this permission here or above"
	// true
}

// failing is a Sink that takes nothing.
type failing struct{}

func (failing) Append(context.Context, []authz.AuditRecord) error { return errors.New("disk full") }
func (failing) Head(context.Context) (uint64, authz.Hash, error)  { return 0, authz.Hash{}, nil }

// Two copies of the record: what one of them does not take has not happened.
func ExampleTee() {
	ctx := context.Background()
	here, there := authz.NewMemory(0), authz.NewMemory(0)
	a, req := support(&authz.Options{Audit: authz.Tee(here, there)})
	_ = must(a.Authorize(ctx, req))
	fmt.Println(len(here.Records()), len(there.Records()))

	a, req = support(&authz.Options{Audit: authz.Tee(authz.NewMemory(0), failing{})})
	_, err := a.Authorize(ctx, req)
	fmt.Println(err)
	// Output:
	// 1 1
	// authz: audit record not written: denied: authz: audit: sink 2: disk full
}

// A question that is asked a thousand times a minute need not fill the record,
// as long as the record says so. Refusals are all in it.
func ExampleOptions_sampleAllowed() {
	ctx := context.Background()
	status := authz.MustPermission("sync.status.read")
	audit := authz.NewMemory(0)
	a, req := support(&authz.Options{Audit: audit, SampleAllowed: map[authz.Permission]float64{status: 0.1}})
	for range 1000 {
		_ = must(a.Authorize(ctx, req))
	}
	fmt.Println("fewer:", len(audit.Records()) < 300)
	req.Permission = authz.MustPermission("audit.read")
	for range 5 {
		_, _ = a.Authorize(ctx, req)
	}
	rs := audit.Records()
	fmt.Println("refusals:", !rs[len(rs)-1].Allowed && !rs[len(rs)-5].Allowed)

	_, err := authz.New(ctx, policy.Files(), &authz.Options{SampleAllowed: map[authz.Permission]float64{authz.MustPermission("mailbox.items.read"): 0.1}})
	fmt.Println(err)
	// Output:
	// fewer: true
	// refusals: true
	// authz: sample: mailbox.items.read touches personal data: each of its decisions is recorded
}

// Verify once, keep sequence and hash in a safe place, and go on from there.
func ExampleVerifyFrom() {
	ctx := context.Background()
	audit := authz.NewMemory(0)
	a, req := support(&authz.Options{Audit: audit})
	records := func(after uint64) iter.Seq2[authz.AuditRecord, error] {
		return func(yield func(authz.AuditRecord, error) bool) {
			for _, r := range audit.Records() {
				if r.Sequence > after && !yield(r, nil) {
					return
				}
			}
		}
	}
	for range 3 {
		_ = must(a.Authorize(ctx, req))
	}
	seq, hash, err := authz.Verify(records(0))
	fmt.Println(seq, err)
	for range 2 {
		_ = must(a.Authorize(ctx, req))
	}
	seq, hash, err = authz.VerifyFrom(seq, hash, records(seq))
	fmt.Println(seq, err)

	hash[0] ^= 1
	_ = must(a.Authorize(ctx, req))
	_, _, err = authz.VerifyFrom(seq, hash, records(seq))
	fmt.Println(err)
	// Output:
	// 3 <nil>
	// 5 <nil>
	// authz: audit: record 6 does not continue the one before
}
