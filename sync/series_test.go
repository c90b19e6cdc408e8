package sync

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// lesson is a series of eight weeks.
func lesson(attendees ...string) *connectors.Record {
	r := appointment("Lesson", noon, attendees...)
	r.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY;COUNT=8"}}
	return r
}

// except changes the nth occurrence of a series, cancels it with nil.
func except(r *connectors.Record, n int, change func(x *connectors.Appointment)) {
	a := r.Appointment
	at := a.Start.AddDate(0, 0, 7*n)
	for i := range a.Recurrence.Exceptions {
		o := &a.Recurrence.Exceptions[i]
		if o.Original.Equal(at) {
			if change == nil {
				o.Cancelled, o.Appointment = true, nil
			} else {
				change(o.Appointment)
			}
			return
		}
	}
	o := connectors.Occurrence{Original: at, Cancelled: change == nil}
	if change != nil {
		o.Appointment = a.Regular(at)
		change(o.Appointment)
	}
	a.Recurrence.Exceptions = append(a.Recurrence.Exceptions, o)
}

func inRoom(room string) func(*connectors.Appointment) {
	return func(x *connectors.Appointment) { x.Location = room }
}

// occurrences tells where and when a series takes place, week by week.
func occurrences(t require.TestingT, r *connectors.Record) map[int]string {
	os, err := r.Appointment.Occurrences(time.Time{}, time.Time{})
	require.NoError(t, err)
	out := map[int]string{}
	for _, o := range os {
		out[int(o.Original.Sub(noon)/(7*24*time.Hour))] = o.Appointment.Start.Sub(o.Original).String() + " " + o.Appointment.Subject + " " + o.Appointment.Location
	}
	return out
}

// series is a world with one series on both sides.
func series(t testing.TB, s setup) (*world, string, string) {
	w := newWorld(t, s)
	l := w.crm.Add(lesson())
	w.sync()
	return w, l, w.box.Records(ka)[0].ID
}

// alike asserts that both sides have one series that says the same.
func (w *world) alike() (crm, box *connectors.Record) {
	w.t.Helper()
	l, r := w.crm.Records(ka), w.box.Records(ka)
	require.Len(w.t, l, 1)
	require.Len(w.t, r, 1)
	require.Empty(w.t, connectors.Diff(l[0], r[0], connectors.Fields(ka)))
	return l[0], r[0]
}

// Exceptions of a series cross in both directions, and go again.
//
// feature: F5
func TestExceptionsOfASeriesCross(t *testing.T) {
	w, l, m := series(t, setup{})
	w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 1, nil); except(r, 2, inRoom("Hall")) })
	w.quiet()
	crm, _ := w.alike()
	assert.Equal(t, map[int]string{0: "0s Lesson ", 2: "0s Lesson Hall", 3: "0s Lesson ", 4: "0s Lesson ", 5: "0s Lesson ", 6: "0s Lesson ", 7: "0s Lesson "}, occurrences(t, crm))
	w.crm.Edit(ka, l, func(r *connectors.Record) {
		r.Appointment.Recurrence.Exceptions = r.Appointment.Recurrence.Exceptions[1:] // the second takes place after all
		except(r, 3, func(x *connectors.Appointment) { x.Start, x.End = x.Start.Add(time.Hour), x.End.Add(time.Hour) })
	})
	w.quiet()
	_, box := w.alike()
	assert.Equal(t, map[int]string{0: "0s Lesson ", 1: "0s Lesson ", 2: "0s Lesson Hall", 3: "1h0m0s Lesson ", 4: "0s Lesson ", 5: "0s Lesson ", 6: "0s Lesson ", 7: "0s Lesson "}, occurrences(t, box))
	assert.Empty(t, w.issues())
}

