package secrets

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of the cache of tenants' keys.
const (
	cacheEntries = 1024
	cacheAge     = 5 * time.Minute
	cacheUses    = 1 << 20
)

// tenantKeys opens tenants' keys and keeps them for a while.
type tenantKeys struct {
	deployment string
	keeper     Keeper
	store      KeyStore
	now        func() time.Time

	mu    sync.Mutex
	cache map[cacheKey]*cached
}

type cacheKey struct {
	tenant  string
	id      [16]byte
	version uint32
}

type cached struct {
	k      *tenantKey
	loaded time.Time
	uses   int
}

// aad binds a wrapped tenant key to its deployment, tenant and version.
func (t *tenantKeys) aad(tenant string, id [16]byte, version uint32) []byte {
	p := place{deployment: t.deployment, table: "tenant keys", tenant: tenant, id: string(id[:]), version: uint64(version), kind: "kek"}
	return p.bytes()
}

// newest returns the key that seals, making the first one if there is none.
func (t *tenantKeys) newest(ctx context.Context, tenant string) (*tenantKey, error) {
	for range 3 {
		ks, err := t.store.Keys(ctx, tenant)
		if err != nil {
			return nil, fmt.Errorf("secrets: tenant key: %w", err)
		}
		if len(ks) > 0 {
			return t.unwrap(ctx, tenant, ks[len(ks)-1])
		}
		var fresh [48]byte // id and key in one read
		if _, err := rand.Read(fresh[:]); err != nil {
			return nil, err
		}
		k := newTenantKey([16]byte(fresh[:16]), 1, [32]byte(fresh[16:]))
		clear(fresh[:])
		w, err := t.keeper.Wrap(ctx, k.key()[:], t.aad(tenant, k.id, k.version))
		if err != nil {
			return nil, fmt.Errorf("secrets: tenant key: %w", err)
		}
		err = t.store.AddKey(ctx, tenant, WrappedKey{k.id, k.version, w})
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("secrets: tenant key: %w", err)
		}
	}
	return nil, ErrConflict
}

// find returns the key that an envelope names.
func (t *tenantKeys) find(ctx context.Context, tenant string, id [16]byte, version uint32) (*tenantKey, error) {
	if k := t.cached(cacheKey{tenant, id, version}); k != nil {
		return k, nil
	}
	ks, err := t.store.Keys(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	for _, w := range ks {
		if w.ID == id && w.Version == version {
			return t.unwrap(ctx, tenant, w)
		}
	}
	return nil, ErrTampered
}

func (t *tenantKeys) unwrap(ctx context.Context, tenant string, w WrappedKey) (*tenantKey, error) {
	ck := cacheKey{tenant, w.ID, w.Version}
	if k := t.cached(ck); k != nil {
		return k, nil
	}
	key, err := t.keeper.Unwrap(ctx, w.Wrapped, t.aad(tenant, w.ID, w.Version))
	if err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	defer clear(key)
	if len(key) != 32 {
		return nil, ErrTampered
	}
	k := newTenantKey(w.ID, w.Version, [32]byte(key))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cache == nil {
		t.cache = map[cacheKey]*cached{}
	}
	for len(t.cache) >= cacheEntries {
		for other := range t.cache { // any one: a miss costs an unwrap
			delete(t.cache, other)
			break
		}
	}
	t.cache[ck] = &cached{k: k, loaded: t.now()}
	return k, nil
}

func (t *tenantKeys) cached(ck cacheKey) *tenantKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cache[ck]
	if c == nil {
		return nil
	}
	if c.uses++; c.uses > cacheUses || t.now().Sub(c.loaded) > cacheAge {
		delete(t.cache, ck)
		return nil
	}
	return c.k
}

// forget drops cached keys, of one tenant or, with "", of all. The keys are
// left to the garbage collector: someone may be using one this moment.
func (t *tenantKeys) forget(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ck := range t.cache {
		if tenant == "" || ck.tenant == tenant {
			delete(t.cache, ck)
		}
	}
}

// packValue puts scheme and value into the plaintext of an envelope.
func packValue(scheme, value []byte) []byte {
	b := make([]byte, 4, 4+len(scheme)+len(value))
	binary.BigEndian.PutUint32(b, uint32(len(scheme)))
	return append(append(b, scheme...), value...)
}

func unpackValue(b []byte) (scheme, value []byte, err error) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, ErrTampered
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:n], b[n:], nil
}
