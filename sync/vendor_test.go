package sync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// What the CRM put into a calendar goes from there when it leaves the window, if the
// rule says so and nothing of a person's is in it. Without the switch, and in every
// other row of the table, both records stay.
//
// feature: F23
// guards: G1
func TestWhatTheCRMPutThereLeavesTheWindow(t *testing.T) {
	for name, x := range map[string]struct {
		rule    Rule
		fromBox bool
		guests  []string
		touch   func(w *world, m string)
		goes    bool
	}{
		"as it came":          {rule: Rule{WindowDeletes: true}, goes: true},
		"without the switch":  {rule: Rule{}},
		"made in the mailbox": {rule: Rule{WindowDeletes: true}, fromBox: true},
		"with guests":         {rule: Rule{WindowDeletes: true}, guests: []string{"bo@x.example"}},
		"changed in the mailbox": {rule: Rule{WindowDeletes: true}, touch: func(w *world, m string) {
			w.box.Edit(ka, m, func(r *connectors.Record) { r.Appointment.Location = "Hall" })
		}},
		"nothing goes to mailboxes": {rule: Rule{WindowDeletes: true, Direction: ToLeft}, fromBox: true},
	} {
		t.Run(name, func(t *testing.T) {
			x.rule.Kind, x.rule.Back = ka, 30*24*time.Hour
			w := newWorld(t, setup{rules: []Rule{x.rule}})
			r := appointment("Fair", noon, x.guests...)
			r.Appointment.Organizer = connectors.Party{Address: "ana@acme.example"}
			s := w.crm
			if x.fromBox {
				s = w.box
			}
			s.Add(r)
			w.quiet()
			require.Len(t, w.box.Records(ka), 1)
			w.now = noon.AddDate(0, 0, 40)
			if x.touch != nil {
				x.touch(w, w.box.Records(ka)[0].ID)
			}
			w.crm.Touch(ka, w.crm.Records(ka)[0].ID)
			w.quiet()
			assert.Len(t, w.crm.Records(ka), 1)
			want := 1
			if x.goes {
				want = 0
			}
			assert.Len(t, w.box.Records(ka), want)
			assert.Empty(t, w.issues())
			w.crm.Edit(ka, w.crm.Records(ka)[0].ID, func(r *connectors.Record) { r.Appointment.Start, r.Appointment.End = w.now, w.now.Add(time.Hour) })
			w.quiet()
			assert.Len(t, w.box.Records(ka), 1, "back in the window it is there, once")
		})
	}
}

// A visit of the CRM comes to its organizer's calendar, or where the rule says so to
// its owner's; an appointment to its organizer's.
//
// feature: F8
func TestInWhoseCalendarAVisitComes(t *testing.T) {
	for _, x := range []struct {
		toOwner          bool
		organizer, owner string
		comes            bool
	}{
		{false, "ana@acme.example", "ben@acme.example", true},
		{false, "ben@acme.example", "ana@acme.example", false},
		{true, "ana@acme.example", "ben@acme.example", false},
		{true, "ben@acme.example", "ana@acme.example", true},
		{true, "ana@acme.example", "", true}, // the CRM does not say
	} {
		w := newWorld(t, setup{rules: []Rule{{Kind: connectors.KindVisit, Mailbox: ka, ToOwner: x.toOwner}}})
		r := appointment("Fair", noon)
		r.Kind = connectors.KindVisit
		r.Appointment.Organizer.Address, r.Owner.Address = x.organizer, x.owner
		w.crm.Add(r)
		w.quiet()
		assert.Equal(t, x.comes, len(w.box.Records(ka)) == 1, "%+v", x)
	}
}

// A guest whom a user takes off a list that never held all whom the CRM names is not
// taken off there, and not silently.
//
// feature: F6
func TestAGuestWhoWasTakenOffTheListIsNotSilent(t *testing.T) {
	for _, fields := range []bool{false, true} {
		o := mem.Graph()
		w := newWorld(t, setup{box: *o, rules: []Rule{{Kind: ka, Fields: fields}}})
		r := appointment("Fair", noon, "bo@x.example", "cy@x.example")
		r.Appointment.Organizer = connectors.Party{Address: "ana@acme.example"}
		l := w.crm.Add(r)
		w.quiet()
		guests := func() (out []string) {
			for _, p := range w.crm.Records(ka)[0].Appointment.Attendees {
				out = append(out, p.Address)
			}
			return out
		}
		m := w.box.Records(ka)[0].ID
		set := func(as ...string) {
			w.box.Edit(ka, m, func(r *connectors.Record) {
				r.Appointment.Organizer, r.Appointment.Attendees = connectors.Party{Address: "ana@acme.example"}, nil
				for _, a := range as {
					r.Appointment.Attendees = append(r.Appointment.Attendees, connectors.Party{Address: a})
				}
			})
			w.quiet()
		}
		set("di@x.example", "ed@x.example")
		require.ElementsMatch(t, []string{"bo@x.example", "cy@x.example", "di@x.example", "ed@x.example"}, guests())
		require.Empty(t, w.issues(), "guests who come are carried")
		set("di@x.example")
		assert.Len(t, guests(), 4)
		assert.Equal(t, []Code{CodeGuests}, codes(w.issues()), "remember fields: %v", fields)
		w.crm.Edit(ka, l, func(r *connectors.Record) { r.Appointment.Attendees = r.Appointment.Attendees[:3] })
		w.quiet()
		assert.Empty(t, w.issues(), "a person saw to it")
		set()
		assert.Equal(t, []Code{CodeGuests}, codes(w.issues()))
		assert.Len(t, guests(), 3)
	}
}

// A round may take as long as it takes, and one that was cut off goes on where it
// was: no hour after which everything begins anew.
//
// feature: F19
func TestNoRoundIsTooLong(t *testing.T) {
	const n = 60
	w := newWorld(t, setup{o: Options{PageSize: 10}, box: mem.Options{Batch: 5}})
	w.e.o.Progress = func(Event) { w.now = w.now.Add(10 * time.Minute) } // hours, by the clock
	for i := range n {
		w.crm.Add(contact("Ada", fmt.Sprintf("Berg%02d", i), fmt.Sprintf("a%d@x.example", i)))
	}
	began := w.now
	_, err := w.e.Sync(t.Context(), w.worker, w.p)
	require.NoError(t, err)
	assert.Greater(t, w.now.Sub(began), 2*time.Hour)
	require.Len(t, w.box.Records(kc), n)

	w = newWorld(t, setup{box: mem.Options{Batch: 5}})
	for i := range n {
		w.crm.Add(contact("Ada", fmt.Sprintf("Berg%02d", i), fmt.Sprintf("a%d@x.example", i)))
	}
	var cut context.CancelFunc
	writing := 0
	w.e.o.Progress = func(e Event) {
		if e.Phase == Writing {
			if writing++; writing == 4 {
				cut()
			}
		}
	}
	for rounds := 0; len(w.box.Records(kc)) < n; rounds++ {
		require.Less(t, rounds, 20)
		before := len(w.box.Records(kc))
		var ctx context.Context
		ctx, cut = context.WithCancel(t.Context())
		writing = 0
		w.now = w.now.Add(time.Minute)
		_, _ = w.e.Sync(ctx, w.worker, w.p)
		cut()
		require.Greater(t, len(w.box.Records(kc)), before, "every round gets further")
	}
	w.e.o.Progress = func(Event) {}
	w.quiet()
	assert.Len(t, w.box.Records(kc), n, "and nothing is made twice")
	assert.Len(t, w.crm.Records(kc), n)
}
