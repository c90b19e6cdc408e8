package sync

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// A side that is empty all at once is no proof that everything was deleted.
// guards: G1
func TestG1AnEmptySideDeletesNothing(t *testing.T) {
	w := newWorld(t, setup{})
	for i := range 4 {
		w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
	}
	w.sync()
	for _, r := range w.box.Records(kc) {
		w.box.Remove(kc, r.ID)
	}
	rep := w.sync()
	assert.Zero(t, rep.Writes())
	assert.Len(t, w.crm.Records(kc), 4)
	assert.Equal(t, []Code{CodeBrake, CodeBrake, CodeBrake, CodeBrake}, codes(w.issues()))
}

// guards: G1
func TestG1WhatCannotBeReadIsNotGone(t *testing.T) {
	for _, class := range []error{connectors.ErrForbidden, connectors.ErrUnavailable, connectors.ErrMalformed} {
		w := newWorld(t, setup{crm: mem.Options{NoTombs: true}})
		id := w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
		w.sync()
		w.now = w.now.Add(25 * time.Hour)
		w.crm.Touch(kc, id)
		w.box.Touch(kc, w.box.Records(kc)[0].ID)
		w.crm.Fail(mem.Fault{Verb: "get", Item: 1, Err: class})
		w.sync()
		assert.Len(t, w.box.Records(kc), 1, class)
	}
}

// Most records changed at once wait for approval too.
// guards: G2
// fault: F73
func TestG2MassChangeWaitsForApproval(t *testing.T) {
	for _, hold := range []int{0, 3} { // in memory, in pages
		w := newWorld(t, setup{o: Options{HoldUpTo: hold}})
		for i := range 40 {
			w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
		}
		w.sync()
		for _, r := range w.box.Records(kc)[:30] {
			w.box.Edit(kc, r.ID, func(r *connectors.Record) { r.Contact.JobTitle = "Encrypted" })
		}
		rep := w.sync()
		assert.Zero(t, rep.Writes())
		assert.Contains(t, rep.Held, "30 changes")
		require.Len(t, w.issues(), 30)
		assert.Zero(t, w.sync().Writes(), "still held")
		w.approve(kc, 30)
		rep = w.sync()
		assert.Equal(t, [2]int{30, 0}, rep.Kinds[kc].Updated)
		assert.Empty(t, w.issues())
		// Once.
		for _, r := range w.box.Records(kc)[:30] {
			w.box.Edit(kc, r.ID, func(r *connectors.Record) { r.Contact.JobTitle = "Again" })
		}
		assert.Zero(t, w.sync().Writes())
	}
}

// guards: G2
func TestG2HoldsInPagesToo(t *testing.T) {
	w := newWorld(t, setup{o: Options{HoldUpTo: 5}})
	for i := range 40 {
		w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
	}
	w.sync()
	for _, r := range w.box.Records(kc)[:20] {
		w.box.Remove(kc, r.ID)
	}
	w.crm.Add(contact("New", "One", "new@x.example"))
	rep := w.sync()
	assert.Equal(t, 1, rep.Writes(), "only what is not held")
	assert.Len(t, w.crm.Records(kc), 41)
	w.approve(kc, 20)
	assert.Equal(t, [2]int{20, 0}, w.sync().Kinds[kc].Deleted)
}

// Only the organizer's own deletion of a meeting to come deletes its record, and
// no deletion in the CRM ever cancels anything.
// guards: G3
// feature: F6
func TestG3OnlyTheOrganizerCancels(t *testing.T) {
	for _, c := range []struct {
		organizer string
		start     time.Time
		left      int
	}{{"ana@acme.example", noon, 0}, {"boss@acme.example", noon, 1}, {"", noon, 1}, {"ana@acme.example", noon.AddDate(-1, 0, 0), 1}} {
		w := newWorld(t, setup{})
		a := appointment("Review", c.start, "bo@x.example")
		a.Appointment.Organizer.Address = c.organizer
		w.crm.Add(a)
		w.box.Add(a)
		w.sync()
		w.box.Remove(ka, w.box.Records(ka)[0].ID)
		w.sync()
		assert.Len(t, w.crm.Records(ka), c.left, c)
		w.quiet()
		assert.Empty(t, w.box.Records(ka), "what was left alone does not come back")
	}
	w := newWorld(t, setup{})
	w.crm.Add(appointment("With", noon, "bo@x.example"))
	w.crm.Add(appointment("Alone", noon))
	w.box.Add(appointment("Own", noon))
	w.sync()
	for _, r := range w.crm.Records(ka) {
		w.crm.Remove(ka, r.ID)
	}
	w.sync()
	w.approve(ka, 3)
	rep := w.quiet()
	var left []string
	for _, r := range w.box.Records(ka) {
		left = append(left, r.Appointment.Subject)
	}
	assert.ElementsMatch(t, []string{"With", "Own"}, left)
	assert.Empty(t, w.crm.Records(ka))
	assert.Zero(t, rep.Kinds[ka].Links)
}

