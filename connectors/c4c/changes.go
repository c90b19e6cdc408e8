package c4c

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// cursor says where a listing or a walk through the changes goes on.
//
// A full listing walks the object ids. A walk starts at From and goes up in the
// order of EntityLastChangedOn; where one millisecond holds more records than a
// page, it walks their object ids (Ties).
//
// A change can be stamped before others can read it, though not longer than the
// overlap. So when a walk begins, everything stamped an overlap before the
// newest change then known can be read, and it is where the next walk begins
// (Next); what became known on the way does not count, because its elders may
// have appeared behind the walk's back. If the newest change has been known for
// longer than the overlap, nothing older can appear any more, and the next walk
// begins behind it: a round in which nothing happened reads nothing.
type cursor struct {
	Version int             `json:"v"`
	Kind    connectors.Kind `json:"k"`
	Listing bool            `json:"l,omitempty"`
	After   string          `json:"a,omitempty"`
	Walking bool            `json:"w,omitempty"`
	Ties    bool            `json:"t,omitempty"`
	From    int64           `json:"f,omitempty"` // Unix milliseconds, as those below
	Next    int64           `json:"x,omitempty"`
	Newest  int64           `json:"n,omitempty"` // newest change that was seen
	Seen    int64           `json:"s,omitempty"` // our own time when it was first seen
}

const cursorVersion = 1

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string, k connectors.Kind) (cursor, error) {
	expired := &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "cursor not made by this version for this kind"}
	if len(s) > connectors.MaxCursor {
		return cursor{}, expired
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, expired
	}
	var c cursor
	if json.Unmarshal(b, &c) != nil || c.Version != cursorVersion || c.Kind != k || len(c.After) > connectors.MaxID {
		return cursor{}, expired
	}
	for _, ms := range []int64{c.From, c.Next, c.Newest, c.Seen} {
		if _, err := parseDate("/Date(" + strconv.FormatInt(ms, 10) + ")/"); err != nil {
			return cursor{}, expired
		}
	}
	return c, nil
}

func (s session) changes(ctx context.Context, k connectors.Kind, text string, limit int) (connectors.Page, error) {
	sh, err := s.shape(k)
	if err != nil {
		return connectors.Page{}, err
	}
	var c cursor
	if text == "" {
		newest, err := s.newest(ctx, sh)
		if err != nil {
			return connectors.Page{}, s.explain(ctx, sh, err)
		}
		c = cursor{Version: cursorVersion, Kind: k, Listing: true, From: s.d.before(newest), Newest: newest, Seen: s.d.now().UnixMilli()}
	} else if c, err = parseCursor(text, k); err != nil {
		return connectors.Page{}, err
	}
	if c.Listing {
		p, err := s.listing(ctx, sh, c, limit)
		if err != nil && c.After == "" {
			err = s.explain(ctx, sh, err)
		}
		return p, err
	}
	return s.walk(ctx, sh, c, limit)
}

// newest returns when the last change there is was made, in Unix milliseconds.
func (s session) newest(ctx context.Context, sh shape) (int64, error) {
	p, err := s.get(ctx, sh.set+"?"+query("$orderby", propChanged+" desc", "$top", "1", "$select", propID+","+propChanged, "$format", "json"))
	if err != nil {
		return 0, err
	}
	if len(p.Entities) == 0 {
		return 0, nil
	}
	return changedOn(p.Entities[0])
}

func changedOn(e entity) (int64, error) {
	t, err := e.date(propChanged)
	if err != nil || t.IsZero() {
		return 0, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without date of change"}
	}
	return t.UnixMilli(), nil
}

// listing reads one page of everything there is, with content.
func (s session) listing(ctx context.Context, sh shape, c cursor, limit int) (connectors.Page, error) {
	es, more, err := s.page(ctx, sh, afterID(c.After), propID, limit, true)
	if err != nil {
		return connectors.Page{}, err
	}
	page := connectors.Page{More: more}
	last := c.After
	var linked []*connectors.Record
	for _, e := range es {
		id, err := e.id()
		if err != nil {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
		}
		if id == c.After {
			continue
		}
		last = id
		ch, err := sh.change(e, id, true)
		if err != nil {
			return connectors.Page{}, err
		}
		if !ch.Gone {
			page.Changes = append(page.Changes, ch)
		}
		if ch.Record != nil {
			linked = append(linked, ch.Record)
		}
	}
	if err := s.complete(ctx, sh, linked); err != nil {
		return connectors.Page{}, err
	}
	if more && last == c.After {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing does not advance"}
	}
	if c.After = last; !more {
		c.Listing, c.After = false, ""
	}
	page.Cursor = c.String()
	return page, nil
}

func afterID(id string) string {
	if id == "" {
		return ""
	}
	return propID + " ge " + quote(id)
}

// before is an overlap before an instant, both in Unix milliseconds.
func (d *driver) before(ms int64) int64 {
	return max(ms-d.overlap.Milliseconds(), time.Time{}.UnixMilli())
}

