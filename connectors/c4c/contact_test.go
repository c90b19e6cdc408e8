package c4c_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

func fields(t testing.TB, c *connectors.Conn, k connectors.Kind) []connectors.Field {
	caps, ok := c.Capability(k)
	require.True(t, ok)
	return connectors.Shared(k, caps, caps)
}

// get reads one record that must be there.
func get(t testing.TB, c *connectors.Conn, k connectors.Kind, id string) *connectors.Record {
	t.Helper()
	rs, err := c.Get(t.Context(), k, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	return rs[0].Record
}

// drain walks changes to their end.
func drain(t testing.TB, c *connectors.Conn, k connectors.Kind, cursor string, limit int) (map[string]connectors.Change, string) {
	t.Helper()
	out := map[string]connectors.Change{}
	for range 2000 {
		p, err := c.Changes(t.Context(), k, cursor, limit)
		require.NoError(t, err)
		for _, ch := range p.Changes {
			out[ch.ID] = ch
		}
		cursor = p.Cursor
		if !p.More {
			return out, cursor
		}
	}
	t.Fatal("changes without end")
	return nil, ""
}

func TestContactRoundTrip(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	ctx, k := t.Context(), connectors.KindContact
	want := richContact()
	ws, err := c.Create(ctx, k, []connectors.Draft{{Record: want, Key: "key-1"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(want, got, fields(t, c, k)))
	assert.Equal(t, ws[0].Rev, got.Rev)
	assert.Equal(t, "key-1", got.Key)

	found, err := c.Find(ctx, k, []string{"key-1", "key-2"})
	require.NoError(t, err)
	assert.Equal(t, ws[0].ID, found["key-1"][0].ID)
	assert.Len(t, found, 1)

	ws2, err := c.Create(ctx, k, []connectors.Draft{{Record: want, Key: "key-1"}})
	require.NoError(t, err)
	assert.ErrorIs(t, ws2[0].Err, connectors.ErrExists)

	// Only the named fields change; the account is found again, not made anew.
	edit := want.Clone()
	edit.Contact.City, edit.Contact.Note, edit.Contact.Company = "Berlin", "Other", want.Contact.Company
	ws3, err := c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: ws[0].Rev, Record: edit,
		Fields: []connectors.Field{connectors.FieldCity, connectors.FieldNote, connectors.FieldCompany}}})
	require.NoError(t, err)
	require.NoError(t, ws3[0].Err)
	got = get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(edit, got, fields(t, c, k)))
	assert.Equal(t, ws3[0].Rev, got.Rev)
	assert.Len(t, s.All("CorporateAccountCollection"), 1)

	// A revision that no longer holds changes nothing.
	ws4, err := c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: ws[0].Rev, Record: want, Fields: []connectors.Field{connectors.FieldCity}}})
	require.NoError(t, err)
	assert.ErrorIs(t, ws4[0].Err, connectors.ErrPrecondition)

	ds, err := c.Delete(ctx, k, []connectors.Target{{ID: ws[0].ID, Rev: got.Rev}})
	require.NoError(t, err)
	require.NoError(t, ds[0].Err)
	p, ok := s.Get("ContactCollection", ws[0].ID)
	require.True(t, ok)
	assert.Equal(t, "4", p["StatusCode"], "contacts are made obsolete, not deleted")
	rs, err := c.Get(ctx, k, []string{ws[0].ID})
	require.NoError(t, err)
	assert.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
	ds, err = c.Delete(ctx, k, []connectors.Target{{ID: ws[0].ID, Rev: got.Rev}})
	require.NoError(t, err)
	assert.NoError(t, ds[0].Err, "deleting twice is a success")
}

func TestBatchNeighbours(t *testing.T) {
	_, c := emulator(t, c4ctest.Options{}, nil)
	ctx, k := t.Context(), connectors.KindContact
	var ds []connectors.Draft
	for i := range 250 {
		r := contact("G", fmt.Sprintf("Family %d", i))
		if i == 7 {
			r.Contact.Country = "Atlantis"
		}
		ds = append(ds, connectors.Draft{Record: r, Key: fmt.Sprintf("k%d", i)})
	}
	ws, err := c.Create(ctx, k, ds)
	require.NoError(t, err)
	var ids []string
	for i, w := range ws {
		if i == 7 {
			var e *connectors.Error
			require.ErrorAs(t, w.Err, &e)
			assert.Equal(t, connectors.FieldCountry, e.Field)
			continue
		}
		require.NoError(t, w.Err)
		ids = append(ids, w.ID)
	}
	rs, err := c.Get(ctx, k, append(ids, "no-such-id"))
	require.NoError(t, err)
	for i := range ids {
		require.NoError(t, rs[i].Err)
		assert.Equal(t, ids[i], rs[i].Record.ID)
	}
	assert.ErrorIs(t, rs[len(ids)].Err, connectors.ErrNotFound)

	seen := map[string]bool{}
	for after := ""; ; {
		p, err := c.List(ctx, k, after, 40)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(p.IDs), 41)
		for _, id := range p.IDs {
			assert.False(t, seen[id])
			seen[id] = true
		}
		if after = p.Next; after == "" {
			break
		}
	}
	assert.Len(t, seen, 249)
}

func TestChanges(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{PageSize: 30, Now: seconds()}, map[string]string{"overlap": "0s"})
	k := connectors.KindContact
	var ids []string
	for i := range 95 {
		id, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": fmt.Sprintf("Seed %d", i)})
		require.NoError(t, err)
		ids = append(ids, id)
	}
	all, cursor := drain(t, c, k, "", 20)
	assert.Len(t, all, 95)
	for _, ch := range all {
		require.NotNil(t, ch.Record)
	}
	require.NoError(t, s.Edit("ContactCollection", ids[3], c4ctest.Props{"FirstName": "Eva"}))
	require.NoError(t, s.Edit("ContactCollection", ids[4], c4ctest.Props{"StatusCode": "4"}))
	some, cursor := drain(t, c, k, cursor, 20)
	require.Contains(t, some, ids[3])
	assert.Less(t, len(some), 10)
	assert.True(t, some[ids[4]].Gone)
	got := get(t, c, k, ids[3])
	assert.Equal(t, some[ids[3]].Rev, got.Rev)
	assert.Equal(t, "Eva", got.Contact.GivenName)

	// Many changes in one instant, more than a page holds.
	for _, id := range ids[10:90] {
		require.NoError(t, s.Remove("ContactCollection", id))
	}
	for i := range 75 {
		_, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": fmt.Sprintf("Bulk %d", i), "EntityLastChangedOn": some[ids[4]].Modified})
		require.NoError(t, err)
	}
	bulk, _ := drain(t, c, k, cursor, 20)
	n := 0
	for _, ch := range bulk {
		if !ch.Gone {
			n++
		}
	}
	assert.GreaterOrEqual(t, n, 75)

	_, err := c.Changes(t.Context(), k, "bogus", 10)
	assert.ErrorIs(t, err, connectors.ErrCursorExpired)
}
