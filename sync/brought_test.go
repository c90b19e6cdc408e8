package sync

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// The organizer's word replaces an attendee's, but not what a person wrote into
// the record before the attendee's mailbox wrote to it once more.
//
// fault: F70
// guards: G5
// evidence: I4
func TestAnAttendeesWriteDoesNotHideAPersonsEdit(t *testing.T) {
	for _, edited := range []bool{false, true} {
		w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
		w.invite("Plan", "ana", "ben")
		w.round("ben")
		if edited {
			w.crm.Edit(ka, find(w.crm, "Plan").ID, func(r *connectors.Record) {
				r.Appointment.Start, r.Appointment.End = noon.Add(3*time.Hour), noon.Add(4*time.Hour)
			})
			w.round("ben")
		}
		w.all("Plan", func(r *connectors.Record) { r.Appointment.Location = "Room 7" })
		w.round("ben") // carries the room
		require.Equal(t, "Room 7", find(w.crm, "Plan").Appointment.Location)
		w.box["ana"].Edit(ka, find(w.box["ana"], "Plan").ID, func(r *connectors.Record) { r.Appointment.Location = "Room 8" })
		w.round("ana")
		if edited {
			assert.Equal(t, noon.Add(3*time.Hour), find(w.crm, "Plan").Appointment.Start.UTC())
		} else {
			assert.Equal(t, "Room 8", find(w.crm, "Plan").Appointment.Location, "nobody but ben's mailbox wrote to it")
		}
		w.silent()
	}
}

// A create whose answer was lost leaves the record an attendee's word too.
//
// fault: F30 F70
func TestTheOrganizerComesAfterALostAnswer(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.crm.Fail(mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "find"})
	_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
	require.Error(t, err)
	w.round("ben")
	w.box["ana"].Edit(ka, find(w.box["ana"], "Plan").ID, func(r *connectors.Record) { r.Appointment.Subject = "Plan, renamed" })
	w.round("ana")
	assert.Equal(t, []string{"Plan, renamed"}, w.subjects(w.crm))
	w.silent()
}

// A meeting that was deleted in the CRM does not come back because an attendee's
// copy moved: made anew it would be put into its organizer's calendar once more.
//
// fault: F70
// guards: G5
// evidence: I2
func TestAnAttendeeBringsNoDeletedMeetingBack(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.round("ben")
	w.crm.Remove(ka, find(w.crm, "Plan").ID)
	w.box["ben"].Touch(ka, find(w.box["ben"], "Plan").ID)
	w.now = w.now.Add(25 * time.Hour)
	w.round("ana", "ben", "ana", "ben")
	assert.Empty(t, w.crm.Records(ka))
	assert.Equal(t, []string{"Plan"}, w.subjects(w.box["ana"]))
	w.silent()
}

// What a calendar brought to the CRM is not put into the organizer's calendar as
// something new, though she may have cancelled it before her mailbox was synced,
// and though the mailbox that brought it died before it could say so.
//
// fault: F30 F70
// guards: G5
// evidence: I2
func TestWhatACalendarBroughtIsNotPutIntoAnother(t *testing.T) {
	for _, died := range []bool{false, true} {
		w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
		w.invite("Plan", "ana", "ben")
		if died {
			w.crm.Fail(mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "find"})
			_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
			require.Error(t, err)
		} else {
			w.round("ben")
		}
		require.Len(t, w.crm.Records(ka), 1)
		hidden := w.box["ana"].Records(ka)[0]
		w.box["ana"].Remove(ka, hidden.ID)
		w.round("ana", "ana")
		assert.Empty(t, w.box["ana"].Records(ka))
		w.silent()
		w.round("ben")
		w.box["ana"].Add(w.meeting("Plan, renamed", "ana", "ben")) // or it was only late
		w.box["ana"].Edit(ka, w.box["ana"].Records(ka)[0].ID, func(r *connectors.Record) { r.Appointment.UID = hidden.Appointment.UID })
		w.round("ana", "ben", "ana")
		assert.Equal(t, []string{"Plan, renamed"}, w.subjects(w.crm))
		w.silent()
	}
}

