package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// stage is a small world in which every kind of write happens in the second
// round: creates, updates and deletions on both sides, and adoptions in the first.
func stage(t *testing.T, a *arena, box string, k connectors.Kind) *world {
	w := newWorld(t, a, settings{seed: 7, boxes: []string{box}, page: 3})
	w.tell = testing.Verbose() && *verbose
	r := rand.New(rand.NewPCG(7, 7))
	for range 4 {
		w.create(r, w.crm, k, 0)
		w.create(r, w.boxes[0], k, 0)
	}
	if k == kc {
		w.createBoth(r, 0)
	}
	return w
}

// change is what people do between the first round and the second.
func (w *world) change(k connectors.Kind) {
	r := rand.New(rand.NewPCG(8, 8))
	for i, s := range []*system{w.crm, w.boxes[0]} {
		its := s.alive(k)
		w.editSome(r, s, its[i])
		w.editSome(r, s, its[i+2])
		w.delete(s, its[min(i+4, len(its)-1)])
		w.create(r, s, k, 0)
	}
}

// The process dies before and after every commit and every call, the answer or
// the request of every call is lost or late, the disk is full at every commit, a
// second worker does the round at every moment: after each, people go on editing
// what they see, and at rest nothing is doubled and no edit is lost.
//
// fault: F1 F8 F10 F30
// evidence: I2 I4 I9
func TestEveryMoment(t *testing.T) {
	points, worlds := 0, 0
	for _, d := range dialects()[1:] {
		for _, k := range []connectors.Kind{kc, ka} {
			t.Run(d.name+" "+k.String(), func(t *testing.T) {
				a := newArena(t)
				var ticks [2]int
				w := stage(t, a, d.name, k)
				run := func(w *world, at [2][]step) *violation {
					return w.guard(func() {
						for n := range 2 {
							w.advance(time.Minute)
							_, _ = w.round(0, at[n])
							ticks[n] = max(ticks[n], w.last)
							if n == 0 {
								w.change(k)
							}
						}
						r := rand.New(rand.NewPCG(9, 9))
						for i, s := range []*system{w.crm, w.boxes[0]} { // right after
							for j, it := range s.alive(k) {
								if j%2 == i {
									w.editSome(r, s, it)
								}
							}
						}
						w.rest()
						w.judge()
					})
				}
				if v := run(w, [2][]step{}); v != nil {
					t.Fatal(v)
				}
				full := ticks
				for n := range 2 {
					for at := 1; at <= full[n]; at++ {
						points++
						for x := range exacts {
							var plan [2][]step
							plan[n] = []step{{op: opExact, tick: at, n: uint64(x)}}
							w := stage(t, a, d.name, k)
							v := run(w, plan)
							worlds++
							if v != nil {
								for _, l := range w.log {
									fmt.Println(l)
								}
								t.Fatalf("round %d, moment %d, the process or call %s: %s", n+1, at, x, v)
							}
						}
					}
				}
			})
		}
	}
	t.Logf("%d moments, %d worlds", points, worlds)
	if points < 250 {
		t.Errorf("%d moments: too few to mean anything", points)
	}
}

// The same for meetings that stand in two mailboxes: the attendee's brings them to
// the CRM, the organizer's comes later, and people edit and cancel in between. The
// table that the mailboxes share may fail at every change as well.
//
// fault: F1 F8 F10 F30 F70
// evidence: I2 I4 I9
func TestEveryMomentOfAMeeting(t *testing.T) {
	points := 0
	for _, d := range dialects()[1:] {
		t.Run(d.name, func(t *testing.T) {
			a := newArena(t)
			var ticks [4]int
			run := func(at int, plan []step) (*world, *violation) {
				w := newWorld(t, a, settings{seed: 7, boxes: []string{d.name, "ews"}, page: 3, meeting: true})
				w.tell = true
				r := rand.New(rand.NewPCG(7, 7))
				var ts []*thing
				for range 4 {
					ts = append(ts, w.invite(r, w.boxes[0], 0, 1))
				}
				v := w.guard(func() {
					for n, box := range []int{1, 0, 1, 0} {
						w.advance(time.Minute)
						var mids []step
						if n == at {
							mids = plan
						}
						_, _ = w.round(box, mids)
						ticks[n] = max(ticks[n], w.last)
						if n == 1 {
							w.editSome(r, w.boxes[0], ts[0].in(w.boxes[0]))
							w.editSome(r, w.boxes[0], ts[1].in(w.boxes[0]))
							if it := ts[2].in(w.crm); it != nil {
								w.editSome(r, w.crm, it)
							}
							w.delete(w.boxes[0], ts[3].in(w.boxes[0]))
						}
					}
					w.rest()
					w.judge()
				})
				return w, v
			}
			if _, v := run(-1, nil); v != nil {
				t.Fatal(v)
			}
			full := ticks
			for n := range full {
				for at := 1; at <= full[n]; at++ {
					points++
					for x := range exacts {
						if w, v := run(n, []step{{op: opExact, tick: at, n: uint64(x)}}); v != nil {
							for _, l := range w.log {
								fmt.Println(l)
							}
							t.Fatalf("round %d, moment %d, the process or call %s: %s", n+1, at, x, v)
						}
					}
				}
			}
		})
	}
	t.Logf("%d moments", points)
	if points < 150 {
		t.Errorf("%d moments: too few to mean anything", points)
	}
}
