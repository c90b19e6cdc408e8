package profile_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

const (
	kc = connectors.KindContact
	ka = connectors.KindAppointment
	kt = connectors.KindTask
	km = connectors.KindMail
)

// world is a CRM and a mailbox between which the real engine works by a profile.
type world struct {
	t        testing.TB
	az       *authztest.World
	crm, box *mem.System
	engine   *lksync.Engine
	pair     lksync.Pair
	worker   authz.Principal
	now      time.Time
}

func newWorld(t testing.TB, crm, box mem.Options, layers ...string) *world {
	w := &world{t: t, now: now()}
	clock := func() time.Time { return w.now }
	crm.Clock, box.Clock = clock, clock
	w.crm, w.box = mem.New(&crm), mem.New(&box)
	w.az = authztest.NewAt(t, clock,
		"allow service:sync-worker role:sync-worker tenants/acme",
		"allow user:idp/ana role:user tenants/acme/users/ana",
		"allow user:idp/ana role:crm-user tenants/acme/crm")
	w.worker = authztest.Principal(t, "service:sync-worker")
	cp, err := w.crm.Plugin("crm", connectors.CRM)
	require.NoError(t, err)
	bp, err := w.box.Plugin("box", connectors.Mailbox)
	require.NoError(t, err)
	hub, err := connectors.NewHub(w.az.Authorizer, nil, cp, bp)
	require.NoError(t, err)
	ana := authztest.Principal(t, "user:idp/ana")
	open := func(plugin, res string) *connectors.Conn {
		c, err := hub.Open(t.Context(), w.worker, connectors.Endpoint{Plugin: plugin, Resource: authztest.Resource(t, res), OnBehalfOf: ana})
		require.NoError(t, err)
		return c
	}
	w.engine = lksync.New(w.az.Authorizer, &lksync.Memory{}, &lksync.Options{Clock: clock})
	w.pair = lksync.Pair{ID: "ana", Resource: authztest.Resource(t, "tenants/acme/users/ana/sync"), OnBehalfOf: ana,
		Left: open("crm", "tenants/acme/crm"), Right: open("box", "tenants/acme/users/ana/mailbox"), Addresses: []string{"ana@acme.example"}}
	w.obey(layers...)
	return w
}

// obey puts another profile in force.
func (w *world) obey(layers ...string) {
	w.pair.Rules = compile(w.t, layers...).Rules(w.pair.Left, w.pair.Right)
}

// sync runs rounds until one writes nothing, and returns what the first did.
func (w *world) sync() lksync.Report {
	w.t.Helper()
	var first lksync.Report
	for i := range 10 {
		w.now = w.now.Add(time.Minute)
		r, err := w.engine.Sync(w.t.Context(), w.worker, w.pair)
		require.NoError(w.t, err)
		if i == 0 {
			first = r
		}
		if i > 0 && r.Writes() == 0 {
			return first
		}
	}
	require.Fail(w.t, "ten rounds and still writing")
	return first
}

func (w *world) codes() (out []lksync.Code) {
	w.t.Helper()
	p := w.pair
	p.OnBehalfOf = authz.Principal{}
	page, err := w.engine.Issues(w.t.Context(), authztest.Principal(w.t, "user:idp/ana"), p, lksync.IssueQuery{})
	require.NoError(w.t, err)
	for _, i := range page.Issues {
		out = append(out, i.Code)
	}
	return out
}

// unmarked is a record of which its user chose nothing.
func unmarked(r *connectors.Record) *connectors.Record {
	r.Marks = nil
	return r
}

func named(r *connectors.Record, family string) *connectors.Record {
	r.Contact.FamilyName = family
	return r
}

func families(rs []*connectors.Record) (out []string) {
	for _, r := range rs {
		out = append(out, r.Contact.FamilyName)
	}
	slices.Sort(out)
	return out
}

// crmOnly is a CRM of which nobody marks anything.
func crmOnly() mem.Options { return *mem.C4C() }

// A kind crosses the way its profile says, and the kinds that are off not at all.
//
// feature: F11
// feature: F36
func TestDirection(t *testing.T) {
	for direction, want := range map[string][2]int{"both": {2, 2}, "to-crm": {2, 1}, "to-mailbox": {1, 2}} {
		w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {contacts: {direction: "+direction+"}}")
		w.crm.Add(unmarked(person("eva@x.example")))
		w.box.Add(named(person("max@x.example"), "Max"))
		w.sync()
		assert.Equal(t, want, [2]int{len(w.crm.Records(kc)), len(w.box.Records(kc))}, direction)
	}
	w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {contacts: {enabled: false}, accounts: {enabled: false}, individual-customers: {enabled: false}}")
	w.crm.Add(unmarked(person("eva@x.example")))
	w.sync()
	assert.Empty(t, w.box.Records(kc))
}