// A record that waits for a reason of its own and then cannot be read may be the
// partner of what is new, as one that was never read.
//
// fault: F41
// evidence: I2
func TestNothingIsCreatedBesideWhatWaitsAndCannotBeRead(t *testing.T) {
	w := newWorld(t, setup{box: mem.Options{Lean: true}})
	r := appointment("Plan", noon)
	r.Appointment.Sensitivity = connectors.Private
	id := w.box.Add(r)
	for range 2 {
		w.sync()
		w.box.Touch(ka, id)
	}
	require.Equal(t, []Code{CodePrivate}, codes(w.issues()))
	w.crm.Add(appointment("Plan", noon))
	w.box.Fail(mem.Fault{Verb: "get", Item: 1, Err: connectors.ErrForbidden})
	w.sync()
	assert.Len(t, w.box.Records(ka), 1)
}

// watched is a store that asks before each commit.
type watched struct {
	StateStore
	before func(Batch) error
}

func (s watched) Open(ctx context.Context, id PairID) (State, error) {
	st, err := s.StateStore.Open(ctx, id)
	return watchedState{st, s.before}, err
}

type watchedState struct {
	State
	before func(Batch) error
}

func (s watchedState) Commit(ctx context.Context, b Batch) error {
	if err := s.before(b); err != nil {
		return err
	}
	return s.State.Commit(ctx, b)
}

// What an attendee's mailbox wrote and could not note is its own word still, and
// no edit that somebody made in the CRM.
//
// fault: F10 F70
// evidence: I2
func TestAWriteThatCouldNotBeNotedIsNoEditOfThePeopleInTheCRM(t *testing.T) {
	w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
	w.invite("Plan", "ana", "ben")
	w.round("ben")
	usual := w.e.states
	w.e.states = watched{usual, func(b Batch) error {
		if len(b.Put) > 0 {
			return io.ErrShortWrite
		}
		return nil
	}}
	w.all("Plan", func(r *connectors.Record) { r.Appointment.Description = "in short" })
	_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
	require.ErrorIs(t, err, io.ErrShortWrite)
	w.e.states = usual
	w.all("Plan", func(r *connectors.Record) { r.Appointment.Subject, r.Appointment.Location = "Plan B", "Room 7" })
	w.round("ben")
	assert.Equal(t, []string{"Plan B"}, w.subjects(w.crm))
	assert.Equal(t, "Room 7", find(w.crm, "Plan B").Appointment.Location)
	w.round("ana")
	w.silent()
}

// A create leaves only while its announcement is young: another worker would not
// wait for it any longer.
//
// fault: F30
// evidence: I2
func TestACallDoesNotLeaveLongAfterItsAnnouncement(t *testing.T) {
	w := newWorld(t, setup{})
	w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
	usual := w.e.states
	w.e.states = watched{usual, func(b Batch) error {
		if len(b.Begin) > 0 {
			w.now = w.now.Add(7 * time.Second)
		}
		return nil
	}}
	w.sync()
	assert.Empty(t, w.box.Records(kc), "half of the ten seconds are over")
	assert.Equal(t, []Code{CodeLater}, codes(w.issues()))
	w.e.states = usual
	w.quiet()
	assert.Len(t, w.box.Records(kc), 1)
	assert.Empty(t, w.issues())
}

// What the mailbox brought to the CRM is the mailbox's, though the state that knew
// it is gone: it stays there when somebody deletes it in the CRM.
//
// fault: F74
// guards: G3
func TestWhereARecordWasBornOutlivesTheState(t *testing.T) {
	w := newWorld(t, setup{})
	w.box.Add(appointment("Plan", noon))
	w.sync()
	w.e.states = &Memory{} // restored from before its first round
	w.sync()
	w.crm.Remove(ka, w.crm.Records(ka)[0].ID)
	w.quiet()
	assert.Len(t, w.box.Records(ka), 1)
}
