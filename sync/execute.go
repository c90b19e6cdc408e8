package sync

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// work is a unit with its step.
type work struct {
	u  *unit
	st step
}

// execute carries out a plan: what needs no write first, then creates, updates,
// and deletions last. It returns the units that changed meanwhile and have to be
// looked at again; at the last pass those become issues.
func (k *kindRound) execute(ctx context.Context, us []*unit, steps []step, lastPass bool) ([]*unit, error) {
	var again []*unit
	retry := func(u *unit) {
		if lastPass {
			u.trouble, u.detail = CodeLater, "it kept changing"
			return
		}
		again = append(again, u)
	}
	ws := make([]work, len(us))
	for i := range us {
		ws[i] = work{us[i], steps[i]}
	}
	each := func(match func(work) bool, size int, do func([]work) error) error {
		var sel []work
		for _, w := range ws {
			if match(w) {
				sel = append(sel, w)
			}
		}
		for chunk := range slices.Chunk(sel, max(1, min(size, connectors.MaxItems))) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := do(chunk); err != nil {
				return err
			}
			k.done += len(chunk)
			k.progress(k.kind, Writing, k.done, k.total)
		}
		return nil
	}
	err := each(func(w work) bool { return w.st.op != Create && w.st.op != Delete && w.st.op != Cancel && !writes(w.st) }, 500,
		func(c []work) error { return k.remember(ctx, c) })
	for _, s := range []Side{Left, Right} {
		if err == nil {
			err = each(func(w work) bool { return w.st.op == Create && w.st.side == s }, k.t.caps[s.at()].Batch,
				func(c []work) error { return k.create(ctx, s, c, retry) })
		}
	}
	if err == nil {
		err = each(func(w work) bool { return w.st.op == Merge && writes(w.st) }, min(k.t.caps[0].Batch, k.t.caps[1].Batch),
			func(c []work) error { return k.update(ctx, c, retry) })
	}
	if err == nil && k.paged && !k.last { // they come after all pages
		for _, w := range ws {
			if w.st.op == Delete || w.st.op == Cancel {
				k.deletes = append(k.deletes, recordAt{w.st.side, w.u.views[w.st.side.at()].id})
			}
		}
	} else {
		if err == nil {
			err = each(func(w work) bool { return w.st.op == Cancel }, k.t.caps[0].Batch, func(c []work) error { return k.cancel(ctx, c, retry) })
		}
		for _, s := range []Side{Left, Right} {
			if err == nil {
				err = each(func(w work) bool { return w.st.op == Delete && w.st.side == s }, k.t.caps[s.at()].Batch,
					func(c []work) error { return k.remove(ctx, s, c, retry) })
			}
		}
	}
	if err != nil {
		return nil, err
	}
	var b Batch
	for _, u := range us {
		if lastPass && u.trouble == CodeLater {
			k.raise(&b, u, CodeLater)
		}
	}
	return again, k.commit(ctx, b)
}

func writes(st step) bool { return len(st.write[0])+len(st.write[1]) > 0 }

// raise adds an issue about a unit to a batch.
func (k *kindRound) raise(b *Batch, u *unit, code Code) {
	old := k.known(u)
	t := Trouble{Kind: k.kind, ID: [2]string{u.views[0].id, u.views[1].id}, Code: code, Field: u.field, Detail: u.detail,
		First: k.now, Last: k.now, Tries: 1}
	if old != nil && old.Code == code {
		t.First, t.Tries = old.First, old.Tries+1
	}
	t.NextTry = code.retry(t.Tries, k.now)
	if code != CodePrivate && code != CodeBrake {
		if t.Name = name(u.views[0].rec); t.Name == "" {
			t.Name = name(u.views[1].rec)
		}
	}
	b.Raise = append(b.Raise, t)
	k.e.o.Logger.Warn("record not synced", "pair", k.p.ID, "kind", k.kind.String(), "code", string(code), "left", t.ID[0], "right", t.ID[1])
}

