package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// FilePair remembers two attachments that are one file. A side whose id is ""
// has it no longer, or never had it, and does not get it.
type FilePair struct {
	ID       [2]string
	Rev      [2]string
	Replaced bool `json:",omitempty"` // another has taken its place, and it is to go from the side that still has it
}

// fileWork is what the files of one record need.
type fileWork struct {
	u     *unit
	link  Link
	lists [2][]*connectors.Attachment
	steps []fileStep
}

type fileOp uint8

const (
	pairFiles fileOp = iota + 1 // remember that two are one
	swapFiles                   // the same of one whose new content is on side already, beside the old one
	copyFile                    // attach on side what the other side has
	dropFile                    // detach on side
	keepFile                    // its partner was deleted, and it stays
	forgetFile
	refuseFile
)

// fileStep is one thing to do. A pair has an index in the link, -1 if it is new.
type fileStep struct {
	op   fileOp
	side Side
	pair int
	file [2]*connectors.Attachment
	why  string
}

// files brings the attachments of records into line once the records are. What
// is to be done follows from the lists that came with the records, so a crash or
// a lost answer leaves nothing to remember: what was attached is recognised by
// name and size.
func (k *kindRound) files(ctx context.Context, us []*unit) error {
	p := k.t.rule.Policy
	if p == nil || p.Files == nil || k.last {
		return nil
	}
	var todo []fileWork
	drops := 0
	for _, u := range us {
		w, err := k.filesOf(ctx, u)
		if err != nil {
			return err
		}
		for _, st := range w.steps {
			if st.op == dropFile && !w.link.Files[st.pair].Replaced {
				drops++
			}
		}
		if len(w.steps) > 0 {
			todo = append(todo, w)
		}
	}
	held := drops > k.e.o.BrakeCount && drops > k.brake.approved
	if held {
		k.report.Held = fmt.Sprintf("%d deletions of files of %s at once: held until approved", drops, k.kind)
	}
	for _, w := range todo {
		if err := k.carryFiles(ctx, w, held); err != nil {
			return err
		}
	}
	if drops > 0 && !held && k.brake.approved > 0 {
		return k.commit(ctx, Batch{Approve: map[connectors.Kind]int{k.kind: 0}})
	}
	return nil
}

// filesOf finds out what the files of a record need.
func (k *kindRound) filesOf(ctx context.Context, u *unit) (fileWork, error) {
	w := fileWork{u: u}
	known := u.link != nil && len(u.link.Files) > 0
	for i, r := range u.raw {
		if r != nil {
			w.lists[i] = r.Attachments
		}
	}
	if u.trouble != "" || u.mask || !known && len(w.lists[0])+len(w.lists[1]) == 0 || u.views[0].id == "" || u.views[1].id == "" {
		return fileWork{}, nil
	}
	l, ok, err := k.st.Find(ctx, k.kind, Left, u.views[0].id)
	if err != nil || !ok || l.State != Linked || l.ID[1] != u.views[1].id || l.Rev[0] == "" || l.Rev[1] == "" {
		return fileWork{}, err
	}
	w.link = l
	w.steps = planFiles(l.Files, w.lists, k.mayFile(u, Left), k.mayFile(u, Right), k.t)
	return w, nil
}

// mayFile reports whether files may be written to a side of a record: where its
// fields may, and never to an appointment in the mailbox that others take part in,
// whom some systems tell of each file.
func (k *kindRound) mayFile(u *unit, s Side) bool {
	switch {
	case k.t.rule.Direction == ToLeft && s == Right, k.t.rule.Direction == ToRight && s == Left:
		return false
	case s == Right:
		return u.role == NoRole
	}
	return u.role == NoRole || u.lead
}

