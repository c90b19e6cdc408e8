package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/fips140"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// operations are all that can be done with a secret, each by the one permission
// that it takes.
func operations(w *world, ref secrets.Ref) map[string]func(authz.Grant) error {
	ctx := context.Background()
	return map[string]func(authz.Grant) error{
		"secrets.write": func(g authz.Grant) error { return w.safe.Put(ctx, g, ref, []byte("value"), bearer()) },
		"secrets.describe": func(g authz.Grant) error {
			_, err := w.safe.Describe(ctx, g, ref)
			for _, lerr := range w.safe.List(ctx, g, authz.Resource{}) {
				if lerr == nil {
					return errors.New("the zero resource was listed")
				}
			}
			return err
		},
		"secrets.use": func(g authz.Grant) error {
			h, err := w.safe.Handle(g, ref)
			if err != nil {
				return err
			}
			_, err = h.HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://crm.example"})
			return err
		},
		"secrets.revoke": func(g authz.Grant) error { return w.safe.Revoke(ctx, g, ref) },
	}
}

// evidence: P21
func TestEveryUseIsAuthorizedAndAudited(t *testing.T) {
	who := map[string]string{"secrets.write": "user:idp/admin", "secrets.describe": "user:idp/admin", "secrets.revoke": "user:idp/admin", "secrets.use": "service:conn"}
	roles := map[string]string{"user:idp/admin": "role:tenant-admin", "service:conn": "role:connection"}
	allow := []string{"allow user:idp/admin role:tenant-admin tenants/acme", "allow service:conn role:connection tenants/acme"}
	for perm, p := range who {
		for how, line := range map[string]string{"nothing held": "allow " + p + " role:user tenants/acme", "denied": "deny " + p + " " + roles[p] + " tenants/acme/secrets/crm"} {
			t.Run(perm+" "+how, func(t *testing.T) {
				lines := append([]string{line}, allow...)
				if how == "nothing held" {
					lines = nil
					for _, l := range append([]string{line}, allow...) {
						if l != "allow "+p+" "+roles[p]+" tenants/acme" {
							lines = append(lines, l)
						}
					}
				}
				w := newWorld(t, lines...)
				ref := newRef(t, "tenants/acme", "crm")
				before := len(w.Audit.Records())
				g, err := w.Authorize(t.Context(), request(t, p, perm, ref.Resource()))
				require.ErrorIs(t, err, authz.ErrDenied)
				require.ErrorIs(t, operations(w, ref)[perm](g), authz.ErrDenied, "what Authorize returned is no Grant")
				rs := w.Audit.Records()[before:]
				require.Len(t, rs, 1)
				require.False(t, rs[0].Allowed)
				require.Equal(t, perm, rs[0].Permission.String())
				require.Equal(t, ref.Resource(), rs[0].Resource)
				require.Equal(t, p, rs[0].Principal.String())
			})
		}
	}
	// Each operation takes its own permission, on its own resource, and no other.
	w := newWorld(t)
	ref, sibling, nextTenant := newRef(t, "tenants/acme", "crm"), newRef(t, "tenants/acme", "crm2"), newRef(t, "tenants/beta", "crm")
	w.put(t, ref, "value", bearer())
	for perm, p := range who {
		ops := operations(w, ref)
		for other, q := range who {
			if perm != other {
				require.ErrorIs(t, ops[perm](w.grant(t, q, other, ref.Resource())), authz.ErrDenied, "%s with a grant of %s", perm, other)
			}
		}
		for _, r := range []secrets.Ref{sibling, nextTenant} {
			require.ErrorIs(t, ops[perm](w.grant(t, p, perm, r.Resource())), authz.ErrDenied, "%s with a grant for %s", perm, r)
		}
		require.ErrorIs(t, ops[perm](authz.Grant{}), authz.ErrDenied)
		old := w.grant(t, p, perm, ref.Resource())
		w.clock.add(10 * time.Minute)
		require.ErrorIs(t, ops[perm](old), authz.ErrDenied, "%s with a grant that ended", perm)
	}
	for _, perm := range []string{"secrets.write", "secrets.describe", "secrets.use", "secrets.revoke"} { // revoke is last
		require.NoError(t, operations(w, ref)[perm](w.grant(t, who[perm], perm, ref.Resource())), perm)
	}
	_, _, err := authz.Verify(func(yield func(authz.AuditRecord, error) bool) {
		for _, r := range w.Audit.Records() {
			if !yield(r, nil) {
				return
			}
		}
	})
	require.NoError(t, err)
}

