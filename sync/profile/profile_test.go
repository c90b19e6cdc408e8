package profile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/sync/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func now() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

func compile(t testing.TB, layers ...string) *profile.Profile {
	t.Helper()
	p, err := try(layers...)
	require.NoError(t, err)
	return p
}

func try(layers ...string) (*profile.Profile, error) {
	names := []string{"tenant", "user", "third"}
	var ls []profile.Layer
	for i, l := range layers {
		ls = append(ls, profile.Layer{Name: names[i], Data: []byte(l)})
	}
	return profile.Compile(ls...)
}

func event(days int) *connectors.Record {
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	a.Subject, a.Start = "Lunch", now().AddDate(0, 0, days)
	a.End = a.Start.Add(time.Hour)
	r.SetCategories([]string{"SAP Appointments"})
	return r
}

func person(email string) *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName, r.Contact.Email = "Beispiel", email
	r.SetCategories([]string{"SAP Contacts"})
	return r
}

const free = "kinds: {contacts: {marked: {needed: false}}, appointments: {marked: {needed: false}}}"

// Layers: a template's change reaches a user except where the user's own layer
// says otherwise, and what is locked cannot be said.
//
// feature: F36
func TestLayers(t *testing.T) {
	p := compile(t, "kinds: {contacts: {winner: crm, direction: to-crm}}", "kinds: {contacts: {winner: mailbox}}")
	assert.Equal(t, profile.MailboxWins, p.Rule(connectors.KindContact).Winner())
	assert.Equal(t, profile.ToCRM, p.Rule(connectors.KindContact).Direction())
	assert.Equal(t, profile.Both, compile(t).Rule(connectors.KindContact).Direction(), "the template")
	assert.Equal(t, compile(t).Kinds(), compile(t, "", "{}", "null").Kinds())

	for _, user := range []string{"kinds: {contacts: {winner: mailbox}}", "kinds: {contacts: {}}", `{"kinds":{"contacts":{"fields":{"note":{"carry":"never"}}}}}`} {
		_, err := try("locked: [kinds.contacts]", user)
		var e *profile.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "user", e.Layer)
		assert.Contains(t, e.Error(), "locked by tenant")
	}
	_, err := try("locked: [kinds.contacts.winner]\nkinds: {contacts: {winner: crm}}", "kinds: {contacts: {direction: to-crm}}")
	assert.NoError(t, err, "a lock is for those after it, and for what it names")
	_, err = try("", "locked: [kinds.contacts]", "")
	assert.NoError(t, err)
	_, err = try("locked: [kinds.contact]")
	assert.ErrorContains(t, err, "no path")
	_, err = try("locked: [mail]", "locked: []", "mail: {auto_save: true}")
	assert.ErrorContains(t, err, "locked by tenant", "no layer unlocks")
}

