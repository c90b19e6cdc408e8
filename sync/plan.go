package sync

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

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
	Await       // do nothing: the record comes into the mailbox by its organizer's invitation
	Cancel      // mark the record on Side as cancelled and follow it no longer
	Leave       // out of the window or filter: both stay, and are not followed until they are in it again
)

// String returns the operation's name.
func (o Op) String() string {
	return [...]string{"nothing", "create", "merge", "delete", "unlink", "forget", "conflict", "hold", "await", "cancel", "leave"}[o]
}

// MarshalText writes the name.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// view is what was observed of a record on one side.
type view struct {
	id      string
	rec     *connectors.Record // nil if gone or never there
	gone    bool               // proven: a direct read says that it does not exist
	changed bool               // its revision is not the one remembered
	out     bool               // the policy leaves it out
	chosen  bool               // out by what a person said of it: its mark, or a blocked address
	why     string             // why it does
}

func (v view) present() bool { return v.rec != nil }

// terms are what does not depend on the content of the records: the rule, fields
// and abilities, and what the user is in the meeting.
type terms struct {
	rule      Rule
	shared    []connectors.Field
	caps      [2]connectors.Capability
	addresses []string
	now       time.Time
	first     bool                                              // no round of this kind was ever finished
	digest    func(*connectors.Record, connectors.Field) []byte // nil: fields are not remembered

	role Role // of the user
	lead bool // this pair writes the meeting to the CRM; no other does
	dead bool // the meeting's record was deleted in the CRM
	came bool // the meeting's record came from a calendar, so its organizer has or had an item of it

	asLeft bool // the record is as an attendee's mailbox last wrote it
}

// writable returns those of the fields that may be written to a side from what
// the other side says, if that is given. A field that is empty where nothing but
// the system itself can fill it says nothing: it was never carried there.
func (t terms) writable(fs []connectors.Field, s Side, from *connectors.Record) []connectors.Field {
	switch {
	case t.rule.Direction == ToLeft && s == Right, t.rule.Direction == ToRight && s == Left, !t.caps[s.at()].Update:
		return nil
	case s == Right && t.role == Attendee: // the copy is the organizer's to change
		return nil
	case s == Left && t.role != NoRole && !t.lead: // one mailbox writes to the record
		return nil
	}
	var out []connectors.Field
	for _, f := range fs {
		silent := from != nil && from.Empty(f) && (t.caps[s.Other().at()].Fields[f].ReadOnly || t.fills(s, f))
		if !t.caps[s.at()].Fields[f].ReadOnly && !silent {
			out = append(out, f)
		}
	}
	out = t.carries(s, out)
	if s == Right && t.role == Organizer && !slices.ContainsFunc(out, tells) {
		return nil // not worth a message to anybody
	}
	return out
}

// tells reports whether attendees care about a field. A change in the others only
// is not written to a meeting: some systems send an update for every change.
func tells(f connectors.Field) bool {
	switch f {
	case connectors.FieldUID, connectors.FieldZone, connectors.FieldSensitivity, connectors.FieldAvailability, connectors.FieldReminder, connectors.FieldCategories:
		return false
	}
	return true
}

func (t terms) mayCreate(s Side) bool {
	return t.caps[s.at()].Create && !(t.rule.Direction == ToLeft && s == Right || t.rule.Direction == ToRight && s == Left)
}

// outside reports whether what is there lies out of the window or filter, and why.
func (t terms) outside(vs ...view) (why string, out bool) {
	for _, v := range vs {
		if v.rec == nil {
			continue
		}
		if v.out {
			return v.why, true
		}
		if v.rec.Appointment != nil && t.rule.Back > 0 && over(v.rec, t.now.Add(-t.rule.Back)) {
			return "out of the window or filter", true
		}
		if t.rule.Scope != nil && !t.rule.Scope(bare(v.rec)) {
			return "out of the window or filter", true
		}
	}
	return "", false
}

// over reports whether an appointment has ended, a series its last occurrence. One
// that cannot be told has not.
func over(r *connectors.Record, by time.Time) bool {
	_, end, ok := r.Span()
	return ok && !end.IsZero() && end.Before(by)
}

// bare is a record without its text: what filters may see.
func bare(r *connectors.Record) *connectors.Record {
	c := r.Clone()
	c.SetText(connectors.FieldDescription, "")
	c.SetText(connectors.FieldNote, "")
	return c
}

// step is the planner's answer for one record.
type step struct {
	op    Op
	side  Side                  // of Create, Delete and Cancel
	write [2][]connectors.Field // of Merge: what goes to the left and to the right
	apart []connectors.Field    // of Merge: what differs afterwards, on purpose
	joint *connectors.Record    // of Merge: whose exceptions both sides get, where each had some of its own
	lost  bool                  // of Merge: a change of a series that the other side does not let be written
	code  Code                  // of Conflict and Hold
	why   string
}