func TestUseIsRecordedBeforeTheRequest(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "value", bearer())
	srv := newServer(t, func(_ http.ResponseWriter, _ *http.Request) {
		for _, r := range w.Audit.Records() {
			if r.Permission.String() == "secrets.use" && r.Allowed && r.Resource == ref.Resource() && r.Principal.String() == "service:conn" {
				return
			}
		}
		t.Error("a request arrived before the record of it")
	})
	_, err := get(t, w.client(t, ref, srv.policy()), srv.URL)
	require.NoError(t, err)
	require.Len(t, srv.seen(), 1)
}

func TestZeroValuesRefuse(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	use := w.grant(t, "service:conn", "secrets.use", ref.Resource())
	write := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	var none *secrets.Safe
	_, err := none.Handle(use, ref)
	require.ErrorIs(t, err, authz.ErrDenied)
	require.ErrorIs(t, none.Put(t.Context(), write, ref, []byte("x"), bearer()), authz.ErrDenied)
	_, err = none.Generate(t.Context(), write, ref, saml("x"), time.Time{})
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = w.safe.Handle(use, secrets.Ref{})
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = secrets.Handle{}.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
	require.ErrorIs(t, err, authz.ErrDenied)
	require.Equal(t, "no secret", secrets.Handle{}.String())
	require.True(t, secrets.Ref{}.IsZero())
	require.Empty(t, secrets.Ref{}.String())
	for _, args := range [][3]bool{{false, true, true}, {true, false, true}, {true, true, false}} {
		var k secrets.Keeper
		var ks secrets.KeyStore
		var s secrets.Store
		if args[0] {
			k = w.keys
		}
		if args[1] {
			ks = w.keys
		}
		if args[2] {
			s = w.store
		}
		_, err := secrets.New(k, ks, s, nil)
		require.ErrorContains(t, err, "all needed")
	}
}

func TestRef(t *testing.T) {
	for _, bad := range []string{"tenants", "users/ana", "acme", "crm/tenants/acme"} {
		_, err := secrets.NewRef(authztest.Resource(t, bad), "x")
		require.Error(t, err, bad)
	}
	_, err := secrets.NewRef(authz.Resource{}, "x")
	require.Error(t, err)
	_, err = secrets.NewRef(authztest.Resource(t, "tenants/acme"), "")
	require.Error(t, err)
	require.Equal(t, "tenants/acme/secrets/..%2Fbeta", newRef(t, "tenants/acme", "../beta").String(), "a name is one segment, whatever is in it")
}

// evidence: P30
func TestTheValueIsCleared(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	good := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	down := errors.New("down")
	// There before all of them: a store that has nothing has no conflict.
	require.NoError(t, w.safe.Put(t.Context(), good, ref, []byte("before"), bearer()))
	for name, put := range map[string]func([]byte) error{
		"stored":      func(v []byte) error { return w.safe.Put(t.Context(), good, ref, v, bearer()) },
		"denied":      func(v []byte) error { return w.safe.Put(t.Context(), authz.Grant{}, ref, v, bearer()) },
		"no ref":      func(v []byte) error { return w.safe.Put(t.Context(), good, secrets.Ref{}, v, bearer()) },
		"no safe":     func(v []byte) error { return (*secrets.Safe)(nil).Put(t.Context(), good, ref, v, bearer()) },
		"bad scheme":  func(v []byte) error { return w.safe.Put(t.Context(), good, ref, v, secrets.PutOptions{}) },
		"unfit value": func(v []byte) error { return w.safe.Put(t.Context(), good, ref, v, saml("not a certificate")) },
		"over already": func(v []byte) error {
			return w.safe.Put(t.Context(), good, ref, v, secrets.PutOptions{Scheme: bearer().Scheme, Expires: time.Unix(0, 0)})
		},
		"store down": func(v []byte) error {
			return w.open(t, w.keys, w.keys, &outage{Store: w.store, err: down}).Put(t.Context(), good, ref, v, bearer())
		},
		"store conflicts": func(v []byte) error {
			return w.open(t, w.keys, w.keys, forgetful{w.store}).Put(t.Context(), good, ref, v, bearer())
		},
		"keeper down": func(v []byte) error {
			return w.open(t, sealedKeeper{}, w.keys, w.store).Put(t.Context(), good, ref, v, bearer())
		},
	} {
		v := []byte("canary-value")
		err := put(v)
		require.Equal(t, name == "stored", err == nil, "%s: %v", name, err)
		require.Equal(t, make([]byte, 12), v, name)
		if err != nil {
			require.NotContains(t, err.Error(), "canary-value")
		}
	}
}

