package connectortest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func time0() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

// capabilitiesAreSane: what a connector says it can do can be meant.
func capabilitiesAreSane(c *kase) {
	for f, l := range c.c.Fields {
		assert.Contains(c, connectors.Fields(c.k), f, "a field that the kind does not have")
		assert.False(c, l.Required && l.ReadOnly && c.c.Create, "%s is required and cannot be written", f)
		assert.GreaterOrEqual(c, l.Runes, 0, f)
	}
	assert.NotEmpty(c, c.c.Fields)
	assert.False(c, c.k == connectors.KindMail && c.c.Update, "mails are never updated")
	for role, kinds := range c.c.Refs {
		assert.NotEqual(c, "none", role.String())
		for _, k := range kinds {
			assert.Contains(c, connectors.Kinds(), k)
		}
	}
	for _, ext := range c.c.Attachments.Refused {
		assert.Equal(c, connectors.Extension("x"+ext), ext, "a refused type that no name has")
	}
	assert.GreaterOrEqual(c, c.c.Batch, 0)
	before := c.requests()
	for _, k := range append(connectors.Kinds(), 0, 77) {
		if _, ok := c.sys.Plugin.Capabilities().Kinds[k]; ok {
			continue
		}
		_, err := c.conn.Changes(c.Context(), k, "", 1)
		assert.ErrorIs(c, c.clean(c, err), connectors.ErrUnsupported)
		_, err = c.conn.Get(c.Context(), k, []string{"x"})
		assert.ErrorIs(c, c.clean(c, err), connectors.ErrUnsupported)
	}
	assert.Equal(c, before, c.requests())
}

// roundTrip: what was written is read, and writing what was read changes
// nothing.
func roundTrip(c *kase) {
	c.need("way to create records", c.c.Create)
	fields := c.writable()
	rapid.Check(c.T, func(t *rapid.T) {
		want := Records(c.k, c.c).Draw(t, "record")
		if c.h.Shape != nil {
			c.h.Shape(want)
		}
		w := c.create(t, want.Clone())
		got := c.get(t, w.ID)
		for _, f := range connectors.Diff(want, got, fields) {
			require.Fail(t, "a field came back changed", "%s: %q, was %q", f, got.Text(f), want.Text(f))
		}
		for _, f := range fields {
			require.Equal(t, connectors.NormalizeText(f, got.Text(f)), got.Text(f), "%s is not normalised", f)
		}
		if w.Rev != "" {
			require.Equal(t, got.Rev, w.Rev, "the revision that was created and the one that is read")
		}
		if !c.c.Update {
			return
		}
		require.NoError(t, c.tryUpdate(t, w.ID, got.Rev, got.Clone(), fields...))
		again := c.get(t, w.ID)
		for _, f := range connectors.Fields(c.k) {
			require.True(t, connectors.Same(got, again, f), "%s: writing back what was read changed it", f)
			require.Equal(t, got.Text(f), again.Text(f), "%s: writing back what was read changed its spelling", f)
		}
		require.Equal(t, got.Key, again.Key, "the create key")

		// Everything at once becomes something else, and fields become empty.
		next := Records(c.k, c.c).Draw(t, "next")
		if c.h.Shape != nil {
			c.h.Shape(next)
		}
		require.NoError(t, c.tryUpdate(t, w.ID, again.Rev, next.Clone(), fields...))
		got = c.get(t, w.ID)
		for _, f := range connectors.Diff(next, got, fields) {
			require.Fail(t, "a field was not updated", "%s: %q, want %q", f, got.Text(f), next.Text(f))
		}
		require.Equal(t, again.Key, got.Key, "the create key")
	})
}

