package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// team is one CRM and the mailboxes of several colleagues.
type team struct {
	t        testing.TB
	az       *authztest.World
	crm      *mem.System
	names    []string
	box      map[string]*mem.System
	pairs    map[string]Pair
	meetings *MemoryMeetings
	states   StateStore
	e        *Engine
	worker   authz.Principal
	now      time.Time
}

// cloudFields is what a CRM keeps of an appointment that knows no UIDs, as SAP's.
func cloudFields() map[connectors.Kind]map[connectors.Field]connectors.Limit {
	out := map[connectors.Kind]map[connectors.Field]connectors.Limit{ka: {}}
	for _, f := range connectors.Fields(ka) {
		if f != connectors.FieldUID && f != connectors.FieldRecurrence {
			out[ka][f] = connectors.Limit{}
		}
	}
	return out
}

func newTeam(t testing.TB, rule Rule, crm mem.Options, names ...string) *team {
	w := &team{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), names: names, box: map[string]*mem.System{}, pairs: map[string]Pair{},
		meetings: &MemoryMeetings{}, states: &Memory{}}
	clock := func() time.Time { return w.now }
	crm.Clock = clock
	w.crm = mem.New(&crm)
	lines := []string{"allow service:sync-worker role:sync-worker tenants/acme"}
	cp, err := w.crm.Plugin("crm", connectors.CRM)
	require.NoError(t, err)
	plugins := []connectors.Plugin{cp}
	for _, n := range names {
		lines = append(lines, "allow user:idp/"+n+" role:user tenants/acme/users/"+n, "allow user:idp/"+n+" role:crm-user tenants/acme/crm")
		w.box[n] = mem.New(&mem.Options{Clock: clock})
		p, err := w.box[n].Plugin("box"+n, connectors.Mailbox)
		require.NoError(t, err)
		plugins = append(plugins, p)
	}
	w.az = authztest.NewAt(t, clock, lines...)
	hub, err := connectors.NewHub(w.az.Authorizer, nil, plugins...)
	require.NoError(t, err)
	w.worker = authztest.Principal(t, "service:sync-worker")
	w.e = New(w.az.Authorizer, w.states, &Options{Clock: clock, Meetings: w.meetings})
	rule.Kind = ka
	for _, n := range names {
		u := authztest.Principal(t, "user:idp/"+n)
		open := func(plugin, res string) *connectors.Conn {
			c, err := hub.Open(t.Context(), w.worker, connectors.Endpoint{Plugin: plugin, Resource: authztest.Resource(t, res), OnBehalfOf: u})
			require.NoError(t, err)
			return c
		}
		w.pairs[n] = Pair{ID: PairID(n), Resource: authztest.Resource(t, "tenants/acme/users/"+n+"/sync"), OnBehalfOf: u, Rules: []Rule{rule},
			Left: open("crm", "tenants/acme/crm"), Right: open("box"+n, "tenants/acme/users/"+n+"/mailbox"), Addresses: []string{n + "@acme.example"}}
	}
	return w
}

// round syncs mailboxes in an order; every round must succeed.
func (w *team) round(order ...string) {
	w.t.Helper()
	for _, n := range order {
		w.now = w.now.Add(2 * time.Minute)
		_, err := w.e.Sync(w.t.Context(), w.worker, w.pairs[n])
		require.NoError(w.t, err)
	}
}

// invite puts a meeting into the calendars as the organizer's mail system does.
func (w *team) invite(subject, organizer string, attendees ...string) {
	for _, n := range append([]string{organizer}, attendees...) {
		if b := w.box[n]; b != nil {
			b.Add(w.meeting(subject, organizer, attendees...))
		}
	}
}

func (w *team) meeting(subject, organizer string, attendees ...string) *connectors.Record {
	r := appointment(subject, noon)
	r.Appointment.Organizer.Address = organizer + "@acme.example"
	for _, a := range attendees {
		r.Appointment.Attendees = append(r.Appointment.Attendees, connectors.Party{Address: a + "@acme.example"})
	}
	return r
}

// find returns the item with a subject, nil if there is none.
func find(s *mem.System, subject string) *connectors.Record {
	for _, r := range s.Records(ka) {
		if r.Appointment.Subject == subject {
			return r
		}
	}
	return nil
}

