package secrets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// failedWord begins the record of a change that was recorded and did not happen.
const failedWord = "failed"

// VersionInfo is what may be known of one version of a secret.
type VersionInfo struct {
	Version    uint64    `json:"version"`
	Kind       Kind      `json:"kind"`
	KeyVersion uint32    `json:"key_version"`
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires,omitzero"`
	Current    bool      `json:"current,omitempty"`
}

// Versions tells which versions of a secret are kept, oldest first, with a Grant
// of secrets.describe. One that is missing is ErrTampered.
func (s *Safe) Versions(ctx context.Context, g authz.Grant, ref Ref) ([]VersionInfo, error) {
	if err := s.may(g, "secrets.describe", ref); err != nil {
		return nil, err
	}
	fail := func(err error) ([]VersionInfo, error) { return nil, fmt.Errorf("secrets: versions %s: %w", ref, err) }
	r, _, err := s.load(ctx, ref, 0)
	if err == nil && r.Head.Name == "" {
		err = ErrNotFound
	}
	if err != nil {
		return fail(err)
	}
	if r.Head.Revoked {
		return nil, nil
	}
	vs, err := s.store.Scan(ctx, ref.tenant(), ref.String(), AllKeys, At{}, int(min(r.Head.Current, 1<<20)))
	if err != nil {
		return fail(err)
	}
	var out []VersionInfo
	next := r.Head.Oldest
	for _, v := range vs {
		if v.Number != next {
			return fail(ErrTampered)
		}
		next++
		out = append(out, VersionInfo{v.Number, v.Kind, v.KeyVersion, v.Created, v.Expires, v.Number == r.Head.Current})
	}
	if next != r.Head.Current+1 {
		return fail(ErrTampered)
	}
	return out, nil
}

// Rollback makes a new version with the content of an old one, with a Grant of
// secrets.write. What the old one said of its use and its end counts again; one
// whose end has come is ErrExpired, one that is not kept ErrNotFound.
func (s *Safe) Rollback(ctx context.Context, g authz.Grant, ref Ref, version uint64) error {
	if err := s.may(g, "secrets.write", ref); err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("secrets: rollback %s: %w", ref, err) }
	if version == 0 {
		return fail(errors.New("version: want one that Versions names"))
	}
	r, _, err := s.load(ctx, ref, version)
	if err != nil {
		return fail(err)
	}
	v := r.Version
	switch {
	case r.Head.Name == "" || r.Head.Revoked || version < r.Head.Oldest || version > r.Head.Current:
		return fail(ErrNotFound)
	case v.Name != r.Head.Name || v.Tenant != r.Head.Tenant || v.Number != version:
		return fail(ErrTampered)
	case !v.Expires.IsZero() && !s.now().Before(v.Expires):
		return fail(ErrExpired)
	}
	scheme, plain, value, _, err := s.unseal(ctx, &v)
	if err != nil {
		return fail(err)
	}
	defer clear(plain)
	_, err = s.put(ctx, g, ref, "rollback", value, PutOptions{Scheme: scheme, Expires: v.Expires}, func(h Head) error {
		if h.Revision != r.Head.Revision {
			return ErrConflict
		}
		return nil
	})
	return err
}

// Revoke removes a secret for good, with every version of it, with a Grant of
// secrets.revoke. Clients made before stop at their next request. Tokens go back
// to their provider where the scheme says how; ErrNotWithdrawn means that only
// that failed.
func (s *Safe) Revoke(ctx context.Context, g authz.Grant, ref Ref) error {
	if err := s.may(g, "secrets.revoke", ref); err != nil {
		return err
	}
	r, hk, err := s.load(ctx, ref, 0)
	if err == nil && r.Head.Name == "" {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("secrets: revoke %s: %w", ref, err)
	}
	tell := s.withdraw(ctx, g, ref)
	if r.Head.Revoked {
		return tell(ctx)
	}
	h := r.Head
	h.Revoked, h.Revision, h.Oldest, h.Changed, h.Expires, h.Due = true, h.Revision+1, h.Current+1, whole(s.now()), time.Time{}, time.Time{}
	h.MAC = hk.sum(s.deployment, h)
	if err := s.save(ctx, g, "secrets.revoke", "revoke", h, nil, r.Tenant.Generation, ref); err != nil {
		return err
	}
	return tell(ctx)
}

// RevokeAll revokes every secret below an owner, with a Grant of secrets.revoke
// that covers it, and returns how many it revoked. What failed is in the error,
// each by its Ref; the others are revoked. It may be called again.
func (s *Safe) RevokeAll(ctx context.Context, g authz.Grant, owner authz.Resource) (revoked int, err error) {
	var failed []error
	for e, err := range s.entries(ctx, g, "secrets.revoke", owner, "") {
		if err != nil {
			failed = append(failed, err)
			break
		}
		if e.Revoked {
			continue
		}
		ref, err := ParseRef(e.Name)
		if err == nil {
			err = s.Revoke(ctx, g, ref)
			if errors.Is(err, ErrConflict) { // someone put or revoked it meanwhile
				err = s.Revoke(ctx, g, ref)
			}
		}
		if err != nil {
			failed = append(failed, err)
		}
		if err == nil || errors.Is(err, ErrNotWithdrawn) {
			revoked++
		}
	}
	return revoked, errors.Join(failed...)
}

// adopt makes a tenant's row: the key of its heads, sealed by the newest tenant
// key, of which it makes the first. That another did so first is no error.
func (s *Safe) adopt(ctx context.Context, tenant string) error {
	k, err := s.keys.newest(ctx, tenant)
	if err != nil {
		return err
	}
	hk, err := freshHeadKey(nil)
	if err != nil {
		return err
	}
	t, err := s.tenantRow(tenant, k, hk)
	if err != nil {
		return err
	}
	if err := s.store.SaveTenant(ctx, t, 0); err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	return nil
}