// walk reads one page of what changed, without content: most of it is what the
// caller itself has written.
func (s session) walk(ctx context.Context, sh shape, c cursor, limit int) (connectors.Page, error) {
	started := s.d.now().UnixMilli()
	if !c.Walking {
		c.Walking, c.Next = true, s.d.before(c.Newest)
		if started-c.Seen > s.d.overlap.Milliseconds() {
			c.Next = c.Newest + 1
		}
		c.Next = max(c.Next, c.From)
	}
	filter := propChanged + " ge " + offsetLiteral(time.UnixMilli(c.From))
	order := propChanged + "," + propID
	if c.Ties {
		// Dates lose what is below a millisecond in JSON, so one millisecond is
		// a range.
		filter += " and " + propChanged + " le " + offsetLiteral(time.UnixMilli(c.From+1))
		order = propID
		if c.After != "" {
			filter += " and " + afterID(c.After)
		}
	}
	es, more, err := s.page(ctx, sh, filter, order, limit, false)
	if err != nil {
		return connectors.Page{}, err
	}
	page := connectors.Page{More: true}
	lastID, lastOn := c.After, c.From
	var obsolete []entity
	for _, e := range es {
		id, err := e.id()
		if err != nil {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
		}
		on, err := changedOn(e)
		if err != nil {
			return connectors.Page{}, err
		}
		if on > c.Newest {
			c.Newest, c.Seen = on, started
		}
		if c.Ties && id == c.After {
			continue
		}
		lastID, lastOn = id, on
		ch, err := sh.change(e, id, false)
		if err != nil {
			return connectors.Page{}, err
		}
		page.Changes = append(page.Changes, ch)
		if ch.Gone {
			obsolete = append(obsolete, e)
		}
	}
	if len(obsolete) > 0 {
		into, err := s.survivors(ctx, sh, obsolete)
		if err != nil {
			return connectors.Page{}, err
		}
		for i, ch := range page.Changes {
			if e := into[ch.ID]; e != nil && ch.Gone {
				if e, err = e.as(ch.ID); err != nil {
					return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
				}
				page.Changes[i].Gone, page.Changes[i].Rev = false, e.rev()
			}
		}
	}
	switch {
	case c.Ties && more:
		if lastID == c.After {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing does not advance"}
		}
		c.After = lastID
	case c.Ties:
		c.Ties, c.After, c.From = false, "", c.From+1
	case more && lastOn <= c.From:
		c.Ties = true
	case more:
		c.From = lastOn
	default:
		c.Walking, c.From, page.More = false, c.Next, false
	}
	page.Cursor = c.String()
	return page, nil
}

// page reads up to limit records in an order, and says whether there are more.
// The server may give fewer than asked for; its link is then only a sign that
// there are more, because going on by position would miss what moves.
func (s session) page(ctx context.Context, sh shape, filter, order string, limit int, content bool) ([]entity, bool, error) {
	top := limit + 1 // one may be known already
	selected, expand := sh.light(), ""
	if content {
		head := sh.kind == connectors.KindMail // bodies of mails never come along
		selected, expand = sh.selection(head), strings.Join(sh.expand(head), ",")
	}
	p, err := s.get(ctx, sh.set+"?"+query("$filter", filter, "$orderby", order, "$top", strconv.Itoa(top), "$select", selected, "$expand", expand, "$format", "json"))
	if err != nil {
		return nil, false, err
	}
	if len(p.Entities) > top {
		return nil, false, &connectors.Error{Class: connectors.ErrMalformed, Detail: "more records than asked for"}
	}
	return p.Entities, p.Next != "" || len(p.Entities) == top, nil
}

// change reports one record. A record that cannot be understood is still
// reported, without content, so that reading it by id names what is wrong.
func (s shape) change(e entity, id string, content bool) (connectors.Change, error) {
	gone, err := s.gone(e)
	if err != nil {
		return connectors.Change{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without status"}
	}
	ch := connectors.Change{ID: id, Rev: e.rev(), Gone: gone}
	if t, err := e.date(propChanged); err == nil {
		ch.Modified = t
	}
	if content && !gone {
		if r, err := s.read(e, s.kind == connectors.KindMail); err == nil {
			ch.Record, ch.Head = r, s.kind == connectors.KindMail
		}
	}
	return ch, nil
}

// list reads one page of ids.
func (s session) list(ctx context.Context, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	sh, err := s.shape(k)
	if err != nil {
		return connectors.IDs{}, err
	}
	if len(after) > connectors.MaxID {
		return connectors.IDs{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "position too long"}
	}
	es, more, err := s.page(ctx, sh, afterID(after), propID, limit, false)
	if err != nil {
		return connectors.IDs{}, err
	}
	var out connectors.IDs
	last := after
	for _, e := range es {
		id, err := e.id()
		if err != nil {
			return connectors.IDs{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
		}
		if id == after {
			continue
		}
		last = id
		if gone, err := sh.gone(e); err != nil {
			return connectors.IDs{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without status"}
		} else if !gone {
			out.IDs = append(out.IDs, id)
		}
	}
	if more {
		if last == after {
			return connectors.IDs{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing does not advance"}
		}
		out.Next = last
	}
	return out, nil
}
