package connectors

import "strings"

// AccountOf is what a contact says of a company, for mailboxes that keep companies
// among people: its name is the contact's company, or else the person's own name.
func AccountOf(c *Contact) *Account {
	a := &Account{Name: c.Company}
	if a.Name == "" {
		a.Name = NormalizeText(FieldName, strings.Join(strings.Fields(c.GivenName+" "+c.MiddleName+" "+c.FamilyName), " "))
	}
	for _, f := range Fields(KindAccount) {
		if p, q := a.text(f), c.text(f); p != nil && q != nil {
			*p = *q
		}
	}
	return a
}

// ContactOf is the inverse: a contact that is a company and nobody in person.
// AccountOf of it is the account again.
func ContactOf(a *Account) *Contact {
	c := &Contact{Company: a.Name}
	for _, f := range Fields(KindAccount) {
		if p, q := c.text(f), a.text(f); p != nil && q != nil {
			*p = *q
		}
	}
	return c
}
