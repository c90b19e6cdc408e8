package secretstest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// many is more than an implementation is likely to do in one call.
const many = 450

// items are keys wrapped for contexts of their own.
func items(t *testing.T, k secrets.Keeper, n int) (in []secrets.KeyItem, keys [][]byte) {
	t.Helper()
	for i := range n {
		key, aad := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16), fmt.Appendf(nil, "key of %d", i)
		w, err := k.Wrap(t.Context(), key, aad)
		require.NoError(t, err)
		in, keys = append(in, secrets.KeyItem{Wrapped: w, AAD: aad}), append(keys, key)
	}
	return in, keys
}

// spoiled has three items that must not open, and says which.
func spoiled(in []secrets.KeyItem) (out []secrets.KeyItem, bad map[int]bool) {
	out = append(out, in...)
	out[0].AAD = in[1].AAD // the context of another
	out[2].Wrapped = bytes.Clone(in[2].Wrapped)
	out[2].Wrapped[len(out[2].Wrapped)-1] ^= 1
	out[3].Wrapped = nil
	return out, map[int]bool{0: true, 2: true, 3: true}
}

// runAbilities tests each ability that a Keeper may have: if it declares it, that
// it holds; and whether it does or not, that a Safe over a Keeper without it does
// the same in another way, or says that it cannot and does nothing.
func runAbilities(t *testing.T, newKeeper func(t *testing.T) secrets.Keeper) {
	need := func(t *testing.T, has bool, name string) {
		if !has {
			t.Skipf("it is no %s, and need not be: see what the Safe does without", name)
		}
	}
	t.Run("wraps in bulk, each in its place", func(t *testing.T) {
		k := newKeeper(t)
		b, ok := k.(secrets.BatchWrapper)
		need(t, ok, "BatchWrapper")
		in := make([]secrets.OpenKey, many)
		for i := range in {
			in[i] = secrets.OpenKey{Key: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16), AAD: fmt.Appendf(nil, "key of %d", i)}
		}
		out, err := b.WrapAll(t.Context(), in)
		require.NoError(t, err)
		require.Len(t, out, len(in))
		for i, r := range out {
			require.NoError(t, r.Err)
			require.Equal(t, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16), in[i].Key, "the caller's key stays as it is")
			if i%50 > 0 {
				continue
			}
			key, err := k.Unwrap(t.Context(), r.Key, in[i].AAD)
			require.NoError(t, err)
			require.Equal(t, in[i].Key, key)
			_, err = k.Unwrap(t.Context(), r.Key, in[(i+1)%many].AAD)
			require.ErrorIs(t, err, secrets.ErrTampered, "the context of another")
		}
		out, err = b.WrapAll(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, out)
	})
	t.Run("unwraps in bulk, each in its place", func(t *testing.T) {
		k := newKeeper(t)
		b, ok := k.(secrets.BatchKeeper)
		need(t, ok, "BatchKeeper")
		in, keys := items(t, k, 5)
		in, bad := spoiled(in)
		out, err := b.UnwrapAll(t.Context(), in)
		require.NoError(t, err)
		require.Len(t, out, len(in))
		for i, r := range out {
			if bad[i] {
				require.ErrorIs(t, r.Err, secrets.ErrTampered, "%d", i)
				require.Empty(t, r.Key)
			} else {
				require.NoError(t, r.Err)
				require.Equal(t, keys[i], r.Key)
			}
		}
		out, err = b.UnwrapAll(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, out)
		lots := make([]secrets.KeyItem, many)
		for i := range lots {
			lots[i] = in[4]
		}
		out, err = b.UnwrapAll(t.Context(), lots)
		require.NoError(t, err)
		require.Len(t, out, many)
		for _, r := range out {
			require.NoError(t, r.Err)
			require.Equal(t, keys[4], r.Key)
		}
	})
	t.Run("wraps anew in bulk, each in its place", func(t *testing.T) {
		k := newKeeper(t)
		rw, ok := k.(secrets.Rewrapper)
		need(t, ok, "Rewrapper")
		in, keys := items(t, k, 5)
		in, bad := spoiled(in)
		for range 2 { // again is no error: that is how a job that was stopped goes on
			out, err := rw.Rewrap(t.Context(), in)
			require.NoError(t, err)
			require.Len(t, out, len(in))
			for i, r := range out {
				if bad[i] {
					require.ErrorIs(t, r.Err, secrets.ErrTampered, "%d", i)
					require.Empty(t, r.Key)
					continue
				}
				require.NoError(t, r.Err)
				require.NotEqual(t, keys[i], r.Key, "it shows no key")
				got, err := k.Unwrap(t.Context(), r.Key, in[i].AAD)
				require.NoError(t, err)
				require.Equal(t, keys[i], got)
				_, err = k.Unwrap(t.Context(), r.Key, append(bytes.Clone(in[i].AAD), 'x'))
				require.ErrorIs(t, err, secrets.ErrTampered, "it is bound to what it was bound to")
				in[i].Wrapped = r.Key
			}
		}
	})
	t.Run("rotates and retires", func(t *testing.T) {
		k := newKeeper(t)
		r, ok := k.(secrets.Rotator)
		need(t, ok, "Rotator")
		in, keys := items(t, k, 2)
		first, err := r.Rotate(t.Context())
		require.NoError(t, err)
		again, err := r.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, first+1, again)
		for i, it := range in {
			got, err := k.Unwrap(t.Context(), it.Wrapped, it.AAD)
			require.NoError(t, err, "what older versions wrapped opens")
			require.Equal(t, keys[i], got)
		}
		w, err := k.Wrap(t.Context(), keys[0], in[0].AAD)
		require.NoError(t, err)
		require.Error(t, r.Retire(t.Context(), again+1), "the newest stays")
		for range 2 { // again is no error
			require.NoError(t, r.Retire(t.Context(), again))
		}
		require.NoError(t, r.Retire(t.Context(), 1), "less than that is done already")
		for _, it := range in {
			_, err := k.Unwrap(t.Context(), it.Wrapped, it.AAD)
			require.ErrorIs(t, err, secrets.ErrTampered, "a version that was given up opens nothing")
		}
		got, err := k.Unwrap(t.Context(), w, in[0].AAD)
		require.NoError(t, err)
		require.Equal(t, keys[0], got)
		if p, ok := k.(secrets.Prober); ok {
			h, err := p.Probe(t.Context())
			require.NoError(t, err)
			require.Equal(t, again, h.Version)
		}
		if rw, ok := k.(secrets.Rewrapper); ok {
			out, err := rw.Rewrap(t.Context(), []secrets.KeyItem{{Wrapped: w, AAD: in[0].AAD}, in[1]})
			require.NoError(t, err)
			require.NoError(t, out[0].Err)
			require.ErrorIs(t, out[1].Err, secrets.ErrTampered)
		}
	})
	t.Run("tells how it is", func(t *testing.T) {
		p, ok := newKeeper(t).(secrets.Prober)
		need(t, ok, "Prober")
		h, err := p.Probe(t.Context())
		require.NoError(t, err)
		require.Equal(t, secrets.Ready, h.State)
		require.NotEmpty(t, h.Detail)
		require.EqualValues(t, 1, h.Version)
	})
	t.Run("serves a Safe with what it is able to", func(t *testing.T) { underSafe(t, newKeeper(t)) })
	t.Run("serves a Safe without any ability", func(t *testing.T) { underSafe(t, bare{newKeeper(t)}) })
}

