package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// round is one round of one pair.
type round struct {
	e      *Engine
	p      Pair
	st     State
	now    time.Time
	report Report
}

// kindRound is the part of a round for one kind of record.
type kindRound struct {
	*round
	kind connectors.Kind
	t    terms
	rep  *KindReport

	open      map[recordAt]*Trouble // stored issues by the records they are about
	settled   []string              // keys of creates that were found
	unsettled map[recordAt]string   // keys of creates that were announced and not found, by their source
	waiting   map[recordAt]bool     // sources of creates that may still become visible
	keys      map[string]recordAt   // the sources of both, by the keys of their creates
}

// unit is one logical record in a round: its link, if it has one, and what was
// seen of it on both sides.
type unit struct {
	link    *Link
	views   [2]view
	trouble Code // found before planning
	detail  string
	field   connectors.Field
	merged  bool // went into another unit
}

// maxPasses is how often a record is read and planned again in one round when it
// changes under the round's hands.
const maxPasses = 3

func (r *round) kind(rule Rule) *kindRound {
	k := &kindRound{round: r, kind: rule.Kind, rep: &KindReport{}, open: map[recordAt]*Trouble{}, unsettled: map[recordAt]string{}, waiting: map[recordAt]bool{}, keys: map[string]recordAt{}}
	k.t.rule, k.t.addresses = rule, r.p.Addresses
	for i, s := range []Side{Left, Right} {
		k.t.caps[i], _ = r.p.conn(s).Capability(rule.Kind)
	}
	k.t.shared = connectors.Shared(rule.Kind, k.t.caps[0], k.t.caps[1])
	r.report.Kinds[rule.Kind] = k.rep
	return k
}

// run works kind by kind. What stops one kind does not stop the others.
func (r *round) run(ctx context.Context) error {
	if err := r.st.Commit(ctx, Batch{Forget: r.now.Add(-nameLife)}); err != nil {
		return fmt.Errorf("sync: pair %s: %w", r.p.ID, err)
	}
	var errs []error
	for _, rule := range r.p.rules() {
		k := r.kind(rule)
		if err := k.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sync: pair %s: %s: %w", r.p.ID, k.kind, err))
		}
		if err := k.count(ctx); err != nil {
			errs = append(errs, err)
		}
		if errors.Is(errors.Join(errs...), ErrFenced) || ctx.Err() != nil {
			break
		}
	}
	r.progress(0, Done, 0, 0)
	return errors.Join(errs...)
}

func (r *round) progress(k connectors.Kind, p Phase, done, total int) {
	r.e.o.Progress(Event{r.p.ID, k, p, done, total})
}

func (k *kindRound) run(ctx context.Context) error {
	k.progress(k.kind, Recovering, 0, -1)
	again, err := k.recover(ctx)
	if err != nil {
		return err
	}
	us, last, err := k.observe(ctx, again)
	if err != nil {
		return err
	}
	for pass := 1; len(us) > 0; pass++ {
		steps, plan, err := k.plan(ctx, us)
		if err != nil {
			return err
		}
		if room := PlanLimit - len(k.report.Plan.Actions); room > 0 {
			k.report.Plan.Actions = append(k.report.Plan.Actions, plan[:min(room, len(plan))]...)
		}
		if us, err = k.execute(ctx, us, steps, pass == maxPasses); err != nil {
			return err
		}
		if us, err = k.reread(ctx, us); err != nil {
			return err
		}
	}
	last.End = append(last.End, k.settled...)
	for _, key := range k.unsettled { // their sources no longer want a partner
		last.End = append(last.End, key)
	}
	// Cursors move last: until here a crash costs nothing but reading again.
	return k.commit(ctx, last)
}

func (k *kindRound) commit(ctx context.Context, b Batch) error {
	// Once effects are out they are remembered even if the caller gives up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return k.st.Commit(ctx, b)
}

func (k *kindRound) count(ctx context.Context) (err error) {
	ctx = context.WithoutCancel(ctx)
	if k.rep.Links, err = k.st.Count(ctx, k.kind); err != nil {
		return err
	}
	k.rep.Issues = 0
	return k.troubles(ctx, func(t Trouble) { k.rep.Issues++ })
}