// all edits a meeting in every calendar that has it, as the mail system does when
// the organizer changes it; nil removes it.
func (w *team) all(subject string, edit func(*connectors.Record)) {
	for _, n := range w.names {
		r := find(w.box[n], subject)
		switch {
		case r == nil:
		case edit == nil:
			w.box[n].Remove(ka, r.ID)
		default:
			w.box[n].Edit(ka, r.ID, edit)
		}
	}
}

// silent checks that nothing was written to a calendar: some would have told
// attendees.
func (w *team) silent() {
	w.t.Helper()
	for n, b := range w.box {
		for _, x := range b.Ledger() {
			assert.NotContains(w.t, []string{"create", "update", "delete"}, x.Verb, "written to the calendar of %s", n)
		}
	}
}

func (w *team) subjects(s *mem.System) []string {
	out := []string{}
	for _, r := range s.Records(ka) {
		out = append(out, r.Appointment.Subject)
	}
	slices.Sort(out)
	return out
}

func permutations(xs []string) (out [][]string) {
	if len(xs) < 2 {
		return [][]string{slices.Clone(xs)}
	}
	for i := range xs {
		rest := slices.Delete(slices.Clone(xs), i, i+1)
		for _, p := range permutations(rest) {
			out = append(out, append([]string{xs[i]}, p...))
		}
	}
	return out
}

// The incident of February 2020: one meeting, two to five mailboxes, one CRM
// record, every order of the rounds. Nothing is deleted that nobody deleted, and
// nothing is written to any calendar.
//
// guards: G5
// fault: F70
// evidence: I2 I4 I5
func TestFebruary2020(t *testing.T) {
	for n := 2; n <= 5; n++ {
		names := []string{"ana", "ben", "cleo", "dan", "eve"}[:n]
		for i, order := range permutations(names) {
			o := mem.Options{}
			if i%2 == 0 {
				o.Limits = cloudFields()
			}
			if !t.Run(strings.Join(order, " "), func(t *testing.T) {
				w := newTeam(t, Rule{}, o, names...)
				for _, s := range []string{"kept", "lost in the CRM", "thrown away", "cancelled"} {
					w.invite(s, "ana", names[1:]...)
				}
				w.round(order...)
				w.round(order...)
				require.Equal(t, []string{"cancelled", "kept", "lost in the CRM", "thrown away"}, w.subjects(w.crm), "one record a meeting")
				w.silent()

				// The organizer moves it; her mail system tells the others.
				w.all("kept", func(r *connectors.Record) {
					r.Appointment.Start, r.Appointment.End = r.Appointment.Start.Add(time.Hour), r.Appointment.End.Add(time.Hour)
				})
				w.crm.Remove(ka, find(w.crm, "lost in the CRM").ID)
				w.box[names[1]].Remove(ka, find(w.box[names[1]], "thrown away").ID)
				w.all("cancelled", nil)
				w.round(order...)
				w.round(order...)
				w.silent()
				assert.Equal(t, []string{"kept", "thrown away"}, w.subjects(w.crm))
				assert.Equal(t, noon.Add(time.Hour), find(w.crm, "kept").Appointment.Start.UTC())
				for i, n := range names {
					want := []string{"kept", "lost in the CRM", "thrown away"}
					if i == 1 {
						want = want[:2]
					}
					assert.Equal(t, want, w.subjects(w.box[n]), n)
				}
				w.crm.Ledger()
				w.round(order...)
				require.Zero(t, mem.Writes(w.crm.Ledger()), "at rest")
			}) {
				return
			}
		}
	}
}

// A meeting that is older than the table, the invitation that comes late, the
// colleague who is synced only now.
func TestMeetingsThatComeLate(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{Limits: cloudFields()}, "ana", "ben", "cleo")
	w.crm.Add(w.meeting("From the CRM", "ana", "ben", "cleo"))
	w.round("ben", "ana", "cleo")
	require.NotNil(t, find(w.box["ana"], "From the CRM"), "the organizer gets it")
	require.Nil(t, find(w.box["ben"], "From the CRM"), "others wait for her invitation")
	w.box["ana"].Ledger()
	// The mail system invites; in one calendar the subject was changed.
	uid := "made-by-the-calendar"
	w.box["ana"].Edit(ka, find(w.box["ana"], "From the CRM").ID, func(r *connectors.Record) { r.Appointment.UID = uid })
	w.round("ana")
	for _, n := range []string{"ben", "cleo"} {
		r := w.meeting("From the CRM", "ana", "ben", "cleo")
		r.Appointment.UID = uid
		if n == "cleo" {
			r.Appointment.Subject = "Invitation: From the CRM"
		}
		w.box[n].Add(r)
	}
	w.round("cleo", "ben", "ana")
	w.round("cleo", "ben", "ana")
	assert.Len(t, w.crm.Records(ka), 1)
	w.silent()
}

