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
}

// Safe keeps secrets and lets them be used. Safe for concurrent use. Close it.
type Safe struct {
	store      Store
	keys       *tenantKeys
	now        func() time.Time
	deployment string
	wires      wires
	tokens     tokens
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
	return &Safe{store: store, now: o.Clock, deployment: o.Deployment,
		keys: &tenantKeys{deployment: o.Deployment, keeper: keeper, store: keys, now: o.Clock}}, nil
}

// Format prints no content, whatever the verb.
func (s *Safe) Format(f fmt.State, _ rune) { fmt.Fprint(f, "safe") }

// LogValue logs no content.
func (s *Safe) LogValue() slog.Value { return slog.StringValue("safe") }

// MarshalText returns ErrSecret.
func (s *Safe) MarshalText() ([]byte, error) { return nil, ErrSecret }

// Close forgets keys and tokens and closes idle connections. Handles that are
// still held go on to work; use is decided by Grants, not by Close.
func (s *Safe) Close() error {
	s.keys.forget("")
	s.tokens.forget()
	s.wires.close()
	return nil
}

// PutOptions say how a secret is used and how long it lives.
type PutOptions struct {
	Scheme  Scheme
	Expires time.Time // zero: never; counted in whole seconds
}

// Put stores a secret, a new one or a new version of one. It needs a Grant of
// secrets.write that covers the Ref. The value is copied and then overwritten
// with zeros, also when Put fails.
func (s *Safe) Put(ctx context.Context, g authz.Grant, ref Ref, value []byte, o PutOptions) error {
	defer clear(value)
	if err := s.may(g, "secrets.write", ref); err != nil {
		return err
	}
	if err := o.Scheme.valid(); err != nil {
		return err
	}
	if !o.Expires.IsZero() && !o.Expires.After(s.now()) {
		return fmt.Errorf("secrets: put %s: expires: want a time to come", ref)
	}
	if len(value) == 0 && o.Scheme.Kind != OAuthCode || len(value) > MaxValue {
		return fmt.Errorf("secrets: put %s: value: want 1 to %d bytes", ref, MaxValue)
	}
	if _, err := prepare(o.Scheme, value); err != nil {
		return fmt.Errorf("secrets: put %s: %w", ref, err)
	}
	old, err := s.store.Load(ctx, ref.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("secrets: put %s: %w", ref, err)
	}
	k, err := s.keys.newest(ctx, ref.tenant())
	if err != nil {
		return err
	}
	scheme, err := json.Marshal(o.Scheme)
	if err != nil {
		return fmt.Errorf("secrets: put %s: %w", ref, err)
	}
	r := Row{Name: ref.String(), Tenant: ref.tenant(), Kind: o.Scheme.Kind, Version: old.Version + 1,
		Created: s.now().UTC().Truncate(time.Second)}
	if !o.Expires.IsZero() {
		r.Expires = o.Expires.UTC().Truncate(time.Second)
	}
	var plain []byte
	erase(func() { plain = packValue(scheme, value) })
	defer clear(plain)
	if erase(func() { r.Sealed, err = seal(k, s.at(r), plain) }); err != nil {
		return err
	}
	if err := s.store.Save(ctx, r, old.Version); err != nil {
		return fmt.Errorf("secrets: put %s: %w", ref, err)
	}
	return nil
}

// Description is what may be known of a secret.
type Description struct {
	Ref     string    `json:"ref"`
	Kind    Kind      `json:"kind"`
	Version uint64    `json:"version"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked bool      `json:"revoked,omitempty"`
}

// Describe tells what is known of a secret, with a Grant of secrets.describe.
func (s *Safe) Describe(ctx context.Context, g authz.Grant, ref Ref) (Description, error) {
	if err := s.may(g, "secrets.describe", ref); err != nil {
		return Description{}, err
	}
	r, err := s.store.Load(ctx, ref.String())
	if err != nil {
		return Description{}, fmt.Errorf("secrets: describe %s: %w", ref, err)
	}
	return describe(r), nil
}

// List describes every secret below an owner, with a Grant of secrets.describe
// that covers the owner.
func (s *Safe) List(ctx context.Context, g authz.Grant, owner authz.Resource) iter.Seq2[Description, error] {
	return func(yield func(Description, error) bool) {
		if err := g.Covers(authz.MustPermission("secrets.describe"), owner); err != nil {
			yield(Description{}, err)
			return
		}
		for after := ""; ; {
			rows, err := s.store.List(ctx, owner.String()+"/", after, 200)
			if err != nil {
				yield(Description{}, fmt.Errorf("secrets: list %s: %w", owner, err))
				return
			}
			for _, r := range rows {
				after = r.Name
				if r.Kind != kindConsent && !yield(describe(r), nil) {
					return
				}
			}
			if len(rows) == 0 {
				return
			}
		}
	}
}

func describe(r Row) Description {
	return Description{r.Name, r.Kind, r.Version, r.Created, r.Expires, r.Revoked}
}

// Revoke removes a secret for good, with a Grant of secrets.revoke. Clients
// made before stop at their next request. Tokens go back to their provider where
// the scheme says how; ErrNotWithdrawn means that only that failed.
func (s *Safe) Revoke(ctx context.Context, g authz.Grant, ref Ref) error {
	if err := s.may(g, "secrets.revoke", ref); err != nil {
		return err
	}
	r, err := s.store.Load(ctx, ref.String())
	if err != nil {
		return fmt.Errorf("secrets: revoke %s: %w", ref, err)
	}
	tell, err := s.withdraw(ctx, ref)
	if err != nil {
		return err
	}
	r.Revoked, r.Sealed, r.Version = true, nil, r.Version+1
	if err := s.store.Save(ctx, r, r.Version-1); err != nil {
		return fmt.Errorf("secrets: revoke %s: %w", ref, err)
	}
	return tell(ctx)
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

// at is where the envelope of a row belongs.
func (s *Safe) at(r Row) place {
	p := place{deployment: s.deployment, table: "secrets", tenant: r.Tenant, id: r.Name, version: r.Version, kind: string(r.Kind)}
	if !r.Expires.IsZero() {
		p.expires = r.Expires.Unix()
	}
	return p
}

// use opens a secret for as long as one client needs it.
func (s *Safe) use(ctx context.Context, ref Ref) (*credential, uint64, error) {
	r, err := s.store.Load(ctx, ref.String())
	if err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	switch {
	case r.Revoked:
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, ErrNotFound)
	case r.Name != ref.String() || r.Tenant != ref.tenant():
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, ErrTampered)
	case !r.Expires.IsZero() && !s.now().Before(r.Expires):
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, ErrExpired)
	}
	id, version, err := keyOf(r.Sealed)
	if err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	k, err := s.keys.find(ctx, r.Tenant, id, version)
	if err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	var plain []byte
	if erase(func() { plain, err = open(k, s.at(r), r.Sealed) }); err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	defer clear(plain)
	sb, value, err := unpackValue(plain)
	if err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	var scheme Scheme
	if err := json.Unmarshal(sb, &scheme); err != nil || scheme.Kind != r.Kind {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, ErrTampered)
	}
	c, err := prepare(scheme, value)
	if err != nil {
		return nil, 0, fmt.Errorf("secrets: use %s: %w", ref, err)
	}
	return c, r.Version, nil
}