// troubles visits the stored issues of this kind.
func (k *kindRound) troubles(ctx context.Context, visit func(Trouble)) error {
	for after := int64(0); ; {
		ts, err := k.st.Issues(ctx, after, 500)
		if err != nil {
			return err
		}
		for _, t := range ts {
			if after = t.Number; t.Kind == k.kind {
				visit(t)
			}
		}
		if len(ts) < 500 {
			return nil
		}
	}
}

// observe reads what changed on both sides, and beside that what must be looked
// at again: the given sources, issues that are due and links whose records a
// sweep did not find. It returns the units, read, and what to commit at the end.
func (k *kindRound) observe(ctx context.Context, again []recordAt) ([]*unit, Batch, error) {
	var last Batch
	o := &observed{k: k, by: [2]map[string]*unit{{}, {}}}
	for _, s := range []Side{Left, Right} {
		if err := k.pull(ctx, s, o, &last); err != nil {
			return nil, last, err
		}
	}
	for _, a := range again {
		if _, err := o.at(ctx, a.side, a.id); err != nil {
			return nil, last, err
		}
	}
	var due []Trouble
	if err := k.troubles(ctx, func(t Trouble) {
		for i, id := range t.ID {
			if id != "" {
				k.open[recordAt{Side(i + 1), id}] = &t
			}
		}
		if t.Code == CodeBrake || !t.NextTry.IsZero() && !k.now.Before(t.NextTry) {
			due = append(due, t)
		}
	}); err != nil {
		return nil, last, err
	}
	for _, t := range due {
		for _, s := range []Side{Left, Right} {
			if id := t.ID[s.at()]; id != "" {
				if _, err := o.at(ctx, s, id); err != nil {
					return nil, last, err
				}
			}
		}
	}
	candidates, err := k.candidates(ctx, o)
	if err != nil {
		return nil, last, err
	}
	us, err := k.read(ctx, o.units)
	if err != nil {
		return nil, last, err
	}
	us = k.surface(us)
	// What found no partner waits for its time.
	return slices.DeleteFunc(pairUp(us, k.t.shared), func(u *unit) bool {
		return candidates[u] && (u.views[0].id == "" || u.views[1].id == "")
	}), last, nil
}

// surface leaves out records that turn up with the key of a create whose outcome
// is still unknown, and holds the sources of these: a later round finds and links
// them.
func (k *kindRound) surface(us []*unit) []*unit {
	late := map[recordAt]bool{}
	us = slices.DeleteFunc(us, func(u *unit) bool {
		for i := range u.views {
			if r := u.views[i].rec; u.link == nil && r != nil && r.Key != "" {
				if source, ok := k.keys[r.Key]; ok && source.side != Side(i+1) {
					late[source] = true
					delete(k.unsettled, source)
					return true
				}
			}
		}
		return false
	})
	for _, u := range us {
		for i := range u.views {
			if late[recordAt{Side(i + 1), u.views[i].id}] {
				u.trouble = CodeUnknown
			}
		}
	}
	return us
}

// candidates adds, where there is a new record, those that have no partner and an
// issue that is not due: one of them may be its partner, or was found to be.
func (k *kindRound) candidates(ctx context.Context, o *observed) (map[*unit]bool, error) {
	out := map[*unit]bool{}
	if !slices.ContainsFunc(o.units, func(u *unit) bool { return u.link == nil }) {
		return out, nil
	}
	var alone []recordAt
	for at, t := range k.open {
		other := t.ID[at.side.Other().at()]
		if o.by[at.side.at()][at.id] == nil && (other == "" || o.by[at.side.Other().at()][other] != nil) {
			alone = append(alone, at)
		}
	}
	slices.SortFunc(alone, func(a, b recordAt) int { return cmp.Or(cmp.Compare(a.side, b.side), cmp.Compare(a.id, b.id)) })
	for _, a := range alone {
		u, err := o.at(ctx, a.side, a.id)
		if err != nil {
			return nil, err
		}
		if u.link == nil {
			out[u] = true
		}
	}
	return out, nil
}

