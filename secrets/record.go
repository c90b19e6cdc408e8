package secrets

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lockkeeper/lockkeeper/authz"
)

// at is where the envelope of a version belongs.
func (s *Safe) at(v *Version) place {
	return place{deployment: s.deployment, table: "secrets", tenant: v.Tenant, id: v.Name, version: v.Number, kind: string(v.Kind),
		created: int64(seconds(v.Created)), expires: int64(seconds(v.Expires))}
}

// atHead is where the key of a tenant's heads belongs: it binds the generation.
func (s *Safe) atHead(tenant string, generation uint32) place {
	return place{deployment: s.deployment, table: "tenants", tenant: tenant, id: tenant, version: uint64(generation), kind: "heads"}
}

// load returns a secret that is as it was written: the tenant's row opens, the
// head is under its key, both are no older than what was seen before, and the
// newest version is the current one. With version 0 that is the current one. A
// secret that is not there has the zero Head; a tenant that was erased is
// ErrErased.
func (s *Safe) load(ctx context.Context, ref Ref, version uint64) (Record, *headKey, error) {
	return s.loadNamed(ctx, ref.tenant(), ref.String(), version)
}

// loadNamed is load for what is kept beside a secret, under a name that is no Ref.
func (s *Safe) loadNamed(ctx context.Context, tenant, name string, version uint64) (Record, *headKey, error) {
	seen := s.marks.seen(name)
	r, hk, err := s.row(ctx, tenant, name, version)
	if err != nil {
		return Record{}, nil, err
	}
	h := r.Head
	if h.Revision < seen {
		return Record{}, nil, ErrTampered
	}
	if h.Name == "" && h.Revision == 0 {
		return r, hk, nil
	}
	switch {
	case hk == nil, h.Name != name, h.Tenant != tenant, !hk.intact(s.deployment, h):
		return Record{}, nil, ErrTampered
	case h.Revoked && r.Newest != 0, !h.Revoked && r.Newest != h.Current:
		return Record{}, nil, ErrTampered
	}
	s.marks.raise(h.Name, h.Revision)
	return r, hk, nil
}

// row loads what a store has, and checks and opens the tenant's row in it.
func (s *Safe) row(ctx context.Context, tenant, name string, version uint64) (Record, *headKey, error) {
	seen := s.marks.seen(tenant)
	r, err := s.store.Load(ctx, tenant, name, version)
	if err != nil {
		return Record{}, nil, err
	}
	if r.Tenant.Erased.IsZero() && uint64(r.Tenant.Generation) < seen {
		return Record{}, nil, ErrTampered
	}
	hk, err := s.headKey(ctx, tenant, r.Tenant)
	if err != nil {
		return Record{}, nil, err
	}
	s.marks.raise(tenant, uint64(r.Tenant.Generation))
	return r, hk, nil
}

// headKey opens a tenant's row: the key of its heads, nil where there is no row
// yet.
func (s *Safe) headKey(ctx context.Context, name string, t Tenant) (*headKey, error) {
	if !t.Erased.IsZero() {
		s.keys.cache.wipe(name)
		return nil, ErrErased
	}
	if t.Generation == 0 && len(t.HeadKey) == 0 {
		return nil, nil
	}
	if t.Name != name {
		return nil, ErrTampered
	}
	k, _, err := s.keys.cache.get(ctx, cacheKey{name, t.Generation}, 0)
	if err != nil {
		return nil, err
	}
	if hk := k.heads.Load(); hk != nil && hk.sealed == string(t.HeadKey) {
		return hk, nil
	}
	wrap, body := split(t.HeadKey)
	plain, err := open(nil, k, s.atHead(name, t.Generation), wrap, body)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	hk, err := parseHeadKey(t.HeadKey, plain)
	if err != nil {
		return nil, err
	}
	k.heads.Store(hk)
	return hk, nil
}

// plain opens a version, and reports whether its key was past its age.
func (s *Safe) plain(ctx context.Context, v *Version) (plain []byte, grace bool, err error) {
	id, version, err := keyOf(v.Wrap)
	if err != nil {
		return nil, false, err
	}
	if version != v.KeyVersion {
		return nil, false, ErrTampered
	}
	k, grace, err := s.keys.cache.get(ctx, cacheKey{v.Tenant, version}, len(v.Body))
	if err != nil {
		return nil, false, err
	}
	if k.id != id {
		return nil, false, ErrTampered
	}
	erase(func() { plain, err = open(nil, k, s.at(v), v.Wrap, v.Body) })
	return plain, grace, err
}

// unseal opens a version and returns its scheme and value, which share one piece
// of memory to clear, and whether the key was past its age.
func (s *Safe) unseal(ctx context.Context, v *Version) (scheme Scheme, plain, value []byte, grace bool, err error) {
	if plain, grace, err = s.plain(ctx, v); err != nil {
		return Scheme{}, nil, nil, false, err
	}
	sb, value, err := unpackValue(plain)
	if err == nil && json.Unmarshal(sb, &scheme) != nil || scheme.Kind != v.Kind {
		err = ErrTampered
	}
	if err != nil {
		clear(plain)
		return Scheme{}, nil, nil, false, err
	}
	return scheme, plain, value, grace, nil
}

// of reports whether a version says the same as the head whose current one it is.
func (v *Version) of(h Head) bool {
	return v.Name == h.Name && v.Tenant == h.Tenant && v.Number == h.Current && v.Kind == h.Kind && v.Expires.Equal(h.Expires) && v.Created.Equal(h.Changed)
}

// alive is nil for a secret that may be used now.
func (s *Safe) alive(h Head) error {
	switch {
	case h.Name == "" || h.Revoked:
		return ErrNotFound
	case !h.Expires.IsZero() && !s.now().Before(h.Expires):
		return ErrExpired
	}
	return nil
}

// use opens a secret for as long as one client needs it. The caller has recorded
// the use; one with a key past its age is recorded as that too.
func (s *Safe) use(ctx context.Context, g authz.Grant, perm string, ref Ref) (*credential, uint64, error) {
	fail := func(err error) (*credential, uint64, error) {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	r, _, err := s.load(ctx, ref, 0)
	if err != nil {
		return fail(err)
	}
	if err := s.alive(r.Head); err != nil {
		return fail(err)
	}
	v := r.Version
	if !v.of(r.Head) {
		return fail(ErrTampered)
	}
	scheme, plain, value, grace, err := s.unseal(ctx, &v)
	if err != nil {
		return fail(err)
	}
	defer clear(plain)
	if grace {
		if err := g.Use(ctx, authz.MustPermission(perm), ref.Resource(), "grace"); err != nil {
			return fail(err)
		}
	}
	c, err := prepare(scheme, value)
	if err != nil {
		return fail(err)
	}
	s.uses.note(ref.tenant(), ref.String())
	return c, v.Number, nil
}

// live refuses a secret that was revoked, or replaced since the version was
// opened; version 0 is whichever there is.
func (s *Safe) live(ctx context.Context, ref Ref, version uint64) error {
	r, _, err := s.load(ctx, ref, 0)
	if err == nil {
		err = s.alive(r.Head)
	}
	if err == nil && version != 0 && r.Head.Current != version {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	s.uses.note(ref.tenant(), ref.String())
	return nil
}
