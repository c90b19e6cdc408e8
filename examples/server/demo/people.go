package demo

import (
	"fmt"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// person invents the i-th person and decides who knows them: four of ten are in
// the CRM and in one to three mailboxes, three in the CRM only, three in one
// mailbox only.
func (g *generator) person(i int) {
	p := g.places[i%len(g.places)]
	given, family, firm := pick(g, p.given), pick(g, p.family), pick(g, p.companies)
	r := connectors.NewRecord(connectors.KindContact)
	c := r.Contact
	c.GivenName, c.FamilyName, c.Company = given.native, family.native, firm.native
	c.Email = g.address(given.latin+"."+family.latin, firm.latin)
	c.JobTitle = pick(g, p.titles)
	c.Phone = fmt.Sprintf("%s %06d", p.phone, g.r.IntN(1_000_000))
	if g.r.IntN(2) == 0 {
		c.Mobile = fmt.Sprintf("%s %07d", p.phone, g.r.IntN(10_000_000))
	}
	if g.r.IntN(4) > 0 {
		c.Street, c.City, c.Region, c.PostalCode, c.Country = pick(g, p.streets), p.city, p.region, p.postal, p.country
	}
	if g.r.IntN(5) == 0 {
		c.Note = fmt.Sprintf("%s (%d/%d)", p.note, i, g.r.IntN(1000))
	}
	if g.r.IntN(6) == 0 {
		c.Birthday = fmt.Sprintf("%d-%02d-%02d", 1950+g.r.IntN(50), 1+g.r.IntN(12), 1+g.r.IntN(28))
	}
	users := Users()
	switch n := g.r.IntN(10); {
	case n < 4: // both: each side may know something that the other does not
		g.crm(r)
		first := g.r.IntN(len(users))
		for j := range 1 + g.r.IntN(len(users)) {
			m := r.Clone()
			if g.r.IntN(3) == 0 {
				m.Contact.Phone, m.Contact.JobTitle = "", ""
			}
			g.mailbox(users[(first+j)%len(users)].ID, m)
		}
		if g.r.IntN(3) == 0 {
			c.Mobile, c.Note = "", ""
		}
	case n < 7:
		g.crm(r)
	default:
		g.mailbox(pick(g, users).ID, r)
	}
}

// address makes an e-mail address that nobody else in the world has.
func (g *generator) address(local, firm string) string {
	a := local + "@" + firm + ".example"
	g.used[a]++
	if n := g.used[a]; n > 1 {
		a = fmt.Sprintf("%s%d@%s.example", local, n, firm)
	}
	return a
}

// strange adds records that cannot be synced as they are, one for each way in
// which that happens in every real mailbox.
func (g *generator) strange() {
	add := func(edit func(c *connectors.Contact)) {
		r := connectors.NewRecord(connectors.KindContact)
		edit(r.Contact)
		g.mailbox("ana", r)
	}
	add(func(c *connectors.Contact) { // the CRM wants a family name
		c.GivenName, c.Email = "Reception Desk Level Three", "reception3@acme.example"
	})
	add(func(c *connectors.Contact) { // longer than the CRM keeps
		c.GivenName, c.FamilyName, c.Email = "Wolfeschlegel", "Steinhausenbergerdorffwelchevoralternwarengewissenhaft", "wolfe@acme.example"
	})
	add(func(c *connectors.Contact) { // a street of more than sixty characters
		c.GivenName, c.FamilyName, c.Email = "Llinos", "Prydderch-Gwyndaf", "llinos@acme.example"
		c.Street = strings.Repeat("Llanfairpwllgwyngyll Road, ", 4)
		c.Street, c.City, c.Country = strings.TrimSpace(c.Street), "Ynys Môn", "GB"
	})
}