// planFiles decides for the files of one record: a pure function of what is
// remembered and the lists of both sides.
func planFiles(pairs []FilePair, lists [2][]*connectors.Attachment, toLeft, toRight bool, t terms) []fileStep {
	may := [2]bool{toLeft, toRight}
	at := func(i int, id string) *connectors.Attachment {
		for _, a := range lists[i] {
			if a.ID == id && id != "" {
				return a
			}
		}
		return nil
	}
	var out []fileStep
	paired := [2]map[string]bool{{}, {}}
	for _, p := range pairs {
		paired[0][p.ID[0]], paired[1][p.ID[1]] = true, true
	}
	for n, p := range pairs {
		f := [2]*connectors.Attachment{at(0, p.ID[0]), at(1, p.ID[1])}
		switch {
		case f[0] == nil && f[1] == nil:
			out = append(out, fileStep{op: forgetFile, pair: n})
		case p.Replaced:
			s := Left
			if f[0] == nil {
				s = Right
			}
			out = append(out, fileStep{op: dropFile, side: s, pair: n, file: f})
		case p.ID[0] == "" || p.ID[1] == "": // left alone
		case f[0] != nil && f[1] != nil:
			moved := [2]bool{f[0].Rev != p.Rev[0], f[1].Rev != p.Rev[1]}
			switch {
			case moved[0] && moved[1]:
				if f[0].Name == f[1].Name && f[0].Size == f[1].Size {
					out = append(out, fileStep{op: pairFiles, pair: n, file: f})
				} else {
					out = append(out, fileStep{op: refuseFile, pair: n, file: f, why: "it was changed on both sides"})
				}
			case moved[0] || moved[1]: // the new content beside the old one, then the old one goes
				s := map[bool]Side{true: Right, false: Left}[moved[0]]
				if b := twin(f[s.Other().at()], lists[s.at()], paired[s.at()]); b != nil { // an answer was lost
					paired[s.at()][b.ID] = true
					f[s.at()] = b
					out = append(out, fileStep{op: swapFiles, side: s, pair: n, file: f})
				} else if st := t.copies(s, n, f, may); st.op == copyFile && t.caps[s.at()].Attachments.Delete {
					out = append(out, st)
				} else if st.op == refuseFile {
					out = append(out, st)
				}
			}
		default:
			s := Left // where it still is
			if f[0] == nil {
				s = Right
			}
			op := keepFile
			if t.rule.Deletes == Propagate && may[s.at()] && t.caps[s.at()].Attachments.Delete && f[s.at()].Rev == p.Rev[s.at()] {
				op = dropFile
			}
			out = append(out, fileStep{op: op, side: s, pair: n, file: f})
		}
	}
	for _, a := range lists[0] {
		if paired[0][a.ID] {
			continue
		}
		if b := twin(a, lists[1], paired[1]); b != nil {
			paired[0][a.ID], paired[1][b.ID] = true, true
			out = append(out, fileStep{op: pairFiles, pair: -1, file: [2]*connectors.Attachment{a, b}})
		}
	}
	for i := range lists {
		for _, a := range lists[i] {
			if paired[i][a.ID] {
				continue
			}
			var f [2]*connectors.Attachment
			f[i] = a
			if st := t.copies(Side(i+1).Other(), -1, f, may); st.op != 0 {
				out = append(out, st)
			}
		}
	}
	return out
}

// twin finds the one file of a list that says the same of itself.
func twin(a *connectors.Attachment, list []*connectors.Attachment, taken map[string]bool) *connectors.Attachment {
	for _, b := range list {
		if !taken[b.ID] && a.Name == b.Name && a.Size == b.Size {
			return b
		}
	}
	return nil
}

// copies decides whether a file is carried to a side.
func (t terms) copies(to Side, pair int, f [2]*connectors.Attachment, may [2]bool) fileStep {
	from, there := t.caps[to.Other().at()].Attachments, t.caps[to.at()].Attachments
	if !may[to.at()] || !from.Read || !there.Write {
		return fileStep{}
	}
	a := *f[to.Other().at()]
	st := fileStep{op: copyFile, side: to, pair: pair, file: f}
	if ok, why := t.rule.Policy.Files(a); !ok {
		st.op, st.why = refuseFile, why
	} else if err := there.Fit(a); err != nil {
		st.op, st.why = refuseFile, "the other side does not take it"
		var e *connectors.Error
		if errors.As(err, &e) {
			st.why = e.Detail
		}
	}
	return st
}

