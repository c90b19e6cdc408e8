package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// MaxValue is the longest secret in bytes.
const MaxValue = 1 << 20

// Options of a Safe. The nil Options work for a single deployment.
type Options struct {
	Deployment string           // tells deployments that share a key apart; empty: "default"
	Clock      func() time.Time // nil: time.Now

	// Keep is how many versions of a secret are kept, the current one among
	// them, for Rollback; zero: 5. KeepFor is how long one is kept that is no
	// longer current; zero: as Keep says. What is too old goes with the next Put.
	Keep    int
	KeepFor time.Duration

	// Grace is how long keys that are in memory already go on to be used past
	// their age while the Keeper is not available, an hour at most; zero: not at
	// all. Such a use is recorded as that. It never helps a tenant that was erased.
	Grace time.Duration

	// ExportByTwo demands that Export is asked for by two principals.
	ExportByTwo bool
}

// Safe keeps secrets and lets them be used. Safe for concurrent use. Close it.
type Safe struct {
	store       Store
	keys        *tenantKeys
	marks       *marks
	uses        *uses
	now         func() time.Time
	deployment  string
	keep        int
	keepFor     time.Duration
	exportByTwo bool
	wires       wires
	tokens      tokens
}

// New makes a Safe: sealed secrets in the store, tenants' keys in the key
// store, the root of all keys with the keeper. Permission is proven by Grants,
// one with each call.
func New(keeper Keeper, keys KeyStore, store Store, opts *Options) (*Safe, error) {
	if keeper == nil || keys == nil || store == nil {
		return nil, errors.New("secrets: new: keeper, key store and store are all needed")
	}
	if strings.Contains(os.Getenv("GODEBUG"), "http2debug") {
		return nil, errors.New("secrets: new: GODEBUG has http2debug, which logs credentials: remove it")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Deployment == "" {
		o.Deployment = "default"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Keep <= 0 {
		o.Keep = 5
	}
	return &Safe{store: store, keys: newTenantKeys(o.Deployment, keeper, keys, o.Clock, o.Grace), marks: newMarks(),
		uses: &uses{now: o.Clock, write: store.Touch}, now: o.Clock, deployment: o.Deployment, keep: o.Keep, keepFor: o.KeepFor, exportByTwo: o.ExportByTwo}, nil
}

// Format prints no content, whatever the verb.
func (s *Safe) Format(f fmt.State, _ rune) { fmt.Fprint(f, "safe") }

// LogValue logs no content.
func (s *Safe) LogValue() slog.Value { return slog.StringValue("safe") }

// MarshalText returns ErrSecret.
func (s *Safe) MarshalText() ([]byte, error) { return nil, ErrSecret }

// Close forgets keys and tokens, writes when secrets were last used and closes
// idle connections. Handles that are still held go on to work; use is decided by
// Grants, not by Close.
func (s *Safe) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	s.uses.close(ctx)
	s.keys.cache.wipe("")
	s.tokens.forget()
	s.wires.close()
	return nil
}

// CacheStats counts what the cache of tenants' keys did.
func (s *Safe) CacheStats() CacheStats { return s.keys.cache.snapshot() }

// PutOptions say how a secret is used and how long it lives.
type PutOptions struct {
	Scheme  Scheme
	Expires time.Time // zero: never; counted in whole seconds
	Due     time.Time // when it is to be replaced, for the inventory; zero: not said
}

// Put stores a secret, a new one or a new version of one. It needs a Grant of
// secrets.write that covers the Ref. The value is copied and then overwritten
// with zeros, also when Put fails.
func (s *Safe) Put(ctx context.Context, g authz.Grant, ref Ref, value []byte, o PutOptions) error {
	_, err := s.put(ctx, g, ref, "put", value, o, nil)
	return err
}

// put stores a value under what it is recorded as, if the secret is still as
// check wants it, and returns the number of the new version.
func (s *Safe) put(ctx context.Context, g authz.Grant, ref Ref, what string, value []byte, o PutOptions, check func(Head) error) (uint64, error) {
	defer clear(value)
	if err := s.may(g, "secrets.write", ref); err != nil {
		return 0, err
	}
	if err := o.Scheme.valid(); err != nil {
		return 0, err
	}
	fail := func(err error) (uint64, error) { return 0, fmt.Errorf("secrets: %s %s: %w", what, ref, err) }
	if !o.Expires.IsZero() && !o.Expires.After(s.now()) {
		return fail(errors.New("expires: want a time to come"))
	}
	if len(value) == 0 && o.Scheme.Kind != OAuthCode || len(value) > MaxValue {
		return fail(fmt.Errorf("value: want 1 to %d bytes", MaxValue))
	}
	if _, err := prepare(o.Scheme, value); err != nil {
		return fail(err)
	}
	r, hk, err := s.load(ctx, ref, 0)
	if err == nil && hk == nil {
		if err = s.adopt(ctx, ref.tenant()); err == nil {
			r, hk, err = s.load(ctx, ref, 0)
		}
	}
	if err == nil && hk == nil {
		err = ErrConflict
	}
	if err == nil && check != nil {
		err = check(r.Head)
	}
	if err != nil {
		return fail(err)
	}
	k, _, err := s.keys.cache.get(ctx, cacheKey{ref.tenant(), r.Tenant.Generation}, len(value))
	if err != nil {
		return fail(err)
	}
	scheme, err := json.Marshal(o.Scheme)
	if err != nil {
		return fail(err)
	}
	now := whole(s.now())
	h := Head{Name: ref.String(), Tenant: ref.tenant(), Revision: r.Head.Revision + 1, Current: r.Head.Current + 1, Oldest: max(r.Head.Oldest, 1),
		Kind: o.Scheme.Kind, Scope: o.Scheme.Scope, Created: r.Head.Created, Changed: now, Expires: whole(o.Expires), Due: whole(o.Due)}
	if h.Created.IsZero() {
		h.Created = now
	}
	if h.Oldest, err = s.oldest(ctx, h); err != nil {
		return fail(err)
	}
	h.MAC = hk.sum(s.deployment, h)
	v := &Version{Name: h.Name, Tenant: h.Tenant, Number: h.Current, Kind: h.Kind, Created: now, Expires: h.Expires, KeyVersion: k.version}
	var plain, sealed []byte
	erase(func() { plain = packValue(scheme, value) })
	defer clear(plain)
	if erase(func() { sealed, err = seal(nil, k, s.at(v), plain) }); err != nil {
		return fail(err)
	}
	v.Wrap, v.Body = split(sealed)
	return v.Number, s.save(ctx, g, "secrets.write", what, h, v, r.Tenant.Generation, ref)
}

// save records a change and makes it. The record is first: it has the revision
// that the store must then have, and Verify compares the two. If the change
// fails that is recorded too.
func (s *Safe) save(ctx context.Context, g authz.Grant, perm, what string, h Head, v *Version, generation uint32, ref Ref) error {
	p := authz.MustPermission(perm)
	if err := g.Use(ctx, p, ref.Resource(), fmt.Sprintf("%s:%d", what, h.Revision)); err != nil {
		return err
	}
	err := s.store.Save(ctx, h, v, generation)
	if err == nil {
		s.marks.raise(h.Name, h.Revision)
		return nil
	}
	if errors.Is(err, ErrConflict) { // it certainly did not happen
		_ = g.Use(context.WithoutCancel(ctx), p, ref.Resource(), fmt.Sprintf("%s:%d", failedWord, h.Revision))
	}
	return fmt.Errorf("secrets: %s %s: %w", what, ref, err)
}

// oldest returns the oldest version to keep once h is saved.
func (s *Safe) oldest(ctx context.Context, h Head) (uint64, error) {
	oldest := max(h.Oldest, h.Current-min(h.Current-1, uint64(s.keep-1)))
	if s.keepFor <= 0 {
		return oldest, nil
	}
	// A version ceases to be current when the next one is made.
	vs, err := s.store.Scan(ctx, h.Tenant, h.Name, AllKeys, At{}, int(min(h.Current, 1<<20)))
	if err != nil {
		return 0, err
	}
	for i, v := range vs {
		ended := h.Changed
		if i+1 < len(vs) {
			ended = vs[i+1].Created
		}
		if v.Number >= oldest && h.Changed.Sub(ended) > s.keepFor {
			oldest = v.Number + 1
		}
	}
	return oldest, nil
}

// Description is what may be known of a secret.
type Description struct {
	Ref        string    `json:"ref"`
	Kind       Kind      `json:"kind"`
	Scope      string    `json:"scope,omitempty"` // what it may do elsewhere, where its scheme says so
	Version    uint64    `json:"version"`
	Versions   uint64    `json:"versions,omitempty"`    // how many are kept
	KeyVersion uint32    `json:"key_version,omitempty"` // of the tenant key that the current one is sealed under
	First      time.Time `json:"first"`                 // of the secret
	Created    time.Time `json:"created"`               // of this version
	Expires    time.Time `json:"expires,omitzero"`
	Due        time.Time `json:"due,omitzero"`
	LastUse    time.Time `json:"last_use,omitzero"` // about, to a minute or so; uses just before a crash are missing
	Revoked    bool      `json:"revoked,omitempty"`
}

// Owner returns whose secret it is: the path before "/secrets/".
func (d Description) Owner() string {
	if i := strings.LastIndex(d.Ref, "/secrets/"); i >= 0 {
		return d.Ref[:i]
	}
	return ""
}

// Describe tells what is known of a secret, with a Grant of secrets.describe.
func (s *Safe) Describe(ctx context.Context, g authz.Grant, ref Ref) (Description, error) {
	if err := s.may(g, "secrets.describe", ref); err != nil {
		return Description{}, err
	}
	r, _, err := s.load(ctx, ref, 0)
	if err == nil && r.Head.Name == "" {
		err = ErrNotFound
	}
	if err != nil {
		return Description{}, fmt.Errorf("secrets: describe %s: %w", ref, err)
	}
	return describe(Entry{r.Head, r.Version.KeyVersion}), nil
}

// List describes every secret below an owner, with a Grant of secrets.describe
// that covers the owner.
func (s *Safe) List(ctx context.Context, g authz.Grant, owner authz.Resource) iter.Seq2[Description, error] {
	return s.ListAfter(ctx, g, owner, "")
}

// ListAfter is List for what sorts after a Ref's string, as the last Description
// of a page has it: for pages of one's own size.
func (s *Safe) ListAfter(ctx context.Context, g authz.Grant, owner authz.Resource, after string) iter.Seq2[Description, error] {
	return func(yield func(Description, error) bool) {
		for e, err := range s.entries(ctx, g, "secrets.describe", owner, after) {
			if err != nil {
				yield(Description{}, err)
				return
			}
			if !yield(describe(e), nil) {
				return
			}
		}
	}
}

// entries goes through the secrets below an owner. A head that is not as it was
// written is an error.
func (s *Safe) entries(ctx context.Context, g authz.Grant, perm string, owner authz.Resource, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		fail := func(err error) { yield(Entry{}, fmt.Errorf("secrets: list %s: %w", owner, err)) }
		if s == nil {
			fail(authz.ErrDenied)
			return
		}
		if err := g.Covers(authz.MustPermission(perm), owner); err != nil {
			yield(Entry{}, err)
			return
		}
		var hk *headKey // of the tenant of the last entry
		of := ""
		for {
			es, err := s.store.List(ctx, owner.String()+"/", after, 200)
			if err != nil {
				fail(err)
				return
			}
			for _, e := range es {
				if e.Tenant != of || hk == nil {
					if _, hk, err = s.row(ctx, e.Tenant, "", 0); err != nil {
						fail(err)
						return
					}
					of = e.Tenant
				}
				if hk == nil || !hk.intact(s.deployment, e.Head) {
					// RotateHeads may have written one of the two since the other was read.
					if e, hk, err = s.again(ctx, e); err != nil {
						fail(fmt.Errorf("%s: %w", e.Name, err))
						return
					}
				}
				after = e.Name
				if e.Kind != kindConsent && !yield(e, nil) {
					return
				}
			}
			if len(es) == 0 {
				return
			}
		}
	}
}

