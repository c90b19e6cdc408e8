package secretstest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

const (
	storeTenant = "acme"
	storeName   = "tenants/acme/secrets/crm"
)

func storeTime(day int) time.Time { return time.Date(2026, 2, day, 4, 5, 6, 0, time.UTC) }

// head is a head whose current version is its revision.
func head(name string, revision uint64) secrets.Head {
	return secrets.Head{Name: name, Tenant: storeTenant, Revision: revision, Current: revision, Oldest: 1, Kind: secrets.Basic, Scope: "mail send",
		Created: storeTime(1), Changed: storeTime(2), Expires: storeTime(20), Due: storeTime(10), MAC: []byte{0, 0xff, byte(revision)}}
}

func version(name string, number uint64) *secrets.Version {
	return &secrets.Version{Name: name, Tenant: storeTenant, Number: number, Kind: secrets.Basic, Created: storeTime(2), Expires: storeTime(20),
		KeyVersion: 1, Wrap: []byte{1, 0, 0xff, byte(number)}, Body: []byte{2, '\'', 0xfe, byte(number)}}
}

func tenantRow(name string, generation uint32) secrets.Tenant {
	return secrets.Tenant{Name: name, Generation: generation, HeadKey: []byte{9, 0, byte(generation)}}
}

// inUTC makes a record comparable: a Store may return any zone.
func inUTC(r secrets.Record) secrets.Record {
	for _, t := range []*time.Time{&r.Tenant.Erased, &r.Head.Created, &r.Head.Changed, &r.Head.Expires, &r.Head.Due, &r.Head.LastUse, &r.Version.Created, &r.Version.Expires} {
		if !t.IsZero() {
			*t = t.UTC()
		}
	}
	return r
}

func load(t *testing.T, s secrets.Store, name string, number uint64) secrets.Record {
	t.Helper()
	r, err := s.Load(t.Context(), storeTenant, name, number)
	require.NoError(t, err)
	return inUTC(r)
}