// Two mailboxes bring one meeting to the CRM at the same time, and the first is
// killed between its create and everything after.
//
// fault: F30
func TestAnnouncedMeetingIsNotMadeTwice(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.crm.Fail(mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "find"})
	_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
	require.Error(t, err)
	w.round("ana", "ben", "ana")
	assert.Len(t, w.crm.Records(ka), 1)

	// Announced, never sent: the other waits, then makes it with the same key.
	w = newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.crm.Fail(mem.Fault{Verb: "create"})
	_, err = w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
	require.Error(t, err)
	w.round("ana")
	assert.Empty(t, w.crm.Records(ka), "it may still come")
	w.now = w.now.Add(takeover)
	w.round("ana", "ben")
	require.Len(t, w.crm.Records(ka), 1)
	w.silent()
}

// When the organizer leaves, another colleague's mailbox goes on.
func TestTheNextOneLeads(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.round("ana", "ben")
	w.box["ben"].Edit(ka, find(w.box["ben"], "Plan").ID, func(r *connectors.Record) { r.Appointment.Location = "Room 7" })
	w.round("ben")
	assert.Empty(t, find(w.crm, "Plan").Appointment.Location, "an attendee changes nothing for others")
	require.ErrorIs(t, w.e.Leave(t.Context(), authztest.Principal(t, "user:idp/nobody"), w.pairs["ana"]), authz.ErrDenied)
	require.NoError(t, w.e.Leave(t.Context(), w.worker, w.pairs["ana"]))
	w.box["ben"].Edit(ka, find(w.box["ben"], "Plan").ID, func(r *connectors.Record) { r.Appointment.Location = "Room 8" })
	w.round("ben")
	assert.Equal(t, "Room 8", find(w.crm, "Plan").Appointment.Location)
	w.silent()
}

// An attendee whom the record does not name is added to it, and that is no news
// to the organizer's calendar.
func TestAnAttendeeIsAdded(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben", "cleo")
	w.invite("Plan", "ana", "ben")
	w.round("ana", "ben")
	w.box["cleo"].Add(w.meeting("Plan", "ana", "ben")) // forwarded
	w.round("cleo", "ana", "ben", "cleo")
	var who []string
	for _, p := range find(w.crm, "Plan").Appointment.Attendees {
		who = append(who, p.Address)
	}
	assert.Equal(t, []string{"ben@acme.example", "cleo@acme.example"}, who)
	w.silent()
	w.all("Plan", func(r *connectors.Record) { r.Appointment.Location = "Room 7" })
	w.round("ana", "ben", "cleo")
	assert.Len(t, find(w.crm, "Plan").Appointment.Attendees, 2, "and stays when the organizer changes it")
	w.silent()
}

// Without the permission, nothing of the table is read.
// evidence: P21
func TestTheTableOfMeetingsHasItsOwnPermission(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana")
	w.invite("Plan", "ana", "ben")
	az := denying(t, "crm.meetings.use", func() time.Time { return w.now })
	w.e = New(az.Authorizer, w.states, &Options{Clock: func() time.Time { return w.now }, Meetings: w.meetings})
	_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ana"])
	require.ErrorIs(t, err, authz.ErrDenied)
	assert.Empty(t, w.crm.Records(ka))
	assert.Empty(t, w.meetings.crms, "untouched")
}

