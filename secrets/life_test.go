package secrets_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestShelf(t *testing.T) {
	secretstest.RunKeyStore(t, func(*testing.T) secrets.KeyStore { return importShelf{&keyShelf{}} })
	secretstest.RunKeyStore(t, func(*testing.T) secrets.KeyStore { return &keyShelf{} })
	secretstest.RunKeeper(t, func(*testing.T) secrets.Keeper { return newPlainKeeper() })
	secretstest.RunKeeper(t, func(*testing.T) secrets.Keeper { return ableKeeper{newPlainKeeper()} })
}

// newFakeWorld is a world over a Keeper and a key store in memory.
func newFakeWorld(t testing.TB, o *secrets.Options) (*world, *plainKeeper, *keyShelf) {
	w := newWorld(t)
	k, shelf := newPlainKeeper(), &keyShelf{}
	if o == nil {
		o = &secrets.Options{}
	}
	o.Clock = w.clock.now
	var err error
	w.safe, err = secrets.New(ableKeeper{k}, shelf, w.store, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.safe.Close()) })
	return w, k, shelf
}

// value is what a secret sends, seen by the server it is sent to.
func (w *world) value(t testing.TB, srv *server, ref secrets.Ref) (string, error) {
	t.Helper()
	h, err := w.safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	c, err := h.HTTPClient(context.Background(), srv.policy())
	if err != nil {
		return "", err
	}
	if _, err := get(t, c, srv.URL); err != nil {
		return "", err
	}
	seen := srv.seen()
	return strings.TrimPrefix(seen[len(seen)-1], "Bearer "), nil
}

func (w *world) custodian(t testing.TB, perm, on string) authz.Grant {
	return w.grant(t, "service:custodian", perm, authztest.Resource(t, on))
}

func (w *world) rotate(t testing.TB, tenant string) uint32 {
	t.Helper()
	n, err := w.safe.RotateTenant(context.Background(), w.custodian(t, "secrets.rotate", tenant), authztest.Resource(t, tenant))
	require.NoError(t, err)
	return n
}

func (w *world) rewrap(t testing.TB, owner string, o *secrets.JobOptions) secrets.Progress {
	t.Helper()
	p, err := w.safe.Rewrap(context.Background(), w.custodian(t, "secrets.rotate", owner), authztest.Resource(t, owner), o)
	require.NoError(t, err)
	return p
}

func (w *world) retire(t testing.TB, tenant string) error {
	return w.safe.RetireTenantKeys(context.Background(), w.custodian(t, "secrets.rotate", tenant), authztest.Resource(t, tenant))
}

func (w *world) versions(t testing.TB, ref secrets.Ref) []secrets.VersionInfo {
	t.Helper()
	vs, err := w.safe.Versions(context.Background(), w.grant(t, "user:idp/admin", "secrets.describe", ref.Resource()), ref)
	require.NoError(t, err)
	return vs
}

