package secrets

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// tenantOf returns a tenant's name from its resource, tenants/NAME.
func tenantOf(r authz.Resource) (string, error) {
	parts := strings.Split(r.String(), "/")
	if len(parts) != 2 || parts[0] != "tenants" || parts[1] == "" {
		return "", fmt.Errorf("secrets: tenant %s: want tenants/NAME", r)
	}
	return parts[1], nil
}

// everyTenant is the node above all tenants.
func everyTenant() authz.Resource {
	r, err := authz.ParseResource("tenants")
	if err != nil {
		panic(err) // a constant
	}
	return r
}

// tenantRow seals the key of a tenant's heads under a tenant key, which the row
// thereby names as the one that seals.
func (s *Safe) tenantRow(tenant string, k *tenantKey, hk *headKey) (Tenant, error) {
	plain := hk.plain()
	defer clear(plain)
	sealed, err := seal(nil, k, s.atHead(tenant, k.version), plain)
	return Tenant{Name: tenant, Generation: k.version, HeadKey: sealed}, err
}

// promote makes the tenant key that follows a generation the one that seals, with
// a key of heads under it, and returns its version. It is ErrConflict unless the
// tenant's row still has the generation, and so the key of heads that it had.
func (s *Safe) promote(ctx context.Context, tenant string, generation uint32, hk *headKey) (uint32, error) {
	k, err := s.keys.after(ctx, tenant, generation)
	if err != nil {
		return 0, err
	}
	row, err := s.tenantRow(tenant, k, hk)
	if err != nil {
		return 0, err
	}
	return row.Generation, s.store.SaveTenant(ctx, row, generation)
}

// RotateTenant makes a new version of a tenant's key, which seals from now on,
// and returns its number. It needs a Grant of secrets.rotate on the tenant.
// Nothing stops meanwhile, in no process: the key is in the key store before
// the tenant's row names it, and every Put and use reads that row. What was
// sealed before stays under the old key until Rewrap; the key of the heads' MACs
// stays what it is, RotateHeads makes that new. Called again after a crash
// in the middle it goes on with the key that was made.
func (s *Safe) RotateTenant(ctx context.Context, g authz.Grant, tenant authz.Resource) (uint32, error) {
	name, err := tenantOf(tenant)
	if err != nil {
		return 0, err
	}
	if err := s.must(ctx, g, "secrets.rotate", tenant, "rotate"); err != nil {
		return 0, err
	}
	fail := func(err error) (uint32, error) { return 0, fmt.Errorf("secrets: rotate %s: %w", tenant, err) }
	r, hk, err := s.row(ctx, name, "", 0)
	if err != nil || hk == nil {
		return fail(orNotFound(err))
	}
	version, err := s.promote(ctx, name, r.Tenant.Generation, hk)
	if err != nil {
		return fail(err)
	}
	return version, nil
}

// after returns the key that follows a generation, making it unless an earlier
// rotation got so far.
func (t *tenantKeys) after(ctx context.Context, tenant string, generation uint32) (*tenantKey, error) {
	for range 3 {
		ks, err := t.store.Keys(ctx, tenant)
		if err != nil {
			return nil, fmt.Errorf("secrets: tenant key: %w", err)
		}
		for _, w := range ks {
			if w.Version > generation {
				return t.unwrap(ctx, tenant, w)
			}
		}
		k, err := t.make(ctx, tenant, generation+1)
		if err == nil || !errors.Is(err, ErrConflict) {
			return k, err
		}
	}
	return nil, ErrConflict
}

