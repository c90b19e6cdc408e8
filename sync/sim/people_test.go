package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

func (w *world) newThing(k connectors.Kind, user int) *thing {
	t := &thing{n: len(w.things), kind: k, users: 1 << user, byValue: map[connectors.Field]map[string]*edit{}, copies: 1, organizer: user}
	w.things = append(w.things, t)
	return t
}

// types makes a value that nobody typed before and writes it into a record that
// shows what parent says.
func (w *world) types(t *thing, s *system, r *connectors.Record, f connectors.Field, parent *edit) *edit {
	w.edits++
	text := t.token(w.edits)
	switch a := r.Appointment; {
	case f == connectors.FieldEmail:
		r.SetText(f, text+"@x.example")
	case f == connectors.FieldTime:
		// To the second, and each of them once.
		a.Start = start.Add(time.Duration(60*24+w.edits%2000)*time.Hour + time.Duration(w.edits)*time.Second)
		if w.edits%17 == 0 && parent != nil { // far away: out of a calendar's window
			a.Start = a.Start.Add(500 * 24 * time.Hour)
			t.windowed = true
		}
		a.End = a.Start.Add(time.Hour)
	case f == connectors.FieldAttendees:
		keep := a.Attendees[:0:0]
		for _, p := range a.Attendees {
			if thingIn(p.Address) < 0 {
				keep = append(keep, p) // people of the house stay
			}
		}
		a.Attendees = append(keep, connectors.Party{Address: text + "@ext.example"})
	default:
		r.SetText(f, text)
	}
	return w.typed(t, s, r, f, parent)
}

// typed notes that what a record says in a field was typed by a person.
func (w *world) typed(t *thing, s *system, r *connectors.Record, f connectors.Field, parent *edit) *edit {
	e := &edit{n: w.edits, field: f, value: valueOf(r, f), parent: parent, s: s}
	t.edits = append(t.edits, e)
	if t.byValue[f] == nil {
		t.byValue[f] = map[string]*edit{}
	}
	t.byValue[f][e.value] = e
	return e
}

// act lets one person do one thing.
func (w *world) act(r *rand.Rand) {
	user := r.IntN(len(w.boxes))
	s := w.crm
	if r.IntN(2) == 0 {
		s = w.boxes[user]
	}
	k := kc
	if r.IntN(5) < 2 {
		k = ka
	}
	mine := w.ofUser(s, k, user)
	choice := r.IntN(20)
	if len(mine) == 0 && choice >= 6 {
		choice = 0
	}
	if len(mine) > 12 && choice < 5 {
		choice = 6
	}
	w.count.steps++
	switch {
	case choice < 5 || choice == 5 && w.tick > 0:
		w.create(r, s, k, user)
	case choice < 6:
		w.createBoth(r, user)
	case choice < 15:
		w.editSome(r, s, mine[r.IntN(len(mine))])
	case choice < 17:
		w.delete(s, mine[r.IntN(len(mine))])
	case choice < 18:
		w.touch(s, mine[r.IntN(len(mine))])
	case choice < 19 && k == kc && !s.crm():
		w.duplicate(s, mine[r.IntN(len(mine))])
	case k == ka && !s.crm():
		w.mark(s, mine[r.IntN(len(mine))])
	default:
		w.editSome(r, s, mine[r.IntN(len(mine))])
	}
}

// ofUser returns what a user can get hold of in a system.
func (w *world) ofUser(s *system, k connectors.Kind, user int) []*item {
	var out []*item
	for _, it := range s.items {
		if !it.gone && it.rec.Kind == k && s.sees(it, user) {
			out = append(out, it)
		}
	}
	return out
}

// fill writes a first version.
func (w *world) fill(r *rand.Rand, t *thing, s *system, rec *connectors.Record) {
	for _, f := range fieldsOf(t.kind) {
		switch f {
		case connectors.FieldFamilyName, connectors.FieldSubject, connectors.FieldTime, connectors.FieldEmail, connectors.FieldGivenName:
		case connectors.FieldSensitivity, connectors.FieldOrganizer, connectors.FieldAttendees:
			continue
		default:
			if r.IntN(3) > 0 {
				continue
			}
		}
		w.types(t, s, rec, f, nil)
	}
}

func (w *world) create(r *rand.Rand, s *system, k connectors.Kind, user int) *thing {
	t := w.newThing(k, user)
	t.bornCRM = s.crm()
	rec := connectors.NewRecord(k)
	w.fill(r, t, s, rec)
	if k == ka && r.IntN(3) == 0 && (!s.crm() || w.set.parties) {
		w.meet(r, t, s, rec, user)
	}
	if k == ka && !s.crm() {
		w.uid++
		rec.Appointment.UID = fmt.Sprintf("uid-%d", w.uid)
		if r.IntN(12) == 0 {
			rec.Appointment.Sensitivity = connectors.Private
			t.private = true
		}
	}
	it := s.add(rec, t, user)
	it.org = k == ka
	w.note("user %d creates %s, thing %d: %s", user, rec.ID, t.n, show(rec))
	w.say("create", rec.ID)
	if t.meeting && !s.crm() {
		w.message(s, it, fieldsOf(ka), true)
		w.fanOut(s, it)
	}
	w.some(userCreates)
	return t
}