// What one side does to the whole series and the other to one occurrence is both
// done, and so are changes of different occurrences. Two changes of one occurrence
// are a conflict, unless somebody wins it.
//
// feature: F28
// fault: F71
func TestChangesOfASeriesAreMerged(t *testing.T) {
	for name, x := range map[string]struct {
		rule     Rule
		crm, box func(*connectors.Record)
		want     map[int]string // of the first four; nil: a conflict
	}{
		"an occurrence and the name of all": {Rule{Fields: true},
			func(r *connectors.Record) {
				connectors.CopyField(r, appointment("Course", noon), connectors.FieldSubject)
			},
			func(r *connectors.Record) { except(r, 2, inRoom("Hall")) },
			map[int]string{0: "0s Course ", 1: "0s Course ", 2: "0s Course Hall", 3: "0s Course Lab"}},
		"different occurrences": {Rule{Fields: true},
			func(r *connectors.Record) { except(r, 1, nil) }, func(r *connectors.Record) { except(r, 2, inRoom("Hall")) },
			map[int]string{0: "0s Lesson ", 2: "0s Lesson Hall", 3: "0s Lesson Lab"}},
		"different occurrences, and nothing is remembered": {Rule{},
			func(r *connectors.Record) { except(r, 1, nil) }, func(r *connectors.Record) { except(r, 2, inRoom("Hall")) },
			map[int]string{0: "0s Lesson ", 2: "0s Lesson Hall", 3: "0s Lesson Lab"}},
		"one takes an exception back, the other makes one": {Rule{Fields: true},
			func(r *connectors.Record) { r.Appointment.Recurrence.Exceptions = nil }, func(r *connectors.Record) { except(r, 2, inRoom("Hall")) },
			map[int]string{0: "0s Lesson ", 1: "0s Lesson ", 2: "0s Lesson Hall", 3: "0s Lesson "}},
		"one occurrence": {Rule{Fields: true}, func(r *connectors.Record) { except(r, 3, inRoom("Hall")) }, func(r *connectors.Record) { except(r, 3, nil) }, nil},
		"one occurrence, and the CRM wins": {Rule{Fields: true, Winner: LeftWins},
			func(r *connectors.Record) { except(r, 3, inRoom("Hall")); except(r, 1, nil) }, func(r *connectors.Record) { except(r, 3, nil); except(r, 0, nil) },
			map[int]string{2: "0s Lesson ", 3: "0s Lesson Hall"}},
		"it ends, and what goes on is changed": {Rule{Fields: true},
			func(r *connectors.Record) { r.Appointment.Recurrence.Rules[0] = "FREQ=WEEKLY;COUNT=4" }, func(r *connectors.Record) { except(r, 1, inRoom("Hall")) },
			map[int]string{0: "0s Lesson ", 1: "0s Lesson Hall", 2: "0s Lesson ", 3: "0s Lesson Lab"}},
		"it ends before what is changed": {Rule{Fields: true},
			func(r *connectors.Record) {
				r.Appointment.Recurrence.Rules[0] = "FREQ=WEEKLY;COUNT=4"
			}, func(r *connectors.Record) { except(r, 6, inRoom("Hall")) }, nil},
		"it moves to another hour, and an occurrence to another room": {Rule{Fields: true},
			func(r *connectors.Record) {
				r.Appointment.Start, r.Appointment.End = noon.Add(time.Hour), noon.Add(2*time.Hour)
			}, func(r *connectors.Record) { except(r, 2, inRoom("Hall")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x.rule.Kind = ka
			w, l, m := series(t, setup{rules: []Rule{x.rule}})
			w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 3, inRoom("Lab")) })
			w.quiet()
			w.alike()
			w.crm.Edit(ka, l, x.crm)
			w.box.Edit(ka, m, x.box)
			was := [2]*connectors.Record{w.crm.Records(ka)[0], w.box.Records(ka)[0]}
			w.quiet()
			if x.want == nil {
				assert.Equal(t, []Code{CodeConflict}, codes(w.issues()))
				assert.Equal(t, was, [2]*connectors.Record{w.crm.Records(ka)[0], w.box.Records(ka)[0]}, "nothing is lost")
				return
			}
			assert.Empty(t, w.issues())
			_, box := w.alike()
			got := occurrences(t, box)
			for n := 4; n < 8; n++ {
				delete(got, n)
			}
			assert.Equal(t, x.want, got)
		})
	}
}