// Each mistake is told with its place, the sort of value that stands there, and
// what to write, and never with the value.
//
// feature: F36
func TestMistakes(t *testing.T) {
	const secret = "kanarienvogel"
	for in, want := range map[string]string{
		"kinds:\n  contacts:\n    direction: 3":                 "profile: tenant:3:16: kinds.contacts.direction: is a number, not a text: write one of both, to-crm, to-mailbox",
		"kinds: {contacts: {direction: to-cmr}}":                "kinds.contacts.direction: is a text that means nothing here: did you mean to-crm?",
		"kinds: {contacts: {direction: " + secret + "}}":        "write one of both, to-crm, to-mailbox",
		"kinds: {contact: {}}":                                  "did you mean contacts?",
		"kinds: {contacts: {directon: both}}":                   "did you mean direction?",
		"kinds: {contacts: {enabled: maybe}}":                   "is a text, not true or false",
		"kinds: {contacts: [" + secret + "]}":                   "is a list, not a map",
		"kinds: {contacts: {fields: {compny: {carry: never}}}}": "kinds.contacts.fields.compny: is no field of contacts: did you mean company?",
		"kinds: {contacts: {fields: {company: {carry: both}}}}": "write one of to-crm",
		"window: {past_days: -1}":                               "write a number of days from 0 to 36500, or open",
		"window: {past_days: [1]}":                              "is a list, not one value",
		"zone: Mars/Base":                                       "write the name of a time zone",
		"blocklist: {addresses: [" + secret + "]}":              "blocklist.addresses[0]: is a text that does not fit: write an e-mail address",
		"blocklist: {domains: ['a@" + secret + "']}":            "write a domain without @",
		"version: 2":                                                     "write a whole number from 1 to 1",
		"version: one":                                                   "is a text, not a whole number",
		"kinds: {mails: {direction: both}}":                              "would write mails into a mailbox",
		"kinds: {contacts: {windowed: true}}":                            "means nothing for contacts",
		"kinds: {contacts: {reminder: {set: always}}}":                   "only for appointments, visits, tasks",
		"kinds: {tasks: {attendees: {create: leads}}}":                   "only for appointments, visits and phone calls",
		"kinds: {leads: {read_only: true, direction: to-crm}}":           "does not go with a direction to the CRM",
		"kinds: {tasks: {attachments: {min_size: 2 MB, max_size: 1MB}}}": "is more than the largest",
		"kinds: {tasks: {attachments: {max_size: 1 TB}}}":                "write a number of bytes",
		"kinds: {tasks: {attachments: {max_size: 100 GB}}}":              "write at most 150 MB",
		"kinds: {tasks: {attachments: {allow: [a/b]}}}":                  "write the end of a file name",
		"kinds: {tasks: {reminder: {at: 25:00}}}":                        "write hours and minutes",
		"mail: {match: [tasks]}":                                         "kind that no mail is addressed to",
		"a: 1\na: 2":                                                     "a: stands twice",
		"{a: &x 1, b: *x}":                                               "anchor or an alias",
		"version: !!str 1":                                               "has a tag",
		"- 1":                                                            "is a list, not a map",
		"{" + secret + ": [":                                             "neither YAML nor JSON",
		"--- {}\n--- {}":                                                 "several documents",
		"kinds: {contacts: {filters: {crm: 'campany == \"" + secret + "\"'}}}":       "kinds.contacts.filters.crm: is an expression that uses the unknown name \"campany\", did you mean company?",
		"kinds: {contacts: {filters: {crm: 'company'}}}":                             "is an expression that cannot be understood",
		"kinds: {contacts: {filters: {crm: 'company == '}}}":                         "is an expression that cannot be understood",
		"kinds: {contacts: {fields: {company: {compute: {crm: 'lower(company)'}}}}}": "computed for one side while the field also crosses from there: write carry: to-crm",
		"kinds: {contacts: {fields: {categories: {default: {crm: x}}}}}":             "is for a field that is no text",
		"? {a: 1}\n: 2":                                           "has a key that is a map",
		strings.Repeat(" ", profile.MaxBytes+1):                   "larger than 256 KB",
		strings.Repeat("[", 50):                                   "neither YAML nor JSON",
		"a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30): "too deep",
		"a: [" + strings.Repeat("1,", profile.MaxNodes+1) + "]":   "too many values",
	} {
		_, err := try(in)
		short := in[:min(len(in), 100)]
		if !assert.Error(t, err, short) {
			continue
		}
		assert.Contains(t, err.Error(), want, short)
		assert.NotContains(t, err.Error(), secret, short)
		var es profile.Errors
		require.ErrorAs(t, err, &es)
		var e *profile.Error
		require.ErrorAs(t, err, &e)
		assert.NotEmpty(t, e.Fix, short)
	}
	_, err := try(strings.Repeat("x: 1\n", 1) + "y: 1\nz: 1")
	var es profile.Errors
	require.ErrorAs(t, err, &es)
	assert.Len(t, es, 3, "all mistakes at once")
	assert.Equal(t, []int{1, 2, 3}, []int{es[0].Line, es[1].Line, es[2].Line})
	_, err = profile.Compile(make([]profile.Layer, profile.MaxLayers+1)...)
	assert.Error(t, err)
}