// A template's change reaches a user at the next round, for records too that
// nobody changed meanwhile.
//
// feature: F29
// feature: F36
func TestAProfileThatChangesIsAppliedToWhatIsThere(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {contacts: {filters: {crm: 'country == \"DE\"'}}}")
	eva := unmarked(person("eva@x.example"))
	eva.Contact.Country = "AT"
	w.crm.Add(eva)
	w.sync()
	assert.Empty(t, w.box.Records(kc), "left out by the filter")
	w.obey("kinds: {contacts: {filters: {crm: 'country in [\"DE\", \"AT\"]'}}}")
	w.sync()
	require.Len(t, w.box.Records(kc), 1)
	w.obey("kinds: {contacts: {filters: {crm: 'country == \"DE\"'}}}")
	r := w.sync()
	assert.Zero(t, r.Writes(), "what a filter leaves out is let go and never deleted")
	assert.Equal(t, 1, r.Kinds[kc].Unlinked)
	w.crm.Edit(kc, w.crm.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.JobTitle = "Cook" })
	w.sync()
	assert.Empty(t, w.box.Records(kc)[0].Contact.JobTitle, "it is not followed")
	w.obey("")
	w.sync()
	assert.Equal(t, "Cook", w.box.Records(kc)[0].Contact.JobTitle, "and comes back with what was changed since")
	assert.Empty(t, w.codes())
}

// Whose values stand when both sides changed a field.
//
// feature: F28
func TestWinner(t *testing.T) {
	for winner, want := range map[string]string{"crm": "Cook", "mailbox": "Baker", "ask": ""} {
		w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {contacts: {winner: "+winner+"}}")
		w.crm.Add(unmarked(person("eva@x.example")))
		w.sync()
		w.crm.Edit(kc, w.crm.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.JobTitle = "Cook" })
		w.box.Edit(kc, w.box.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.JobTitle = "Baker" })
		w.sync()
		got := [2]string{w.crm.Records(kc)[0].Contact.JobTitle, w.box.Records(kc)[0].Contact.JobTitle}
		if want == "" {
			assert.Equal(t, [2]string{"Cook", "Baker"}, got)
			assert.Equal(t, []lksync.Code{lksync.CodeConflict}, w.codes())
			continue
		}
		assert.Equal(t, [2]string{want, want}, got, winner)
		assert.Empty(t, w.codes())
	}
}

// What a deletion means for the partner, and that a deletion in the mailbox can
// cancel instead.
//
// feature: F5
func TestDeletes(t *testing.T) {
	for deletes, left := range map[string]int{"follow": 0, "unlink": 1} {
		w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {appointments: {deletes: "+deletes+"}}")
		w.crm.Add(unmarked(event(3)))
		w.sync()
		w.box.Remove(ka, w.box.Records(ka)[0].ID)
		w.sync()
		assert.Len(t, w.crm.Records(ka), left, deletes)
	}
	w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {appointments: {cancels: true}}")
	w.crm.Add(unmarked(event(3)))
	w.sync()
	w.box.Remove(ka, w.box.Records(ka)[0].ID)
	w.sync()
	require.Len(t, w.crm.Records(ka), 1)
	assert.Equal(t, connectors.Cancelled, w.crm.Records(ka)[0].Appointment.Status)
	assert.Empty(t, w.box.Records(ka))

	meeting := event(3)
	meeting.Appointment.Organizer.Address = "boss@acme.example"
	meeting.Appointment.Attendees = []connectors.Party{{Address: "ana@acme.example"}}
	w = newWorld(t, crmOnly(), mem.Options{}, "kinds: {appointments: {attendee_deletes: true}}")
	w.box.Add(meeting)
	w.sync()
	require.Len(t, w.crm.Records(ka), 1)
	w.box.Remove(ka, w.box.Records(ka)[0].ID)
	w.sync()
	assert.Empty(t, w.crm.Records(ka))
}

// Only what its user marks crosses; the mark taken away, both stay and are
// followed no longer. What comes from the CRM carries the mark.
//
// feature: F5
// feature: F9
// feature: F11
// feature: F12
func TestTheEngineKeepsMarks(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{})
	w.box.Add(unmarked(person("own@x.example")))
	w.box.Add(unmarked(event(1)))
	task := connectors.NewRecord(kt)
	task.Task.Subject = "Call back"
	w.box.Add(task.Clone())
	w.sync()
	assert.Empty(t, w.crm.Records(kc))
	assert.Empty(t, w.crm.Records(ka))
	assert.Empty(t, w.crm.Records(kt))

	task.Marks = &connectors.Marks{Folder: "SAP Tasks"}
	w.box.Add(task)
	w.box.Edit(ka, w.box.Records(ka)[0].ID, func(r *connectors.Record) { r.Marks = &connectors.Marks{Folder: "SAP Appointments Calendar"} })
	w.crm.Add(unmarked(named(person("eva@x.example"), "Eva")))
	w.sync()
	assert.Len(t, w.crm.Records(kt), 1, "chosen by folder")
	assert.Len(t, w.crm.Records(ka), 1, "chosen later")
	require.Len(t, w.box.Records(kc), 2)
	i := slices.IndexFunc(w.box.Records(kc), func(r *connectors.Record) bool { return r.Contact.FamilyName == "Eva" })
	assert.Equal(t, []string{"SAP Contacts"}, w.box.Records(kc)[i].Categories())

	w.box.Edit(kc, w.box.Records(kc)[i].ID, func(r *connectors.Record) { r.SetCategories(nil); r.Contact.JobTitle = "Cook" })
	w.sync()
	assert.Len(t, w.box.Records(kc), 2, "the mark taken away deletes nothing")
	assert.Empty(t, w.crm.Records(kc)[0].Contact.JobTitle)
	w.box.Edit(kc, w.box.Records(kc)[i].ID, func(r *connectors.Record) { r.SetCategories([]string{"sap contacts"}) })
	w.sync()
	assert.Equal(t, "Cook", w.crm.Records(kc)[0].Contact.JobTitle, "and is followed again")
	assert.Empty(t, w.codes())
}

