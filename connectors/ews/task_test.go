package ews

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// A task's status and percentage are one thing to the mailbox; one that will not
// be done stays told apart from one that is put off.
//
// feature: F12, F17
func TestTasks(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	r := connectors.NewRecord(connectors.KindTask)
	*r.Task = connectors.Task{Subject: "call", Description: "a\nb", Start: "2026-03-01", Due: "2026-03-05", Status: connectors.Dropped, Percent: 40, Priority: connectors.High,
		Remind: time.Date(2026, 3, 4, 7, 30, 0, 0, time.UTC)}
	ws, err := c.Create(t.Context(), connectors.KindTask, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	get := func() *connectors.Record {
		rs, err := c.Get(t.Context(), connectors.KindTask, []string{ws[0].ID})
		require.NoError(t, err)
		require.NoError(t, rs[0].Err)
		return rs[0].Record
	}
	require.Equal(t, *r.Task, *get().Task)
	set := func(f connectors.Field, change func(*connectors.Task)) *connectors.Task {
		now := get()
		next := now.Clone()
		change(next.Task)
		us, err := c.Update(t.Context(), connectors.KindTask, []connectors.Edit{{ID: now.ID, Rev: now.Rev, Record: next, Fields: []connectors.Field{f}}})
		require.NoError(t, err)
		require.NoError(t, us[0].Err)
		return get().Task
	}
	require.Equal(t, connectors.Deferred, set(connectors.FieldStatus, func(x *connectors.Task) { x.Status = connectors.Deferred }).Status)
	done := set(connectors.FieldPercent, func(x *connectors.Task) { x.Percent = 100 })
	require.Equal(t, connectors.Completed, done.Status)
	again := set(connectors.FieldStatus, func(x *connectors.Task) { x.Status = connectors.NotStarted })
	require.Zero(t, again.Percent)
	none := set(connectors.FieldReminder, func(x *connectors.Task) { x.Remind = time.Time{} })
	require.True(t, none.Remind.IsZero())
	require.Empty(t, set(connectors.FieldDue, func(x *connectors.Task) { x.Due = "" }).Due)
	require.Empty(t, w.x.Unknown())

	// A day is the day that was meant, wherever its midnight was.
	for in, want := range map[string]string{"2026-03-05T00:00:00Z": "2026-03-05", "2026-03-04T23:00:00Z": "2026-03-05", "2026-03-05T08:00:00Z": "2026-03-05", "2026-03-04T10:00:00Z": "2026-03-04", "": "", "soon": ""} {
		require.Equal(t, want, midnight(in), in)
	}
}