// known returns the stored issue about a unit, if any.
func (k *kindRound) known(u *unit) *Trouble {
	for i := range u.views {
		if t := k.open[recordAt{Side(i + 1), u.views[i].id}]; t != nil && u.views[i].id != "" {
			return t
		}
	}
	return nil
}

// solve says that a unit is in order.
func (k *kindRound) solve(b *Batch, u *unit) {
	if t := k.known(u); t != nil && !(t.Code == CodeDuplicate && t.Last.Equal(k.now)) { // what recovery just found is for a person to see
		b.Solve = append(b.Solve, Trouble{Kind: k.kind, ID: [2]string{u.views[0].id, u.views[1].id}})
	}
}

// carriedOver says that a unit was carried, and what it lacks there.
func (k *kindRound) carriedOver(b *Batch, u *unit) {
	if k.solve(b, u); u.lacks != nil {
		u.blame(u.lacks, CodeRelated)
		k.raise(b, u, CodeRelated)
		u.trouble = ""
	}
	k.remains(b, u)
}

// remains says that a change of a series stayed on one side, or that of a guest who
// was taken off a list.
func (k *kindRound) remains(b *Batch, u *unit) {
	if u.fewer {
		u.field, u.detail = connectors.FieldAttendees, ""
		k.raise(b, u, CodeGuests)
	}
	if u.lost {
		u.field, u.detail = connectors.FieldRecurrence, ""
		k.raise(b, u, CodeOccurrence)
	}
}

// linkOf returns the link that a unit has now that both sides are as seen.
func (k *kindRound) linkOf(u *unit, state LinkState) Link {
	l := Link{Kind: k.kind, Origin: Left}
	if u.link != nil {
		l = *u.link
	} else if r := u.views[0].rec; r != nil && strings.HasPrefix(r.Key, keyPrefix) {
		l.Origin = Right // made from the mailbox, by a state that is no more
	}
	l.State, l.Seen, l.Apart, l.Base = state, k.now, nil, nil
	if meetingIn(u) != nil {
		l.Role = u.role
	}
	for i := range u.views {
		l.ID[i], l.Rev[i] = u.views[i].id, ""
		if r := u.views[i].rec; r != nil {
			l.Rev[i] = r.Rev
		}
	}
	return l
}

// remember carries out what needs no write on either side.
func (k *kindRound) remember(ctx context.Context, ws []work) error {
	var b Batch
	for _, w := range ws {
		switch u := w.u; w.st.op {
		case Nothing:
			if u.link == nil || u.link.State != Conflicted {
				k.solve(&b, u)
			}
		case Merge:
			if u.link == nil {
				k.rep.Linked++
			}
			if err := k.register(ctx, u, u.views[0].id, k.told(u)); err != nil {
				return err
			}
			b.Put = append(b.Put, k.merged(k.linkOf(u, Linked), w, u.views[0].rec))
			k.solve(&b, u)
			k.remains(&b, u)
		case Await:
			l := k.linkOf(u, Expected)
			l.ID[1], l.Rev[1] = "", ""
			b.Put = append(b.Put, l)
		case Leave:
			l := k.linkOf(u, Outside)
			switch old := u.link; {
			case old != nil && old.State == Linked: // what was changed since is still to be carried when it comes back
				l.Rev, l.Apart, l.Base = old.Rev, old.Apart, old.Base
			default: // a conflict is one again, and what never was alike is compared
				l.Rev = [2]string{}
			}
			b.Put = append(b.Put, l)
			k.solve(&b, u)
			k.rep.Unlinked++
		case Forget:
			b.Drop = append(b.Drop, u.link.Number)
			k.solve(&b, u)
		case Drop:
			if u.views[0].gone {
				if err := k.bury(ctx, u); err != nil {
					return err
				}
			}
			l := k.linkOf(u, Unlinked)
			for i := range u.views {
				if u.views[i].rec == nil {
					l.ID[i] = ""
				}
			}
			b.Put = append(b.Put, l)
			k.solve(&b, u)
			k.rep.Unlinked++
		case Conflict:
			l := k.linkOf(u, Conflicted)
			if u.link != nil {
				l.Base, l.Apart = u.link.Base, u.link.Apart
			}
			b.Put = append(b.Put, l)
			k.raise(&b, u, w.st.code)
			k.rep.Conflicts++
		case Hold:
			k.raise(&b, u, w.st.code)
		}
	}
	return k.commit(ctx, b)
}