// Records cross the way their kind does; a kind that is off, and a profile that
// is none, want nothing.
//
// feature: F1
func TestDirections(t *testing.T) {
	for layer, want := range map[string][2]bool{"both": {true, true}, "to-crm": {false, true}, "to-mailbox": {true, false}} {
		r := compile(t, free, "kinds: {contacts: {direction: "+layer+"}}").Rule(connectors.KindContact)
		assert.Equal(t, want[0], r.MayCross(connectors.CRM, person("a@x.example"), now()).Wanted, layer)
		assert.Equal(t, want[1], r.MayCross(connectors.Mailbox, person("a@x.example"), now()).Wanted, layer)
		assert.True(t, r.Wants(connectors.CRM, person("a@x.example"), now()).Wanted, "a record with a partner goes on being followed")
		assert.Equal(t, want[0], len(r.Fields(connectors.Mailbox, []connectors.Field{connectors.FieldNote})) == 1)
		assert.Equal(t, want[1], len(r.Fields(connectors.CRM, []connectors.Field{connectors.FieldNote})) == 1)
	}
	p := compile(t, "kinds: {contacts: {enabled: false}}")
	assert.Nil(t, p.Rule(connectors.KindContact))
	assert.NotContains(t, p.Kinds(), connectors.KindContact)
	assert.Equal(t, profile.KindOff, p.Rule(connectors.KindContact).Wants(connectors.CRM, person(""), now()).Reason)
	var zero profile.Profile
	assert.Empty(t, zero.Kinds())
	var none *profile.Profile
	assert.Nil(t, none.Rule(connectors.KindContact))
	assert.False(t, none.SaveMail(nil, profile.Correspondence{}).Save)
	for _, k := range compile(t).Kinds() {
		assert.NotNil(t, compile(t).Rule(k))
	}
	assert.Equal(t, profile.Ask, compile(t).Rule(connectors.KindTask).Winner())
	assert.Equal(t, profile.Follow, compile(t).Rule(connectors.KindTask).Deletes())
	assert.Equal(t, profile.Unlink, compile(t).Rule(connectors.KindContact).Deletes())
}

// Read only means that nothing crosses to the CRM, and no more than that: what a
// user made stays in the mailbox, and stays followed.
//
// feature: F25
func TestReadOnly(t *testing.T) {
	r := compile(t, free, "kinds: {contacts: {read_only: true}}").Rule(connectors.KindContact)
	assert.True(t, r.ReadOnly())
	assert.Equal(t, profile.ToMailbox, r.Direction())
	mine := person("a@x.example")
	assert.Equal(t, profile.WrongWay, r.MayCross(connectors.Mailbox, mine, now()).Reason)
	assert.True(t, r.Wants(connectors.Mailbox, mine, now()).Wanted, "a user's own item is not unwanted for it")
	assert.Empty(t, r.Fields(connectors.CRM, connectors.Fields(connectors.KindContact)))
	var none *profile.Rule
	assert.False(t, none.ReadOnly())
}

// What the mailbox's user did not mark stays there; what comes from the CRM
// needs no mark and gets one.
//
// feature: F5, F11, F12
func TestMarks(t *testing.T) {
	r := compile(t).Rule(connectors.KindContact)
	for _, x := range []struct {
		folder     string
		categories []string
		want       bool
	}{{"", nil, false}, {"Contacts", []string{"Friends"}, false}, {"", []string{"Friends", "sap contacts"}, true},
		{"SAP Contacts", nil, true}, {"sap contacts", nil, true}, {"SAP Accounts", []string{"SAP Accounts"}, false}} {
		c := person("a@x.example")
		c.Marks = &connectors.Marks{Folder: x.folder, Categories: x.categories}
		v := r.Wants(connectors.Mailbox, c, now())
		assert.Equal(t, x.want, v.Wanted, x)
		if !x.want {
			assert.Equal(t, profile.NotMarked, v.Reason)
		}
		assert.True(t, r.Wants(connectors.CRM, c, now()).Wanted)
	}
	assert.Equal(t, "SAP Contacts", r.Mark())
	own := compile(t, "kinds: {contacts: {marked: {categories: [Kunden, Wichtig], folders: []}}}").Rule(connectors.KindContact)
	c := person("a@x.example")
	assert.False(t, own.Wants(connectors.Mailbox, c, now()).Wanted, "another layer's list replaces the template's")
	c.SetCategories([]string{"KUNDEN"})
	assert.True(t, own.Wants(connectors.Mailbox, c, now()).Wanted)
	c.Marks = nil
	assert.False(t, own.Wants(connectors.Mailbox, c, now()).Wanted, "an empty folder name is no folder")
	assert.Empty(t, compile(t, free).Rule(connectors.KindContact).Mark())
}

