package sync

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
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
	done := 0
	each := func(match func(work) bool, size int, do func([]work) error) error {
		var sel []work
		for _, w := range ws {
			if match(w) {
				sel = append(sel, w)
			}
		}
		for chunk := range slices.Chunk(sel, max(1, min(size, connectors.MaxItems))) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(chunk); err != nil {
				return err
			}
			done += len(chunk)
			k.progress(k.kind, Writing, done, len(ws))
		}
		return nil
	}
	err := each(func(w work) bool { return w.st.op != Create && w.st.op != Delete && !writes(w.st) }, 500, func(c []work) error { return k.remember(ctx, c) })
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
	for _, s := range []Side{Left, Right} {
		if err == nil {
			err = each(func(w work) bool { return w.st.op == Delete && w.st.side == s }, k.t.caps[s.at()].Batch,
				func(c []work) error { return k.remove(ctx, s, c, retry) })
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
	if k.known(u) != nil {
		b.Solve = append(b.Solve, Trouble{Kind: k.kind, ID: [2]string{u.views[0].id, u.views[1].id}})
	}
}

// linkOf returns the link that a unit has now that both sides are as seen.
func (k *kindRound) linkOf(u *unit, state LinkState) Link {
	l := Link{Kind: k.kind, Origin: Left}
	if u.link != nil {
		l = *u.link
	}
	l.State, l.Seen = state, k.now
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
			b.Put = append(b.Put, k.linkOf(u, Linked))
			k.solve(&b, u)
		case Forget:
			b.Drop = append(b.Drop, u.link.Number)
			k.solve(&b, u)
		case Drop:
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
			b.Put = append(b.Put, k.linkOf(u, Conflicted))
			k.raise(&b, u, w.st.code)
			k.rep.Conflicts++
		case Hold:
			k.raise(&b, u, w.st.code)
		}
	}
	return k.commit(ctx, b)
}

// create makes records on a side. The intents are durable before anything is
// sent and end together with what they led to.
func (k *kindRound) create(ctx context.Context, s Side, ws []work, retry func(*unit)) error {
	var announce Batch
	drafts := make([]connectors.Draft, len(ws))
	reused := map[string]bool{}
	// Not when the round began: that may be hours ago.
	made := k.e.o.Clock().UTC().Truncate(time.Second).Add(time.Second)
	from := s.Other().at()
	for i, w := range ws {
		src := w.u.views[from].rec
		key, again, err := k.key(recordAt{s.Other(), src.ID})
		if err != nil {
			return err
		}
		r := connectors.NewRecord(k.kind)
		for _, f := range k.t.shared {
			if !k.t.caps[s.at()].Fields[f].ReadOnly {
				connectors.CopyField(r, src, f)
			}
		}
		drafts[i] = connectors.Draft{Record: r, Key: key}
		reused[key] = again
		announce.Begin = append(announce.Begin, Intent{Key: drafts[i].Key, Kind: k.kind, Side: s, SourceID: src.ID, Rev: src.Rev, Made: made})
		if w.u.link != nil { // its partner is gone: the new one takes the place
			announce.Drop = append(announce.Drop, w.u.link.Number)
		}
	}
	if err := k.st.Commit(ctx, announce); err != nil {
		return err
	}
	res, err := k.p.conn(s).Create(ctx, k.kind, drafts)
	if err != nil {
		// Nothing is known of any of them; the next round finds out.
		return fmt.Errorf("create %s: %w", s, err)
	}
	want := make([]*connectors.Record, len(ws))
	for i := range ws {
		want[i] = drafts[i].Record
	}
	k.learn(ctx, s, res, want)
	var b Batch
	var lost []string
	spent := map[string]bool{}
	var stop error
	for i, w := range ws {
		u, key := w.u, drafts[i].Key
		u.link = nil
		u.views[s.at()] = view{}
		switch err := res[i].Err; {
		case err == nil:
			k.rep.Created[s.at()]++
			b.End = append(b.End, key)
			u.views[s.at()].id = res[i].ID
			l := k.linkOf(u, Linked)
			l.Origin, l.Rev[s.at()] = s.Other(), res[i].Rev
			b.Put = append(b.Put, l)
			k.solve(&b, u)
		case errors.Is(err, connectors.ErrUnknownOutcome), errors.Is(err, connectors.ErrExists):
			lost = append(lost, key)
			spent[key] = reused[key] && errors.Is(err, connectors.ErrExists)
		default:
			b.End = append(b.End, key)
			stop = k.refused(&b, u, err, retry, stop)
		}
	}
	if err := k.commit(ctx, b); err != nil {
		return err
	}
	if stop != nil {
		return fmt.Errorf("create %s: %w", s, stop)
	}
	return k.settle(ctx, s, lost, spent, ws, drafts)
}