// merged completes a link that both sides are alike in, but for what was left
// different: rec is what both say.
func (k *kindRound) merged(l Link, w work, rec *connectors.Record) Link {
	l = turned(l, w.st, k.now)
	l.Apart = w.st.apart
	if k.t.digest != nil && len(l.Apart) == 0 && rec != nil {
		l.Base = digests(rec, k.t)
	}
	if r := w.u.raw[1]; w.u.short && r != nil {
		l.Base = binary.BigEndian.AppendUint16(l.Base, uint16(min(len(r.Appointment.Attendees), math.MaxUint16)))
	}
	return l
}

// create makes records on a side. The intents are durable before anything is
// sent and end together with what they led to.
func (k *kindRound) create(ctx context.Context, s Side, all []work, retry func(*unit)) error {
	var announce, held Batch
	var ws []work
	var drafts []connectors.Draft
	from := s.Other().at()
	reused := map[string]bool{}
	// Not when the round began: that may be hours ago.
	made := k.e.o.Clock().UTC().Truncate(time.Second).Add(time.Second)
	for _, w := range all {
		src := w.u.views[from].rec
		key, again, err := k.key(recordAt{s.Other(), src.ID})
		if err != nil {
			return err
		}
		if s == Left {
			if key, err = k.claim(ctx, w.u, key); err != nil {
				return err
			}
			if key == "" {
				if w.u.meeting != nil && (w.u.meeting.Record != "" || w.u.meeting.Gone) {
					retry(w.u)
				}
				k.raise(&held, w.u, CodeShared)
				continue
			}
		}
		refs, err := k.refer(ctx, s, w.u)
		switch {
		case stops(err):
			return errors.Join(err, k.commit(ctx, held))
		case err != nil:
			w.u.blame(err, CodeLater)
			k.raise(&held, w.u, CodeLater)
			continue
		}
		r, err := k.draft(w.u, s)
		if err != nil {
			w.u.blame(err, CodeField)
			k.raise(&held, w.u, CodeField)
			continue
		}
		r.Refs = refs
		ws = append(ws, w)
		reused[key] = again
		drafts = append(drafts, connectors.Draft{Record: r, Key: key})
		announce.Begin = append(announce.Begin, Intent{Key: key, Kind: k.kind, Side: s, SourceID: src.ID, Rev: src.Rev,
			Check: check(key, r, k.carried(s))})
		if l := w.u.link; l != nil { // its partner is gone: the new one takes the place
			announce.Drop = append(announce.Drop, l.Number)
			// So an earlier create that led to this link is over too. Kept open, it
			// would link the two again, one of them gone, and the new one be nobody's.
			for i, id := range l.ID {
				if key, ok := k.foundBy[recordAt{Side(i + 1), id}]; ok {
					announce.End = append(announce.End, key)
				}
			}
		}
	}
	if err := k.commit(ctx, held); err != nil || len(ws) == 0 {
		return err
	}
	if err := k.gate(ctx); err != nil {
		return fmt.Errorf("create %s: %w", s, err)
	}
	if err := k.st.Commit(ctx, announce); err != nil {
		return err
	}
	if k.e.o.Clock().Sub(made) > k.e.o.Settle/2 {
		// Whoever takes over would soon stop waiting for a call that has not even
		// left. It does not leave, and the next round decides.
		var late Batch
		for i, w := range ws {
			if key := drafts[i].Key; !reused[key] {
				late.End = append(late.End, key)
			}
			w.u.detail = "the announcement took too long to be stored"
			k.raise(&late, w.u, CodeLater)
		}
		return k.commit(ctx, late)
	}
	res, err := k.p.conn(s).Create(ctx, k.kind, drafts)
	if err != nil {
		// Nothing is known of any of them; the next round finds out.
		return fmt.Errorf("create %s: %w", s, err)
	}
	var b Batch
	var lost []string
	spent := map[string]bool{}
	var stop error
	var learn []learning
	for i, w := range ws {
		u, key := w.u, drafts[i].Key
		u.link = nil
		u.views[s.at()] = view{}
		switch err := res[i].Err; {
		case err == nil:
			k.rep.Created[s.at()]++
			u.views[s.at()].id = res[i].ID
			learn = append(learn, learning{w: w, id: res[i].ID, rev: res[i].Rev, want: drafts[i].Record, key: key})
		case errors.Is(err, connectors.ErrUnknownOutcome), errors.Is(err, connectors.ErrExists):
			lost = append(lost, key)
			spent[key] = reused[key] && errors.Is(err, connectors.ErrExists)
		default:
			b.End = append(b.End, key)
			stop = k.refused(&b, u, err, retry, stop)
		}
	}
	k.learn(ctx, s, learn, k.carried(s))
	for _, x := range learn {
		l := k.linkOf(x.w.u, Linked)
		l.Origin, l.Rev[s.at()] = s.Other(), x.rev
		if err := k.register(ctx, x.w.u, l.ID[0], wrote0(s, l)); err != nil {
			return errors.Join(err, k.commit(ctx, b))
		}
		b.End = append(b.End, x.key)
		b.Put = append(b.Put, k.merged(l, x.w, x.w.u.views[from].rec))
		k.carriedOver(&b, x.w.u)
	}
	if err := k.commit(ctx, b); err != nil {
		return err
	}
	if stop != nil {
		return fmt.Errorf("create %s: %w", s, stop)
	}
	return k.settle(ctx, s, lost, spent, ws, drafts, announce.Begin)
}

