package connectortest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// everythingOnce: the empty cursor lists everything, over any number of pages,
// and then nothing is new.
func everythingOnce(c *kase) {
	none, cursor := c.changes(c, c.conn, "", 1, nil)
	require.Empty(c, none)
	var want []string
	for i := range 5 {
		want = append(want, c.add(c, c.plain(i)))
	}
	if c.canRemove() {
		c.remove(c, want[1])
		want = slices.Delete(want, 1, 2)
	}
	slices.Sort(want)
	late, _ := c.changes(c, c.conn, cursor, 2, nil)
	for _, id := range want {
		assert.Contains(c, newest(late), id, "made after the first cursor")
	}
	for _, limit := range []int{1, 2, 0} {
		cs, cursor := c.changes(c, c.conn, "", limit, nil)
		got := newest(cs)
		maps.DeleteFunc(got, func(_ string, ch connectors.Change) bool { return ch.Gone })
		require.Equal(c, want, slices.Sorted(maps.Keys(got)), "limit %d", limit)
		for id, ch := range got {
			r := c.get(c, id)
			assert.Equal(c, r.Rev, ch.Rev)
			if ch.Record != nil {
				assert.Equal(c, id, ch.Record.ID)
				assert.Equal(c, r.Rev, ch.Record.Rev)
				assert.Empty(c, connectors.Diff(r, ch.Record, connectors.Fields(c.k)), "the content that came along")
			}
		}
		c.quiet(cursor, got)
	}
}

// quiet: a cursor after which nothing happened says nothing new.
func (c *kase) quiet(cursor string, known map[string]connectors.Change) {
	c.Helper()
	for range 3 {
		cs, next := c.changes(c, c.conn, cursor, 2, nil)
		if !c.h.Repeats {
			require.Empty(c, cs, "changes where nothing changed")
		}
		for _, ch := range cs {
			if !ch.Gone || !known[ch.ID].Gone && known[ch.ID].ID != "" {
				require.Equal(c, known[ch.ID].Rev, ch.Rev, "a change where nothing changed")
			}
			require.False(c, ch.Gone && known[ch.ID].ID != "" && !known[ch.ID].Gone, "a live record is called gone")
		}
		cursor = next
	}
}

// delta: what others do is reported: new, changed and deleted.
func delta(c *kase) {
	stays, edited := c.add(c, c.plain(0)), c.add(c, c.plain(1))
	deleted := ""
	if c.canRemove() {
		deleted = c.add(c, c.plain(2))
	}
	_, cursor := c.changes(c, c.conn, "", 0, nil)
	before := c.get(c, edited)
	added := c.add(c, c.plain(3))
	c.edit(c, edited, "theirs")
	if deleted != "" {
		c.remove(c, deleted)
	}
	cs, cursor := c.changes(c, c.conn, cursor, 1, nil)
	got := newest(cs)
	for _, id := range []string{added, edited} {
		require.Contains(c, got, id)
		assert.False(c, got[id].Gone)
		assert.Equal(c, c.get(c, id).Rev, got[id].Rev)
	}
	assert.NotEqual(c, before.Rev, got[edited].Rev)
	if ch, ok := got[stays]; ok {
		assert.False(c, ch.Gone, "a live record is called gone")
		assert.True(c, c.h.Repeats, "a change of a record that nobody changed")
	}
	if deleted != "" {
		if c.c.Tombstones {
			assert.True(c, got[deleted].Gone, "the deletion was not reported")
		}
		if ch, ok := got[deleted]; ok {
			assert.True(c, ch.Gone, "a deleted record is called alive")
		}
		assert.NotContains(c, c.ids(c, 1), deleted)
		_, err := c.tryGet(c, deleted)
		assert.ErrorIs(c, err, connectors.ErrNotFound)
	}
	got[stays] = connectors.Change{ID: stays, Rev: c.get(c, stays).Rev}
	c.quiet(cursor, got)
}