// The window: thirty days back and open ahead unless a layer says otherwise, the
// same for both sides; a series counts by its last occurrence.
//
// feature: F20, F23
func TestWindow(t *testing.T) {
	for layer, want := range map[string]map[int]bool{
		"{}": {-40: false, -31: false, -29: true, 0: true, 4000: true},
		"window: {past_days: 14, ahead_days: 60}": {-15: false, -13: true, 59: true, 61: false},
		"window: {past_days: open}":               {-40000: true, 40000: true},
	} {
		r := compile(t, layer).Rule(connectors.KindAppointment)
		for days, in := range want {
			for _, side := range []connectors.Area{connectors.CRM, connectors.Mailbox} {
				v := r.Wants(side, event(days), now())
				assert.Equal(t, in, v.Wanted, "%s %d %s", layer, days, side)
				if !in {
					assert.Equal(t, profile.OutOfWindow, v.Reason)
				}
			}
		}
	}
	r := compile(t).Rule(connectors.KindAppointment)
	series := event(-400)
	series.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY"}}
	assert.True(t, r.Wants(connectors.CRM, series, now()).Wanted, "a series that goes on")
	series.Appointment.Recurrence.Rules[0] = "FREQ=WEEKLY;COUNT=5"
	assert.False(t, r.Wants(connectors.CRM, series, now()).Wanted, "a series that is over")
	undated := connectors.NewRecord(connectors.KindTask)
	assert.True(t, compile(t).Rule(connectors.KindTask).Wants(connectors.CRM, undated, now()).Wanted)
	assert.True(t, compile(t, "kinds: {appointments: {windowed: false}}").Rule(connectors.KindAppointment).Wants(connectors.CRM, event(-4000), now()).Wanted)
}

// A filter for each direction: that of the CRM says nothing of what comes from
// the mailbox.
//
// feature: F24
func TestFilters(t *testing.T) {
	p := compile(t, free, `kinds: {contacts: {filters: {crm: 'country == "DE" and not (company contains "Test")', mailbox: 'has(categories, "crm") or email endsWith "@x.example"'}}}`)
	r := p.Rule(connectors.KindContact)
	c := person("a@x.example")
	assert.Equal(t, profile.Filtered, r.Wants(connectors.CRM, c, now()).Reason)
	assert.True(t, r.Wants(connectors.Mailbox, c, now()).Wanted)
	c.Contact.Country, c.Contact.Email = "DE", "a@y.example"
	assert.True(t, r.Wants(connectors.CRM, c, now()).Wanted)
	assert.Equal(t, profile.Filtered, r.Wants(connectors.Mailbox, c, now()).Reason)
	c.SetCategories([]string{"CRM"})
	assert.True(t, r.Wants(connectors.Mailbox, c, now()).Wanted)

	long := compile(t, free, `kinds: {appointments: {filters: {mailbox: 'minutes >= 30 && !all_day && "boss@x.example" in attendees && starts_in_days < 10.5'}}}`).Rule(connectors.KindAppointment)
	e := event(1)
	assert.False(t, long.Wants(connectors.Mailbox, e, now()).Wanted)
	e.Appointment.Attendees = []connectors.Party{{Address: "Boss@x.example"}}
	assert.True(t, long.Wants(connectors.Mailbox, e, now()).Wanted)
}