// In a mailbox that has no categories, what came from the CRM is followed all the
// same.
//
// feature: F9
func TestWhatCannotBeMarkedIsFollowed(t *testing.T) {
	w := newWorld(t, crmOnly(), *mem.Google())
	w.crm.Add(unmarked(person("eva@x.example")))
	w.sync()
	require.Len(t, w.box.Records(kc), 1)
	w.box.Edit(kc, w.box.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.JobTitle = "Cook" })
	w.sync()
	assert.Equal(t, "Cook", w.crm.Records(kc)[0].Contact.JobTitle)
}

// 30 days back and open ahead; what leaves the window stays on both sides.
//
// feature: F20
// feature: F23
func TestTheEngineKeepsWindow(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{})
	for _, days := range []int{-31, -29, 900} {
		w.box.Add(event(days))
	}
	w.sync()
	assert.Len(t, w.crm.Records(ka), 2)
	w.now = w.now.AddDate(0, 0, 10)
	for _, r := range w.box.Records(ka) {
		w.box.Edit(ka, r.ID, func(r *connectors.Record) { r.Appointment.Location = "Hall" })
	}
	w.sync()
	assert.Len(t, w.crm.Records(ka), 2)
	assert.Len(t, w.box.Records(ka), 3)
	var halls int
	for _, r := range w.crm.Records(ka) {
		if r.Appointment.Location != "" {
			halls++
		}
	}
	assert.Equal(t, 1, halls, "the one in the window")

	// With an end ahead, what was too far away comes in by itself.
	w = newWorld(t, crmOnly(), mem.Options{}, "window: {past_days: 14, ahead_days: 60}")
	w.box.Add(event(61))
	w.sync()
	assert.Empty(t, w.crm.Records(ka))
	w.now = w.now.AddDate(0, 0, 2)
	w.sync()
	assert.Len(t, w.crm.Records(ka), 1)
}

// A filter holds in both directions, and for what is linked already.
//
// feature: F24
func TestTheEngineKeepsFilters(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, `kinds: {contacts: {filters: {crm: 'country == "DE"', mailbox: 'not (company contains "Test")'}}}`)
	for i, country := range []string{"DE", "FR"} {
		r := unmarked(named(person(country+"@x.example"), []string{"In", "Out"}[i]))
		r.Contact.Country = country
		w.crm.Add(r)
	}
	for i, company := range []string{"Bakery", "Test Ltd"} {
		r := named(person(company[:4]+"@y.example"), []string{"Up", "Kept"}[i])
		r.Contact.Company, r.Contact.Country = company, "DE"
		w.box.Add(r)
	}
	w.sync()
	assert.Equal(t, []string{"In", "Out", "Up"}, families(w.crm.Records(kc)))
	assert.Equal(t, []string{"In", "Kept", "Up"}, families(w.box.Records(kc)))
	for i, r := range w.crm.Records(kc) {
		if r.Contact.FamilyName == "In" {
			w.crm.Edit(kc, w.crm.Records(kc)[i].ID, func(r *connectors.Record) { r.Contact.Country = "FR" })
		}
	}
	w.sync()
	assert.Len(t, w.box.Records(kc), 3, "out of the filter is unlinked, not deleted")
}

// A kind that is read only shows what the CRM says: nothing goes up, what was
// deleted in the mailbox comes back, and a user's own items stay.
//
// feature: F25
// guards: G10
func TestReadOnlyKinds(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, "kinds: {contacts: {read_only: true}}")
	w.crm.Add(unmarked(named(person("eva@x.example"), "Eva")))
	w.box.Add(named(person("own@x.example"), "Own"))
	w.sync()
	assert.Equal(t, []string{"Eva"}, families(w.crm.Records(kc)))
	assert.Equal(t, []string{"Eva", "Own"}, families(w.box.Records(kc)))
	for _, r := range w.box.Records(kc) {
		w.box.Edit(kc, r.ID, func(r *connectors.Record) { r.Contact.JobTitle = "Mine" })
		if r.Contact.FamilyName == "Eva" {
			w.sync()
			w.box.Remove(kc, r.ID)
		}
	}
	w.sync()
	assert.Equal(t, []string{"Eva"}, families(w.crm.Records(kc)))
	assert.Empty(t, w.crm.Records(kc)[0].Contact.JobTitle)
	assert.Equal(t, []string{"Eva", "Own"}, families(w.box.Records(kc)))
	assert.Empty(t, w.codes())
}

