package secrets

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/lockkeeper/lockkeeper/authz"
)

// MoveKeys copies the tenants' keys to another KeyStore, wrapped by another
// Keeper there, with a Grant of secrets.rotate on the node tenants: from a
// keyring to Vault, for one. The secrets themselves stay as they are and where
// they are. Nothing is taken from the old place, and this Safe goes on with it;
// once MoveKeys has returned without error and without Failed, a Safe of the same
// deployment over the new pair opens everything that this one does. Then give up
// the old one, not before.
//
// It may run while secrets are used and put. To resume, after a crash too, call
// it again: what is in the new place stays there, and what came since is added;
// so call it once more when whatever could make or rotate keys in the old place
// has ended. In the end it opens every key in both places and compares them.
//
// A key in the new place is never overwritten: that there is another one of the
// same tenant and version is a Failure. A tenant of which one version does not
// open in the old place is left out as a whole: replace the secrets under that
// version, Rewrap, RetireTenantKeys, and call it again. Keys that were retired in
// the old place, or whose tenant was erased, are destroyed in the new one.
//
// A new KeyStore that is no KeyImporter cannot take tenants whose first versions
// were retired: that is ErrUnable before anything is written.
func (s *Safe) MoveKeys(ctx context.Context, g authz.Grant, to Keeper, into KeyStore, o *JobOptions) (Progress, error) {
	if to == nil || into == nil {
		return Progress{}, errors.New("secrets: move keys: a keeper and a key store are both needed")
	}
	if err := s.must(ctx, g, "secrets.rotate", everyTenant(), "move-keys"); err != nil {
		return Progress{}, err
	}
	m := &move{job: s.newJob(o), from: s.keys, to: &tenantKeys{deployment: s.deployment, keeper: to, store: into}, rows: map[string]Tenant{}, failed: map[cacheKey]bool{}}
	if err := m.run(ctx, s.store); err != nil {
		return m.p, fmt.Errorf("secrets: move keys: %w", err)
	}
	return m.p, nil
}

// move is one run of MoveKeys.
type move struct {
	*job
	from, to *tenantKeys
	rows     map[string]Tenant       // of the Store, by name
	there    map[string][]WrappedKey // in the new place, by tenant
	failed   map[cacheKey]bool       // each is told once
}

