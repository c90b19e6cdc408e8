package google

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
)

func at(day, hour int) time.Time { return time.Date(2026, 7, day, hour, 0, 0, 0, time.UTC) }

// weekly is a series that somebody made, with the ids of its occurrences.
func (w *world) weekly() (id string, occurrences []string) {
	w.Helper()
	made := w.other("POST", "/calendar/v3/calendars/primary/events?sendUpdates=none", map[string]any{"id": "series00", "summary": "Weekly", "recurrence": []any{"RRULE:FREQ=WEEKLY;COUNT=4"},
		"start": map[string]any{"dateTime": "2026-07-01T09:00:00Z", "timeZone": "UTC"}, "end": map[string]any{"dateTime": "2026-07-01T10:00:00Z", "timeZone": "UTC"}})
	for _, x := range w.other("GET", "/calendar/v3/calendars/primary/events/series00/instances", nil)["items"].([]any) {
		occurrences = append(occurrences, x.(map[string]any)["id"].(string))
	}
	return made["id"].(string), occurrences
}

// feature: F6; fault: F71, what somebody does to one occurrence is a change of the
// series, told once, and none of a record of its own.
func TestOccurrencesBelongToTheirSeries(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id, os := w.weekly()
	cs, cursor := w.all(connectors.KindAppointment, "")
	require.Len(t, cs, 1)
	rev := cs[0].Rev
	w.other("PATCH", "/calendar/v3/calendars/primary/events/"+os[1]+"?sendUpdates=none", map[string]any{"summary": "Moved", "start": map[string]any{"dateTime": "2026-07-09T09:00:00Z", "timeZone": "UTC"},
		"end": map[string]any{"dateTime": "2026-07-09T10:00:00Z", "timeZone": "UTC"}})
	w.other("DELETE", "/calendar/v3/calendars/primary/events/"+os[2]+"?sendUpdates=none", nil)
	cs, cursor = w.all(connectors.KindAppointment, cursor)
	require.Len(t, cs, 1)
	require.Equal(t, id, cs[0].ID)
	require.False(t, cs[0].Gone)
	require.NotEqual(t, rev, cs[0].Rev)
	r := cs[0].Record.Appointment.Recurrence
	require.Len(t, r.Exceptions, 2)
	assert.Equal(t, at(8, 9), r.Exceptions[0].Original)
	assert.Equal(t, "Moved", r.Exceptions[0].Appointment.Subject)
	assert.Equal(t, at(9, 9), r.Exceptions[0].Appointment.Start)
	assert.Equal(t, connectors.Occurrence{Original: at(15, 9), Cancelled: true}, r.Exceptions[1])
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id, os[1]})
	require.NoError(t, err)
	require.Equal(t, cs[0].Rev, rs[0].Record.Rev)
	require.ErrorIs(t, rs[1].Err, connectors.ErrNotFound, "an occurrence is no record")
	// Who has not seen it writes nothing, whether to the series or its end.
	ws, err := w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: rev, Record: rs[0].Record, Fields: []connectors.Field{connectors.FieldSubject}}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrPrecondition)
	ws, err = w.conn.Delete(t.Context(), connectors.KindAppointment, []connectors.Target{{ID: id, Rev: rev}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrPrecondition)
	ws, err = w.conn.Delete(t.Context(), connectors.KindAppointment, []connectors.Target{{ID: id, Rev: cs[0].Rev}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	cs, _ = w.all(connectors.KindAppointment, cursor)
	require.Len(t, cs, 1, "the end of a series is told once")
	require.True(t, cs[0].Gone)
	require.Empty(t, w.g.Ledger())
}

// feature: F6; evidence: I3, exceptions are written one by one, and nobody is told.
func TestExceptionsAreWritten(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id, os := w.weekly()
	w.other("PATCH", "/calendar/v3/calendars/primary/events/"+id+"?sendUpdates=none", map[string]any{"attendees": []any{map[string]any{"email": ben}}})
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	x := *r.Appointment
	x.UID, x.Recurrence, x.Location = "", nil, "Hall"
	x.Start, x.End = at(8, 11), at(8, 12)
	r.Appointment.Recurrence.Exceptions = []connectors.Occurrence{{Original: at(8, 9), Appointment: &x}, {Original: at(22, 9), Cancelled: true}}
	ws, err := w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldRecurrence}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other("GET", "/calendar/v3/calendars/primary/events/"+os[1], nil)
	assert.Equal(t, "Hall", got["location"])
	assert.Equal(t, "2026-07-08T11:00:00Z", got["start"].(map[string]any)["dateTime"])
	assert.Equal(t, "cancelled", w.other("GET", "/calendar/v3/calendars/primary/events/"+os[3], nil)["status"])
	require.Empty(t, w.g.Ledger())
	rs, err = w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	require.Equal(t, ws[0].Rev, rs[0].Record.Rev)
	// One whose answer is lost leaves open what happened; nothing is called done.
	n := 0
	w.meet(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			if n++; n == 2 {
				panic(http.ErrAbortHandler)
			}
		}
		return false
	})
	r = rs[0].Record
	r.Appointment.Recurrence.Exceptions[0].Appointment.Location = "Room"
	ws, err = w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldRecurrence}}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrUnknownOutcome)
}

// Somebody who was invited to one occurrence alone has that one.
func TestOneOccurrenceAlone(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id := w.g.Alone(ana, "series00", at(8, 9))
	cs, _ := w.all(connectors.KindAppointment, "")
	require.Len(t, cs, 1)
	require.Equal(t, id, cs[0].ID)
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	require.Nil(t, rs[0].Record.Appointment.Recurrence)
	ids, err := w.conn.List(t.Context(), connectors.KindAppointment, "", 0)
	require.NoError(t, err)
	require.Equal(t, []string{id}, ids.IDs)
}

// feature: F8, F9, visits have a calendar of their own, and none unless it is named.
func TestVisitsHaveTheirCalendar(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	_, err := w.conn.Changes(t.Context(), connectors.KindVisit, "", 0)
	require.ErrorIs(t, err, connectors.ErrUnsupported)
	asks, _ := w.asked()
	require.Empty(t, asks)
}

// feature: F17, a reminder is set, and those by mail stay.
func TestReminders(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	made := w.other("POST", "/calendar/v3/calendars/primary/events?sendUpdates=none", map[string]any{"id": "abcdef", "reminders": map[string]any{"useDefault": false, "overrides": []any{map[string]any{"method": "email", "minutes": 60}}},
		"start": map[string]any{"dateTime": "2026-07-01T09:00:00Z"}, "end": map[string]any{"dateTime": "2026-07-01T10:00:00Z"}})
	id := made["id"].(string)
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	require.False(t, r.Appointment.Reminder.Set)
	r.Appointment.Reminder = connectors.Reminder{Set: true, Minutes: 15}
	ws, err := w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldReminder}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other("GET", "/calendar/v3/calendars/primary/events/"+id, nil)["reminders"]
	require.Equal(t, map[string]any{"useDefault": false, "overrides": []any{map[string]any{"method": "email", "minutes": 60.0}, map[string]any{"method": "popup", "minutes": 15.0}}}, got)
}