// underSafe is a life of root and tenants' keys with a Keeper.
func underSafe(t *testing.T, k secrets.Keeper) {
	f := NewFake(t)
	w := authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants")
	grant := func(who, perm string, on authz.Resource) authz.Grant {
		g, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(perm), Resource: on})
		require.NoError(t, err)
		return g
	}
	open := func() *secrets.Safe {
		s, err := secrets.New(k, f.Keys, f.Store, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	s := open()
	var refs []secrets.Ref
	for i := range 3 {
		ref, err := secrets.NewRef(authztest.Resource(t, fmt.Sprintf("tenants/t%d", i)), "crm")
		require.NoError(t, err)
		require.NoError(t, s.Put(t.Context(), grant("user:idp/admin", "secrets.write", ref.Resource()), ref, []byte("value"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}))
		refs = append(refs, ref)
	}
	used := func(s *secrets.Safe) {
		t.Helper()
		for _, ref := range refs {
			h, err := s.Handle(grant("service:conn", "secrets.use", ref.Resource()), ref)
			require.NoError(t, err)
			_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
			require.NoError(t, err)
		}
	}
	wraps := func() (out []secrets.WrappedKey) {
		page, _, err := f.Keys.List(t.Context(), "")
		require.NoError(t, err)
		for _, p := range page {
			out = append(out, p.Keys...)
		}
		return out
	}
	root := authztest.Resource(t, "tenants")
	g := grant("service:custodian", "secrets.rotate", root)

	// Warm and RewrapTenantKeys need no ability: they are quicker with one.
	n, err := open().Warm(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n)
	before := wraps()
	p, err := s.RewrapTenantKeys(t.Context(), g, nil)
	require.NoError(t, err)
	require.Equal(t, []int{3, 3, 0}, []int{p.Done, p.Total, p.Failed})
	require.NotEqual(t, before, wraps())
	used(open())

	if _, ok := k.(secrets.Rotator); !ok {
		// What it cannot do it says, with what to do instead, and nothing is begun.
		before := wraps()
		_, err := s.RotateRoot(t.Context(), g)
		require.ErrorIs(t, err, secrets.ErrUnable)
		require.ErrorContains(t, err, "MoveKeys", "what to do instead")
		err = s.RetireRoot(t.Context(), g, 1)
		require.ErrorIs(t, err, secrets.ErrUnable)
		require.ErrorContains(t, err, "MoveKeys", "what to do instead")
		require.Equal(t, before, wraps())
		used(open())

		// And that works.
		to := NewFake(t)
		p, err := s.MoveKeys(t.Context(), g, to.Keeper, to.Keys, nil)
		require.NoError(t, err)
		require.Equal(t, []int{3, 3, 0}, []int{p.Done, p.Total, p.Failed})
		next, err := secrets.New(to.Keeper, to.Keys, f.Store, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, next.Close()) })
		used(next)
		return
	}
	version, err := s.RotateRoot(t.Context(), g)
	require.NoError(t, err)
	used(open())
	require.NoError(t, s.RetireRoot(t.Context(), g, version))
	for _, w := range before {
		for tenant := range 3 { // whoever's it was
			_, err := k.Unwrap(t.Context(), w.Wrapped, fmt.Append(nil, tenant))
			require.ErrorIs(t, err, secrets.ErrTampered)
		}
	}
	used(open())
}
