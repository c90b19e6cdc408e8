package connectors_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// weekly is a series of six with an occurrence that is off, one on another day and
// one with another name.
func weekly() *connectors.Record {
	r := connectors.NewRecord(connectors.KindAppointment)
	r.Appointment = lesson("FREQ=WEEKLY;COUNT=6")
	a := r.Appointment
	at := func(n int) time.Time { return a.Start.AddDate(0, 0, 7*n) }
	moved, named := a.Regular(at(2)), a.Regular(at(3))
	moved.Start, moved.End = moved.Start.AddDate(0, 0, 1), moved.End.AddDate(0, 0, 1)
	named.Subject = "Examination"
	a.Recurrence.Exceptions = []connectors.Occurrence{{Original: at(1), Cancelled: true}, {Original: at(2), Appointment: moved}, {Original: at(3), Appointment: named}}
	return r
}

// An exception has from its series what is not its own, and goes on having it.
func TestExceptionsFollowTheirSeries(t *testing.T) {
	r := weekly()
	xs := r.Appointment.Recurrence.Exceptions
	assert.Empty(t, r.Appointment.Own(xs[0]))
	assert.Equal(t, []connectors.Field{connectors.FieldTime}, r.Appointment.Own(xs[1]))
	assert.Equal(t, []connectors.Field{connectors.FieldSubject}, r.Appointment.Own(xs[2]))

	// One side names the series anew, the other moves an occurrence: both stand.
	left, right := weekly(), weekly()
	left.Appointment.Subject, left.Appointment.Recurrence.Exceptions[1].Appointment.Subject = "Course", "Course"
	extra := right.Appointment.Regular(right.Appointment.Start.AddDate(0, 0, 28))
	extra.Location = "Hall"
	right.Appointment.Recurrence.Exceptions = append(right.Appointment.Recurrence.Exceptions, connectors.Occurrence{Original: extra.Start, Appointment: extra})
	shared := connectors.Fields(connectors.KindAppointment)
	require.Equal(t, []connectors.Field{connectors.FieldSubject, connectors.FieldRecurrence}, connectors.Diff(left, right, shared))
	was := left.Clone()
	connectors.CopyFields(left, right, []connectors.Field{connectors.FieldRecurrence}, shared)
	connectors.CopyFields(right, was, []connectors.Field{connectors.FieldSubject}, shared)
	require.Empty(t, connectors.Diff(left, right, shared))
	got := map[string]int{}
	os, err := left.Appointment.Occurrences(time.Time{}, time.Time{})
	require.NoError(t, err)
	for _, o := range os {
		got[o.Appointment.Subject+"/"+o.Appointment.Location]++
	}
	assert.Equal(t, map[string]int{"Course/": 3, "Examination/": 1, "Course/Hall": 1}, got)
}

// What a side does not know of an exception is no difference, and stays on the
// side that does.
func TestExceptionsKeepWhatTheOtherSideDoesNotKnow(t *testing.T) {
	know := slices.DeleteFunc(connectors.Fields(connectors.KindAppointment), func(f connectors.Field) bool { return f == connectors.FieldAvailability })
	left, right := weekly(), weekly()
	right.Appointment.Recurrence.Exceptions[2].Appointment.Availability = connectors.Free
	assert.False(t, connectors.Same(left, right, connectors.FieldRecurrence))
	assert.Empty(t, connectors.Diff(left, right, know))
	left.Appointment.Recurrence.Exceptions[2].Appointment.Location = "Hall"
	connectors.CopyFields(right, left, []connectors.Field{connectors.FieldRecurrence}, know)
	x := right.Appointment.Recurrence.Exceptions[2].Appointment
	assert.Equal(t, connectors.Free, x.Availability)
	assert.Equal(t, "Hall", x.Location)
}

