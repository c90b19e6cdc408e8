package sync

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// pageSize is how many observed records a round works on at once when there are
// too many to keep in memory.
const pageSize = 400

// gather collects what a round has to look at: in memory, with content, while
// there is little; else on disk, by ids and groups only.
type gather struct {
	k       *kindRound
	by      [2]map[string]*unit
	units   []*unit
	scratch Scratch
	key     []byte                // of the groups, known to nobody else
	late    map[recordAt]struct{} // to be read before their group is known
	ready   []Seen
}

func newGather(k *kindRound) *gather { return &gather{k: k, by: [2]map[string]*unit{{}, {}}} }

func (g *gather) close() error {
	if g.scratch == nil {
		return nil
	}
	return g.scratch.Close()
}

// at returns the unit of a record, new if there is none yet.
func (g *gather) at(ctx context.Context, s Side, id string) (*unit, error) {
	if u := g.by[s.at()][id]; u != nil {
		return u, nil
	}
	u := &unit{}
	l, ok, err := g.k.st.Find(ctx, g.k.kind, s, id)
	if err != nil {
		return nil, err
	}
	if ok {
		u.link = &l
		for i, id := range l.ID {
			if id != "" {
				u.views[i].id = id
				g.by[i][id] = u
			}
		}
	}
	u.views[s.at()].id = id
	g.by[s.at()][id] = u
	g.units = append(g.units, u)
	return u, nil
}

// add takes in a record; its content is used if it came along.
func (g *gather) add(ctx context.Context, s Side, id string, rec *connectors.Record) error {
	if g.scratch != nil {
		return g.put(ctx, s, id, rec)
	}
	u, err := g.at(ctx, s, id)
	if err != nil {
		return err
	}
	u.views[s.at()].rec = rec
	if len(g.units) > g.k.e.o.HoldUpTo {
		return g.spill(ctx)
	}
	return nil
}

// spill moves what was collected to disk.
func (g *gather) spill(ctx context.Context) error {
	var err error
	if g.scratch, err = g.k.st.Scratch(ctx); err != nil {
		return err
	}
	g.key = make([]byte, 32)
	if _, err := rand.Read(g.key); err != nil {
		return err
	}
	g.late, g.k.paged = map[recordAt]struct{}{}, true
	for _, u := range g.units {
		for i, v := range u.views {
			if v.id != "" {
				if err := g.put(ctx, Side(i+1), v.id, v.rec); err != nil {
					return err
				}
			}
		}
	}
	g.units, g.by = nil, [2]map[string]*unit{{}, {}}
	return g.flush(ctx)
}

// put notes a record for a page. What belongs to a link goes by the link; what
// is new goes by what it could be joined by.
func (g *gather) put(ctx context.Context, s Side, id string, rec *connectors.Record) error {
	l, ok, err := g.k.st.Find(ctx, g.k.kind, s, id)
	if err != nil {
		return err
	}
	switch {
	case ok:
		g.ready = append(g.ready, Seen{s, id, g.group("link", strconv.FormatInt(l.Number, 10))})
	case rec == nil:
		g.late[recordAt{s, id}] = struct{}{}
	default:
		group, err := g.groupOf(ctx, s, rec)
		if err != nil {
			return err
		}
		g.ready = append(g.ready, Seen{s, id, group})
	}
	return nil
}

