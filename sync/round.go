package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// round is one round of one pair.
type round struct {
	e      *Engine
	p      Pair
	who    authz.Principal
	st     State
	now    time.Time
	dry    bool // nothing is written anywhere
	report Report
}

// kindRound is the part of a round for one kind of record.
type kindRound struct {
	*round
	p     sides // of the rule
	kind  connectors.Kind
	t     terms
	rep   *KindReport
	table *table // of meetings; nil without one

	open      map[recordAt]*Trouble // stored issues by the records they are about
	settled   []string              // keys of creates that were found
	foundBy   map[recordAt]string   // the same, by both records
	unsettled map[recordAt]string   // keys of creates that were announced and not found, by their source
	waiting   map[recordAt]bool     // sources of creates that may still become visible
	keys      map[string]recordAt   // the sources of both, by the keys of their creates
	made      map[string]string     // CRM records that say what their create said, by id: their revisions
	early     map[recordAt]bool     // records that wait without a partner, looked at only to compare them with what is new

	siblings []Rule          // those whose records the mailbox keeps among the same items
	theirs   map[string]bool // the keys of their open creates in the mailbox

	anew      anew                        // what to look at although nobody changed it
	ruled     string                      // a check of the policy that holds now
	byAddress map[string][]connectors.Ref // the CRM's records, as asked in this round
	inCRM     map[string]bool             // whether a mail is there, by its message id
	savings   map[recordAt]Saving         // of mails that are new
	people    []byte                      // the key of creates that no record asks for
	unread    [2]bool                     // a new record could not be read: it may be the partner of any other
	brake     brake
	paged     bool
	links     int        // records linked when the round began
	deletes   []recordAt // of pages: deletions come last
	last      bool       // deletions are carried out now
	done      int        // records worked on so far
	total     int
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

	// In a meeting:
	meeting *Meeting           // as in the table
	uid     string             // hash of its UID
	role    Role               // of the user
	lead    bool               // this pair writes it to the CRM
	extra   []connectors.Party // in the CRM's record by way of attendees' mailboxes
	joins   *connectors.Party  // the user, if the record does not name her yet

	raw  [2]*connectors.Record // as read, before a private item was masked
	mask bool
	veil bool // the same of private occurrences of a series that is none
	lost bool // a change of the series stays on one side

	short bool // the mailbox cannot hold all the guests whom the CRM names, and does not
	fewer bool // and it names fewer of its own than it did

	lacks  error   // why a record that it refers to could not be made
	saving *Saving // of a mail that is new in the mailbox
}

// maxPasses is how often a record is read and planned again in one round when it
// changes under the round's hands.
const maxPasses = 3

func (r *round) kind(rule Rule) *kindRound {
	k := &kindRound{round: r, p: sides{r.p, rule}, kind: rule.Kind, open: map[recordAt]*Trouble{}, unsettled: map[recordAt]string{}, foundBy: map[recordAt]string{}, waiting: map[recordAt]bool{},
		keys: map[string]recordAt{}, made: map[string]string{}, early: map[recordAt]bool{}, byAddress: map[string][]connectors.Ref{}, inCRM: map[string]bool{}, savings: map[recordAt]Saving{}}
	k.t.rule, k.t.addresses, k.t.now = rule, r.p.Addresses, r.now
	for i, s := range []Side{Left, Right} {
		k.t.caps[i], _ = k.p.conn(s).Capability(rule.Kind)
	}
	k.rep = r.report.kind(rule.Kind)
	k.t.shared = k.t.crossing(connectors.Shared(rule.Kind, k.t.caps[0], k.t.caps[1]))
	return k
}

