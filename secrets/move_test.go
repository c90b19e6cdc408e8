package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// importShelf is a keyShelf that takes over what another one had.
type importShelf struct{ *keyShelf }

func (s importShelf) ImportKeys(_ context.Context, ts []secrets.TenantKeys) ([]error, error) {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(ts))
	for i, t := range ts {
		if len(t.Keys) == 0 || len(s.m[t.Tenant]) > 0 {
			errs[i] = secrets.ErrConflict
			continue
		}
		for j, k := range t.Keys {
			if k.Version == 0 || k.Version != t.Keys[0].Version+uint32(j) {
				errs[i] = secrets.ErrConflict
			}
		}
		if errs[i] != nil {
			continue
		}
		if s.m == nil {
			s.m = map[string][]secrets.WrappedKey{}
		}
		s.m[t.Tenant] = cloneKeys(t.Keys)
	}
	return errs, nil
}

func (w *world) moveKeys(t testing.TB, to secrets.Keeper, into secrets.KeyStore, o *secrets.JobOptions) (secrets.Progress, []secrets.Failure, error) {
	t.Helper()
	var o2 secrets.JobOptions
	if o != nil {
		o2 = *o
	}
	var failed []secrets.Failure
	o2.Failed = func(f secrets.Failure) { failed = append(failed, f) }
	p, err := w.safe.MoveKeys(context.Background(), w.custodian(t, "secrets.rotate", "tenants"), to, into, &o2)
	require.Len(t, failed, p.Failed)
	return p, failed, err
}

// settled is a Progress without what depends on the clock.
func settled(p secrets.Progress) secrets.Progress {
	return secrets.Progress{Done: p.Done, Total: p.Total, Failed: p.Failed}
}