// draft is what a record of the other side becomes on a side where it is new.
func (k *kindRound) draft(u *unit, s Side) (*connectors.Record, error) {
	src, err := k.t.says(s, u.views[s.Other().at()].rec, true)
	if err != nil {
		return nil, err
	}
	r := connectors.NewRecord(k.kind)
	connectors.CopyFields(r, src, k.t.carries(s, k.carried(s)), k.t.shared)
	if s == Right {
		if k.t.marks() {
			r.SetCategories([]string{k.t.rule.Policy.Mark})
		}
		k.t.reminds(r)
	}
	return r, nil
}

// wrote0 is the revision of a record that was just created in the CRM.
func wrote0(s Side, l Link) string {
	if s == Left {
		return l.Rev[0]
	}
	return ""
}

// carried are the fields that a draft or an edit for a side can carry.
func (k *kindRound) carried(s Side) []connectors.Field {
	var out []connectors.Field
	for _, f := range k.t.shared {
		if !k.t.caps[s.at()].Fields[f].ReadOnly {
			out = append(out, f)
		}
	}
	return out
}

// learning is a record that was just written, about which more has to be known.
type learning struct {
	w    work
	id   string
	rev  string // as the answer said; "" if it did not
	want *connectors.Record
	key  string
}

// learn reads records that were just written where their revision is not known,
// or the UID that a calendar gave to a meeting. A revision counts as that of our
// write only if the record says what was written: else somebody was faster, and
// what he did is news to the next round.
func (k *kindRound) learn(ctx context.Context, s Side, ls []learning, fields []connectors.Field) {
	var want []*learning
	for i := range ls {
		u := ls[i].w.u
		if ls[i].rev == "" || s == Right && k.table != nil && u.uid == "" && meetingIn(u) != nil {
			want = append(want, &ls[i])
		}
	}
	for chunk := range slices.Chunk(want, max(1, min(k.t.caps[s.at()].Batch, connectors.MaxItems))) {
		ids := make([]string, len(chunk))
		for i, x := range chunk {
			ids[i] = x.id
		}
		rs, err := k.p.conn(s).Get(ctx, k.kind, ids)
		if err != nil {
			return // unknown it stays
		}
		for i, x := range chunk {
			r := rs[i].Record
			if r == nil {
				continue
			}
			if x.rev == "" && len(connectors.Diff(r, x.want, fields)) == 0 {
				x.rev = r.Rev
			}
			if a := r.Appointment; a != nil && s == Right && k.table != nil && a.UID != "" {
				x.w.u.uid = k.table.hash("uid "+k.kind.String(), a.UID)
			}
		}
	}
}