// begin finds out what the work on a kind starts from.
func (k *kindRound) begin(ctx context.Context) error {
	if connectors.NewRecord(k.kind).Appointment != nil {
		t, err := k.meetings(ctx)
		if err != nil {
			return err
		}
		k.table = t
	}
	if err := k.relate(ctx); err != nil {
		return err
	}
	if k.t.rule.Fields {
		key, err := k.st.Key(ctx)
		if err != nil {
			return err
		}
		k.t.digest = digester(key, k.t.shared)
	}
	for _, s := range []Side{Left, Right} {
		c, err := k.st.Cursor(ctx, s, k.kind)
		if err != nil {
			return err
		}
		k.t.first = k.t.first || c == ""
	}
	if err := k.renew(ctx); err != nil {
		return err
	}
	var err error
	if k.links, err = k.st.Count(ctx, k.kind); err != nil {
		return err
	}
	if k.brake.approved, err = k.st.Approved(ctx, k.kind); err != nil {
		return err
	}
	return nil
}

// run works kind by kind. What stops one kind does not stop the others.
func (r *round) run(ctx context.Context) error {
	if err := r.identify(ctx); err != nil {
		return err
	}
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
	err := errors.Join(errs...)
	why := r.report.Held
	if err != nil && why == "" {
		why = err.Error()
	}
	r.e.o.Progress(Event{Pair: r.p.ID, Phase: Done, Why: why})
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(cause, ErrStopped) && !errors.Is(err, ErrStopped) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func (r *round) progress(k connectors.Kind, p Phase, done, total int) {
	r.e.o.Progress(Event{Pair: r.p.ID, Kind: k, Phase: p, Done: done, Total: total})
}

func (k *kindRound) run(ctx context.Context) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	k.progress(k.kind, Recovering, 0, -1)
	again, err := k.recover(ctx)
	if err != nil {
		return err
	}
	g, last, err := k.observe(ctx, again)
	if err != nil {
		return errors.Join(err, g.close())
	}
	defer func() { _ = g.close() }() // nothing in it is wanted any more
	if g.scratch != nil {
		if err := k.foresee(ctx, g); err != nil {
			return err
		}
	}
	if err := g.pages(ctx, func(us []*unit) error { return k.work(ctx, us) }); err != nil {
		return err
	}
	k.last = true
	for chunk := range slices.Chunk(k.deletes, pageSize) {
		o := newGather(k)
		for _, a := range chunk {
			if _, err := o.at(ctx, a.side, a.id); err != nil {
				return err
			}
		}
		us, err := k.ready(ctx, o.units)
		if err == nil {
			err = k.work(ctx, us)
		}
		if err != nil {
			return err
		}
	}
	k.renewed(&last)
	last.End = append(last.End, k.settled...)
	for _, key := range k.unsettled { // their sources no longer want a partner
		last.End = append(last.End, key)
	}
	// Cursors move last: until here a crash costs nothing but reading again.
	return k.commit(ctx, last)
}

