package secretstest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// Manipulations is how many times the rows under a Safe are altered by RunStore.
const Manipulations = 10_000

// Filled is a Safe over a store with secrets of two tenants, some of several
// versions and under several keys, and what the store held on the way.
type Filled struct {
	Safe  *secrets.Safe
	Store secrets.Store
	Refs  []secrets.Ref

	world   *authztest.World
	rows    *altered
	history map[secrets.Ref][]secrets.Record // oldest first; the last is what is there
}

// altered is a Store whose rows somebody alters between it and the Safe.
type altered struct {
	secrets.Store
	alter func(secrets.Record) secrets.Record // nil: nobody does
}

func (a *altered) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	r, err := a.Store.Load(ctx, tenant, name, version)
	if err == nil && a.alter != nil {
		r = a.alter(r)
	}
	return r, err
}

// Fill puts secrets into an empty store.
func Fill(t *testing.T, s secrets.Store) *Filled {
	t.Helper()
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	f := &Filled{Store: s, rows: &altered{Store: s}, history: map[secrets.Ref][]secrets.Record{},
		world: authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants")}
	f.Safe, err = secrets.New(keys, keys, f.rows, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Safe.Close()) })
	for _, tenant := range []string{"acme", "beta"} {
		for _, name := range []string{"a", "b", "c"} {
			ref, err := secrets.NewRef(authztest.Resource(t, "tenants/"+tenant), name)
			require.NoError(t, err)
			f.Refs = append(f.Refs, ref)
		}
	}
	for round := range 3 {
		for i, ref := range f.Refs {
			o := secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}, Expires: time.Now().Add(time.Duration(24+i) * time.Hour), Due: time.Now().Add(time.Hour)}
			require.NoError(t, f.Safe.Put(t.Context(), f.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, fmt.Appendf(nil, "value-%d-%d", i, round), o))
			f.note(t, ref)
		}
		tenant := authztest.Resource(t, "tenants/acme")
		_, err = f.Safe.RotateTenant(t.Context(), f.grant(t, "service:custodian", "secrets.rotate", tenant), tenant)
		require.NoError(t, err)
		for _, ref := range f.Refs {
			f.note(t, ref)
		}
	}
	for _, ref := range f.Refs { // what is there now has been seen
		require.NoError(t, f.Use(t, ref))
	}
	return f
}

func (f *Filled) grant(t *testing.T, who, perm string, on authz.Resource) authz.Grant {
	t.Helper()
	g, err := f.world.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(perm), Resource: on})
	require.NoError(t, err)
	return g
}

func (f *Filled) note(t *testing.T, ref secrets.Ref) {
	r, err := f.Store.Load(t.Context(), ref.Resource().Segments()[1], ref.String(), 0)
	require.NoError(t, err)
	f.history[ref] = append(f.history[ref], r)
}

// Use opens a secret as a client would, without a request.
func (f *Filled) Use(t *testing.T, ref secrets.Ref) error {
	t.Helper()
	h, err := f.Safe.Handle(f.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
	return err
}

// manipulate alters rows in every way that somebody who writes to the database
// can, and requires that none is used. The seed is printed by a failure.
func manipulate(t *testing.T, s secrets.Store) {
	f := Fill(t, s)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func() secrets.Record {
		h := f.history[f.Refs[rng.IntN(len(f.Refs))]]
		return copyRecord(h[rng.IntN(len(h))])
	}
	kinds := map[string]int{}
	handles := map[secrets.Ref]secrets.Handle{}
	for _, ref := range f.Refs {
		h, err := f.Safe.Handle(f.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		handles[ref] = h
	}
	for n := 0; n < Manipulations; {
		ref := f.Refs[rng.IntN(len(f.Refs))]
		good := f.history[ref][len(f.history[ref])-1]
		bad, how := copyRecord(good), ""
		for range 1 + rng.IntN(2) {
			how = mutate(rng, &bad, pick())
		}
		if same(good, bad) {
			continue
		}
		f.rows.alter = func(secrets.Record) secrets.Record { return copyRecord(bad) }
		_, err := handles[ref].HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
		require.Error(t, err, "seed %d, number %d: %s of %s was used: %+v", seed, n, how, ref, bad)
		require.NotContains(t, err.Error(), "value-")
		kinds[how]++
		n++
	}
	f.rows.alter = nil
	require.GreaterOrEqual(t, len(kinds), 30, "ways of altering")
	for _, ref := range f.Refs {
		require.NoError(t, f.Use(t, ref), "what is not altered is used")
	}
}

// mutate alters a record, with the help of another, and says how.
func mutate(rng *rand.Rand, r *secrets.Record, other secrets.Record) string {
	parts := []any{&r.Tenant, &r.Head, &r.Version}
	others := []any{&other.Tenant, &other.Head, &other.Version}
	switch i := rng.IntN(3); rng.IntN(8) {
	case 0: // a whole row from elsewhere or from before
		reflect.ValueOf(parts[i]).Elem().Set(reflect.ValueOf(others[i]).Elem())
		return fmt.Sprintf("row %T", parts[i])
	case 1: // a row is gone
		reflect.ValueOf(parts[i]).Elem().SetZero()
		return fmt.Sprintf("no row %T", parts[i])
	case 2:
		*r = other
		return "everything"
	case 3:
		r.Newest = uint64(rng.IntN(5))
		return "newest"
	default:
		v, o := reflect.ValueOf(parts[i]).Elem(), reflect.ValueOf(others[i]).Elem()
		c := rng.IntN(v.NumField())
		name := fmt.Sprintf("column %T.%s", parts[i], v.Type().Field(c).Name)
		if rng.IntN(3) == 0 {
			v.Field(c).Set(o.Field(c))
			return name + " from elsewhere"
		}
		scramble(rng, v.Field(c))
		return name
	}
}

// scramble changes one column.
func scramble(rng *rand.Rand, v reflect.Value) {
	switch x := v.Interface().(type) {
	case []byte:
		switch b := bytes.Clone(x); {
		case len(b) == 0 || rng.IntN(8) == 0:
			v.SetBytes(append(b, byte(rng.IntN(256))))
		case rng.IntN(4) == 0:
			v.SetBytes(b[:rng.IntN(len(b))])
		default:
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			v.SetBytes(b)
		}
	case time.Time:
		if x.IsZero() || rng.IntN(3) > 0 {
			v.Set(reflect.ValueOf(time.Unix(x.Unix()+int64(rng.IntN(7)-3), 0).UTC()))
		} else {
			v.SetZero()
		}
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString([]string{"", v.String() + "x", "tenants/acme/secrets/a", "acme", "beta"}[rng.IntN(5)])
		case reflect.Bool:
			v.SetBool(!v.Bool())
		default:
			v.SetUint(uint64(uint32(v.Uint() + uint64(rng.IntN(7)-3))))
		}
	}
}

// same compares all that is protected.
func same(a, b secrets.Record) bool {
	a.Head.LastUse, b.Head.LastUse = time.Time{}, time.Time{}
	return reflect.DeepEqual(inUTC(copyRecord(a)), inUTC(copyRecord(b)))
}

func copyRecord(r secrets.Record) secrets.Record {
	r.Tenant.HeadKey, r.Head.MAC = bytes.Clone(r.Tenant.HeadKey), bytes.Clone(r.Head.MAC)
	r.Version.Wrap, r.Version.Body = bytes.Clone(r.Version.Wrap), bytes.Clone(r.Version.Body)
	return r
}