// forgetful does not find what it has.
type forgetful struct{ secrets.Store }

func (f forgetful) Load(ctx context.Context, tenant, _ string, version uint64) (secrets.Record, error) {
	return f.Store.Load(ctx, tenant, "", version)
}

// sealedKeeper is a Keeper that cannot be reached.
type sealedKeeper struct{}

func (sealedKeeper) Wrap(context.Context, []byte, []byte) ([]byte, error) {
	return nil, secrets.ErrKeeper
}
func (sealedKeeper) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return nil, secrets.ErrKeeper
}

func TestPutRefuses(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	g := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	now := w.clock.now()
	with := func(s secrets.Scheme, expires time.Time) secrets.PutOptions {
		return secrets.PutOptions{Scheme: s, Expires: expires}
	}
	for name, c := range map[string]struct {
		value string
		o     secrets.PutOptions
		want  string
	}{
		"empty":           {"", bearer(), "value"},
		"too long":        {strings.Repeat("x", secrets.MaxValue+1), bearer(), "value"},
		"no kind":         {"x", secrets.PutOptions{}, "kind"},
		"unknown kind":    {"x", with(secrets.Scheme{Kind: "digest"}, time.Time{}), "kind"},
		"line end":        {"a\r\nX: y", basic("ana"), "without line ends"},
		"nul":             {"a\x00", basic("ana"), "without line ends"},
		"no user":         {"x", basic(""), "username"},
		"colon":           {"x", basic("a:b"), "username"},
		"user line end":   {"x", basic("a\nb"), "username"},
		"long user":       {"x", basic(strings.Repeat("u", 256)), "username"},
		"blank in token":  {"a b", bearer(), "visible ASCII"},
		"line in token":   {"a\nb", bearer(), "visible ASCII"},
		"letter in token": {"p\u00e4ss", bearer(), "visible ASCII"},
		"over":            {"x", with(bearer().Scheme, now), "expires"},
		"long over":       {"x", with(bearer().Scheme, time.Unix(0, 0)), "expires"},
	} {
		err := w.safe.Put(t.Context(), g, ref, []byte(c.value), c.o)
		require.ErrorContains(t, err, c.want, name)
		require.Zero(t, w.record(t, ref).Head, name)
	}
}

func TestLifeOfASecret(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme/users/7f3a", "mailbox")
	describe := func() (secrets.Description, error) {
		return w.safe.Describe(t.Context(), w.grant(t, "user:idp/admin", "secrets.describe", ref.Resource()), ref)
	}
	_, err := describe()
	require.ErrorIs(t, err, secrets.ErrNotFound)
	_, err = w.handle(t, ref).HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
	require.ErrorIs(t, err, secrets.ErrNotFound)
	require.ErrorIs(t, w.safe.Revoke(t.Context(), w.grant(t, "user:idp/admin", "secrets.revoke", ref.Resource()), ref), secrets.ErrNotFound)

	first := w.clock.now()
	w.put(t, ref, "one", basic("ana"))
	d, err := describe()
	require.NoError(t, err)
	require.Equal(t, secrets.Description{Ref: ref.String(), Kind: secrets.Basic, Version: 1, Versions: 1, KeyVersion: 1, First: first, Created: first}, d)
	w.clock.add(time.Minute)
	o := bearer()
	o.Expires = first.Add(time.Hour + 300*time.Millisecond)
	w.put(t, ref, "two", o)
	d, err = describe()
	require.NoError(t, err)
	require.Equal(t, secrets.Description{Ref: ref.String(), Kind: secrets.Bearer, Version: 2, Versions: 2, KeyVersion: 1, First: first, Created: first.Add(time.Minute), Expires: first.Add(time.Hour)}, d)
	require.Equal(t, "tenants/acme/users/7f3a", d.Owner())
	w.revoke(t, ref)
	d, err = describe()
	require.NoError(t, err)
	require.True(t, d.Revoked)
	require.Zero(t, w.record(t, ref).Version, "what is revoked is gone, not hidden")
	n, err := w.store.Count(t.Context(), "acme", secrets.AllKeys)
	require.NoError(t, err)
	require.Zero(t, n)
	w.revoke(t, ref)
	w.put(t, ref, "three", bearer())
	srv := newServer(t, nil)
	_, err = get(t, w.client(t, ref, srv.policy()), srv.URL)
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer three"}, srv.seen())
}

