package connectors_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
)

// A company that is kept among people comes back as it was.
func TestAccountsAmongContacts(t *testing.T) {
	fields := map[connectors.Field]connectors.Limit{}
	for _, f := range connectors.Fields(connectors.KindAccount) {
		fields[f] = connectors.Limit{}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := connectortest.Records(connectors.KindAccount, connectors.Capability{Fields: fields}).Draw(t, "account").Account
		require.Equal(t, a, connectors.AccountOf(connectors.ContactOf(a)))
	})
	assert.Equal(t, "Ada Berg", connectors.AccountOf(&connectors.Contact{GivenName: "Ada", FamilyName: "Berg"}).Name)
	assert.Equal(t, "Berg AG", connectors.AccountOf(&connectors.Contact{FamilyName: "Berg", Company: "Berg AG"}).Name)
}