// meet makes it a meeting.
func (w *world) meet(r *rand.Rand, t *thing, s *system, rec *connectors.Record, user int) {
	t.meeting = true
	a := rec.Appointment
	a.Organizer = connectors.Party{Address: address(user)}
	if w.set.meeting {
		for i := range w.boxes {
			if i != user && r.IntN(2) == 0 {
				a.Attendees = append(a.Attendees, connectors.Party{Address: address(i)})
				t.users |= 1 << i
			}
		}
	}
	w.types(t, s, rec, connectors.FieldAttendees, nil)
}

// invite makes a meeting of a user and invites colleagues.
func (w *world) invite(r *rand.Rand, s *system, user int, attendees ...int) *thing {
	w.set.meeting = true
	t := w.newThing(ka, user)
	t.meeting, t.bornCRM = true, s.crm()
	rec := connectors.NewRecord(ka)
	w.fill(r, t, s, rec)
	rec.Appointment.Organizer.Address = address(user)
	for _, i := range attendees {
		rec.Appointment.Attendees = append(rec.Appointment.Attendees, connectors.Party{Address: address(i)})
		t.users |= 1 << i
	}
	w.types(t, s, rec, connectors.FieldAttendees, nil)
	if !s.crm() {
		w.uid++
		rec.Appointment.UID = fmt.Sprintf("uid-%d", w.uid)
	}
	it := s.add(rec, t, user)
	it.org = true
	if !s.crm() {
		w.message(s, it, fieldsOf(ka), true)
		w.fanOut(s, it)
	}
	return t
}

// in returns the thing's record in a system, nil if there is none.
func (t *thing) in(s *system) *item {
	for _, p := range t.places {
		if p.s == s && !p.it.gone {
			return p.it
		}
	}
	return nil
}

// fanOut brings a meeting, as it stands in its organizer's mailbox, to the
// attendees' mailboxes, as mail systems do.
func (w *world) fanOut(s *system, it *item) {
	for i, box := range w.boxes {
		if i == s.user || it.what.users&(1<<i) == 0 {
			continue
		}
		var there *item
		for _, p := range it.what.places {
			if p.s == box && !p.it.org && p.it.rec.Appointment.UID == it.rec.Appointment.UID {
				there = p.it
			}
		}
		switch {
		case there == nil && !it.gone:
			rec := it.rec.Clone()
			rec.Key = ""
			c := box.add(rec, it.what, i)
			w.note("  the meeting reaches mailbox %d as %s", i, c.rec.ID)
			w.some(fanOuts)
		case there == nil || there.gone:
		case it.gone:
			w.note("  the meeting is cancelled in mailbox %d", i)
			box.remove(there)
			it.what.deleted = append(it.what.deleted, &deletion{s: box, it: there, seen: clone(there.prov)})
		default:
			old := there.rec
			rec := it.rec.Clone()
			rec.ID, rec.Key = old.ID, old.Key
			there.rec = rec
			there.prov = clone(it.prov)
			box.put(there, old)
			w.note("  the change reaches mailbox %d", i)
		}
	}
}

func clone(m map[connectors.Field]*edit) map[connectors.Field]*edit {
	out := make(map[connectors.Field]*edit, len(m))
	for f, e := range m {
		out[f] = e
	}
	return out
}

// createBoth enters one person on both sides before they were ever synced.
func (w *world) createBoth(r *rand.Rand, user int) {
	t := w.newThing(kc, user)
	a := connectors.NewRecord(kc)
	w.fill(r, t, w.crm, a)
	b := a.Clone()
	if r.IntN(2) == 0 {
		w.types(t, w.boxes[user], b, connectors.FieldPhone, nil)
	}
	ia := w.crm.add(a, t, user)
	ib := w.boxes[user].add(b, t, user)
	for i := range w.boxes[user].log { // it is old news
		e := &w.boxes[user].log[i]
		if e.visible.After(w.now) {
			e.visible = w.now
			e.it.since = w.now
		}
	}
	w.note("user %d has thing %d on both sides: %s and %s: %s", user, t.n, ia.rec.ID, ib.rec.ID, show(b))
	w.say("both", ia.rec.ID, ib.rec.ID)
	t.adopted = true
	w.some(adoptions)
}

// editSome types new values into one or two fields.
func (w *world) editSome(r *rand.Rand, s *system, it *item) {
	var fs []connectors.Field
	for _, f := range fieldsOf(it.rec.Kind) {
		if tracked(f) && f != connectors.FieldAttendees || f == connectors.FieldAttendees && it.what.meeting && it.org && !it.made && !s.crm() {
			fs = append(fs, f)
		}
	}
	if it.what.meeting && !it.org && !s.crm() {
		return // an attendee's copy is the organizer's to change
	}
	pick := []connectors.Field{fs[r.IntN(len(fs))]}
	if r.IntN(3) == 0 {
		if f := fs[r.IntN(len(fs))]; f != pick[0] {
			pick = append(pick, f)
		}
	}
	w.edit(s, it, pick...)
}