// Whom a tenant or a user blocks is not touched, by address, domain or a domain
// below it, and before anything else is looked at; no layer unblocks.
//
// feature: F26
// guards: G11
func TestBlocklist(t *testing.T) {
	p := compile(t, free+"\nblocklist: {domains: [bank.example, BÜCHER.example]}", "blocklist: {addresses: [Eva@Home.example]}", "blocklist: {addresses: [], domains: []}")
	for a, want := range map[string]bool{"x@bank.example": true, "x@a.b.bank.example": true, "x@notbank.example": false, "x@bank.example.org": false,
		"eva@home.example": true, "EVA@HOME.EXAMPLE ": true, "adam@home.example": false, "x@bücher.example": true, "x@xn--bcher-kva.example": true,
		"x@bank.example.": true, "": false, "bank.example": false, `"a@b"@bank.example`: true} {
		assert.Equal(t, want, p.Blocked(a), a)
	}
	r := p.Rule(connectors.KindContact)
	for _, f := range []connectors.Field{connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3} {
		c := person("a@x.example")
		c.SetText(f, "x@bank.example")
		for _, side := range []connectors.Area{connectors.CRM, connectors.Mailbox} {
			assert.Equal(t, profile.Blocklisted, r.Wants(side, c, now()).Reason)
		}
	}
	m := mail("x@bank.example", "me@own.example")
	m.Mail.Body = ""
	assert.Equal(t, profile.Blocklisted, p.Rule(connectors.KindMail).Wants(connectors.Mailbox, m, now()).Reason, "decided without a body")
	e := event(1)
	e.Appointment.Attendees = []connectors.Party{{Address: "x@bank.example"}}
	assert.True(t, p.Rule(connectors.KindAppointment).Wants(connectors.Mailbox, e, now()).Wanted)
}

// A private event crosses as a block of time or not at all, and a filter sees no
// more of it; other private records do not cross.
//
// feature: F10
// guards: G11
func TestPrivate(t *testing.T) {
	const bird = "kanarienvogel"
	e := event(1)
	a := e.Appointment
	a.Subject, a.Location, a.Description, a.Organizer = bird, bird, bird, connectors.Party{Address: bird, Name: bird}
	a.Attendees, a.Sensitivity = []connectors.Party{{Address: bird}}, connectors.Private
	a.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=DAILY;COUNT=3"}, Exceptions: []connectors.Occurrence{
		{Original: a.Start, Appointment: &connectors.Appointment{Subject: bird, Start: a.Start, End: a.End}}}}
	e.Attachments, e.Refs = []*connectors.Attachment{{Name: bird}}, []connectors.Ref{{ID: "1"}}
	assert.Equal(t, profile.IsPrivate, compile(t).Rule(connectors.KindAppointment).Wants(connectors.Mailbox, e, now()).Reason)
	p := compile(t, "private: block")
	v := p.Rule(connectors.KindAppointment).Wants(connectors.Mailbox, e, now())
	assert.True(t, v.Wanted)
	assert.True(t, v.Reduce)
	out := profile.Reduced(e)
	assert.Equal(t, a.Start, out.Appointment.Start)
	assert.Equal(t, connectors.Private, out.Appointment.Sensitivity)
	assert.Empty(t, out.Attachments)
	assert.Empty(t, out.Refs)
	assert.Nil(t, out.Marks)
	for _, x := range []*connectors.Appointment{out.Appointment, out.Appointment.Recurrence.Exceptions[0].Appointment} {
		assert.Equal(t, "Private", x.Subject)
		assert.Empty(t, x.Location+x.Description+x.Organizer.Address+x.Organizer.Name)
		assert.Empty(t, x.Attendees)
	}
	nosy := compile(t, "private: block\nkinds: {appointments: {filters: {mailbox: 'subject contains \"kanarien\"'}}}").Rule(connectors.KindAppointment)
	assert.Equal(t, profile.Filtered, nosy.Wants(connectors.Mailbox, e, now()).Reason)
	c := person("a@x.example")
	c.Contact.Sensitivity = connectors.Confidential
	assert.Equal(t, profile.IsPrivate, p.Rule(connectors.KindContact).Wants(connectors.Mailbox, c, now()).Reason)
}