// RunStore tests a Store. Each call of newStore returns an empty one.
func RunStore(t *testing.T, newStore func(t *testing.T) secrets.Store) {
	// fresh has a tenant and nothing else.
	fresh := func(t *testing.T) secrets.Store {
		s := newStore(t)
		require.NoError(t, s.SaveTenant(t.Context(), tenantRow(storeTenant, 1), 0))
		return s
	}
	// put saves the next version of a secret.
	put := func(t *testing.T, s secrets.Store, name string, number uint64) {
		t.Helper()
		require.NoError(t, s.Save(t.Context(), head(name, number), version(name, number), 1))
	}

	t.Run("what is not there", func(t *testing.T) {
		s := newStore(t)
		require.Equal(t, secrets.Record{}, load(t, s, storeName, 0))
		require.Equal(t, secrets.Record{}, load(t, s, storeName, 7))
		require.Equal(t, secrets.Record{}, load(t, s, "", 0))
		es, err := s.List(t.Context(), "", "", 10)
		require.NoError(t, err)
		require.Empty(t, es)
		vs, err := s.Scan(t.Context(), storeTenant, "", secrets.AllKeys, secrets.At{}, 10)
		require.NoError(t, err)
		require.Empty(t, vs)
		n, err := s.Count(t.Context(), storeTenant, secrets.AllKeys)
		require.NoError(t, err)
		require.Zero(t, n)
		ts, err := s.Tenants(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, ts)
		errs, err := s.Replace(t.Context(), storeTenant, []secrets.Rewrap{{Name: storeName, Number: 1, Wrap: []byte{1}, KeyVersion: 1}})
		require.NoError(t, err)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], secrets.ErrConflict)
		errs, err = s.ReplaceMACs(t.Context(), storeTenant, []secrets.HeadMAC{{Name: storeName, MAC: []byte{1}}})
		require.NoError(t, err)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], secrets.ErrConflict)
		require.NoError(t, s.Touch(t.Context(), storeTenant, []string{storeName}, storeTime(3)))
		require.NoError(t, s.Touch(t.Context(), storeTenant, nil, storeTime(3)))
		require.Equal(t, secrets.Record{}, load(t, s, storeName, 0), "none of it left anything")
	})
	t.Run("needs a tenant to save", func(t *testing.T) {
		s := newStore(t)
		for _, generation := range []uint32{0, 1} {
			require.ErrorIs(t, s.Save(t.Context(), head(storeName, 1), version(storeName, 1), generation), secrets.ErrConflict)
		}
		require.Equal(t, secrets.Record{}, load(t, s, storeName, 0))
	})
	t.Run("keeps every field", func(t *testing.T) {
		s := fresh(t)
		put(t, s, storeName, 1)
		require.Equal(t, secrets.Record{Tenant: tenantRow(storeTenant, 1), Head: head(storeName, 1), Version: *version(storeName, 1), Newest: 1}, load(t, s, storeName, 0))
		// And every field may become its zero.
		h := secrets.Head{Name: storeName, Tenant: storeTenant, Revision: 2, Current: 2, Oldest: 1, Kind: secrets.Bearer, Created: storeTime(1), Changed: storeTime(3), MAC: []byte{1}}
		v := secrets.Version{Name: storeName, Tenant: storeTenant, Number: 2, Kind: secrets.Bearer, Created: storeTime(3), KeyVersion: 1, Wrap: []byte{3}, Body: []byte{4}}
		require.NoError(t, s.Save(t.Context(), h, &v, 1))
		got := load(t, s, storeName, 0)
		require.Equal(t, secrets.Record{Tenant: tenantRow(storeTenant, 1), Head: h, Version: v, Newest: 2}, got)
		require.True(t, got.Head.Expires.IsZero())
		require.True(t, got.Version.Expires.IsZero())
		require.True(t, got.Head.Due.IsZero())
		require.True(t, got.Head.LastUse.IsZero())
		put(t, s, storeName, 3)
		require.Equal(t, head(storeName, 3), load(t, s, storeName, 0).Head, "and back")
	})
	t.Run("keeps large and binary content", func(t *testing.T) {
		s := fresh(t)
		v := version(storeName, 1)
		v.Body = bytes.Repeat([]byte{0, '\'', '"', 0xff, '\n'}, (secrets.MaxValue+70_000)/5)
		require.NoError(t, s.Save(t.Context(), head(storeName, 1), v, 1))
		require.True(t, bytes.Equal(v.Body, load(t, s, storeName, 0).Version.Body))
	})
	t.Run("keeps large numbers", func(t *testing.T) {
		s := newStore(t)
		const generation = 1<<32 - 2
		require.NoError(t, s.SaveTenant(t.Context(), tenantRow(storeTenant, generation), 0))
		h, v := head(storeName, 1), version(storeName, 1<<62)
		h.Current, h.Oldest, v.KeyVersion = 1<<62, 1<<62, generation
		require.NoError(t, s.Save(t.Context(), h, v, generation))
		r := load(t, s, storeName, 0)
		require.Equal(t, h, r.Head)
		require.Equal(t, *v, r.Version)
		require.EqualValues(t, 1<<62, r.Newest)
		require.EqualValues(t, generation, r.Tenant.Generation)
		n, err := s.Count(t.Context(), storeTenant, secrets.AllKeys)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
	t.Run("saves only what follows what was read", func(t *testing.T) {
		s := fresh(t)
		put(t, s, storeName, 1)
		put(t, s, storeName, 2)
		want := load(t, s, storeName, 0)
		for _, revision := range []uint64{0, 1, 2, 4, 1 << 40} {
			h := head(storeName, revision)
			h.Current = 3
			require.ErrorIs(t, s.Save(t.Context(), h, version(storeName, 3), 1), secrets.ErrConflict, "revision %d", revision)
			require.Equal(t, want, load(t, s, storeName, 0))
		}
		for _, generation := range []uint32{0, 2} {
			require.ErrorIs(t, s.Save(t.Context(), head(storeName, 3), version(storeName, 3), generation), secrets.ErrConflict)
		}
		require.ErrorIs(t, s.Save(t.Context(), head(storeName, 3), version(storeName, 2), 1), secrets.ErrConflict, "a version is never written over")
		require.Equal(t, want, load(t, s, storeName, 0))
		require.Zero(t, load(t, s, storeName, 3).Version, "nor is half of it there")
		put(t, s, storeName, 3)
	})
	t.Run("loads each version", func(t *testing.T) {
		s := fresh(t)
		for n := uint64(1); n <= 4; n++ {
			put(t, s, storeName, n)
		}
		for n := uint64(1); n <= 4; n++ {
			r := load(t, s, storeName, n)
			require.Equal(t, *version(storeName, n), r.Version)
			require.Equal(t, head(storeName, 4), r.Head)
			require.EqualValues(t, 4, r.Newest)
		}
		require.Zero(t, load(t, s, storeName, 5).Version)
	})
	t.Run("changes a head without a version, and drops old ones", func(t *testing.T) {
		s := fresh(t)
		for n := uint64(1); n <= 4; n++ {
			put(t, s, storeName, n)
			put(t, s, storeName+"2", n)
		}
		h := head(storeName, 5)
		h.Current, h.Oldest = 4, 3
		require.NoError(t, s.Save(t.Context(), h, nil, 1))
		require.Zero(t, load(t, s, storeName, 2).Version)
		require.Equal(t, *version(storeName, 3), load(t, s, storeName, 3).Version)
		h.Revision, h.Oldest, h.Revoked = 6, 5, true
		require.NoError(t, s.Save(t.Context(), h, nil, 1))
		require.Equal(t, secrets.Record{Tenant: tenantRow(storeTenant, 1), Head: h}, load(t, s, storeName, 0))
		n, err := s.Count(t.Context(), storeTenant, secrets.AllKeys)
		require.NoError(t, err)
		require.Equal(t, 4, n, "another secret's stay")
	})
	t.Run("shares no memory with its callers", func(t *testing.T) {
		s := newStore(t)
		row := tenantRow(storeTenant, 1)
		require.NoError(t, s.SaveTenant(t.Context(), row, 0))
		h, v := head(storeName, 1), version(storeName, 1)
		require.NoError(t, s.Save(t.Context(), h, v, 1))
		wrap := []byte("new")
		errs, err := s.Replace(t.Context(), storeTenant, []secrets.Rewrap{{Name: storeName, Number: 1, Old: v.Wrap, KeyVersion: 2, Wrap: wrap}})
		require.NoError(t, err)
		require.NoError(t, errs[0])
		for _, b := range [][]byte{row.HeadKey, h.MAC, v.Wrap, v.Body, wrap} {
			clear(b)
		}
		want := secrets.Record{Tenant: tenantRow(storeTenant, 1), Head: head(storeName, 1), Version: *version(storeName, 1), Newest: 1}
		want.Version.Wrap, want.Version.KeyVersion = []byte("new"), 2
		for range 2 {
			r := load(t, s, storeName, 0)
			require.Equal(t, want, r)
			for _, b := range [][]byte{r.Tenant.HeadKey, r.Head.MAC, r.Version.Wrap, r.Version.Body} {
				clear(b)
			}
		}
		vs, err := s.Scan(t.Context(), storeTenant, "", secrets.AllKeys, secrets.At{}, 1)
		require.NoError(t, err)
		clear(vs[0].Wrap)
		ts, err := s.Tenants(t.Context(), "", 1)
		require.NoError(t, err)
		clear(ts[0].HeadKey)
		es, err := s.List(t.Context(), "", "", 1)
		require.NoError(t, err)
		clear(es[0].MAC)
		require.Equal(t, want, load(t, s, storeName, 0))
	})
	t.Run("names are exact", func(t *testing.T) {
		s := fresh(t)
		names := []string{storeName, "tenants/ACME/secrets/crm", "tenants/acme/secrets/CRM", storeName + "x", "tenants/acme/secrets/%27%3B--", "tenants/acme/secrets/c_m", "tenants/acme/secrets/c%25m", "tenants/acme/secrets/.."}
		for i, n := range names {
			v := version(n, 1)
			v.Body = []byte{byte(i)}
			require.NoError(t, s.Save(t.Context(), head(n, 1), v, 1), n)
		}
		for i, n := range names {
			require.Equal(t, []byte{byte(i)}, load(t, s, n, 0).Version.Body, n)
		}
		r, err := s.Load(t.Context(), "ACME", storeName, 0)
		require.NoError(t, err)
		require.Equal(t, secrets.Record{}, r, "another tenant's secret is not there")
	})
	t.Run("lists by prefix, in pages", func(t *testing.T) { testList(t, fresh(t)) })
	t.Run("scans and counts by the age of keys, in pages", func(t *testing.T) { testScan(t, fresh(t)) })
	t.Run("replaces the wrap that was read, and nothing else", func(t *testing.T) {
		s := fresh(t)
		for n := uint64(1); n <= 3; n++ {
			put(t, s, storeName, n)
		}
		next := func(n uint64, wrap string) secrets.Rewrap {
			return secrets.Rewrap{Name: storeName, Number: n, Old: version(storeName, n).Wrap, KeyVersion: 2, Wrap: []byte(wrap)}
		}
		stale, other, body := next(2, "stale"), next(1, "other"), next(3, "three")
		stale.Old, other.Name, body.Body = []byte("not this"), storeName+"2", []byte("new body")
		errs, err := s.Replace(t.Context(), storeTenant, []secrets.Rewrap{next(1, "one"), stale, other, next(9, "none"), body})
		require.NoError(t, err)
		require.Len(t, errs, 5)
		require.NoError(t, errs[0])
		for _, i := range []int{1, 2, 3} {
			require.ErrorIs(t, errs[i], secrets.ErrConflict, i)
		}
		require.NoError(t, errs[4])
		want := version(storeName, 1)
		want.Wrap, want.KeyVersion = []byte("one"), 2
		require.Equal(t, *want, load(t, s, storeName, 1).Version)
		require.Equal(t, *version(storeName, 2), load(t, s, storeName, 2).Version)
		want = version(storeName, 3)
		want.Wrap, want.KeyVersion, want.Body = []byte("three"), 2, []byte("new body")
		require.Equal(t, *want, load(t, s, storeName, 3).Version)
		errs, err = s.Replace(t.Context(), "beta", []secrets.Rewrap{next(2, "theirs")})
		require.NoError(t, err)
		require.ErrorIs(t, errs[0], secrets.ErrConflict, "another tenant's")
		errs, err = s.Replace(t.Context(), storeTenant, nil)
		require.NoError(t, err)
		require.Empty(t, errs)
		require.Equal(t, head(storeName, 3), load(t, s, storeName, 0).Head, "heads are not touched")
	})
	t.Run("replaces the MAC that was read, and nothing else", func(t *testing.T) {
		s := fresh(t)
		names := []string{storeName, storeName + "2", storeName + "3"}
		for _, n := range names {
			put(t, s, n, 1)
		}
		require.NoError(t, s.Touch(t.Context(), storeTenant, names[:1], storeTime(5)))
		gone := head(names[2], 2)
		gone.Current, gone.Oldest, gone.Revoked = 1, 2, true
		require.NoError(t, s.Save(t.Context(), gone, nil, 1))
		old := head(storeName, 1).MAC
		fresh := []byte("new")
		errs, err := s.ReplaceMACs(t.Context(), storeTenant, []secrets.HeadMAC{{Name: names[0], Old: old, MAC: fresh}, {Name: names[1], Old: []byte("not this"), MAC: []byte("x")},
			{Name: "tenants/acme/secrets/none", Old: old, MAC: []byte("x")}, {Name: names[2], Old: gone.MAC, MAC: fresh}})
		require.NoError(t, err)
		require.Len(t, errs, 4)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], secrets.ErrConflict)
		require.ErrorIs(t, errs[2], secrets.ErrConflict)
		require.NoError(t, errs[3], "of a secret that was revoked too")
		clear(fresh)
		want := secrets.Record{Tenant: tenantRow(storeTenant, 1), Head: head(storeName, 1), Version: *version(storeName, 1), Newest: 1}
		want.Head.MAC, want.Head.LastUse = []byte("new"), storeTime(5)
		require.Equal(t, want, load(t, s, storeName, 0))
		require.Equal(t, head(names[1], 1), load(t, s, names[1], 0).Head)
		gone.MAC = []byte("new")
		require.Equal(t, gone, load(t, s, names[2], 0).Head)
		errs, err = s.ReplaceMACs(t.Context(), "beta", []secrets.HeadMAC{{Name: names[1], Old: old, MAC: []byte("theirs")}})
		require.NoError(t, err)
		require.ErrorIs(t, errs[0], secrets.ErrConflict, "another tenant's")
		errs, err = s.ReplaceMACs(t.Context(), storeTenant, nil)
		require.NoError(t, err)
		require.Empty(t, errs)
		put(t, s, storeName, 2) // the revision is what it was
		h := head(storeName, 2)
		h.LastUse = storeTime(5)
		require.Equal(t, h, load(t, s, storeName, 0).Head)
	})
	t.Run("notes the last use and never takes it back", func(t *testing.T) {
		s := fresh(t)
		put(t, s, storeName, 1)
		put(t, s, storeName+"2", 1)
		for _, c := range [][2]int{{5, 5}, {4, 5}, {6, 6}} {
			require.NoError(t, s.Touch(t.Context(), storeTenant, []string{storeName, "tenants/acme/secrets/none"}, storeTime(c[0])))
			require.Equal(t, storeTime(c[1]), load(t, s, storeName, 0).Head.LastUse)
		}
		require.NoError(t, s.Touch(t.Context(), "beta", []string{storeName}, storeTime(9)))
		h := head(storeName, 2)
		require.NoError(t, s.Save(t.Context(), h, version(storeName, 2), 1))
		h.LastUse = storeTime(6)
		require.Equal(t, h, load(t, s, storeName, 0).Head, "nor does a save, nor another tenant")
		require.Zero(t, load(t, s, storeName+"2", 0).Head.LastUse)
	})
	t.Run("tenants follow one another", func(t *testing.T) { testTenants(t, newStore(t)) })
	t.Run("erases a tenant, and that stays", func(t *testing.T) { testErase(t, newStore(t)) })
	t.Run("one of many wins", func(t *testing.T) {
		s := newStore(t)
		won := winners(t, together(8, func(i int) error {
			row := tenantRow(storeTenant, 1)
			row.HeadKey = []byte{byte(i)}
			return s.SaveTenant(t.Context(), row, 0)
		}))
		require.Equal(t, []byte{byte(won)}, load(t, s, "", 0).Tenant.HeadKey)
		for n := uint64(1); n <= 3; n++ {
			won := winners(t, together(8, func(i int) error {
				v := version(storeName, n)
				v.Body = []byte{byte(i)}
				return s.Save(t.Context(), head(storeName, n), v, 1)
			}))
			r := load(t, s, storeName, 0)
			require.Equal(t, []byte{byte(won)}, r.Version.Body)
			require.Equal(t, n, r.Head.Revision)
		}
	})
	t.Run("no save slips past a change of generation", func(t *testing.T) {
		s := fresh(t)
		for generation := uint32(1); generation <= 5; generation++ {
			var saved, promoted error
			together(2, func(i int) error {
				if i == 0 {
					name := fmt.Sprint(storeName, generation)
					v := version(name, 1)
					v.KeyVersion = generation
					saved = s.Save(t.Context(), head(name, 1), v, generation)
				} else {
					promoted = s.SaveTenant(t.Context(), tenantRow(storeTenant, generation+1), generation)
				}
				return nil
			})
			require.NoError(t, promoted)
			if saved != nil {
				require.ErrorIs(t, saved, secrets.ErrConflict)
			}
		}
	})
	t.Run("nothing altered is used", func(t *testing.T) { manipulate(t, newStore(t)) })
	t.Run("heeds a cancelled context", func(t *testing.T) {
		s := fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Save(ctx, head(storeName, 1), version(storeName, 1), 1), context.Canceled)
		_, err := s.Load(ctx, storeTenant, storeName, 0)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.SaveTenant(ctx, tenantRow(storeTenant, 2), 1), context.Canceled)
		_, _, err = s.Erase(ctx, storeTenant, storeTime(1))
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, secrets.Record{Tenant: tenantRow(storeTenant, 1)}, load(t, s, storeName, 0), "and changed nothing")
	})
}