// RetireTenantKeys destroys the versions of a tenant's key before the one that
// seals now, with a Grant of secrets.rotate on the tenant. It looks first, at
// every version of every secret: unless all are under the newest key and none
// says otherwise than what is sealed in it, it is ErrInUse and nothing is
// destroyed. A backup of the database from before Rewrap is unreadable from then
// on: call it when the last one that counts is younger.
func (s *Safe) RetireTenantKeys(ctx context.Context, g authz.Grant, tenant authz.Resource) error {
	name, err := tenantOf(tenant)
	if err != nil {
		return err
	}
	if err := s.must(ctx, g, "secrets.rotate", tenant, "retire"); err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("secrets: retire keys of %s: %w", tenant, err) }
	r, hk, err := s.row(ctx, name, "", 0)
	if err != nil || hk == nil {
		return fail(orNotFound(err))
	}
	k, _, err := s.keys.cache.get(ctx, cacheKey{name, r.Tenant.Generation}, 0)
	if err != nil {
		return fail(err)
	}
	for at := (At{}); ; {
		vs, err := s.store.Scan(ctx, name, "", AllKeys, at, 1000)
		if err != nil {
			return fail(err)
		}
		if len(vs) == 0 {
			break
		}
		for i := range vs {
			v := &vs[i]
			if v.KeyVersion < k.version {
				return fail(fmt.Errorf("%s version %d: %w", v.Name, v.Number, ErrInUse))
			}
			if v.KeyVersion == k.version {
				if err := s.opens(k, v); err != nil {
					return fail(fmt.Errorf("%s version %d: %w", v.Name, v.Number, err))
				}
			}
			at = At{v.Name, v.Number}
		}
	}
	if err := s.keys.store.RemoveKeys(ctx, name, k.version); err != nil {
		return fail(err)
	}
	s.keys.cache.wipe(name)
	return nil
}

// opens is nil if the data key of a version opens under a tenant key.
func (s *Safe) opens(k *tenantKey, v *Version) error {
	b := scratches.Get().(*scratch)
	defer b.release()
	at := s.at(v)
	_, err := b.dataKey(k, &at, v.Wrap)
	return err
}

func orNotFound(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// RotateRoot makes the root key new, with a Grant of secrets.rotate on the node
// tenants, and returns its version. Tenants' keys stay under the old one until
// RewrapTenantKeys. A Keeper that is no Rotator is ErrUnable: there, MoveKeys to a
// Keeper with another root key does the same.
func (s *Safe) RotateRoot(ctx context.Context, g authz.Grant) (uint32, error) {
	r, err := s.rotator("rotate root")
	if err != nil {
		return 0, err
	}
	if err := s.must(ctx, g, "secrets.rotate", everyTenant(), "rotate-root"); err != nil {
		return 0, err
	}
	v, err := r.Rotate(ctx)
	if err != nil {
		return 0, fmt.Errorf("secrets: rotate root: %w", err)
	}
	return v, nil
}

// rotator is the Keeper, if it is able to. It is looked at before anything is
// recorded as about to be done.
func (s *Safe) rotator(what string) (Rotator, error) {
	if s == nil {
		return nil, fmt.Errorf("secrets: %s: nothing named: %w", what, authz.ErrDenied)
	}
	r, ok := s.keys.keeper.(Rotator)
	if !ok {
		return nil, fmt.Errorf("secrets: %s: %w rotate its root key: make one with another root key, and MoveKeys there", what, ErrUnable)
	}
	return r, nil
}

// RetireRoot gives up the versions of the root key before the given one, with a
// Grant of secrets.rotate on the node tenants. It wraps every tenant's key anew
// first; unless that succeeds for all of them nothing is given up.
func (s *Safe) RetireRoot(ctx context.Context, g authz.Grant, before uint32) error {
	r, err := s.rotator("retire root")
	if err != nil {
		return err
	}
	p, err := s.RewrapTenantKeys(ctx, g, nil)
	if err != nil {
		return err
	}
	if p.Failed > 0 {
		return fmt.Errorf("secrets: retire root: %d keys of tenants were not wrapped anew: %w", p.Failed, ErrInUse)
	}
	if err := s.must(ctx, g, "secrets.rotate", everyTenant(), "retire-root"); err != nil {
		return err
	}
	if err := r.Retire(ctx, before); err != nil {
		return fmt.Errorf("secrets: retire root: %w", err)
	}
	return nil
}

// must records that something is about to be done, or says why it may not.
func (s *Safe) must(ctx context.Context, g authz.Grant, perm string, on authz.Resource, what string) error {
	if s == nil || on.IsZero() {
		return fmt.Errorf("secrets: %s: nothing named: %w", perm, authz.ErrDenied)
	}
	return g.Use(ctx, authz.MustPermission(perm), on, what)
}