// carryFiles does what the files of one record need. Each is remembered before
// the next is touched.
func (k *kindRound) carryFiles(ctx context.Context, w fileWork, held bool) error {
	l := w.link
	l.Files = slices.Clone(l.Files)
	var gone []int
	var b Batch
	trouble := func(code Code, err error, detail string) {
		w.u.blame(err, code)
		if detail != "" {
			w.u.detail = detail
		}
		b = Batch{}
		k.raise(&b, w.u, code)
		w.u.trouble = ""
	}
	save := func() error { return k.commit(ctx, Batch{Put: []Link{l}}) }
	for _, st := range w.steps {
		var err error
		switch st.op {
		case pairFiles:
			p := FilePair{ID: [2]string{st.file[0].ID, st.file[1].ID}, Rev: [2]string{st.file[0].Rev, st.file[1].Rev}}
			if st.pair < 0 {
				l.Files = append(l.Files, p)
			} else {
				l.Files[st.pair] = p
			}
			err = save()
		case swapFiles:
			err = k.swapFile(ctx, &l, st)
		case forgetFile:
			gone = append(gone, st.pair)
		case keepFile:
			l.Files[st.pair].ID[st.side.Other().at()] = ""
			err = save()
		case refuseFile:
			trouble(CodeFile, nil, st.why)
		case copyFile:
			err = k.copyFile(ctx, &l, st)
		case dropFile:
			if held && !l.Files[st.pair].Replaced {
				trouble(CodeBrake, nil, "")
				continue
			}
			if err = k.dropFile(ctx, &l, st.side, l.Files[st.pair].ID[st.side.at()]); err == nil {
				l.Files[st.pair].ID[st.side.at()] = ""
				gone = append(gone, st.pair)
				err = save()
			}
		}
		switch {
		case err == nil:
		case stops(err):
			return fmt.Errorf("files: %w", err)
		case errors.Is(err, connectors.ErrNotFound): // of the source: the next round sees it
		case final(err):
			trouble(CodeFile, err, "")
		default:
			trouble(CodeLater, err, "")
			return k.commit(ctx, b) // the record's revision may be another now
		}
	}
	for _, n := range slices.Backward(slices.Compact(slices.Sorted(slices.Values(gone)))) {
		l.Files = slices.Delete(l.Files, n, n+1)
	}
	if len(gone) > 0 {
		b.Put = append(b.Put, l)
	}
	return k.commit(ctx, b)
}

// copyFile streams one file to a side. The content is never in memory as a whole.
func (k *kindRound) copyFile(ctx context.Context, l *Link, st fileStep) error {
	to, from := st.side.at(), st.side.Other().at()
	if err := k.gate(ctx); err != nil {
		return err
	}
	rc, a, err := k.p.conn(st.side.Other()).OpenAttachment(ctx, k.kind, l.ID[from], st.file[from].ID)
	if err != nil {
		return err
	}
	out, err := k.p.conn(st.side).Attach(ctx, k.kind, connectors.Target{ID: l.ID[to], Rev: l.Rev[to]}, a, rc)
	if err = errors.Join(err, rc.Close()); err != nil {
		return err
	}
	k.rep.Files[to]++
	var p FilePair
	p.ID[from], p.Rev[from] = a.ID, a.Rev
	p.ID[to], p.Rev[to] = out.Attachment.ID, out.Attachment.Rev
	l.Rev[to] = out.Rev // "" where the system does not say: then the next round looks again
	if st.pair < 0 {
		l.Files = append(l.Files, p)
		return k.commit(ctx, Batch{Put: []Link{*l}})
	}
	return k.replaceFile(ctx, l, st, p)
}

// swapFile goes on where an answer was lost after new content was attached.
func (k *kindRound) swapFile(ctx context.Context, l *Link, st fileStep) error {
	var p FilePair
	for i, f := range st.file {
		p.ID[i], p.Rev[i] = f.ID, f.Rev
	}
	return k.replaceFile(ctx, l, st, p)
}

// replaceFile remembers a pair in place of another, whose file then goes from the
// side that was written to. If that fails it is remembered too: as a file that
// nobody knows it would be carried back.
func (k *kindRound) replaceFile(ctx context.Context, l *Link, st fileStep, p FilePair) error {
	to, old := st.side.at(), l.Files[st.pair]
	l.Files[st.pair] = p
	rest := FilePair{Replaced: true}
	rest.ID[to], rest.Rev[to] = old.ID[to], old.Rev[to]
	l.Files = append(l.Files, rest)
	if err := k.commit(ctx, Batch{Put: []Link{*l}}); err != nil {
		return err
	}
	if err := k.dropFile(ctx, l, st.side, old.ID[to]); err != nil {
		return err
	}
	l.Files = slices.Delete(l.Files, len(l.Files)-1, len(l.Files))
	return k.commit(ctx, Batch{Put: []Link{*l}})
}

// dropFile detaches one file and remembers the record's new revision.
func (k *kindRound) dropFile(ctx context.Context, l *Link, s Side, id string) error {
	if err := k.gate(ctx); err != nil {
		return err
	}
	w, err := k.p.conn(s).Detach(ctx, k.kind, connectors.Target{ID: l.ID[s.at()], Rev: l.Rev[s.at()]}, id)
	if err != nil {
		return err
	}
	k.rep.Files[s.at()]++
	l.Rev[s.at()] = w.Rev
	return k.commit(ctx, Batch{Put: []Link{*l}})
}