// A change that attendees do not care about is not written to a meeting: the
// mail system might tell them.
// guards: G4
func TestG4SystemChangesSendNothing(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.round("ana", "ben")
	id := find(w.crm, "Plan").ID
	w.crm.Edit(ka, id, func(r *connectors.Record) {
		r.Appointment.Zone, r.Appointment.Availability = "Europe/Berlin", connectors.Free
		r.Appointment.Description = "  \r\n"
	})
	w.round("ana", "ben", "ana")
	w.silent()
	// What they do care about goes to the organizer's own copy, and as that only.
	w.crm.Edit(ka, id, func(r *connectors.Record) { r.Appointment.Location = "Room 7" })
	w.round("ben", "ana")
	assert.Equal(t, 1, mem.Writes(w.box["ana"].Ledger()))
	assert.Zero(t, mem.Writes(w.box["ben"].Ledger()))
	assert.Equal(t, "Room 7", find(w.box["ana"], "Plan").Appointment.Location)
}

// A colleague's meeting is written by one mailbox; the others neither delete nor
// move it.
// guards: G5
func TestG5OneMailboxWritesAMeeting(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{Limits: cloudFields()}, "ana", "ben", "cleo")
	w.invite("Plan", "ana", "ben", "cleo")
	w.round("ben", "cleo", "ana")
	require.Len(t, w.crm.Records(ka), 1)
	before := find(w.crm, "Plan").Rev
	w.box["ben"].Edit(ka, find(w.box["ben"], "Plan").ID, func(r *connectors.Record) {
		r.Appointment.Start, r.Appointment.End = noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 1).Add(time.Hour)
	})
	w.box["cleo"].Remove(ka, find(w.box["cleo"], "Plan").ID)
	w.round("ben", "cleo", "ana")
	assert.Equal(t, before, find(w.crm, "Plan").Rev)
	w.silent()
}

// Two systems that each correct what the other said are stopped.
// guards: G6
func TestG6LoopsAreBroken(t *testing.T) {
	w := newWorld(t, setup{})
	id := w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
	w.sync()
	other := w.box.Records(kc)[0].ID
	w.crm.Edit(kc, id, func(r *connectors.Record) { r.Contact.Phone = "+49 30 1" })
	writes := 0
	for i := range 20 { // each side rewrites whatever comes from the other
		rep := w.sync()
		writes += rep.Writes()
		if rep.Kinds[kc].Updated[0] > 0 {
			w.crm.Edit(kc, id, func(r *connectors.Record) { r.Contact.Phone = fmt.Sprint("+49 30 ", i) })
		}
		if rep.Kinds[kc].Updated[1] > 0 {
			w.box.Edit(kc, other, func(r *connectors.Record) { r.Contact.Phone = fmt.Sprint("030/", i) })
		}
	}
	assert.LessOrEqual(t, writes, 5)
	require.Equal(t, []Code{CodeLoop}, codes(w.issues()))
	// An hour later it is tried again.
	w.now = w.now.Add(2 * time.Hour)
	w.sync()
	w.quiet()
	assert.Empty(t, w.issues())
	w.converged()
}

// Nothing is deleted before the first round is through.
// guards: G8
func TestG8NothingIsDeletedInTheFirstRound(t *testing.T) {
	w := newWorld(t, setup{})
	for i := range 4 {
		w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
	}
	w.box.Fail(mem.Fault{Verb: "create", Item: 2, Err: connectors.ErrThrottled})
	_, err := w.e.Sync(t.Context(), w.worker, w.p)
	require.Error(t, err, "the first round breaks off")
	require.Len(t, w.box.Records(kc), 3)
	w.box.Remove(kc, w.box.Records(kc)[0].ID)
	rep := w.sync()
	assert.Zero(t, rep.Kinds[kc].Deleted)
	assert.Contains(t, codes(w.issues()), CodeFirst)
	w.quiet()
	assert.Len(t, w.crm.Records(kc), 3, "carried over afterwards")
	w.converged()
}