// listAndGet: every id is listed once, and results stand where their ids stood.
func listAndGet(c *kase) {
	require.Empty(c, c.ids(c, 0))
	var want []string
	for i := range 5 {
		want = append(want, c.add(c, c.plain(i)))
	}
	asked := slices.Clone(want)
	slices.Sort(want)
	for _, limit := range []int{1, 2, 5, 1000} {
		assert.Equal(c, want, c.ids(c, limit), "limit %d", limit)
	}
	if c.canRemove() {
		c.remove(c, asked[2])
		want = slices.DeleteFunc(want, func(id string) bool { return id == asked[2] })
		assert.Equal(c, want, c.ids(c, 2))
	}
	slices.Reverse(asked)
	rs, err := c.conn.Get(c.Context(), c.k, asked)
	require.NoError(c, c.clean(c, err))
	for i, r := range rs {
		if i == 2 && c.canRemove() {
			assert.ErrorIs(c, c.clean(c, r.Err), connectors.ErrNotFound)
			assert.Nil(c, r.Record)
			continue
		}
		require.NoError(c, c.clean(c, r.Err))
		assert.Equal(c, asked[i], r.Record.ID)
		assert.True(c, connectors.Same(c.plain(4-i), r.Record, c.field()), "result %d", i)
	}
	rs, err = c.conn.Get(c.Context(), c.k, nil)
	assert.NoError(c, err)
	assert.Empty(c, rs)
}

// missing: a record that is not there is said not to be there.
func missing(c *kase) {
	c.need("way to remove records", c.canRemove())
	id, stays := c.add(c, c.plain(1)), c.add(c, c.plain(2))
	rev := c.get(c, id).Rev
	c.remove(c, id)
	_, err := c.tryGet(c, id)
	assert.ErrorIs(c, err, connectors.ErrNotFound)
	if c.c.Update {
		err := c.tryUpdate(c, id, rev, c.plain(3), c.field())
		assert.True(c, errors.Is(err, connectors.ErrNotFound) || errors.Is(err, connectors.ErrPrecondition), "update: %v", err)
		_, err = c.tryGet(c, id)
		assert.ErrorIs(c, err, connectors.ErrNotFound, "an update brought a record back")
	}
	assert.Equal(c, []string{stays}, c.ids(c, 0))
}

// hostileIDs: whatever an id holds, it names one record of the container or
// none.
func hostileIDs(c *kase) {
	id := c.add(c, c.plain(1))
	before := c.get(c, id)
	ids := []string{".", "..", "../", "../" + id, id + "/", id + "/../" + id, "/" + id, "%2e%2e%2f" + id, id + "%00", id + "\x00", id + "?x=1", id + "#x",
		id + "'", "'" + id + "') or ('", "x' or 'a' eq 'a", "\r\nX-Evil: 1", "<a/>", "&x;", "*", " ", "\u202e", "\xff", strings.Repeat("a", connectors.MaxID)}
	for _, x := range ids {
		r, err := c.tryGet(c, x)
		assert.Error(c, err, "get %q", x)
		assert.Nil(c, r, "get %q", x)
		if c.c.Update {
			assert.Error(c, c.tryUpdate(c, x, before.Rev, c.plain(2), c.field()), "update %q", x)
		}
		if c.c.Delete {
			_ = c.tryDelete(c, x, before.Rev) // what is not there may count as deleted
		}
	}
	// Naming nothing reaches nothing.
	n := c.requests()
	for _, x := range []string{"", strings.Repeat("a", connectors.MaxID+1)} {
		_, err := c.tryGet(c, x)
		assert.Error(c, err)
		assert.Error(c, c.tryUpdate(c, x, before.Rev, c.plain(2), c.field()))
		assert.Error(c, c.tryDelete(c, x, before.Rev))
	}
	assert.Equal(c, n, c.requests(), "a request for an id that is none")
	after := c.get(c, id)
	assert.Equal(c, before.Rev, after.Rev)
	assert.Empty(c, connectors.Diff(before, after, connectors.Fields(c.k)))
	assert.Equal(c, []string{id}, c.ids(c, 0))
}

