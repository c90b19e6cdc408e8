package secretstest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Fake is everything that a Safe stands on, in memory, for tests of software
// that uses one. Nothing of it lasts, and nothing protects its root keys: it is
// not to be had outside of tests.
type Fake struct {
	Keeper *FakeKeeper
	Keys   *FakeKeys
	Store  *secrets.Memory
}

// NewFake makes an empty Fake. It panics in a program that is no test.
func NewFake(t testing.TB) *Fake {
	t.Helper()
	if !testing.Testing() {
		panic("secretstest: a Fake keeps root keys in memory, it is for tests only: use secrets/local or secrets/hashivault")
	}
	k := &FakeKeeper{roots: map[uint32]cipher.AEAD{}}
	if _, err := k.Rotate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return &Fake{Keeper: k, Keys: &FakeKeys{m: map[string][]secrets.WrappedKey{}}, Store: &secrets.Memory{}}
}

// Safe makes a Safe over the Fake, closed with the test.
func (f *Fake) Safe(t testing.TB, o *secrets.Options) *secrets.Safe {
	t.Helper()
	s, err := secrets.New(f.Keeper, f.Keys, f.Store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// FakeKeeper is a Keeper with every ability. Its zero value refuses. Safe for
// concurrent use.
type FakeKeeper struct {
	mu     sync.Mutex
	roots  map[uint32]cipher.AEAD
	newest uint32
	calls  int
	sealed bool
}

var (
	_ secrets.Keeper       = (*FakeKeeper)(nil)
	_ secrets.BatchKeeper  = (*FakeKeeper)(nil)
	_ secrets.BatchWrapper = (*FakeKeeper)(nil)
	_ secrets.Rewrapper    = (*FakeKeeper)(nil)
	_ secrets.Rotator      = (*FakeKeeper)(nil)
	_ secrets.Prober       = (*FakeKeeper)(nil)
)

// Seal makes it answer as a sealed Vault does, secrets.ErrKeeper, or ends that.
func (k *FakeKeeper) Seal(sealed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealed = sealed
}

// Calls counts what it was asked for.
func (k *FakeKeeper) Calls() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

// Bare is the same Keeper with no ability but to wrap and unwrap.
func (k *FakeKeeper) Bare() secrets.Keeper { return bare{k} }

// bare hides what a Keeper is able to.
type bare struct{ k secrets.Keeper }

func (b bare) Wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	return b.k.Wrap(ctx, key, aad)
}

func (b bare) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	return b.k.Unwrap(ctx, wrapped, aad)
}

// begin counts a call and locks; end it with k.mu.Unlock.
func (k *FakeKeeper) begin(ctx context.Context) error {
	k.mu.Lock()
	k.calls++
	err := ctx.Err()
	if err == nil && (k.sealed || k.newest == 0) {
		err = fmt.Errorf("secretstest: the fake is sealed: %w", secrets.ErrKeeper)
	}
	if err != nil {
		k.mu.Unlock()
	}
	return err
}

// Wrap implements secrets.Keeper.
func (k *FakeKeeper) Wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.mu.Unlock()
	return k.wrap(key, aad), nil
}

func (k *FakeKeeper) wrap(key, aad []byte) []byte {
	return k.roots[k.newest].Seal(binary.BigEndian.AppendUint32(nil, k.newest), nil, key, aad)
}

// Unwrap implements secrets.Keeper.
func (k *FakeKeeper) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.mu.Unlock()
	return k.unwrap(wrapped, aad)
}

func (k *FakeKeeper) unwrap(w, aad []byte) ([]byte, error) {
	if len(w) < 4 || k.roots[binary.BigEndian.Uint32(w)] == nil {
		return nil, secrets.ErrTampered
	}
	out, err := k.roots[binary.BigEndian.Uint32(w)].Open(nil, nil, w[4:], aad)
	if err != nil {
		return nil, secrets.ErrTampered
	}
	return out, nil
}

// UnwrapAll implements secrets.BatchKeeper.
func (k *FakeKeeper) UnwrapAll(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.mu.Unlock()
	out := make([]secrets.KeyResult, len(items))
	for i, it := range items {
		out[i].Key, out[i].Err = k.unwrap(it.Wrapped, it.AAD)
	}
	return out, nil
}

// WrapAll implements secrets.BatchWrapper.
func (k *FakeKeeper) WrapAll(ctx context.Context, keys []secrets.OpenKey) ([]secrets.KeyResult, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.mu.Unlock()
	out := make([]secrets.KeyResult, len(keys))
	for i, o := range keys {
		out[i].Key = k.wrap(o.Key, o.AAD)
	}
	return out, nil
}

// Rewrap implements secrets.Rewrapper.
func (k *FakeKeeper) Rewrap(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.mu.Unlock()
	out := make([]secrets.KeyResult, len(items))
	for i, it := range items {
		key, err := k.unwrap(it.Wrapped, it.AAD)
		if out[i].Err = err; err == nil {
			out[i].Key = k.wrap(key, it.AAD)
		}
	}
	return out, nil
}

// Rotate implements secrets.Rotator.
func (k *FakeKeeper) Rotate(ctx context.Context) (uint32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if k.roots == nil || k.sealed {
		return 0, fmt.Errorf("secretstest: the fake is sealed: %w", secrets.ErrKeeper)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return 0, err
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return 0, err
	}
	a, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		return 0, err
	}
	k.newest++
	k.roots[k.newest] = a
	return k.newest, nil
}