// Whatever two people do to occurrences: each change ends on both sides, or in a
// conflict that leaves both sides as they were.
func TestNoChangeOfAnOccurrenceIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := Rule{Kind: ka, Fields: rapid.Bool().Draw(rt, "remember")}
		w, l, m := series(t, setup{rules: []Rule{rule}})
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			edits := [2]map[int]string{{}, {}}
			start := [2]map[int]string{occurrences(rt, w.crm.Records(ka)[0]), occurrences(rt, w.box.Records(ka)[0])}
			for i, s := range []*mem.System{w.crm, w.box} {
				for range rapid.IntRange(0, 2).Draw(rt, "edits") {
					n, room := rapid.IntRange(0, 7).Draw(rt, "occurrence"), rapid.SampledFrom([]string{"", "Hall", "Lab"}).Draw(rt, "room")
					s.Edit(ka, []string{l, m}[i], func(r *connectors.Record) {
						if room != "" {
							for _, o := range r.Appointment.Recurrence.Exceptions {
								if o.Cancelled && o.Original.Equal(noon.AddDate(0, 0, 7*n)) {
									return // off it stays
								}
							}
							except(r, n, inRoom(room))
						} else {
							except(r, n, nil)
						}
						edits[i][n] = room
					})
				}
			}
			before := [2]map[int]string{occurrences(rt, w.crm.Records(ka)[0]), occurrences(rt, w.box.Records(ka)[0])}
			w.quiet()
			after := [2]map[int]string{occurrences(rt, w.crm.Records(ka)[0]), occurrences(rt, w.box.Records(ka)[0])}
			if len(w.issues()) > 0 {
				require.Equal(rt, before, after, "a conflict leaves both as they are")
				return
			}
			require.Equal(rt, after[0], after[1])
			for i := range edits {
				for n := range edits[i] {
					if before[i][n] == start[i][n] {
						continue // it was so already, and may be something else by now
					}
					require.Equal(rt, before[i][n], after[1-i][n], "occurrence %d", n)
				}
			}
		}
	})
}

// This and all that follow: the old series ends, a new one begins, and nothing is
// deleted, cancelled or made twice for that.
//
// fault: F71
func TestThisAndFollowing(t *testing.T) {
	for _, inCRM := range []bool{false, true} {
		w, l, m := series(t, setup{})
		s, id := w.box, m
		if inCRM {
			s, id = w.crm, l
		}
		s.Edit(ka, id, func(r *connectors.Record) { except(r, 5, inRoom("Hall")) })
		w.quiet()
		w.crm.Ledger()
		w.box.Ledger()
		before, following, err := s.Records(ka)[0].Appointment.Split(noon.AddDate(0, 0, 28))
		require.NoError(t, err)
		s.Edit(ka, id, func(r *connectors.Record) { r.Appointment = before })
		next := connectors.NewRecord(ka)
		next.Appointment, following.UID, following.Subject = following, "following@uid", "Course"
		s.Add(next)
		w.quiet()
		for _, e := range append(w.crm.Ledger(), w.box.Ledger()...) {
			assert.NotEqual(t, "delete", e.Verb)
		}
		got := map[string]int{}
		for _, side := range []*mem.System{w.crm, w.box} {
			rs := side.Records(ka)
			require.Len(t, rs, 2)
			for _, r := range rs {
				assert.Equal(t, connectors.Confirmed, r.Appointment.Status)
				for _, o := range occurrences(t, r) {
					got[o]++
				}
			}
		}
		assert.Equal(t, map[string]int{"0s Lesson ": 8, "0s Course ": 6, "0s Lesson Hall": 2}, got)
		assert.Empty(t, w.issues())
	}
}

// A series stays as long as any of its occurrences is in the window, and when the
// last has left it both records stay.
//
// feature: F23
// guards: G1
func TestSeriesStaysUntilItsLastOccurrenceLeft(t *testing.T) {
	w, l, m := series(t, setup{rules: []Rule{{Kind: ka, Back: 30 * 24 * time.Hour}}})
	w.now = noon.AddDate(0, 0, 49+29) // the first is long gone
	w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 7, inRoom("Hall")) })
	w.quiet()
	w.alike()
	w.now = noon.AddDate(0, 0, 49+32)
	w.box.Edit(ka, m, func(r *connectors.Record) { r.Appointment.Location = "Lab" })
	w.quiet()
	assert.Empty(t, w.crm.Records(ka)[0].Appointment.Location, "it is over")
	w.box.Remove(ka, m)
	w.quiet()
	require.Len(t, w.crm.Records(ka), 1, "leaving the window deletes nothing, then or later")
	assert.Equal(t, l, w.crm.Records(ka)[0].ID)
}