// work plans units and carries the plan out.
func (k *kindRound) work(ctx context.Context, us []*unit) error {
	all := slices.Clone(us)
	for pass := 1; len(us) > 0; pass++ {
		steps := k.plan(us)
		if !k.last {
			k.report.Plan.add(k.kind, us, steps, PlanLimit)
		}
		var err error
		if us, err = k.execute(ctx, us, steps, pass == maxPasses); err != nil {
			return err
		}
		if us, err = k.reread(ctx, us); err != nil {
			return err
		}
	}
	return k.files(ctx, all)
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
// sweep did not find. It returns what was seen, and what to commit at the end.
func (k *kindRound) observe(ctx context.Context, again []recordAt) (*gather, Batch, error) {
	var last Batch
	g := newGather(k)
	for _, s := range []Side{Left, Right} {
		if err := k.pull(ctx, s, g, &last); err != nil {
			return g, last, err
		}
	}
	if err := k.troubles(ctx, func(t Trouble) {
		for i, id := range t.ID {
			if id != "" {
				k.open[recordAt{Side(i + 1), id}] = &t
			}
		}
		for i, id := range t.ID { // not read, so perhaps the partner of anything new
			if id != "" && t.ID[1-i] == "" && t.Code == CodeUnread && t.Tries < 2 && g.by[i][id] == nil && k.now.Before(t.NextTry) {
				k.unread[i] = true
			}
		}
		if t.Code == CodeBrake || t.Code == CodeFirst || !t.NextTry.IsZero() && !k.now.Before(t.NextTry) {
			for i, id := range t.ID {
				if id != "" && t.Code == CodeBrake {
					k.brake.suspect(Side(i+1), true)
					k.brake.suspect(Side(i+1), false)
				}
				if id != "" {
					again = append(again, recordAt{Side(i + 1), id})
				}
			}
		}
	}); err != nil {
		return g, last, err
	}
	for _, a := range again {
		if err := g.add(ctx, a.side, a.id, nil); err != nil {
			return g, last, err
		}
	}
	if err := k.candidates(ctx, g); err != nil {
		return g, last, err
	}
	return g, last, g.flush(ctx)
}

// candidates adds, where there is a new record, those that have no partner and an
// issue that is not due: one of them may be its partner, or was found to be.
func (k *kindRound) candidates(ctx context.Context, g *gather) error {
	if g.scratch == nil && !slices.ContainsFunc(g.units, func(u *unit) bool { return u.link == nil }) {
		return nil
	}
	var alone []recordAt
	for at, t := range k.open {
		other := t.ID[at.side.Other().at()]
		if g.by[at.side.at()][at.id] == nil && (other == "" || g.scratch != nil || g.by[at.side.Other().at()][other] != nil) {
			alone = append(alone, at)
		}
	}
	slices.SortFunc(alone, func(a, b recordAt) int { return cmp.Or(cmp.Compare(a.side, b.side), cmp.Compare(a.id, b.id)) })
	for _, a := range alone {
		if _, linked, err := k.st.Find(ctx, k.kind, a.side, a.id); err != nil || linked {
			if err != nil {
				return err
			}
			continue
		}
		k.early[a] = true
		if err := g.add(ctx, a.side, a.id, nil); err != nil {
			return err
		}
	}
	return nil
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

type recordAt struct {
	side Side
	id   string
}

// pull reads the changes of one side and, when it is time, searches it for
// deletions that it did not report.
func (k *kindRound) pull(ctx context.Context, s Side, o *gather, last *Batch) error {
	conn := k.p.conn(s)
	cursor, err := k.st.Cursor(ctx, s, k.kind)
	if err != nil {
		return err
	}
	first, sweep := cursor == "", false
	if k.anew != 0 && !first {
		cursor, sweep = "", true // the history goes with the cursor
	}
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
		if err := o.flush(ctx); err != nil {
			return err
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
func (k *kindRound) note(ctx context.Context, s Side, c connectors.Change, o *gather) error {
	l, linked, err := k.st.Find(ctx, k.kind, s, c.ID)
	if err != nil {
		return err
	}
	if c.Gone && !linked && o.by[s.at()][c.ID] == nil && o.scratch == nil {
		return nil // never seen alive: nothing to undo
	}
	if linked && !c.Gone && l.Rev[s.at()] == c.Rev && c.Rev != "" && k.anew != everything && (k.anew == 0 || l.State != Outside) {
		return nil
	}
	if linked {
		k.brake.suspect(s, c.Gone)
	}
	if c.Record != nil && !linked {
		if v := k.t.wants(s, c.Record); v.Blocked {
			return nil
		}
		if u, err := k.judge(ctx, s, c.Record); err != nil || u != nil && !u.Save {
			return err
		}
	}
	if c.Head {
		c.Record = nil
	}
	// A tombstone is confirmed by a direct read; content that came along is
	// used, unless a later change of the same record says otherwise.
	if c.Gone {
		return o.add(ctx, s, c.ID, nil)
	}
	return o.add(ctx, s, c.ID, c.Record)
}

// sweep lists the ids of a side and takes a closer look at linked records that
// are not among them.
func (k *kindRound) sweep(ctx context.Context, s Side, o *gather) error {
	there, err := k.st.Scratch(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = there.Close() }()
	for after := ""; ; {
		p, err := k.p.conn(s).List(ctx, k.kind, after, connectors.MaxItems)
		if err != nil {
			return fmt.Errorf("search %s: %w", s, err)
		}
		seen := make([]Seen, len(p.IDs))
		for i, id := range p.IDs {
			seen[i] = Seen{Side: s, ID: id}
		}
		if err := there.Add(ctx, seen); err != nil {
			return err
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
		var ids []string
		for _, l := range ls {
			if after = l.Number; l.ID[s.at()] != "" {
				ids = append(ids, l.ID[s.at()])
			}
		}
		has, err := there.Has(ctx, s, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if !has[i] {
				k.brake.suspect(s, true)
				if err := o.add(ctx, s, id, nil); err != nil {
					return err
				}
			}
		}
		if err := o.flush(ctx); err != nil {
			return err
		}
		if len(ls) < 500 {
			return nil
		}
	}
}

// reread prepares units for another pass.
func (k *kindRound) reread(ctx context.Context, us []*unit) ([]*unit, error) {
	if len(us) == 0 {
		return nil, nil
	}
	for _, u := range us {
		ids := [2]string{u.views[0].id, u.views[1].id}
		*u = unit{link: u.link}
		for i, id := range ids {
			u.views[i].id = id
		}
		if u.link != nil {
			l, ok, err := k.st.Find(ctx, k.kind, first(*u.link), u.link.ID[first(*u.link).at()])
			if err != nil {
				return nil, err
			}
			if u.link = nil; ok {
				u.link = &l
				for i, id := range l.ID {
					if id != "" {
						u.views[i].id = id
					}
				}
			}
		}
	}
	us, err := k.read(ctx, us)
	if err == nil {
		err = k.judgeAll(ctx, us)
	}
	if err != nil {
		return nil, err
	}
	return k.meet(ctx, us)
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
					if t := k.known(u); u.link == nil && (t == nil || t.Code != CodeUnread || t.Tries < 2) {
						k.unread[i] = true
					}
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
func (k *kindRound) plan(us []*unit) []step {
	slices.SortStableFunc(us, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.views[0].id, b.views[0].id), cmp.Compare(a.views[1].id, b.views[1].id))
	})
	steps := make([]step, len(us))
	var n brake
	for i, u := range us {
		if u.trouble != "" {
			steps[i] = step{op: Hold, code: u.trouble, why: "not planned"}
			continue
		}
		if err := k.see(u); err != nil {
			u.blame(err, CodeField)
			steps[i] = step{op: Hold, code: CodeField, why: "a field could not be computed"}
			continue
		}
		t := k.t
		t.role, t.lead = u.role, u.lead
		if m := u.meeting; m != nil {
			lost := u.link == nil && u.views[0].gone && u.views[0].id == m.Record // deleted before anybody was linked to it
			if lost && k.now.Sub(m.Since) < k.e.o.Settle {
				steps[i] = step{op: Hold, code: CodeShared, why: "its record is not visible yet"}
				continue
			}
			t.dead = m.Gone || lost
			t.asLeft = u.views[0].rec != nil && m.Rev != "" && m.Rev == u.views[0].rec.Rev
			if t.asLeft && u.lead && u.role == Attendee && u.views[1].changed {
				u.views[0].changed = false // it was this mailbox, and its note of that was lost
			}
			t.came = m.Record != "" && m.Lead != "" && (!m.Host || m.Lead == k.p.ID)
		} else if r := u.views[0].rec; r != nil && k.table != nil && u.role != NoRole {
			// Made by a mailbox that could not say so in the table yet.
			t.came = strings.HasPrefix(r.Key, keyPrefix)
		}
		if u.mask { // what a placeholder says of a private item is not news to it
			t.caps[1] = onlyTime(t.caps[1])
		}
		if u.veil { // what its placeholder says of an occurrence is no news to it either
			t.caps[1] = fixed(t.caps[1], connectors.FieldRecurrence, connectors.FieldTime, connectors.FieldZone)
		}
		st := decide(u.link, u.views[0], u.views[1], t)
		u.lost = st.lost
		if p, ok := k.joins(u); ok && (st.op == Merge || st.op == Nothing) && u.views[0].rec != nil && (u.link == nil || u.link.State == Linked) {
			u.joins = &p
			st.op, st.why = Merge, st.why+"; the user takes part and is added"
			st.write[0] = []connectors.Field{connectors.FieldAttendees}
		}
		steps[i] = k.loop(u, k.fit(u, st))
		n.count(steps[i], u.link != nil)
	}
	if !k.paged {
		k.brake.deletes, k.brake.changes = n.deletes, n.changes
		k.hold()
	}
	k.apply(us, steps)
	return steps
}

// see puts on the views what the planner may see of them: of a private item the
// time only, of the CRM's record without people whom other mailboxes brought in, of
// both what they say to the other side.
func (k *kindRound) see(u *unit) error {
	for i := range u.views {
		v := &u.views[i]
		u.raw[i] = v.rec
		says := k.t.wants(Side(i+1), v.rec)
		if says.Unmarked && i == 1 && !k.t.marks() && u.link != nil && u.link.Origin == Left {
			says.Out = false // it came from the CRM, and nothing could mark it
		}
		v.chosen = says.Unmarked || says.Blocked
		if v.out, v.why = says.Out, says.Why; i == 1 && u.saving != nil && !u.saving.Save {
			v.out, v.why = true, u.saving.Why
		}
	}
	if r := u.views[1].rec; r != nil && r.Appointment != nil {
		if k.t.rule.Private == PrivateBlock && r.Appointment.Sensitivity != connectors.Public {
			u.views[1].rec, u.mask = block(r), true
		}
		if v := u.views[1].rec; k.t.rule.Private == PrivateBlock && !u.mask && secret(v) {
			u.views[1].rec, u.veil = veiled(v), true
		}
		if l := u.views[0].rec; l != nil {
			u.extra = nil
			u.views[0].rec = k.invited(u, l, r)
			u.short = k.t.short(u.link, u.views[0].rec, u.views[1].rec)
			if u.short && u.views[1].changed && u.link != nil {
				n, known := u.link.Base.guests()
				u.fewer = known && len(r.Appointment.Attendees) < n
			}
			u.views[1].rec = k.t.united(u.link, u.views[0].rec, u.views[1].rec)
		}
	}
	for i := range u.views {
		r, err := k.t.says(Side(i+1).Other(), u.views[i].rec, false)
		if err != nil {
			return err
		}
		u.views[i].rec = r
	}
	return nil
}

// block is what may be known of a private item: when it is.
func block(r *connectors.Record) *connectors.Record {
	c := connectors.NewRecord(r.Kind)
	c.ID, c.Rev, c.Modified, c.Key = r.ID, r.Rev, r.Modified, r.Key
	c.Appointment = blocked(r.Appointment)
	return c
}

func blocked(a *connectors.Appointment) *connectors.Appointment {
	b := &connectors.Appointment{}
	b.UID, b.Start, b.End, b.AllDay, b.Zone = a.UID, a.Start, a.End, a.AllDay, a.Zone
	b.Sensitivity, b.Availability, b.Status, b.Subject = a.Sensitivity, a.Availability, a.Status, "Private"
	if r := a.Recurrence; r != nil {
		b.Recurrence = &connectors.Recurrence{Rules: r.Rules, Dates: r.Dates}
		for _, x := range r.Exceptions {
			if x.Appointment != nil {
				x.Appointment = blocked(x.Appointment)
			}
			b.Recurrence.Exceptions = append(b.Recurrence.Exceptions, x)
		}
	}
	return b
}

// secret reports whether a series that anybody may see has occurrences that are
// private.
func secret(r *connectors.Record) bool {
	a := r.Appointment
	return a != nil && a.Sensitivity == connectors.Public && a.Recurrence != nil && slices.ContainsFunc(a.Recurrence.Exceptions, func(o connectors.Occurrence) bool {
		return o.Appointment != nil && o.Appointment.Sensitivity != connectors.Public
	})
}

// veiled is a series of whose private occurrences no more may be known than when
// they are.
func veiled(r *connectors.Record) *connectors.Record {
	c := r.Clone()
	for i, o := range c.Appointment.Recurrence.Exceptions {
		if o.Appointment != nil && o.Appointment.Sensitivity != connectors.Public {
			c.Appointment.Recurrence.Exceptions[i].Appointment = blocked(o.Appointment)
		}
	}
	return c
}

func onlyTime(c connectors.Capability) connectors.Capability {
	return fixed(c, slices.DeleteFunc(c.Known(), func(f connectors.Field) bool { return f == connectors.FieldTime })...)
}

// fixed is what a system can do where some fields must not be written.
func fixed(c connectors.Capability, fs ...connectors.Field) connectors.Capability {
	fields := maps.Clone(c.Fields)
	for _, f := range fs {
		if l, ok := fields[f]; ok {
			l.ReadOnly = true
			fields[f] = l
		}
	}
	c.Fields = fields
	return c
}

// fit holds what the other side would not take, or must not see.
func (k *kindRound) fit(u *unit, st step) step {
	to := func(s Side, fs []connectors.Field) (held step, ok bool) {
		src := u.views[s.Other().at()].rec
		if a := src.Appointment; a != nil && s == Left && a.Sensitivity != connectors.Public && !u.mask {
			return step{op: Hold, code: CodePrivate, why: "private"}, false
		}
		if s == Left && slices.Contains(fs, connectors.FieldRecurrence) && !u.veil && !u.mask && secret(src) {
			return step{op: Hold, code: CodePrivate, why: "an occurrence of it is private"}, false
		}
		if there := u.views[s.at()].rec; there != nil && there.Appointment != nil && slices.Contains(fs, connectors.FieldSensitivity) &&
			there.Appointment.Sensitivity != connectors.Public && src.Appointment.Sensitivity == connectors.Public && s == Right {
			return step{op: Hold, code: CodePrivate, why: "private, and only its owner takes that mark away"}, false
		}
		// What would be there afterwards has to fit, not only what changes.
		there := u.views[s.at()].rec
		if st.op == Create {
			r, err := k.draft(u, s)
			if err != nil {
				u.blame(err, CodeField)
				return step{op: Hold, code: CodeField, why: "a field could not be computed"}, false
			}
			if r.Appointment != nil {
				r.Appointment.Recurrence = src.Appointment.Recurrence
			}
			src, there = r, nil
		}
		if there == nil {
			there = src
		}
		if err := k.t.caps[s.at()].FitEdit(src, there, fs); err != nil {
			held := step{op: Hold, code: CodeField, why: "the other side does not accept it"}
			u.blame(err, CodeField)
			if u.field == connectors.FieldRecurrence {
				held.code = CodeSeries
				if l, ok := k.t.caps[s.at()].Fields[u.field]; ok && !l.ReadOnly {
					held.code = CodeOccurrence
				}
				u.trouble = held.code
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
		if u.link == nil && k.unread[st.side.at()] {
			u.detail = "a new record there could not be read: it may be this one"
			return step{op: Hold, code: CodeLater, why: "its partner may be one that could not be read"}
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
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrStopped) || errors.Is(err, ErrFenced)
}
