// Package statetest is the suite that every lksync.StateStore, MeetingStore and
// StopStore passes.
package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// Run tests a store; create returns an empty one each time.
func Run(t *testing.T, create func(t *testing.T) lksync.StateStore) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	kind := connectors.KindContact
	open := func(t *testing.T, s lksync.StateStore, id lksync.PairID) lksync.State {
		t.Helper()
		h, err := s.Open(t.Context(), id)
		require.NoError(t, err)
		t.Cleanup(func() { _ = h.Close() })
		return h
	}
	link := func(l, r string) lksync.Link {
		return lksync.Link{Kind: kind, ID: [2]string{l, r}, Rev: [2]string{"l1", "r1"}, Origin: lksync.Right, State: lksync.Linked, Seen: at}
	}

	t.Run("links", func(t *testing.T) {
		h := open(t, create(t), "p")
		hostile := "a'; DROP TABLE link;--\u0000ż"
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{link("a", "1"), link(hostile, "2")}}))
		l, ok, err := h.Find(t.Context(), kind, lksync.Left, hostile)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, "2", l.ID[1])
		assert.Equal(t, at, l.Seen)
		_, ok, err = h.Find(t.Context(), connectors.KindAppointment, lksync.Left, "a")
		require.NoError(t, err)
		assert.False(t, ok, "another kind is another world")
		l.State, l.ID[1], l.Rev[0] = lksync.Unlinked, "", "l2"
		l.Files = []lksync.FilePair{{ID: [2]string{hostile, "f"}, Rev: [2]string{"1", ""}}, {ID: [2]string{"g", ""}, Replaced: true}}
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{l}}))
		_, ok, err = h.Find(t.Context(), kind, lksync.Right, "2")
		require.NoError(t, err)
		assert.False(t, ok)
		n, err := h.Count(t.Context(), kind)
		require.NoError(t, err)
		assert.Equal(t, 1, n, "what is left alone does not count")
		ls, err := h.Links(t.Context(), kind, 0, 1)
		require.NoError(t, err)
		require.Len(t, ls, 1)
		more, err := h.Links(t.Context(), kind, ls[0].Number, 10)
		require.NoError(t, err)
		require.Equal(t, []lksync.Link{l}, more)
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Drop: []int64{l.Number}, Put: []lksync.Link{link(hostile, "3")}}))
		l, ok, err = h.Find(t.Context(), kind, lksync.Left, hostile)
		require.NoError(t, err)
		assert.True(t, ok && l.ID[1] == "3")
		_, ok, err = h.Find(t.Context(), kind, lksync.Left, "")
		require.NoError(t, err)
		assert.False(t, ok)
	})

	t.Run("intents", func(t *testing.T) {
		h := open(t, create(t), "p")
		in := lksync.Intent{Key: "k1", Kind: kind, Side: lksync.Left, SourceID: "s", Rev: "r", Check: 65535}
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Begin: []lksync.Intent{in}}))
		got, err := h.Intents(t.Context())
		require.NoError(t, err)
		require.Equal(t, []lksync.Intent{in}, got, "not looked for yet")
		in.Missed = at
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Begin: []lksync.Intent{in}}), "announced again under the same key")
		got, err = h.Intents(t.Context())
		require.NoError(t, err)
		require.Equal(t, []lksync.Intent{in}, got)
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{End: []string{"k1", "unknown"}}))
		got, err = h.Intents(t.Context())
		require.NoError(t, err)
		require.Empty(t, got)
	})

	t.Run("issues", func(t *testing.T) {
		h := open(t, create(t), "p")
		x := lksync.Trouble{Kind: kind, ID: [2]string{"a", ""}, Code: lksync.CodeField, Field: "email", Detail: "d", Name: "N", First: at, Last: at, NextTry: at, Tries: 1}
		y := lksync.Trouble{Kind: kind, ID: [2]string{"b", "2"}, Code: lksync.CodeConflict, Name: "M", First: at.Add(time.Hour), Last: at, Tries: 2}
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Raise: []lksync.Trouble{x, y}}))
		x.Tries = 2
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Raise: []lksync.Trouble{x}}), "seen again: not twice")
		got, err := h.Issues(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, got, 2)
		byCode := map[lksync.Code]lksync.Trouble{}
		for _, g := range got {
			assert.NotZero(t, g.Number)
			g.Number = 0
			byCode[g.Code] = g
		}
		assert.Equal(t, x, byCode[lksync.CodeField])
		assert.Equal(t, y, byCode[lksync.CodeConflict])
		page, err := h.Issues(t.Context(), got[0].Number, 1)
		require.NoError(t, err)
		require.Len(t, page, 1)
		assert.Equal(t, got[1].Number, page[0].Number)
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Forget: at.Add(time.Minute)}))
		got, err = h.Issues(t.Context(), 0, 10)
		require.NoError(t, err)
		for _, g := range got {
			assert.Equal(t, g.Code == lksync.CodeConflict, g.Name != "", "only names older than the limit go")
		}
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Solve: []lksync.Trouble{{Kind: kind, ID: [2]string{"", "2"}}, {Kind: kind, ID: [2]string{"a", ""}}}}))
		got, err = h.Issues(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Empty(t, got)
	})

	t.Run("positions and approvals", func(t *testing.T) {
		h := open(t, create(t), "p")
		c, err := h.Cursor(t.Context(), lksync.Left, kind)
		require.NoError(t, err)
		assert.Empty(t, c)
		swept, err := h.Swept(t.Context(), lksync.Left, kind)
		require.NoError(t, err)
		assert.True(t, swept.IsZero())
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{
			Cursors: []lksync.Position{{Side: lksync.Left, Kind: kind, Cursor: "c1"}},
			Sweeps:  []lksync.Position{{Side: lksync.Left, Kind: kind, At: at}}, Approve: map[connectors.Kind]int{kind: 7}}))
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Cursors: []lksync.Position{{Side: lksync.Left, Kind: kind, Cursor: "c2"}}}))
		c, err = h.Cursor(t.Context(), lksync.Left, kind)
		require.NoError(t, err)
		assert.Equal(t, "c2", c)
		swept, err = h.Swept(t.Context(), lksync.Left, kind)
		require.NoError(t, err)
		assert.Equal(t, at, swept)
		c, err = h.Cursor(t.Context(), lksync.Right, kind)
		require.NoError(t, err)
		assert.Empty(t, c)
		n, err := h.Approved(t.Context(), kind)
		require.NoError(t, err)
		assert.Equal(t, 7, n)
	})

	t.Run("all of a link", func(t *testing.T) {
		h := open(t, create(t), "p")
		l := link("a", "")
		l.Rev, l.State, l.Role, l.Apart = [2]string{"r", ""}, lksync.Expected, lksync.Attendee, []connectors.Field{connectors.FieldTime, connectors.FieldLocation}
		l.Base, l.Way, l.Turns, l.Writes, l.Since = []byte{0, 1, 255}, 3, 2, 20, at
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{link("b", "2"), l}}))
		n, err := h.Count(t.Context(), kind)
		require.NoError(t, err)
		assert.Equal(t, 1, n, "what is expected does not count")
		ls, err := h.Waiting(t.Context(), kind, 0, 10)
		require.NoError(t, err)
		require.Len(t, ls, 1)
		l.Number = ls[0].Number
		assert.Equal(t, l, ls[0])
		ls, err = h.Waiting(t.Context(), kind, l.Number, 10)
		require.NoError(t, err)
		assert.Empty(t, ls)
	})

	t.Run("identity and key", func(t *testing.T) {
		s := create(t)
		h := open(t, s, "p")
		is, err := h.Identity(t.Context())
		require.NoError(t, err)
		assert.Equal(t, [2]string{}, is)
		require.NoError(t, h.Commit(t.Context(), lksync.Batch{Identity: &[2]string{"crm", ""}}))
		is, err = h.Identity(t.Context())
		require.NoError(t, err)
		assert.Equal(t, [2]string{"crm", ""}, is)
		key, err := h.Key(t.Context())
		require.NoError(t, err)
		require.Len(t, key, 32)
		again, err := open(t, s, "p").Key(t.Context())
		require.NoError(t, err)
		assert.Equal(t, key, again)
		other, err := open(t, s, "q").Key(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, key, other)
	})

	t.Run("scratch", func(t *testing.T) {
		h := open(t, create(t), "p")
		c, err := h.Scratch(t.Context())
		require.NoError(t, err)
		none, err := c.Next(t.Context(), "", 10)
		require.NoError(t, err)
		assert.Empty(t, none)
		require.NoError(t, c.Add(t.Context(), []lksync.Seen{{Side: lksync.Left, ID: "1", Group: "b"}, {Side: lksync.Right, ID: "1", Group: "a"}, {Side: lksync.Left, ID: "2", Group: "z"}}))
		require.NoError(t, c.Add(t.Context(), []lksync.Seen{{Side: lksync.Left, ID: "2", Group: "a"}, {Side: lksync.Left, ID: "3", Group: "a"}, {Side: lksync.Left, ID: "4", Group: "c"}}))
		page, err := c.Next(t.Context(), "", 1)
		require.NoError(t, err)
		assert.Equal(t, []lksync.Seen{{Side: lksync.Left, ID: "2", Group: "a"}, {Side: lksync.Left, ID: "3", Group: "a"}, {Side: lksync.Right, ID: "1", Group: "a"}}, page, "groups come whole")
		page, err = c.Next(t.Context(), "a", 10)
		require.NoError(t, err)
		assert.Equal(t, []lksync.Seen{{Side: lksync.Left, ID: "1", Group: "b"}, {Side: lksync.Left, ID: "4", Group: "c"}}, page)
		has, err := c.Has(t.Context(), lksync.Left, []string{"1", "9", "4"})
		require.NoError(t, err)
		assert.Equal(t, []bool{true, false, true}, has)
		require.NoError(t, c.Close())
	})

	t.Run("pairs are apart, states last, and the later holder has it", func(t *testing.T) {
		// evidence: P33
		s := create(t)
		a, b := open(t, s, "a"), open(t, s, "b")
		require.NoError(t, a.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{link("x", "y")}}))
		_, ok, err := b.Find(t.Context(), kind, lksync.Left, "x")
		require.NoError(t, err)
		assert.False(t, ok)
		require.NoError(t, a.Held(t.Context()))
		again := open(t, s, "a")
		require.ErrorIs(t, a.Held(t.Context()), lksync.ErrFenced)
		require.NoError(t, again.Held(t.Context()))
		require.ErrorIs(t, a.Commit(t.Context(), lksync.Batch{End: []string{"k"}}), lksync.ErrFenced)
		_, ok, err = again.Find(t.Context(), kind, lksync.Left, "x")
		require.NoError(t, err)
		assert.True(t, ok)
		require.NoError(t, again.Commit(t.Context(), lksync.Batch{}))
	})
}