// find: a create key finds its record and no other, whatever it holds.
func find(c *kase) {
	c.need("way to create records", c.c.Create)
	if c.c.NoKey {
		key := c.key()
		w, err := c.tryCreate(c, c.conn, c.plain(1), key)
		require.NoError(c, err)
		assert.Empty(c, c.get(c, w.ID).Key)
		found, err := c.conn.Find(c.Context(), c.k, []string{key, ""})
		require.NoError(c, c.clean(c, err))
		assert.Empty(c, found)
		return
	}
	keys := []string{c.key(), "a'b", `a"b`, "a*", "*", "a%", "a b", "a+b", "a&b=c", "a/../b", "a?b#c", "a,b;c:d", `a\b`, "<a>&b;", "ключ", "A", "a", strings.Repeat("k", 64)}
	if n := c.c.KeyRunes; n > 0 {
		long := strings.Repeat("k", n+1)
		_, err := c.tryCreate(c, c.conn, c.plain(1), long)
		assert.ErrorIs(c, err, connectors.ErrInvalid, "a key that does not fit")
		keys = slices.DeleteFunc(append(keys, long[:n]), func(key string) bool { return utf8.RuneCountInString(key) > n })
	}
	ids := map[string]string{}
	for i, key := range keys {
		w, err := c.tryCreate(c, c.conn, c.plain(i), key)
		require.NoError(c, err, "key %q", key)
		ids[key] = w.ID
		assert.Equal(c, key, c.get(c, w.ID).Key, "the key that a record carries")
	}
	c.add(c, c.plain(99))
	unknown := []string{"nobody", "a'", "k*", "", "' or 'a' eq 'a"}
	found, err := c.conn.Find(c.Context(), c.k, append(slices.Clone(keys), unknown[:3]...))
	require.NoError(c, c.clean(c, err))
	for _, key := range keys {
		if assert.Len(c, found[key], 1, "key %q", key) {
			assert.Equal(c, ids[key], found[key][0].ID)
			assert.False(c, found[key][0].Gone)
			assert.Equal(c, c.get(c, ids[key]).Rev, found[key][0].Rev)
		}
	}
	assert.Len(c, found, len(keys))
	for _, key := range unknown {
		found, err := c.conn.Find(c.Context(), c.k, []string{key})
		if c.clean(c, err) == nil {
			assert.Empty(c, found, "key %q", key)
		}
	}
	if c.canRemove() {
		c.remove(c, ids["a"])
		found, err := c.conn.Find(c.Context(), c.k, []string{"a", "A"})
		require.NoError(c, c.clean(c, err))
		assert.NotContains(c, found, "a", "found after it was deleted")
		assert.Len(c, found["A"], 1)
	}
}

// sameKeyTwice: a create that is repeated makes no second record, or at least
// both are found.
func sameKeyTwice(c *kase) {
	c.need("way to create records", c.c.Create)
	key := c.key()
	w, err := c.tryCreate(c, c.conn, c.plain(1), key)
	require.NoError(c, err)
	_, err = c.tryCreate(c, c.conn, c.plain(1), key)
	n := 1
	if c.c.NoKey {
		require.NoError(c, err)
		assert.Len(c, c.ids(c, 0), 2, "without keys nobody can tell that it is the same")
		return
	}
	if c.h.DuplicateKeys && err == nil {
		n = 2
	} else {
		require.ErrorIs(c, err, connectors.ErrExists)
	}
	found, err := c.conn.Find(c.Context(), c.k, []string{key})
	require.NoError(c, c.clean(c, err))
	assert.Len(c, found[key], n)
	assert.Len(c, c.ids(c, 0), n)
	assert.Contains(c, c.ids(c, 0), w.ID)
	assert.True(c, connectors.Same(c.plain(1), c.get(c, w.ID), c.field()))
}

// updateNamesItsFields: what an update does not name stays.
func updateNamesItsFields(c *kase) {
	c.need("way to update records", c.c.Update)
	rapid.Check(c.T, func(t *rapid.T) {
		r := Records(c.k, c.c).Draw(t, "record")
		next := Records(c.k, c.c).Draw(t, "next")
		if c.h.Shape != nil {
			c.h.Shape(r)
			c.h.Shape(next)
		}
		id := c.add(t, r)
		before := c.get(t, id)
		next.SetText(c.field(), "changed")
		require.NoError(t, c.tryUpdate(t, id, before.Rev, next, c.field()))
		after := c.get(t, id)
		require.Equal(t, "changed", after.Text(c.field()))
		diff := connectors.Diff(before, after, connectors.Fields(c.k))
		diff = slices.DeleteFunc(diff, func(f connectors.Field) bool { return f == c.field() })
		require.Empty(t, diff, "fields changed that nobody named")
		if before.Text(c.field()) != "changed" {
			require.NotEqual(t, before.Rev, after.Rev, "another content has another revision")
		}
		require.Equal(t, before.Key, after.Key)
	})
}