func (w *world) rollback(t testing.TB, ref secrets.Ref, version uint64) error {
	return w.safe.Rollback(context.Background(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, version)
}

func (w *world) records() iter.Seq2[authz.AuditRecord, error] {
	return func(yield func(authz.AuditRecord, error) bool) {
		for _, r := range w.Audit.Records() {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestVersionsAndRollback(t *testing.T) {
	w := newWorld(t)
	srv := newServer(t, nil)
	ref := newRef(t, "tenants/acme", "crm")
	o := bearer()
	o.Expires = w.clock.now().Add(time.Hour)
	w.put(t, ref, "one", bearer())
	w.put(t, ref, "two", o)
	w.put(t, ref, "three", bearer())
	vs := w.versions(t, ref)
	require.Len(t, vs, 3)
	require.True(t, vs[2].Current)
	require.Equal(t, o.Expires, vs[1].Expires)
	require.NoError(t, w.rollback(t, ref, 1))
	got, err := w.value(t, srv, ref)
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.Len(t, w.versions(t, ref), 4, "going back is going on: a new version")
	require.NoError(t, w.rollback(t, ref, 2))
	d, err := w.safe.Describe(t.Context(), w.grant(t, "user:idp/admin", "secrets.describe", ref.Resource()), ref)
	require.NoError(t, err)
	require.Equal(t, o.Expires, d.Expires, "with the end that it had")
	w.clock.add(2 * time.Hour)
	_, err = w.value(t, srv, ref)
	require.ErrorIs(t, err, secrets.ErrExpired)
	require.ErrorIs(t, w.rollback(t, ref, 2), secrets.ErrExpired)
	for _, n := range []uint64{0, 6, 1 << 40} {
		require.Error(t, w.rollback(t, ref, n))
	}
	require.ErrorIs(t, w.rollback(t, newRef(t, "tenants/acme", "none"), 1), secrets.ErrNotFound)
	// Five are kept, the current one among them.
	for i := range 4 {
		w.put(t, ref, fmt.Sprint("more", i), bearer())
	}
	vs = w.versions(t, ref)
	require.Len(t, vs, 5)
	require.EqualValues(t, 5, vs[0].Version)
	require.ErrorIs(t, w.rollback(t, ref, 4), secrets.ErrNotFound)
	w.revoke(t, ref)
	require.Empty(t, w.versions(t, ref))
	require.ErrorIs(t, w.rollback(t, ref, 5), secrets.ErrNotFound)
	w.put(t, ref, "again", bearer())
	vs = w.versions(t, ref)
	require.Len(t, vs, 1)
	require.EqualValues(t, 10, vs[0].Version, "numbers are not used again")
}

func TestVersionsAreKeptForATime(t *testing.T) {
	w, _, _ := newFakeWorld(t, &secrets.Options{Keep: 10, KeepFor: time.Hour})
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "one", bearer())
	w.clock.add(5 * time.Hour)
	w.put(t, ref, "two", bearer()) // one was current until now
	require.Len(t, w.versions(t, ref), 2)
	w.clock.add(30 * time.Minute)
	w.put(t, ref, "three", bearer())
	require.Len(t, w.versions(t, ref), 3)
	w.clock.add(45 * time.Minute)
	w.put(t, ref, "four", bearer())
	vs := w.versions(t, ref)
	require.EqualValues(t, 2, vs[0].Version, "one has not been current for more than an hour")
	require.Len(t, vs, 3)
}

// A version that somebody removed from the database is missed.
func TestMissingVersionsAreSeen(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	for i := range 3 {
		w.put(t, ref, fmt.Sprint("v", i), bearer())
	}
	safe := w.open(t, w.keys, w.keys, holed{w.store, 2})
	_, err := safe.Versions(t.Context(), w.grant(t, "user:idp/admin", "secrets.describe", ref.Resource()), ref)
	require.ErrorIs(t, err, secrets.ErrTampered)
	err = safe.Rollback(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, 2)
	require.ErrorIs(t, err, secrets.ErrTampered)
	found := collect(t, safe.Verify(t.Context(), w.grant(t, "user:idp/admin", "secrets.describe", authztest.Resource(t, "tenants/acme")), authztest.Resource(t, "tenants/acme"), nil))
	require.Len(t, found, 1)
	require.Contains(t, found[0].Detail, "version 2 is missing")
}

// holed is a Store without one version.
type holed struct {
	secrets.Store
	without uint64
}

func (h holed) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	r, err := h.Store.Load(ctx, tenant, name, version)
	if r.Version.Number == h.without {
		r.Version = secrets.Version{}
	}
	return r, err
}

func (h holed) Scan(ctx context.Context, tenant, name string, before uint32, after secrets.At, limit int) ([]secrets.Version, error) {
	vs, err := h.Store.Scan(ctx, tenant, name, before, after, limit)
	return slices.DeleteFunc(vs, func(v secrets.Version) bool { return v.Number == h.without }), err
}

func collect(t testing.TB, found iter.Seq2[secrets.Finding, error]) []secrets.Finding {
	t.Helper()
	var out []secrets.Finding
	for f, err := range found {
		require.NoError(t, err)
		out = append(out, f)
	}
	return out
}

// evidence: P29
func TestRotationOfATenantKey(t *testing.T) {
	w, _, shelf := newFakeWorld(t, nil)
	srv := newServer(t, nil)
	a, b := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/beta", "b")
	w.put(t, a, "one", bearer())
	w.put(t, a, "two", bearer())
	w.put(t, b, "other", bearer())
	before := w.record(t, a)
	require.EqualValues(t, 2, w.rotate(t, "tenants/acme"))
	got, err := w.value(t, srv, a)
	require.NoError(t, err)
	require.Equal(t, "two", got, "what the old key sealed still opens")
	w.put(t, a, "three", bearer())
	require.EqualValues(t, 2, w.record(t, a).Version.KeyVersion, "and the new one seals")
	require.ErrorIs(t, w.retire(t, "tenants/acme"), secrets.ErrInUse)
	var told []secrets.Progress
	p := w.rewrap(t, "tenants/acme", &secrets.JobOptions{Batch: 1, Progress: func(p secrets.Progress) { told = append(told, p) }})
	require.Equal(t, 3, p.Done)
	require.Equal(t, 3, p.Total)
	require.Zero(t, p.Failed)
	require.Len(t, told, 3)
	require.Equal(t, 1, told[0].Done, "what was under the new key already counts")
	for n := uint64(1); n <= 2; n++ {
		r, err := w.store.Load(t.Context(), "acme", a.String(), n)
		require.NoError(t, err)
		require.EqualValues(t, 2, r.Version.KeyVersion)
		if n == 2 {
			require.Equal(t, before.Version.Body, r.Version.Body, "the value was not touched")
			require.NotEqual(t, before.Version.Wrap, r.Version.Wrap)
		}
	}
	require.NoError(t, w.retire(t, "tenants/acme"))
	require.Len(t, shelf.m["acme"], 1)
	got, err = w.value(t, srv, a)
	require.NoError(t, err)
	require.Equal(t, "three", got)
	require.NoError(t, w.rollback(t, a, 1))
	got, err = w.value(t, srv, a)
	require.NoError(t, err)
	require.Equal(t, "one", got)
	got, err = w.value(t, srv, b)
	require.NoError(t, err)
	require.Equal(t, "other", got)
	require.EqualValues(t, 1, w.record(t, b).Version.KeyVersion, "another tenant's are left alone")
	// A wrap from before that somebody put back has no key any more.
	stale, err := w.store.Load(t.Context(), "acme", a.String(), 2)
	require.NoError(t, err)
	old := before.Version
	errs, err := w.store.Replace(t.Context(), "acme", []secrets.Rewrap{{Name: a.String(), Number: 2, Old: stale.Version.Wrap, KeyVersion: old.KeyVersion, Wrap: old.Wrap}})
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.ErrorIs(t, w.rollback(t, a, 2), secrets.ErrTampered)
}

// Data keys are made new by the same job: the value is sealed again.
func TestReseal(t *testing.T) {
	w, _, _ := newFakeWorld(t, nil)
	srv := newServer(t, nil)
	ref := newRef(t, "tenants/acme", "a")
	w.put(t, ref, "one", bearer())
	before := w.record(t, ref)
	w.rotate(t, "tenants/acme")
	p := w.rewrap(t, "tenants", &secrets.JobOptions{Reseal: true})
	require.Equal(t, 1, p.Done)
	after := w.record(t, ref)
	require.NotEqual(t, before.Version.Body, after.Version.Body)
	require.Equal(t, before.Head, after.Head)
	got, err := w.value(t, srv, ref)
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.Zero(t, w.rewrap(t, "tenants", &secrets.JobOptions{Reseal: true}).Failed)
	require.Equal(t, after, w.record(t, ref), "a second run finds nothing to do")
}

// A rotation that died between the key and the row is taken up with that key.
func TestRotationGoesOnAfterACrash(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	w.put(t, newRef(t, "tenants/acme", "a"), "one", bearer())
	safe := w.open(t, k, shelf, noPromotion{w.store})
	_, err := safe.RotateTenant(t.Context(), w.custodian(t, "secrets.rotate", "tenants/acme"), authztest.Resource(t, "tenants/acme"))
	require.ErrorContains(t, err, "killed")
	require.Len(t, shelf.m["acme"], 2)
	w.put(t, newRef(t, "tenants/acme", "b"), "two", bearer())
	require.EqualValues(t, 1, w.record(t, newRef(t, "tenants/acme", "b")).Version.KeyVersion, "the row decides what seals")
	require.EqualValues(t, 2, w.rotate(t, "tenants/acme"))
	require.Len(t, shelf.m["acme"], 2)
	w.put(t, newRef(t, "tenants/acme", "c"), "three", bearer())
	require.EqualValues(t, 2, w.record(t, newRef(t, "tenants/acme", "c")).Version.KeyVersion)
}

type noPromotion struct{ secrets.Store }

func (noPromotion) SaveTenant(context.Context, secrets.Tenant, uint32) error {
	return errors.New("killed")
}

// A row whose column says that it is under the new key, and which is not, would
// be lost with the old key: nothing is retired.
func TestALyingColumnDoesNotRetireItsKey(t *testing.T) {
	w, _, shelf := newFakeWorld(t, nil)
	ref := newRef(t, "tenants/acme", "a")
	w.put(t, ref, "one", bearer())
	w.rotate(t, "tenants/acme")
	v := w.record(t, ref).Version
	errs, err := w.store.Replace(t.Context(), "acme", []secrets.Rewrap{{Name: v.Name, Number: 1, Old: v.Wrap, Wrap: v.Wrap, KeyVersion: 2}})
	require.NoError(t, errors.Join(err, errs[0]))
	require.Equal(t, 1, w.rewrap(t, "tenants/acme", nil).Done, "so it claims")
	require.ErrorIs(t, w.retire(t, "tenants/acme"), secrets.ErrTampered)
	require.Len(t, shelf.m["acme"], 2)
}

// A row that does not open is told and does not stop the others.
func TestRewrapTellsWhatFailed(t *testing.T) {
	w, _, _ := newFakeWorld(t, nil)
	for i := range 10 {
		w.put(t, newRef(t, "tenants/acme", fmt.Sprint("s", i)), "v", bearer())
	}
	v := w.record(t, newRef(t, "tenants/acme", "s4")).Version
	bad := bytes.Clone(v.Wrap)
	bad[100] ^= 1
	errs, err := w.store.Replace(t.Context(), "acme", []secrets.Rewrap{{Name: v.Name, Number: 1, Old: v.Wrap, Wrap: bad, KeyVersion: 1}})
	require.NoError(t, errors.Join(err, errs[0]))
	w.rotate(t, "tenants/acme")
	var failed []secrets.Failure
	for range 2 {
		failed = nil
		p := w.rewrap(t, "tenants/acme", &secrets.JobOptions{Batch: 3, Failed: func(f secrets.Failure) { failed = append(failed, f) }})
		require.Equal(t, 9, p.Done)
		require.Equal(t, 10, p.Total)
		require.Equal(t, 1, p.Failed)
		require.Len(t, failed, 1)
		require.Equal(t, v.Name, failed[0].Name)
		require.ErrorIs(t, failed[0].Err, secrets.ErrTampered)
	}
	require.ErrorIs(t, w.retire(t, "tenants/acme"), secrets.ErrInUse)
}

// Cancelling pauses, and another run resumes with what is left.
func TestRewrapPausesAndResumes(t *testing.T) {
	w, _, _ := newFakeWorld(t, nil)
	for i := range 20 {
		w.put(t, newRef(t, "tenants/acme", fmt.Sprintf("s%02d", i)), "v", bearer())
	}
	w.rotate(t, "tenants/acme")
	ctx, cancel := context.WithCancel(t.Context())
	owner := authztest.Resource(t, "tenants/acme")
	_, err := w.safe.Rewrap(ctx, w.custodian(t, "secrets.rotate", "tenants/acme"), owner, &secrets.JobOptions{Batch: 4, Progress: func(p secrets.Progress) {
		if p.Done >= 8 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	n, err := w.store.Count(t.Context(), "acme", 2)
	require.NoError(t, err)
	require.Equal(t, 12, n)
	var first secrets.Progress
	p := w.rewrap(t, "tenants/acme", &secrets.JobOptions{Progress: func(p secrets.Progress) {
		if first.Total == 0 {
			first = p
		}
	}})
	require.Equal(t, 8, first.Done)
	require.Equal(t, 20, p.Done)
	require.Contains(t, p.String(), "20 of 20 done, 0 failed")
}

// evidence: P29
func TestRotationOfTheRoot(t *testing.T) {
	for name, keeper := range map[string]func(*plainKeeper) secrets.Keeper{
		"one by one": func(k *plainKeeper) secrets.Keeper { return k }, "in bulk": func(k *plainKeeper) secrets.Keeper { return ableKeeper{k} },
	} {
		t.Run(name, func(t *testing.T) {
			w, k, shelf := newFakeWorld(t, nil)
			w.safe = w.open(t, keeper(k), shelf, w.store)
			srv := newServer(t, nil)
			for i := range 3 {
				w.put(t, newRef(t, "tenants/acme", fmt.Sprint("s", i)), "v", bearer())
			}
			w.put(t, newRef(t, "tenants/beta", "s"), "v", bearer())
			w.rotate(t, "tenants/acme")
			g := w.custodian(t, "secrets.rotate", "tenants")
			version, err := w.safe.RotateRoot(t.Context(), g)
			require.NoError(t, err)
			require.EqualValues(t, 2, version)
			require.NoError(t, w.safe.RetireRoot(t.Context(), g, version))
			require.Len(t, k.roots, 1)
			require.NoError(t, w.safe.Close()) // forget
			for _, ref := range []secrets.Ref{newRef(t, "tenants/acme", "s0"), newRef(t, "tenants/beta", "s")} {
				got, err := w.value(t, srv, ref)
				require.NoError(t, err)
				require.Equal(t, "v", got)
			}
			// A key that does not open keeps the root from being retired.
			shelf.m["beta"][0].Wrapped[10] ^= 1
			version, err = w.safe.RotateRoot(t.Context(), g)
			require.NoError(t, err)
			require.ErrorIs(t, w.safe.RetireRoot(t.Context(), g, version), secrets.ErrInUse)
			require.Len(t, k.roots, 2)
			var failed []secrets.Failure
			p, err := w.safe.RewrapTenantKeys(t.Context(), g, &secrets.JobOptions{Failed: func(f secrets.Failure) { failed = append(failed, f) }})
			require.NoError(t, err)
			require.Equal(t, secrets.Progress{Done: 2, Total: 3, Failed: 1}, secrets.Progress{Done: p.Done, Total: p.Total, Failed: p.Failed})
			require.Equal(t, "beta", failed[0].Name)
			_, err = w.open(t, sealedKeeper{}, shelf, w.store).RotateRoot(t.Context(), g)
			require.ErrorIs(t, err, secrets.ErrUnable)
		})
	}
}

// Revoking a tenant stops every use of its secrets, by clients too that were made
// before, and of no other's.
//
// evidence: T15
func TestRevokeAll(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.put(t, newRef(t, fmt.Sprintf("tenants/acme/users/u%d", i%3), fmt.Sprint("s", i)), "v", bearer())
	}
	other := newRef(t, "tenants/beta", "s")
	w.put(t, other, "v", bearer())
	w.revoke(t, newRef(t, "tenants/acme/users/u0", "s0"))
	srv := newServer(t, nil)
	held, others := w.client(t, newRef(t, "tenants/acme/users/u1", "s1"), srv.policy()), w.client(t, other, srv.policy())
	_, err := get(t, held, srv.URL)
	require.NoError(t, err)
	owner := authztest.Resource(t, "tenants/acme")
	g := w.grant(t, "user:idp/admin", "secrets.revoke", owner)
	n, err := w.safe.RevokeAll(t.Context(), g, owner)
	require.NoError(t, err)
	require.Equal(t, 29, n)
	_, err = get(t, held, srv.URL)
	require.ErrorIs(t, err, secrets.ErrNotFound)
	require.Len(t, srv.seen(), 1)
	_, err = get(t, others, srv.URL)
	require.NoError(t, err)
	left, err := w.store.Count(t.Context(), "acme", secrets.AllKeys)
	require.NoError(t, err)
	require.Zero(t, left)
	require.EqualValues(t, 1, w.record(t, other).Version.Number)
	n, err = w.safe.RevokeAll(t.Context(), g, owner)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = w.safe.RevokeAll(t.Context(), g, authztest.Resource(t, "tenants/beta"))
	require.ErrorIs(t, err, authz.ErrDenied)
}

// evidence: T10
func TestErase(t *testing.T) {
	w, k, shelf := newFakeWorld(t, &secrets.Options{Grace: time.Hour})
	srv := newServer(t, nil)
	a, b := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/beta", "b")
	for range 3 {
		w.put(t, a, "one", bearer())
	}
	w.put(t, b, "other", bearer())
	w.rotate(t, "tenants/acme")
	copyOf, keysBefore := w.record(t, a), slices.Clone(shelf.m["acme"])
	another := w.open(t, ableKeeper{k}, shelf, w.store) // as in another process, with warm keys
	n, err := another.Warm(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n)

	tenant := authztest.Resource(t, "tenants/acme")
	c, err := w.safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/acme"), tenant)
	require.NoError(t, err)
	require.Equal(t, "acme", c.Tenant)
	require.Equal(t, []uint32{1, 2}, c.KeyVersions)
	require.Equal(t, 1, c.Secrets)
	require.Equal(t, 3, c.Versions)
	require.Equal(t, w.clock.now(), c.Erased)
	require.Len(t, c.Checked, 4)
	require.Contains(t, c.Horizon, "backup")
	require.True(t, c.Verify())
	forged := c
	forged.Versions = 4
	require.False(t, forged.Verify())
	rs := w.Audit.Records()
	require.True(t, strings.HasPrefix(rs[len(rs)-1].Reason, c.Mark()+": "), "the certificate is in the trail")
	require.Equal(t, "erased:"+c.Digest[:40], c.Mark())

	_, err = w.value(t, srv, a)
	require.ErrorIs(t, err, secrets.ErrErased)
	h, err := another.Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), srv.policy())
	require.ErrorIs(t, err, secrets.ErrErased, "every process sees it at the next use, with grace too")
	require.ErrorIs(t, w.safe.Put(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", a.Resource()), a, []byte("x"), bearer()), secrets.ErrErased)
	got, err := w.value(t, srv, b)
	require.NoError(t, err)
	require.Equal(t, "other", got)
	// The rows of a backup open for nobody.
	old := w.open(t, ableKeeper{k}, shelf, one{w.store, copyOf})
	h, err = old.Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), srv.policy())
	require.ErrorIs(t, err, secrets.ErrTampered)
	// Again it is no error, and says what it found.
	c, err = w.safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/acme"), tenant)
	require.NoError(t, err)
	require.Zero(t, c.Versions)
	require.Empty(t, c.KeyVersions)

	// A restore of database and key store from before: the trail knows, and
	// buries the tenant again before a Safe is opened.
	restored, shelf2 := &secrets.Memory{}, &keyShelf{m: map[string][]secrets.WrappedKey{"acme": keysBefore, "beta": shelf.m["beta"]}}
	require.NoError(t, restored.SaveTenant(t.Context(), copyOf.Tenant, 0))
	hd, v := copyOf.Head, copyOf.Version
	hd.Revision = 1
	require.NoError(t, restored.Save(t.Context(), hd, &v, copyOf.Tenant.Generation))
	alive, err := secrets.Bury(t.Context(), restored, shelf2, secrets.Tombstones(w.records()))
	require.NoError(t, err)
	require.Equal(t, 1, alive)
	require.NotContains(t, shelf2.m, "acme")
	require.Contains(t, shelf2.m, "beta")
	h, err = w.open(t, ableKeeper{k}, shelf2, restored).Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), srv.policy())
	require.ErrorIs(t, err, secrets.ErrErased)
	alive, err = secrets.Bury(t.Context(), restored, shelf2, secrets.Tombstones(w.records()))
	require.NoError(t, err)
	require.Zero(t, alive)
}