// decide is the planner: a pure function of what is remembered and what was
// observed. The tables in DESIGN.md list its cases; a test holds them together.
func decide(l *Link, left, right view, t terms) step {
	switch {
	case l != nil && l.State == Unlinked && (l.ID[0] != "" && l.ID[1] != "" || !(left.present() && right.present())):
		if !left.present() && !right.present() && (left.gone || l.ID[0] == "") && (right.gone || l.ID[1] == "") {
			return step{op: Forget, why: "the record that was left alone is gone"}
		}
		return step{why: "left alone since its partner went"}
	case l != nil && l.State == Outside:
		return outside(l, left, right, t)
	case l != nil && l.State == Expected && !right.present():
		if left.gone {
			return step{op: Forget, why: "the meeting was deleted before its invitation came"}
		}
		if left.present() && t.role == Attendee {
			return step{why: "its organizer invites"}
		}
		l = nil
	}
	switch {
	case (l == nil || l.State == Unlinked || l.State == Expected) && left.present() && right.present():
		if why, out := t.outside(left, right); out {
			return step{op: Leave, why: why}
		}
		return adopt(left, right, t)
	case l == nil && (left.present() || right.present()):
		if why, out := t.outside(left, right); out {
			return step{why: why}
		}
		if left.present() {
			return newLeft(left, t)
		}
		if t.dead {
			return step{op: Drop, why: "the meeting was deleted in the CRM; it stays in the calendar"}
		}
		return create(Left, t, "new in the mailbox")
	case l == nil:
		return step{why: "nothing there"}
	case left.present() && right.present():
		if why, out := t.outside(left, right); out {
			return leave(l, left, right, t, why)
		}
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

// outside decides for a link that was let go when it left the window or filter.
func outside(l *Link, left, right view, t terms) step {
	switch {
	case left.gone && right.gone:
		return step{op: Forget, why: "gone on both sides"}
	case left.gone || right.gone:
		return step{op: Drop, why: "it left the window or filter, so the other record stays"}
	case !left.present() || !right.present():
		return step{why: "out of the window or filter"}
	}
	if why, out := t.outside(left, right); out {
		return step{why: why}
	}
	back := *l // its revisions are those of when both were last alike
	back.State = Linked
	st := both(&back, left, right, t)
	if st.op == Nothing {
		st = step{op: Merge, apart: l.Apart, why: "in the window and filter again"}
	}
	return st
}

// leave lets go of a linked record that is out of the window or filter. Only where the
// rule says so, and nothing of a person's is in it, the copy in the mailbox goes.
func leave(l *Link, left, right view, t terms, why string) step {
	a := right.rec.Appointment
	if !t.rule.WindowDeletes || a == nil || l.State != Linked || l.Origin != Left || left.chosen || right.chosen || right.changed ||
		t.role != NoRole || len(a.Invited())+len(left.rec.Appointment.Invited()) > 0 || t.rule.Direction == ToLeft || !t.caps[1].Delete {
		return step{op: Leave, why: why}
	}
	if t.first {
		return step{op: Hold, code: CodeFirst, why: why + "; nothing is deleted before the first round is through"}
	}
	return step{op: Delete, side: Right, why: why + ", and the rule removes what the CRM put there"}
}

// host is in whose calendar a record of the CRM belongs, "" where that is not known.
func (t terms) host(r *connectors.Record) string {
	if t.rule.ToOwner && r.Owner.Address != "" {
		return r.Owner.Address
	}
	return r.Appointment.Organizer.Address
}

// newLeft decides for a record that is new in the CRM. Nobody's calendar gets a
// meeting that somebody else organizes: the invitation brings it.
func newLeft(left view, t terms) step {
	if a := left.rec.Appointment; a != nil && len(t.addresses) > 0 && t.host(left.rec) != "" && !mine(t.host(left.rec), t.addresses) {
		if slices.ContainsFunc(a.Attendees, func(p connectors.Party) bool { return mine(p.Address, t.addresses) }) {
			return step{op: Await, why: "its organizer invites"}
		}
		return step{why: "it is somebody else's"}
	}
	if t.came { // it stands in the organizer's calendar, or was removed from it before anybody looked
		return step{op: Await, why: "a calendar brought it, so it has its own item"}
	}
	return create(Right, t, "new in the CRM")
}

func create(s Side, t terms, why string) step {
	if !t.mayCreate(s) {
		return step{why: why + ", and the rule lets nothing cross that way"}
	}
	return step{op: Create, side: s, why: why}
}

// adopt joins two records that were found to be one.
func adopt(left, right view, t terms) step {
	return merge(connectors.Diff(left.rec, right.rec, t.shared), nil, left, right, t, "the same record on both sides", "the same record, but ")
}

// both decides for a linked record that both sides have.
func both(l *Link, left, right view, t terms) step {
	all := connectors.Diff(left.rec, right.rec, t.shared)
	if left.changed && !right.changed && t.role == Organizer && slices.Contains(all, connectors.FieldOrganizer) &&
		!slices.Contains(l.Apart, connectors.FieldOrganizer) && !left.rec.Empty(connectors.FieldOrganizer) {
		return step{op: Drop, why: "the organizer was changed in the CRM; the meeting stays in the calendar"}
	}
	apart, diff := split(all, l.Apart)
	switch {
	case len(all) == 0 && !left.changed && !right.changed && l.State == Linked && len(l.Apart) == 0:
		return step{why: "unchanged"}
	case len(diff) == 0 && len(apart) == 0:
		return step{op: Merge, why: "both sides say the same"}
	case len(diff) == 0 && !left.changed && !right.changed && l.State == Linked:
		return step{why: "unchanged"}
	case len(diff) == 0:
		return step{op: Merge, apart: apart, why: "nothing that may cross was changed"}
	case left.changed && !right.changed:
		return flow(diff, apart, Right, left.rec, t, "changed in the CRM")
	case right.changed && !left.changed:
		return flow(diff, apart, Left, right.rec, t, "changed in the mailbox")
	case !left.changed && !right.changed && l.State == Conflicted:
		return step{why: "still waiting for a person's decision"}
	case !left.changed && !right.changed: // what one side keeps read-only, or another rule left
		return step{why: "unchanged, and not alike in everything"}
	case t.role == Attendee && !t.lead:
		return step{op: Merge, why: "another mailbox writes this meeting"}
	}
	st := merge(diff, l, left, right, t, "changed on both sides, in different fields", "changed on both sides: ")
	st.apart = append(apart, st.apart...)
	return st
}

// split parts those of the fields that were left different on purpose from the rest.
func split(fs, known []connectors.Field) (apart, rest []connectors.Field) {
	for _, f := range fs {
		if slices.Contains(known, f) {
			apart = append(apart, f)
		} else {
			rest = append(rest, f)
		}
	}
	return apart, rest
}

// merge decides field by field where both sides moved or nothing is known of
// either: what is remembered of the field says which side changed it; else a
// value fills an empty field; else the rule's winner; else a person decides.
func merge(diff []connectors.Field, l *Link, left, right view, t terms, why, but string) step {
	st := step{op: Merge, why: why}
	diff, bound := t.bind(diff, left.rec, right.rec)
	for _, f := range diff {
		var to Side
		moved := t.moved(l, left.rec, right.rec, f)
		if slices.Contains(bound, f) {
			moved = t.movedAll(l, left.rec, right.rec, bound)
		}
		switch {
		case moved != 0:
			to = moved.Other()
		case f == connectors.FieldRecurrence && len(bound) == 0 && st.join(t, l, left.rec, right.rec):
			continue
		case left.rec.Empty(f) && !slices.Contains(bound, f):
			to = Left
		case right.rec.Empty(f) && !slices.Contains(bound, f):
			to = Right
		case t.only(f) != 0: // the other side is not asked
			to = t.only(f)
		case t.role == Organizer && (t.asLeft || !tells(f)): // an attendee's word for it, until now
			to = Left
		case t.rule.Winner == LeftWins:
			to = Right
		case t.rule.Winner == RightWins:
			to = Left
		case t.role == Attendee && !t.lead: // his own copy: it never was to be alike in everything
			st.apart = append(st.apart, f)
			continue
		default:
			return step{op: Conflict, code: CodeConflict, why: but + "field " + string(f) + " differs"}
		}
		st.write[to.at()] = append(st.write[to.at()], f)
	}
	for _, s := range []Side{Left, Right} {
		wanted := st.write[s.at()]
		st.write[s.at()] = t.writable(wanted, s, [2]*connectors.Record{left.rec, right.rec}[s.Other().at()])
		if t.role != NoRole {
			_, rest := split(wanted, st.write[s.at()])
			st.apart = append(st.apart, rest...)
		}
		st.lost = st.lost || t.loses(wanted, s)
	}
	return st
}

// bind adds to the fields that differ those that a series changes together: when it
// takes place, in which zone, and by which rules and exceptions, for these are named
// by the starts that the others give them. They go one way, all of them.
func (t terms) bind(diff []connectors.Field, left, right *connectors.Record) (all, bound []connectors.Field) {
	when := []connectors.Field{connectors.FieldTime, connectors.FieldZone, connectors.FieldRecurrence}
	if !repeats(left, right) || !slices.Contains(diff, connectors.FieldTime) {
		return diff, nil
	}
	for _, f := range t.shared { // in their order
		if slices.Contains(when, f) {
			bound = append(bound, f)
		}
		if slices.Contains(when, f) || slices.Contains(diff, f) {
			all = append(all, f)
		}
	}
	return all, bound
}

// movedAll says which side changed any of some fields, 0 if both did or it is not
// known of one.
func (t terms) movedAll(l *Link, left, right *connectors.Record, fs []connectors.Field) Side {
	if l == nil || t.digest == nil {
		return 0
	}
	var a, b bool
	for _, f := range fs {
		base := l.Base.of(f, t.shared)
		if base == nil {
			return 0
		}
		a = a || !bytes.Equal(base, t.digest(left, f))
		b = b || !bytes.Equal(base, t.digest(right, f))
	}
	switch {
	case a && !b:
		return Left
	case b && !a:
		return Right
	}
	return 0
}

// join makes both sides get what they say of a series together, if that can be told.
func (st *step) join(t terms, l *Link, left, right *connectors.Record) bool {
	j := t.join(l, left, right)
	if j == nil {
		return false
	}
	st.joint = j
	for i, r := range []*connectors.Record{left, right} {
		if slices.Contains(connectors.Diff(j, r, t.shared), connectors.FieldRecurrence) {
			st.write[i] = append(st.write[i], connectors.FieldRecurrence)
		}
	}
	return true
}

// loses reports whether a change of a series that may cross to a side stays behind
// because the system there does not let it be written.
func (t terms) loses(fs []connectors.Field, s Side) bool {
	f := connectors.FieldRecurrence
	if !slices.Contains(fs, f) || !t.caps[s.at()].Fields[f].ReadOnly {
		return false
	}
	open := t
	open.caps[s.at()].Fields = maps.Clone(t.caps[s.at()].Fields)
	open.caps[s.at()].Fields[f] = connectors.Limit{}
	return len(open.writable([]connectors.Field{f}, s, nil)) > 0
}

// moved says which side changed a field, 0 if both did or nothing is known.
func (t terms) moved(l *Link, left, right *connectors.Record, f connectors.Field) Side {
	if l == nil || t.digest == nil {
		return 0
	}
	base := l.Base.of(f, t.shared)
	if base == nil {
		return 0
	}
	a, b := bytes.Equal(base, t.digest(left, f)), bytes.Equal(base, t.digest(right, f))
	switch {
	case a && !b:
		return Right
	case b && !a:
		return Left
	}
	return 0
}

func flow(diff, apart []connectors.Field, to Side, from *connectors.Record, t terms, why string) step {
	st := step{op: Merge, why: why, lost: t.loses(diff, to)}
	if st.write[to.at()] = t.writable(diff, to, from); len(st.write[to.at()]) == 0 {
		st.why += ", and the rule lets nothing cross that way"
	}
	if t.role != NoRole && (t.lead || to == Right) {
		_, rest := split(diff, st.write[to.at()])
		st.apart = append(append(st.apart, apart...), rest...)
	}
	return st
}

// oneGone decides for a linked record that one side no longer has.
func oneGone(l *Link, gone Side, there view, t terms) step {
	where := map[Side]string{Left: "deleted in the CRM", Right: "deleted in the mailbox"}[gone]
	other := gone.Other()
	keep := func(why string) step { return step{op: Drop, why: where + "; " + why} }
	if _, out := t.outside(there); out {
		return keep("the other record is out of the window or filter, so it stays")
	}
	if gone == Right && t.rule.ReadOnly && t.role == NoRole && l.State == Linked {
		return create(Right, t, "deleted in the mailbox, which only shows what the CRM says")
	}
	if there.changed {
		switch {
		case t.role != NoRole && gone == Right:
			return keep("a meeting is not sent out again, so the changed record stays in the CRM")
		case t.role != NoRole && !t.lead:
			return keep("another mailbox writes this meeting")
		case t.role == Attendee && gone == Left:
			return keep("an attendee's copy does not bring back a meeting that was deleted in the CRM")
		}
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
	}
	if a := there.rec.Appointment; a != nil {
		meeting := t.role != NoRole || len(a.Attendees) > 0
		switch {
		case gone == Left && meeting:
			return keep("a meeting with attendees is cancelled by its organizer only")
		case gone == Left && l.Origin == Right:
			return keep("it was made in the mailbox and stays there")
		case gone == Right && meeting && t.role != Organizer && !t.rule.AttendeeDeletes:
			return keep("an attendee does not delete a meeting for the others")
		case gone == Right && meeting && over(there.rec, t.now):
			return keep("the meeting is over, so its record stays")
		case gone == Right && t.rule.Cancels && len(t.writable([]connectors.Field{connectors.FieldStatus}, Left, nil)) > 0:
			return step{op: Cancel, side: Left, why: where}
		}
	}
	switch {
	case !t.caps[other.at()].Delete:
		return keep("the other side deletes nothing")
	case t.first:
		return step{op: Hold, code: CodeFirst, why: where + "; nothing is deleted before the first round is through"}
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