// cursorOutlives: a cursor goes on in another connection, after a restart.
func cursorOutlives(c *kase) {
	for i := range 3 {
		c.add(c, c.plain(i))
	}
	p, err := c.conn.Changes(c.Context(), c.k, "", 1)
	require.NoError(c, c.clean(c, err))
	id := c.add(c, c.plain(3))
	rest, cursor := c.changes(c, c.open(ana), p.Cursor, 1, nil)
	if _, ok := newest(rest)[id]; !ok {
		more, _ := c.changes(c, c.open(ana), cursor, 1, nil)
		rest = append(rest, more...)
	}
	got := newest(append(p.Changes, rest...))
	assert.Len(c, got, 4)
	assert.Contains(c, got, id)
}

// worthlessCursors: a cursor that means nothing asks for a new listing and is
// never an empty answer.
func worthlessCursors(c *kase) {
	c.add(c, c.plain(1))
	_, good := c.changes(c, c.conn, "", 0, nil)
	for _, bad := range []string{"x", " ", "0", "-1", "null", "{}", "\x00", "<a>&b;", "'", "http://example.com/", "999999999999999999999", good + "x", "x" + good,
		strings.ToUpper(good) + strings.ToLower(good), strings.Repeat("A", connectors.MaxCursor)} {
		p, err := c.conn.Changes(c.Context(), c.k, bad, 0)
		assert.ErrorIs(c, c.clean(c, err), connectors.ErrCursorExpired, "cursor %.40q", bad)
		assert.Empty(c, p.Cursor)
	}
	if c.sys.Expire != nil {
		c.sys.Expire()
		_, err := c.conn.Changes(c.Context(), c.k, good, 0)
		assert.ErrorIs(c, c.clean(c, err), connectors.ErrCursorExpired)
	}
	cs, _ := c.changes(c, c.conn, "", 0, nil)
	assert.Len(c, cs, 1, "a new listing shows everything")
}

// changesBetweenPages: whatever others do while pages are read, once they stop
// the reader knows of everything that is there, and of every record it was told
// of that it is gone, if the system tells.
func changesBetweenPages(c *kase) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		live := c.ids(c, 0)
		for range rnd.IntN(4) {
			live = append(live, c.add(c, c.plain(rnd.IntN(1000))))
		}
		actions := 8
		disturb := func() {
			for range rnd.IntN(3) {
				if actions == 0 {
					return
				}
				actions--
				switch n := rnd.IntN(4); {
				case n == 0 || len(live) == 0:
					live = append(live, c.add(c, c.plain(rnd.IntN(1000))))
				case n == 1 && c.canRemove():
					i := rnd.IntN(len(live))
					c.remove(c, live[i])
					live = slices.Delete(live, i, i+1)
				default:
					c.edit(c, live[rnd.IntN(len(live))], "theirs "+string(rune('a'+rnd.IntN(26))))
				}
			}
		}
		var all []connectors.Change
		cursor := ""
		for range 4 {
			var cs []connectors.Change
			cs, cursor = c.changes(c, c.conn, cursor, 1+rnd.IntN(3), disturb)
			all = append(all, cs...)
		}
		actions = 0
		for range 2 {
			var cs []connectors.Change
			cs, cursor = c.changes(c, c.conn, cursor, 2, nil)
			all = append(all, cs...)
		}
		known := newest(all)
		slices.Sort(live)
		require.ElementsMatch(c, live, c.ids(c, 2), "seed %d", seed)
		for _, id := range live {
			require.Contains(c, known, id, "seed %d: a record was lost", seed)
			require.False(c, known[id].Gone, "seed %d: a live record is called gone", seed)
			require.Equal(c, c.get(c, id).Rev, known[id].Rev, "seed %d: the newest revision was lost", seed)
		}
		if c.c.Tombstones {
			for id, ch := range known {
				require.True(c, ch.Gone || slices.Contains(live, id), "seed %d: a deletion was lost", seed)
			}
		}
	}
}
