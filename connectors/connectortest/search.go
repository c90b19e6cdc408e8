package connectortest

import (
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// search: records are found by what a field says, whatever its case, in whole or
// in part, and by nothing that is not listed.
func search(c *kase) {
	_, err := c.conn.Search(c.Context(), c.k, connectors.Query{Field: connectors.FieldCategories, Text: "x"})
	require.ErrorIs(c, err, connectors.ErrUnsupported, "a field that is not listed")
	c.need("search", len(c.c.Search) > 0)
	for _, f := range c.c.Search {
		if l, ok := c.c.Fields[f]; !ok || l.ReadOnly {
			continue
		}
		put := func(n int, text string) string {
			r := c.plain(n)
			require.True(c, r.SetText(f, text), "%s is no text", f)
			return c.add(c, r)
		}
		base := strings.ReplaceAll(string(f), "_", "") + "quill@search.example"
		hit, other := put(10, base), put(11, "other"+base)
		ask := func(text string, part bool) (ids []string) {
			hits, err := c.conn.Search(c.Context(), c.k, connectors.Query{Field: f, Text: text, Part: part})
			require.NoError(c, err)
			for _, h := range hits {
				ids = append(ids, h.ID)
				assert.Contains(c, strings.ToLower(h.Text), strings.ToLower(text))
			}
			slices.Sort(ids)
			return ids
		}
		assert.Equal(c, []string{hit}, ask(strings.ToUpper(base), false), "%s", f)
		both := []string{hit, other}
		slices.Sort(both)
		assert.Equal(c, both, ask(base, true), "%s in part", f)
		assert.Empty(c, ask("nobody"+base, true))
		_, err := c.conn.Search(c.Context(), c.k, connectors.Query{Field: f})
		assert.ErrorIs(c, err, connectors.ErrInvalid, "everything is no search")
	}
}

// heads: what comes along with changes lacks its long texts where it says so, and
// the body of a mail never comes along.
func heads(c *kase) {
	id := c.add(c, c.plain(4))
	cs, _ := c.changes(c, c.conn, "", 0, nil)
	for _, ch := range cs {
		if ch.ID != id || ch.Record == nil {
			continue
		}
		full := c.get(c, id)
		if ch.Head {
			full.Head()
		}
		assert.Empty(c, connectors.Diff(full, ch.Record, connectors.Fields(c.k)), "what came along is not what is there")
		assert.True(c, ch.Record.Mail == nil || ch.Head && ch.Record.Mail.Body == "")
	}
}