// Whatever step of an erasure fails, the next call ends it, and nothing opens
// from the first step on.
func TestErasureGoesOn(t *testing.T) {
	for _, step := range []string{"keys", "erase", "shred", "look"} {
		w, k, shelf := newFakeWorld(t, nil)
		srv := newServer(t, nil)
		a := newRef(t, "tenants/acme", "a")
		w.put(t, a, "one", bearer())
		safe := w.open(t, k, &failingShelf{keyShelf: shelf, step: step}, failingErase{w.store, step})
		tenant := authztest.Resource(t, "tenants/acme")
		_, err := safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/acme"), tenant)
		require.ErrorContains(t, err, "killed", step)
		_, err = w.value(t, srv, a)
		if step == "shred" || step == "look" {
			require.ErrorIs(t, err, secrets.ErrErased, step)
		} else {
			require.NoError(t, err, step)
		}
		c, err := w.safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/acme"), tenant)
		require.NoError(t, err)
		require.True(t, c.Verify())
		require.Empty(t, shelf.m["acme"])
	}
}

type failingShelf struct {
	*keyShelf
	step string
	n    int
}

func (f *failingShelf) Keys(ctx context.Context, tenant string) ([]secrets.WrappedKey, error) {
	if f.n++; f.step == "keys" && f.n == 1 || f.step == "look" && f.n > 1 {
		return nil, errors.New("killed")
	}
	return f.keyShelf.Keys(ctx, tenant)
}

