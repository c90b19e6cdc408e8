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
	Removed      *struct{}  `json:"@removed"`
	SeriesMaster string     `json:"seriesMasterId"`
	HasFiles     bool       `json:"hasAttachments"`
	Parent       string     `json:"parentFolderId"`

	raw  []byte
	path string // below the service
	in   string // id of the container, where that is known
}

type property struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// decode reads JSON of the service.
func decode(b []byte, into any) error { return json.Unmarshal(b, into) }

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

// get reads items by id.
func (s session) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	items, errs, err := s.items(ctx, ids)
	if err != nil {
		return nil, err
	}
	in, err := s.followed(ctx)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if errs[i] != nil {
			out[i].Err = errs[i]
			continue
		}
		r, err := s.record(items[i], in)
		if err == nil && r.ID != ids[i] {
			err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "another item than asked for"}
		}
		out[i] = connectors.Result{Record: r, Err: err}
		if err != nil {
			out[i].Record = nil
		}
	}
	if err := s.files(ctx, items, out); err != nil {
		return nil, err
	}
	return out, nil
}

// record makes a record of an item.
func (s session) record(v item, in found) (*connectors.Record, error) {
	switch s.kind {
	case connectors.KindMail:
		return readMail(v.raw, s.d.owner(), in)
	case connectors.KindTask:
		r, err := readTask(v.raw)
		return filed(r, in.named(v.in)), err
	case connectors.KindContact:
		r, err := readContact(v.raw)
		if err != nil {
			return nil, err
		}
		r.Key = v.property(keyProperty)
		return filed(r, in.named(v.Parent)), nil
	}
	r, err := readEvent(v.raw, s.d.zones)
	if err != nil {
		return nil, err
	}
	r.Key = v.property(keyProperty)
	return r, nil
}

// filed notes the folder that a record lies in.
func filed(r *connectors.Record, folder string) *connectors.Record {
	if r != nil && folder != "" {
		r.Marks = &connectors.Marks{Folder: folder, Categories: r.Categories()}
	}
	return r
}

// items reads items by id, each with its own error.
func (s session) items(ctx context.Context, ids []string) ([]item, []error, error) {
	return s.itemsWith(ctx, ids, s.s.fields)
}

// itemsWith reads some properties of items. What is not in the container where
// new items are made is looked for in the others.
func (s session) itemsWith(ctx context.Context, ids []string, fields string) ([]item, []error, error) {
	items, errs := make([]item, len(ids)), make([]error, len(ids))
	if len(ids) == 0 {
		return items, errs, nil
	}
	in, err := s.followed(ctx)
	if err != nil {
		return nil, nil, err
	}
	var places []folder // where an item's own path differs
	for _, f := range in.all {
		if len(places) == 0 || places[0].item != f.item {
			places = append(places, f)
		}
	}
	var open []int
	for i, id := range ids {
		if !isID(id) {
			errs[i] = &connectors.Error{Class: connectors.ErrNotFound, ID: id}
			continue
		}
		open = append(open, i)
	}
	for _, some := range [][]folder{places[:1], places[1:]} {
		if len(some) == 0 || len(open) == 0 {
			break
		}
		if open, err = s.look(ctx, ids, fields, some, open, items, errs); err != nil {
			return nil, nil, err
		}
	}
	return items, errs, nil
}