// Retire implements secrets.Rotator.
func (k *FakeKeeper) Retire(ctx context.Context, before uint32) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	defer k.mu.Unlock()
	if before > k.newest {
		return fmt.Errorf("secretstest: retire: before: want at most %d", k.newest)
	}
	maps.DeleteFunc(k.roots, func(v uint32, _ cipher.AEAD) bool { return v < before })
	return nil
}

// Probe implements secrets.Prober.
func (k *FakeKeeper) Probe(context.Context) (secrets.Health, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.sealed || k.newest == 0 {
		return secrets.Health{State: secrets.Sealed, Detail: "the fake is sealed"}, nil
	}
	return secrets.Health{State: secrets.Ready, Detail: "the fake answers", Version: k.newest}, nil
}

// FakeKeys is a KeyStore in memory. Make it with NewFake. Safe for concurrent use.
type FakeKeys struct {
	mu sync.Mutex
	m  map[string][]secrets.WrappedKey
}

var (
	_ secrets.KeyStore    = (*FakeKeys)(nil)
	_ secrets.KeyImporter = (*FakeKeys)(nil)
)

func cloneKeys(ks []secrets.WrappedKey) []secrets.WrappedKey {
	ks = slices.Clone(ks)
	for i := range ks {
		ks[i].Wrapped = bytes.Clone(ks[i].Wrapped)
	}
	return ks
}

// change edits the keys of one tenant; nil deletes them.
func (s *FakeKeys) change(ctx context.Context, tenant string, edit func([]secrets.WrappedKey) ([]secrets.WrappedKey, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.m == nil {
		return fmt.Errorf("secretstest: make it with NewFake: %w", secrets.ErrKeeper)
	}
	now, err := edit(cloneKeys(s.m[tenant]))
	if err != nil {
		return err
	}
	if delete(s.m, tenant); len(now) > 0 {
		s.m[tenant] = cloneKeys(now)
	}
	return nil
}

// Keys implements secrets.KeyStore.
func (s *FakeKeys) Keys(ctx context.Context, tenant string) (out []secrets.WrappedKey, err error) {
	err = s.change(ctx, tenant, func(ks []secrets.WrappedKey) ([]secrets.WrappedKey, error) { out = ks; return ks, nil })
	return out, err
}

// List implements secrets.KeyStore, 100 tenants to a page.
func (s *FakeKeys) List(ctx context.Context, cursor string) ([]secrets.TenantKeys, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	var out []secrets.TenantKeys
	for _, n := range slices.Sorted(maps.Keys(s.m)) {
		if n > cursor && len(out) == 100 {
			return out, out[99].Tenant, nil
		}
		if n > cursor {
			out = append(out, secrets.TenantKeys{Tenant: n, Keys: cloneKeys(s.m[n])})
		}
	}
	return out, "", nil
}

// AddKey implements secrets.KeyStore.
func (s *FakeKeys) AddKey(ctx context.Context, tenant string, k secrets.WrappedKey) error {
	return s.change(ctx, tenant, func(ks []secrets.WrappedKey) ([]secrets.WrappedKey, error) {
		next := uint32(1)
		if len(ks) > 0 {
			next = ks[len(ks)-1].Version + 1
		}
		if k.Version != next || next == 0 {
			return nil, secrets.ErrConflict
		}
		return append(ks, k), nil
	})
}

// ReplaceKey implements secrets.KeyStore.
func (s *FakeKeys) ReplaceKey(ctx context.Context, tenant string, old []byte, k secrets.WrappedKey) error {
	return s.change(ctx, tenant, func(ks []secrets.WrappedKey) ([]secrets.WrappedKey, error) {
		i := slices.IndexFunc(ks, func(h secrets.WrappedKey) bool {
			return h.Version == k.Version && h.ID == k.ID && bytes.Equal(h.Wrapped, old)
		})
		if i < 0 {
			return nil, secrets.ErrConflict
		}
		ks[i] = k
		return ks, nil
	})
}

// RemoveKeys implements secrets.KeyStore.
func (s *FakeKeys) RemoveKeys(ctx context.Context, tenant string, before uint32) error {
	return s.change(ctx, tenant, func(ks []secrets.WrappedKey) ([]secrets.WrappedKey, error) {
		for len(ks) > 1 && ks[0].Version < before {
			ks = ks[1:]
		}
		return ks, nil
	})
}

// Shred implements secrets.KeyStore.
func (s *FakeKeys) Shred(ctx context.Context, tenant string) error {
	return s.change(ctx, tenant, func([]secrets.WrappedKey) ([]secrets.WrappedKey, error) { return nil, nil })
}

// ImportKeys implements secrets.KeyImporter.
func (s *FakeKeys) ImportKeys(ctx context.Context, ts []secrets.TenantKeys) ([]error, error) {
	errs := make([]error, len(ts))
	for i, t := range ts {
		errs[i] = s.change(ctx, t.Tenant, func(ks []secrets.WrappedKey) ([]secrets.WrappedKey, error) {
			for j, k := range t.Keys {
				if k.Version == 0 || k.Version != t.Keys[0].Version+uint32(j) {
					return nil, secrets.ErrConflict
				}
			}
			if len(ks) > 0 || len(t.Keys) == 0 {
				return nil, secrets.ErrConflict
			}
			return t.Keys, nil
		})
	}
	return errs, ctx.Err()
}