// A pair whose systems are others than before is refused before anything is read.
// guards: G9
// feature: F43
// fault: F72
func TestG9AnotherTenantOrMailboxIsRefused(t *testing.T) {
	for i := range 2 {
		w := newWorld(t, setup{})
		w.p.Identity = [2]string{"tenant-1", "mailbox-1"}
		w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
		w.sync()
		w.crm.Ledger()
		w.box.Ledger()
		for _, now := range []string{"copy", ""} {
			w.p.Identity[i] = now
			_, err := w.e.Sync(t.Context(), w.worker, w.p)
			require.ErrorIs(t, err, ErrIdentity)
			_, err = w.e.Plan(t.Context(), w.worker, w.p)
			require.ErrorIs(t, err, ErrIdentity)
		}
		assert.Empty(t, w.crm.Ledger())
		assert.Empty(t, w.box.Ledger())
	}
}

// Where the CRM is read only, nothing is written to it, and a user's own item
// stays in the mailbox.
// guards: G10
// feature: F25
func TestG10ReadOnlyTakesNothingAway(t *testing.T) {
	w := newWorld(t, setup{rules: []Rule{{Kind: kc, Direction: ToRight}}})
	id := w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
	w.box.Add(contact("Own", "One", "own@x.example"))
	w.sync()
	w.crm.Ledger()
	for _, r := range w.box.Records(kc) {
		if r.Contact.Email == "ada@x.example" {
			w.box.Edit(kc, r.ID, func(r *connectors.Record) { r.Contact.Note = "mine" })
		}
	}
	w.quiet()
	w.crm.Remove(kc, id)
	w.quiet()
	assert.Zero(t, mem.Writes(w.crm.Ledger()))
	var left []string
	for _, r := range w.box.Records(kc) {
		left = append(left, r.Contact.Email)
	}
	assert.Contains(t, left, "own@x.example")
}

// A private item crosses as the time it takes, or not at all; a filter never sees
// what a record says in its text.
// guards: G11
// feature: F10 F26
func TestG11PrivateCrossesAsTimeOnly(t *testing.T) {
	w := newTeam(t, Rule{Private: PrivateBlock}, mem.Options{}, "ana")
	a := w.meeting("Doctor", "ana", "ben")
	a.Appointment.Sensitivity, a.Appointment.Location, a.Appointment.Description = connectors.Private, "Clinic", "knee"
	w.box["ana"].Add(a)
	w.round("ana", "ana")
	rs := w.crm.Records(ka)
	require.Len(t, rs, 1)
	got := rs[0].Appointment
	assert.Equal(t, noon, got.Start.UTC())
	assert.Equal(t, connectors.Private, got.Sensitivity)
	assert.Equal(t, []any{"Private", "", "", 0}, []any{got.Subject, got.Location, got.Description, len(got.Attendees)})
	w.crm.Edit(ka, rs[0].ID, func(r *connectors.Record) { r.Appointment.Subject, r.Appointment.Location = "x", "y" })
	w.round("ana", "ana")
	assert.Equal(t, "Clinic", w.box["ana"].Records(ka)[0].Appointment.Location, "the placeholder says nothing to the item")
	assert.Equal(t, "Doctor", w.box["ana"].Records(ka)[0].Appointment.Subject)

	// Made private later: the CRM forgets what it said.
	w.box["ana"].Add(appointment("Public", noon.Add(time.Hour)))
	w.round("ana")
	w.box["ana"].Edit(ka, find(w.box["ana"], "Public").ID, func(r *connectors.Record) { r.Appointment.Sensitivity = connectors.Confidential })
	w.round("ana")
	assert.Nil(t, find(w.crm, "Public"))

	texts := 0
	w = newTeam(t, Rule{Scope: func(r *connectors.Record) bool {
		texts += len(r.Appointment.Description)
		return r.Appointment.Organizer.Address != "spam@x.example"
	}}, mem.Options{}, "ana")
	blocked := w.meeting("Offer", "ana", "ben")
	blocked.Appointment.Organizer.Address, blocked.Appointment.Description = "spam@x.example", "body"
	w.box["ana"].Add(blocked)
	w.round("ana", "ana")
	assert.Empty(t, w.crm.Records(ka))
	assert.Zero(t, texts)
}

// stopping pulls the switch when a call arrives.
func stopping(sys *mem.System, verb string, pull func()) {
	never := make(chan struct{})
	sys.Fail(mem.Fault{Verb: verb, Wait: never, Arrived: pull})
}