// An exception that says what the series says is none, and zones that go alike
// are one.
func TestSeriesThatSayTheSame(t *testing.T) {
	a, b := weekly(), weekly()
	at := a.Appointment.Start.AddDate(0, 0, 28)
	a.Appointment.Recurrence.Exceptions = append(a.Appointment.Recurrence.Exceptions, connectors.Occurrence{Original: at, Appointment: a.Appointment.Regular(at)})
	assert.True(t, connectors.Same(a, b, connectors.FieldRecurrence))
	a.Appointment.Zone, b.Appointment.Zone = "Europe/Berlin", "Europe/Vienna"
	fields := []connectors.Field{connectors.FieldTime, connectors.FieldRecurrence}
	assert.Empty(t, connectors.Diff(a, b, fields))
	b.Appointment.Zone = "Europe/Helsinki"
	assert.Equal(t, fields[1:], connectors.Diff(a, b, fields), "ten o'clock is another time there")
	b.Appointment.Zone = ""
	assert.Empty(t, connectors.Diff(a, b, fields), "a zone that is not known")

	// A longer lesson is longer in another room too.
	r := weekly()
	r.Appointment.Recurrence.Exceptions[2].Appointment.Location = "Hall"
	long := r.Clone()
	long.Appointment.End = long.Appointment.End.Add(time.Hour)
	connectors.CopyField(r, long, connectors.FieldTime)
	assert.NotContains(t, r.Appointment.Own(r.Appointment.Recurrence.Exceptions[2]), connectors.FieldTime)
	assert.Contains(t, r.Appointment.Own(r.Appointment.Recurrence.Exceptions[1]), connectors.FieldTime)
}

// Copying a series makes both say the same, and copying it again changes nothing.
func TestCopyingSeriesIsAFixedPoint(t *testing.T) {
	fields := []connectors.Field{connectors.FieldSubject, connectors.FieldTime, connectors.FieldRecurrence}
	rapid.Check(t, func(t *rapid.T) {
		src, dst := connectors.NewRecord(connectors.KindAppointment), connectors.NewRecord(connectors.KindAppointment)
		src.Appointment, dst.Appointment = anySeries(t), anySeries(t)
		connectors.CopyFields(dst, src, fields, fields)
		require.Empty(t, connectors.Diff(dst, src, fields))
		again := dst.Clone()
		connectors.CopyFields(again, src, fields, fields)
		require.Equal(t, dst, again)
		connectors.CopyFields(src, again, fields, fields)
		require.Empty(t, connectors.Diff(dst, src, fields))
	})
}

// A system that keeps no exceptions is not asked to, nor one to keep a text that
// is too long for it.
func TestSeriesThatDoNotFit(t *testing.T) {
	c := connectors.Capability{Exceptions: true, Fields: map[connectors.Field]connectors.Limit{connectors.FieldRecurrence: {}, connectors.FieldTime: {}, connectors.FieldSubject: {Runes: 20}}}
	recurrence := []connectors.Field{connectors.FieldRecurrence}
	require.NoError(t, c.Fit(weekly(), recurrence))
	long := weekly()
	long.Appointment.Recurrence.Exceptions[2].Appointment.Subject = strings.Repeat("x", 21)
	var e *connectors.Error
	require.ErrorAs(t, c.Fit(long, recurrence), &e)
	assert.Equal(t, connectors.FieldRecurrence, e.Field)
	long.Appointment.Recurrence.Exceptions[2].Appointment.Subject = "Lesson"
	long.Appointment.Recurrence.Exceptions[2].Appointment.Location = strings.Repeat("x", 21)
	require.NoError(t, c.Fit(long, recurrence), "a place is not kept at all")
	c.Exceptions = false
	require.ErrorIs(t, c.Fit(weekly(), recurrence), connectors.ErrInvalid)
	long.Appointment.Recurrence.Exceptions = long.Appointment.Recurrence.Exceptions[2:]
	require.NoError(t, c.Fit(long, recurrence), "an exception of which the system keeps nothing")
}
