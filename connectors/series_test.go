package connectors_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func lesson(rule string) *connectors.Appointment {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	return &connectors.Appointment{UID: "u", Subject: "Lesson", Start: at, End: at.Add(time.Hour), Recurrence: &connectors.Recurrence{Rules: []string{rule}}}
}

func starts(t require.TestingT, a *connectors.Appointment) []int64 {
	os, err := a.Occurrences(time.Time{}, a.Start.AddDate(3, 0, 0))
	require.NoError(t, err)
	var out []int64
	for _, o := range os {
		out = append(out, o.Original.Unix())
	}
	return out
}

// anySeries draws a series with further dates and exceptions.
func anySeries(t *rapid.T) *connectors.Appointment {
	a := lesson(rapid.SampledFrom([]string{"FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=MO,TH;INTERVAL=2", "FREQ=MONTHLY",
		"FREQ=MONTHLY;BYDAY=1MO", "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-1;INTERVAL=2", "FREQ=YEARLY"}).Draw(t, "rule"))
	switch rapid.IntRange(0, 2).Draw(t, "end") {
	case 0:
		a.Recurrence.Rules[0] += ";COUNT=" + rapid.SampledFrom([]string{"2", "5", "40"}).Draw(t, "count")
	case 1:
		a.Recurrence.Rules[0] += ";UNTIL=" + rapid.SampledFrom([]string{"20260401", "20261231T235959Z", "20270601T090000Z"}).Draw(t, "until")
	}
	if a.AllDay = rapid.Bool().Draw(t, "all day"); a.AllDay {
		a.Start, a.End = a.Start.Truncate(24*time.Hour), a.Start.Truncate(24*time.Hour).AddDate(0, 0, 1)
	} else {
		a.Zone = rapid.SampledFrom([]string{"", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}).Draw(t, "zone")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "dates") {
		a.Recurrence.Dates = append(a.Recurrence.Dates, a.Start.AddDate(0, i*7+1, 3).Add(time.Hour*time.Duration(i)))
	}
	all := starts(t, a)
	for _, s := range all {
		switch o := (connectors.Occurrence{Original: time.Unix(s, 0).UTC()}); rapid.IntRange(0, 6).Draw(t, "exception") {
		case 0:
			o.Cancelled = true
			a.Recurrence.Exceptions = append(a.Recurrence.Exceptions, o)
		case 1:
			o.Appointment = &connectors.Appointment{Subject: "moved", Start: o.Original.Add(time.Hour), End: o.Original.Add(2 * time.Hour)}
			a.Recurrence.Exceptions = append(a.Recurrence.Exceptions, o)
		}
		if len(a.Recurrence.Exceptions) > 6 {
			break
		}
	}
	return a
}

// A series that is split loses no occurrence and gains none, and each exception
// stays with its own.
func TestSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anySeries(t)
		all := starts(t, a)
		if len(all) == 0 {
			return
		}
		at := time.Unix(rapid.SampledFrom(all).Draw(t, "at"), 0).Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "off")) * time.Second).UTC()
		whole := (&connectors.Record{Kind: connectors.KindAppointment, Appointment: a}).Clone().Appointment
		before, following, err := a.Split(at)
		require.Equal(t, whole, a, "the series itself changed")
		if err != nil {
			require.ErrorIs(t, err, connectors.ErrEmptyPart)
			return
		}
		require.Empty(t, following.UID)
		b, f := starts(t, before), starts(t, following)
		limit := a.Start.AddDate(3, 0, 0).Unix()
		f = slices.DeleteFunc(f, func(s int64) bool { return s >= limit })
		require.Equal(t, all, append(b, f...))
		for _, s := range b {
			require.Less(t, s, at.Unix())
		}
		require.Len(t, a.Recurrence.Exceptions, len(before.Recurrence.Exceptions)+len(following.Recurrence.Exceptions))
	})
}

