package profile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/sync/profile"
)

func mail(from string, to ...string) *connectors.Record {
	r := connectors.NewRecord(connectors.KindMail)
	m := r.Mail
	m.MessageID, m.From, m.Date, m.Direction = "m1@x", connectors.Party{Address: from}, now(), connectors.Inbound
	for _, a := range to {
		m.To = append(m.To, connectors.Party{Address: a})
	}
	r.Marks = &connectors.Marks{Folder: "Inbox"}
	return r
}

// Which mails are saved: marked ones, answers in a thread that was saved, and
// those whose correspondents are known; none that no person wrote, none among
// colleagues, none of somebody who is blocked.
//
// feature: F2, F3, F4
func TestSaveMail(t *testing.T) {
	p := compile(t, "own: {domains: [own.example]}\nblocklist: {domains: [bank.example]}\nmail: {auto_save: true}")
	known := profile.Correspondence{
		Known: func(a string) []connectors.Ref {
			switch a {
			case "eva@x.example":
				return []connectors.Ref{{Role: connectors.RoleContact, Kind: connectors.KindContact, ID: "eva"}}
			case "two@x.example":
				return []connectors.Ref{{Kind: connectors.KindContact, ID: "a"}, {Kind: connectors.KindContact, ID: "b"}}
			case "lead@x.example":
				return []connectors.Ref{{Kind: connectors.KindLead, ID: "l"}}
			case "ada@y.example":
				return []connectors.Ref{{Kind: connectors.KindIndividualCustomer, ID: "ada"}}
			}
			return nil
		},
		Saved: func(ids []string) bool { return len(ids) > 0 && ids[0] == "saved@x" },
	}
	decide := func(r *connectors.Record) profile.MailDecision { return p.SaveMail(r, known) }

	d := decide(mail("two@x.example", "me@own.example", "nobody@z.example", "EVA@x.example", "ada@y.example"))
	assert.True(t, d.Save)
	assert.Equal(t, profile.MailMatches, d.Why)
	assert.Equal(t, "eva", d.Link.ID, "the first that is one and no other")
	require.Len(t, d.Others, 1)
	assert.Equal(t, "ada", d.Others[0].ID)
	assert.Len(t, d.Unmatched, 2, "several records, and none; colleagues are not counted")

	with := func(r *connectors.Record, f func(*connectors.Record)) *connectors.Record { f(r); return r }
	in := func() *connectors.Record { return mail("eva@x.example", "me@own.example") }
	for why, r := range map[profile.MailWhy]*connectors.Record{
		profile.MailUnknown:   mail("nobody@z.example", "me@own.example"),
		profile.MailInternal:  mail("you@own.example", "me@own.example"),
		profile.MailBlocked:   mail("eva@x.example", "me@own.example", "x@bank.example"),
		profile.MailAutomatic: with(in(), func(r *connectors.Record) { r.Mail.AutoSubmitted = "auto-replied" }),
		profile.MailFolder:    with(in(), func(r *connectors.Record) { r.Marks.Folder = "Junk" }),
		profile.MailPrivate:   with(in(), func(r *connectors.Record) { r.Mail.Sensitivity = connectors.Private }),
	} {
		d := decide(r)
		assert.False(t, d.Save, why)
		assert.Equal(t, why, d.Why)
		assert.Zero(t, d.Link)
	}
	for _, f := range []func(*connectors.Mail){
		func(m *connectors.Mail) { m.ListID = "<dev.x.example>" },
		func(m *connectors.Mail) { m.ContentType = "multipart/report; report-type=disposition-notification" },
		func(m *connectors.Mail) { m.ContentType = "text/calendar; method=REPLY" },
	} {
		r := in()
		f(r.Mail)
		assert.Equal(t, profile.MailAutomatic, decide(r).Why)
	}
	assert.Equal(t, profile.MailUnknown, decide(mail("lead@x.example", "me@own.example")).Why, "leads are not among those that match")
	assert.Equal(t, profile.MailUnknown, decide(mail("two@x.example", "me@own.example")).Why, "two that have the address are nobody")

	answer := mail("nobody@z.example", "me@own.example")
	answer.Mail.InReplyTo = []string{"saved@x"}
	assert.Equal(t, profile.MailThread, decide(answer).Why)
	marked := mail("you@own.example", "me@own.example")
	marked.SetCategories([]string{"SAP E-Mails"})
	assert.Equal(t, profile.MailMarked, decide(marked).Why, "a user's own mark counts for more than that all are colleagues")
	assert.Equal(t, profile.MailManual, compile(t).SaveMail(in(), known).Why)
	out := in()
	out.Mail.Direction = connectors.Outbound
	assert.Equal(t, profile.MailWrongWay, compile(t, "mail: {auto_save: true, outbound: false}").SaveMail(out, known).Why)
	assert.Equal(t, profile.MailOff, compile(t, "kinds: {mails: {enabled: false}}").SaveMail(in(), known).Why)
	assert.Equal(t, profile.MailUnknown, compile(t, "mail: {auto_save: true, follow_threads: false}").SaveMail(answer, known).Why)
}

