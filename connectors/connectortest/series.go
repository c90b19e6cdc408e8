package connectortest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// seriesAndExceptions: a series is one record, whatever the system keeps of it
// apart: its exceptions come with it, and a change of one is a change of it. An
// exception has from its series what is not its own.
func seriesAndExceptions(c *kase) {
	l, has := c.c.Fields[connectors.FieldRecurrence]
	c.need("exceptions of series", has && c.c.Exceptions)
	c.need("way to make a series", c.sys.Add != nil || c.c.Create && !l.ReadOnly)
	want := c.plain(1)
	a := want.Appointment
	a.Start = time0().Add(9 * time.Hour)
	a.End = a.Start.Add(time.Hour)
	a.AllDay, a.Zone = false, ""
	a.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY;COUNT=6"}}
	day := func(n int) time.Time { return a.Start.AddDate(0, 0, n) }
	except := func(n int, change func(x *connectors.Appointment)) connectors.Occurrence {
		o := connectors.Occurrence{Original: day(n), Appointment: a.Regular(day(n))}
		change(o.Appointment)
		return o
	}
	move := func(x *connectors.Appointment) { x.Start, x.End = x.Start.AddDate(0, 0, 1), x.End.AddDate(0, 0, 1) }
	rename := func(x *connectors.Appointment) { x.Subject = "its own" }
	// The second is off, the third on another day, the fourth has another name.
	a.Recurrence.Exceptions = []connectors.Occurrence{{Original: day(7), Cancelled: true}, except(14, move), except(21, rename)}
	if c.h.Shape != nil {
		c.h.Shape(want)
	}
	fields := append(c.writable(), connectors.FieldRecurrence)
	says := func(got *connectors.Record) {
		c.Helper()
		require.NotNil(c, got.Appointment.Recurrence)
		require.Empty(c, connectors.Diff(want, got, fields))
		assert.Len(c, got.Appointment.Recurrence.Exceptions, len(a.Recurrence.Exceptions), "exceptions")
		x, err := want.Appointment.Occurrences(time.Time{}, time.Time{})
		require.NoError(c, err)
		y, err := got.Appointment.Occurrences(time.Time{}, time.Time{})
		require.NoError(c, err)
		require.Len(c, y, len(x), "occurrences")
		for i := range x {
			assert.True(c, x[i].Original.Equal(y[i].Original), "occurrence %d", i)
			assert.True(c, x[i].Appointment.Start.Equal(y[i].Appointment.Start), "start of occurrence %d", i)
			assert.Equal(c, x[i].Appointment.Subject, y[i].Appointment.Subject, "occurrence %d", i)
		}
	}
	first, cursor := c.changes(c, c.conn, "", 0, nil)
	require.Empty(c, first)
	id := c.add(c, want.Clone())
	says(c.get(c, id))
	assert.Equal(c, []string{id}, c.ids(c, 0), "a series is one record")
	seen, cursor := c.changes(c, c.conn, cursor, 0, nil)
	for _, x := range seen {
		assert.Equal(c, id, x.ID)
	}
	if l.ReadOnly || !c.c.Update {
		return
	}
	update := func(conn *connectors.Conn, fields ...connectors.Field) {
		c.Helper()
		before := c.get(c, id)
		ws, err := conn.Update(c.Context(), c.k, []connectors.Edit{{ID: id, Rev: before.Rev, Record: want.Clone(), Fields: fields}})
		_, err = c.one(c, ws, err)
		require.NoError(c, err)
		after := c.get(c, id)
		says(after)
		assert.NotEqual(c, before.Rev, after.Rev, "a change of an exception is one of the series")
		if before.Rev != after.Rev {
			var got []connectors.Change
			got, cursor = c.changes(c, c.conn, cursor, 0, nil)
			require.Equal(c, 1, len(slices.CompactFunc(got, func(x, y connectors.Change) bool { return x.ID == y.ID })), "changes")
			assert.Equal(c, id, got[0].ID)
		}
	}
	// Somebody moves the fifth.
	a.Recurrence.Exceptions = append(a.Recurrence.Exceptions, except(28, move))
	update(c.other, connectors.FieldRecurrence)
	// The series gets another name: so does every occurrence but the fourth.
	a.Subject = "another"
	for i, o := range a.Recurrence.Exceptions {
		if o.Appointment != nil && o.Appointment.Subject != "its own" {
			a.Recurrence.Exceptions[i].Appointment.Subject = a.Subject
		}
	}
	update(c.conn, connectors.FieldSubject)
	// The second takes place after all, the third is off.
	a.Recurrence.Exceptions = append(a.Recurrence.Exceptions[2:], connectors.Occurrence{Original: day(14), Cancelled: true})
	update(c.conn, connectors.FieldRecurrence)
	// It ends before the fifth, as the first part of one that is split does.
	before, following, err := a.Split(day(28))
	require.NoError(c, err)
	want.Appointment.Recurrence, a.Recurrence = before.Recurrence, before.Recurrence
	update(c.conn, connectors.FieldRecurrence)
	ids := []string{id}
	if c.c.Create {
		r := want.Clone()
		r.Appointment.Start, r.Appointment.End, r.Appointment.Recurrence = following.Start, following.End, following.Recurrence
		w := c.create(c, r)
		require.Empty(c, connectors.Diff(r, c.get(c, w.ID), fields), "the other part")
		says(c.get(c, id))
		ids = append(ids, w.ID)
	}
	// It is no series any more.
	want.Appointment.Recurrence = nil
	before2 := c.get(c, id)
	require.NoError(c, c.tryUpdate(c, id, before2.Rev, want.Clone(), connectors.FieldRecurrence))
	got := c.get(c, id)
	assert.Nil(c, got.Appointment.Recurrence)
	assert.Empty(c, connectors.Diff(want, got, fields))
	assert.ElementsMatch(c, ids, c.ids(c, 0))
}
