package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// The extended property that holds the create key, in this module's own set.
const keyProperty = "String {6f0e2a5c-94b1-4c0e-8d3b-7a1d5c2f9e40} Name LockkeeperKey"

// item is what every item has.
type item struct {
	ID           string     `json:"id"`
	ETag         string     `json:"@odata.etag"`
	Modified     time.Time  `json:"lastModifiedDateTime"`
	Properties   []property `json:"singleValueExtendedProperties"`
	raw          []byte
	Removed      *struct{} `json:"@removed"`
	SeriesMaster string    `json:"seriesMasterId"`
}

type property struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// property returns the value of an extended property. The service writes the
// set's id in its own case.
func (i item) property(id string) string {
	for _, p := range i.Properties {
		if strings.EqualFold(p.ID, id) {
			return p.Value
		}
	}
	return ""
}

func (i item) change() connectors.Change {
	return connectors.Change{ID: i.ID, Rev: i.ETag, Modified: i.Modified}
}

func expand(ids ...string) string {
	var or []string
	for _, id := range ids {
		or = append(or, "id eq '"+id+"'")
	}
	return "singleValueExtendedProperties($filter=" + strings.Join(or, " or ") + ")"
}

func (s session) path(id string) string {
	return s.d.user + s.s.item + id
}

// get reads items by id.
func (s session) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	items, errs, err := s.items(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if errs[i] != nil {
			out[i].Err = errs[i]
			continue
		}
		r, err := s.s.read(items[i].raw)
		if err == nil && r.ID != ids[i] {
			err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "another item than asked for"}
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		r.Key = items[i].property(keyProperty)
		out[i].Record = r
	}
	return out, nil
}

// items reads items by id, each with its own error.
func (s session) items(ctx context.Context, ids []string) ([]item, []error, error) {
	items, errs := make([]item, len(ids)), make([]error, len(ids))
	var ps []part
	var at []int
	q := query("$select", s.s.fields, "$expand", expand(keyProperty, faxProperty))
	for i, id := range ids {
		if !isID(id) {
			errs[i] = &connectors.Error{Class: connectors.ErrNotFound, ID: id}
			continue
		}
		ps, at = append(ps, part{method: http.MethodGet, path: s.path(id) + q}), append(at, i)
	}
	rs, err := s.do(ctx, ps)
	if err != nil {
		return nil, nil, err
	}
	for n, r := range rs {
		i := at[n]
		if errs[i] = named(classify(r, false), ids[i]); errs[i] != nil {
			continue
		}
		if err := json.Unmarshal(r.Body, &items[i]); err != nil || items[i].ID == "" || items[i].ETag == "" {
			errs[i] = &connectors.Error{Class: connectors.ErrMalformed, ID: ids[i], Detail: "not an item"}
			continue
		}
		items[i].raw = r.Body
	}
	return items, errs, nil
}

// named adds an id to an error.
func named(err error, id string) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		v := *e
		v.ID = id
		return &v
	}
	return err
}

// find looks for items by their keys.
func (s session) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	ps := make([]part, len(keys))
	for i, k := range keys {
		filter := fmt.Sprintf("singleValueExtendedProperties/Any(ep: ep/id eq '%s' and ep/value eq '%s')", keyProperty, strings.ReplaceAll(k, "'", "''"))
		ps[i] = part{method: http.MethodGet, path: s.d.user + s.s.list + query("$filter", filter, "$select", "id,lastModifiedDateTime", "$expand", expand(keyProperty), "$top", "50")}
	}
	rs, err := s.do(ctx, ps)
	if err != nil {
		return nil, err
	}
	out := map[string][]connectors.Change{}
	for i, r := range rs {
		if err := classify(r, false); err != nil {
			return nil, err
		}
		var p page
		if err := json.Unmarshal(r.Body, &p); err != nil || p.Value == nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
		}
		for _, v := range p.Value {
			// A filter that was not understood would return everything.
			if v.property(keyProperty) == keys[i] {
				out[keys[i]] = append(out[keys[i]], v.change())
			}
		}
	}
	return out, nil
}

// page is one page of a listing or of changes.
type page struct {
	Value []item `json:"value"`
	Next  string `json:"@odata.nextLink"`
	Delta string `json:"@odata.deltaLink"`
}

// ids lists the ids that exist.
func (s session) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	path := s.d.user + s.s.list + query("$select", "id", "$top", fmt.Sprint(min(limit, 500)))
	if after != "" {
		p, q, _ := strings.Cut(after, "?")
		var err error
		if path, err = s.below(s.d.user+p, q); err != nil {
			return connectors.IDs{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "not a place in this listing"}
		}
	}
	var p page
	if err := s.read(ctx, path, "", &p); err != nil {
		return connectors.IDs{}, err
	}
	if p.Value == nil {
		return connectors.IDs{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	var out connectors.IDs
	for _, v := range p.Value {
		out.IDs = append(out.IDs, v.ID)
	}
	if p.Next != "" {
		next, err := s.follow(p.Next)
		if err != nil {
			return connectors.IDs{}, err
		}
		out.Next = strings.TrimPrefix(next, s.d.user)
	}
	return out, nil
}

// cursor is where a reading of changes goes on.
type cursor struct {
	Link  string    `json:"l"`           // below the mailbox
	From  time.Time `json:"f,omitzero"`  // the range of a calendar
	To    time.Time `json:"t,omitzero"`  // its end
	Since time.Time `json:"at,omitzero"` // when the range was chosen
}

// changes reads what is new.
func (s session) changes(ctx context.Context, at string, limit int) (connectors.Page, error) {
	var c cursor
	if at != "" {
		if err := json.Unmarshal([]byte(at), &c); err != nil || c.Link == "" {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
		}
	}
	now := s.d.now().UTC().Truncate(time.Second)
	if s.kind == connectors.KindAppointment && (c.Link == "" || !now.Before(c.Since.AddDate(0, 0, 1))) {
		// The range stands still; it is moved by a new beginning, which reports
		// everything in it and nothing that is not.
		day := now.Truncate(24 * time.Hour)
		c = cursor{From: day.AddDate(0, 0, -s.d.past), To: day.AddDate(0, 0, s.d.ahead), Since: now}
		c.Link = "/calendarView/delta" + query("startDateTime", c.From.Format(time.RFC3339), "endDateTime", c.To.Format(time.RFC3339))
	} else if c.Link == "" {
		c.Link = s.s.list + "/delta" + query("$select", "id")
	}
	path, q, _ := strings.Cut(c.Link, "?")
	path, err := s.below(s.d.user+path, q)
	if err != nil {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
	}
	var p page
	if err := s.read(ctx, path, fmt.Sprintf(", odata.maxpagesize=%d", min(limit, 200)), &p); err != nil {
		return connectors.Page{}, err
	}
	if p.Value == nil || (p.Next == "") == (p.Delta == "") {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a page of changes"}
	}
	out := connectors.Page{More: p.Next != ""}
	if out.Changes, err = s.sort(ctx, p.Value); err != nil {
		return connectors.Page{}, err
	}
	next, err := s.follow(p.Next + p.Delta)
	if err != nil {
		return connectors.Page{}, err
	}
	c.Link = strings.TrimPrefix(next, s.d.user)
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
		case v.ID == "":
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "item without id"}
		case v.Removed != nil:
			asked = append(asked, v.ID)
		case v.SeriesMaster != "":
			if !masters[v.SeriesMaster] {
				masters[v.SeriesMaster] = true
				asked = append(asked, v.SeriesMaster)
			}
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