// feature: F14
func TestAttachments(t *testing.T) {
	off := compile(t).Rule(connectors.KindAppointment)
	ok, why := off.Attachment(connectors.Attachment{Name: "a.pdf", Size: 1})
	assert.False(t, ok)
	assert.NotEmpty(t, why)
	r := compile(t, "kinds: {visits: {attachments: {carry: true, allow: [PDF, .docx, .exe], refuse: [exe], min_size: 10, max_size: 1 MB}}}", "kinds: {visits: {attachments: {refuse: []}}}").Rule(connectors.KindVisit)
	for _, x := range []struct {
		name string
		size int64
		want bool
	}{{"a.pdf", 10, true}, {"A.PDF", 1 << 20, true}, {"a.docx", 100, true}, {"a.pdf", 9, false}, {"a.pdf", 1<<20 + 1, false}, {"a.pdf", -1, false},
		{"a.exe", 100, false}, {"a.EXE. ", 100, false}, {"a.pdf.exe", 100, false}, {"a.txt", 100, false}, {"pdf", 100, false}, {"", 100, false}} {
		got, why := r.Attachment(connectors.Attachment{Name: x.name, Size: x.size})
		assert.Equal(t, x.want, got, x)
		assert.Equal(t, x.want, why == "", x)
	}
	var none *profile.Rule
	ok, _ = none.Attachment(connectors.Attachment{Name: "a.pdf"})
	assert.False(t, ok)
}

// feature: F17
func TestReminders(t *testing.T) {
	layer := "zone: Europe/Berlin\nkinds: {appointments: {reminder: {set: always, minutes: 30}}, tasks: {reminder: {set: always, at: '08:30'}}}"
	p := compile(t, layer)
	e := event(1)
	p.Rule(connectors.KindAppointment).Remind(e, now())
	assert.Equal(t, connectors.Reminder{Set: true, Minutes: 30}, e.Appointment.Reminder)
	e = event(-1)
	e.Appointment.Reminder = connectors.Reminder{Set: true, Minutes: 5}
	p.Rule(connectors.KindAppointment).Remind(e, now())
	assert.False(t, e.Appointment.Reminder.Set, "what is over reminds of nothing")
	task := connectors.NewRecord(connectors.KindTask)
	task.Task.Due = "2026-07-01"
	p.Rule(connectors.KindTask).Remind(task, now())
	assert.Equal(t, time.Date(2026, 7, 1, 6, 30, 0, 0, time.UTC), task.Task.Remind, "half past eight in Berlin")
	task.Task.Status = connectors.Completed
	p.Rule(connectors.KindTask).Remind(task, now())
	assert.Zero(t, task.Task.Remind)
	kept := event(1)
	kept.Appointment.Reminder = connectors.Reminder{Set: true, Minutes: 5}
	compile(t).Rule(connectors.KindAppointment).Remind(kept, now())
	assert.Equal(t, 5, kept.Appointment.Reminder.Minutes)
	compile(t, "kinds: {appointments: {reminder: {set: never}}}").Rule(connectors.KindAppointment).Remind(kept, now())
	assert.False(t, kept.Appointment.Reminder.Set)
}