// Who is on a blocklist is not touched, and the body of what he wrote is not read.
//
// feature: F26
// guards: G11
func TestTheEngineKeepsBlocklist(t *testing.T) {
	const list = "blocklist: {domains: [bank.example], addresses: [spy@x.example]}\nmail: {auto_save: true}"
	w := newWorld(t, crmOnly(), mem.Options{Heads: true}, list)
	blocked := []string{
		w.box.Add(person("a@sub.bank.example")),
		w.box.Add(person("SPY@x.example")),
		w.box.Add(letter("boss@bank.example", "ana@acme.example", "1@x")),
	}
	w.crm.Add(unmarked(person("b@bank.example")))
	fine := w.box.Add(named(person("eva@x.example"), "Eva"))
	w.box.Ledger()
	w.sync()
	assert.Equal(t, []string{"Beispiel", "Eva"}, families(w.crm.Records(kc)))
	assert.Empty(t, w.crm.Records(km))
	assert.Len(t, w.box.Records(kc), 3)
	read := map[string]bool{}
	for _, e := range w.box.Ledger() {
		for _, id := range e.IDs {
			read[id] = read[id] || e.Verb == "get"
		}
	}
	assert.True(t, read[fine])
	for _, id := range blocked {
		assert.False(t, read[id], "the body of %s was read", id)
	}
	// Blocked by a user later: the link is let go.
	w.obey(list, "blocklist: {addresses: [eva@x.example]}")
	r := w.sync()
	assert.Equal(t, 1, r.Kinds[kc].Unlinked)
	assert.Len(t, w.crm.Records(kc), 2)
}

// Reminders are the profile's in the mailbox, and no news to the CRM.
//
// feature: F17
func TestTheEngineKeepsReminders(t *testing.T) {
	w := newWorld(t, mem.Options{}, mem.Options{}, `{kinds: {appointments: {reminder: {set: always, minutes: 20}}, tasks: {reminder: {set: always, at: "08:30"}}}, zone: Europe/Berlin}`)
	w.crm.Add(unmarked(event(3)))
	task := connectors.NewRecord(kt)
	task.Task.Subject, task.Task.Due = "Call back", "2026-06-20"
	w.crm.Add(task)
	w.sync()
	assert.Equal(t, connectors.Reminder{Set: true, Minutes: 20}, w.box.Records(ka)[0].Appointment.Reminder)
	assert.Equal(t, time.Date(2026, 6, 20, 6, 30, 0, 0, time.UTC), w.box.Records(kt)[0].Task.Remind)
	w.crm.Edit(kt, w.crm.Records(kt)[0].ID, func(r *connectors.Record) { r.Task.Due = "2026-06-22" })
	w.sync()
	assert.Equal(t, 22, w.box.Records(kt)[0].Task.Remind.Day())
	w.box.Edit(ka, w.box.Records(ka)[0].ID, func(r *connectors.Record) { r.Appointment.Reminder.Minutes = 5 })
	w.sync()
	assert.False(t, w.crm.Records(ka)[0].Appointment.Reminder.Set)
}

// Which way a field crosses, what a new record says where it would be empty, and
// what is computed.
//
// feature: F30
func TestFieldMapping(t *testing.T) {
	w := newWorld(t, mem.Options{}, mem.Options{}, `kinds: {contacts: {fields: {
		note: {carry: never}, phone: {carry: to-mailbox}, department: {default: {crm: Sales}},
		company: {carry: to-crm, compute: {crm: 'first(company, upper(before(domain(email), ".")))'}}}}}`)
	r := person("eva@bakery.example")
	r.Contact.Note, r.Contact.Phone = "own", "123"
	m := w.box.Add(r)
	w.sync()
	require.Len(t, w.crm.Records(kc), 1)
	c := w.crm.Records(kc)[0]
	assert.Equal(t, [4]string{"", "", "Sales", "BAKERY"}, [4]string{c.Contact.Note, c.Contact.Phone, c.Contact.Department, c.Contact.Company})
	w.box.Touch(kc, m)
	assert.Zero(t, w.sync().Writes(), "a computed field is no difference")
	w.crm.Edit(kc, c.ID, func(r *connectors.Record) {
		r.Contact.Note, r.Contact.Phone, r.Contact.JobTitle = "ours", "456", "Cook"
	})
	w.sync()
	b := w.box.Records(kc)[0].Contact
	assert.Equal(t, [4]string{"own", "456", "Cook", ""}, [4]string{b.Note, b.Phone, b.JobTitle, b.Company})
	w.box.Edit(kc, m, func(r *connectors.Record) { r.Contact.Email = "eva@mill.example" })
	w.sync()
	assert.Equal(t, "MILL", w.crm.Records(kc)[0].Contact.Company)
	w.crm.Edit(kc, c.ID, func(r *connectors.Record) { r.Contact.Note = "only ours" })
	assert.Zero(t, w.sync().Writes(), "a field that crosses nowhere makes no write")
	assert.Empty(t, w.codes())
}