// again loads a head of a listing that is not under the key of heads that was
// read beside it. It is ErrTampered if that is not for what happened in between.
func (s *Safe) again(ctx context.Context, e Entry) (Entry, *headKey, error) {
	r, hk, err := s.loadNamed(ctx, e.Tenant, e.Name, 0)
	if err == nil && (r.Head.Name == "" || !hk.agrees(s.deployment, e.Head, r.Head)) {
		err = ErrTampered
	}
	if err != nil {
		return e, nil, err
	}
	return Entry{r.Head, r.Version.KeyVersion}, hk, nil
}

func describe(e Entry) Description {
	return Description{Ref: e.Name, Kind: e.Kind, Scope: e.Scope, Version: e.Current, Versions: e.Current + 1 - min(e.Oldest, e.Current+1), KeyVersion: e.KeyVersion,
		First: e.Created, Created: e.Changed, Expires: e.Expires, Due: e.Due, LastUse: e.LastUse, Revoked: e.Revoked}
}

// Handle names a secret for the holder of a Grant of secrets.use. It does not
// look whether the secret exists; the first use does.
func (s *Safe) Handle(g authz.Grant, ref Ref) (Handle, error) {
	if err := s.may(g, "secrets.use", ref); err != nil {
		return Handle{}, err
	}
	return Handle{&handle{safe: s, g: g, ref: ref}}, nil
}

func (s *Safe) may(g authz.Grant, perm string, ref Ref) error {
	if s == nil || ref.IsZero() {
		return fmt.Errorf("secrets: %s: nothing named: %w", perm, authz.ErrDenied)
	}
	return g.Covers(authz.MustPermission(perm), ref.Resource())
}