func TestInventory(t *testing.T) {
	w := newWorld(t)
	var want []string
	for i := range 450 { // more than two pages
		ref := newRef(t, "tenants/acme", fmt.Sprintf("s%03d", i))
		want = append(want, ref.String())
		w.put(t, ref, "value", bearer())
	}
	w.put(t, newRef(t, "tenants/beta", "x"), "value", bearer())
	owner := authztest.Resource(t, "tenants/acme")
	g := w.grant(t, "user:idp/admin", "secrets.describe", owner)
	var got []string
	for d, err := range w.safe.List(t.Context(), g, owner) {
		require.NoError(t, err)
		got = append(got, d.Ref)
	}
	require.Equal(t, want, got)
	n := 0
	for range w.safe.List(t.Context(), g, owner) {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	for _, wrong := range []string{"tenants/beta", "tenants"} {
		for d, err := range w.safe.List(t.Context(), g, authztest.Resource(t, wrong)) {
			require.ErrorIs(t, err, authz.ErrDenied)
			require.Zero(t, d)
		}
	}
}

// Rows that were swapped, altered or brought from elsewhere do not open.
//
// evidence: P29
func TestRowsOpenOnlyWhereTheyBelong(t *testing.T) {
	w := newWorld(t)
	a, b, beta := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/acme", "b"), newRef(t, "tenants/beta", "a")
	expires := bearer()
	expires.Expires = w.clock.now().Add(time.Hour)
	w.put(t, a, "old", expires)
	old := w.record(t, a)
	w.put(t, a, "value-a", expires)
	for _, r := range []secrets.Ref{b, beta} {
		w.put(t, r, "old", expires)
		w.put(t, r, "value-"+r.String(), expires)
	}
	good, fromB, fromBeta := w.record(t, a), w.record(t, b), w.record(t, beta)
	for name, c := range map[string]struct {
		change func(*secrets.Record)
		want   error
	}{
		"untouched":             {func(*secrets.Record) {}, nil},
		"the last use":          {func(r *secrets.Record) { r.Head.LastUse = w.clock.now() }, nil},
		"another ref's content": {func(r *secrets.Record) { r.Version.Wrap, r.Version.Body = fromB.Version.Wrap, fromB.Version.Body }, secrets.ErrTampered},
		"another ref's body":    {func(r *secrets.Record) { r.Version.Body = fromB.Version.Body }, secrets.ErrTampered},
		"another ref's version": {func(r *secrets.Record) { r.Version = fromB.Version }, secrets.ErrTampered},
		"another ref's rows":    {func(r *secrets.Record) { *r = fromB }, secrets.ErrTampered},
		"another ref's MAC":     {func(r *secrets.Record) { r.Head.MAC = fromB.Head.MAC }, secrets.ErrTampered},
		"another tenant's":      {func(r *secrets.Record) { r.Version.Wrap, r.Version.Body = fromBeta.Version.Wrap, fromBeta.Version.Body }, secrets.ErrTampered},
		"another tenant's rows": {func(r *secrets.Record) { *r = fromBeta }, secrets.ErrTampered},
		"another tenant's row":  {func(r *secrets.Record) { r.Tenant = fromBeta.Tenant }, secrets.ErrTampered},
		"its name on the row":   {func(r *secrets.Record) { r.Tenant = fromBeta.Tenant; r.Tenant.Name = "acme" }, secrets.ErrTampered},
		"no tenant":             {func(r *secrets.Record) { r.Tenant = secrets.Tenant{} }, secrets.ErrTampered},
		"an old version":        {func(r *secrets.Record) { r.Version = old.Version }, secrets.ErrTampered},
		"an old head":           {func(r *secrets.Record) { r.Head = old.Head }, secrets.ErrTampered},
		"both":                  {func(r *secrets.Record) { r.Head, r.Version = old.Head, old.Version }, secrets.ErrTampered},
		"the newer one hidden":  {func(r *secrets.Record) { r.Version = secrets.Version{}; r.Newest = 1 }, secrets.ErrTampered},
		"no version":            {func(r *secrets.Record) { r.Version = secrets.Version{} }, secrets.ErrTampered},
		"no head":               {func(r *secrets.Record) { r.Head = secrets.Head{} }, secrets.ErrNotFound},
		"revision":              {func(r *secrets.Record) { r.Head.Revision = 7 }, secrets.ErrTampered},
		"revoked":               {func(r *secrets.Record) { r.Head.Revoked = true }, secrets.ErrTampered},
		"kind":                  {func(r *secrets.Record) { r.Head.Kind, r.Version.Kind = secrets.Basic, secrets.Basic }, secrets.ErrTampered},
		"no kind":               {func(r *secrets.Record) { r.Head.Kind = "" }, secrets.ErrTampered},
		"scope":                 {func(r *secrets.Record) { r.Head.Scope = "all" }, secrets.ErrTampered},
		"due":                   {func(r *secrets.Record) { r.Head.Due = w.clock.now() }, secrets.ErrTampered},
		"longer life":           {func(r *secrets.Record) { r.Head.Expires = r.Head.Expires.Add(time.Second) }, secrets.ErrTampered},
		"endless life":          {func(r *secrets.Record) { r.Head.Expires = time.Time{} }, secrets.ErrTampered},
		"life of the version":   {func(r *secrets.Record) { r.Version.Expires = time.Time{} }, secrets.ErrTampered},
		"age of the version":    {func(r *secrets.Record) { r.Version.Created = r.Version.Created.Add(time.Second) }, secrets.ErrTampered},
		"nothing":               {func(r *secrets.Record) { r.Version.Wrap, r.Version.Body = nil, nil }, secrets.ErrTampered},
		"format of the future":  {func(r *secrets.Record) { r.Version.Wrap[0] = 2 }, secrets.ErrFormat},
		"suite of the future":   {func(r *secrets.Record) { r.Version.Wrap[1] = 2 }, secrets.ErrFormat},
		"unknown key":           {func(r *secrets.Record) { r.Version.Wrap[5] ^= 1 }, secrets.ErrTampered},
		"unknown key version":   {func(r *secrets.Record) { r.Version.Wrap[21] ^= 2; r.Version.KeyVersion ^= 2 }, secrets.ErrTampered},
		"column of the key":     {func(r *secrets.Record) { r.Version.KeyVersion++ }, secrets.ErrTampered},
		"generation":            {func(r *secrets.Record) { r.Tenant.Generation = 2 }, secrets.ErrTampered},
		"marked as erased":      {func(r *secrets.Record) { r.Tenant.Erased = w.clock.now() }, secrets.ErrErased},
	} {
		r := good
		r.Version.Wrap, r.Version.Body = bytes.Clone(good.Version.Wrap), bytes.Clone(good.Version.Body)
		c.change(&r)
		safe := w.open(t, w.keys, w.keys, one{w.store, r})
		h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
		if c.want == nil {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, c.want, name)
		require.NotContains(t, err.Error(), "value-")
	}
	// Another deployment's Safe over the same keys and rows.
	other, err := secrets.New(w.keys, w.keys, w.store, &secrets.Options{Deployment: "other", Clock: w.clock.now})
	require.NoError(t, err)
	h, err := other.Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
	require.ErrorIs(t, err, secrets.ErrTampered)
	// And a Safe whose tenant was shredded.
	require.NoError(t, w.keys.Shred(t.Context(), "acme"))
	h, err = w.open(t, w.keys, w.keys, w.store).Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
	require.ErrorIs(t, err, secrets.ErrTampered)
}

// What was seen once is not taken back: rows of yesterday, put back whole, are
// right in every MAC and refused by whoever saw those of today.
func TestARollbackOfRowsIsSeen(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "old", bearer())
	old := w.record(t, ref)
	rows := &replaying{Store: w.store}
	safe := w.open(t, w.keys, w.keys, rows)
	use := func() error {
		h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
		return err
	}
	w.put(t, ref, "new", bearer())
	require.NoError(t, use())
	for _, r := range []secrets.Record{old, {Tenant: old.Tenant}} {
		rows.r = &r
		require.ErrorIs(t, use(), secrets.ErrTampered)
	}
	rows.r = nil
	require.NoError(t, use())
	_, err := w.safe.RotateTenant(t.Context(), w.grant(t, "service:custodian", "secrets.rotate", authztest.Resource(t, "tenants/acme")), authztest.Resource(t, "tenants/acme"))
	require.NoError(t, err)
	require.NoError(t, use())
	now := w.record(t, ref)
	now.Tenant = old.Tenant
	rows.r = &now
	require.ErrorIs(t, use(), secrets.ErrTampered, "nor a rotation")
}

