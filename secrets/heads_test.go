package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

func (w *world) rotateHeads(t testing.TB, safe *secrets.Safe, o *secrets.JobOptions) (secrets.Progress, error) {
	return safe.RotateHeads(context.Background(), w.custodian(t, "secrets.rotate", "tenants/acme"), authztest.Resource(t, "tenants/acme"), o)
}

// setMAC puts a MAC into a row, as who writes to the database can.
func (w *world) setMAC(t testing.TB, ref secrets.Ref, mac []byte) {
	t.Helper()
	errs, err := w.store.ReplaceMACs(t.Context(), "acme", []secrets.HeadMAC{{Name: ref.String(), Old: w.record(t, ref).Head.MAC, MAC: mac}})
	require.NoError(t, errors.Join(append(errs, err)...))
}

// sound requires that a tenant's secrets are used, listed and verified by a Safe
// that has seen nothing before.
func (w *world) sound(t testing.TB, k secrets.Keeper, ks secrets.KeyStore, refs ...secrets.Ref) {
	t.Helper()
	fresh := w.open(t, k, ks, w.store)
	for _, ref := range refs {
		h, err := fresh.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
		require.NoError(t, err, ref)
	}
	owner := authztest.Resource(t, "tenants/acme")
	require.Empty(t, collect(t, fresh.Verify(t.Context(), w.custodian(t, "secrets.describe", "tenants/acme"), owner, w.records())))
	for _, err := range fresh.List(t.Context(), w.custodian(t, "secrets.describe", "tenants/acme"), owner) {
		require.NoError(t, err)
	}
}

// The key of the heads' MACs is made new, and what the old one made counts no
// more.
//
// evidence: P29
func TestRotationOfTheHeadsKey(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	a, b, gone, other := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/acme/users/u", "b"), newRef(t, "tenants/acme", "gone"), newRef(t, "tenants/beta", "a")
	for _, ref := range []secrets.Ref{a, b, gone, other} {
		w.put(t, ref, "one", bearer())
	}
	w.revoke(t, gone)
	wasA, wasGone, wasOther := w.record(t, a), w.record(t, gone), w.record(t, other)
	_, err := w.safe.RotateHeads(t.Context(), w.custodian(t, "secrets.rotate", "tenants/beta"), authztest.Resource(t, "tenants/acme"), nil)
	require.Error(t, err, "a Grant for another tenant")

	var between secrets.Tenant // the row that has both keys
	var told []secrets.Progress
	p, err := w.rotateHeads(t, w.safe, &secrets.JobOptions{Batch: 1, Progress: func(p secrets.Progress) {
		told = append(told, p)
		between = w.record(t, a).Tenant
		w.sound(t, ableKeeper{k}, shelf, a, b)
	}})
	require.NoError(t, err)
	require.Equal(t, secrets.Progress{Done: 3, Total: 3}, secrets.Progress{Done: p.Done, Total: p.Total, Failed: p.Failed})
	require.Len(t, told, 4)
	require.Zero(t, told[0].Done)

	isA := w.record(t, a)
	require.NotEqual(t, wasA.Head.MAC, isA.Head.MAC)
	require.NotEqual(t, wasGone.Head.MAC, w.record(t, gone).Head.MAC, "one that is revoked has a head too")
	require.Equal(t, wasA.Version, isA.Version, "no value was touched")
	wasA.Head.MAC, isA.Head.MAC = nil, wasA.Head.MAC
	old := isA.Head.MAC
	isA.Head.MAC = nil
	require.Equal(t, wasA.Head, isA.Head, "and nothing else of the head, its revision neither")
	require.Equal(t, wasOther, w.record(t, other), "another tenant's are left alone")
	require.EqualValues(t, 3, isA.Tenant.Generation)
	w.sound(t, ableKeeper{k}, shelf, a, b)

	// Who has the old key makes MACs that nobody believes any more.
	good := w.record(t, a).Head.MAC
	w.setMAC(t, a, old)
	srv := newServer(t, nil)
	_, err = w.value(t, srv, a)
	require.ErrorIs(t, err, secrets.ErrTampered)
	// With the row of in between, put back, not by a process that saw a later one;
	require.NoError(t, w.store.SaveTenant(t.Context(), between, isA.Tenant.Generation))
	_, err = w.value(t, srv, a)
	require.ErrorIs(t, err, secrets.ErrTampered)
	require.NoError(t, w.store.SaveTenant(t.Context(), isA.Tenant, between.Generation))
	// and by nobody once the tenant keys of before are destroyed.
	w.setMAC(t, a, good)
	w.rewrap(t, "tenants/acme", nil)
	require.NoError(t, w.retire(t, "tenants/acme"))
	w.sound(t, ableKeeper{k}, shelf, a, b)
	w.setMAC(t, a, old)
	require.NoError(t, w.store.SaveTenant(t.Context(), between, isA.Tenant.Generation))
	h, err := w.open(t, ableKeeper{k}, shelf, w.store).Handle(w.grant(t, "service:conn", "secrets.use", a.Resource()), a)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), srv.policy())
	require.ErrorIs(t, err, secrets.ErrTampered)
}