func (m *move) run(ctx context.Context, store Store) error {
	for after := ""; ; {
		ts, err := store.Tenants(ctx, after, 500)
		if err != nil {
			return err
		}
		if len(ts) == 0 {
			break
		}
		for _, t := range ts {
			after = t.Name
			m.rows[t.Name] = Tenant{Generation: t.Generation, Erased: t.Erased}
		}
	}
	if err := m.look(ctx); err != nil {
		return err
	}
	_, imports := m.to.store.(KeyImporter)
	err := m.each(ctx, func(page []TenantKeys) error {
		for _, t := range page {
			here := m.there[t.Tenant]
			if len(here) == 0 && t.Keys[0].Version > 1 && !imports {
				return fmt.Errorf("key store: it takes only tenants whose keys begin with version 1, since it has no ImportKeys, and those of %s begin with %d: nothing was moved: use a key store that can: %w", t.Tenant, t.Keys[0].Version, ErrUnable)
			}
			m.p.Total += len(t.Keys)
			if rest, err := missing(t.Keys, here); err == nil {
				m.p.Done += len(t.Keys) - len(rest)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.first = m.p.Done
	m.tell()
	err = m.each(ctx, func(page []TenantKeys) error {
		for len(page) > 0 {
			n := min(len(page), m.Batch)
			if err := m.copy(ctx, page[:n]); err != nil {
				return err
			}
			m.tell()
			page = page[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	for tenant, r := range m.rows {
		if !r.Erased.IsZero() && len(m.there[tenant]) > 0 {
			if err := m.to.store.Shred(ctx, tenant); err != nil {
				return err
			}
		}
	}
	err = m.compare(ctx)
	m.tell()
	return err
}

// each goes through the keys in the old place, but for those of tenants that
// were erased.
func (m *move) each(ctx context.Context, f func([]TenantKeys) error) error {
	for cursor := ""; ; {
		page, next, err := m.from.store.List(ctx, cursor)
		if err != nil {
			return err
		}
		var of []TenantKeys
		for _, t := range page {
			if len(t.Keys) > 0 && m.rows[t.Tenant].Erased.IsZero() {
				of = append(of, t)
			}
		}
		if err := f(of); err != nil {
			return err
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// look lists what is in the new place. Wraps of all tenants are in memory then,
// about 200 bytes each: asking for each tenant would be a call for each.
func (m *move) look(ctx context.Context) error {
	m.there = map[string][]WrappedKey{}
	for cursor := ""; ; {
		page, next, err := m.to.store.List(ctx, cursor)
		if err != nil {
			return err
		}
		for _, t := range page {
			m.there[t.Tenant] = t.Keys
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// missing returns which keys of the old place are to be added to those of one
// tenant in the new. It is ErrConflict if they do not belong together.
func missing(old, there []WrappedKey) ([]WrappedKey, error) {
	if len(there) == 0 {
		return old, nil
	}
	first, newest := there[0].Version, there[len(there)-1].Version
	for i, k := range old {
		switch {
		case k.Version < first: // retired in the new place, which is in use already
		case k.Version <= newest:
			if k.ID != there[k.Version-first].ID {
				return nil, fmt.Errorf("another key of this version is in the new place: %w", ErrConflict)
			}
		case k.Version > newest+1 && i == 0:
			return nil, fmt.Errorf("what is in the new place was retired in the old, shred it there: %w", ErrConflict)
		default:
			return old[i:], nil
		}
	}
	return nil, nil
}

// miss tells that a key is not, or not as it must be, in the new place.
func (m *move) miss(tenant string, version uint32, err error) {
	if at := (cacheKey{tenant, version}); !m.failed[at] {
		m.failed[at] = true
		m.fail(tenant, uint64(version), err)
	}
}

// copy does some tenants. What another run did meanwhile is left to compare.
func (m *move) copy(ctx context.Context, page []TenantKeys) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var todo []TenantKeys
	var cks []cacheKey
	var ks []WrappedKey
	for _, t := range page {
		here := m.there[t.Tenant]
		rest, err := missing(t.Keys, here)
		if err != nil {
			for _, k := range t.Keys {
				m.miss(t.Tenant, k.Version, err)
			}
			continue
		}
		if first := t.Keys[0].Version; len(here) > 0 && here[0].Version < first && first <= here[len(here)-1].Version {
			if err := m.to.store.RemoveKeys(ctx, t.Tenant, first); err != nil {
				return err
			}
		}
		if len(rest) > 0 {
			todo = append(todo, TenantKeys{t.Tenant, rest})
		}
		for _, k := range rest {
			cks, ks = append(cks, cacheKey{t.Tenant, k.Version}), append(ks, k)
		}
	}
	opened, err := m.from.unwrapAll(ctx, cks, ks)
	if err != nil {
		return fmt.Errorf("old place: %w", err)
	}
	var whole []TenantKeys // of which every key opens
	var keys []*tenantKey
	for _, t := range todo {
		of := opened[:len(t.Keys)]
		opened = opened[len(t.Keys):]
		if m.complete(t, of) {
			whole, keys = append(whole, t), append(keys, of...)
		}
	}
	if err := m.wrap(ctx, whole, keys); err != nil {
		return fmt.Errorf("new place: %w", err)
	}
	var fresh []TenantKeys // of tenants that are not in the new place
	for _, t := range whole {
		if len(m.there[t.Tenant]) == 0 {
			fresh = append(fresh, t)
		} else if err := m.add(ctx, t.Tenant, t.Keys); err != nil {
			return err
		}
	}
	return m.bring(ctx, fresh)
}

// complete reports whether all of a tenant's keys opened, and tells which did not.
func (m *move) complete(t TenantKeys, opened []*tenantKey) bool {
	if !slices.Contains(opened, nil) {
		return true
	}
	for i, w := range t.Keys {
		if err := fmt.Errorf("left out with a version that does not open: %w", ErrTampered); opened[i] != nil {
			m.miss(t.Tenant, w.Version, err)
		} else {
			m.miss(t.Tenant, w.Version, ErrTampered)
		}
	}
	return false
}

// wrap puts the new Keeper's wraps in the place of the old ones, in few calls where
// it can. The keys are those of the tenants, one after another.
func (m *move) wrap(ctx context.Context, ts []TenantKeys, keys []*tenantKey) error {
	in := make([]OpenKey, 0, len(keys))
	for _, t := range ts {
		for range t.Keys {
			k := keys[len(in)]
			in = append(in, OpenKey{k.key()[:], m.to.aad(t.Tenant, k.id, k.version)})
		}
	}
	wraps, err := m.to.wrapAll(ctx, in)
	if err != nil {
		return err
	}
	for i, t := range ts {
		ts[i].Keys = make([]WrappedKey, len(t.Keys))
		for j := range t.Keys {
			ts[i].Keys[j] = WrappedKey{keys[0].id, keys[0].version, wraps[0]}
			keys, wraps = keys[1:], wraps[1:]
		}
	}
	return nil
}

// wrapAll wraps keys, in few calls where the Keeper can.
func (t *tenantKeys) wrapAll(ctx context.Context, in []OpenKey) ([][]byte, error) {
	out := make([][]byte, len(in))
	b, ok := t.keeper.(BatchWrapper)
	if !ok || len(in) == 0 {
		for i, k := range in {
			w, err := t.keeper.Wrap(ctx, k.Key, k.AAD)
			if err != nil {
				return nil, err
			}
			out[i] = w
		}
		return out, nil
	}
	results, err := b.WrapAll(ctx, in)
	if err != nil {
		return nil, err
	}
	if len(results) != len(in) {
		return nil, fmt.Errorf("secrets: wrap answered %d of %d: %w", len(results), len(in), ErrKeeper)
	}
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		out[i] = r.Key
	}
	return out, nil
}

// add adds keys to those that a tenant has in the new place.
func (m *move) add(ctx context.Context, tenant string, ks []WrappedKey) error {
	for _, k := range ks {
		err := m.to.store.AddKey(ctx, tenant, k)
		if errors.Is(err, ErrConflict) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("new place: %w", err)
		}
		m.p.Done++
	}
	return nil
}

// bring brings tenants to the new place that are not there yet.
func (m *move) bring(ctx context.Context, ts []TenantKeys) error {
	imp, ok := m.to.store.(KeyImporter)
	if !ok {
		for _, t := range ts {
			if err := m.add(ctx, t.Tenant, t.Keys); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ts) == 0 {
		return nil
	}
	errs, err := imp.ImportKeys(ctx, ts)
	if err == nil && len(errs) != len(ts) {
		err = fmt.Errorf("import answered %d of %d: %w", len(errs), len(ts), ErrKeeper)
	}
	if err != nil {
		return fmt.Errorf("new place: %w", err)
	}
	for i, err := range errs {
		switch {
		case err == nil:
			m.p.Done += len(ts[i].Keys)
		case !errors.Is(err, ErrConflict):
			return fmt.Errorf("new place: %w", err)
		}
	}
	return nil
}

// compare opens every key in both places. Only what is the same in both is done.
func (m *move) compare(ctx context.Context) error {
	if err := m.look(ctx); err != nil {
		return err
	}
	m.p.Done, m.p.Total = 0, 0
	err := m.each(ctx, func(page []TenantKeys) error {
		for len(page) > 0 {
			n := min(len(page), m.Batch)
			if err := m.same(ctx, page[:n]); err != nil {
				return err
			}
			page = page[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	for tenant, r := range m.rows {
		if ks := m.there[tenant]; r.Erased.IsZero() && r.Generation > 0 && (len(ks) == 0 || ks[len(ks)-1].Version < r.Generation) {
			m.miss(tenant, r.Generation, fmt.Errorf("the key that seals now is not in the new place: %w", ErrNotFound))
		}
	}
	return nil
}

// same compares some tenants.
func (m *move) same(ctx context.Context, page []TenantKeys) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var cks []cacheKey
	var old, now []WrappedKey
	for _, t := range page {
		m.p.Total += len(t.Keys)
		there := m.there[t.Tenant]
		for _, k := range t.Keys {
			if m.failed[cacheKey{t.Tenant, k.Version}] {
				continue
			}
			switch {
			case len(there) > 0 && k.Version < there[0].Version: // retired in the new place
				m.p.Done++
			case len(there) == 0, k.Version > there[len(there)-1].Version:
				m.miss(t.Tenant, k.Version, fmt.Errorf("it came meanwhile, call again: %w", ErrConflict))
			case k.ID != there[k.Version-there[0].Version].ID:
				m.miss(t.Tenant, k.Version, fmt.Errorf("another key of this version is in the new place: %w", ErrConflict))
			default:
				cks, old, now = append(cks, cacheKey{t.Tenant, k.Version}), append(old, k), append(now, there[k.Version-there[0].Version])
			}
		}
	}
	was, err := m.from.unwrapAll(ctx, cks, old)
	if err != nil {
		return fmt.Errorf("old place: %w", err)
	}
	is, err := m.to.unwrapAll(ctx, cks, now)
	if err != nil {
		return fmt.Errorf("new place: %w", err)
	}
	for i, ck := range cks {
		if was[i] == nil || is[i] == nil || subtle.ConstantTimeCompare(was[i].key()[:], is[i].key()[:]) != 1 {
			m.miss(ck.tenant, ck.version, ErrTampered)
			continue
		}
		m.p.Done++
	}
	return nil
}