func testList(t *testing.T, s secrets.Store) {
	save := func(name string) {
		require.NoError(t, s.Save(t.Context(), head(name, 1), version(name, 1), 1))
	}
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
			es, err := s.List(t.Context(), "tenants/acme/", after, size)
			require.NoError(t, err)
			require.LessOrEqual(t, len(es), size)
			for _, e := range es {
				require.Equal(t, head(e.Name, 1), inUTC(secrets.Record{Head: e.Head}).Head)
				require.EqualValues(t, 1, e.KeyVersion)
				got = append(got, e.Name)
			}
			if len(es) == 0 {
				break
			}
			after = es[len(es)-1].Name
		}
		require.Equal(t, want, got, "pages of %d", size)
	}
	for prefix, n := range map[string]int{"tenants/a_me/": 25, "tenants/acm%65/": 25, "tenants/acm_/": 0, "tenants/%/": 0, "tenants/": 125, `tenants\`: 0, "": 125, want[3]: 1} {
		es, err := s.List(t.Context(), prefix, "", 1000)
		require.NoError(t, err)
		require.Len(t, es, n, prefix)
		for i := 1; i < len(es); i++ {
			require.Less(t, es[i-1].Name, es[i].Name)
		}
	}
	for _, limit := range []int{0, -1} {
		es, err := s.List(t.Context(), "tenants/acme/", "", limit)
		require.NoError(t, err)
		require.Empty(t, es)
	}
	h := head(want[0], 2)
	h.Current, h.Oldest, h.Revoked = 1, 2, true
	require.NoError(t, s.Save(t.Context(), h, nil, 1))
	es, err := s.List(t.Context(), want[0], "", 1)
	require.NoError(t, err)
	require.True(t, es[0].Revoked)
	require.Zero(t, es[0].KeyVersion, "none without a version")
}

func testScan(t *testing.T, s secrets.Store) {
	// Three versions of ten secrets, under the keys 1, 2 and 3.
	var all []secrets.Version
	for i := range 10 {
		name := fmt.Sprintf("tenants/acme/secrets/s%d", i)
		for n := uint64(1); n <= 3; n++ {
			v := version(name, n)
			v.KeyVersion = uint32(n)
			require.NoError(t, s.Save(t.Context(), head(name, n), v, 1))
			v.Body = nil
			all = append(all, *v)
		}
	}
	require.NoError(t, s.SaveTenant(t.Context(), tenantRow("beta", 1), 0))
	h, v := head("tenants/beta/secrets/s", 1), version("tenants/beta/secrets/s", 1)
	h.Tenant, v.Tenant = "beta", "beta"
	require.NoError(t, s.Save(t.Context(), h, v, 1))
	for _, name := range []string{"", "tenants/acme/secrets/s3", "tenants/acme/secrets/none", "tenants/beta/secrets/s"} {
		for _, before := range []uint32{0, 1, 2, 3, 4, secrets.AllKeys} {
			var want []secrets.Version
			for _, v := range all {
				if v.KeyVersion < before && (name == "" || name == v.Name) {
					want = append(want, v)
				}
			}
			for _, size := range []int{1, 4, 1000} {
				var got []secrets.Version
				for at := (secrets.At{}); ; {
					vs, err := s.Scan(t.Context(), storeTenant, name, before, at, size)
					require.NoError(t, err)
					require.LessOrEqual(t, len(vs), size)
					if len(vs) == 0 {
						break
					}
					for _, v := range vs {
						got = append(got, inUTC(secrets.Record{Version: v}).Version)
					}
					at = secrets.At{Name: vs[len(vs)-1].Name, Number: vs[len(vs)-1].Number}
				}
				require.Equal(t, want, got, "%s, keys before %d, pages of %d", name, before, size)
			}
			if name == "" {
				n, err := s.Count(t.Context(), storeTenant, before)
				require.NoError(t, err)
				require.Equal(t, len(want), n)
			}
		}
	}
	vs, err := s.Scan(t.Context(), storeTenant, "", secrets.AllKeys, secrets.At{}, 0)
	require.NoError(t, err)
	require.Empty(t, vs)
}

func testTenants(t *testing.T, s secrets.Store) {
	names := []string{"-", "..", "ACME", "a%2Fb", "acm", "acme", "acme2", "~"} // in their order
	for _, n := range names {
		require.ErrorIs(t, s.SaveTenant(t.Context(), tenantRow(n, 2), 1), secrets.ErrConflict, "none there")
		require.NoError(t, s.SaveTenant(t.Context(), tenantRow(n, 1), 0))
		require.ErrorIs(t, s.SaveTenant(t.Context(), tenantRow(n, 1), 0), secrets.ErrConflict, "one there")
	}
	require.NoError(t, s.SaveTenant(t.Context(), tenantRow("acme", 2), 1))
	require.ErrorIs(t, s.SaveTenant(t.Context(), tenantRow("acme", 3), 1), secrets.ErrConflict)
	for _, size := range []int{1, 3, 100} {
		var got []string
		for after := ""; ; {
			ts, err := s.Tenants(t.Context(), after, size)
			require.NoError(t, err)
			require.LessOrEqual(t, len(ts), size)
			if len(ts) == 0 {
				break
			}
			for _, row := range ts {
				generation := uint32(1)
				if row.Name == "acme" {
					generation = 2
				}
				require.Equal(t, tenantRow(row.Name, generation), row)
				got = append(got, row.Name)
			}
			after = ts[len(ts)-1].Name
		}
		require.Equal(t, names, got)
	}
}

func testErase(t *testing.T, s secrets.Store) {
	for _, n := range []string{storeTenant, "beta"} {
		require.NoError(t, s.SaveTenant(t.Context(), tenantRow(n, 1), 0))
		for i := range 3 {
			name := fmt.Sprintf("tenants/%s/secrets/s%d", n, i)
			for number := uint64(1); number <= 2; number++ {
				h, v := head(name, number), version(name, number)
				h.Tenant, v.Tenant = n, n
				require.NoError(t, s.Save(t.Context(), h, v, 1))
			}
		}
	}
	heads, versions, err := s.Erase(t.Context(), storeTenant, storeTime(3))
	require.NoError(t, err)
	require.Equal(t, [2]int{3, 6}, [2]int{heads, versions})
	gone := secrets.Record{Tenant: secrets.Tenant{Name: storeTenant, Generation: 1, Erased: storeTime(3)}}
	require.Equal(t, gone, load(t, s, "tenants/acme/secrets/s0", 0))
	n, err := s.Count(t.Context(), storeTenant, secrets.AllKeys)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.Count(t.Context(), "beta", secrets.AllKeys)
	require.NoError(t, err)
	require.Equal(t, 6, n, "another tenant's stay")
	es, err := s.List(t.Context(), "", "", 100)
	require.NoError(t, err)
	require.Len(t, es, 3)
	for _, generation := range []uint32{0, 1} {
		require.ErrorIs(t, s.Save(t.Context(), head(storeName, 1), version(storeName, 1), generation), secrets.ErrConflict, "nothing is put again")
		require.ErrorIs(t, s.SaveTenant(t.Context(), tenantRow(storeTenant, generation+1), generation), secrets.ErrConflict)
	}
	heads, versions, err = s.Erase(t.Context(), storeTenant, storeTime(9))
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 0}, [2]int{heads, versions})
	require.Equal(t, gone, load(t, s, "", 0), "the time of the first stays")
	// A tenant that the store never saw, as after a restore of an older copy.
	_, _, err = s.Erase(t.Context(), "gamma", storeTime(4))
	require.NoError(t, err)
	require.ErrorIs(t, s.SaveTenant(t.Context(), tenantRow("gamma", 1), 0), secrets.ErrConflict)
	r, err := s.Load(t.Context(), "gamma", "", 0)
	require.NoError(t, err)
	require.Equal(t, storeTime(4), inUTC(r).Tenant.Erased)
}