type recordAt struct {
	side Side
	id   string
}

// observed collects units, each record in one only.
type observed struct {
	k     *kindRound
	by    [2]map[string]*unit
	units []*unit
}

// at returns the unit of a record, new if there is none yet.
func (o *observed) at(ctx context.Context, s Side, id string) (*unit, error) {
	if u := o.by[s.at()][id]; u != nil {
		return u, nil
	}
	u := &unit{}
	l, ok, err := o.k.st.Find(ctx, o.k.kind, s, id)
	if err != nil {
		return nil, err
	}
	if ok {
		u.link = &l
		for i, id := range l.ID {
			if id != "" {
				u.views[i].id = id
				o.by[i][id] = u
			}
		}
	}
	u.views[s.at()].id = id
	o.by[s.at()][id] = u
	o.units = append(o.units, u)
	return u, nil
}

// pull reads the changes of one side and, when it is time, searches it for
// deletions that it did not report.
func (k *kindRound) pull(ctx context.Context, s Side, o *observed, last *Batch) error {
	conn := k.p.conn(s)
	cursor, err := k.st.Cursor(ctx, s, k.kind)
	if err != nil {
		return err
	}
	first, sweep := cursor == "", false
	if first {
		// A full listing shows no deletions. If an earlier first round broke
		// off, it left links, and their records may have gone since.
		links, err := k.st.Links(ctx, k.kind, 0, 1)
		if err != nil {
			return err
		}
		sweep = len(links) > 0
	}
	for {
		p, err := conn.Changes(ctx, k.kind, cursor, k.e.o.PageSize)
		if errors.Is(err, connectors.ErrCursorExpired) && cursor != "" {
			// The history is gone and deletions with it. Everything is listed
			// again; what is missing then is looked for one by one.
			cursor, sweep = "", true
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s, err)
		}
		for _, c := range p.Changes {
			k.rep.Read[s.at()]++
			if err := k.note(ctx, s, c, o); err != nil {
				return err
			}
		}
		k.progress(k.kind, Reading, k.rep.Read[0]+k.rep.Read[1], -1)
		if p.More && p.Cursor == cursor {
			return fmt.Errorf("read %s: %w", s, &connectors.Error{Plugin: conn.Plugin(), Op: "changes", Kind: k.kind, Class: connectors.ErrMalformed, Detail: "pages without end"})
		}
		if cursor = p.Cursor; !p.More {
			break
		}
	}
	last.Cursors = append(last.Cursors, Position{Side: s, Kind: k.kind, Cursor: cursor})
	if !k.t.caps[s.at()].Tombstones && !first {
		at, err := k.st.Swept(ctx, s, k.kind)
		if err != nil {
			return err
		}
		sweep = sweep || k.now.Sub(at) >= k.e.o.SweepEvery
	}
	if first || sweep {
		last.Sweeps = append(last.Sweeps, Position{Side: s, Kind: k.kind, At: k.now})
	}
	if !sweep {
		return nil
	}
	return k.sweep(ctx, s, o)
}

// note adds a change unless it is the echo of our own write.
func (k *kindRound) note(ctx context.Context, s Side, c connectors.Change, o *observed) error {
	l, linked, err := k.st.Find(ctx, k.kind, s, c.ID)
	if err != nil {
		return err
	}
	if c.Gone && !linked && o.by[s.at()][c.ID] == nil {
		return nil // never seen alive: nothing to undo
	}
	if linked && !c.Gone && l.Rev[s.at()] == c.Rev && c.Rev != "" {
		return nil
	}
	u, err := o.at(ctx, s, c.ID)
	if err != nil {
		return err
	}
	// A tombstone is confirmed by a direct read; content that came along is
	// used, unless a later change of the same record says otherwise.
	u.views[s.at()].rec = nil
	if c.Record != nil && !c.Gone {
		u.views[s.at()].rec = c.Record
	}
	return nil
}