// breaking fails with the n-th call of a step.
type breaking struct {
	secrets.Store
	step string
	at   int
	n    int
}

func (b *breaking) broken(step string) error {
	if step == b.step {
		if b.n++; b.n == b.at {
			return errors.New("killed")
		}
	}
	return nil
}

func (b *breaking) SaveTenant(ctx context.Context, t secrets.Tenant, generation uint32) error {
	if err := b.broken("tenant"); err != nil {
		return err
	}
	return b.Store.SaveTenant(ctx, t, generation)
}

func (b *breaking) ReplaceMACs(ctx context.Context, tenant string, ms []secrets.HeadMAC) ([]error, error) {
	if err := b.broken("macs"); err != nil {
		return nil, err
	}
	return b.Store.ReplaceMACs(ctx, tenant, ms)
}

// Wherever it dies, everything goes on to be used, put and rotated, and the next
// run ends what that one began.
func TestRotationOfTheHeadsKeyGoesOn(t *testing.T) {
	for _, c := range []struct {
		step string
		at   int
		done int // heads under the new key then
	}{{"tenant", 1, 0}, {"macs", 1, 0}, {"macs", 3, 2}, {"tenant", 2, 5}} {
		t.Run(fmt.Sprint(c.step, c.at), func(t *testing.T) {
			w, k, shelf := newFakeWorld(t, nil)
			var refs []secrets.Ref
			for i := range 5 {
				refs = append(refs, newRef(t, "tenants/acme", fmt.Sprint("s", i)))
				w.put(t, refs[i], "one", bearer())
			}
			first := w.record(t, refs[4]).Head.MAC
			dies := w.open(t, ableKeeper{k}, shelf, &breaking{Store: w.store, step: c.step, at: c.at})
			_, err := w.rotateHeads(t, dies, &secrets.JobOptions{Batch: 1})
			require.ErrorContains(t, err, "killed")
			w.sound(t, ableKeeper{k}, shelf, refs...)
			w.rotate(t, "tenants/acme") // brings both keys along
			w.put(t, refs[0], "two", bearer())
			w.sound(t, ableKeeper{k}, shelf, refs...)
			var began *secrets.Progress
			p, err := w.rotateHeads(t, w.safe, &secrets.JobOptions{Progress: func(p secrets.Progress) {
				if began == nil {
					began = &p
				}
			}})
			require.NoError(t, err)
			require.Equal(t, 5, p.Done)
			if c.step == "tenant" && c.at == 1 {
				require.Zero(t, began.Done, "nothing had begun")
			} else {
				require.Equal(t, max(c.done, 1), began.Done, "what was done counts, and what was put since")
			}
			w.sound(t, ableKeeper{k}, shelf, refs...)
			w.setMAC(t, refs[4], first)
			_, err = w.value(t, newServer(t, nil), refs[4])
			require.ErrorIs(t, err, secrets.ErrTampered, "the first key is over")
		})
	}
}

// A head under neither key is told, keeps the old one, and does not stop the rest.
func TestRotationOfTheHeadsKeyTellsWhatFailed(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	a, b := newRef(t, "tenants/acme", "a"), newRef(t, "tenants/acme", "b")
	w.put(t, a, "one", bearer())
	w.put(t, b, "one", bearer())
	good := w.record(t, a).Head.MAC
	w.setMAC(t, a, []byte("forged"))
	for range 2 {
		var failed []secrets.Failure
		p, err := w.rotateHeads(t, w.safe, &secrets.JobOptions{Failed: func(f secrets.Failure) { failed = append(failed, f) }})
		require.ErrorIs(t, err, secrets.ErrTampered)
		require.Equal(t, secrets.Progress{Done: 1, Total: 2, Failed: 1}, secrets.Progress{Done: p.Done, Total: p.Total, Failed: p.Failed})
		require.Len(t, failed, 1)
		require.Equal(t, a.String(), failed[0].Name)
		require.EqualValues(t, 2, w.record(t, b).Tenant.Generation, "it has not ended")
	}
	w.setMAC(t, a, good) // restored from a backup
	p, err := w.rotateHeads(t, w.safe, nil)
	require.NoError(t, err)
	require.Equal(t, 2, p.Done)
	require.EqualValues(t, 3, w.record(t, b).Tenant.Generation)
	w.sound(t, ableKeeper{k}, shelf, a, b)
	_, err = w.safe.RotateHeads(t.Context(), w.custodian(t, "secrets.rotate", "tenants/none"), authztest.Resource(t, "tenants/none"), nil)
	require.ErrorIs(t, err, secrets.ErrNotFound)
}

