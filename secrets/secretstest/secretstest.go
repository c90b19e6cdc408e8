// Package secretstest holds what every Keeper, KeyStore and Store must do, as
// tests to run over an implementation.
package secretstest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// RunKeeper tests a Keeper: whatever can wrap and unwrap 32 bytes bound to a
// context, as any key management service can, and each ability that it declares
// beyond that. Each call of newKeeper returns one with a root key of its own.
func RunKeeper(t *testing.T, newKeeper func(t *testing.T) secrets.Keeper) {
	key := bytes.Repeat([]byte{0x5a}, 32)
	aad := []byte("tenant key of acme, version 1")

	t.Run("unwraps what it wrapped", func(t *testing.T) {
		k := newKeeper(t)
		for _, aad := range [][]byte{nil, {}, {0}, aad, bytes.Repeat([]byte("long "), 2000)} {
			w, err := k.Wrap(t.Context(), key, aad)
			require.NoError(t, err)
			out, err := k.Unwrap(t.Context(), w, aad)
			require.NoError(t, err)
			require.Equal(t, key, out)
		}
	})
	t.Run("leaves its arguments alone and gives its results away", func(t *testing.T) {
		k := newKeeper(t)
		in, about := bytes.Clone(key), bytes.Clone(aad)
		w, err := k.Wrap(t.Context(), in, about)
		require.NoError(t, err)
		clear(in)
		kept := bytes.Clone(w)
		out, err := k.Unwrap(t.Context(), w, about)
		require.NoError(t, err)
		require.Equal(t, aad, about)
		require.Equal(t, kept, w)
		clear(out)
		out, err = k.Unwrap(t.Context(), w, about)
		require.NoError(t, err)
		require.Equal(t, key, out)
	})
	t.Run("hides the key and never repeats itself", func(t *testing.T) {
		k := newKeeper(t)
		seen := map[string]bool{}
		for range 20 {
			w, err := k.Wrap(t.Context(), key, aad)
			require.NoError(t, err)
			require.False(t, bytes.Contains(w, key[:8]))
			require.False(t, seen[string(w)], "the same key wrapped twice must differ")
			seen[string(w)] = true
		}
	})
	t.Run("refuses every altered bit", func(t *testing.T) {
		k := newKeeper(t)
		w, err := k.Wrap(t.Context(), key, aad)
		require.NoError(t, err)
		for i := range len(w) * 8 {
			bad := bytes.Clone(w)
			bad[i/8] ^= 1 << (i % 8)
			_, err := k.Unwrap(t.Context(), bad, aad)
			require.ErrorIs(t, err, secrets.ErrTampered, "bit %d", i)
		}
	})
	t.Run("refuses every other length", func(t *testing.T) {
		k := newKeeper(t)
		w, err := k.Wrap(t.Context(), key, aad)
		require.NoError(t, err)
		for n := range len(w) {
			_, err := k.Unwrap(t.Context(), w[:n], aad)
			require.ErrorIs(t, err, secrets.ErrTampered, "%d bytes of %d", n, len(w))
		}
		for _, more := range []string{"\x00", "xx", string(w)} {
			_, err := k.Unwrap(t.Context(), append(bytes.Clone(w), more...), aad)
			require.ErrorIs(t, err, secrets.ErrTampered)
		}
		_, err = k.Unwrap(t.Context(), nil, aad)
		require.ErrorIs(t, err, secrets.ErrTampered)
	})
	t.Run("refuses another aad", func(t *testing.T) {
		k := newKeeper(t)
		w, err := k.Wrap(t.Context(), key, aad)
		require.NoError(t, err)
		for _, other := range [][]byte{nil, aad[1:], append(bytes.Clone(aad), 0), []byte("tenant key of acme, version 2")} {
			_, err := k.Unwrap(t.Context(), w, other)
			require.ErrorIs(t, err, secrets.ErrTampered)
		}
	})
	t.Run("refuses what another root wrapped", func(t *testing.T) {
		w, err := newKeeper(t).Wrap(t.Context(), key, aad)
		require.NoError(t, err)
		_, err = newKeeper(t).Unwrap(t.Context(), w, aad)
		require.ErrorIs(t, err, secrets.ErrTampered)
	})
	t.Run("serves many at once", func(t *testing.T) {
		k := newKeeper(t)
		errs := together(8, func(i int) error {
			mine, about := bytes.Repeat([]byte{byte(i)}, 32), fmt.Append(nil, i)
			for range 20 {
				w, err := k.Wrap(t.Context(), mine, about)
				if err != nil {
					return err
				}
				out, err := k.Unwrap(t.Context(), w, about)
				if err != nil {
					return err
				}
				if !bytes.Equal(out, mine) {
					return fmt.Errorf("%d got the key of another", i)
				}
			}
			return nil
		})
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
	runAbilities(t, newKeeper)
}

// RunKeyStore tests a KeyStore. Each call of newStore returns an empty one.
func RunKeyStore(t *testing.T, newStore func(t *testing.T) secrets.KeyStore) {
	key := func(version uint32, fill byte) secrets.WrappedKey {
		return secrets.WrappedKey{ID: [16]byte(bytes.Repeat([]byte{fill}, 16)), Version: version, Wrapped: bytes.Repeat([]byte{fill}, 60)}
	}
	t.Run("an unknown tenant has no keys", func(t *testing.T) {
		ks, err := newStore(t).Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Empty(t, ks)
	})
	t.Run("keeps versions in order, one after the other", func(t *testing.T) {
		s := newStore(t)
		require.ErrorIs(t, s.AddKey(t.Context(), "acme", key(2, 9)), secrets.ErrConflict, "the first is 1")
		require.ErrorIs(t, s.AddKey(t.Context(), "acme", key(0, 9)), secrets.ErrConflict)
		for v := uint32(1); v <= 3; v++ {
			require.NoError(t, s.AddKey(t.Context(), "acme", key(v, byte(v))))
			for _, bad := range []uint32{0, v, v + 2, 1 << 31, 1<<32 - 1} {
				require.ErrorIs(t, s.AddKey(t.Context(), "acme", key(bad, 9)), secrets.ErrConflict, "%d after %d", bad, v)
			}
			if v > 1 {
				require.ErrorIs(t, s.AddKey(t.Context(), "acme", key(v-1, 9)), secrets.ErrConflict)
			}
		}
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []secrets.WrappedKey{key(1, 1), key(2, 2), key(3, 3)}, ks)
	})
	t.Run("shares no memory with its callers", func(t *testing.T) {
		s := newStore(t)
		k := key(1, 1)
		require.NoError(t, s.AddKey(t.Context(), "acme", k))
		clear(k.Wrapped)
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		clear(ks[0].Wrapped)
		ks, err = s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []secrets.WrappedKey{key(1, 1)}, ks)
	})
	t.Run("keeps tenants apart, whatever they are called", func(t *testing.T) {
		s := newStore(t)
		names := []string{"acme", "ACME", "acm", "acme2", "a%2Fb", "a.b", "..", "%C3%BC", "-", "__proto__", "a@b", "a+b", "~"}
		for i, n := range names {
			require.NoError(t, s.AddKey(t.Context(), n, key(1, byte(i+1))), n)
		}
		for i, n := range names {
			ks, err := s.Keys(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, []secrets.WrappedKey{key(1, byte(i+1))}, ks, n)
		}
		require.NoError(t, s.Shred(t.Context(), "acme"))
		for i, n := range names[1:] {
			ks, err := s.Keys(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, []secrets.WrappedKey{key(1, byte(i+2))}, ks, n)
		}
	})
	t.Run("shreds every version", func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.Shred(t.Context(), "acme"), "nothing to shred is no error")
		require.NoError(t, s.AddKey(t.Context(), "acme", key(1, 1)))
		require.NoError(t, s.AddKey(t.Context(), "acme", key(2, 2)))
		require.NoError(t, s.Shred(t.Context(), "acme"))
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Empty(t, ks)
		require.NoError(t, s.Shred(t.Context(), "acme"), "twice is no error")
		require.NoError(t, s.AddKey(t.Context(), "acme", key(1, 3)), "a tenant may begin again")
		ks, err = s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []secrets.WrappedKey{key(1, 3)}, ks)
	})
	t.Run("replaces the wrap that was read, and nothing else", func(t *testing.T) {
		s := newStore(t)
		require.ErrorIs(t, s.ReplaceKey(t.Context(), "acme", nil, key(1, 1)), secrets.ErrConflict, "none there")
		require.NoError(t, s.AddKey(t.Context(), "acme", key(1, 1)))
		require.NoError(t, s.AddKey(t.Context(), "acme", key(2, 2)))
		next := key(1, 1)
		next.Wrapped = []byte("another wrap")
		require.NoError(t, s.ReplaceKey(t.Context(), "acme", key(1, 1).Wrapped, next))
		require.ErrorIs(t, s.ReplaceKey(t.Context(), "acme", key(1, 1).Wrapped, next), secrets.ErrConflict, "the old wrap is gone")
		require.ErrorIs(t, s.ReplaceKey(t.Context(), "acme", next.Wrapped, key(2, 1)), secrets.ErrConflict, "another version")
		require.ErrorIs(t, s.ReplaceKey(t.Context(), "acme", next.Wrapped, key(1, 9)), secrets.ErrConflict, "another id")
		require.ErrorIs(t, s.ReplaceKey(t.Context(), "other", next.Wrapped, next), secrets.ErrConflict, "another tenant")
		clear(next.Wrapped)
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		next.Wrapped = []byte("another wrap")
		require.Equal(t, []secrets.WrappedKey{next, key(2, 2)}, ks)
	})
	t.Run("removes old versions and never the newest", func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.RemoveKeys(t.Context(), "acme", 9), "nothing to remove is no error")
		for v := uint32(1); v <= 4; v++ {
			require.NoError(t, s.AddKey(t.Context(), "acme", key(v, byte(v))))
		}
		for _, c := range []struct{ before, first uint32 }{{0, 1}, {1, 1}, {3, 3}, {2, 3}, {99, 4}} {
			require.NoError(t, s.RemoveKeys(t.Context(), "acme", c.before))
			ks, err := s.Keys(t.Context(), "acme")
			require.NoError(t, err)
			require.Equal(t, c.first, ks[0].Version, "before %d", c.before)
			require.Len(t, ks, int(5-c.first))
		}
		require.ErrorIs(t, s.AddKey(t.Context(), "acme", key(1, 1)), secrets.ErrConflict, "numbers are not used again")
		require.NoError(t, s.AddKey(t.Context(), "acme", key(5, 5)))
	})
	t.Run("lists every tenant once", func(t *testing.T) {
		s := newStore(t)
		list := func() map[string][]secrets.WrappedKey {
			out := map[string][]secrets.WrappedKey{}
			for cursor := ""; ; {
				page, next, err := s.List(t.Context(), cursor)
				require.NoError(t, err)
				for _, k := range page {
					require.NotContains(t, out, k.Tenant)
					out[k.Tenant] = k.Keys
				}
				if next == "" {
					return out
				}
				require.NotEqual(t, cursor, next)
				cursor = next
			}
		}
		require.Empty(t, list())
		want := map[string][]secrets.WrappedKey{}
		for i := range 25 {
			tenant := fmt.Sprintf("t%d", i)
			want[tenant] = []secrets.WrappedKey{key(1, byte(i+1))}
			require.NoError(t, s.AddKey(t.Context(), tenant, key(1, byte(i+1))))
		}
		require.NoError(t, s.AddKey(t.Context(), "t3", key(2, 99)))
		want["t3"] = append(want["t3"], key(2, 99))
		require.NoError(t, s.Shred(t.Context(), "t4"))
		delete(want, "t4")
		require.Equal(t, want, list())
	})
	t.Run("imports tenants whole, and only those it does not have", func(t *testing.T) {
		s := newStore(t)
		imp, ok := s.(secrets.KeyImporter)
		if !ok {
			t.Skip("it is no KeyImporter, and need not be")
		}
		errs, err := imp.ImportKeys(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, errs)
		require.NoError(t, s.AddKey(t.Context(), "old", key(1, 1)))
		mine := []secrets.WrappedKey{key(3, 3), key(4, 4)}
		errs, err = imp.ImportKeys(t.Context(), []secrets.TenantKeys{{Tenant: "acme", Keys: mine}, {Tenant: "old", Keys: []secrets.WrappedKey{key(1, 9)}},
			{Tenant: "gap", Keys: []secrets.WrappedKey{key(1, 1), key(3, 3)}}, {Tenant: "zero", Keys: []secrets.WrappedKey{key(0, 1)}}, {Tenant: "none"},
			{Tenant: "beta", Keys: []secrets.WrappedKey{key(1, 5)}}, {Tenant: "beta", Keys: []secrets.WrappedKey{key(1, 6)}}})
		require.NoError(t, err)
		require.Len(t, errs, 7)
		for i, err := range errs {
			if i == 0 || i == 5 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, secrets.ErrConflict, "%d", i)
			}
		}
		clear(mine[0].Wrapped)
		for tenant, want := range map[string][]secrets.WrappedKey{"acme": {key(3, 3), key(4, 4)}, "old": {key(1, 1)}, "beta": {key(1, 5)}, "gap": nil, "zero": nil, "none": nil} {
			ks, err := s.Keys(t.Context(), tenant)
			require.NoError(t, err)
			require.Equal(t, want, ks, tenant)
		}
		require.NoError(t, s.AddKey(t.Context(), "acme", key(5, 5)), "it goes on from there")
		require.NoError(t, s.Shred(t.Context(), "acme"))
		errs, err = imp.ImportKeys(t.Context(), []secrets.TenantKeys{{Tenant: "acme", Keys: []secrets.WrappedKey{key(7, 7)}}})
		require.NoError(t, err)
		require.Equal(t, []error{nil}, errs, "what was shredded may begin again")
	})
	t.Run("imports many at once, by several", func(t *testing.T) {
		s := newStore(t)
		imp, ok := s.(secrets.KeyImporter)
		if !ok {
			t.Skip("it is no KeyImporter, and need not be")
		}
		const n = 900
		var ts []secrets.TenantKeys
		for i := range n {
			ts = append(ts, secrets.TenantKeys{Tenant: fmt.Sprintf("t%d", i), Keys: []secrets.WrappedKey{key(1, byte(i)), key(2, byte(i+1))}})
		}
		took := make([]int, n)
		var mu sync.Mutex
		for _, err := range together(3, func(i int) error {
			from := i * 200 // they overlap
			errs, err := imp.ImportKeys(t.Context(), ts[from:from+500])
			mu.Lock()
			defer mu.Unlock()
			for j, e := range errs {
				if e == nil {
					took[from+j]++
				}
			}
			return err
		}) {
			require.NoError(t, err)
		}
		seen := 0
		for cursor := ""; ; {
			page, next, err := s.List(t.Context(), cursor)
			require.NoError(t, err)
			for _, k := range page {
				var i int
				_, err := fmt.Sscanf(k.Tenant, "t%d", &i)
				require.NoError(t, err)
				require.Equal(t, ts[i].Keys, k.Keys)
				require.Equal(t, 1, took[i], "one of them imported it")
				seen++
			}
			if cursor = next; next == "" {
				break
			}
		}
		require.Equal(t, n, seen)
	})
	t.Run("one of many wins", func(t *testing.T) {
		s := newStore(t)
		won := winners(t, together(8, func(i int) error { return s.AddKey(t.Context(), "acme", key(1, byte(i+1))) }))
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []secrets.WrappedKey{key(1, byte(won+1))}, ks)
	})
}

// together runs f n times at once.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

// winners returns who succeeded and requires that it is one, the others having
// met a conflict.
func winners(t *testing.T, errs []error) int {
	t.Helper()
	won := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, won, "two succeeded")
			won = i
			continue
		}
		require.ErrorIs(t, err, secrets.ErrConflict)
	}
	require.NotEqual(t, -1, won, "nobody succeeded")
	return won
}
