package c4c_test

import (
	"fmt"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
)

// What the connector can do is data: ask it before you promise anything.
func ExamplePlugin() {
	p := c4c.Plugin()
	contacts := p.Capabilities().Kinds[connectors.KindContact]
	fmt.Println(p.Name(), p.Capabilities().Area)
	fmt.Println("family name:", contacts.Fields[connectors.FieldFamilyName])
	fmt.Println("second e-mail address:", contacts.Has(connectors.FieldEmail2))

	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName, r.Contact.PostalCode = "Silva", "1100-148 Lisboa"
	fmt.Println(contacts.Fit(r, []connectors.Field{connectors.FieldPostalCode}))
	// Output:
	// c4c crm
	// family name: {40 true false}
	// second e-mail address: false
	// connectors: check contacts: field postal_code: refused by the rules of the system: 15 characters where 10 fit
}