// staleUpdate: whoever has not seen the newest revision changes nothing.
func staleUpdate(c *kase) {
	c.need("way to update records", c.c.Update)
	id := c.add(c, c.plain(1))
	seen := c.get(c, id)
	c.edit(c, id, "theirs")
	theirs := c.get(c, id)
	require.NotEqual(c, seen.Rev, theirs.Rev)
	for _, f := range c.writable() {
		err := c.tryUpdate(c, id, seen.Rev, c.plain(2), f)
		require.ErrorIs(c, err, connectors.ErrPrecondition, "field %s", f)
	}
	assert.Error(c, c.tryUpdate(c, id, "", c.plain(2), c.field()), "an update without a revision")
	assert.Error(c, c.tryUpdate(c, id, "*", c.plain(2), c.field()), "an update of any revision")
	now := c.get(c, id)
	assert.Equal(c, theirs.Rev, now.Rev)
	assert.Equal(c, "theirs", now.Text(c.field()))
	require.NoError(c, c.tryUpdate(c, id, theirs.Rev, c.plain(2), c.field()))
	assert.True(c, connectors.Same(c.plain(2), c.get(c, id), c.field()))
}

// staleDelete: nobody deletes what they have not seen.
func staleDelete(c *kase) {
	c.need("way to delete records", c.c.Delete)
	id := c.add(c, c.plain(1))
	seen := c.get(c, id)
	c.edit(c, id, "theirs")
	require.ErrorIs(c, c.tryDelete(c, id, seen.Rev), connectors.ErrPrecondition)
	assert.Error(c, c.tryDelete(c, id, ""), "a deletion without a revision")
	assert.Error(c, c.tryDelete(c, id, "*"), "a deletion of any revision")
	assert.Equal(c, "theirs", c.get(c, id).Text(c.field()))
	assert.Equal(c, []string{id}, c.ids(c, 0))
}

// deleteTwice: what is gone already is a success.
func deleteTwice(c *kase) {
	c.need("way to delete records", c.c.Delete)
	id, stays := c.add(c, c.plain(1)), c.add(c, c.plain(2))
	rev := c.get(c, id).Rev
	require.NoError(c, c.tryDelete(c, id, rev))
	_, err := c.tryGet(c, id)
	require.ErrorIs(c, err, connectors.ErrNotFound)
	require.NoError(c, c.tryDelete(c, id, rev))
	assert.Equal(c, []string{stays}, c.ids(c, 0))
}

// whatCannotBeDone: a verb the capabilities do not have is refused and changes
// nothing.
func whatCannotBeDone(c *kase) {
	if c.c.Create && c.c.Update && c.c.Delete {
		c.Skip("the system can do everything")
	}
	if !c.c.Create {
		_, err := c.tryCreate(c, c.conn, c.plain(1), c.key())
		assert.ErrorIs(c, err, connectors.ErrUnsupported)
		assert.Empty(c, c.ids(c, 0))
	}
	if !c.c.Create && c.sys.Add == nil {
		return
	}
	id := c.add(c, c.plain(1))
	r := c.get(c, id)
	if !c.c.Update {
		assert.ErrorIs(c, c.tryUpdate(c, id, r.Rev, c.plain(2), c.field()), connectors.ErrUnsupported)
	}
	if !c.c.Delete {
		assert.ErrorIs(c, c.tryDelete(c, id, r.Rev), connectors.ErrUnsupported)
	}
	assert.Equal(c, r.Rev, c.get(c, id).Rev)
}