// replaying is a Store whose rows somebody put back.
type replaying struct {
	secrets.Store
	r *secrets.Record
}

func (p *replaying) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	if p.r != nil {
		return *p.r, nil
	}
	return p.Store.Load(ctx, tenant, name, version)
}

// one is a Store that always finds the same rows.
type one struct {
	secrets.Store
	r secrets.Record
}

func (o one) Load(context.Context, string, string, uint64) (secrets.Record, error) { return o.r, nil }

func TestKeeperOutage(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "value", bearer())
	safe := w.open(t, sealedKeeper{}, w.keys, w.store)
	h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
	require.ErrorIs(t, err, secrets.ErrKeeper)
}

// counting counts unwraps.
type counting struct {
	secrets.Keeper
	mu sync.Mutex
	n  int
}

func (c *counting) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Keeper.Unwrap(ctx, wrapped, aad)
}

func TestTenantKeysAreKeptForAWhile(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "value", bearer())
	k := &counting{Keeper: w.keys}
	safe := w.open(t, k, w.keys, w.store)
	use := func() {
		t.Helper()
		h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
		require.NoError(t, err)
	}
	for range 10 {
		use()
	}
	require.Equal(t, 1, k.n)
	for range 4 {
		w.clock.add(time.Minute)
		use()
	}
	require.Equal(t, 1, k.n)
	w.clock.add(time.Minute)
	use()
	require.Equal(t, 2, k.n, "five minutes old")
	w.clock.add(time.Minute + time.Second)
	use()
	require.Equal(t, 3, k.n, "idle for a minute")
	require.NoError(t, safe.Close())
	use()
	require.Equal(t, 4, k.n, "closing forgets")
}

