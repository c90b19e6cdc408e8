// Package connector is a connector to copy: it connects the CRM of a small
// imaginary vendor, whose JSON API keeps people, and passes the suite that all
// connectors pass. README.md tells how to make one of your own.
package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// Name is what endpoints call this connector.
const Name = "tinycrm"

// Plugin offers the connector to a Hub.
func Plugin() (connectors.Plugin, error) {
	people := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Fields: map[connectors.Field]connectors.Limit{
		connectors.FieldGivenName:  {Runes: 80},
		connectors.FieldFamilyName: {Runes: 80, Required: true},
		connectors.FieldEmail:      {Runes: 254},
		connectors.FieldPhone:      {Runes: 40},
		connectors.FieldNote:       {},
	}}
	caps := connectors.Capabilities{Area: connectors.CRM, Kinds: map[connectors.Kind]connectors.Capability{connectors.KindContact: people}}
	return connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) {
		if s.URL == nil {
			return nil, fmt.Errorf("tinycrm: url: missing")
		}
		for name := range s.Options {
			return nil, fmt.Errorf("tinycrm: option %q: not known", name)
		}
		return &driver{base: strings.TrimSuffix(s.URL.String(), "/") + "/people", people: people}, nil
	})
}

// driver knows where the system is and nothing about how to get in.
type driver struct {
	base   string
	people connectors.Capability
}

var _ connectors.Driver = (*driver)(nil)

// person is a record on the wire. The names of its fields happen to be ours.
type person struct {
	ID      string                      `json:"id,omitempty"`
	Version string                      `json:"version,omitempty"`
	Key     string                      `json:"key,omitempty"`
	Deleted bool                        `json:"deleted,omitempty"`
	Fields  map[connectors.Field]string `json:"fields"`
}

type page struct {
	People []person `json:"people"` // never null
	Cursor string   `json:"cursor"` // of changes, never empty
	Next   string   `json:"next"`   // of listings, empty at the end
	More   bool     `json:"more"`
}

func (p person) record() *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	r.ID, r.Rev, r.Key = p.ID, p.Version, p.Key
	for f, v := range p.Fields {
		r.SetText(f, v) // normalises; what is no text of a contact is left out
	}
	return r
}

func (d *driver) fields(r *connectors.Record, names []connectors.Field) map[connectors.Field]string {
	out := map[connectors.Field]string{}
	for _, f := range names {
		if d.people.Has(f) {
			out[f] = r.Text(f)
		}
	}
	return out
}

// Changes implements connectors.Driver.
func (d *driver) Changes(ctx context.Context, c connectors.Call, _ connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	var p page
	err := d.send(ctx, c, http.MethodGet, "/changes?"+url.Values{"since": {cursor}, "limit": {strconv.Itoa(limit)}}.Encode(), "", nil, &p)
	var e *connectors.Error
	if errors.As(err, &e) && e.Status == http.StatusGone {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Status: e.Status}
	}
	if err := listing(p, err, p.Cursor != ""); err != nil {
		return connectors.Page{}, err
	}
	out := connectors.Page{Cursor: p.Cursor, More: p.More}
	for _, x := range p.People {
		ch := connectors.Change{ID: x.ID, Rev: x.Version, Gone: x.Deleted}
		if !x.Deleted {
			ch.Record = x.record() // the content came along
		}
		out.Changes = append(out.Changes, ch)
	}
	return out, nil
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		var p person
		err := known(id)
		if err == nil {
			err = d.send(ctx, c, http.MethodGet, "/"+id, "", nil, &p)
		}
		if err == nil && p.ID != id {
			err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "another record than asked for"}
		}
		if out[i].Err = about("get", k, id, err); err == nil {
			out[i].Record = p.record()
		}
	}
	return out, nil
}

