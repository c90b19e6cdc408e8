package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// What went wrong elsewhere, by name. Each is played for every kind of mailbox and
// judged like any other world. One with a reason is not mended yet: it must break
// the promise it names, and when it no longer does, the reason has to go.
type incident struct {
	name  string
	boxes int
	known string // the rule it still breaks; "" if none
	play  func(w *world, r *rand.Rand)
}

func incidents() []incident {
	sync := func(w *world, boxes ...int) {
		for _, m := range boxes {
			w.advance(time.Minute)
			_, _ = w.round(m, nil)
		}
	}
	orders := func(n int) (out [][]int) {
		var perm func(rest, had []int)
		perm = func(rest, had []int) {
			if len(rest) == 0 {
				out = append(out, append([]int(nil), had...))
			}
			for i := range rest {
				next := append(append([]int(nil), rest[:i]...), rest[i+1:]...)
				perm(next, append(had, rest[i]))
			}
		}
		var ids []int
		for i := range n {
			ids = append(ids, i)
		}
		perm(ids, nil)
		return out
	}
	list := []incident{
		{name: "a lost reply doubles a create", boxes: 1, play: func(w *world, r *rand.Rand) {
			for range 5 {
				w.create(r, w.crm, kc, 0)
				w.create(r, w.boxes[0], ka, 0)
			}
			w.advance(time.Minute)
			for at := 1; at < 20; at++ {
				_, _ = w.round(0, []step{{op: opExact, tick: at, n: uint64(losesReply)}})
				w.advance(time.Second)
			}
		}},
		{name: "a create lasts, and nothing is noted of its end", boxes: 1, play: func(w *world, r *rand.Rand) {
			// A first wait that counted from the announcement was over before the call
			// was; and what the call made was not to be seen yet.
			for at := 1; at < 12; at++ {
				w.create(r, w.crm, []connectors.Kind{kc, ka}[at%2], 0)
				w.advance(time.Minute)
				_, _ = w.round(0, []step{{op: opExact, tick: at, n: uint64(lastsLong)}})
				for range 3 {
					w.advance(28 * time.Second)
					_, _ = w.round(0, nil)
				}
			}
		}},
		{name: "a copied item shares its original's key", boxes: 1, play: func(w *world, r *rand.Rand) {
			t := w.create(r, w.crm, kc, 0)
			sync(w, 0)
			w.duplicate(w.boxes[0], t.in(w.boxes[0]))
			sync(w, 0)
			w.edit(w.boxes[0], t.in(w.boxes[0]), connectors.FieldPhone)
			sync(w, 0, 0)
		}},
		{name: "an edit of an item that left the window is reverted", boxes: 1, play: func(w *world, r *rand.Rand) {
			t := w.create(r, w.boxes[0], ka, 0)
			sync(w, 0)
			w.advance(200 * 24 * time.Hour)
			w.boxes[0].put(t.in(w.boxes[0]), t.in(w.boxes[0]).rec) // the calendar reports that it left
			t.windowed = true
			sync(w, 0)
			w.edit(w.crm, t.in(w.crm), connectors.FieldSubject)
			sync(w, 0)
			w.edit(w.crm, t.in(w.crm), connectors.FieldLocation)
			sync(w, 0, 0)
		}},
		{name: "cursors expire while paging", boxes: 1, play: func(w *world, r *rand.Rand) {
			w.set.page = 1
			w.e = w.engine()
			for range 6 {
				w.create(r, w.crm, kc, 0)
				w.create(r, w.boxes[0], kc, 0)
			}
			for at := 1; at < 16; at++ {
				w.advance(time.Minute)
				_, _ = w.round(0, []step{{op: opEnv, tick: at, n: r.Uint64()}, {op: opUser, tick: at, n: r.Uint64()}})
				w.crm.epoch[kc%3]++
				w.boxes[0].epoch[kc%3]++
				w.crm.denied, w.boxes[0].denied = nil, nil
			}
		}},
		{name: "an appointment on the night the clocks change", boxes: 1, play: func(w *world, r *rand.Rand) {
			for _, s := range []*system{w.crm, w.boxes[0]} {
				for h := range 4 {
					t := w.create(r, s, ka, 0)
					it := t.places[0].it
					it.rec.Appointment.Start = time.Date(2026, 10, 25, h, 30, len(w.things), 0, time.UTC)
					it.rec.Appointment.End = it.rec.Appointment.Start.Add(time.Hour)
					it.prov[connectors.FieldTime] = w.typed(t, s, it.rec, connectors.FieldTime, it.prov[connectors.FieldTime])
				}
			}
			sync(w, 0)
			w.advance(240 * 24 * time.Hour)
			sync(w, 0)
		}},
		{name: "a meeting gets another owner in the CRM and is cancelled", boxes: 2, play: func(w *world, r *rand.Rand) {
			for _, s := range []*system{w.crm, w.boxes[0]} {
				t := w.create(r, s, ka, 0)
				sync(w, 0, 1)
				it := t.in(w.crm)
				w.note("thing %d gets another owner", t.n)
				old := it.rec
				it.rec = old.Clone()
				it.rec.Appointment.Organizer.Address = address(1)
				it.owner, t.moved, t.users = 1, true, t.users|2
				w.crm.put(it, old)
				sync(w, 0, 1)
				w.advance(48 * time.Hour)
				sync(w, 1, 0)
			}
		}},
	}
	for n := 2; n <= 3; n++ {
		for _, order := range orders(n) {
			list = append(list, incident{name: fmt.Sprintf("February 2020, in the order %v", order), boxes: n, play: func(w *world, r *rand.Rand) {
				var all []int
				for i := 1; i < n; i++ {
					all = append(all, i)
				}
				t := w.invite(r, w.boxes[0], 0, all...)
				sync(w, order...)
				w.edit(w.boxes[0], t.in(w.boxes[0]), connectors.FieldTime)
				sync(w, order...)
				w.edit(w.crm, t.in(w.crm), connectors.FieldSubject)
				sync(w, order...)
				w.delete(w.boxes[1], t.in(w.boxes[1])) // an attendee declines
				sync(w, order...)
				w.edit(w.boxes[0], t.in(w.boxes[0]), connectors.FieldLocation)
				sync(w, order...)
			}})
		}
	}
	return list
}