// keyPrefix begins every create key.
const keyPrefix = "lk-"

// key returns the key under which a record is created: that of an earlier try
// whose outcome is not known, so that a system which refuses a second record
// with the same key does so, or else a fresh one.
func (k *kindRound) key(source recordAt) (key string, again bool, err error) {
	if key, ok := k.unsettled[source]; ok {
		delete(k.unsettled, source)
		return key, true, nil
	}
	var b [16]byte
	if _, err := io.ReadFull(k.e.o.Rand, b[:]); err != nil {
		return "", false, err
	}
	return keyPrefix + hex.EncodeToString(b[:]), false, nil
}

// settle looks for creates whose answer was lost. What is not found stays
// announced: it may become visible later. But a key that is spent, which the system
// refused long after it was first sent and that no record carries, is that of a
// record that was made and removed since: the next create takes another.
func (k *kindRound) settle(ctx context.Context, s Side, lost []string, spent map[string]bool, ws []work, drafts []connectors.Draft, announced []Intent) error {
	if len(lost) == 0 {
		return nil
	}
	found, err := k.p.conn(s).Find(ctx, k.kind, lost)
	if err != nil {
		return fmt.Errorf("create %s: find: %w", s, err)
	}
	looked := k.e.o.Clock()
	var b Batch
	for i, w := range ws {
		key := drafts[i].Key
		if !slices.Contains(lost, key) {
			continue
		}
		hits := found[key]
		if len(hits) == 0 && spent[key] {
			b.End = append(b.End, key)
			w.u.detail = "the first copy was removed before it was found"
			k.raise(&b, w.u, CodeLater)
			continue
		}
		if len(hits) == 0 {
			b.Begin = append(b.Begin, missed(announced[i], looked))
			k.raise(&b, w.u, CodeUnknown)
			continue
		}
		rev, err := k.copyRev(ctx, s, hits[0].ID, key, check(key, drafts[i].Record, k.carried(s)))
		if err != nil {
			return err
		}
		k.rep.Created[s.at()]++
		w.u.views[s.at()].id = hits[0].ID
		l := k.linkOf(w.u, Linked)
		l.Origin, l.Rev[s.at()] = s.Other(), rev
		if err := k.register(ctx, w.u, l.ID[0], wrote0(s, l)); err != nil {
			return err
		}
		b.End = append(b.End, key)
		b.Put = append(b.Put, k.merged(l, w, w.u.views[s.Other().at()].rec))
		k.solve(&b, w.u)
		if len(hits) > 1 {
			k.raise(&b, w.u, CodeDuplicate)
		}
	}
	return k.commit(ctx, b)
}

// copyRev returns the revision of a copy that was found by its key, if it still
// says what the draft said, and "" if somebody edited it since or it cannot be
// read: then it counts as changed.
func (k *kindRound) copyRev(ctx context.Context, s Side, id, key string, want uint16) (string, error) {
	rs, err := k.p.conn(s).Get(ctx, k.kind, []string{id})
	if err != nil {
		return "", fmt.Errorf("read %s: %w", s, err)
	}
	if r := rs[0].Record; r != nil && check(key, r, k.carried(s)) == want {
		return r.Rev, nil
	}
	return "", nil
}