func (f *failingShelf) Shred(ctx context.Context, tenant string) error {
	if f.step == "shred" {
		return errors.New("killed")
	}
	return f.keyShelf.Shred(ctx, tenant)
}

type failingErase struct {
	secrets.Store
	step string
}

func (f failingErase) Erase(ctx context.Context, tenant string, at time.Time) (int, int, error) {
	if f.step == "erase" {
		return 0, 0, errors.New("killed")
	}
	return f.Store.Erase(ctx, tenant, at)
}

// What a writer to the database can do unseen by every MAC, the trail shows.
//
// evidence: T9
func TestVerifyComparesWithTheTrail(t *testing.T) {
	w := newWorld(t)
	a, b, c := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/acme", "b"), newRef(t, "tenants/beta", "c")
	for _, r := range []secrets.Ref{a, b, c} {
		w.put(t, r, "one", bearer())
	}
	old := w.record(t, a)
	w.put(t, a, "two", bearer())
	w.revoke(t, b)
	tenants := authztest.Resource(t, "tenants")
	verify := func(s secrets.Store) []secrets.Finding {
		return collect(t, w.open(t, w.keys, w.keys, s).Verify(t.Context(), w.custodian(t, "secrets.describe", "tenants"), tenants, w.records()))
	}
	require.Empty(t, verify(w.store))
	found := verify(&replayingOne{w.store, old})
	require.Len(t, found, 1)
	require.Equal(t, a.String(), found[0].Ref)
	require.EqualValues(t, 1, found[0].Store)
	require.EqualValues(t, 2, found[0].Trail)
	require.Contains(t, found[0].String(), "taken back")
	// A change that lost against another is no finding; one that vanished is.
	err := w.open(t, w.keys, w.keys, conflicting{w.store}).Put(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", a.Resource()), a, []byte("x"), bearer())
	require.ErrorIs(t, err, secrets.ErrConflict)
	require.Empty(t, verify(w.store))
	found = verify(hiding{w.store, c.String()})
	require.Len(t, found, 1)
	require.Contains(t, found[0].Detail, "is not there")
	_, err = w.safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/beta"), authztest.Resource(t, "tenants/beta"))
	require.NoError(t, err)
	require.Empty(t, verify(w.store), "what was erased is not missed")
	for _, err := range w.safe.Verify(t.Context(), w.custodian(t, "secrets.describe", "tenants/acme"), tenants, w.records()) {
		require.ErrorIs(t, err, authz.ErrDenied)
	}
}

// replayingOne has one secret as it was.
type replayingOne struct {
	secrets.Store
	r secrets.Record
}

func (p *replayingOne) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	if name == p.r.Head.Name {
		return p.r, nil
	}
	return p.Store.Load(ctx, tenant, name, version)
}

