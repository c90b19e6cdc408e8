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