// Find implements connectors.Driver.
func (d *driver) Find(ctx context.Context, c connectors.Call, _ connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	out := map[string][]connectors.Change{}
	for _, key := range keys {
		var p page
		err := d.send(ctx, c, http.MethodGet, "?"+url.Values{"key": {key}}.Encode(), "", nil, &p)
		if err := listing(p, err, true); err != nil {
			return nil, err
		}
		for _, x := range p.People {
			if x.Key == key { // whatever the server thinks is equal
				out[key] = append(out[key], connectors.Change{ID: x.ID, Rev: x.Version})
			}
		}
	}
	return out, nil
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, _ connectors.Kind, after string, limit int) (connectors.IDs, error) {
	var p page
	err := d.send(ctx, c, http.MethodGet, "?"+url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}.Encode(), "", nil, &p)
	if err := listing(p, err, true); err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{Next: p.Next}
	for _, x := range p.People {
		out.IDs = append(out.IDs, x.ID)
	}
	return out, nil
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(ds))
	for i, x := range ds {
		err := d.people.Fit(x.Record, connectors.Fields(k))
		var p person
		if err == nil {
			err = d.send(ctx, c, http.MethodPost, "", "", person{Key: x.Key, Fields: d.fields(x.Record, connectors.Fields(k))}, &p)
		}
		out[i] = connectors.Written{ID: p.ID, Rev: p.Version, Err: about("create", k, "", err)}
	}
	return out, nil
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(es))
	for i, x := range es {
		err := known(x.ID)
		for _, f := range x.Fields {
			if err == nil && !d.people.Has(f) {
				err = &connectors.Error{Field: f, Class: connectors.ErrUnsupported}
			}
			if err == nil && d.people.Fields[f].Required && x.Record.Empty(f) {
				err = &connectors.Error{Field: f, Class: connectors.ErrInvalid, Detail: "empty where the system needs a value"}
			}
			if err == nil {
				one := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{f: d.people.Fields[f]}}
				err = one.Fit(x.Record, x.Fields)
			}
		}
		var p person
		if err == nil {
			err = d.send(ctx, c, http.MethodPatch, "/"+x.ID, x.Rev, person{Fields: d.fields(x.Record, x.Fields)}, &p)
		}
		out[i] = connectors.Written{ID: x.ID, Rev: p.Version, Err: about("update", k, x.ID, err)}
	}
	return out, nil
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(ts))
	for i, x := range ts {
		err := known(x.ID)
		if err == nil {
			err = d.send(ctx, c, http.MethodDelete, "/"+x.ID, x.Rev, nil, nil)
		}
		if errors.Is(err, connectors.ErrNotFound) {
			err = nil // gone is what was wanted
		}
		out[i] = connectors.Written{ID: x.ID, Err: about("delete", k, x.ID, err)}
	}
	return out, nil
}

// known refuses ids that the system would not give out. An id becomes part of
// an address: "../people" must not.
func known(id string) error {
	if !regexp.MustCompile(`^p[0-9]{1,18}$`).MatchString(id) {
		return &connectors.Error{Class: connectors.ErrNotFound, Detail: "not an id of this system"}
	}
	return nil
}

// listing refuses an answer that is none. An empty listing that is believed
// looks like the deletion of everything.
func listing(p page, err error, complete bool) error {
	switch {
	case errors.Is(err, connectors.ErrNotFound):
		return &connectors.Error{Class: connectors.ErrForbidden, Detail: "no such collection"}
	case err == nil && (p.People == nil || !complete):
		return &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a page"}
	}
	return err
}

// about puts verb, kind and id into an error.
func about(op string, k connectors.Kind, id string, err error) error {
	var e *connectors.Error
	if !errors.As(err, &e) {
		return err
	}
	v := *e
	v.Plugin, v.Op, v.Kind, v.ID = Name, op, k, id
	return &v
}

const maxBody = 8 << 20

// send makes one exchange with the client of the call, the only one that gets
// in. Its errors have a class and hold nothing of what the server said.
func (d *driver) send(ctx context.Context, c connectors.Call, method, rest, version string, in, out any) error {
	fail := func(class error, detail string) error {
		return &connectors.Error{Class: class, Detail: detail, Cause: ctx.Err()}
	}
	// When the answer to a write is lost, nobody knows what happened.
	lost := connectors.ErrUnknownOutcome
	if method == http.MethodGet {
		lost = connectors.ErrUnavailable
	}
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fail(connectors.ErrInvalid, "record")
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+rest, body)
	if err != nil {
		return fail(connectors.ErrInvalid, "address")
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPatch || method == http.MethodDelete {
		req.Header.Set("If-Match", version)
	}
	resp, err := c.Client().Do(req)
	var dial *net.OpError
	switch {
	case errors.Is(err, authz.ErrDenied):
		return authz.ErrDenied // without the address that url.Error would show
	case errors.As(err, &dial) && dial.Op == "dial":
		return fail(connectors.ErrUnavailable, "no connection")
	case err != nil:
		return fail(lost, "no answer")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, lost)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(out); err != nil {
		if lost == connectors.ErrUnavailable {
			lost = connectors.ErrMalformed
		}
		return fail(lost, "answer not understood")
	}
	return nil
}

// refusal turns a status into a class.
func refusal(resp *http.Response, lost error) error {
	e := &connectors.Error{Status: resp.StatusCode, Class: connectors.ErrMalformed}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Class = connectors.ErrUnauthorized
	case s == http.StatusForbidden:
		e.Class = connectors.ErrForbidden
	case s == http.StatusNotFound || s == http.StatusGone:
		e.Class = connectors.ErrNotFound
	case s == http.StatusConflict:
		e.Class = connectors.ErrExists
	case s == http.StatusPreconditionFailed || s == http.StatusPreconditionRequired:
		e.Class = connectors.ErrPrecondition
	case s == http.StatusTooManyRequests:
		e.Class = connectors.ErrThrottled
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 && n < 86400 {
			e.RetryAfter = time.Duration(n) * time.Second
		}
	case s >= 500:
		e.Class = lost
	case s >= 400:
		e.Class = connectors.ErrInvalid
	}
	return e
}
