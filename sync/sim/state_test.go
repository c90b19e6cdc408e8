package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

var errDiskFull = errors.New("simulated: disk full")

// disk is where the states are: the real store in memory, with a process that
// may die before or after each commit, a disk that may be full, and backups.
type disk struct {
	w       *world
	m       *lksync.Memory
	past    map[lksync.PairID][]lksync.Batch // every commit, so that an earlier state can be made again
	commits int
}

var _ lksync.StateStore = (*disk)(nil)

// Open implements StateStore.
func (d *disk) Open(ctx context.Context, id lksync.PairID) (lksync.State, error) {
	st, err := d.m.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return &state{st, d, id}, nil
}

// announced reports whether a create is waited for, or on its way.
func (d *disk) announced(id lksync.PairID) bool {
	open := map[string]bool{}
	for _, b := range d.past[id] {
		for _, in := range b.Begin {
			open[in.Key] = true
		}
		for _, key := range b.End {
			delete(open, key)
		}
	}
	return len(open) > 0
}

type state struct {
	lksync.State
	d  *disk
	id lksync.PairID
}

// Commit implements State.
func (s *state) Commit(ctx context.Context, b lksync.Batch) error {
	w := s.d.w
	if len(b.Put)+len(b.Drop)+len(b.Begin)+len(b.End)+len(b.Raise)+len(b.Solve)+len(b.Cursors)+len(b.Sweeps)+len(b.Approve) == 0 {
		return s.State.Commit(ctx, b) // nothing that could be lost
	}
	f := w.boundary(false, "commit")
	w.judgeBatch(b)
	if f.class != nil && !f.after {
		w.note("  fault: disk full")
		return f.class
	}
	err := s.State.Commit(ctx, b)
	w.noteBatch(b, err)
	if err == nil {
		s.d.commits++
		s.d.past[s.id] = append(s.d.past[s.id], b)
		w.told(b)
	} else if errors.Is(err, lksync.ErrFenced) {
		w.some(fenced)
	}
	if f.crash {
		w.crash("after commit")
	}
	if f.after {
		w.note("  fault: disk full, and committed")
		return errors.Join(err, f.class)
	}
	return err
}

// calendarTable is the table of meetings: the real one in memory, behind the same disk.
type calendarTable struct {
	*lksync.MemoryMeetings
	w *world
}

var _ lksync.MeetingStore = calendarTable{}

// PutMeeting implements lksync.MeetingStore.
func (s calendarTable) PutMeeting(ctx context.Context, crm authz.Resource, m lksync.Meeting) (bool, error) {
	w := s.w
	f := w.boundary(false, "put meeting")
	w.leaks("the table of meetings", m.Hash, m.Record, m.Key, m.Rev, m.Parties)
	if f.class != nil {
		w.some(tableFaults)
		w.note("  fault: disk full")
		return false, f.class
	}
	ok, err := s.MemoryMeetings.PutMeeting(ctx, crm, m)
	w.note("  meeting %s: record %q lead %s host %v rev %s gone %v: %v %v", m.Hash[:6], m.Record, m.Lead, m.Host, m.Rev, m.Gone, ok, err)
	if f.crash {
		w.crash("after put meeting")
	}
	return ok, err
}

// restore puts the state of one mailbox back to what it was some commits ago.
func (w *world) restore(r *rand.Rand) {
	m := r.IntN(len(w.boxes))
	id := w.pairs[m].ID
	past := w.disk.past[id]
	if len(past) == 0 {
		return
	}
	w.some(restores)
	w.count.steps++
	n := r.IntN(len(past))
	w.note("the state of mailbox %d goes back from commit %d to %d", m, len(past), n)
	fresh := &lksync.Memory{}
	for i, p := range w.pairs { // the others keep what they have
		upto := w.disk.past[p.ID]
		if i == m {
			upto = past[:n]
			w.disk.past[id] = upto
		}
		st, err := fresh.Open(w.ctx, p.ID)
		if err != nil {
			panic(err)
		}
		for _, b := range upto {
			if err := st.Commit(w.ctx, b); err != nil {
				panic(err)
			}
		}
	}
	w.disk.m = fresh
	for _, t := range w.things {
		t.restored |= 1 << m
	}
}

// judgeBatch looks for content and for what belongs to another mailbox.
func (w *world) judgeBatch(b lksync.Batch) {
	id := func(ids [2]string) {
		w.leaks("an id", ids[0], ids[1])
		if r := ids[1]; r != "" && !strings.HasPrefix(r, w.boxes[w.box].name+"-") {
			w.violate("I6", "id %s in the store of mailbox %d", r, w.box)
		}
		if it := w.crm.byID[ids[0]]; it != nil && it.what.users&(1<<w.box) == 0 {
			w.violate("I6", "CRM record %s, which mailbox %d's user never saw, in its store", ids[0], w.box)
		}
	}
	for _, l := range b.Put {
		id(l.ID)
		w.leaks("a link", l.Rev[0], l.Rev[1])
	}
	for _, in := range b.Begin {
		w.leaks("an intent", in.Key, in.SourceID, in.Rev)
	}
	for _, t := range b.Raise {
		id(t.ID)
		w.leaks("an issue", t.Detail, string(t.Field))
		if n := thingIn(t.Name); n >= 0 && w.things[n].users&(1<<w.box) == 0 {
			w.violate("I6", "a name from elsewhere in the store of mailbox %d", w.box)
		}
	}
	for _, p := range b.Cursors {
		w.leaks("a cursor", p.Cursor)
	}
}

func (w *world) noteBatch(b lksync.Batch, err error) {
	w.hash(uint64(len(b.Put))<<40 | uint64(len(b.Drop))<<32 | uint64(len(b.Begin))<<24 | uint64(len(b.End))<<16 | uint64(len(b.Raise))<<8 | uint64(len(b.Solve)))
	if !w.tell {
		return
	}
	for _, l := range b.Put {
		w.note("  link %d: %s@%s = %s@%s state %d", l.Number, l.ID[0], l.Rev[0], l.ID[1], l.Rev[1], l.State)
	}
	for _, n := range b.Drop {
		w.note("  drop link %d", n)
	}
	for _, t := range b.Raise {
		w.note("  issue %s about %v %s", t.Code, t.ID, t.Detail)
	}
	for _, t := range b.Solve {
		w.note("  solved: %v", t.ID)
	}
	w.note("  commit: %d put, %d begin, %d end, %d cursors: %v", len(b.Put), len(b.Begin), len(b.End), len(b.Cursors), err)
}
