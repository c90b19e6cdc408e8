package sync

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// With remembered fields, what each side changed goes to the other, and only a
// field that both changed is a conflict. What is remembered is keyed by the pair.
//
// feature: F28
func TestFieldsThatAreRememberedAreMerged(t *testing.T) {
	for _, remember := range []bool{true, false} {
		states := &Memory{}
		w := newWorld(t, setup{rules: []Rule{{Kind: kc, Fields: remember}}, states: states})
		r := contact("Ada", "Berg", "ada@x.example")
		r.Contact.Phone, r.Contact.JobTitle = "1", "Cook"
		l := w.crm.Add(r)
		w.sync()
		m := w.box.Records(kc)[0].ID
		w.crm.Edit(kc, l, func(r *connectors.Record) { r.Contact.Phone = "2" })
		w.box.Edit(kc, m, func(r *connectors.Record) { r.Contact.JobTitle = "" })
		w.quiet()
		a, b := w.crm.Records(kc)[0].Contact, w.box.Records(kc)[0].Contact
		if !remember {
			assert.Equal(t, []Code{CodeConflict}, codes(w.issues()), "nobody knows who changed what")
			continue
		}
		assert.Equal(t, [2]string{"2", ""}, [2]string{a.Phone, a.JobTitle})
		assert.Equal(t, [2]string{"2", ""}, [2]string{b.Phone, b.JobTitle}, "a field that was emptied stays empty")
		assert.Empty(t, w.issues())
		w.crm.Edit(kc, l, func(r *connectors.Record) { r.Contact.Phone = "3" })
		w.box.Edit(kc, m, func(r *connectors.Record) { r.Contact.Phone = "4" })
		w.quiet()
		assert.Equal(t, []Code{CodeConflict}, codes(w.issues()))

		st, err := states.Open(t.Context(), w.p.ID)
		require.NoError(t, err)
		link, _, err := st.Find(t.Context(), kc, Left, l)
		require.NoError(t, err)
		shared := connectors.Fields(kc)
		require.Len(t, link.Base, digestSize*(len(shared)+1))
		key, err := st.Key(t.Context())
		require.NoError(t, err)
		other := append([]byte{key[0] ^ 1}, key[1:]...)
		rec := w.crm.Records(kc)[0]
		for _, f := range []connectors.Field{connectors.FieldGivenName, connectors.FieldEmail} {
			assert.Equal(t, link.Base.of(f, shared), digester(key, shared)(rec, f))
			assert.NotEqual(t, link.Base.of(f, shared), digester(other, shared)(rec, f), "under another key it is another")
		}
		assert.Nil(t, link.Base.of(connectors.FieldEmail, shared[1:]), "of other fields nothing is known")
	}
}