// letter is a mail that was received.
func letter(from, to, id string) *connectors.Record {
	r := connectors.NewRecord(km)
	m := r.Mail
	m.From, m.To, m.MessageID, m.Date = connectors.Party{Address: from}, []connectors.Party{{Address: to}}, id, now()
	m.Subject, m.Body, m.Direction = "About "+id, "text of "+id, connectors.Inbound
	r.Marks = &connectors.Marks{Folder: "Inbox"}
	return r
}

// Mails of known correspondents are saved, once, with the records that they are
// about, and so are answers to them; not what programs wrote, nor what stays in
// the house, nor what strangers wrote.
//
// feature: F2
// feature: F3
// feature: F4
func TestMailsAreSaved(t *testing.T) {
	w := newWorld(t, mem.Options{}, mem.Options{}, "own: {domains: [acme.example]}\nkinds: {contacts: {enabled: false}}\nmail: {auto_save: true}")
	eva := w.crm.Add(unmarked(person("eva@x.example")))
	max := w.crm.Add(unmarked(named(person("max@x.example"), "Max")))
	robot := letter("eva@x.example", "ana@acme.example", "robot@x")
	robot.Mail.AutoSubmitted = "auto-replied"
	elsewhere := letter("eva@x.example", "ana@acme.example", "trash@x")
	elsewhere.Marks.Folder = "Deleted Items"
	marked := letter("stranger@z.example", "ana@acme.example", "marked@z")
	marked.Marks = &connectors.Marks{Categories: []string{"SAP E-Mails"}}
	answer := letter("colleague@acme.example", "new@y.example", "answer@y")
	answer.Mail.InReplyTo = []string{"first@x"}
	first := letter("eva@x.example", "ana@acme.example", "first@x")
	first.Mail.Cc = []connectors.Party{{Address: "max@x.example"}, {Address: "nobody@x.example"}}
	for _, m := range []*connectors.Record{first, robot, elsewhere, marked, letter("ana@acme.example", "ben@acme.example", "internal@acme"), letter("stranger@z.example", "ana@acme.example", "unknown@z")} {
		w.box.Add(m)
	}
	w.sync()
	w.box.Add(answer)
	w.sync()
	var saved []string
	for _, r := range w.crm.Records(km) {
		saved = append(saved, r.Mail.MessageID)
		assert.Equal(t, "text of "+r.Mail.MessageID, r.Mail.Body)
	}
	slices.Sort(saved)
	assert.Equal(t, []string{"answer@y", "first@x", "marked@z"}, saved)
	for _, r := range w.crm.Records(km) {
		if r.Mail.MessageID == "first@x" {
			assert.Equal(t, []connectors.Ref{{Role: connectors.RoleContact, Kind: kc, ID: eva}, {Role: connectors.RoleParticipant, Kind: kc, ID: max}}, r.Refs)
		}
	}
	// The same mail again, in another folder or of another mailbox, is there.
	w.box.Add(first.Clone())
	w.sync()
	assert.Len(t, w.crm.Records(km), 3)
	// A mail is never updated, and one thrown away stays in the CRM.
	for _, r := range w.box.Records(km) {
		w.box.Remove(km, r.ID)
	}
	w.sync()
	assert.Len(t, w.crm.Records(km), 3)
	assert.Empty(t, w.codes())
}

// The bodies of mails that are not saved are not read.
//
// feature: F3
func TestOnlyHeadsOfMailsAreRead(t *testing.T) {
	w := newWorld(t, mem.Options{}, mem.Options{}, "mail: {auto_save: true}")
	w.box.Add(letter("stranger@z.example", "ana@acme.example", "unknown@z"))
	w.sync()
	for _, e := range w.box.Ledger() {
		assert.False(t, e.Kind == km && e.Verb == "get")
	}
}

// Who takes part and is not known is created before the meeting, once, whatever
// becomes of the answer; with the account of the mail domain.
//
// feature: F21
func TestGuestsAreCreated(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld(t, mem.Options{}, mem.Options{}, "own: {domains: [acme.example]}\nblocklist: {addresses: [spy@z.example]}\nkinds: {contacts: {enabled: false}, accounts: {enabled: false}, leads: {enabled: false}, appointments: {attendees: {create: leads, account: domain}}}")
		eva := w.crm.Add(unmarked(person("eva@x.example")))
		m := event(3)
		m.Appointment.Organizer.Address = "ana@acme.example"
		m.Appointment.Attendees = []connectors.Party{{Address: "eva@x.example"}, {Address: "new@z.example", Name: "Neu, Nina"}, {Address: "spy@z.example"}, {Address: "free@gmail.com"}, {Address: "ben@acme.example"}}
		w.box.Add(m)
		if lost {
			w.crm.Fail(mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "find", Skip: 1})
		}
		w.now = w.now.Add(time.Minute)
		_, _ = w.engine.Sync(t.Context(), w.worker, w.pair)
		w.now = w.now.Add(time.Hour)
		w.sync()
		w.now = w.now.Add(time.Hour)
		w.sync()
		leads := w.crm.Records(connectors.KindLead)
		assert.Equal(t, []string{"Neu", "free"}, families(leads), "lost %v", lost)
		require.Len(t, w.crm.Records(ka), 1)
		require.Len(t, w.crm.Records(connectors.KindAccount), 1)
		assert.Equal(t, "z.example", w.crm.Records(connectors.KindAccount)[0].Account.Name)
		assert.Contains(t, w.crm.Records(ka)[0].Refs, connectors.Ref{Role: connectors.RoleParticipant, Kind: kc, ID: eva})
		for _, l := range leads {
			if l.Contact.FamilyName == "Neu" {
				assert.Equal(t, []connectors.Ref{{Role: connectors.RoleAccount, Kind: connectors.KindAccount, ID: w.crm.Records(connectors.KindAccount)[0].ID}}, l.Refs)
			}
		}
		// One who is invited later is created too.
		w.box.Edit(ka, w.box.Records(ka)[0].ID, func(r *connectors.Record) {
			r.Appointment.Attendees = append(r.Appointment.Attendees, connectors.Party{Address: "late@z.example"})
		})
		w.sync()
		assert.Len(t, w.crm.Records(connectors.KindLead), 3)
		assert.Empty(t, w.codes())
	}
}