// feature: F6 F29
// fault: F36 F70 F72
// evidence: I2 I3 I4
func TestIncidents(t *testing.T) {
	a := newArena(t)
	for _, d := range dialects()[1:] {
		for _, x := range incidents() {
			t.Run(d.name+" "+x.name, func(t *testing.T) {
				set := settings{seed: 11, page: 7}
				for range x.boxes {
					set.boxes = append(set.boxes, d.name)
				}
				w := newWorld(t, a, set)
				w.tell = true
				v := w.guard(func() {
					x.play(w, rand.New(rand.NewPCG(11, 11)))
					w.rest()
					w.judge()
				})
				switch {
				case v != nil && v.rule != x.known:
					for _, l := range w.log {
						t.Log(l)
					}
					t.Fatal(v)
				case v == nil && x.known != "":
					t.Fatalf("it keeps %s now: take the reason away", x.known)
				}
			})
		}
	}
}

// More records than any other product takes: nothing stops, nothing is left out.
// feature: F27
func TestTenThousandAndOne(t *testing.T) {
	const n = 10_001
	w := newWorld(t, newArena(t), settings{seed: 3, boxes: []string{"ews"}, page: 500})
	r := rand.New(rand.NewPCG(3, 3))
	for range n {
		w.create(r, w.crm, kc, 0)
	}
	limit := w.calls
	v := w.guard(func() {
		_, err := w.round(0, nil)
		must(t, err)
		limit = w.calls
		for i := range 20 {
			w.edit(w.boxes[0], w.boxes[0].items[i*400], connectors.FieldNote)
		}
		_, err = w.round(0, nil)
		must(t, err)
		w.rest()
	})
	if v != nil {
		t.Fatal(v)
	}
	if got := len(w.boxes[0].alive(kc)); got != n {
		t.Fatalf("%d of %d records arrived, with %d calls", got, n, limit)
	}
}
