package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Certificate says that a tenant was erased, what was destroyed and what was
// looked at. It is plain data; its Digest is in the audit trail, which is what
// makes it evidence.
type Certificate struct {
	Deployment  string    `json:"deployment"`
	Tenant      string    `json:"tenant"`
	Erased      time.Time `json:"erased"`
	KeyVersions []uint32  `json:"key_versions"` // that were destroyed now
	Secrets     int       `json:"secrets"`      // that were removed now
	Versions    int       `json:"versions"`     // of them, that were removed now
	Checked     []string  `json:"checked"`      // what was found to be so afterwards
	Horizon     string    `json:"horizon"`
	Digest      string    `json:"digest"` // SHA-256 of the JSON of all above with an empty digest
}

// horizon is what an erasure cannot reach.
const horizon = "Copies of the database hold what cannot be opened without the destroyed keys. The erasure is complete when the last backup of the key store from before it is gone."

// sum computes the digest.
func (c Certificate) sum() (string, error) {
	c.Digest = ""
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:]), nil
}

// Verify reports whether a certificate is as it was made. That it was made, the
// audit trail says: a record of secrets.erase on the tenant whose reason begins
// with Mark.
func (c Certificate) Verify() bool {
	d, err := c.sum()
	return err == nil && d == c.Digest
}

// Mark is how the record of a certificate begins.
func (c Certificate) Mark() string { return "erased:" + c.Digest[:min(len(c.Digest), 40)] }

// Erase removes everything of a tenant for good, with a Grant of secrets.erase
// on it: first, in one transaction, its secrets and its row, which is marked;
// then its keys, so that no copy of the database opens any more; then whatever is
// in memory. It looks afterwards whether that is so, and records the certificate.
// Nothing can be put for the tenant again. After an error call it again: it goes
// on where it stopped.
func (s *Safe) Erase(ctx context.Context, g authz.Grant, tenant authz.Resource) (Certificate, error) {
	name, err := tenantOf(tenant)
	if err != nil {
		return Certificate{}, err
	}
	if err := s.must(ctx, g, "secrets.erase", tenant, "erase"); err != nil {
		return Certificate{}, err
	}
	fail := func(err error) (Certificate, error) {
		return Certificate{}, fmt.Errorf("secrets: erase %s: %w", tenant, err)
	}
	c := Certificate{Deployment: s.deployment, Tenant: name, Horizon: horizon}
	ks, err := s.keys.store.Keys(ctx, name)
	if err != nil {
		return fail(err)
	}
	for _, k := range ks {
		c.KeyVersions = append(c.KeyVersions, k.Version)
	}
	// What opens now and must not open then.
	before, err := s.store.Scan(ctx, name, "", AllKeys, At{}, 100)
	if err != nil {
		return fail(err)
	}
	if c.Secrets, c.Versions, err = s.store.Erase(ctx, name, whole(s.now())); err != nil {
		return fail(err)
	}
	if err := s.keys.store.Shred(ctx, name); err != nil {
		return fail(err)
	}
	s.keys.cache.wipe(name)
	s.tokens.dropTenant(name)
	if err := s.gone(ctx, name, before, &c); err != nil {
		return fail(err)
	}
	if c.Digest, err = c.sum(); err != nil {
		return fail(err)
	}
	if err := s.must(ctx, g, "secrets.erase", tenant, c.Mark()); err != nil {
		return fail(err)
	}
	return c, nil
}

// gone looks whether an erasure is so, and writes down what it found.
func (s *Safe) gone(ctx context.Context, tenant string, before []Version, c *Certificate) error {
	r, err := s.store.Load(ctx, tenant, "", 0)
	if err != nil {
		return err
	}
	if c.Erased = r.Tenant.Erased; c.Erased.IsZero() || len(r.Tenant.HeadKey) != 0 {
		return errors.New("the tenant's row is not marked")
	}
	c.Checked = append(c.Checked, "the tenant's row is marked as erased")
	n, err := s.store.Count(ctx, tenant, AllKeys)
	if err != nil {
		return err
	}
	es, err := s.store.List(ctx, "tenants/"+tenant+"/", "", 1)
	if err != nil {
		return err
	}
	if n != 0 || len(es) != 0 {
		return errors.New("secrets are left")
	}
	c.Checked = append(c.Checked, "the store has no secret of the tenant")
	ks, err := s.keys.store.Keys(ctx, tenant)
	if err != nil {
		return err
	}
	if len(ks) != 0 {
		return errors.New("keys are left")
	}
	c.Checked = append(c.Checked, "the key store has no key of the tenant")
	for i := range before {
		if _, _, _, _, err := s.unseal(ctx, &before[i]); !errors.Is(err, ErrTampered) {
			return fmt.Errorf("a version from before still has a key: %w", err)
		}
	}
	c.Checked = append(c.Checked, fmt.Sprintf("%d of the versions from before were tried and none opens", len(before)))
	return nil
}

// Tombstone remembers an erasure beside the database, whose backups do not have
// those that came after them.
type Tombstone struct {
	Tenant string    `json:"tenant"`
	Erased time.Time `json:"erased"`
}

// Tombstones finds the erasures in an audit trail.
func Tombstones(records iter.Seq2[authz.AuditRecord, error]) iter.Seq2[Tombstone, error] {
	return func(yield func(Tombstone, error) bool) {
		for r, err := range records {
			if err != nil {
				yield(Tombstone{}, err)
				return
			}
			if !r.Allowed || r.Permission != authz.MustPermission("secrets.erase") || word(r) != "erase" {
				continue
			}
			name, err := tenantOf(r.Resource)
			if err != nil {
				continue
			}
			if !yield(Tombstone{name, whole(r.Time)}, nil) {
				return
			}
		}
	}
}

// word returns with what word a record of Grant.Use begins, "" for others.
func word(r authz.AuditRecord) string {
	w, _, ok := strings.Cut(r.Reason, ": ")
	if !ok || strings.Contains(w, " ") {
		return ""
	}
	return w
}

// Bury erases again, in a store and a key store that were restored from a
// backup, every tenant that was erased since, and returns how many it found
// alive. Do it before a Safe is made of them.
func Bury(ctx context.Context, store Store, keys KeyStore, tombstones iter.Seq2[Tombstone, error]) (int, error) {
	buried := 0
	for t, err := range tombstones {
		if err != nil {
			return buried, fmt.Errorf("secrets: bury: %w", err)
		}
		r, err := store.Load(ctx, t.Tenant, "", 0)
		if err != nil {
			return buried, fmt.Errorf("secrets: bury %s: %w", t.Tenant, err)
		}
		alive := r.Tenant.Erased.IsZero()
		if _, _, err := store.Erase(ctx, t.Tenant, whole(t.Erased)); err != nil {
			return buried, fmt.Errorf("secrets: bury %s: %w", t.Tenant, err)
		}
		ks, err := keys.Keys(ctx, t.Tenant)
		if err != nil {
			return buried, fmt.Errorf("secrets: bury %s: %w", t.Tenant, err)
		}
		if err := keys.Shred(ctx, t.Tenant); err != nil {
			return buried, fmt.Errorf("secrets: bury %s: %w", t.Tenant, err)
		}
		if alive || len(ks) > 0 {
			buried++
		}
	}
	return buried, nil
}