// feature: F21
func TestNewAttendees(t *testing.T) {
	layer := "own: {domains: [own.example]}\nblocklist: {domains: [bank.example]}\nkinds: {appointments: {attendees: {create: leads, account: domain}}}"
	r := compile(t, layer).Rule(connectors.KindAppointment)
	e := event(1)
	e.Appointment.Organizer = connectors.Party{Address: "boss@own.example"}
	e.Appointment.Attendees = []connectors.Party{{Address: "known@x.example"}, {Address: "eva@bakery.example", Name: "Beispiel, Eva"}, {Address: "EVA@bakery.example"},
		{Address: "x@bank.example"}, {Address: "adam.muster@gmail.com"}, {Address: "room"}, {Address: "li@y.example", Name: "Li"}}
	got := r.NewAttendees(e, func(a string) bool { return a == "known@x.example" })
	require.Len(t, got, 3)
	assert.Equal(t, connectors.KindLead, got[0].Record.Kind)
	c := got[0].Record.Contact
	assert.Equal(t, []string{"Eva", "Beispiel", "eva@bakery.example", "bakery.example"}, []string{c.GivenName, c.FamilyName, c.Email, got[0].Company})
	c = got[1].Record.Contact
	assert.Equal(t, []string{"adam", "muster", ""}, []string{c.GivenName, c.FamilyName, got[1].Company}, "no company is called after a free mail service")
	assert.Equal(t, "Li", got[2].Record.Contact.FamilyName)
	e.Appointment.Sensitivity = connectors.Private
	assert.Empty(t, r.NewAttendees(e, nil))
	e.Appointment.Sensitivity = connectors.Public
	assert.Empty(t, compile(t).Rule(connectors.KindAppointment).NewAttendees(e, nil))
	for i := range 200 {
		e.Appointment.Attendees = append(e.Appointment.Attendees, connectors.Party{Address: fmt.Sprintf("p%d@z.example", i)})
	}
	assert.Len(t, r.NewAttendees(e, nil), profile.MaxNewPeople)
	people := compile(t, "kinds: {visits: {attendees: {create: contacts}}}").Rule(connectors.KindVisit)
	v := connectors.NewRecord(connectors.KindVisit)
	v.Appointment.Attendees = e.Appointment.Attendees[1:2]
	assert.Equal(t, connectors.KindContact, people.NewAttendees(v, nil)[0].Record.Kind)
}