func (g *gather) group(what, s string) string {
	m := hmac.New(sha256.New, g.key)
	m.Write([]byte(what + "\x00" + s))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// groupOf returns the group of a record that has no link: that of the CRM record
// which the table of meetings names, else that of its likes.
func (g *gather) groupOf(ctx context.Context, s Side, rec *connectors.Record) (string, error) {
	if t := g.k.table; t != nil && rec.Appointment != nil {
		var m Meeting
		var ok bool
		var err error
		if s == Left {
			m, ok, err = t.MeetingOf(ctx, t.crm, rec.ID)
		} else if rec.Appointment.UID != "" {
			m, ok, err = t.Meeting(ctx, t.crm, t.hash("uid "+g.k.kind.String(), rec.Appointment.UID))
		}
		if err != nil {
			return "", err
		}
		if ok && m.Record != "" {
			return g.group("record", m.Record), nil
		}
	}
	l := likenessOf(rec, g.k.t.shared)
	return g.group("like", string(l[:])), nil
}

// flush puts to disk what was noted since.
func (g *gather) flush(ctx context.Context) error {
	if g.scratch == nil {
		return nil
	}
	for _, s := range []Side{Left, Right} {
		var ids []string
		for a := range g.late {
			if a.side == s {
				ids = append(ids, a.id)
			}
		}
		slices.Sort(ids)
		for chunk := range slices.Chunk(ids, max(1, min(g.k.t.caps[s.at()].Batch, connectors.MaxItems))) {
			rs, err := g.k.p.conn(s).Get(ctx, g.k.kind, chunk)
			if err != nil {
				return fmt.Errorf("read %s: %w", s, err)
			}
			for i, r := range rs {
				group := g.group("alone", s.String()+chunk[i])
				if r.Err == nil {
					if group, err = g.groupOf(ctx, s, r.Record); err != nil {
						return err
					}
				} else if errors.Is(r.Err, connectors.ErrNotFound) {
					continue // never linked and not there: nothing to undo
				} else if t := g.k.open[recordAt{s, chunk[i]}]; t == nil || t.Code != CodeUnread || t.Tries < 2 {
					g.k.unread[s.at()] = true
				}
				g.ready = append(g.ready, Seen{s, chunk[i], group})
			}
		}
	}
	clear(g.late)
	if len(g.ready) == 0 {
		return nil
	}
	err := g.scratch.Add(ctx, g.ready)
	g.ready = g.ready[:0]
	return err
}

// pages hands out everything that was collected, read and joined, in one go or
// page by page.
func (g *gather) pages(ctx context.Context, do func([]*unit) error) error {
	if g.scratch == nil {
		g.k.total = len(g.units)
		us, err := g.k.ready(ctx, g.units)
		if err != nil {
			return err
		}
		return do(us)
	}
	g.k.done, g.k.total = 0, -1
	for after := ""; ; {
		seen, err := g.scratch.Next(ctx, after, pageSize)
		if err != nil || len(seen) == 0 {
			return err
		}
		after = seen[len(seen)-1].Group
		page := newGather(g.k)
		for _, x := range seen {
			if _, err := page.at(ctx, x.Side, x.ID); err != nil {
				return err
			}
		}
		us, err := g.k.ready(ctx, page.units)
		if err != nil {
			return err
		}
		if err := do(us); err != nil {
			return err
		}
	}
}

// ready reads units, finds out which meetings they are, and joins what is one.
func (k *kindRound) ready(ctx context.Context, us []*unit) ([]*unit, error) {
	us, err := k.read(ctx, us)
	if err != nil {
		return nil, err
	}
	if us, err = k.ours(ctx, k.surface(us)); err != nil {
		return nil, err
	}
	if err := k.judgeAll(ctx, us); err != nil {
		return nil, err
	}
	if us, err = k.meet(ctx, us); err != nil {
		return nil, err
	}
	if us, err = k.expect(ctx, us); err != nil {
		return nil, err
	}
	// What was looked at before its time and found no partner goes on waiting.
	return slices.DeleteFunc(pairUp(us, k.t.shared), func(u *unit) bool {
		a, b := u.views[0].id, u.views[1].id
		return u.link == nil && (a == "" && k.early[recordAt{Right, b}] || b == "" && k.early[recordAt{Left, a}])
	}), nil
}

// expect adds the CRM's meetings that wait for their invitation, if one may have
// come.
func (k *kindRound) expect(ctx context.Context, us []*unit) ([]*unit, error) {
	came := false
	have := map[string]bool{}
	for _, u := range us {
		came = came || u.link == nil && u.views[0].id == "" && u.views[1].rec != nil && u.role == Attendee
		have[u.views[0].id] = true
	}
	if !came {
		return us, nil
	}
	var more []*unit
	for after := int64(0); ; {
		ls, err := k.st.Waiting(ctx, k.kind, after, 500)
		if err != nil {
			return nil, err
		}
		for _, l := range ls {
			if after = l.Number; !have[l.ID[0]] {
				u := &unit{link: &l}
				u.views[0].id = l.ID[0]
				more = append(more, u)
			}
		}
		if len(ls) < 500 {
			break
		}
	}
	more, err := k.read(ctx, more)
	if err != nil {
		return nil, err
	}
	if more, err = k.meet(ctx, more); err != nil {
		return nil, err
	}
	return append(us, more...), nil
}