func (w *world) edit(s *system, it *item, fs ...connectors.Field) {
	old := it.rec
	it.rec = old.Clone()
	for _, f := range fs {
		if t := it.what; (t.adopted || t.copies > 1) && t.linked == 0 && (f == connectors.FieldEmail || f == connectors.FieldGivenName || f == connectors.FieldFamilyName) {
			if !t.split { // by now they are different people to anybody who looks
				t.copies++
			}
			t.split = true
		}
		it.prov[f] = w.types(it.what, s, it.rec, f, it.prov[f])
	}
	s.put(it, old)
	w.note("somebody edits %s, thing %d, %v: %s", old.ID, it.what.n, fs, show(it.rec))
	w.say("edit", old.ID, it.rec.Rev)
	w.some(userEdits)
	if !s.crm() && it.invites() {
		w.message(s, it, fs, true)
		w.fanOut(s, it)
	}
}

func (w *world) delete(s *system, it *item) {
	it.what.deleted = append(it.what.deleted, &deletion{s: s, it: it, seen: clone(it.prov)})
	s.remove(it)
	w.note("somebody deletes %s, thing %d", it.rec.ID, it.what.n)
	w.say("delete", it.rec.ID)
	w.some(userDeletes)
	if !s.crm() && it.invites() {
		w.message(s, it, nil, true)
		w.fanOut(s, it)
	}
}

// touch makes a new revision of a record that says the same as before.
func (w *world) touch(s *system, it *item) {
	old := it.rec
	it.rec = old.Clone()
	it.what.touched[s.side()] = true
	s.put(it, old)
	w.note("%s, thing %d, is touched", old.ID, it.what.n)
	w.say("touch", old.ID)
	w.some(touches)
}

// duplicate copies a record in a mailbox with all that is on it, our key too.
func (w *world) duplicate(s *system, it *item) {
	t := it.what
	t.copies++
	t.doubled = true
	rec := it.rec.Clone()
	c := s.add(rec, t, it.owner)
	c.prov = clone(it.prov)
	w.note("somebody copies thing %d: %s", t.n, rec.ID)
	w.say("copy", rec.ID)
	w.some(copied)
}

// mark makes an appointment private, or no longer so.
func (w *world) mark(s *system, it *item) {
	if it.what.meeting && !it.org {
		return
	}
	old := it.rec
	it.rec = old.Clone()
	it.what.private = true
	a := it.rec.Appointment
	if a.Sensitivity == connectors.Public {
		a.Sensitivity = connectors.Private
	} else {
		a.Sensitivity = connectors.Public
	}
	s.put(it, old)
	w.note("%s, thing %d, is private: %v", old.ID, it.what.n, a.Sensitivity)
	w.say("private", old.ID)
}

// env is what systems do by themselves.
func (w *world) env(r *rand.Rand) {
	all := w.systems()
	s := all[r.IntN(len(all))]
	w.count.steps++
	w.count.faulty++
	switch r.IntN(5) {
	case 0, 1:
		k := []connectors.Kind{kc, ka}[r.IntN(2)]
		s.epoch[k%3]++
		w.note("%s: cursors of %s expire", s.name, k)
		w.some(expired)
	case 2:
		for _, k := range []connectors.Kind{kc, ka} {
			if its := s.alive(k); len(its) > 0 {
				w.touch(s, its[r.IntN(len(its))])
			}
		}
	case 3:
		if s.denied == nil {
			s.denied = []error{connectors.ErrForbidden, connectors.ErrUnauthorized, connectors.ErrNotFound, connectors.ErrThrottled}[r.IntN(4)]
			w.note("%s: denies everything: %v", s.name, s.denied)
			w.some(denials)
		} else {
			s.denied = nil
			w.note("%s: recovers", s.name)
		}
	case 4:
		w.some(clocksOff)
		// From one to the other it is less than the five minutes that cursors which
		// are times go back: a clock that goes back further hides what is new.
		s.skew = time.Duration(r.IntN(480)-240) * time.Second / 2
		w.note("%s: its clock is off by %s", s.name, s.skew)
	}
	w.say("env", s.name)
}

// jump lets time pass, or puts our own clock forward or back.
func (w *world) jump(r *rand.Rand) {
	d := time.Duration(r.IntN(240)) * time.Minute
	switch r.IntN(8) {
	case 0:
		d = time.Duration(r.IntN(72)) * time.Hour
	case 1:
		d = time.Duration(r.IntN(7200)-3600) * time.Second
		if d > 0 && slices.ContainsFunc(w.pairs, func(p lksync.Pair) bool { return w.disk.announced(p.ID) }) {
			break // what is waited for is then not waited for: see README.md
		}
		w.off += d
		w.note("our clock jumps by %s", d)
		w.some(clockJumps)
		w.count.steps++
		return
	}
	w.note("time goes on by %s", d)
	w.advance(d)
	w.count.steps++
}
