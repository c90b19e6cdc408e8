package profile_test

import (
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/sync/profile"
)

func must(layers ...string) *profile.Profile {
	var ls []profile.Layer
	for i, l := range layers {
		ls = append(ls, profile.Layer{Name: fmt.Sprint("layer ", i+1), Data: []byte(l)})
	}
	p, err := profile.Compile(ls...)
	if err != nil {
		panic(err)
	}
	return p
}

// A tenant changes the template, a user changes what the tenant leaves open.
func ExampleCompile() {
	tenant := profile.Layer{Name: "tenant", Data: []byte("locked: [kinds.contacts.winner]\nkinds: {contacts: {winner: crm}}")}
	user := profile.Layer{Name: "user", Data: []byte("kinds:\n  contacts:\n    direction: to-cmr\n    winner: mailbox")}
	_, err := profile.Compile(tenant, user)
	fmt.Println(err)
	// Output:
	// profile: user:4:13: kinds.contacts.winner: is locked by tenant: leave it out
	// profile: user:3:16: kinds.contacts.direction: is a text that means nothing here: did you mean to-crm? (one of both, to-crm, to-mailbox)
}

// Whether a record takes part, and if not, why.
func ExampleRule_Wants() {
	p := must("blocklist: {domains: [bank.example]}\nkinds: {contacts: {filters: {mailbox: 'company != \"\"'}}}")
	now := time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	r := connectors.NewRecord(connectors.KindContact)
	for range 3 {
		fmt.Printf("%+v\n", p.Rule(r.Kind).Wants(connectors.Mailbox, r, now))
		if r.Marks == nil {
			r.SetCategories([]string{"SAP Contacts"})
			continue
		}
		r.Contact.Company = "Bakery"
	}
	r.Contact.Email = "eva@bank.example"
	fmt.Printf("%+v\n", p.Rule(r.Kind).Wants(connectors.Mailbox, r, now))
	// Output:
	// {Wanted:false Reason:not marked for synchronisation Reduce:false}
	// {Wanted:false Reason:left out by a filter Reduce:false}
	// {Wanted:true Reason: Reduce:false}
	// {Wanted:false Reason:address on a blocklist Reduce:false}
}

// What of a record crosses, and what it says on the other side.
func ExampleRule_Mapped() {
	rule := must(`kinds: {contacts: {fields: {company: {carry: to-crm, compute: {crm: 'first(company, upper(before(domain(email), ".")))'}}}}}`).Rule(connectors.KindContact)
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.Email = "eva@bakery.example"
	out, err := rule.Mapped(r, connectors.CRM, true, time.Now())
	fmt.Println(out.Contact.Company, err)
	fmt.Println(rule.Fields(connectors.Mailbox, []connectors.Field{connectors.FieldCompany, connectors.FieldEmail}))
	// Output:
	// BAKERY <nil>
	// [email]
}

// Which mails are saved without a mark.
func ExampleProfile_SaveMail() {
	p := must("own: {domains: [acme.example]}\nmail: {auto_save: true}")
	crm := profile.Correspondence{Known: func(address string) []connectors.Ref {
		if address == "eva@bakery.example" {
			return []connectors.Ref{{Role: connectors.RoleContact, Kind: connectors.KindContact, ID: "00163E"}}
		}
		return nil
	}}
	r := connectors.NewRecord(connectors.KindMail)
	r.Mail.From = connectors.Party{Address: "ben@acme.example"}
	for _, to := range []string{"ana@acme.example", "nobody@x.example", "Eva@Bakery.example"} {
		r.Mail.To = append(r.Mail.To, connectors.Party{Address: to})
		d := p.SaveMail(r, crm)
		fmt.Printf("%t %q, %q\n", d.Save, d.Why, d.Link.ID)
	}
	// Output:
	// false "between people of the organisation only", ""
	// false "no correspondent is known", ""
	// true "correspondent is known", "00163E"
}

// Which account a new contact belongs to.
func ExampleRule_MatchAccount() {
	rule := must("kinds: {contacts: {account: {otherwise: create}}}").Rule(connectors.KindContact)
	accounts := []profile.Candidate{{ID: "1", Name: "The Bakery Ltd"}, {ID: "2", Name: "Alpha Motors"}}
	fmt.Println(rule.MatchAccount("bakery", accounts).ID, rule.MatchAccount("Omega", accounts).Create)
	// Output: 1 true
}

// Which guests of a meeting become records in the CRM.
func ExampleRule_NewAttendees() {
	rule := must("own: {domains: [acme.example]}\nkinds: {appointments: {attendees: {create: contacts, account: domain}}}").Rule(connectors.KindAppointment)
	r := connectors.NewRecord(connectors.KindAppointment)
	r.Appointment.Attendees = []connectors.Party{{Address: "ana@acme.example"}, {Address: "eva@bakery.example", Name: "Eva Beispiel"}}
	for _, p := range rule.NewAttendees(r, nil) {
		fmt.Println(p.Record.Kind, p.Record.Contact.FamilyName, p.Company)
	}
	// Output: contacts Beispiel bakery.example
}
