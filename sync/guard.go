package sync

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrIdentity means that a system is not the one that this pair was made for:
// the copy of a tenant, or another mailbox under the same address. Nothing was
// read and nothing written.
var ErrIdentity = errors.New("sync: the system is another than before")

// identify compares what the systems are with what they were.
func (r *round) identify(ctx context.Context) error {
	was, err := r.st.Identity(ctx)
	if err != nil {
		return fmt.Errorf("sync: pair %s: %w", r.p.ID, err)
	}
	is := r.p.Identity
	for i, s := range []Side{Left, Right} {
		if was[i] != "" && was[i] != is[i] {
			return fmt.Errorf("sync: pair %s: %s: %w", r.p.ID, s, ErrIdentity)
		}
	}
	if is == was || r.dry {
		return nil
	}
	if err := r.st.Commit(ctx, Batch{Identity: &is}); err != nil {
		return fmt.Errorf("sync: pair %s: %w", r.p.ID, err)
	}
	return nil
}

// brake counts what a round is about to do to linked records, and holds it if it
// is too much to be usual.
type brake struct {
	deletes, changes     [2]int // by the side that is written to
	maybeGone, maybeMore [2]int // before anything was read: an upper bound
	holdDeletes          bool
	holdChanges          bool
	approved             int
	used                 bool // the approval is what lets this round go on
}

// suspect notes that a linked record is reported as gone or as changed.
func (b *brake) suspect(s Side, gone bool) {
	if gone {
		b.maybeGone[s.at()]++
	} else {
		b.maybeMore[s.at()]++
	}
}

// count counts one step of a plan.
func (b *brake) count(st step, linked bool) {
	switch {
	case st.op == Delete || st.op == Cancel:
		b.deletes[st.side.at()]++
	case st.op == Merge && linked && writes(st):
		for i := range 2 {
			if len(st.write[i]) > 0 {
				b.changes[i]++
			}
		}
	}
}

// tooMany reports whether deletions or changes are too many at once.
func (k *kindRound) tooMany(deletes, changes [2]int) (d, c bool) {
	all := deletes[0] + deletes[1]
	d = all > k.e.o.BrakeCount && all*100 > k.links*k.e.o.BrakePercent
	for _, n := range deletes {
		d = d || n > 2 && n == k.links // one side is empty all at once
	}
	for _, n := range changes {
		c = c || n > k.e.o.BrakeChanges && n*100 > k.links*k.e.o.BrakeChangesPercent
	}
	return d, c
}

// hold decides what the brake holds in this round.
func (k *kindRound) hold() {
	b := &k.brake
	b.holdDeletes, b.holdChanges = k.tooMany(b.deletes, b.changes)
	if n := b.deletes[0] + b.deletes[1]; b.holdDeletes {
		b.used = b.used || n <= b.approved
		if b.holdDeletes = n > b.approved; b.holdDeletes {
			k.report.Held = fmt.Sprintf("%d deletions of %s at once: held until approved", n, k.kind)
		}
	}
	if n := b.changes[0] + b.changes[1]; b.holdChanges {
		b.used = b.used || n <= b.approved
		if b.holdChanges = n > b.approved; b.holdChanges {
			k.report.Held = fmt.Sprintf("%d changes of %s at once: held until approved", n, k.kind)
		}
	}
}

// apply turns what the brake holds into issues.
func (k *kindRound) apply(us []*unit, steps []step) {
	var one brake
	for i := range steps {
		one = brake{}
		one.count(steps[i], us[i].link != nil)
		if k.brake.holdDeletes && one.deletes != [2]int{} || k.brake.holdChanges && one.changes != [2]int{} {
			steps[i] = step{op: Hold, code: CodeBrake, why: steps[i].why + "; held by the brake"}
		}
	}
}

// foresee counts, before the first page is written, what all pages would do. It
// reads only if what was reported could be too much.
func (k *kindRound) foresee(ctx context.Context, g *gather) error {
	b := &k.brake
	d, c := k.tooMany([2]int{b.maybeGone[1], b.maybeGone[0]}, [2]int{b.maybeMore[1], b.maybeMore[0]})
	if !d && !c {
		return nil
	}
	var n brake
	if err := g.pages(ctx, func(us []*unit) error {
		steps := k.plan(us)
		for i, st := range steps {
			n.count(st, us[i].link != nil)
		}
		k.progress(k.kind, Reading, k.rep.Read[0]+k.rep.Read[1], -1)
		return nil
	}); err != nil {
		return err
	}
	b.deletes, b.changes = n.deletes, n.changes
	k.hold()
	return nil
}

// Limits of the loop breaker, within an hour.
const (
	loopTurns  = 3  // how often the way of the writes to one record may turn round
	loopWrites = 20 // how many writes to one record there may be at all
)

// loop holds a record that is written to and fro: two systems that each correct
// what the other said look like that, and never end.
func (k *kindRound) loop(u *unit, st step) step {
	l := u.link
	if l == nil || st.op != Merge || !writes(st) || k.now.Sub(l.Since) >= time.Hour || k.now.Before(l.Since) {
		return st
	}
	if n := turned(*l, st, k.now); n.Turns > loopTurns || n.Writes > loopWrites {
		return step{op: Hold, code: CodeLoop, why: "written to and fro"}
	}
	return st
}

// turned counts a write into a link.
func turned(l Link, st step, now time.Time) Link {
	way := uint8(0)
	for i := range 2 {
		if len(st.write[i]) > 0 {
			way |= 1 << i
		}
	}
	if way == 0 {
		return l
	}
	if d := now.Sub(l.Since); d >= time.Hour || d < 0 {
		l.Since, l.Turns, l.Writes, l.Way = now, 0, 0, way
	}
	if way != l.Way {
		l.Turns++
	}
	l.Way = way
	l.Writes++
	return l
}
