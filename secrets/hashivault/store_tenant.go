package hashivault

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Tenants implements secrets.Store.
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]secrets.Tenant, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, failed("tenants", err)
	}
	from := after
	if after != "" {
		from += "\x00"
	}
	var names []string
	if err := s.docs.walk(ctx, tenantsFolder, "", from, func(name string) (bool, error) {
		names = append(names, name)
		return len(names) < limit, nil
	}); err != nil {
		return nil, failed("tenants", err)
	}
	out := make([]secrets.Tenant, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for i, n := range names {
		g.Go(func() error {
			t, _, err := s.tenant(ctx, n)
			if err == nil {
				out[i] = t.row()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, failed("tenants", err)
	}
	return out, nil
}

// SaveTenant implements secrets.Store.
func (s *Store) SaveTenant(ctx context.Context, t secrets.Tenant, generation uint32) error {
	if err := ctx.Err(); err != nil {
		return failed("save tenant", err)
	}
	if err := s.c.verify(ctx); err != nil {
		return err
	}
	return s.tries(ctx, "save tenant", func() error {
		d, version, err := s.tenant(ctx, t.Name)
		if err != nil {
			return err
		}
		if d.Generation != generation || d.Erased != 0 || generation == 0 && d.Name != "" {
			return secrets.ErrConflict
		}
		d.Name, d.Generation, d.HeadKey, d.Erased = t.Name, t.Generation, t.HeadKey, unix(t.Erased)
		_, err = s.writeTenant(ctx, d, version)
		return err
	})
}

// Erase implements secrets.Store: the mark comes first. What is under way is then
// dropped by whoever comes upon it. After an error, call it again.
func (s *Store) Erase(ctx context.Context, tenant string, at time.Time) (heads, versions int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, failed("erase", err)
	}
	if err := s.c.verify(ctx); err != nil {
		return 0, 0, err
	}
	var t *tenantDoc
	if err := s.tries(ctx, "erase", func() error {
		d, version, err := s.tenant(ctx, tenant)
		if err != nil {
			return err
		}
		if d.Erased == 0 || d.HeadKey != nil {
			if d.Name, d.HeadKey = tenant, nil; d.Erased == 0 {
				d.Erased = unix(at)
			}
			if version, err = s.writeTenant(ctx, d, version); err != nil {
				return err
			}
		}
		t = d
		return s.docs.destroyBefore(ctx, mustFolder(tenantsFolder, tenant), version)
	}); err != nil {
		return 0, 0, err
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for _, root := range t.roots(tenant) {
		if err = s.docs.walk(gctx, rowsFolder, root+"/", "", func(name string) (bool, error) {
			g.Go(func() error {
				h, v, err := s.eraseOne(gctx, tenant, name)
				mu.Lock()
				defer mu.Unlock()
				heads, versions = heads+h, versions+v
				return err
			})
			return gctx.Err() == nil, nil
		}); err != nil {
			break
		}
	}
	if err = errors.Join(g.Wait(), err); err != nil {
		return 0, 0, failed("erase", err)
	}
	return heads, versions, nil
}

// eraseOne removes a secret with all its versions, and says how many there were. One
// that is damaged goes too, if its place says whose it is.
func (s *Store) eraseOne(ctx context.Context, tenant, name string) (heads, versions int, err error) {
	d, _, err := s.read(ctx, name)
	switch {
	case errors.Is(err, ErrDamaged) && rootOf(name) == "tenants/"+tenant:
		d = &secretDoc{Name: name, Pieces: true, Now: &rows{}}
	case err != nil:
		return 0, 0, err
	case !d.of(tenant) && (d.Now != nil || d.Next != nil || rootOf(name) != "tenants/"+tenant):
		return 0, 0, nil
	}
	if d.Pieces {
		if err := s.dropAll(ctx, name); err != nil {
			return 0, 0, err
		}
	}
	if err := s.docs.remove(ctx, mustFolder(rowsFolder, name)); err != nil {
		return 0, 0, err
	}
	if d.Now == nil {
		return 0, 0, nil
	}
	return 1, len(d.Now.Versions), nil
}