// Many Puts at once, through two Safes as two processes have them: each one
// that is acknowledged is a version of its own, under one tenant key.
func TestConcurrentPuts(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	safes := []*secrets.Safe{w.safe, w.open(t, w.keys, w.keys, w.store)}
	g := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = safes[i%2].Put(context.Background(), g, ref, fmt.Append(nil, "value-", i), bearer()) })
	}
	wg.Wait()
	ok := uint64(0)
	for _, err := range errs {
		if err == nil {
			ok++
			continue
		}
		require.ErrorIs(t, err, secrets.ErrConflict)
	}
	require.NotZero(t, ok)
	r := w.record(t, ref)
	require.Equal(t, ok, r.Head.Current)
	require.Equal(t, ok, r.Head.Revision)
	ks, err := w.keys.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, ks, 1)
}

// Whatever is put under any refs in any order is what each ref then sends.
func TestPutAndUse(t *testing.T) {
	w := newWorld(t)
	srv := newServer(t, nil)
	p := srv.policy()
	rapid.Check(t, func(rt *rapid.T) {
		owner := rapid.SampledFrom([]string{"tenants/acme", "tenants/beta", "tenants/acme/users/7f3a"}).Draw(rt, "owner")
		ref := newRef(t, owner, rapid.StringMatching(`[a-z %/]{1,6}`).Draw(rt, "name"))
		value := rapid.StringMatching(`[!-~]{1,60}`).Draw(rt, "value")
		w.put(t, ref, value, bearer())
		_, err := get(t, w.client(t, ref, p), srv.URL)
		require.NoError(t, err)
		seen := srv.seen()
		require.Equal(t, "Bearer "+value, seen[len(seen)-1])
	})
}

// child runs one test of this binary in a process of its own.
func child(t *testing.T, name string, env ...string) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), append(env, "SECRETS_TEST_CHILD=1")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func isChild() bool { return os.Getenv("SECRETS_TEST_CHILD") == "1" }

// Where only approved cryptography may run, everything still does.
func TestUnderFIPSOnly(t *testing.T) {
	if !isChild() {
		out, err := child(t, t.Name(), "GODEBUG=fips140=only")
		require.NoError(t, err, out)
		require.Contains(t, out, "used under fips140=only")
		return
	}
	require.True(t, fips140.Enabled())
	require.Contains(t, os.Getenv("GODEBUG"), "fips140=only")
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "open sesame", basic("Aladdin"))
	srv := newServer(t, nil)
	_, err := get(t, w.client(t, ref, srv.policy()), srv.URL)
	require.NoError(t, err)
	require.Equal(t, []string{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, srv.seen())
	key := newRef(t, "tenants/acme", "key")
	_, err = w.safe.Generate(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", key.Resource()), key, saml(""), w.clock.now().Add(time.Hour))
	require.NoError(t, err)
	_, err = w.handle(t, key).HTTPClient(t.Context(), srv.policy())
	require.NoError(t, err)
	t.Log("used under fips140=only")
}