// Fields cross as they are told to; some get a value where there is none, some
// are computed.
//
// feature: F1
func TestFields(t *testing.T) {
	p := compile(t, free, `
kinds:
  contacts:
    fields:
      note: {carry: never}
      website: {carry: to-crm}
      birthday: {carry: to-mailbox}
      country: {default: {crm: DE}}
      company: {carry: to-crm, compute: {crm: 'first(trim(company), upper(before(domain(email), ".")))'}}
      nickname: {carry: to-mailbox, compute: {mailbox: 'join(" ", given_name, family_name)'}}
`)
	r := p.Rule(connectors.KindContact)
	all := connectors.Fields(connectors.KindContact)
	to := func(a connectors.Area) []connectors.Field { return r.Fields(a, all) }
	assert.NotContains(t, to(connectors.CRM), connectors.FieldNote)
	assert.NotContains(t, to(connectors.Mailbox), connectors.FieldNote)
	assert.Contains(t, to(connectors.CRM), connectors.FieldWebsite)
	assert.NotContains(t, to(connectors.Mailbox), connectors.FieldWebsite)
	assert.NotContains(t, to(connectors.CRM), connectors.FieldBirthday)
	assert.Contains(t, to(connectors.Mailbox), connectors.FieldBirthday)

	c := person("a@bakery.example")
	c.Contact.GivenName = "Eva"
	in, err := r.Mapped(c, connectors.CRM, true, now())
	require.NoError(t, err)
	assert.Equal(t, "BAKERY", in.Contact.Company)
	assert.Equal(t, "DE", in.Contact.Country)
	assert.Empty(t, in.Contact.Nickname)
	assert.Empty(t, c.Contact.Company, "the record itself stays as it is")
	again, err := r.Mapped(in, connectors.CRM, true, now())
	require.NoError(t, err)
	assert.Empty(t, connectors.Diff(in, again, all), "mapping what was mapped changes nothing")
	old, err := r.Mapped(c, connectors.CRM, false, now())
	require.NoError(t, err)
	assert.Empty(t, old.Contact.Country, "a default is for new records: what somebody emptied stays empty")
	out, err := r.Mapped(c, connectors.Mailbox, false, now())
	require.NoError(t, err)
	assert.Equal(t, "Eva Beispiel", out.Contact.Nickname)
}

// For any record: nothing that a profile says makes what is not wanted wanted by
// saying it twice, mapping is repeatable, and nothing panics.
func TestAnyRecord(t *testing.T) {
	p := compile(t, "private: block\nblocklist: {domains: [example.co.uk]}\nmail: {auto_save: true}\nkinds: {leads: {enabled: true}, phone-calls: {enabled: true}, contacts: {fields: {note: {carry: to-crm, compute: {crm: 'join(\"/\", note, company)'}}}}}")
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(connectors.Kinds()).Draw(t, "kind")
		c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}}
		for _, f := range connectors.Fields(k) {
			c.Fields[f] = connectors.Limit{}
		}
		rec := connectortest.Records(k, c).Draw(t, "record")
		r := p.Rule(k)
		for _, side := range []connectors.Area{connectors.CRM, connectors.Mailbox} {
			before := rec.Clone()
			v := r.Wants(side, rec, now())
			require.Equal(t, v, r.Wants(side, rec, now()))
			require.Equal(t, v.Wanted, v.Reason == "")
			if r.MayCross(side, rec, now()).Wanted {
				require.True(t, v.Wanted)
			}
			out, err := r.Mapped(rec, side, true, now())
			require.NoError(t, err)
			r.Remind(out, now())
			require.Equal(t, before, rec, "the record changed")
		}
		p.SaveMail(rec, profile.Correspondence{})
		r.NewAttendees(rec, nil)
		if rec.Private() {
			require.Empty(t, r.NewAttendees(rec, nil))
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"", "{}", "version: 1", "kinds: {contacts: {filters: {crm: 'a == 1'}}}", "a: &a [*a]", "? a", "!!x y", "\xff", "{\"kinds\":{\"mails\":{\"marked\":{\"needed\":false}}}}", "locked: [kinds.contacts]\nkinds: {contacts: {winner: crm}}"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := try(a, b)
		if err != nil {
			var es profile.Errors
			require.True(t, errors.As(err, &es) && len(es) > 0 && len(es) <= profile.MaxErrors)
			require.Nil(t, p)
			for _, e := range es {
				require.NotEmpty(t, e.Problem)
			}
			return
		}
		for _, k := range p.Kinds() {
			r := p.Rule(k)
			rec := connectors.NewRecord(k)
			_ = r.Wants(connectors.Mailbox, rec, now())
			_, _ = r.Mapped(rec, connectors.CRM, true, now())
		}
	})
}