func (p *replayingOne) Scan(ctx context.Context, tenant, name string, before uint32, after secrets.At, limit int) ([]secrets.Version, error) {
	vs, err := p.Store.Scan(ctx, tenant, name, before, after, limit)
	return slices.DeleteFunc(vs, func(v secrets.Version) bool { return v.Name == p.r.Head.Name && v.Number > p.r.Head.Current }), err
}

type conflicting struct{ secrets.Store }

func (conflicting) Save(context.Context, secrets.Head, *secrets.Version, uint32) error {
	return secrets.ErrConflict
}

type hiding struct {
	secrets.Store
	name string
}

func (h hiding) List(ctx context.Context, prefix, after string, limit int) ([]secrets.Entry, error) {
	es, err := h.Store.List(ctx, prefix, after, limit)
	return slices.DeleteFunc(es, func(e secrets.Entry) bool { return e.Name == h.name }), err
}

func TestInventoryShowsAlteredHeads(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "a")
	o := bearer()
	o.Due = w.clock.now().Add(90 * 24 * time.Hour)
	w.put(t, ref, "one", o)
	owner := authztest.Resource(t, "tenants/acme")
	g := w.grant(t, "user:idp/admin", "secrets.describe", owner)
	for d, err := range w.safe.List(t.Context(), g, owner) {
		require.NoError(t, err)
		require.Equal(t, o.Due, d.Due)
	}
	safe := w.open(t, w.keys, w.keys, notDue{w.store})
	n := 0
	for d, err := range safe.List(t.Context(), g, owner) {
		require.ErrorIs(t, err, secrets.ErrTampered)
		require.Zero(t, d)
		n++
	}
	require.Equal(t, 1, n)
}