// refused sorts a failed write: an issue, another look, or the end of the work
// on this kind.
func (k *kindRound) refused(b *Batch, u *unit, err error, retry func(*unit), stop error) error {
	switch {
	case errors.Is(err, connectors.ErrPrecondition), errors.Is(err, connectors.ErrNotFound):
		retry(u)
	case stops(err):
		u.blame(err, CodeLater)
		k.raise(b, u, CodeLater)
		return err
	case errors.Is(err, connectors.ErrUnavailable), errors.Is(err, connectors.ErrUnknownOutcome):
		u.blame(err, CodeLater)
		k.raise(b, u, CodeLater)
	case errors.Is(err, connectors.ErrInvalid):
		u.blame(err, CodeField)
		k.raise(b, u, CodeField)
	default:
		u.blame(err, CodeRefused)
		k.raise(b, u, CodeRefused)
	}
	return stop
}

// update writes fields to one side or both and remembers the new revisions. A
// crash in between is harmless: the next round finds both sides alike.
func (k *kindRound) update(ctx context.Context, ws []work, retry func(*unit)) error {
	failed := map[*unit]bool{}
	rev := map[*unit]*[2]string{}
	for _, w := range ws {
		rev[w.u] = &[2]string{w.u.views[0].rec.Rev, w.u.views[1].rec.Rev}
	}
	var b Batch
	var stop error
	for _, s := range []Side{Left, Right} {
		var sel []work
		var edits []connectors.Edit
		for _, w := range ws {
			if fs := w.st.write[s.at()]; len(fs) > 0 && !failed[w.u] && stop == nil {
				there := w.u.views[s.at()].rec
				want := there.Clone()
				if s == Left && slices.Contains(fs, connectors.FieldAttendees) && w.u.joins == nil {
					if err := k.guests(ctx, w.u); err != nil {
						failed[w.u] = true
						stop = k.refused(&b, w.u, err, retry, stop)
						continue
					}
				}
				if p := w.u.joins; p != nil {
					if err := k.bring(ctx, w.u, *p); err != nil {
						stop, failed[w.u] = err, true
						continue
					}
					want.Appointment.Attendees = append(slices.Clone(w.u.raw[0].Appointment.Attendees), *p)
				} else {
					w.st.copies(want, w.u.views[s.Other().at()].rec, fs, k.t.shared)
					if slices.Contains(fs, connectors.FieldAttendees) && s == Left {
						want.Appointment.Attendees = append(want.Appointment.Attendees, w.u.extra...)
					}
				}
				if s == Right && k.t.reminds(want) {
					fs = append(slices.Clone(fs), connectors.FieldReminder)
				}
				sel = append(sel, w)
				edits = append(edits, connectors.Edit{ID: there.ID, Rev: there.Rev, Record: want, Fields: fs})
			}
		}
		if len(sel) == 0 {
			continue
		}
		err := k.gate(ctx)
		var res []connectors.Written
		if err == nil {
			res, err = k.p.conn(s).Update(ctx, k.kind, edits)
		}
		if err != nil {
			stop = fmt.Errorf("update %s: %w", s, err)
			for _, w := range sel {
				failed[w.u] = true
			}
			continue
		}
		var learn []learning
		for i, w := range sel {
			if err := res[i].Err; err != nil {
				failed[w.u] = true
				stop = k.refused(&b, w.u, err, retry, stop)
				continue
			}
			k.rep.Updated[s.at()]++
			learn = append(learn, learning{w: w, id: edits[i].ID, rev: res[i].Rev, want: edits[i].Record})
		}
		k.learn(ctx, s, learn, k.carried(s))
		for _, x := range learn {
			rev[x.w.u][s.at()] = x.rev
		}
	}
	for _, w := range ws {
		if failed[w.u] || stop != nil && !wrote(w, rev[w.u]) {
			continue
		}
		if w.u.link == nil {
			k.rep.Linked++
		}
		l := k.linkOf(w.u, Linked)
		l.Rev = *rev[w.u]
		rev0 := ""
		switch m := w.u.meeting; {
		case len(w.st.write[0]) == 0:
		case w.u.joins != nil && m.Rev == w.u.views[0].rec.Rev, w.u.joins == nil && len(w.st.apart) == 0:
			rev0 = l.Rev[0] // nothing of what a person wrote into the record is left or was there
		}
		if err := k.register(ctx, w.u, l.ID[0], rev0); err != nil {
			return errors.Join(err, k.commit(ctx, b))
		}
		both := w.u.views[0].rec
		if len(w.st.write[0]) > 0 && w.u.joins == nil {
			both = both.Clone()
			w.st.copies(both, w.u.views[1].rec, w.st.write[0], k.t.shared)
		}
		b.Put = append(b.Put, k.merged(l, w, both))
		k.carriedOver(&b, w.u)
		if k.brake.approved > 0 && k.brake.used {
			b.Approve = map[connectors.Kind]int{k.kind: 0} // an approval serves once
		}
	}
	return errors.Join(k.commit(ctx, b), stop)
}