// A guest whom the CRM refuses keeps nobody from the meeting, and somebody is told.
//
// feature: F21
func TestAGuestWhomTheCRMRefuses(t *testing.T) {
	crm := *mem.C4C()
	lead := crm.Kinds[connectors.KindLead]
	lead.Fields[connectors.FieldTopic] = connectors.Limit{Required: true}
	w := newWorld(t, crm, mem.Options{}, "kinds: {leads: {enabled: false}, appointments: {attendees: {create: leads}}}")
	m := event(3)
	m.Appointment.Organizer.Address = "ana@acme.example"
	m.Appointment.Attendees = []connectors.Party{{Address: "new@z.example"}}
	w.box.Add(m)
	w.now = w.now.Add(time.Minute)
	_, err := w.engine.Sync(t.Context(), w.worker, w.pair)
	require.NoError(t, err)
	assert.Len(t, w.crm.Records(ka), 1)
	assert.Equal(t, []lksync.Code{lksync.CodeRelated}, w.codes())
}

// The company of a new contact is found: the oldest of the same name, else the
// only one with the name in it, else a new one if the profile says so.
//
// feature: F22
func TestAccountsAreMatched(t *testing.T) {
	w := newWorld(t, mem.Options{}, mem.Options{}, "kinds: {accounts: {enabled: false}, contacts: {account: {otherwise: create, country: DE}}}")
	add := func(name string) string {
		w.now = w.now.Add(time.Minute)
		a := connectors.NewRecord(connectors.KindAccount)
		a.Account.Name = name
		return w.crm.Add(a)
	}
	oldest, _, only := add("Mill"), add("mill"), add("The Bakery Ltd")
	for _, c := range []string{"MILL", "bakery", "Brewery", "Brewery"} {
		r := named(person("p"+c[:2]+"@x.example"), c)
		r.Contact.Company = c
		w.box.Add(r)
	}
	w.sync()
	as := w.crm.Records(connectors.KindAccount)
	require.Len(t, as, 4)
	made := as[3]
	assert.Equal(t, "Brewery", made.Account.Name)
	assert.Equal(t, "DE", made.Account.Country)
	want := map[string]string{"MILL": oldest, "bakery": only, "Brewery": made.ID}
	for _, r := range w.crm.Records(kc) {
		assert.Equal(t, []connectors.Ref{{Role: connectors.RoleAccount, Kind: connectors.KindAccount, ID: want[r.Contact.FamilyName]}}, r.Refs, r.Contact.FamilyName)
	}
	w = newWorld(t, mem.Options{}, mem.Options{}, "kinds: {accounts: {enabled: false}}")
	r := person("p@x.example")
	r.Contact.Company = "Brewery"
	w.box.Add(r)
	w.sync()
	assert.Empty(t, w.crm.Records(connectors.KindAccount), "none is made unless the profile says so")
}

// A private event crosses as a block of time, or not at all.
//
// feature: F10
// guards: G11
func TestTheEngineKeepsPrivate(t *testing.T) {
	for private, want := range map[string][]lksync.Code{"skip": {lksync.CodePrivate}, "block": nil} {
		w := newWorld(t, mem.Options{}, mem.Options{}, "private: "+private)
		r := event(3)
		r.Appointment.Sensitivity, r.Appointment.Location = connectors.Private, "clinic"
		w.box.Add(r)
		c := person("doctor@x.example")
		c.Contact.Sensitivity = connectors.Private
		w.box.Add(c)
		w.sync()
		assert.Empty(t, w.crm.Records(kc), "a private contact stays")
		assert.Equal(t, want, w.codes())
		for _, r := range w.crm.Records(ka) {
			assert.Equal(t, "Private", r.Appointment.Subject)
			assert.Empty(t, r.Appointment.Location)
		}
		assert.Len(t, w.crm.Records(ka), map[string]int{"skip": 0, "block": 1}[private])
	}
}