type notDue struct{ secrets.Store }

func (s notDue) List(ctx context.Context, prefix, after string, limit int) ([]secrets.Entry, error) {
	es, err := s.Store.List(ctx, prefix, after, limit)
	for i := range es {
		es[i].Due = time.Time{}
	}
	return es, err
}

func TestLastUse(t *testing.T) {
	w := newWorld(t)
	srv := newServer(t, nil)
	ref := newRef(t, "tenants/acme", "a")
	w.put(t, ref, "one", bearer())
	_, err := w.value(t, srv, ref)
	require.NoError(t, err)
	require.Zero(t, w.record(t, ref).Head.LastUse)
	w.clock.add(2 * time.Minute)
	_, err = w.value(t, srv, ref)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.record(t, ref).Head.LastUse.Equal(w.clock.now()) }, 10*time.Second, time.Millisecond)
	w.clock.add(30 * time.Second)
	_, err = w.value(t, srv, ref)
	require.NoError(t, err)
	require.NoError(t, w.safe.Close())
	require.Equal(t, w.clock.now(), w.record(t, ref).Head.LastUse, "closing writes what is left")
}

// Warm, nothing asks the key store or the Keeper; cold, a start asks once for a
// hundred tenants and more.
//
// evidence: P29
func TestCallsToTheKeeper(t *testing.T) {
	lines := []string{"allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants"}
	w := newWorld(t, lines...)
	k, shelf := newPlainKeeper(), &keyShelf{}
	w.safe = w.open(t, ableKeeper{k}, shelf, w.store)
	const tenants = 250
	refs := make([]secrets.Ref, tenants)
	for i := range refs {
		refs[i] = newRef(t, fmt.Sprintf("tenants/t%03d", i), "a")
		w.put(t, refs[i], "one", bearer())
	}
	srv := newServer(t, nil)
	warm := func() {
		k.calls.Store(0)
		shelf.calls.Store(0)
		for _, r := range refs {
			w.put(t, r, "two", bearer())
			_, err := w.value(t, srv, r)
			require.NoError(t, err)
		}
		require.Zero(t, k.calls.Load(), "calls to the Keeper")
		require.Zero(t, shelf.calls.Load(), "calls to the key store")
	}
	warm()
	cold := w.open(t, ableKeeper{k}, shelf, w.store)
	k.calls.Store(0)
	shelf.calls.Store(0)
	n, err := cold.Warm(t.Context())
	require.NoError(t, err)
	require.Equal(t, tenants, n)
	require.LessOrEqual(t, k.calls.Load(), int64((tenants+99)/100))
	require.LessOrEqual(t, shelf.calls.Load(), int64((tenants+99)/100))
	w.safe = cold
	warm()
	s := cold.CacheStats()
	require.Equal(t, tenants, s.Entries)
	require.Zero(t, s.Loads)
	require.Positive(t, s.Hits)
}

func TestGraceWhileTheKeeperIsSealed(t *testing.T) {
	w, k, _ := newFakeWorld(t, &secrets.Options{Grace: 30 * time.Minute})
	srv := newServer(t, nil)
	ref := newRef(t, "tenants/acme", "a")
	w.put(t, ref, "one", bearer())
	k.seal(true)
	flagged := func() (n int) {
		for _, r := range w.Audit.Records() {
			if strings.HasPrefix(r.Reason, "grace: ") {
				n++
			}
		}
		return n
	}
	_, err := w.value(t, srv, ref)
	require.NoError(t, err)
	require.Zero(t, flagged())
	w.clock.add(10 * time.Minute)
	got, err := w.value(t, srv, ref)
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.Positive(t, flagged(), "it is on record that the key was past its age")
	require.Positive(t, w.safe.CacheStats().Grace)
	w.clock.add(26 * time.Minute)
	_, err = w.value(t, srv, ref)
	require.ErrorIs(t, err, secrets.ErrKeeper, "and it ends")
	k.seal(false)
	w.clock.add(2 * time.Second)
	_, err = w.value(t, srv, ref)
	require.NoError(t, err, "and recovers by itself")

	// Without the option there is none.
	w, k, _ = newFakeWorld(t, nil)
	w.put(t, ref, "one", bearer())
	k.seal(true)
	w.clock.add(10 * time.Minute)
	_, err = w.value(t, srv, ref)
	require.ErrorIs(t, err, secrets.ErrKeeper)
	before := k.calls.Load()
	for range 50 {
		_, err = w.value(t, srv, ref)
		require.ErrorIs(t, err, secrets.ErrKeeper)
	}
	require.Equal(t, before, k.calls.Load(), "an outage is asked about once a second")
	require.EqualValues(t, 50, w.safe.CacheStats().Refused)
}

