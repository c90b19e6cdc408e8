package hashivault

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// ImportKeys implements secrets.KeyImporter, with a write for each document that
// is filled; with Apart, one for each tenant.
func (s *KV) ImportKeys(ctx context.Context, ts []secrets.TenantKeys) ([]error, error) {
	errs := make([]error, len(ts))
	items := make([][]kvItem, len(ts))
	var left []int // of ts
	for i, t := range ts {
		if errs[i] = follow(t.Keys); errs[i] != nil {
			continue
		}
		for _, k := range t.Keys {
			items[i] = append(items[i], kvItem{bytes.Clone(k.ID[:]), k.Version, bytes.Clone(k.Wrapped)})
		}
		left = append(left, i)
	}
	if s.c.cfg.Apart {
		for _, i := range left {
			errs[i] = s.change(ctx, ts[i].Tenant, false, func(ks []kvItem) ([]kvItem, error) {
				if len(ks) > 0 {
					return nil, secrets.ErrConflict
				}
				return items[i], nil
			})
			if errs[i] != nil && !errors.Is(errs[i], secrets.ErrConflict) {
				return nil, errs[i]
			}
		}
		return errs, nil
	}
	done, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	for try := 0; len(left) > 0; {
		if try == conflicts {
			return nil, fmt.Errorf("hashivault: write keys: %w", secrets.ErrConflict)
		}
		if err := s.wait(ctx, try); err != nil {
			return nil, err
		}
		next, err := s.fill(ctx, ts, items, left, errs)
		switch {
		case errors.Is(err, errRace):
			try++
		case err != nil:
			return nil, err
		default:
			left, try = next, 0
		}
	}
	return errs, nil
}

// follow is ErrConflict unless versions are one after the other.
func follow(ks []secrets.WrappedKey) error {
	for i, k := range ks {
		if k.Version == 0 || k.Version != ks[0].Version+uint32(i) {
			return secrets.ErrConflict
		}
	}
	if len(ks) == 0 {
		return secrets.ErrConflict
	}
	return nil
}

// fill writes as many tenants as fit into the document where the first of them
// belongs, and returns which are left. After errRace nothing has changed.
func (s *KV) fill(ctx context.Context, ts []secrets.TenantKeys, items [][]kvItem, left []int, errs []error) ([]int, error) {
	name, d, version, err := s.find(ctx, ts[left[0]].Tenant)
	if err != nil {
		return nil, err
	}
	if len(d.Tenants[ts[left[0]].Tenant]) > 0 {
		errs[left[0]] = secrets.ErrConflict
		return left[1:], nil
	}
	if d.Closed { // shredded between two looks
		return nil, errRace
	}
	// This is the open document, and every closed one was read on the way to it.
	var put, taken, rest []int
	size, full := d.size(), false
	for _, i := range left {
		tenant := ts[i].Tenant
		s.mu.Lock()
		home := s.home[tenant]
		s.mu.Unlock()
		more := sizeOf(tenant, items[i])
		switch {
		case len(d.Tenants[tenant]) > 0:
			taken = append(taken, i)
		case full, home != "" && home != name: // in another, as far as is known: it is looked at alone
			rest = append(rest, i)
		case len(d.Tenants) > 0 && (len(d.Tenants) >= perDoc || size+more > roomy):
			full = true
			rest = append(rest, i)
		case size+more > maxDoc:
			return nil, fmt.Errorf("hashivault: write keys: %s would have %d bytes, %d at most: remove old versions of its tenants' keys", name, size+more, maxDoc)
		default:
			d.Tenants[tenant] = items[i]
			size += more
			put = append(put, i)
		}
	}
	d.Closed = full
	if len(put) > 0 || full {
		if err := s.write(ctx, name, d, version); err != nil {
			return nil, err
		}
	}
	for _, i := range taken {
		errs[i] = secrets.ErrConflict
	}
	return rest, nil
}