// limits: what does not fit is refused with the name of the field, and nothing
// is made, cut or changed.
func limits(c *kase) {
	c.need("way to create and update records", c.c.Create && c.c.Update)
	id := c.add(c, c.plain(1))
	before := c.get(c, id)
	refused := func(r *connectors.Record, f connectors.Field, what string) {
		_, err := c.tryCreate(c, c.conn, r.Clone(), c.key())
		var e *connectors.Error
		if assert.ErrorIs(c, err, connectors.ErrInvalid, "create: %s %s", f, what) && assert.ErrorAs(c, err, &e) {
			assert.Equal(c, f, e.Field)
		}
		err = c.tryUpdate(c, id, before.Rev, r.Clone(), f)
		if assert.ErrorIs(c, err, connectors.ErrInvalid, "update: %s %s", f, what) && assert.ErrorAs(c, err, &e) {
			assert.Equal(c, f, e.Field)
		}
	}
	for _, f := range c.writable() {
		l := c.c.Fields[f]
		if l.Runes > 0 {
			r := c.plain(2)
			if r.SetText(f, strings.Repeat("ä", l.Runes)) {
				w := c.create(c, r) // just fits
				assert.True(c, connectors.Same(r, c.get(c, w.ID), f), "%s at its full length", f)
				require.NoError(c, c.tryDelete(c, w.ID, c.get(c, w.ID).Rev))
				r.SetText(f, canary+strings.Repeat("ä", max(l.Runes-len(canary)+1, 0)))
				refused(r, f, "is too long")
			}
		}
		if l.Required {
			r := c.plain(2)
			connectors.CopyField(r, connectors.NewRecord(c.k), f)
			refused(r, f, "is missing")
		}
	}
	for _, f := range connectors.Fields(c.k) {
		if !slices.Contains(c.writable(), f) {
			r := c.plain(3)
			r.SetText(f, canary)
			assert.Error(c, c.tryUpdate(c, id, before.Rev, r, f), "%s cannot be written", f)
		}
	}
	assert.Error(c, c.tryUpdate(c, id, before.Rev, c.plain(3), "no-such-field"))
	after := c.get(c, id)
	assert.Equal(c, before.Rev, after.Rev)
	assert.Equal(c, []string{id}, c.ids(c, 0))
}

// oneBadRecord: one record that cannot be written takes no other with it.
func oneBadRecord(c *kase) {
	v, _ := c.conn.Capability(c.k)
	c.need("way to delete several records at once", c.c.Create && c.c.Delete && v.Batch >= 3)
	good1, stale, good2 := c.add(c, c.plain(1)), c.add(c, c.plain(2)), c.add(c, c.plain(3))
	ts := []connectors.Target{{ID: good1, Rev: c.get(c, good1).Rev}, {ID: stale, Rev: c.get(c, stale).Rev}, {ID: good2, Rev: c.get(c, good2).Rev}}
	c.edit(c, stale, "theirs")
	ws, err := c.conn.Delete(c.Context(), c.k, ts)
	require.NoError(c, c.clean(c, err))
	assert.NoError(c, ws[0].Err)
	assert.ErrorIs(c, c.clean(c, ws[1].Err), connectors.ErrPrecondition)
	assert.NoError(c, ws[2].Err)
	assert.Equal(c, []string{stale}, c.ids(c, 0))

	ds := []connectors.Draft{{Record: c.plain(4), Key: c.key()}, {Record: c.plain(5), Key: c.key()}, {Record: c.plain(6), Key: c.key()}}
	ws, err = c.conn.Create(c.Context(), c.k, ds)
	require.NoError(c, c.clean(c, err))
	for i := range ws {
		require.NoError(c, c.clean(c, ws[i].Err))
		assert.True(c, connectors.Same(ds[i].Record, c.get(c, ws[i].ID), c.field()), "result %d is of another record", i)
	}
	if !c.c.Update {
		return
	}
	es := make([]connectors.Edit, 3)
	for i := range es {
		es[i] = connectors.Edit{ID: ws[i].ID, Rev: c.get(c, ws[i].ID).Rev, Record: c.plain(10 + i), Fields: []connectors.Field{c.field()}}
	}
	c.edit(c, ws[0].ID, "theirs")
	us, err := c.conn.Update(c.Context(), c.k, es)
	require.NoError(c, c.clean(c, err))
	assert.ErrorIs(c, c.clean(c, us[0].Err), connectors.ErrPrecondition)
	assert.Equal(c, "theirs", c.get(c, ws[0].ID).Text(c.field()))
	for i := 1; i < 3; i++ {
		assert.NoError(c, us[i].Err)
		assert.True(c, connectors.Same(es[i].Record, c.get(c, ws[i].ID), c.field()))
	}
}