func TestImportAndExport(t *testing.T) {
	w, _, _ := newFakeWorld(t, &secrets.Options{ExportByTwo: true})
	srv := newServer(t, nil)
	t.Setenv("CRM_TOKEN", "from-the-environment")
	taken := []byte("from-elsewhere")
	o := bearer()
	o.Due = w.clock.now().AddDate(0, 1, 0)
	a, b, c := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/acme/users/u", "b"), newRef(t, "tenants/acme", "c")
	items := []secrets.Item{
		{Ref: a, Options: o, Value: secrets.FromEnvironment("CRM_TOKEN")},
		{Ref: b, Options: bearer(), Value: func() ([]byte, error) { return taken, nil }},
		{Ref: c, Options: bearer(), Value: secrets.FromEnvironment("CRM_TOKEN")}, // it is gone
		{Ref: newRef(t, "tenants/beta", "d"), Options: bearer(), Value: func() ([]byte, error) { t.Error("taken without permission"); return nil, nil }},
	}
	acme := authztest.Resource(t, "tenants/acme")
	write := w.grant(t, "user:idp/admin", "secrets.write", acme)
	x, err := w.safe.Import(t.Context(), write, slices.Values(items))
	require.NoError(t, err)
	require.Equal(t, 2, x.Secrets)
	require.Len(t, x.Failed, 2)
	require.ErrorContains(t, x.Failed[0].Err, "CRM_TOKEN is not set")
	require.ErrorIs(t, x.Failed[1].Err, authz.ErrDenied)
	require.Equal(t, make([]byte, 14), taken)
	_, there := os.LookupEnv("CRM_TOKEN")
	require.False(t, there)
	items = []secrets.Item{{Ref: b, Options: bearer(), Value: func() ([]byte, error) { return []byte("other"), nil }}}
	x, err = w.safe.Import(t.Context(), write, slices.Values(items))
	require.NoError(t, err)
	require.ErrorIs(t, x.Failed[0].Err, secrets.ErrConflict, "what is there stays")

	revoked := newRef(t, "tenants/acme", "revoked")
	w.put(t, revoked, "gone", bearer())
	w.revoke(t, revoked)
	key, err := secrets.NewRecoveryKey()
	require.NoError(t, err)
	var out bytes.Buffer
	first := w.custodian(t, "secrets.export", "tenants/acme")
	for _, second := range []authz.Grant{{}, first, w.custodian(t, "secrets.export", "tenants/acme")} {
		_, err = w.safe.Export(t.Context(), first, second, acme, key.PublicKey(), &out)
		require.ErrorIs(t, err, authz.ErrDenied, "one is not two")
		require.Zero(t, out.Len())
	}
	second := w.grant(t, "service:second", "secrets.export", acme)
	_, err = w.safe.Export(t.Context(), write, second, acme, key.PublicKey(), &out)
	require.ErrorIs(t, err, authz.ErrDenied, "who may write may not export")
	done, err := w.safe.Export(t.Context(), first, second, acme, key.PublicKey(), &out)
	require.NoError(t, err)
	require.Equal(t, 2, done.Secrets)
	for _, v := range []string{"from-the-environment", "from-elsewhere"} {
		require.NotContains(t, out.String(), v)
		require.NotContains(t, out.String(), hex.EncodeToString([]byte(v)))
	}
	exported := 0
	for _, r := range w.Audit.Records() {
		if r.Permission.String() == "secrets.export" && strings.HasPrefix(r.Reason, "export") && r.Allowed {
			exported++
		}
	}
	require.GreaterOrEqual(t, exported, 4, "the whole and each")

	// Everything is lost but the export and its key.
	again, _, _ := newFakeWorld(t, nil)
	write = again.grant(t, "user:idp/admin", "secrets.write", acme)
	x, err = again.safe.ImportExport(t.Context(), write, key, bytes.NewReader(out.Bytes()))
	require.NoError(t, err)
	require.Equal(t, 2, x.Secrets)
	require.Empty(t, x.Failed)
	for ref, want := range map[secrets.Ref]string{a: "from-the-environment", b: "from-elsewhere"} {
		got, err := again.value(t, srv, ref)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	d, err := again.safe.Describe(t.Context(), again.grant(t, "user:idp/admin", "secrets.describe", a.Resource()), a)
	require.NoError(t, err)
	require.Equal(t, o.Due, d.Due)
	// Damaged, cut off or for another key it is refused.
	for n := range out.Len() {
		_, err := again.safe.ImportExport(t.Context(), write, key, bytes.NewReader(out.Bytes()[:n]))
		require.Error(t, err, "%d bytes", n)
	}
	for n := range out.Len() {
		bad := bytes.Clone(out.Bytes())
		bad[n] ^= 1
		_, err := again.safe.ImportExport(t.Context(), write, key, bytes.NewReader(bad))
		require.Error(t, err, "byte %d", n)
	}
	other, err := secrets.NewRecoveryKey()
	require.NoError(t, err)
	_, err = again.safe.ImportExport(t.Context(), write, other, bytes.NewReader(out.Bytes()))
	require.ErrorIs(t, err, secrets.ErrTampered)
}

// A model of a secret's life: whatever is done in any order, through two Safes as
// in two processes, each secret sends what the model says.
func TestLifeByAModel(t *testing.T) {
	w, k, shelf := newFakeWorld(t, &secrets.Options{Keep: 3})
	srv := newServer(t, nil)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		store := &secrets.Memory{}
		shelf.mu.Lock()
		shelf.m = nil
		shelf.mu.Unlock()
		round++
		var safes []*secrets.Safe
		for range 2 {
			s, err := secrets.New(ableKeeper{k}, shelf, store, &secrets.Options{Clock: w.clock.now, Keep: 3})
			require.NoError(rt, err)
			defer s.Close()
			safes = append(safes, s)
		}
		type model struct {
			values  map[uint64]string
			current uint64
			oldest  uint64
			alive   bool
		}
		secretsOf := map[string]*model{}
		erased := false
		names := []string{"a", "b"}
		acme := authztest.Resource(t, "tenants/acme")
		pick := func() (*secrets.Safe, secrets.Ref, *model) {
			name := rapid.SampledFrom(names).Draw(rt, "name")
			if secretsOf[name] == nil {
				secretsOf[name] = &model{values: map[uint64]string{}}
			}
			w.store, w.safe = store, rapid.SampledFrom(safes).Draw(rt, "safe")
			return w.safe, newRef(t, "tenants/acme", name), secretsOf[name]
		}
		put := func(m *model, v string) {
			m.current++
			m.values[m.current] = v
			if m.oldest == 0 || !m.alive {
				m.oldest = m.current
			}
			m.alive = true
			m.oldest = max(m.oldest, m.current-min(m.current-1, 2))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				s, ref, m := pick()
				v := rapid.StringMatching(`[a-z]{1,8}`).Draw(rt, "value")
				err := s.Put(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, []byte(v), bearer())
				if erased {
					require.ErrorIs(rt, err, secrets.ErrErased)
					return
				}
				require.NoError(rt, err)
				put(m, v)
			},
			"rollback": func(rt *rapid.T) {
				_, ref, m := pick()
				n := rapid.Uint64Range(1, 8).Draw(rt, "version")
				err := w.rollback(t, ref, n)
				switch {
				case erased:
					require.ErrorIs(rt, err, secrets.ErrErased)
				case !m.alive || n < m.oldest || n > m.current:
					require.ErrorIs(rt, err, secrets.ErrNotFound)
				default:
					require.NoError(rt, err)
					put(m, m.values[n])
				}
			},
			"revoke": func(rt *rapid.T) {
				s, ref, m := pick()
				err := s.Revoke(t.Context(), w.grant(t, "user:idp/admin", "secrets.revoke", ref.Resource()), ref)
				switch {
				case erased:
					require.ErrorIs(rt, err, secrets.ErrErased)
				case m.current == 0:
					require.ErrorIs(rt, err, secrets.ErrNotFound)
				default:
					require.NoError(rt, err)
					m.alive = false
				}
			},
			"rotate": func(rt *rapid.T) {
				s, _, _ := pick()
				_, err := s.RotateTenant(t.Context(), w.custodian(t, "secrets.rotate", "tenants/acme"), acme)
				switch {
				case erased:
					require.ErrorIs(rt, err, secrets.ErrErased)
				case len(shelf.m) == 0:
					require.ErrorIs(rt, err, secrets.ErrNotFound)
				default:
					require.NoError(rt, err)
				}
			},
			"rewrap and retire": func(rt *rapid.T) {
				s, _, _ := pick()
				p, err := s.Rewrap(t.Context(), w.custodian(t, "secrets.rotate", "tenants/acme"), acme, &secrets.JobOptions{Reseal: rapid.Bool().Draw(rt, "reseal"), Batch: 2})
				require.NoError(rt, err)
				require.Zero(rt, p.Failed)
				require.Equal(rt, p.Total, p.Done)
				if len(shelf.m) > 0 && !erased {
					require.NoError(rt, s.RetireTenantKeys(t.Context(), w.custodian(t, "secrets.rotate", "tenants/acme"), acme))
				}
			},
			"restart": func(rt *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(rt, "which")
				require.NoError(rt, safes[i].Close())
			},
			"erase": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "really") != 0 {
					return
				}
				s, _, _ := pick()
				c, err := s.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/acme"), acme)
				require.NoError(rt, err)
				require.True(rt, c.Verify())
				erased = true
			},
			"": func(rt *rapid.T) {
				_, ref, m := pick()
				got, err := w.value(t, srv, ref)
				switch {
				case erased:
					require.ErrorIs(rt, err, secrets.ErrErased)
				case !m.alive:
					require.ErrorIs(rt, err, secrets.ErrNotFound)
				default:
					require.NoError(rt, err)
					require.Equal(rt, m.values[m.current], got)
				}
			},
		})
	})
}

// Loads of one key wait for each other, and one that was begun is not given up
// with the caller that began it.
func TestLoadsAreShared(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	ref := newRef(t, "tenants/acme", "a")
	w.put(t, ref, "one", bearer())
	slow := &slowKeeper{plainKeeper: k, entered: make(chan struct{}, 100), release: make(chan struct{})}
	safe := w.open(t, slow, shelf, w.store)
	h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := h.HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://x.example"}); first <- err }()
	<-slow.entered
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = h.HTTPClient(context.Background(), secrets.ClientPolicy{Origin: "https://x.example"})
		})
	}
	close(slow.release)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Empty(t, slow.entered, "one load served them all")
	require.EqualValues(t, 1, safe.CacheStats().Loads)
}

type slowKeeper struct {
	*plainKeeper
	entered, release chan struct{}
}

func (s *slowKeeper) Unwrap(ctx context.Context, w, aad []byte) ([]byte, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.plainKeeper.Unwrap(ctx, w, aad)
}
