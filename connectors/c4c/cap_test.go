//go:build unix

package c4c_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/captest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// TestCAP runs the connector against SAP's own OData V2 server.
func TestCAP(t *testing.T) {
	url, user, password := captest.Start(t)
	c := newWorld(t).open(url, nil, secrets.Scheme{Kind: secrets.Basic, Username: user}, password, map[string]string{"overlap": "0s"})
	ctx, k := t.Context(), connectors.KindContact

	t.Run("contact", func(t *testing.T) {
		_, cursor := drain(t, c, k, "", 100)
		want := richContact()
		ws, err := c.Create(ctx, k, []connectors.Draft{{Record: want, Key: "key-1"}, {Record: contact("", "Only"), Key: "key-2"}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err)
		require.NoError(t, ws[1].Err)
		got := get(t, c, k, ws[0].ID)
		assert.Empty(t, connectors.Diff(want, got, fields(t, c, k)))
		assert.Equal(t, ws[0].Rev, got.Rev)
		assert.Equal(t, "key-1", got.Key)
		some, _ := drain(t, c, k, cursor, 100)
		require.Contains(t, some, ws[0].ID)
		assert.Equal(t, ws[0].Rev, some[ws[0].ID].Rev)

		edit := want.Clone()
		edit.Contact.City, edit.Contact.Note, edit.Contact.Birthday = "Berlin", "", ""
		es, err := c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: ws[0].Rev, Record: edit,
			Fields: []connectors.Field{connectors.FieldCity, connectors.FieldNote, connectors.FieldBirthday}}})
		require.NoError(t, err)
		require.NoError(t, es[0].Err)
		got = get(t, c, k, ws[0].ID)
		assert.Empty(t, connectors.Diff(edit, got, fields(t, c, k)))
		assert.Equal(t, es[0].Rev, got.Rev)
		es, err = c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: ws[0].Rev, Record: want, Fields: []connectors.Field{connectors.FieldCity}},
			{ID: ws[1].ID, Rev: ws[1].Rev, Record: want, Fields: []connectors.Field{connectors.FieldCity}}})
		require.NoError(t, err)
		assert.ErrorIs(t, es[0].Err, connectors.ErrPrecondition)
		assert.NoError(t, es[1].Err)
		found, err := c.Find(ctx, k, []string{"key-1", "it's", "a or 1 eq 1", "key-2"})
		require.NoError(t, err)
		assert.Len(t, found, 2)
		rs, err := c.Get(ctx, k, []string{ws[0].ID, "no'such", ws[1].ID})
		require.NoError(t, err)
		assert.NoError(t, rs[0].Err)
		assert.ErrorIs(t, rs[1].Err, connectors.ErrNotFound)
		assert.NoError(t, rs[2].Err)
	})
	t.Run("appointment", func(t *testing.T) { appointments(t, c) })
}