// The stop switch, in the middle of a round, at each level: nothing is sent after
// it, and after its release nothing is missing or there twice.
//
// fault: F77
func TestStopSwitch(t *testing.T) {
	for _, level := range []string{"tenants/acme/users/ana/sync", "tenants/acme/users/ana", "tenants/acme", "tenants"} {
		w := newWorld(t, setup{box: mem.Options{Batch: 2}})
		az := authztest.NewAt(t, func() time.Time { return w.now }, "allow service:sync-worker role:sync-worker tenants/acme", "allow user:idp/ana role:user tenants/acme/users/ana",
			"allow user:idp/ana role:crm-user tenants/acme/crm", "allow user:staff/adam role:administration tenants")
		hub := w.hub(az)
		w.p.Left, w.p.Right = hub("crm", "tenants/acme/crm"), hub("box", "tenants/acme/users/ana/mailbox")
		w.e = New(az.Authorizer, w.states, &Options{Clock: func() time.Time { return w.now }})
		adam, on := authztest.Principal(t, "user:staff/adam"), authztest.Resource(t, level)
		for i := range 9 {
			w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
		}
		require.ErrorIs(t, w.e.Stop(t.Context(), w.worker, on), authz.ErrDenied)
		stopping(w.box, "create", func() {
			assert.NoError(t, w.e.Stop(t.Context(), adam, on))
		})
		_, err := w.e.Sync(t.Context(), w.worker, w.p)
		require.ErrorIs(t, err, ErrStopped)
		w.box.Ledger()
		rep, err := w.e.Sync(t.Context(), w.worker, w.p)
		require.ErrorIs(t, err, ErrStopped)
		assert.Contains(t, rep.Held, "stopped at "+level)
		assert.Empty(t, w.box.Ledger(), "not even read")
		require.NoError(t, w.e.Stop(t.Context(), adam, authztest.Resource(t, "tenants/acme/users/ben")), "another's is nothing to us")
		require.NoError(t, w.e.Resume(t.Context(), adam, on))
		w.quiet()
		assert.Len(t, w.box.Records(kc), 9)
		w.converged()
	}
}

// Another process pulls the switch: a round that waits for an answer is broken
// off, and each write asks before it is sent.
// fault: F77
func TestStopSwitchOfAnotherProcess(t *testing.T) {
	stops := &MemoryStops{}
	w := newWorld(t, setup{o: Options{Stops: stops, WatchEvery: time.Millisecond}})
	w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
	stopping(w.box, "create", func() {
		assert.NoError(t, stops.SetStop(context.Background(), authztest.Resource(t, "tenants/acme"), true))
	})
	_, err := w.e.Sync(t.Context(), w.worker, w.p)
	require.ErrorIs(t, err, ErrStopped)
	w.e = New(w.az.Authorizer, w.states, &Options{Clock: func() time.Time { return w.now }, Stops: failingStops{stops}})
	_, err = w.e.Sync(t.Context(), w.worker, w.p)
	require.ErrorContains(t, err, "cannot be asked", "not knowing is no permission")
}

type failingStops struct{ StopStore }

func (failingStops) Stops(context.Context) ([]authz.Resource, error) {
	return nil, errors.New("cannot be asked")
}

// A worker that was overtaken while it waited sends nothing more, and changes no
// state.
//
// fault: F8
func TestAnOvertakenWorkerWritesNothing(t *testing.T) {
	for _, verb := range []string{"create", "update", "delete"} {
		w := newWorld(t, setup{box: mem.Options{Batch: 1}})
		var ids []string
		for i := range 3 {
			ids = append(ids, w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i))))
		}
		if verb != "create" {
			w.sync()
		}
		for _, id := range ids[:2] {
			switch verb {
			case "update":
				w.crm.Edit(kc, id, func(r *connectors.Record) { r.Contact.Phone = "1" })
			case "delete":
				w.crm.Remove(kc, id)
			}
		}
		wait := make(chan struct{})
		w.box.Fail(mem.Fault{Verb: verb, Wait: wait, Arrived: func() {
			_, err := w.states.Open(context.Background(), w.p.ID) // another worker
			assert.NoError(t, err)
			close(wait)
		}})
		w.box.Ledger()
		_, err := w.e.Sync(t.Context(), w.worker, w.p)
		require.ErrorIs(t, err, ErrFenced, verb)
		n := 0
		for _, x := range w.box.Ledger() {
			if x.Verb == verb {
				n++
			}
		}
		assert.Equal(t, 1, n, "the %s under way, and no other", verb)
	}
}
