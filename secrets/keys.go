package secrets

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// tenantKeys makes tenants' keys and opens them.
type tenantKeys struct {
	deployment string
	keeper     Keeper
	store      KeyStore
	cache      *keyCache
}

func newTenantKeys(deployment string, keeper Keeper, store KeyStore, now func() time.Time, grace time.Duration) *tenantKeys {
	t := &tenantKeys{deployment: deployment, keeper: keeper, store: store}
	t.cache = newKeyCache(now, grace, t.load)
	return t
}

// aad binds a wrapped tenant key to its deployment, tenant and version.
func (t *tenantKeys) aad(tenant string, id [16]byte, version uint32) []byte {
	p := place{deployment: t.deployment, table: "tenant keys", tenant: tenant, id: string(id[:]), version: uint64(version), kind: "kek"}
	return p.append(nil)
}

// load opens one version of a tenant's key. That there is none is ErrTampered:
// what asks for it was sealed by it.
func (t *tenantKeys) load(ctx context.Context, ck cacheKey) (*tenantKey, error) {
	ks, err := t.store.Keys(ctx, ck.tenant)
	if err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	for _, w := range ks {
		if w.Version == ck.version {
			return t.unwrap(ctx, ck.tenant, w)
		}
	}
	return nil, fmt.Errorf("secrets: tenant key: %w", ErrTampered)
}

func (t *tenantKeys) unwrap(ctx context.Context, tenant string, w WrappedKey) (*tenantKey, error) {
	key, err := t.keeper.Unwrap(ctx, w.Wrapped, t.aad(tenant, w.ID, w.Version))
	if err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	defer clear(key)
	if len(key) != 32 {
		return nil, fmt.Errorf("secrets: tenant key: %w", ErrTampered)
	}
	return newTenantKey(w.ID, w.Version, [32]byte(key)), nil
}

// make adds the next version of a tenant's key, after the newest there is, and
// returns it.
func (t *tenantKeys) make(ctx context.Context, tenant string, version uint32) (*tenantKey, error) {
	var fresh [48]byte // id and key in one read
	defer clear(fresh[:])
	if _, err := rand.Read(fresh[:]); err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	k := newTenantKey([16]byte(fresh[:16]), version, [32]byte(fresh[16:]))
	w, err := t.keeper.Wrap(ctx, k.key()[:], t.aad(tenant, k.id, k.version))
	if err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	if err := t.store.AddKey(ctx, tenant, WrappedKey{k.id, k.version, w}); err != nil {
		return nil, fmt.Errorf("secrets: tenant key: %w", err)
	}
	return k, nil
}

// newest returns the newest version that the key store has, whatever seals now,
// making a first one if there is none.
func (t *tenantKeys) newest(ctx context.Context, tenant string) (*tenantKey, error) {
	for range 3 {
		ks, err := t.store.Keys(ctx, tenant)
		if err != nil {
			return nil, fmt.Errorf("secrets: tenant key: %w", err)
		}
		if len(ks) > 0 {
			return t.unwrap(ctx, tenant, ks[len(ks)-1])
		}
		k, err := t.make(ctx, tenant, 1)
		if err == nil || !errors.Is(err, ErrConflict) {
			return k, err
		}
	}
	return nil, ErrConflict
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