// files are the names of what hangs on records.
func files(rs []*connectors.Record) (out []string) {
	for _, r := range rs {
		for _, a := range r.Attachments {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

const carry = "kinds: {appointments: {attachments: {carry: true, refuse: [.exe], max_size: 3 MB}}, mails: {attachments: {carry: true}}}"

// Files follow their records, both ways, and so do their deletions and changes.
// What is refused is told.
//
// feature: F14
func TestFilesFollowTheirRecords(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, carry)
	id := w.box.Add(event(3))
	w.box.AddFile(ka, id, "offer.pdf", "application/pdf", []byte("offer"))
	w.box.AddFile(ka, id, "virus.exe", "", []byte("x"))
	w.box.AddFile(ka, id, "film.mov", "", make([]byte, 4<<20))
	r := w.sync()
	assert.Equal(t, []string{"offer.pdf"}, files(w.crm.Records(ka)))
	assert.Equal(t, [2]int{1, 0}, r.Kinds[ka].Files)
	assert.Equal(t, []lksync.Code{lksync.CodeFile}, w.codes())
	crm := w.crm.Records(ka)[0].ID
	w.crm.AddFile(ka, crm, "order.pdf", "", []byte("order"))
	w.sync()
	assert.Equal(t, []string{"film.mov", "offer.pdf", "order.pdf", "virus.exe"}, files(w.box.Records(ka)))
	assert.Zero(t, w.sync().Writes())

	// Deleted on one side, deleted on the other.
	for _, a := range w.box.Records(ka)[0].Attachments {
		if a.Name != "order.pdf" {
			require.True(t, w.box.RemoveFile(ka, id, a.ID))
		}
	}
	w.sync()
	assert.Equal(t, []string{"order.pdf"}, files(w.crm.Records(ka)))
	assert.Empty(t, w.codes())

	// Edited on one side: the new content comes, the old one goes.
	a := w.crm.Records(ka)[0].Attachments[0]
	require.True(t, w.crm.ChangeFile(ka, crm, a.ID, []byte("order, second version")))
	w.sync()
	require.Equal(t, []string{"order.pdf"}, files(w.box.Records(ka)))
	assert.EqualValues(t, len("order, second version"), w.box.Records(ka)[0].Attachments[0].Size)
	assert.Zero(t, w.sync().Writes())
}

// Where the rule keeps partners, a file that was deleted stays on the other side
// and does not come back.
//
// feature: F14
func TestFilesStayWhereTheRuleKeepsThem(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, carry, "kinds: {appointments: {deletes: unlink}}")
	id := w.box.Add(event(3))
	f := w.box.AddFile(ka, id, "offer.pdf", "", []byte("offer"))
	w.sync()
	w.box.RemoveFile(ka, id, f)
	w.sync()
	assert.Equal(t, []string{"offer.pdf"}, files(w.crm.Records(ka)))
	assert.Empty(t, files(w.box.Records(ka)))
	assert.Zero(t, w.sync().Writes())
	// Nothing crosses where the profile carries none, or reads no files.
	w = newWorld(t, crmOnly(), mem.Options{})
	w.box.AddFile(ka, w.box.Add(event(3)), "offer.pdf", "", []byte("offer"))
	w.sync()
	assert.Empty(t, files(w.crm.Records(ka)))
}

// A lost answer or a fault in between attaches no file twice and loses none.
//
// feature: F14
// evidence: I2
func TestFilesAreCarriedOnce(t *testing.T) {
	for _, f := range []mem.Fault{{Verb: "attach", After: true}, {Verb: "attach"}, {Verb: "open"}, {Verb: "attach", After: true, Skip: 1}, {Verb: "detach", After: true}} {
		w := newWorld(t, crmOnly(), mem.Options{}, carry)
		id := w.box.Add(event(3))
		w.box.AddFile(ka, id, "a.pdf", "", []byte("aaa"))
		w.box.AddFile(ka, id, "b.pdf", "", []byte("bbb"))
		w.crm.Fail(f)
		w.box.Fail(f)
		for range 4 {
			w.now = w.now.Add(2 * time.Hour)
			_, err := w.engine.Sync(t.Context(), w.worker, w.pair)
			require.NoError(t, err)
		}
		w.sync()
		assert.Equal(t, []string{"a.pdf", "b.pdf"}, files(w.crm.Records(ka)), "%+v", f)
		assert.Equal(t, []string{"a.pdf", "b.pdf"}, files(w.box.Records(ka)), "%+v", f)
		w.crm.Heal()
		w.box.RemoveFile(ka, id, w.box.Records(ka)[0].Attachments[0].ID)
		w.crm.Fail(mem.Fault{Verb: "detach", After: true})
		for range 3 {
			w.now = w.now.Add(2 * time.Hour)
			_, _ = w.engine.Sync(t.Context(), w.worker, w.pair)
		}
		assert.Equal(t, []string{"b.pdf"}, files(w.crm.Records(ka)), "%+v", f)
		assert.Empty(t, w.codes())
	}
}

// New content replaces the old one, whatever is lost on the way: nothing is there
// twice, and the old content does not come back as another file.
//
// feature: F14
// evidence: I2
func TestFilesAreReplacedOnce(t *testing.T) {
	for _, f := range []mem.Fault{{Verb: "open"}, {Verb: "attach"}, {Verb: "attach", After: true}, {Verb: "detach"}, {Verb: "detach", After: true}} {
		w := newWorld(t, crmOnly(), mem.Options{}, carry)
		w.box.AddFile(ka, w.box.Add(event(3)), "order.pdf", "", []byte("order"))
		w.sync()
		crm := w.crm.Records(ka)[0]
		require.True(t, w.crm.ChangeFile(ka, crm.ID, crm.Attachments[0].ID, []byte("order, second version")))
		w.box.Fail(f)
		w.crm.Fail(f)
		for range 4 {
			w.now = w.now.Add(2 * time.Hour)
			_, err := w.engine.Sync(t.Context(), w.worker, w.pair)
			require.NoError(t, err)
		}
		w.sync()
		for _, s := range []*mem.System{w.crm, w.box} {
			as := s.Records(ka)[0].Attachments
			require.Len(t, as, 1, "%+v", f)
			assert.EqualValues(t, len("order, second version"), as[0].Size, "%+v", f)
		}
		assert.Empty(t, w.codes())
	}
}

// Files of mails go with the mail; those of a meeting in the mailbox are not
// touched, for its guests would be told.
//
// feature: F14
// guards: G4
func TestFilesOfMailsAndMeetings(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, carry)
	m := letter("x@z.example", "ana@acme.example", "1@z")
	m.Marks.Categories = []string{"SAP E-Mails"}
	w.box.AddFile(km, w.box.Add(m), "offer.pdf", "", []byte("offer"))
	meeting := event(3)
	meeting.Appointment.Organizer.Address = "ana@acme.example"
	meeting.Appointment.Attendees = []connectors.Party{{Address: "ben@acme.example"}}
	w.box.Add(meeting)
	w.sync()
	assert.Equal(t, []string{"offer.pdf"}, files(w.crm.Records(km)))
	w.crm.AddFile(ka, w.crm.Records(ka)[0].ID, "agenda.pdf", "", []byte("agenda"))
	w.sync()
	assert.Empty(t, files(w.box.Records(ka)))
	w.box.AddFile(ka, w.box.Records(ka)[0].ID, "map.pdf", "", []byte("map"))
	w.sync()
	assert.Equal(t, []string{"agenda.pdf", "map.pdf"}, files(w.crm.Records(ka)))
}