// sweep lists the ids of a side and takes a closer look at linked records that
// are not among them.
func (k *kindRound) sweep(ctx context.Context, s Side, o *observed) error {
	there := map[string]bool{}
	for after := ""; ; {
		p, err := k.p.conn(s).List(ctx, k.kind, after, connectors.MaxItems)
		if err != nil {
			return fmt.Errorf("search %s: %w", s, err)
		}
		for _, id := range p.IDs {
			there[id] = true
		}
		if after = p.Next; after == "" {
			break
		}
	}
	for after := int64(0); ; {
		ls, err := k.st.Links(ctx, k.kind, after, 500)
		if err != nil {
			return err
		}
		for _, l := range ls {
			after = l.Number
			if id := l.ID[s.at()]; id != "" && !there[id] {
				if _, err := o.at(ctx, s, id); err != nil {
					return err
				}
			}
		}
		if len(ls) < 500 {
			return nil
		}
	}
}

// reread prepares units for another pass.
func (k *kindRound) reread(ctx context.Context, us []*unit) ([]*unit, error) {
	for _, u := range us {
		for i := range u.views {
			u.views[i] = view{id: u.views[i].id}
		}
		u.trouble, u.detail, u.field = "", "", ""
		if u.link != nil {
			l, ok, err := k.st.Find(ctx, k.kind, first(*u.link), u.link.ID[first(*u.link).at()])
			if err != nil {
				return nil, err
			}
			if u.link = nil; ok {
				u.link = &l
				for i, id := range l.ID {
					u.views[i].id = id
				}
			}
		}
	}
	return k.read(ctx, us)
}

// first returns a side on which a link has a record.
func first(l Link) Side {
	if l.ID[0] != "" {
		return Left
	}
	return Right
}

// read fetches the records that the units name and that did not come along.
func (k *kindRound) read(ctx context.Context, us []*unit) ([]*unit, error) {
	for _, s := range []Side{Left, Right} {
		i := s.at()
		var want []*unit
		for _, u := range us {
			if u.views[i].id != "" && u.views[i].rec == nil {
				want = append(want, u)
			}
		}
		for chunk := range slices.Chunk(want, max(1, min(k.t.caps[i].Batch, connectors.MaxItems))) {
			ids := make([]string, len(chunk))
			for n, u := range chunk {
				ids[n] = u.views[i].id
			}
			rs, err := k.p.conn(s).Get(ctx, k.kind, ids)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", s, err)
			}
			for n, u := range chunk {
				switch {
				case rs[n].Err == nil:
					u.views[i].rec = rs[n].Record
				case errors.Is(rs[n].Err, connectors.ErrNotFound):
					u.views[i].gone = true
				default:
					u.blame(rs[n].Err, CodeUnread)
				}
			}
		}
	}
	for _, u := range us {
		for i := range u.views {
			v := &u.views[i]
			if v.id != "" && k.waiting[recordAt{Side(i + 1), v.id}] && u.trouble == "" {
				u.trouble = CodeUnknown
			}
			v.changed = u.link == nil || v.rec != nil && v.rec.Rev != u.link.Rev[i]
		}
	}
	return us, nil
}

// blame notes trouble with a unit, in the words of an error of ours.
func (u *unit) blame(err error, code Code) {
	u.trouble = code
	var e *connectors.Error
	if errors.As(err, &e) {
		u.detail, u.field = e.Detail, e.Field
		if e.Class != nil && u.detail == "" {
			u.detail = e.Class.Error()
		}
	}
}