// feature: F22
func TestMatchAccount(t *testing.T) {
	day := func(n int) time.Time { return now().AddDate(0, 0, n) }
	cs := []profile.Candidate{{"1", "Bakery Ltd", day(3)}, {"2", "BAKERY  ltd", day(1)}, {"3", "The Bakery Ltd Group", day(0)}, {"4", "Alpha Motors", day(0)}, {"5", "Alpha Bank", day(0)}}
	r := compile(t, "kinds: {contacts: {account: {otherwise: create, country: DE}}}").Rule(connectors.KindContact)
	assert.Equal(t, "2", r.MatchAccount(" bakery ltd ", cs).ID, "the oldest of the same name")
	assert.Equal(t, "3", r.MatchAccount("bakery ltd group", cs).ID, "the only one that has it in it")
	assert.Equal(t, profile.AccountMatch{Create: true, Name: "Alpha", Country: "DE"}, r.MatchAccount("Alpha ", cs), "two have it in them")
	assert.Equal(t, profile.AccountMatch{}, r.MatchAccount(" ", cs))
	none := compile(t).Rule(connectors.KindContact)
	assert.Equal(t, profile.AccountMatch{}, none.MatchAccount("Alpha", cs))
	exact := compile(t, "kinds: {contacts: {account: {match: [exact]}}}").Rule(connectors.KindContact)
	assert.Equal(t, profile.AccountMatch{}, exact.MatchAccount("bakery ltd group", cs))
}

// What an expression may be made of, and what it may cost.
func TestExpressions(t *testing.T) {
	filter := func(e string) (*profile.Profile, error) {
		return try(free, "kinds: {contacts: {filters: {crm: "+fmt.Sprintf("%q", e)+"}}}")
	}
	c := person("eva@bakery.example")
	c.Contact.Company, c.Contact.Note = "Bakery", strings.Repeat("long ", 100_000)
	for e, want := range map[string]bool{
		`true`: true, `company == "Bakery"`: true, `lower(company) startsWith "bak"`: true, `company matches "^B.*y$"`: true,
		`kind == "contacts" && attachments == 0`: true, `private`: false, `company in ["a", "Bakery"]`: true, `note contains "long"`: true,
		`replace(company, "Ba", "") == "kery"`: true, `after(email, "@") == domain(email)`: true, `digits("+49 (1) 2") == "+4912"`: true,
		`upper(trim("  a ")) == "A" ? true : false`: true, `company + "x" == "Bakeryx"`: true, `first("", company) != ""`: true,
		`(company | lower()) == "bakery"`: true, `if true { true } else { false }`: true, strings.Repeat("(", 900) + "true" + strings.Repeat(")", 900): true,
	} {
		p, err := filter(e)
		if assert.NoError(t, err, e) {
			assert.Equal(t, want, p.Rule(connectors.KindContact).Wants(connectors.CRM, c, now()).Wanted, e)
		}
	}
	for _, e := range []string{`let x = company; x == ""`, `company[0:1] == "B"`, `len(company) > 1`, `all(categories, true)`, `map(categories, #)`, `1..1000000000 == []`,
		`repeat(company, 1000000) == ""`, `company.x == 1`, `company matches company`, `company matches "("`, `{"a": 1} == 1`, `env == 1`, `$env == 1`,
		`2 ** 1000 > 1`, `now() == 1`, `true; false`, `filter(categories, # == "")`, `categories[0] == ""`, `get("a", 1)`, `sum([1])`, `unknown(1)`,
		`company == 1`, `lower(1) == ""`, `lower() == ""`, strings.Repeat("not ", 200) + "true", strings.Repeat("true or ", 300) + "true"} {
		_, err := filter(e)
		assert.Error(t, err, e)
	}
	// What would grow beyond all measure fails instead.
	grow := compile(t, free, `kinds: {contacts: {fields: {note: {carry: to-crm, compute: {crm: 'replace(replace(note, "long", "longlonglonglong"), "o", "oooooooooo")'}}}}}`).Rule(connectors.KindContact)
	_, err := grow.Mapped(c, connectors.CRM, false, now())
	assert.ErrorIs(t, err, profile.ErrTooLong)
	var fe *profile.FieldError
	require.ErrorAs(t, err, &fe)
	assert.Equal(t, connectors.FieldNote, fe.Field)
	assert.NotContains(t, err.Error(), "long long")
	sum := compile(t, free, `kinds: {contacts: {fields: {note: {carry: to-crm, compute: {crm: 'note + note'}}}}}`).Rule(connectors.KindContact)
	_, err = sum.Mapped(c, connectors.CRM, false, now())
	assert.ErrorIs(t, err, profile.ErrTooLong)
}
