package sync

import (
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Op is what a plan does with one record.
type Op uint8

// Operations.
const (
	Nothing  Op = iota
	Create      // make the record on Side
	Merge       // link if need be, and write the listed fields to each side
	Delete      // delete the record on Side
	Drop        // stop following: the remaining record stays as it is
	Forget      // both records are gone
	Conflict    // leave both as they are and tell a person
	Hold        // do nothing and tell a person
)

// String returns the operation's name.
func (o Op) String() string {
	return [...]string{"nothing", "create", "merge", "delete", "unlink", "forget", "conflict", "hold"}[o]
}

// MarshalText writes the name.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// view is what was observed of a record on one side.
type view struct {
	id      string
	rec     *connectors.Record // nil if gone or never there
	gone    bool               // proven: a direct read says that it does not exist
	changed bool               // its revision is not the one remembered
}

func (v view) present() bool { return v.rec != nil }

// terms are what does not depend on the record: rule, fields and abilities.
type terms struct {
	rule      Rule
	shared    []connectors.Field
	caps      [2]connectors.Capability
	addresses []string
}

// writable returns those of the fields that may be written to a side from what
// the other side says. A field that is empty where nothing but the system itself
// can fill it says nothing: it was never carried there.
func (t terms) writable(fs []connectors.Field, s Side, from *connectors.Record) []connectors.Field {
	if t.rule.Direction == ToLeft && s == Right || t.rule.Direction == ToRight && s == Left || !t.caps[s.at()].Update {
		return nil
	}
	var out []connectors.Field
	for _, f := range fs {
		if !t.caps[s.at()].Fields[f].ReadOnly && !(t.caps[s.Other().at()].Fields[f].ReadOnly && from.Empty(f)) {
			out = append(out, f)
		}
	}
	return out
}

func (t terms) mayCreate(s Side) bool {
	return t.caps[s.at()].Create && !(t.rule.Direction == ToLeft && s == Right || t.rule.Direction == ToRight && s == Left)
}

// step is the planner's answer for one record.
type step struct {
	op    Op
	side  Side                  // of Create and Delete
	write [2][]connectors.Field // of Merge: what goes to the left and to the right
	code  Code                  // of Conflict and Hold
	why   string
}

// decide is the planner: a pure function of what is remembered and what was
// observed. The table in DESIGN.md lists its cases; a test holds the two
// together.
func decide(l *Link, left, right view, t terms) step {
	switch {
	case l == nil && left.present() && right.present():
		return adopt(left, right, t)
	case l == nil && left.present():
		return create(Right, t, "new in the CRM")
	case l == nil && right.present():
		return create(Left, t, "new in the mailbox")
	case l == nil:
		return step{why: "nothing there"}
	case l.State == Unlinked:
		if !left.present() && !right.present() && (left.gone || l.ID[0] == "") && (right.gone || l.ID[1] == "") {
			return step{op: Forget, why: "the record that was left alone is gone"}
		}
		return step{why: "left alone since its partner went"}
	case left.present() && right.present():
		return both(l, left, right, t)
	case left.gone && right.gone:
		return step{op: Forget, why: "gone on both sides"}
	case left.gone && right.present():
		return oneGone(l, Left, right, t)
	case right.gone && left.present():
		return oneGone(l, Right, left, t)
	}
	return step{why: "not everything was seen: absence proves nothing"}
}

func create(s Side, t terms, why string) step {
	if !t.mayCreate(s) {
		return step{why: why + ", and the rule lets nothing cross that way"}
	}
	return step{op: Create, side: s, why: why}
}

// adopt joins two records that were found to be one.
func adopt(left, right view, t terms) step {
	var st step
	for _, f := range connectors.Diff(left.rec, right.rec, t.shared) {
		one := []connectors.Field{f}
		switch {
		case left.rec.Empty(f):
			st.write[0] = append(st.write[0], t.writable(one, Left, right.rec)...)
		case right.rec.Empty(f):
			st.write[1] = append(st.write[1], t.writable(one, Right, left.rec)...)
		case t.rule.Winner == LeftWins:
			st.write[1] = append(st.write[1], t.writable(one, Right, left.rec)...)
		case t.rule.Winner == RightWins:
			st.write[0] = append(st.write[0], t.writable(one, Left, right.rec)...)
		default:
			return step{op: Conflict, code: CodeConflict, why: "the same record, but field " + string(f) + " differs"}
		}
	}
	st.op, st.why = Merge, "the same record on both sides"
	return st
}

// both decides for a linked record that both sides have.
func both(l *Link, left, right view, t terms) step {
	diff := connectors.Diff(left.rec, right.rec, t.shared)
	switch {
	case len(diff) == 0 && !left.changed && !right.changed && l.State == Linked:
		return step{why: "unchanged"}
	case len(diff) == 0:
		return step{op: Merge, why: "both sides say the same"}
	case left.changed && !right.changed:
		return flow(diff, Right, left, t, "changed in the CRM")
	case right.changed && !left.changed:
		return flow(diff, Left, right, t, "changed in the mailbox")
	case !left.changed && !right.changed && l.State == Conflicted:
		return step{why: "still waiting for a person's decision"}
	case !left.changed && !right.changed:
		return step{why: "nobody changed it since; the sides differ where one of them keeps nothing else"}
	case t.rule.Winner == LeftWins:
		return flow(diff, Right, left, t, "changed on both sides; the CRM wins")
	case t.rule.Winner == RightWins:
		return flow(diff, Left, right, t, "changed on both sides; the mailbox wins")
	}
	return step{op: Conflict, code: CodeConflict, why: "changed on both sides"}
}

func flow(diff []connectors.Field, to Side, from view, t terms, why string) step {
	st := step{op: Merge, why: why}
	if st.write[to.at()] = t.writable(diff, to, from.rec); len(st.write[to.at()]) == 0 {
		st.why += ", and the rule lets nothing cross that way"
	}
	return st
}

// oneGone decides for a linked record that one side no longer has.
func oneGone(l *Link, gone Side, there view, t terms) step {
	where := map[Side]string{Left: "deleted in the CRM", Right: "deleted in the mailbox"}[gone]
	other := gone.Other()
	keep := func(why string) step { return step{op: Drop, why: where + "; " + why} }
	if there.changed {
		if st := create(gone, t, where+", but changed on the other side: the change is kept"); st.op == Create {
			return st
		}
		return keep("the other record was changed, so it stays")
	}
	switch {
	case l.State == Conflicted:
		return keep("the sides were in conflict, so the other record stays")
	case t.rule.Deletes == Unlink:
		return keep("the rule keeps the other record")
	case t.rule.Direction == ToLeft && other == Right || t.rule.Direction == ToRight && other == Left:
		return keep("the rule lets nothing cross that way")
	case !t.caps[other.at()].Delete:
		return keep("the other side deletes nothing")
	}
	if a := there.rec.Appointment; a != nil {
		switch {
		case gone == Left && len(a.Attendees) > 0:
			return keep("a meeting with attendees is cancelled by its organizer only")
		case gone == Left && l.Origin == Right:
			return keep("it was made in the mailbox and stays there")
		case gone == Right && len(a.Attendees) > 0 && !mine(a.Organizer.Address, t.addresses):
			return keep("an attendee does not delete a meeting for the others")
		}
	}
	return step{op: Delete, side: other, why: where}
}

// mine reports whether an address is one of the user's.
func mine(address string, own []string) bool {
	for _, o := range own {
		if address != "" && strings.EqualFold(strings.TrimSpace(o), strings.TrimSpace(address)) {
			return true
		}
	}
	return false
}