// plan decides for every unit, in a fixed order, and applies the brake.
func (k *kindRound) plan(ctx context.Context, us []*unit) ([]step, []Action, error) {
	slices.SortStableFunc(us, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.views[0].id, b.views[0].id), cmp.Compare(a.views[1].id, b.views[1].id))
	})
	steps := make([]step, len(us))
	unread := k.unread(us)
	deletes := 0
	for i, u := range us {
		if u.trouble != "" {
			steps[i] = step{op: Hold, code: u.trouble, why: "not planned"}
			continue
		}
		steps[i] = k.fit(u, decide(u.link, u.views[0], u.views[1], k.t))
		if steps[i].op == Create && unread[steps[i].side.at()] {
			u.detail = "a record there could not be read and may be the same"
			steps[i] = step{op: Hold, code: CodeLater, why: u.detail}
		}
		if steps[i].op == Delete {
			deletes++
		}
	}
	links, err := k.st.Count(ctx, k.kind)
	if err != nil {
		return nil, nil, err
	}
	if deletes > k.e.o.BrakeCount && deletes*100 > links*k.e.o.BrakePercent {
		approved, err := k.st.Approved(ctx, k.kind)
		if err != nil {
			return nil, nil, err
		}
		if deletes > approved {
			k.report.Held = fmt.Sprintf("%d deletions of %s at once: held until approved", deletes, k.kind)
			for i := range steps {
				if steps[i].op == Delete {
					steps[i] = step{op: Hold, code: CodeBrake, why: steps[i].why + "; held by the brake"}
				}
			}
		}
	}
	var plan []Action
	for i, u := range us {
		if st := steps[i]; st.op != Nothing {
			plan = append(plan, Action{Op: st.op, Kind: k.kind, Left: u.views[0].id, Right: u.views[1].id, Side: st.side,
				ToLeft: st.write[0], ToRight: st.write[1], Code: st.code, Why: st.why})
		}
	}
	return steps, plan, nil
}

// patience is how often an unreadable record is tried while nothing is created
// beside it.
const patience = 2

// unread reports for each side whether it has a record without a partner that
// could not be read lately: it may be the partner of any that is new on the other
// side, and creating another one would double it.
func (k *kindRound) unread(us []*unit) (out [2]bool) {
	seen := map[recordAt]bool{}
	for _, u := range us {
		old := k.known(u)
		for i, v := range u.views {
			seen[recordAt{Side(i + 1), v.id}] = true
			out[i] = out[i] || u.link == nil && v.id != "" && v.rec == nil && !v.gone && (old == nil || old.Code != CodeUnread || old.Tries < patience)
		}
	}
	for at, t := range k.open {
		if t.Code == CodeUnread && t.ID[at.side.Other().at()] == "" && t.Tries <= patience && !seen[at] {
			out[at.side.at()] = true
		}
	}
	return out
}

// fit holds what the other side would not take, or must not see.
func (k *kindRound) fit(u *unit, st step) step {
	to := func(s Side, fs []connectors.Field) (held step, ok bool) {
		src := u.views[s.Other().at()].rec
		if a := src.Appointment; a != nil && s == Left && a.Sensitivity != connectors.Public {
			return step{op: Hold, code: CodePrivate, why: "private"}, false
		}
		if there := u.views[s.at()].rec; there != nil && there.Appointment != nil && slices.Contains(fs, connectors.FieldSensitivity) &&
			there.Appointment.Sensitivity != connectors.Public && src.Appointment.Sensitivity == connectors.Public && s == Right {
			return step{op: Hold, code: CodePrivate, why: "private, and only its owner takes that mark away"}, false
		}
		// What would be there afterwards has to fit, not only what changes.
		full := src
		if there := u.views[s.at()].rec; there != nil {
			full = there.Clone()
			for _, f := range fs {
				connectors.CopyField(full, src, f)
			}
			if full.Appointment != nil {
				full.Appointment.Recurrence = src.Appointment.Recurrence
			}
		}
		if err := k.t.caps[s.at()].Fit(full, fs); err != nil {
			held := step{op: Hold, code: CodeField, why: "the other side does not accept it"}
			u.blame(err, CodeField)
			if u.field == connectors.FieldRecurrence {
				held.code, u.trouble = CodeSeries, CodeSeries
			}
			return held, false
		}
		return st, true
	}
	switch st.op {
	case Create:
		if held, ok := to(st.side, k.t.shared); !ok {
			return held
		}
	case Merge:
		for _, s := range []Side{Left, Right} {
			if len(st.write[s.at()]) > 0 {
				if held, ok := to(s, st.write[s.at()]); !ok {
					return held
				}
			}
		}
	}
	return st
}

// stops reports whether an error ends the work on a kind: it concerns the whole
// side and not one record.
func stops(err error) bool {
	return errors.Is(err, authz.ErrDenied) || errors.Is(err, connectors.ErrUnauthorized) || errors.Is(err, connectors.ErrThrottled) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
