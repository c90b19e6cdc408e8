package dav

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

const series = `BEGIN:VCALENDAR
BEGIN:VEVENT
UID:u1
SUMMARY:Lesson
DTSTART;TZID=Europe/Berlin:20260302T100000
DTEND;TZID=Europe/Berlin:20260302T110000
RRULE:FREQ=WEEKLY;COUNT=6
RDATE;TZID=Europe/Berlin:20260501T100000,20260502T100000
EXDATE;TZID=Europe/Berlin:20260309T100000,20260316T100000
END:VEVENT
BEGIN:VEVENT
UID:u1
RECURRENCE-ID;TZID=Europe/Berlin:20260330T100000
SUMMARY:Moved
DTSTART;TZID=Europe/Berlin:20260331T120000
DTEND;TZID=Europe/Berlin:20260331T130000
END:VEVENT
BEGIN:VEVENT
UID:u1
RECURRENCE-ID;TZID=Europe/Berlin:20260316T100000
STATUS:CANCELLED
DTSTART;TZID=Europe/Berlin:20260316T100000
END:VEVENT
END:VCALENDAR
`

// A series comes with its further dates and with each occurrence that was
// changed or cancelled, by the start that the rule gives it.
func TestSeriesIsReadWithItsExceptions(t *testing.T) {
	read := func(s string) (*connectors.Record, error) {
		e, err := parseEvent([]byte(strings.ReplaceAll(s, "\n", "\r\n")), time.UTC)
		require.NoError(t, err)
		return e.appointment()
	}
	r, err := read(series)
	require.NoError(t, err)
	rec := r.Appointment.Recurrence
	require.NotNil(t, rec)
	assert.Equal(t, []string{"FREQ=WEEKLY;COUNT=6"}, rec.Rules)
	at := func(month, day, hour int) time.Time {
		return time.Date(2026, time.Month(month), day, hour, 0, 0, 0, time.UTC)
	}
	assert.Equal(t, []time.Time{at(5, 1, 8), at(5, 2, 8)}, rec.Dates)
	require.Len(t, rec.Exceptions, 3, "an occurrence that is excluded and cancelled is one exception")
	got := map[time.Time]connectors.Occurrence{}
	for _, o := range rec.Exceptions {
		got[o.Original] = o
	}
	assert.True(t, got[at(3, 9, 9)].Cancelled)
	assert.True(t, got[at(3, 16, 9)].Cancelled)
	moved := got[at(3, 30, 8)]
	require.NotNil(t, moved.Appointment)
	assert.Equal(t, "Moved", moved.Appointment.Subject)
	assert.Equal(t, at(3, 31, 10), moved.Appointment.Start)

	os, err := r.Appointment.Occurrences(time.Time{}, time.Time{})
	require.NoError(t, err)
	assert.Len(t, os, 6, "six by the rule, two further, two cancelled")

	for _, x := range [][2]string{{"EXDATE;TZID=Europe/Berlin:20260309T100000", "EXDATE:soon"}, {"RDATE;TZID=Europe/Berlin:20260501T100000", "RDATE:soon"},
		{"RECURRENCE-ID;TZID=Europe/Berlin:20260330T100000", "RECURRENCE-ID:soon"}} {
		_, err := read(strings.Replace(series, x[0], x[1], 1))
		assert.ErrorIs(t, err, connectors.ErrInvalid, x[1])
	}
	_, err = read(strings.Replace(series, "EXDATE;", "EXDATE:"+strings.Repeat("20260309T100000Z,", connectors.MaxExceptions+1)+"20260309T100000Z\nEXDATE;", 1))
	assert.ErrorIs(t, err, connectors.ErrInvalid, "more exceptions than a series may have")
}

