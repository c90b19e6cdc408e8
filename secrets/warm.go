package secrets

import (
	"context"
	"errors"
	"fmt"
)

// Warm loads tenants' keys into memory, as many as it holds, so that a start
// does not ask the Keeper once for each tenant: with a BatchKeeper it asks once
// for each page of the key store. It returns how many keys it loaded. Keys that
// do not open are left out; the first use says why.
func (s *Safe) Warm(ctx context.Context) (int, error) {
	loaded := 0
	fail := func(err error) (int, error) { return loaded, fmt.Errorf("secrets: warm: %w", err) }
	for cursor := ""; ; {
		wipes := s.keys.cache.generation()
		page, next, err := s.keys.store.List(ctx, cursor)
		if err != nil {
			return fail(err)
		}
		var cks []cacheKey
		var ks []WrappedKey
		for _, t := range page {
			for _, w := range t.Keys {
				if loaded+len(ks) < cacheEntries {
					cks, ks = append(cks, cacheKey{t.Tenant, w.Version}), append(ks, w)
				}
			}
		}
		opened, err := s.keys.unwrapAll(ctx, cks, ks)
		if err != nil {
			return fail(err)
		}
		for i, k := range opened {
			if k != nil {
				s.keys.cache.add(cks[i], k, wipes)
				loaded++
			}
		}
		if cursor = next; next == "" || loaded >= cacheEntries {
			return loaded, nil
		}
	}
}

// unwrapAll opens keys, in few calls where the Keeper can; nil for one that does
// not open.
func (t *tenantKeys) unwrapAll(ctx context.Context, cks []cacheKey, ks []WrappedKey) ([]*tenantKey, error) {
	out := make([]*tenantKey, len(ks))
	b, ok := t.keeper.(BatchKeeper)
	if !ok || len(ks) == 0 {
		for i, w := range ks {
			k, err := t.unwrap(ctx, cks[i].tenant, w)
			if err != nil && !errors.Is(err, ErrTampered) {
				return nil, err
			}
			out[i] = k
		}
		return out, nil
	}
	items := make([]KeyItem, len(ks))
	for i, w := range ks {
		items[i] = KeyItem{w.Wrapped, t.aad(cks[i].tenant, w.ID, w.Version)}
	}
	results, err := b.UnwrapAll(ctx, items)
	if err != nil {
		return nil, err
	}
	if len(results) != len(items) {
		return nil, fmt.Errorf("secrets: unwrap answered %d of %d: %w", len(results), len(items), ErrKeeper)
	}
	for i, r := range results {
		if r.Err == nil && len(r.Key) == 32 {
			out[i] = newTenantKey(ks[i].ID, ks[i].Version, [32]byte(r.Key))
		}
		clear(r.Key)
	}
	return out, nil
}