func TestOccurrences(t *testing.T) {
	a := lesson("FREQ=WEEKLY;COUNT=10")
	a.Zone = "Europe/Berlin" // ten o'clock there, before and after the clocks change
	day := func(n int) time.Time { return a.Start.AddDate(0, 0, n) }
	a.Recurrence.Exceptions = []connectors.Occurrence{{Original: day(7), Cancelled: true},
		{Original: day(14), Appointment: &connectors.Appointment{Subject: "moved", Start: day(15), End: day(15).Add(time.Hour)}}}
	os, err := a.Occurrences(a.Start, day(40))
	require.NoError(t, err)
	require.Len(t, os, 5)
	assert.Equal(t, "moved", os[1].Appointment.Subject)
	assert.Equal(t, day(14), os[1].Original)
	assert.Equal(t, day(28).Add(-time.Hour), os[3].Original, "summer time began on the 29th of March")
	assert.Nil(t, os[0].Appointment.Recurrence)
	assert.Empty(t, os[0].Appointment.UID)

	for rule, want := range map[string]error{"": connectors.ErrRule, "FREQ=HOURLY": connectors.ErrRule, "FREQ=SECONDLY;COUNT=1000000000": connectors.ErrRule, "FREQ=DAILY;BYHOUR=1,2,3": connectors.ErrRule,
		"FREQ=DAILY;INTERVAL=x": connectors.ErrRule, "FREQ=DAILY": connectors.ErrTooMany} {
		_, err := lesson(rule).Occurrences(time.Time{}, time.Time{})
		assert.ErrorIs(t, err, want, rule)
	}
	never, err := lesson("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30").Occurrences(time.Time{}, time.Time{})
	assert.NoError(t, err, "a rule that fits no day comes to an end")
	assert.Empty(t, never)
	_, err = (&connectors.Appointment{}).Occurrences(time.Time{}, time.Time{})
	assert.ErrorIs(t, err, connectors.ErrNoSeries)
	_, _, err = (&connectors.Appointment{}).Split(time.Time{})
	assert.ErrorIs(t, err, connectors.ErrNoSeries)
}

// A rule says the same in any order and with or without what is so anyway.
func TestRuleSpellings(t *testing.T) {
	for _, same := range [][]string{
		{"FREQ=WEEKLY;BYDAY=MO,FR;INTERVAL=2", "interval=2; byday=FR,MO;freq=weekly", "FREQ=WEEKLY;WKST=MO;INTERVAL=2;BYDAY=MO,FR,MO"},
		{"FREQ=DAILY", "FREQ=DAILY;INTERVAL=1", "FREQ=DAILY;;"},
	} {
		for _, r := range same {
			assert.Equal(t, connectors.NormalizeRule(same[0]), connectors.NormalizeRule(r))
		}
	}
	assert.NotEqual(t, connectors.NormalizeRule("FREQ=DAILY;COUNT=2"), connectors.NormalizeRule("FREQ=DAILY;COUNT=3"))
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`(FREQ=[A-Z]{0,6}|BYDAY=(MO|TU),?|;|INTERVAL=[0-9]|,| ){0,9}`)).Draw(t, "rule")
		n := connectors.NormalizeRule(s)
		require.Equal(t, n, connectors.NormalizeRule(n))
	})
}

// Series are compared by what they say.
func TestSameSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &connectors.Record{Kind: connectors.KindAppointment, Appointment: anySeries(t)}
		b := a.Clone()
		slices.Reverse(b.Appointment.Recurrence.Exceptions)
		slices.Reverse(b.Appointment.Recurrence.Dates)
		require.True(t, connectors.Same(a, b, connectors.FieldRecurrence))
		if len(b.Appointment.Recurrence.Exceptions) > 0 {
			x := &b.Appointment.Recurrence.Exceptions[0]
			if x.Cancelled {
				x.Original = x.Original.Add(time.Hour)
			} else {
				x.Appointment.Subject += "x"
			}
			require.False(t, connectors.Same(a, b, connectors.FieldRecurrence))
		}
	})
}

func TestSpan(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	check := func(r *connectors.Record, start, end time.Time, want bool) {
		t.Helper()
		s, e, ok := r.Span()
		assert.Equal(t, want, ok)
		assert.True(t, s.Equal(start) && e.Equal(end), "%s to %s", s, e)
	}
	r := connectors.NewRecord(connectors.KindVisit)
	check(r, time.Time{}, time.Time{}, false)
	r.Appointment = lesson("FREQ=WEEKLY;COUNT=3")
	check(r, at, at.AddDate(0, 0, 14).Add(time.Hour), true)
	r.Appointment.Recurrence.Exceptions = []connectors.Occurrence{{Original: at, Appointment: &connectors.Appointment{Start: at.AddDate(1, 0, 0), End: at.AddDate(1, 0, 0)}}}
	check(r, at, at.AddDate(1, 0, 0), true)
	r.Appointment = lesson("FREQ=WEEKLY")
	check(r, at, time.Time{}, true)
	r.Appointment.Recurrence = nil
	check(r, at, at.Add(time.Hour), true)
	task := connectors.NewRecord(connectors.KindTask)
	check(task, time.Time{}, time.Time{}, false)
	task.Task.Due = "2026-03-02"
	check(task, at.Truncate(24*time.Hour), at.Truncate(24*time.Hour).AddDate(0, 0, 1), true)
	mail := connectors.NewRecord(connectors.KindMail)
	check(mail, time.Time{}, time.Time{}, false)
	mail.Mail.Date = at
	check(mail, at, at, true)
	check(connectors.NewRecord(connectors.KindContact), time.Time{}, time.Time{}, false)
}
