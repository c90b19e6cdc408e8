// Package secretstest holds what every Keeper, KeyStore and Store must do, as
// tests to run over an implementation.
package secretstest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// RunKeeper tests a Keeper. Each call of newKeeper returns one with a root key of
// its own.
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
	t.Run("one of many wins", func(t *testing.T) {
		s := newStore(t)
		won := winners(t, together(8, func(i int) error { return s.AddKey(t.Context(), "acme", key(1, byte(i+1))) }))
		ks, err := s.Keys(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []secrets.WrappedKey{key(1, byte(won+1))}, ks)
	})
}

// RunStore tests a Store. Each call of newStore returns an empty one.
func RunStore(t *testing.T, newStore func(t *testing.T) secrets.Store) {
	row := func(name string, version uint64) secrets.Row {
		return secrets.Row{Name: name, Tenant: "acme", Kind: secrets.Basic, Version: version, Created: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
			Expires: time.Date(2027, 2, 3, 4, 5, 6, 0, time.UTC), Sealed: []byte{1, 0, 0xff, byte(version)}}
	}
	const name = "tenants/acme/secrets/crm"
	load := func(t *testing.T, s secrets.Store, name string) secrets.Row {
		t.Helper()
		r, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		r.Created, r.Expires = r.Created.UTC(), r.Expires.UTC()
		return r
	}
	t.Run("what is not there", func(t *testing.T) {
		s := newStore(t)
		_, err := s.Load(t.Context(), name)
		require.ErrorIs(t, err, secrets.ErrNotFound)
		require.ErrorIs(t, s.Save(t.Context(), row(name, 2), 1), secrets.ErrConflict)
		_, err = s.Load(t.Context(), name)
		require.ErrorIs(t, err, secrets.ErrNotFound)
		rows, err := s.List(t.Context(), "", "", 10)
		require.NoError(t, err)
		require.Empty(t, rows)
	})
	t.Run("keeps every field", func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.Save(t.Context(), row(name, 1), 0))
		require.Equal(t, row(name, 1), load(t, s, name))
		// And every field may become its zero.
		bare := secrets.Row{Name: name, Tenant: "acme", Kind: secrets.Bearer, Version: 2, Created: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), Revoked: true}
		require.NoError(t, s.Save(t.Context(), bare, 1))
		got := load(t, s, name)
		require.Empty(t, got.Sealed)
		got.Sealed = nil
		require.Equal(t, bare, got)
		require.True(t, got.Expires.IsZero())
		require.NoError(t, s.Save(t.Context(), row(name, 3), 2), "and back")
		require.Equal(t, row(name, 3), load(t, s, name))
	})
	t.Run("keeps large and binary content", func(t *testing.T) {
		s := newStore(t)
		r := row(name, 1)
		r.Sealed = bytes.Repeat([]byte{0, '\'', '"', 0xff, '\n'}, (secrets.MaxValue+70_000)/5)
		require.NoError(t, s.Save(t.Context(), r, 0))
		require.True(t, bytes.Equal(r.Sealed, load(t, s, name).Sealed))
	})
	t.Run("saves only over the version that was read", func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.Save(t.Context(), row(name, 1), 0))
		require.ErrorIs(t, s.Save(t.Context(), row(name, 1), 0), secrets.ErrConflict, "it is there already")
		require.NoError(t, s.Save(t.Context(), row(name, 2), 1))
		for _, v := range []uint64{0, 1, 3, 1 << 40} {
			other := row(name, v+1)
			other.Sealed = []byte("not this")
			require.ErrorIs(t, s.Save(t.Context(), other, v), secrets.ErrConflict, "over %d", v)
			require.Equal(t, row(name, 2), load(t, s, name))
		}
	})
	t.Run("shares no memory with its callers", func(t *testing.T) {
		s := newStore(t)
		r := row(name, 1)
		require.NoError(t, s.Save(t.Context(), r, 0))
		clear(r.Sealed)
		clear(load(t, s, name).Sealed)
		require.Equal(t, row(name, 1), load(t, s, name))
	})
	t.Run("names are exact", func(t *testing.T) {
		s := newStore(t)
		names := []string{name, "tenants/ACME/secrets/crm", "tenants/acme/secrets/CRM", name + "x", "tenants/acme/secrets/%27%3B--", "tenants/acme/secrets/c_m", "tenants/acme/secrets/c%25m"}
		for i, n := range names {
			r := row(n, 1)
			r.Sealed = []byte{byte(i)}
			require.NoError(t, s.Save(t.Context(), r, 0), n)
		}
		for i, n := range names {
			require.Equal(t, []byte{byte(i)}, load(t, s, n).Sealed, n)
		}
	})
	t.Run("lists by prefix, in pages", func(t *testing.T) {
		s := newStore(t)
		save := func(name string) { require.NoError(t, s.Save(t.Context(), row(name, 1), 0)) }
		var want []string
		for i := range 25 {
			want = append(want, fmt.Sprintf("tenants/acme/secrets/s%02d", i))
			save(want[i])
			// Names that a careless match would take for the prefix, enough to fill pages.
			save(fmt.Sprintf("tenants/ACME/secrets/s%02d", i))
			save(fmt.Sprintf("tenants/acme2/secrets/s%02d", i))
			save(fmt.Sprintf("tenants/acm%%65/secrets/s%02d", i))
			save(fmt.Sprintf("tenants/a_me/secrets/s%02d", i))
		}
		for _, size := range []int{1, 7, 25, 26, 1000} {
			var got []string
			for after := ""; ; {
				rows, err := s.List(t.Context(), "tenants/acme/", after, size)
				require.NoError(t, err)
				require.LessOrEqual(t, len(rows), size)
				for _, r := range rows {
					require.Nil(t, r.Sealed, "a listing has no content")
					full := row(r.Name, 1)
					full.Sealed = nil
					r.Created, r.Expires = r.Created.UTC(), r.Expires.UTC()
					require.Equal(t, full, r)
					got = append(got, r.Name)
				}
				if len(rows) == 0 {
					break
				}
				after = rows[len(rows)-1].Name
			}
			require.Equal(t, want, got, "pages of %d", size)
		}
		for prefix, n := range map[string]int{"tenants/a_me/": 25, "tenants/acm%65/": 25, "tenants/acm_/": 0, "tenants/%/": 0, "tenants/": 125, `tenants\`: 0, "": 125} {
			rows, err := s.List(t.Context(), prefix, "", 1000)
			require.NoError(t, err)
			require.Len(t, rows, n, prefix)
			require.True(t, slices.IsSortedFunc(rows, func(a, b secrets.Row) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }))
		}
		for _, limit := range []int{0, -1} {
			rows, err := s.List(t.Context(), "tenants/acme/", "", limit)
			require.NoError(t, err)
			require.Empty(t, rows)
		}
	})
	t.Run("one of many wins", func(t *testing.T) {
		s := newStore(t)
		for version := uint64(1); version <= 3; version++ {
			won := winners(t, together(8, func(i int) error {
				r := row(name, version)
				r.Sealed = []byte{byte(i)}
				return s.Save(t.Context(), r, version-1)
			}))
			r := load(t, s, name)
			require.Equal(t, []byte{byte(won)}, r.Sealed)
			require.Equal(t, version, r.Version)
		}
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