// lostAnswers: when the answer to a write is lost nobody says that nothing
// happened, and it can be found out what did.
func lostAnswers(c *kase) {
	c.need("way to create records", c.c.Create)
	unknown := func(err error) {
		c.Helper()
		require.ErrorIs(c, err, connectors.ErrUnknownOutcome)
	}
	heal := func() {
		if c.server != nil {
			c.server.meet(nil)
		}
	}
	if !c.loseAnswer() {
		c.Skip("the system cannot lose an answer")
	}
	key := c.key()
	_, err := c.tryCreate(c, c.conn, c.plain(1), key)
	unknown(err)
	heal()
	ids := c.ids(c, 0)
	require.Len(c, ids, 1)
	id := ids[0]
	if !c.c.NoKey {
		found, err := c.conn.Find(c.Context(), c.k, []string{key})
		require.NoError(c, c.clean(c, err))
		require.Len(c, found[key], 1, "what was made is found by its key")
		require.Equal(c, id, found[key][0].ID)
	}
	if !c.h.DuplicateKeys && !c.c.NoKey {
		_, err = c.tryCreate(c, c.conn, c.plain(1), key)
		require.ErrorIs(c, err, connectors.ErrExists)
		require.Equal(c, []string{id}, c.ids(c, 0))
	}
	before := c.get(c, id)
	require.True(c, connectors.Same(c.plain(1), before, c.field()))
	if c.c.Update {
		require.True(c, c.loseAnswer())
		unknown(c.tryUpdate(c, id, before.Rev, c.plain(2), c.field()))
		heal()
		require.True(c, connectors.Same(c.plain(2), c.get(c, id), c.field()))
		require.ErrorIs(c, c.tryUpdate(c, id, before.Rev, c.plain(3), c.field()), connectors.ErrPrecondition)
	}
	if c.c.Delete {
		require.True(c, c.loseAnswer())
		rev := c.get(c, id).Rev
		unknown(c.tryDelete(c, id, rev))
		heal()
		_, err := c.tryGet(c, id)
		require.ErrorIs(c, err, connectors.ErrNotFound)
		require.NoError(c, c.tryDelete(c, id, rev))
	}
}

// concurrent: several callers at once do not mix each other's records up.
func concurrent(c *kase) {
	c.need("way to create and update records", c.c.Create && c.c.Update)
	const callers, rounds = 4, 4
	ids := make([]string, callers*rounds)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range rounds {
				n := i*rounds + j
				w, err := c.tryCreate(assertive{c}, c.conn, c.plain(n), c.key())
				if !assert.NoError(c, err) {
					return
				}
				ids[n] = w.ID
				r, err := c.tryGet(assertive{c}, w.ID)
				if !assert.NoError(c, err) {
					return
				}
				assert.True(c, connectors.Same(c.plain(n), r, c.field()))
				assert.NoError(c, c.tryUpdate(assertive{c}, w.ID, r.Rev, c.plain(100+n), c.field()))
				_, err = c.conn.Changes(c.Context(), c.k, "", 0)
				assert.NoError(c, err)
			}
		})
	}
	wg.Wait()
	if c.Failed() {
		return
	}
	for n, id := range ids {
		assert.True(c, connectors.Same(c.plain(100+n), c.get(c, id), c.field()))
	}
	slices.Sort(ids)
	assert.Equal(c, ids, c.ids(c, 3))
}

// assertive fails without ending the goroutine, which only a test's own may do.
type assertive struct{ *kase }

// FailNow implements require.TestingT.
func (a assertive) FailNow() { a.Fail() }
