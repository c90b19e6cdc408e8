//go:build unix

package c4c_test

import (
	"encoding/base64"
	"fmt"
	"slices"
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
	t.Run("paging", func(t *testing.T) {
		_, cursor := drain(t, c, k, "", 100)
		made := map[string]connectors.Written{}
		for b := range 4 {
			var ds []connectors.Draft
			for i := range 15 {
				r := contact("P", fmt.Sprintf("Page %d %d", b, i))
				r.Contact.Company = "Paging & Söhne"
				ds = append(ds, connectors.Draft{Record: r, Key: fmt.Sprintf("page-%d-%d", b, i)})
			}
			ws, err := c.Create(ctx, k, ds)
			require.NoError(t, err)
			for _, w := range ws {
				require.NoError(t, w.Err)
				made[w.ID] = w
			}
		}
		some, _ := drain(t, c, k, cursor, 4)
		all, _ := drain(t, c, k, "", 7)
		for id, w := range made {
			assert.Equal(t, w.Rev, some[id].Rev)
			assert.Equal(t, w.Rev, all[id].Rev)
			require.NotNil(t, all[id].Record)
			assert.Equal(t, "Paging & Söhne", all[id].Record.Contact.Company)
		}
		seen := map[string]bool{}
		for after := ""; ; {
			p, err := c.List(ctx, k, after, 9)
			require.NoError(t, err)
			for _, id := range p.IDs {
				assert.False(t, seen[id])
				seen[id] = true
			}
			if after = p.Next; after == "" {
				break
			}
		}
		assert.Len(t, seen, len(all))
		accounts, _ := drain(t, c, connectors.KindAccount, "", 100)
		n := 0
		for _, a := range accounts {
			if a.Record.Account.Name == "Paging & Söhne" {
				n++
			}
		}
		assert.Equal(t, 1, n, "one account for all of them")

		// The walk through one crowded millisecond.
		for id, w := range made {
			ms := w.Modified.UnixMilli()
			ties := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"v":1,"k":"contacts","w":true,"t":true,"f":%d,"n":%d}`, ms, ms))
			p, err := c.Changes(ctx, k, ties, 100)
			require.NoError(t, err)
			assert.True(t, slices.ContainsFunc(p.Changes, func(ch connectors.Change) bool { return ch.ID == id }))
			break
		}
	})
	t.Run("hostile", func(t *testing.T) {
		for _, id := range []string{"x' or 1 eq 1", "')/ContactTextCollection", "a/b", "?$top=1", "%27", "#", "日本"} {
			rs, err := c.Get(ctx, k, []string{id, id + "2"})
			require.NoError(t, err)
			assert.Error(t, rs[0].Err, id)
			assert.Error(t, rs[1].Err, id)
			found, err := c.Find(ctx, k, []string{id})
			require.NoError(t, err)
			assert.Empty(t, found, id)
		}
	})
	t.Run("appointment", func(t *testing.T) { appointments(t, c) })
	for _, k := range []connectors.Kind{connectors.KindIndividualCustomer, connectors.KindLead, connectors.KindVisit, connectors.KindTask,
		connectors.KindMail, connectors.KindPhoneCall} {
		t.Run(k.String(), func(t *testing.T) { life(t, c, k) })
	}
}