// RunShared tests what the mailboxes of a tenant share; create returns an empty
// store of each sort each time.
func RunShared(t *testing.T, create func(t *testing.T) (lksync.MeetingStore, lksync.StopStore)) {
	acme, beta := authztest.Resource(t, "tenants/acme/crm"), authztest.Resource(t, "tenants/beta/crm")
	t.Run("meetings", func(t *testing.T) {
		s, _ := create(t)
		ctx := t.Context()
		key, err := s.MeetingKey(ctx, acme)
		require.NoError(t, err)
		require.Len(t, key, 32)
		again, err := s.MeetingKey(ctx, acme)
		require.NoError(t, err)
		assert.Equal(t, key, again)
		other, err := s.MeetingKey(ctx, beta)
		require.NoError(t, err)
		assert.NotEqual(t, key, other)

		m := lksync.Meeting{Hash: "h", Record: "id", Lead: "ana", Host: true, Key: "k", Rev: "r", Parties: "p q", Since: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)}
		put := func(m lksync.Meeting, want bool) {
			t.Helper()
			ok, err := s.PutMeeting(ctx, acme, m)
			require.NoError(t, err)
			require.Equal(t, want, ok)
		}
		get := func(crm authz.Resource, hash string) (lksync.Meeting, bool) {
			t.Helper()
			m, ok, err := s.Meeting(ctx, crm, hash)
			require.NoError(t, err)
			return m, ok
		}
		of := func(record string) (lksync.Meeting, bool) {
			t.Helper()
			m, ok, err := s.MeetingOf(ctx, acme, record)
			require.NoError(t, err)
			return m, ok
		}
		put(m, true)
		put(m, false) // somebody was faster
		got, ok := get(acme, "h")
		require.True(t, ok)
		m.Version = 1
		assert.Equal(t, m, got)
		got, ok = of("id")
		assert.True(t, ok && got == m)
		_, ok = get(beta, "h")
		assert.False(t, ok, "another tenant is another world")
		_, ok = of("")
		assert.False(t, ok)
		m.Record, m.Gone = "", true
		put(m, true)
		put(m, false)
		_, ok = of("id")
		assert.False(t, ok)
		require.NoError(t, s.ReleaseMeetings(ctx, acme, "ben"))
		require.NoError(t, s.ReleaseMeetings(ctx, beta, "ana"))
		got, _ = get(acme, "h")
		assert.Equal(t, lksync.PairID("ana"), got.Lead)
		require.NoError(t, s.ReleaseMeetings(ctx, acme, "ana"))
		got, _ = get(acme, "h")
		assert.Empty(t, got.Lead)
		assert.False(t, got.Host)
		assert.Greater(t, got.Version, int64(2), "whoever read it before reads again")
	})
	t.Run("stops", func(t *testing.T) {
		_, s := create(t)
		got, err := s.Stops(t.Context())
		require.NoError(t, err)
		assert.Empty(t, got)
		for _, stopped := range []bool{true, true} {
			require.NoError(t, s.SetStop(t.Context(), acme, stopped))
		}
		require.NoError(t, s.SetStop(t.Context(), beta, true))
		require.NoError(t, s.SetStop(t.Context(), beta, false))
		require.NoError(t, s.SetStop(t.Context(), beta, false))
		got, err = s.Stops(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []authz.Resource{acme}, got)
	})
}