// meanwhile is a Store in which something happens after each page of a listing.
type meanwhile struct {
	secrets.Store
	do func()
}

func (m *meanwhile) List(ctx context.Context, prefix, after string, limit int) ([]secrets.Entry, error) {
	es, err := m.Store.List(ctx, prefix, after, 1)
	if do := m.do; do != nil {
		m.do = nil
		do()
		m.do = do
	}
	return es, err
}

// A page that was read before the key was made new is not taken for an altered
// one, nor one that was read after it.
func TestListingsWhileTheHeadsKeyRotates(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	for i := range 4 {
		w.put(t, newRef(t, "tenants/acme", fmt.Sprint("s", i)), "one", bearer())
	}
	m := &meanwhile{Store: w.store, do: func() {
		_, err := w.rotateHeads(t, w.safe, nil)
		require.NoError(t, err)
	}}
	safe := w.open(t, ableKeeper{k}, shelf, m)
	owner := authztest.Resource(t, "tenants/acme")
	n := 0
	for d, err := range safe.List(t.Context(), w.custodian(t, "secrets.describe", "tenants/acme"), owner) {
		require.NoError(t, err)
		require.EqualValues(t, 1, d.KeyVersion)
		n++
	}
	require.Equal(t, 4, n)
	require.Empty(t, collect(t, safe.Verify(t.Context(), w.custodian(t, "secrets.describe", "tenants/acme"), owner, w.records())))
}

// Two runs at once, with uses, changes and listings by other processes: each use
// succeeds, and both runs end.
func TestRotationOfTheHeadsKeyUnderUse(t *testing.T) {
	w, k, shelf := newFakeWorld(t, nil)
	var refs []secrets.Ref
	for i := range 20 {
		refs = append(refs, newRef(t, "tenants/acme", fmt.Sprintf("s%02d", i)))
		w.put(t, refs[i], "one", bearer())
	}
	first := w.record(t, refs[19]).Head.MAC
	owner := authztest.Resource(t, "tenants/acme")
	stop := make(chan struct{})
	var used atomic.Int64
	var users, runs sync.WaitGroup
	begin := func(f func(safe *secrets.Safe, ref secrets.Ref) error) {
		safe := w.open(t, ableKeeper{k}, shelf, w.store)
		users.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(safe, refs[i%19]); err != nil {
					t.Error(err)
					return
				}
				used.Add(1)
			}
		})
	}
	for range 2 {
		begin(func(safe *secrets.Safe, ref secrets.Ref) error {
			h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
			if err == nil {
				_, err = h.HTTPClient(context.Background(), secrets.ClientPolicy{Origin: "https://crm.example"})
			}
			return err
		})
	}
	begin(func(safe *secrets.Safe, ref secrets.Ref) error {
		err := safe.Put(context.Background(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, []byte("more"), bearer())
		if errors.Is(err, secrets.ErrConflict) { // it came with a change of the tenant's row, and is to be done again
			return nil
		}
		return err
	})
	begin(func(safe *secrets.Safe, _ secrets.Ref) error {
		for _, err := range safe.List(context.Background(), w.custodian(t, "secrets.describe", "tenants/acme"), owner) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		safe := w.open(t, ableKeeper{k}, shelf, w.store)
		runs.Go(func() {
			for range 3 {
				if _, err := w.rotateHeads(t, safe, &secrets.JobOptions{Batch: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runs.Wait()
	close(stop)
	users.Wait()
	require.Positive(t, used.Load())
	w.sound(t, ableKeeper{k}, shelf, refs...)
	w.setMAC(t, refs[19], first)
	_, err := w.value(t, newServer(t, nil), refs[19])
	require.ErrorIs(t, err, secrets.ErrTampered)
}