// look reads items wherever they lie, and returns those that lie nowhere there.
func (s session) look(ctx context.Context, ids []string, fields string, places []folder, open []int, items []item, errs []error) ([]int, error) {
	q := query("$expand", s.s.expand)
	if fields != "" {
		q = query("$select", fields, "$expand", s.s.expand)
	}
	var ps []part
	for _, i := range open {
		for _, f := range places {
			ps = append(ps, part{method: http.MethodGet, path: s.d.user + f.item + ids[i] + q})
		}
	}
	rs, err := s.do(ctx, ps)
	if err != nil {
		return nil, err
	}
	var left []int
	for n, i := range open {
		var worst error
		there := false
		for m, f := range places {
			r := rs[n*len(places)+m]
			if err := named(classify(r, false), ids[i]); err != nil {
				if worst == nil || errors.Is(worst, connectors.ErrNotFound) {
					worst = err
				}
				continue
			}
			var v item
			if err := decode(r.Body, &v); err != nil || v.ID == "" || v.ETag == "" {
				worst = &connectors.Error{Class: connectors.ErrMalformed, ID: ids[i], Detail: "not an item"}
				continue
			}
			v.raw, v.path, v.in = r.Body, s.d.user+f.item+ids[i], f.id
			items[i], there = v, true
		}
		if errs[i] = worst; there {
			errs[i] = nil
		} else if errors.Is(worst, connectors.ErrNotFound) {
			left = append(left, i)
		}
	}
	return left, nil
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

// page is one page of a listing or of changes.
type page struct {
	Value []json.RawMessage `json:"value"`
	Next  string            `json:"@odata.nextLink"`
	Delta string            `json:"@odata.deltaLink"`
}

// items reads what is on a page.
func (p page) items() ([]item, error) {
	if p.Value == nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	out := make([]item, len(p.Value))
	for i, b := range p.Value {
		if err := decode(b, &out[i]); err != nil || out[i].ID == "" {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing of items"}
		}
		out[i].raw = b
	}
	return out, nil
}

// place is how far a listing of several containers is.
type listing struct {
	In   string `json:"f"` // id of the container
	Link string `json:"l"` // below the mailbox, "" at its beginning
}

// ids lists the ids that exist, one container after the other.
func (s session) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	bad := &connectors.Error{Class: connectors.ErrInvalid, Detail: "not a place in this listing"}
	in, err := s.followed(ctx)
	if err != nil {
		return connectors.IDs{}, err
	}
	n, path := 0, ""
	if after != "" {
		var at listing
		if decode([]byte(after), &at) != nil {
			return connectors.IDs{}, bad
		}
		for n < len(in.followed) && in.followed[n].id != at.In {
			n++
		}
		if n == len(in.followed) {
			return connectors.IDs{}, bad
		}
		if at.Link != "" {
			p, q, _ := strings.Cut(at.Link, "?")
			if path, err = s.below(s.d.user+p, q); err != nil {
				return connectors.IDs{}, bad
			}
		}
	}
	if path == "" {
		path = s.d.user + in.followed[n].list
		if s.kind == connectors.KindTask {
			path += query("$top", fmt.Sprint(min(limit, 100)))
		} else {
			path += query("$select", "id", "$top", fmt.Sprint(min(limit, 500)))
		}
	}
	var p page
	if err := s.read(ctx, path, "", &p); err != nil {
		return connectors.IDs{}, err
	}
	items, err := p.items()
	if err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{}
	for _, v := range items {
		out.IDs = append(out.IDs, v.ID)
	}
	next := listing{}
	switch {
	case p.Next != "":
		link, err := s.follow(p.Next)
		if err != nil {
			return connectors.IDs{}, err
		}
		next = listing{in.followed[n].id, strings.TrimPrefix(link, s.d.user)}
	case n+1 < len(in.followed):
		next.In = in.followed[n+1].id
	default:
		return out, nil
	}
	b, err := json.Marshal(next)
	out.Next = string(b)
	return out, err
}

// find looks for items by their keys.
func (s session) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	in, err := s.followed(ctx)
	if err != nil {
		return nil, err
	}
	if s.kind == connectors.KindTask {
		return s.findTasks(ctx, keys, in)
	}
	lists := []string{"/messages"} // all of a mailbox
	if s.kind != connectors.KindMail {
		lists = nil
		for _, f := range in.followed {
			lists = append(lists, f.list)
		}
	}
	var ps []part
	for _, k := range keys {
		q := query("$filter", fmt.Sprintf("singleValueExtendedProperties/Any(ep: ep/id eq '%s' and ep/value eq '%s')", keyProperty, quoted(k)),
			"$select", "id,lastModifiedDateTime", "$expand", expand(keyProperty), "$top", "50")
		if s.kind == connectors.KindMail {
			q = query("$filter", "internetMessageId eq '<"+quoted(k)+">'", "$select", "id,lastModifiedDateTime,internetMessageId", "$top", "50")
		}
		for _, l := range lists {
			ps = append(ps, part{method: http.MethodGet, path: s.d.user + l + q})
		}
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
		if err := decode(r.Body, &p); err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
		}
		items, err := p.items()
		if err != nil {
			return nil, err
		}
		k := keys[i/len(lists)]
		for _, v := range items {
			// A filter that was not understood would return everything; one that
			// was does not mind the case.
			has := v.property(keyProperty)
			if s.kind == connectors.KindMail {
				var m message
				if decode(v.raw, &m) != nil {
					continue
				}
				has = messageID(m.MessageID)
			}
			if has == k {
				out[k] = append(out[k], v.change())
			}
		}
	}
	return out, nil
}

func quoted(s string) string { return strings.ReplaceAll(s, "'", "''") }

// maxKeyed is how many tasks with a key are looked at for one.
const maxKeyed = 10000

// findTasks reads all tasks that carry a key of ours: a filter can name the
// extension and not what it says.
func (s session) findTasks(ctx context.Context, keys []string, in found) (map[string][]connectors.Change, error) {
	wanted := map[string]bool{}
	for _, k := range keys {
		wanted[k] = true
	}
	out := map[string][]connectors.Change{}
	seen := 0
	for _, f := range in.followed {
		path := s.d.user + f.list + query("$filter", "Extensions/any(f:f/id eq '"+keyID+"')", "$expand", s.s.expand, "$top", "100")
		for path != "" {
			var p page
			if err := s.read(ctx, path, "", &p); err != nil {
				return nil, err
			}
			items, err := p.items()
			if err != nil {
				return nil, err
			}
			for _, v := range items {
				var t task
				if err := decode(v.raw, &t); err != nil {
					return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a task"}
				}
				if k := key(t.Extensions); wanted[k] {
					out[k] = append(out[k], v.change())
				}
			}
			if seen += len(items); seen > maxKeyed {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "more tasks with a key than are looked at"}
			}
			if p.Next == "" {
				break
			}
			next, err := s.follow(p.Next)
			if err != nil || next == path {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "a listing without end"}
			}
			path = next
		}
	}
	return out, nil
}