// A series that is written comes back, exception by exception; what a client's
// exception says beyond that, and the spelling of what did not change, stays.
func TestSeriesIsWrittenWithItsExceptions(t *testing.T) {
	text := strings.ReplaceAll(strings.Replace(series, "SUMMARY:Moved\n", "SUMMARY:Moved\nX-ROOM-CODE:7\n", 1), "\n", "\r\n")
	text = strings.Replace(text, "SUMMARY:Lesson\r\n", "DTSTAMP:20260101T000000Z\r\nSUMMARY:Lesson\r\n", 1)
	open := func(text string) (*event, *connectors.Record) {
		e, err := parseEvent([]byte(text), time.UTC)
		require.NoError(t, err)
		r, err := e.appointment()
		require.NoError(t, err)
		return e, r
	}
	at := func(month, day, hour int) time.Time {
		return time.Date(2026, time.Month(month), day, hour, 0, 0, 0, time.UTC)
	}
	now := at(1, 1, 0)
	e, r := open(text)
	require.NoError(t, e.write(r.Clone(), []connectors.Field{connectors.FieldSubject, connectors.FieldTime, connectors.FieldRecurrence}, now))
	assert.Equal(t, text, string(e.root.bytes()), "writing what is there changes nothing")

	// Another name for all, a fourth exception, and one that takes place after all.
	want := r.Clone()
	a := want.Appointment
	a.Subject = "Course"
	x := a.Regular(at(4, 6, 8))
	x.Location = "Hall"
	rec := a.Recurrence
	for i, o := range rec.Exceptions {
		if o.Original.Equal(at(3, 9, 9)) {
			rec.Exceptions[i] = connectors.Occurrence{Original: at(4, 6, 8), Appointment: x}
		}
	}
	require.NoError(t, e.write(want, []connectors.Field{connectors.FieldSubject, connectors.FieldRecurrence}, now))
	out := string(e.root.bytes())
	_, got := open(out)
	require.Empty(t, connectors.Diff(want, got, connectors.Fields(connectors.KindAppointment)))
	for _, line := range []string{"X-ROOM-CODE:7", "RECURRENCE-ID;TZID=Europe/Berlin:20260330T100000", "RECURRENCE-ID;TZID=Europe/Berlin:20260406T100000", "RDATE;TZID=Europe/Berlin:20260501T100000,20260502T100000"} {
		assert.Contains(t, out, line)
	}
	assert.NotContains(t, out, "20260309")

	// It is no series any more.
	want = got.Clone()
	want.Appointment.Recurrence = nil
	require.NoError(t, e.write(want, []connectors.Field{connectors.FieldRecurrence}, now))
	_, got = open(string(e.root.bytes()))
	assert.Nil(t, got.Appointment.Recurrence)
	assert.Equal(t, "Course", got.Appointment.Subject)
}

// Rules count by the clock of a zone: a series is written in its own, with a
// definition that says what the zone does.
func TestSeriesIsWrittenInItsZone(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "America/Sao_Paulo"} {
		l, err := time.LoadLocation(name)
		require.NoError(t, err)
		r := connectors.NewRecord(connectors.KindAppointment)
		a := r.Appointment
		a.Start = time.Date(2026, 2, 3, 10, 0, 0, 0, l).UTC()
		a.End, a.Zone = a.Start.Add(time.Hour), name
		a.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=MONTHLY;COUNT=24"}}
		e := newEvent("u", "k", a.Start)
		require.NoError(t, e.write(r, connectors.Fields(connectors.KindAppointment), a.Start))
		again, err := parseEvent(e.root.bytes(), time.UTC)
		require.NoError(t, err)
		got, err := again.appointment()
		require.NoError(t, err)
		require.Empty(t, connectors.Diff(r, got, []connectors.Field{connectors.FieldTime, connectors.FieldZone, connectors.FieldRecurrence}), name)
		// Whoever does not know the name reads the definition.
		def := again.z.defined[name]
		require.NotNil(t, def, name)
		for day := range 3650 {
			wall := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, day)
			off, ok := def.offset(wall)
			require.True(t, ok)
			_, want := time.Date(wall.Year(), wall.Month(), wall.Day(), 12, 0, 0, 0, l).Zone()
			require.Equal(t, time.Duration(want)*time.Second, off, "%s %s", name, wall)
		}
	}
}