// Many files gone at once wait for somebody's word.
//
// guards: G2
func TestG2ManyFilesAtOnce(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, carry)
	id := w.box.Add(event(3))
	var ids []string
	for i := range 12 {
		ids = append(ids, w.box.AddFile(ka, id, string(rune('a'+i))+".pdf", "", []byte{1, byte(i)}))
	}
	w.sync()
	require.Len(t, files(w.crm.Records(ka)), 12)
	for _, f := range ids {
		w.box.RemoveFile(ka, id, f)
	}
	r := w.sync()
	assert.Contains(t, r.Held, "12 deletions of files")
	assert.Len(t, files(w.crm.Records(ka)), 12)
	assert.Equal(t, []lksync.Code{lksync.CodeBrake}, w.codes())
	p := w.pair
	p.OnBehalfOf = authz.Principal{}
	require.NoError(t, w.engine.Approve(t.Context(), authztest.Principal(t, "user:idp/ana"), p, ka, 12))
	w.sync()
	assert.Empty(t, files(w.crm.Records(ka)))
}

// An event of a whole day is the same day on both sides, whatever the zone.
//
// feature: F7
func TestAllDayEvents(t *testing.T) {
	w := newWorld(t, crmOnly(), mem.Options{}, "zone: America/New_York")
	day := time.Date(2026, 6, 20, 0, 0, 0, 0, time.UTC)
	r := event(3)
	r.Appointment.AllDay, r.Appointment.Start, r.Appointment.End = true, day, day.AddDate(0, 0, 1)
	m := w.box.Add(r)
	w.sync()
	require.Len(t, w.crm.Records(ka), 1)
	assert.True(t, connectors.Same(w.box.Records(ka)[0], w.crm.Records(ka)[0], connectors.FieldTime))
	assert.True(t, w.crm.Records(ka)[0].Appointment.AllDay)
	w.crm.Edit(ka, w.crm.Records(ka)[0].ID, func(r *connectors.Record) {
		r.Appointment.Start, r.Appointment.End = day.AddDate(0, 0, 2), day.AddDate(0, 0, 3)
	})
	w.sync()
	assert.Equal(t, day.AddDate(0, 0, 2), w.box.Records(ka)[0].Appointment.Start)
	w.box.Edit(ka, m, func(r *connectors.Record) {
		r.Appointment.AllDay, r.Appointment.End = false, r.Appointment.Start.Add(time.Hour)
	})
	w.sync()
	assert.False(t, w.crm.Records(ka)[0].Appointment.AllDay, "and becomes an hour of it")
	assert.Empty(t, w.codes())
}
