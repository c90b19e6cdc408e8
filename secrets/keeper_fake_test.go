package secrets_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// plainKeeper is a Keeper in memory with root keys that rotate, and no ability
// declared but Rotator. It counts its calls and may be sealed.
type plainKeeper struct {
	mu     sync.Mutex
	roots  map[uint32]cipher.AEAD
	newest uint32
	sealed bool
	calls  atomic.Int64
}

func newPlainKeeper() *plainKeeper {
	k := &plainKeeper{roots: map[uint32]cipher.AEAD{}}
	_, _ = k.Rotate(context.Background())
	k.calls.Store(0)
	return k
}

func (k *plainKeeper) seal(sealed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealed = sealed
}

func (k *plainKeeper) Rotate(context.Context) (uint32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls.Add(1)
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	b, err := aes.NewCipher(key)
	if err != nil {
		return 0, err
	}
	k.newest++
	k.roots[k.newest], err = cipher.NewGCMWithRandomNonce(b)
	return k.newest, err
}

func (k *plainKeeper) Retire(_ context.Context, before uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if before > k.newest {
		return errors.New("the newest stays")
	}
	for v := range k.roots {
		if v < before {
			delete(k.roots, v)
		}
	}
	return nil
}

func (k *plainKeeper) Wrap(_ context.Context, key, aad []byte) ([]byte, error) {
	k.calls.Add(1)
	return k.wrap(key, aad)
}

func (k *plainKeeper) wrap(key, aad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sealed {
		return nil, secrets.ErrKeeper
	}
	return k.roots[k.newest].Seal(binary.BigEndian.AppendUint32(nil, k.newest), nil, key, aad), nil
}

func (k *plainKeeper) Unwrap(_ context.Context, w, aad []byte) ([]byte, error) {
	k.calls.Add(1)
	return k.unwrap(w, aad)
}

func (k *plainKeeper) unwrap(w, aad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sealed {
		return nil, secrets.ErrKeeper
	}
	if len(w) < 4 || k.roots[binary.BigEndian.Uint32(w)] == nil {
		return nil, secrets.ErrTampered
	}
	out, err := k.roots[binary.BigEndian.Uint32(w)].Open(nil, nil, w[4:], aad)
	if err != nil {
		return nil, secrets.ErrTampered
	}
	return out, nil
}

// ableKeeper can do all that a Keeper may declare.
type ableKeeper struct{ *plainKeeper }

func (k ableKeeper) UnwrapAll(_ context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	k.calls.Add(1)
	out := make([]secrets.KeyResult, len(items))
	for i, it := range items {
		out[i].Key, out[i].Err = k.unwrap(it.Wrapped, it.AAD)
	}
	return out, nil
}

func (k ableKeeper) WrapAll(ctx context.Context, keys []secrets.OpenKey) ([]secrets.KeyResult, error) {
	out := make([]secrets.KeyResult, len(keys))
	for i, o := range keys {
		w, err := k.Wrap(ctx, o.Key, o.AAD)
		if err != nil {
			return nil, err
		}
		out[i].Key = w
	}
	return out, nil
}

func (k ableKeeper) Rewrap(_ context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	k.calls.Add(1)
	out := make([]secrets.KeyResult, len(items))
	for i, it := range items {
		key, err := k.unwrap(it.Wrapped, it.AAD)
		if err == nil {
			key, err = k.wrap(key, it.AAD)
		}
		out[i] = secrets.KeyResult{Key: key, Err: err}
	}
	return out, nil
}

// keyShelf is a KeyStore in memory that counts its calls.
type keyShelf struct {
	mu    sync.Mutex
	m     map[string][]secrets.WrappedKey
	calls atomic.Int64
}

func (s *keyShelf) Keys(_ context.Context, tenant string) ([]secrets.WrappedKey, error) {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return cloneKeys(s.m[tenant]), nil
}

func cloneKeys(ks []secrets.WrappedKey) []secrets.WrappedKey {
	ks = slices.Clone(ks)
	for i := range ks {
		ks[i].Wrapped = bytes.Clone(ks[i].Wrapped)
	}
	return ks
}

func (s *keyShelf) List(_ context.Context, cursor string) ([]secrets.TenantKeys, string, error) {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []secrets.TenantKeys
	for _, n := range slices.Sorted(maps.Keys(s.m)) {
		if n > cursor && len(out) < 100 {
			out = append(out, secrets.TenantKeys{Tenant: n, Keys: cloneKeys(s.m[n])})
		}
	}
	if len(out) < 100 {
		return out, "", nil
	}
	return out, out[99].Tenant, nil
}

func (s *keyShelf) AddKey(_ context.Context, tenant string, k secrets.WrappedKey) error {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	ks := s.m[tenant]
	if len(ks) == 0 && k.Version != 1 || len(ks) > 0 && k.Version != ks[len(ks)-1].Version+1 {
		return secrets.ErrConflict
	}
	if s.m == nil {
		s.m = map[string][]secrets.WrappedKey{}
	}
	s.m[tenant] = append(slices.Clone(ks), cloneKeys([]secrets.WrappedKey{k})...)
	return nil
}

func (s *keyShelf) ReplaceKey(_ context.Context, tenant string, old []byte, k secrets.WrappedKey) error {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	ks := slices.Clone(s.m[tenant])
	for i := range ks {
		if ks[i].Version == k.Version && ks[i].ID == k.ID && bytes.Equal(ks[i].Wrapped, old) {
			ks[i] = cloneKeys([]secrets.WrappedKey{k})[0]
			s.m[tenant] = ks
			return nil
		}
	}
	return secrets.ErrConflict
}

func (s *keyShelf) RemoveKeys(_ context.Context, tenant string, before uint32) error {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	ks := s.m[tenant]
	for len(ks) > 1 && ks[0].Version < before {
		ks = ks[1:]
	}
	if len(ks) > 0 {
		s.m[tenant] = slices.Clone(ks)
	}
	return nil
}

func (s *keyShelf) Shred(_ context.Context, tenant string) error {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, tenant)
	return nil
}
