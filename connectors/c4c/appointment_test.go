package c4c_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

func richAppointment() *connectors.Record {
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	a.Subject, a.Location, a.Description = "Обзор: 'Q3' & plans", "Raum 5 / 東京", "Bring:\n- slides\n- cake 🍰"
	a.Start, a.End = time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC), time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)
	a.Sensitivity, a.Availability = connectors.Private, connectors.OutOfOffice
	a.Organizer = connectors.Party{Address: "ana@example.com", Name: "Ana"}
	a.Attendees = []connectors.Party{{Address: "bo@example.com", Name: "Bo"}, {Address: "Chen@example.com", Name: "陳"}}
	return r
}

// appointments is what must hold against any server.
func appointments(t *testing.T, c *connectors.Conn) {
	ctx, k := t.Context(), connectors.KindAppointment
	fs := fields(t, c, k)
	want := richAppointment()
	day := connectors.NewRecord(k)
	day.Appointment.Subject, day.Appointment.AllDay = "Holiday", true
	day.Appointment.Start, day.Appointment.End = time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 27, 0, 0, 0, 0, time.UTC)
	day.Appointment.Status, day.Appointment.Availability = connectors.Cancelled, connectors.Free

	_, cursor := drain(t, c, k, "", 100)
	ws, err := c.Create(ctx, k, []connectors.Draft{{Record: want, Key: "a1"}, {Record: day, Key: "a2"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	require.NoError(t, ws[1].Err)
	got := get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(want, got, fs))
	assert.Equal(t, "a1", got.Key)
	assert.Equal(t, ws[0].Rev, got.Rev)
	assert.Empty(t, connectors.Diff(day, get(t, c, k, ws[1].ID), fs))
	some, _ := drain(t, c, k, cursor, 100)
	assert.Contains(t, some, ws[0].ID)
	found, err := c.Find(ctx, k, []string{"a2", "a3"})
	require.NoError(t, err)
	assert.Equal(t, ws[1].ID, found["a2"][0].ID)
	again, err := c.Create(ctx, k, []connectors.Draft{{Record: day, Key: "a2"}})
	require.NoError(t, err)
	assert.ErrorIs(t, again[0].Err, connectors.ErrExists)

	// People come and go, a description is taken away, everything else stays.
	edit := got.Clone()
	edit.Appointment.Attendees = []connectors.Party{{Address: "chen@EXAMPLE.com"}, {Address: "dee@example.com", Name: "Dee"}}
	edit.Appointment.Description = ""
	es, err := c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: got.Rev, Record: edit,
		Fields: []connectors.Field{connectors.FieldAttendees, connectors.FieldDescription}}})
	require.NoError(t, err)
	require.NoError(t, es[0].Err)
	now := get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(edit, now, fs))
	assert.Equal(t, es[0].Rev, now.Rev)
	assert.NotEqual(t, got.Rev, now.Rev, "a change below the record must show")

	// Back again, with another organizer, under the old revision and the new one.
	for _, rev := range []string{got.Rev, now.Rev} {
		edit = want.Clone()
		edit.Appointment.Organizer = connectors.Party{Address: "bo@example.com", Name: "Bo"}
		es, err = c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: rev, Record: edit,
			Fields: []connectors.Field{connectors.FieldAttendees, connectors.FieldDescription, connectors.FieldOrganizer, connectors.FieldTime}}})
		require.NoError(t, err)
		if rev == got.Rev {
			require.ErrorIs(t, es[0].Err, connectors.ErrPrecondition)
			assert.Empty(t, connectors.Diff(now, get(t, c, k, ws[0].ID), fs), "nothing of it may have happened")
		}
	}
	require.NoError(t, es[0].Err)
	now = get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(edit, now, fs))

	// What the system cannot hold is refused by name.
	series := want.Clone()
	series.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=DAILY"}}
	open := want.Clone()
	open.Appointment.Status = connectors.Unconfirmed
	back := want.Clone()
	back.Appointment.End = back.Appointment.Start.Add(-time.Hour)
	for f, r := range map[connectors.Field]*connectors.Record{connectors.FieldRecurrence: series, connectors.FieldStatus: open, connectors.FieldTime: back} {
		bad, err := c.Create(ctx, k, []connectors.Draft{{Record: r, Key: "bad-" + string(f)}})
		require.NoError(t, err)
		var e *connectors.Error
		require.ErrorAs(t, bad[0].Err, &e)
		assert.Equal(t, f, e.Field)
		assert.ErrorIs(t, e, connectors.ErrInvalid)
	}

	ds, err := c.Delete(ctx, k, []connectors.Target{{ID: ws[0].ID, Rev: ws[0].Rev}, {ID: ws[1].ID, Rev: ws[1].Rev}, {ID: "never-was", Rev: now.Rev}})
	require.NoError(t, err)
	assert.ErrorIs(t, ds[0].Err, connectors.ErrPrecondition)
	assert.NoError(t, ds[1].Err)
	assert.NoError(t, ds[2].Err)
	ds, err = c.Delete(ctx, k, []connectors.Target{{ID: ws[0].ID, Rev: now.Rev}})
	require.NoError(t, err)
	assert.NoError(t, ds[0].Err)
	rs, err := c.Get(ctx, k, []string{ws[0].ID})
	require.NoError(t, err)
	assert.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
	ids, err := c.List(ctx, k, "", 100)
	require.NoError(t, err)
	assert.NotContains(t, ids.IDs, ws[0].ID)
}

func TestAppointments(t *testing.T) {
	_, c := emulator(t, c4ctest.Options{Now: seconds()}, nil)
	appointments(t, c)
}

// People whom the CRM knows without an address are none of our business, but
// they must survive.
func TestPartiesWithoutAddress(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	k := connectors.KindAppointment
	id, err := s.Seed("AppointmentCollection", c4ctest.Props{"Subject": "x", "StartDate": time.Unix(0, 0), "EndDate": time.Unix(3600, 0),
		"AppointmentInvolvedParties": []c4ctest.Props{{"RoleCode": "36", "PartyID": "17", "Name": "No Address"}, {"RoleCode": "36", "EMail": "old@example.com"},
			{"RoleCode": "39", "PartyEmailURI": "owner@example.com"}, {"RoleCode": "35", "PartyEmailURI": "boss@example.com", "Name": "Boss"}}})
	require.NoError(t, err)
	r := get(t, c, k, id)
	assert.Equal(t, []connectors.Party{{Address: "old@example.com"}}, r.Appointment.Attendees)
	assert.Equal(t, connectors.Party{Address: "boss@example.com", Name: "Boss"}, r.Appointment.Organizer)
	r.Appointment.Attendees = nil
	ws, err := c.Update(t.Context(), k, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldAttendees}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	p, _ := s.Get("AppointmentCollection", id)
	assert.Len(t, p["AppointmentInvolvedParties"], 3)
}