// twoTenants is a world with three versions of keys in use.
func twoTenants(t *testing.T) (w *world, k *plainKeeper, shelf *keyShelf, opens func(*secrets.Safe)) {
	w, k, shelf = newFakeWorld(t, nil)
	srv := newServer(t, nil)
	one, two, three := newRef(t, "tenants/acme", "one"), newRef(t, "tenants/acme", "two"), newRef(t, "tenants/beta", "three")
	w.put(t, one, "first", bearer())
	w.rotate(t, "tenants/acme")
	w.put(t, two, "second", bearer())
	w.put(t, three, "third", bearer())
	return w, k, shelf, func(s *secrets.Safe) {
		t.Helper()
		was := w.safe
		defer func() { w.safe = was }()
		w.safe = s
		for ref, want := range map[secrets.Ref]string{one: "first", two: "second", three: "third"} {
			got, err := w.value(t, srv, ref)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

// What one keeper guarded another guards after MoveKeys, whatever either is able
// to, and the first goes on to do so.
//
// evidence: P29
func TestMoveKeys(t *testing.T) {
	for _, able := range []bool{false, true} {
		t.Run(fmt.Sprint("able=", able), func(t *testing.T) {
			w, _, old, opens := twoTenants(t)
			k, shelf := newPlainKeeper(), &keyShelf{}
			var to secrets.Keeper = k
			var into secrets.KeyStore = shelf
			if able {
				to, into = ableKeeper{k}, importShelf{shelf}
			}
			before := fmt.Sprint(old.m)
			var told []secrets.Progress
			p, _, err := w.moveKeys(t, to, into, &secrets.JobOptions{Batch: 1, Progress: func(p secrets.Progress) { told = append(told, settled(p)) }})
			require.NoError(t, err)
			require.Equal(t, secrets.Progress{Done: 3, Total: 3}, settled(p))
			require.Equal(t, []secrets.Progress{{Total: 3}, {Done: 2, Total: 3}, {Done: 3, Total: 3}, {Done: 3, Total: 3}}, told)
			require.Equal(t, before, fmt.Sprint(old.m), "the old place is as it was")
			for tenant, ks := range old.m {
				for i, was := range ks {
					is := shelf.m[tenant][i]
					require.Equal(t, was.ID, is.ID)
					require.NotEqual(t, was.Wrapped, is.Wrapped)
				}
			}
			opens(w.open(t, to, into, w.store))
			require.NoError(t, w.safe.Close()) // forget
			opens(w.safe)

			// Again it changes nothing, and adds what came since.
			calls, was := k.calls.Load(), fmt.Sprint(shelf.m)
			p, _, err = w.moveKeys(t, to, into, nil)
			require.NoError(t, err)
			require.Equal(t, secrets.Progress{Done: 3, Total: 3}, settled(p))
			require.Equal(t, was, fmt.Sprint(shelf.m))
			if able {
				require.EqualValues(t, 1, k.calls.Load()-calls, "one call compares all")
			}
			w.rotate(t, "tenants/acme")
			w.rewrap(t, "tenants/acme", nil)
			p, _, err = w.moveKeys(t, to, into, nil)
			require.NoError(t, err)
			require.Equal(t, secrets.Progress{Done: 4, Total: 4}, settled(p))
			opens(w.open(t, to, into, w.store))
			require.NoError(t, w.retire(t, "tenants/acme"))
			p, _, err = w.moveKeys(t, to, into, nil)
			require.NoError(t, err)
			require.Equal(t, secrets.Progress{Done: 2, Total: 2}, settled(p))
			require.Len(t, shelf.m["acme"], 1, "what was retired is destroyed here too")
			opens(w.open(t, to, into, w.store))

			// Then the new place is the one in use: moving again from the old does no harm.
			next := w.open(t, to, into, w.store)
			was2 := w.safe
			w.safe = next
			w.rotate(t, "tenants/acme")
			w.rewrap(t, "tenants/acme", nil)
			require.NoError(t, w.retire(t, "tenants/acme"))
			w.safe = was2
			was = fmt.Sprint(shelf.m)
			p, _, err = w.moveKeys(t, to, into, nil)
			require.NoError(t, err)
			require.Zero(t, p.Failed)
			require.Equal(t, was, fmt.Sprint(shelf.m))
			opens(next)
		})
	}
}

// After a crash at any step MoveKeys goes on and ends as if there had been none.
func TestMoveKeysResumes(t *testing.T) {
	for step := 1; ; step++ {
		w, _, _, opens := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		f := &countdown{left: step}
		_, _, err := w.moveKeys(t, crashKeeper{k, f}, crashShelf{importShelf{shelf}, f}, &secrets.JobOptions{Batch: 1})
		if err == nil {
			require.Greater(t, step, 8)
			return
		}
		require.ErrorIs(t, err, errCrash, "step %d", step)
		opens(w.safe)
		p, _, err := w.moveKeys(t, k, importShelf{shelf}, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 3, Total: 3}, settled(p), "step %d", step)
		opens(w.open(t, k, shelf, w.store))
	}
}

var errCrash = errors.New("crash")

// failing lets some calls through and no others.
type countdown struct{ left int }

func (f *countdown) step() error {
	if f.left--; f.left <= 0 {
		return errCrash
	}
	return nil
}

type crashKeeper struct {
	*plainKeeper
	f *countdown
}

func (k crashKeeper) Wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	if err := k.f.step(); err != nil {
		return nil, err
	}
	return k.plainKeeper.Wrap(ctx, key, aad)
}

func (k crashKeeper) Unwrap(ctx context.Context, w, aad []byte) ([]byte, error) {
	if err := k.f.step(); err != nil {
		return nil, err
	}
	return k.plainKeeper.Unwrap(ctx, w, aad)
}

// crashShelf fails after it did what was asked, as a lost answer looks.
type crashShelf struct {
	importShelf
	f *countdown
}

func (s crashShelf) ImportKeys(ctx context.Context, ts []secrets.TenantKeys) ([]error, error) {
	errs, err := s.importShelf.ImportKeys(ctx, ts)
	return errs, errors.Join(err, s.f.step())
}

func (s crashShelf) List(ctx context.Context, cursor string) ([]secrets.TenantKeys, string, error) {
	page, next, err := s.importShelf.List(ctx, cursor)
	return page, next, errors.Join(err, s.f.step())
}

// What MoveKeys cannot do it says, and leaves what is there as it is.
func TestMoveKeysFailures(t *testing.T) {
	t.Run("a tenant of which a version does not open is left out whole", func(t *testing.T) {
		w, _, old, _ := twoTenants(t)
		shelf := &keyShelf{}
		old.m["acme"][0].Wrapped[10] ^= 1
		p, failed, err := w.moveKeys(t, newPlainKeeper(), shelf, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 1, Total: 3, Failed: 2}, settled(p))
		require.Empty(t, shelf.m["acme"])
		require.Len(t, shelf.m["beta"], 1)
		for _, f := range failed {
			require.Equal(t, "acme", f.Name)
		}
	})
	t.Run("another key of the same version is never overwritten", func(t *testing.T) {
		w, _, _, _ := twoTenants(t)
		shelf := &keyShelf{}
		require.NoError(t, shelf.AddKey(t.Context(), "beta", secrets.WrappedKey{ID: [16]byte{9}, Version: 1, Wrapped: []byte("mine")}))
		was := fmt.Sprint(shelf.m["beta"])
		p, failed, err := w.moveKeys(t, newPlainKeeper(), shelf, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 2, Total: 3, Failed: 1}, settled(p))
		require.ErrorIs(t, failed[0].Err, secrets.ErrConflict)
		require.Equal(t, was, fmt.Sprint(shelf.m["beta"]))
	})
	t.Run("a wrap that does not open in the new place is found", func(t *testing.T) {
		w, _, _, _ := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, _, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		shelf.m["beta"][0].Wrapped[10] ^= 1
		p, failed, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 2, Total: 3, Failed: 1}, settled(p))
		require.ErrorIs(t, failed[0].Err, secrets.ErrTampered)
	})
	t.Run("so is a wrap of another key", func(t *testing.T) {
		w, _, old, _ := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, _, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		other, otherOld := newPlainKeeper(), &keyShelf{}
		w2, _, _, _ := twoTenants(t)
		_, _, err = w2.moveKeys(t, other, otherOld, nil)
		require.NoError(t, err)
		otherOld.m["beta"][0].ID = old.m["beta"][0].ID
		p, failed, err := w.moveKeys(t, other, otherOld, nil)
		require.NoError(t, err)
		require.Equal(t, 3, p.Total)
		require.Len(t, failed, 3, "acme is another, and beta does not open")
	})
	t.Run("a key that is missing in both places", func(t *testing.T) {
		w, _, old, _ := twoTenants(t)
		delete(old.m, "beta")
		p, failed, err := w.moveKeys(t, newPlainKeeper(), &keyShelf{}, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 2, Total: 2, Failed: 1}, settled(p))
		require.ErrorIs(t, failed[0].Err, secrets.ErrNotFound)
	})
	t.Run("what begins later needs a KeyImporter", func(t *testing.T) {
		w, _, _, opens := twoTenants(t)
		w.rewrap(t, "tenants/acme", nil)
		require.NoError(t, w.retire(t, "tenants/acme"))
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, _, err := w.moveKeys(t, k, shelf, nil)
		require.ErrorIs(t, err, secrets.ErrUnable)
		require.ErrorContains(t, err, "ImportKeys")
		require.Empty(t, shelf.m, "nothing is half-done")
		p, _, err := w.moveKeys(t, k, importShelf{shelf}, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 2, Total: 2}, settled(p))
		opens(w.open(t, k, shelf, w.store))
	})
	t.Run("what was retired between is not taken for the same", func(t *testing.T) {
		w, _, _, _ := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, _, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		for range 2 {
			w.rotate(t, "tenants/acme")
		}
		w.rewrap(t, "tenants/acme", nil)
		require.NoError(t, w.retire(t, "tenants/acme"))
		p, failed, err := w.moveKeys(t, k, importShelf{shelf}, nil)
		require.NoError(t, err)
		require.Equal(t, 1, p.Done)
		require.ErrorContains(t, failed[0].Err, "shred it there")
	})
	t.Run("an erased tenant is gone in both places", func(t *testing.T) {
		w, _, old, _ := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, _, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		kept := cloneKeys(old.m["beta"])
		_, err = w.safe.Erase(t.Context(), w.custodian(t, "secrets.erase", "tenants/beta"), authztest.Resource(t, "tenants/beta"))
		require.NoError(t, err)
		old.m["beta"] = kept // as after a crash between the mark and the keys
		p, _, err := w.moveKeys(t, k, shelf, nil)
		require.NoError(t, err)
		require.Equal(t, secrets.Progress{Done: 2, Total: 2}, settled(p))
		require.Empty(t, shelf.m["beta"])
	})
	t.Run("only with a grant, and with both", func(t *testing.T) {
		w, _, _, _ := twoTenants(t)
		k, shelf := newPlainKeeper(), &keyShelf{}
		_, err := w.safe.MoveKeys(t.Context(), authz.Grant{}, k, shelf, nil)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = w.safe.MoveKeys(t.Context(), w.custodian(t, "secrets.rotate", "tenants/acme"), k, shelf, nil)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = (*secrets.Safe)(nil).MoveKeys(t.Context(), authz.Grant{}, k, shelf, nil)
		require.ErrorIs(t, err, authz.ErrDenied)
		g := w.custodian(t, "secrets.rotate", "tenants")
		_, err = w.safe.MoveKeys(t.Context(), g, nil, shelf, nil)
		require.Error(t, err)
		_, err = w.safe.MoveKeys(t.Context(), g, k, nil, nil)
		require.Error(t, err)
		require.Empty(t, shelf.m)
	})
}