// What happens when an item is deleted on one side or leaves the window, row by
// row of the product's table. Where ours differs, the vendor's way is a switch.
//
// feature: F5 F6 F23
func TestOutcomes(t *testing.T) {
	const gone, kept = "gone", "kept"
	for _, c := range []struct {
		name      string
		organizer string // "" nobody is invited
		born      Side
		where     string // of the event: CRM, mailbox, window, owner
		rule      Rule
		crm, box  string
	}{
		{"no attendees, made in the mailbox", "", Right, "CRM", Rule{}, gone, kept},
		{"no attendees, made in the mailbox", "", Right, "mailbox", Rule{}, gone, gone},
		{"no attendees, made in the mailbox", "", Right, "window", Rule{Back: 30 * 24 * time.Hour}, kept, kept},
		{"no attendees, made in the CRM", "", Left, "CRM", Rule{}, gone, gone},
		{"no attendees, made in the CRM", "", Left, "mailbox", Rule{}, gone, gone},
		{"no attendees, made in the CRM", "", Left, "window", Rule{Back: 30 * 24 * time.Hour}, kept, kept},
		{"organizer", "ana", Right, "CRM", Rule{}, gone, kept},
		{"organizer", "ana", Right, "mailbox", Rule{}, gone, gone},
		{"organizer", "ana", Right, "window", Rule{Back: 30 * 24 * time.Hour}, kept, kept},
		{"organizer", "ana", Right, "filter", Rule{Scope: func(r *connectors.Record) bool { return r.Appointment.Location != "Elsewhere" }}, kept, kept},
		{"attendee", "ben", Right, "CRM", Rule{}, gone, kept},
		{"attendee", "ben", Right, "mailbox", Rule{}, kept, gone},
		{"attendee, vendor's switch", "ben", Right, "mailbox", Rule{AttendeeDeletes: true}, gone, gone},
		{"attendee", "ben", Right, "window", Rule{Back: 30 * 24 * time.Hour}, kept, kept},
		{"owner changed in the CRM", "ana", Right, "owner", Rule{}, kept, kept},
		{"cancelled instead of deleted", "", Right, "mailbox", Rule{Cancels: true}, "cancelled", gone},
		{"cancelled instead of deleted, organizer", "ana", Right, "mailbox", Rule{Cancels: true}, "cancelled", gone},
	} {
		t.Run(c.name+", "+c.where, func(t *testing.T) {
			w := newTeam(t, c.rule, mem.Options{}, "ana")
			r := appointment("X", noon)
			if c.organizer != "" {
				r.Appointment.Organizer.Address = c.organizer + "@acme.example"
				r.Appointment.Attendees = []connectors.Party{{Address: "cy@x.example"}, {Address: "ana@acme.example"}}
				if c.organizer == "ana" {
					r.Appointment.Attendees = r.Appointment.Attendees[:1]
				}
			}
			if c.born == Left {
				w.crm.Add(r)
			} else {
				w.box["ana"].Add(r)
			}
			w.round("ana", "ana")
			require.Len(t, w.crm.Records(ka), 1)
			require.Len(t, w.box["ana"].Records(ka), 1)
			l, m := find(w.crm, "X").ID, find(w.box["ana"], "X").ID
			switch c.where {
			case "CRM":
				w.crm.Remove(ka, l)
			case "mailbox":
				w.box["ana"].Remove(ka, m)
			case "window":
				w.now = noon.AddDate(0, 2, 0)
				w.box["ana"].Touch(ka, m)
				w.crm.Touch(ka, l)
			case "filter":
				w.box["ana"].Edit(ka, m, func(r *connectors.Record) { r.Appointment.Location = "Elsewhere" })
			case "owner":
				w.crm.Edit(ka, l, func(r *connectors.Record) { r.Appointment.Organizer.Address = "boss@acme.example" })
			}
			w.box["ana"].Ledger()
			w.round("ana", "ana")
			state := func(s *mem.System) string {
				switch r := find(s, "X"); {
				case r == nil:
					return gone
				case r.Appointment.Status == connectors.Cancelled:
					return "cancelled"
				}
				return kept
			}
			assert.Equal(t, c.crm, state(w.crm), "in the CRM")
			assert.Equal(t, c.box, state(w.box["ana"]), "in the mailbox")
			if c.where == "window" || c.where == "filter" || c.where == "owner" {
				w.silent()
			}
		})
	}
}