// learn finds the revisions that a system did not say when it wrote. A record that
// says something else by now was edited meanwhile, and its revision stays unknown:
// that counts as changed.
func (k *kindRound) learn(ctx context.Context, s Side, res []connectors.Written, want []*connectors.Record) {
	var at []int
	var ids []string
	for i, w := range res {
		if w.Err == nil && w.Rev == "" && w.ID != "" {
			at, ids = append(at, i), append(ids, w.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	rs, err := k.p.conn(s).Get(ctx, k.kind, ids)
	if err != nil {
		return // unknown it stays
	}
	var written []connectors.Field
	for _, f := range k.t.shared {
		if !k.t.caps[s.at()].Fields[f].ReadOnly {
			written = append(written, f)
		}
	}
	for n, i := range at {
		if r := rs[n].Record; r != nil && len(connectors.Diff(r, want[i], written)) == 0 {
			res[i].Rev = r.Rev
		}
	}
}

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
	return "lk-" + hex.EncodeToString(b[:]), false, nil
}

// settle looks for creates whose answer was lost. What is not found stays
// announced: it may become visible later. But a key that is spent, which the system
// refused long after it was first sent and that no record carries, is that of a
// record that was made and removed since: the next create takes another.
func (k *kindRound) settle(ctx context.Context, s Side, lost []string, spent map[string]bool, ws []work, drafts []connectors.Draft) error {
	if len(lost) == 0 {
		return nil
	}
	found, err := k.p.conn(s).Find(ctx, k.kind, lost)
	if err != nil {
		return fmt.Errorf("create %s: find: %w", s, err)
	}
	var b Batch
	for i, w := range ws {
		if !slices.Contains(lost, drafts[i].Key) {
			continue
		}
		hits := found[drafts[i].Key]
		if len(hits) == 0 {
			if spent[drafts[i].Key] {
				b.End = append(b.End, drafts[i].Key)
				w.u.detail = "the first copy was removed before it was found"
				k.raise(&b, w.u, CodeLater)
				continue
			}
			k.raise(&b, w.u, CodeUnknown)
			continue
		}
		k.rep.Created[s.at()]++
		b.End = append(b.End, drafts[i].Key)
		w.u.views[s.at()].id = hits[0].ID
		l := k.linkOf(w.u, Linked)
		l.Origin, l.Rev[s.at()] = s.Other(), "" // it may have been edited already
		b.Put = append(b.Put, l)
		k.solve(&b, w.u)
		if len(hits) > 1 {
			k.raise(&b, w.u, CodeDuplicate)
		}
	}
	return k.commit(ctx, b)
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
				for _, f := range fs {
					connectors.CopyField(want, w.u.views[s.Other().at()].rec, f)
				}
				sel = append(sel, w)
				edits = append(edits, connectors.Edit{ID: there.ID, Rev: there.Rev, Record: want, Fields: fs})
			}
		}
		if len(sel) == 0 {
			continue
		}
		res, err := k.p.conn(s).Update(ctx, k.kind, edits)
		if err != nil {
			stop = fmt.Errorf("update %s: %w", s, err)
			for _, w := range sel {
				failed[w.u] = true
			}
			continue
		}
		want := make([]*connectors.Record, len(sel))
		for i := range sel {
			want[i] = edits[i].Record
		}
		k.learn(ctx, s, res, want)
		for i, w := range sel {
			if err := res[i].Err; err != nil {
				failed[w.u] = true
				stop = k.refused(&b, w.u, err, retry, stop)
				continue
			}
			k.rep.Updated[s.at()]++
			rev[w.u][s.at()] = res[i].Rev
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
		b.Put = append(b.Put, l)
		k.solve(&b, w.u)
	}
	return errors.Join(k.commit(ctx, b), stop)
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
	res, err := k.p.conn(s).Delete(ctx, k.kind, ts)
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
		b.Approve = map[connectors.Kind]int{k.kind: 0} // an approval serves once
		b.Drop = append(b.Drop, w.u.link.Number)
		k.solve(&b, w.u)
	}
	return errors.Join(k.commit(ctx, b), stop)
}