// A side that keeps no exceptions gets none and no wrong ones: somebody is told.
// What else is changed in the series crosses all the same.
func TestExceptionsThatTheOtherSideDoesNotKeep(t *testing.T) {
	w := newWorld(t, setup{crm: mem.Options{Rules: true}})
	m := w.box.Add(lesson())
	w.quiet()
	w.alike()
	w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 2, nil) })
	w.quiet()
	assert.Equal(t, []Code{CodeOccurrence}, codes(w.issues()))
	assert.Len(t, w.crm.Records(ka), 1)
	assert.Len(t, w.box.Records(ka), 1)
	w.box.Edit(ka, m, func(r *connectors.Record) { r.Appointment.Recurrence.Exceptions = nil })
	w.quiet()
	w.alike()
	assert.Empty(t, w.issues())

	// A mailbox whose series nobody else may change.
	fields := map[connectors.Field]connectors.Limit{}
	for _, f := range connectors.Fields(ka) {
		fields[f] = connectors.Limit{ReadOnly: f == connectors.FieldRecurrence}
	}
	w = newWorld(t, setup{box: mem.Options{Limits: map[connectors.Kind]map[connectors.Field]connectors.Limit{ka: fields}}})
	m = w.box.Add(lesson())
	w.quiet()
	l, _ := w.alike()
	w.crm.Edit(ka, l.ID, func(r *connectors.Record) { except(r, 2, nil); r.Appointment.Location = "Lab" })
	w.quiet()
	assert.Equal(t, []Code{CodeOccurrence}, codes(w.issues()))
	assert.Equal(t, "Lab", w.box.Records(ka)[0].Appointment.Location)
	assert.Empty(t, w.box.Records(ka)[0].Appointment.Recurrence.Exceptions)
	w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 2, nil) })
	w.quiet()
	assert.Empty(t, w.issues(), "a person did the same there")
}

// A private occurrence of a series that is none does not cross, but that its time
// is taken; and its placeholder is never written back over it.
//
// guards: G11
// feature: F10
func TestPrivateOccurrences(t *testing.T) {
	secretly := func(x *connectors.Appointment) { x.Subject, x.Sensitivity = "Doctor", connectors.Private }
	for _, private := range []Privacy{PrivateStays, PrivateBlock} {
		w, l, m := series(t, setup{rules: []Rule{{Kind: ka, Private: private}}})
		w.box.Edit(ka, m, func(r *connectors.Record) { except(r, 2, secretly) })
		w.quiet()
		for _, o := range occurrences(t, w.crm.Records(ka)[0]) {
			assert.NotContains(t, o, "Doctor")
		}
		if private == PrivateStays {
			assert.Equal(t, []Code{CodePrivate}, codes(w.issues()))
			continue
		}
		assert.Equal(t, "0s Private ", occurrences(t, w.crm.Records(ka)[0])[2])
		assert.Empty(t, w.issues())
		w.crm.Edit(ka, l, func(r *connectors.Record) { except(r, 3, inRoom("Hall")) })
		w.quiet()
		assert.Equal(t, "0s Doctor ", occurrences(t, w.box.Records(ka)[0])[2])
		assert.Equal(t, []Code{CodeOccurrence}, codes(w.issues()), "the change in the CRM is not silent")
	}
}

// One meeting in several mailboxes is one record in the CRM, and an exception that
// its organizer makes comes there once.
//
// feature: F6
// guards: G5
func TestTheOrganizersExceptionComesOnce(t *testing.T) {
	w := newTeam(t, Rule{Kind: ka}, mem.Options{}, "ana", "ben")
	r := lesson("ben@acme.example", "carl@x.example")
	r.Appointment.Organizer = connectors.Party{Address: "ana@acme.example"}
	ids := map[string]string{}
	for _, n := range w.names {
		ids[n] = w.box[n].Add(r)
	}
	for _, order := range [][]string{{"ben", "ana"}, {"ana", "ben"}} {
		for range 3 {
			w.round(order...)
		}
	}
	require.Len(t, w.crm.Records(ka), 1)
	w.crm.Ledger()
	for _, n := range w.names { // the organizer's system tells the attendees' calendars
		w.box[n].Edit(ka, ids[n], func(r *connectors.Record) { except(r, 2, nil); except(r, 3, inRoom("Hall")) })
	}
	for range 3 {
		w.round("ben", "ana")
	}
	assert.Equal(t, 1, mem.Writes(w.crm.Ledger()))
	crm := w.crm.Records(ka)
	require.Len(t, crm, 1)
	assert.Equal(t, "0s Lesson Hall", occurrences(t, crm[0])[3])
	assert.NotContains(t, occurrences(t, crm[0]), 2)
	for _, n := range w.names {
		assert.Zero(t, mem.Writes(w.box[n].Ledger()), n)
	}
}