// What left the window and is moved back into it is followed again.
func TestBackInTheWindow(t *testing.T) {
	w := newTeam(t, Rule{Back: 30 * 24 * time.Hour}, mem.Options{}, "ana")
	w.box["ana"].Add(appointment("X", noon))
	w.round("ana")
	w.now = noon.AddDate(0, 2, 0)
	m := find(w.box["ana"], "X").ID
	w.box["ana"].Edit(ka, m, func(r *connectors.Record) { r.Appointment.Location = "Room" })
	w.round("ana")
	assert.Empty(t, find(w.crm, "X").Appointment.Location)
	w.box["ana"].Remove(ka, m) // cleaned up by the mailbox itself
	w.round("ana")
	assert.NotNil(t, find(w.crm, "X"))
	// And one that comes back.
	w.box["ana"].Add(appointment("Y", noon.AddDate(0, 3, 0)))
	w.round("ana")
	var l string
	m, l = find(w.box["ana"], "Y").ID, find(w.crm, "Y").ID
	move := func(to time.Time) {
		w.box["ana"].Edit(ka, m, func(r *connectors.Record) { r.Appointment.Start, r.Appointment.End = to, to.Add(time.Hour) })
		w.round("ana")
	}
	move(noon)
	move(noon.AddDate(0, 4, 0))
	// The CRM's record was not touched since both were alike: the mailbox's values stand.
	assert.Len(t, w.box["ana"].Records(ka), 1)
	assert.Len(t, w.crm.Records(ka), 2)
	assert.Equal(t, l, find(w.crm, "Y").ID)
	assert.Equal(t, fmt.Sprint(noon.AddDate(0, 4, 0)), fmt.Sprint(find(w.crm, "Y").Appointment.Start.UTC()))
}

// A record that was deleted before anybody was linked to it is not made again, and
// nobody waits for it for ever.
// fault: F30
func TestARecordDeletedBeforeAnybodyWasLinked(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	r := find(w.box["ana"], "Plan")
	key, err := w.meetings.MeetingKey(t.Context(), w.pairs["ana"].Left.Resource())
	require.NoError(t, err)
	tb := &table{key: key}
	ok, err := w.meetings.PutMeeting(t.Context(), w.pairs["ana"].Left.Resource(), Meeting{Hash: tb.hash("uid "+ka.String(), r.Appointment.UID), Record: "gone", Lead: "ana", Since: w.now})
	require.NoError(t, err)
	require.True(t, ok)
	w.round("ana", "ben", "ana")
	assert.Empty(t, w.crm.Records(ka))
	for _, n := range w.names {
		st, err := w.states.Open(t.Context(), PairID(n))
		require.NoError(t, err)
		is, err := st.Issues(t.Context(), 0, 10)
		require.NoError(t, err)
		assert.Empty(t, is)
	}
	w.silent()
}

// The organizer's word replaces an attendee's, unless somebody changed the record
// in the CRM since.
func TestTheOrganizerComesLater(t *testing.T) {
	for _, touched := range []bool{false, true} {
		w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
		w.invite("Plan", "ana", "ben")
		w.round("ben")
		w.box["ana"].Edit(ka, find(w.box["ana"], "Plan").ID, func(r *connectors.Record) {
			r.Appointment.Start, r.Appointment.End = noon.Add(time.Hour), noon.Add(2*time.Hour)
		})
		if touched {
			w.crm.Edit(ka, find(w.crm, "Plan").ID, func(r *connectors.Record) {
				r.Appointment.Start, r.Appointment.End = noon.Add(3*time.Hour), noon.Add(4*time.Hour)
			})
		}
		w.round("ana")
		want := noon.Add(time.Hour)
		if touched {
			want = noon.Add(3 * time.Hour) // that is a conflict
		}
		assert.Equal(t, want, find(w.crm, "Plan").Appointment.Start.UTC())
		w.silent()
	}
}

// A customer's meeting that was moved by the customer and in the CRM at the same
// time waits for a person, told by the one mailbox that writes it; a colleague's
// copy is not asked.
//
// evidence: I3
func TestACustomersMeetingChangedOnBothSidesIsAConflict(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Visit", "customer", "ana", "ben")
	w.round("ana", "ben")
	id := find(w.crm, "Visit").ID
	w.crm.Edit(ka, id, func(r *connectors.Record) { r.Appointment.Location = "Room 7" })
	w.all("Visit", func(r *connectors.Record) { r.Appointment.Location = "Room 8" })
	w.round("ben", "ana", "ben")
	assert.Equal(t, "Room 7", find(w.crm, "Visit").Appointment.Location, "nothing is overwritten")
	for n, want := range map[string][]Code{"ana": {CodeConflict}, "ben": nil} {
		p := w.pairs[n]
		p.OnBehalfOf = authz.Principal{}
		page, err := w.e.Issues(t.Context(), authztest.Principal(t, "user:idp/"+n), p, IssueQuery{})
		require.NoError(t, err)
		assert.Equal(t, want, codes(page.Issues), n)
	}
	w.crm.Edit(ka, id, func(r *connectors.Record) { r.Appointment.Location = "Room 8" })
	w.round("ana", "ben")
	assert.Equal(t, "Room 8", find(w.crm, "Visit").Appointment.Location)
	w.silent()
}
