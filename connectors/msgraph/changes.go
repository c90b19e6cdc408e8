package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// cursor is where a reading of changes goes on. Each container has a history of
// its own; they are read one after the other.
type cursor struct {
	Links map[string]string `json:"l"`            // by container, below the mailbox
	Now   string            `json:"n,omitempty"`  // the one that is being read; "": a new round
	From  time.Time         `json:"f,omitzero"`   // the range of a calendar
	To    time.Time         `json:"t,omitzero"`   // its end
	Since time.Time         `json:"at,omitzero"`  // when the range was chosen
	Pages int               `json:"pg,omitempty"` // read of the one that is being read
}

// maxPages is how many pages the history of one container has at most in one
// reading: a history without end is a fault of the service.
const maxPages = 20000

// begin returns where the history of a container begins.
func (s session) begin(f folder, c cursor) string {
	switch s.kind {
	case connectors.KindAppointment:
		base := strings.TrimSuffix(f.list, "/events")
		return base + "/calendarView/delta" + query("startDateTime", c.From.Format(time.RFC3339), "endDateTime", c.To.Format(time.RFC3339))
	case connectors.KindMail:
		return f.list + "/delta" + query("$select", headSelect, "$expand", s.s.expand)
	}
	return f.list + "/delta" + query("$select", "id")
}

// changes reads what is new.
func (s session) changes(ctx context.Context, at string, limit int) (connectors.Page, error) {
	none := &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
	var c cursor
	if at != "" {
		if err := decode([]byte(at), &c); err != nil || len(c.Links) == 0 {
			return connectors.Page{}, none
		}
	}
	now := s.d.now().UTC().Truncate(time.Second)
	if s.kind == connectors.KindAppointment && (len(c.Links) == 0 || !now.Before(c.Since.AddDate(0, 0, 1))) {
		// The range stands still; it is moved by a new beginning, which reports
		// everything in it and nothing that is not.
		day := now.Truncate(24 * time.Hour)
		c = cursor{From: day.AddDate(0, 0, -s.d.past), To: day.AddDate(0, 0, s.d.ahead), Since: now}
	}
	in, err := s.followed(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	n := 0
	for c.Now != "" && n < len(in.followed) && in.followed[n].id != c.Now {
		n++
	}
	if n == len(in.followed) { // what was being read is not followed any more
		n = 0
	}
	if c.Now != in.followed[n].id {
		c.Now, c.Pages = in.followed[n].id, 0
	}
	f := in.followed[n]
	link := c.Links[f.id]
	if link == "" {
		link = s.begin(f, c)
	}
	path, q, _ := strings.Cut(link, "?")
	if path, err = s.below(s.d.user+path, q); err != nil {
		return connectors.Page{}, none
	}
	var p page
	if err := s.read(ctx, path, fmt.Sprintf(", odata.maxpagesize=%d", min(limit, s.s.page)), &p); err != nil {
		if errors.Is(err, connectors.ErrNotFound) { // the container is gone, which says nothing about what was in it
			s.forget()
			err = &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "a folder that was followed is not there"}
		}
		return connectors.Page{}, err
	}
	if p.Value == nil || (p.Next == "") == (p.Delta == "") {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a page of changes"}
	}
	items, err := p.items()
	if err != nil {
		return connectors.Page{}, err
	}
	out := connectors.Page{More: true}
	if s.kind == connectors.KindMail {
		out.Changes, err = s.heads(ctx, items)
	} else {
		out.Changes, err = s.sort(ctx, items)
	}
	if err != nil {
		return connectors.Page{}, err
	}
	next, err := s.follow(p.Next + p.Delta)
	if err != nil {
		return connectors.Page{}, err
	}
	links := map[string]string{f.id: strings.TrimPrefix(next, s.d.user)}
	for _, g := range in.followed { // and nothing of those that are not followed any more
		if l := c.Links[g.id]; l != "" && g.id != f.id {
			links[g.id] = l
		}
	}
	if c.Links, c.Pages = links, c.Pages+1; p.Next != "" {
		if c.Pages > maxPages || next == path {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "a history without end"}
		}
	} else {
		c.Now, c.Pages = "", 0
		if out.More = n+1 < len(in.followed); out.More {
			c.Now = in.followed[n+1].id
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "cursor"}
	}
	out.Cursor = string(b)
	return out, nil
}

// sort turns the items of a page into changes: occurrences into their series,
// and what is called removed into what it is.
func (s session) sort(ctx context.Context, items []item) ([]connectors.Change, error) {
	var out []connectors.Change
	var asked []string
	masters := map[string]bool{}
	for _, v := range items {
		switch {
		case v.Removed != nil:
			asked = append(asked, v.ID)
		case v.SeriesMaster != "":
			if !masters[v.SeriesMaster] {
				masters[v.SeriesMaster] = true
				asked = append(asked, v.SeriesMaster)
			}
		case v.ETag == "":
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "item without revision"}
		default:
			out = append(out, v.change())
		}
	}
	found, errs, err := s.items(ctx, asked)
	if err != nil {
		return nil, err
	}
	for i, id := range asked {
		switch {
		case errs[i] == nil:
			out = append(out, found[i].change()) // out of the range, or moved: not deleted
		case !errors.Is(errs[i], connectors.ErrNotFound):
			return nil, errs[i]
		case !masters[id]:
			out = append(out, connectors.Change{ID: id, Gone: true})
		}
	}
	return out, nil
}
