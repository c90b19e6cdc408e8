package c4c_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// One "If-Match: *" would undo what revisions are for: it is not sent, whatever
// the system would say to it.
func TestNobodyWritesToAnyRevision(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	ws, err := c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Key: "k", Record: contact("Ada", "Berg")}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	s.ResetLedger()
	for _, rev := range []string{"", "*"} {
		es, err := c.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: ws[0].ID, Rev: rev, Record: contact("Bo", "Berg"), Fields: []connectors.Field{connectors.FieldGivenName}}})
		assert.True(t, err != nil || es[0].Err != nil, "an update of %q", rev)
		ds, err := c.Delete(t.Context(), connectors.KindContact, []connectors.Target{{ID: ws[0].ID, Rev: rev}})
		assert.True(t, err != nil || ds[0].Err != nil, "a deletion of %q", rev)
	}
	assert.Zero(t, s.Writes())
}