// bring notes, before it is written, that a party is put into a record by way of
// this mailbox.
func (k *kindRound) bring(ctx context.Context, u *unit, p connectors.Party) error {
	h := k.table.party(p.Address)
	if slices.Contains(strings.Fields(u.meeting.Parties), h) {
		return nil
	}
	m := *u.meeting
	m.Parties = strings.TrimSpace(m.Parties + " " + h)
	err := k.table.put(ctx, &m)
	if errors.Is(err, errRaced) {
		return fmt.Errorf("%w: %w", &connectors.Error{Op: "update", Kind: k.kind, Class: connectors.ErrUnavailable, Detail: "another mailbox was faster"}, err)
	}
	if err == nil {
		u.meeting = &m
	}
	return err
}

// wrote reports whether every write of a work went through.
func wrote(w work, rev *[2]string) bool {
	for i, fs := range w.st.write {
		if len(fs) > 0 && rev[i] == w.u.views[i].rec.Rev {
			return false
		}
	}
	return true
}

// remove deletes records on a side.
func (k *kindRound) remove(ctx context.Context, s Side, ws []work, retry func(*unit)) error {
	ts := make([]connectors.Target, len(ws))
	for i, w := range ws {
		r := w.u.views[s.at()].rec
		ts[i] = connectors.Target{ID: r.ID, Rev: r.Rev}
	}
	err := k.gate(ctx)
	var res []connectors.Written
	if err == nil {
		res, err = k.p.conn(s).Delete(ctx, k.kind, ts)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", s, err)
	}
	var b Batch
	var stop error
	for i, w := range ws {
		if err := res[i].Err; err != nil && !errors.Is(err, connectors.ErrNotFound) {
			stop = k.refused(&b, w.u, err, retry, stop)
			continue
		}
		k.rep.Deleted[s.at()]++
		if s == Left {
			if err := k.bury(ctx, w.u); err != nil {
				return errors.Join(err, k.commit(ctx, b))
			}
		}
		b.Approve = map[connectors.Kind]int{k.kind: 0} // an approval serves once
		b.Drop = append(b.Drop, w.u.link.Number)
		k.solve(&b, w.u)
	}
	return errors.Join(k.commit(ctx, b), stop)
}

// cancel marks records in the CRM as cancelled and lets go of them.
func (k *kindRound) cancel(ctx context.Context, ws []work, retry func(*unit)) error {
	es := make([]connectors.Edit, len(ws))
	for i, w := range ws {
		r := w.u.views[0].rec.Clone()
		r.Appointment.Status = connectors.Cancelled
		es[i] = connectors.Edit{ID: r.ID, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldStatus}}
	}
	err := k.gate(ctx)
	var res []connectors.Written
	if err == nil {
		res, err = k.p.Left.Update(ctx, k.kind, es)
	}
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	var b Batch
	var stop error
	for i, w := range ws {
		if err := res[i].Err; err != nil {
			stop = k.refused(&b, w.u, err, retry, stop)
			continue
		}
		k.rep.Updated[0]++
		l := k.linkOf(w.u, Unlinked)
		l.ID[1], l.Rev[0] = "", res[i].Rev
		b.Put = append(b.Put, l)
		k.solve(&b, w.u)
	}
	return errors.Join(k.commit(ctx, b), stop)
}
