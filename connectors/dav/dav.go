package dav

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// Name is the name under which endpoints ask for this connector.
const Name = "dav"

// Options of an endpoint.
const (
	OptContacts = "contacts" // path of the address book, as in /ana/contacts/default/; without it contacts are not offered
	OptCalendar = "calendar" // path of the calendar; without it appointments are not offered
	OptZone     = "zone"     // IANA zone of times that name none; empty: UTC
)

// Plugin offers CardDAV and CalDAV mailboxes. The endpoint's URL is the server,
// its options name the collections.
func Plugin() (connectors.Plugin, error) {
	return connectors.NewPlugin(Name, capabilities(), open)
}

func capabilities() connectors.Capabilities {
	fields := func(k connectors.Kind) map[connectors.Field]connectors.Limit {
		m := map[connectors.Field]connectors.Limit{}
		for _, f := range connectors.Fields(k) {
			m[f] = connectors.Limit{}
		}
		return m
	}
	contacts, appointments := fields(connectors.KindContact), fields(connectors.KindAppointment)
	for _, f := range []connectors.Field{connectors.FieldSensitivity, connectors.FieldReminder, connectors.FieldCategories} { // not mapped
		delete(contacts, f)
		if f != connectors.FieldSensitivity {
			delete(appointments, f)
		}
	}
	// The identity of an event is given when it is made, and its zone comes with
	// its times.
	for _, f := range []connectors.Field{connectors.FieldUID, connectors.FieldZone} {
		appointments[f] = connectors.Limit{ReadOnly: true}
	}
	appointments[connectors.FieldTime] = connectors.Limit{Required: true}
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: 50}
	cc, ca := c, c
	cc.Fields, ca.Fields, ca.Exceptions = contacts, appointments, true
	return connectors.Capabilities{Area: connectors.Mailbox, Kinds: map[connectors.Kind]connectors.Capability{
		connectors.KindContact: cc, connectors.KindAppointment: ca}}
}

type driver struct {
	base     *url.URL
	paths    map[connectors.Kind]string // decoded, with a slash at both ends
	floating *time.Location
	now      func() time.Time
}

var _ connectors.Driver = (*driver)(nil)

func open(s connectors.Settings) (connectors.Driver, error) {
	if s.URL == nil {
		return nil, fmt.Errorf("dav: url: missing")
	}
	d := &driver{base: s.URL, paths: map[connectors.Kind]string{}, floating: time.UTC, now: time.Now}
	for k, v := range s.Options {
		switch k {
		case OptContacts, OptCalendar:
			if v == "" || v[0] != '/' || strings.Contains(v, "//") || slices.Contains(strings.Split(v, "/"), "..") {
				return nil, fmt.Errorf("dav: option %s: want the path of a collection, as in /ana/contacts/", k)
			}
			kind := connectors.KindContact
			if k == OptCalendar {
				kind = connectors.KindAppointment
			}
			d.paths[kind] = strings.TrimSuffix(v, "/") + "/"
		case OptZone:
			l, err := time.LoadLocation(v)
			if err != nil || v == "Local" {
				return nil, fmt.Errorf("dav: option %s: want an IANA zone, as in Europe/Berlin", k)
			}
			d.floating = l
		default:
			return nil, fmt.Errorf("dav: option %s: not one of contacts, calendar, zone", k)
		}
	}
	if len(d.paths) == 0 {
		return nil, fmt.Errorf("dav: options: at least one of contacts and calendar is needed")
	}
	return d, nil
}

// collection is one address book or calendar during a call.
type collection struct {
	*driver
	call connectors.Call
	kind connectors.Kind
	path string
}

func (d *driver) at(c connectors.Call, k connectors.Kind) (*collection, error) {
	p, ok := d.paths[k]
	if !ok {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "the endpoint names no collection for this kind"}
	}
	return &collection{d, c, k, p}, nil
}

func (c *collection) ext() string {
	if c.kind == connectors.KindContact {
		return ".vcf"
	}
	return ".ics"
}

// url returns the address of a member, of the collection itself for "".
func (c *collection) url(id string) string {
	return (&url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: c.path + id}).String()
}

// href is the path of a member as it stands in requests.
func (c *collection) href(id string) string { return (&url.URL{Path: c.path + id}).EscapedPath() }

// id returns which member an href names, "" for the collection itself. An href
// that leaves origin or collection is an error.
func (c *collection) id(href string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(href))
	if err != nil || u.Host != "" && !strings.EqualFold(u.Host, c.base.Host) || u.Opaque != "" {
		return "", malformed("address outside of the server")
	}
	if u.Path == c.path || u.Path+"/" == c.path {
		return "", nil
	}
	id, ok := strings.CutPrefix(u.Path, c.path)
	if !ok || !member(id) {
		return "", malformed("address outside of the collection")
	}
	return id, nil
}

// member reports whether an id is one segment of a path that servers do not
// take for anything else.
func member(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= connectors.MaxID && !strings.ContainsFunc(id, func(r rune) bool {
		return r == '/' || r == '\\' || r < 0x20 || r == 0x7f
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

func (c *collection) do(ctx context.Context, method, url, depth string, body []byte, header map[string]string, repeat bool) (remote.Response, error) {
	h := http.Header{}
	if depth != "" {
		h.Set("Depth", depth)
	}
	if body != nil {
		h.Set("Content-Type", "application/xml; charset=utf-8")
	}
	for k, v := range header {
		h.Set(k, v)
	}
	return remote.Do(ctx, c.call.Client(), remote.Request{Method: method, URL: url, Header: h, Body: body, Repeat: repeat, MaxBody: 64 << 20})
}

// missing turns the 404 of a whole collection into something that nobody can
// take for the deletion of its members.
func missing(err error) error {
	if e, ok := err.(*connectors.Error); ok && e.Class == connectors.ErrNotFound {
		return &connectors.Error{Class: connectors.ErrForbidden, Status: e.Status, Detail: "the collection is not there"}
	}
	return err
}

func (c *collection) report(ctx context.Context, depth string, body []byte) (*multistatus, error) {
	resp, err := c.do(ctx, "REPORT", c.url(""), depth, body, nil, true)
	if err != nil {
		return nil, err
	}
	if err := resp.Err(false); err != nil {
		return nil, missing(err)
	}
	if resp.Status != http.StatusMultiStatus {
		return nil, malformed("no multistatus")
	}
	return parseMultistatus(resp.Body)
}

// Changes implements connectors.Driver by sync-collection.
func (d *driver) Changes(ctx context.Context, call connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	c, err := d.at(call, k)
	if err != nil {
		return connectors.Page{}, err
	}
	if cursor != strings.TrimSpace(cursor) { // not one of ours, and a server may take a blank one for a new start
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired}
	}
	resp, err := c.do(ctx, "REPORT", c.url(""), "0", syncCollection(cursor, limit), nil, true)
	if err != nil {
		return connectors.Page{}, err
	}
	if cursor != "" && (resp.Status == 403 || resp.Status == 409 || resp.Status == 410 || resp.Status == 412 || resp.Status == 507 || resp.Status == 400) {
		// RFC 6578 section 3.2: the token is no longer valid, in the
		// spellings that servers have for it.
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Status: resp.Status}
	}
	if err := resp.Err(false); err != nil {
		return connectors.Page{}, missing(err)
	}
	m, err := parseMultistatus(resp.Body)
	if err != nil {
		return connectors.Page{}, err
	}
	p := connectors.Page{Cursor: strings.TrimSpace(m.SyncToken)}
	if p.Cursor == "" {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "the server has no sync token for this collection (RFC 6578)"}
	}
	for _, r := range m.Responses {
		for _, h := range r.Hrefs {
			id, err := c.id(h)
			if err != nil {
				return connectors.Page{}, err
			}
			switch st := code(r.Status); {
			case id == "":
				p.More = p.More || st == http.StatusInsufficientStorage
			case st == http.StatusNotFound:
				p.Changes = append(p.Changes, connectors.Change{ID: id, Gone: true})
			default:
				if etag, member := r.etag(); member && etag != "" {
					p.Changes = append(p.Changes, connectors.Change{ID: id, Rev: etag})
				}
			}
		}
	}
	return p, nil
}

// etag returns the entity tag of a response, and whether it is about a member
// and not about a collection inside.
func (r response) etag() (string, bool) {
	for _, ps := range r.Propstat {
		if ps.Prop.Type != nil && ps.Prop.Type.Collection != nil {
			return "", false
		}
		if c := code(ps.Status); ps.Prop.ETag != "" && (c == 0 || c/100 == 2) {
			return strings.TrimSpace(ps.Prop.ETag), true
		}
	}
	return "", true
}

// object is a member as it is on the server.
type object struct {
	data []byte
	etag string
	err  error
}

// fetch reads members by multiget (RFC 6352 section 8.7, RFC 4791 section 7.9).
// What an answer leaves out is asked for one by one: silence proves nothing.
func (c *collection) fetch(ctx context.Context, ids []string) (map[string]object, error) {
	ns, root, data := "urn:ietf:params:xml:ns:carddav", "addressbook-multiget", "address-data"
	if c.kind == connectors.KindAppointment {
		ns, root, data = "urn:ietf:params:xml:ns:caldav", "calendar-multiget", "calendar-data"
	}
	out := map[string]object{}
	var hrefs []string
	for _, id := range ids {
		if member(id) {
			hrefs = append(hrefs, c.href(id))
		} else {
			out[id] = object{err: &connectors.Error{Class: connectors.ErrNotFound}}
		}
	}
	if len(hrefs) == 0 {
		return out, nil
	}
	m, err := c.report(ctx, "1", multiget(ns, root, data, hrefs))
	if err != nil {
		return nil, err
	}
	for _, r := range m.Responses {
		for _, h := range r.Hrefs {
			id, err := c.id(h)
			if err != nil {
				return nil, err
			}
			st := code(r.Status)
			o := object{}
			for _, ps := range r.Propstat {
				if s := code(ps.Status); s != 0 && s/100 != 2 {
					continue
				}
				if v := ps.Prop.Address + ps.Prop.Calendar; v != "" {
					o.data, o.etag = []byte(v), strings.TrimSpace(ps.Prop.ETag)
				}
			}
			switch {
			case o.data != nil && o.etag != "":
				out[id] = o
			case st == http.StatusNotFound:
				out[id] = object{err: &connectors.Error{Class: connectors.ErrNotFound}}
			}
		}
	}
	for _, id := range ids {
		if _, ok := out[id]; !ok {
			o, err := c.get(ctx, id)
			if err != nil {
				return nil, err
			}
			out[id] = o
		}
	}
	return out, nil
}

// get reads one member. Its error means that the server could not be asked.
func (c *collection) get(ctx context.Context, id string) (object, error) {
	if !member(id) {
		return object{err: &connectors.Error{Class: connectors.ErrNotFound}}, nil
	}
	resp, err := c.do(ctx, http.MethodGet, c.url(id), "", nil, nil, true)
	if err != nil {
		return object{}, err
	}
	if err := resp.Err(false); err != nil {
		return object{err: err}, nil //nolint:nilerr // the member failed, not the asking
	}
	etag := resp.Header.Get("ETag")
	if etag == "" {
		return object{err: malformed("no entity tag")}, nil
	}
	return object{data: resp.Body, etag: etag}, nil
}

// record decodes a member.
func (c *collection) record(id string, o object) (*connectors.Record, error) {
	if o.err != nil {
		return nil, o.err
	}
	var r *connectors.Record
	if c.kind == connectors.KindContact {
		k, err := parseCard(o.data)
		if err != nil {
			return nil, err
		}
		r = k.contact()
	} else {
		e, err := parseEvent(o.data, c.floating)
		if err != nil {
			return nil, err
		}
		if r, err = e.appointment(); err != nil {
			return nil, err
		}
	}
	if len(r.Key) > connectors.MaxKey {
		r.Key = ""
	}
	r.ID, r.Rev = id, o.etag
	return r, nil
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, call connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	c, err := d.at(call, k)
	if err != nil {
		return nil, err
	}
	objects, err := c.fetch(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		if out[i].Record, err = c.record(id, objects[id]); err != nil {
			out[i].Err = identify(err, "get", k, id)
		}
	}
	return out, nil
}

// identify puts verb, kind and id into an error of ours.
func identify(err error, op string, k connectors.Kind, id string) error {
	if e, ok := err.(*connectors.Error); ok {
		v := *e
		v.Plugin, v.Op, v.Kind, v.ID = Name, op, k, id
		return &v
	}
	return err
}

// Find implements connectors.Driver: the key of a record is part of its address.
func (d *driver) Find(ctx context.Context, call connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	c, err := d.at(call, k)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = c.named(key)
	}
	objects, err := c.fetch(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := map[string][]connectors.Change{}
	for i, key := range keys {
		if o := objects[ids[i]]; o.err == nil {
			out[key] = append(out[key], connectors.Change{ID: ids[i], Rev: o.etag})
		}
	}
	return out, nil
}

// named returns the id of the record with a create key. A key of other
// characters than ours is hashed: it becomes part of an address.
func (c *collection) named(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}) {
		sum := sha256.Sum256([]byte(key))
		key = "key-" + hex.EncodeToString(sum[:])
	}
	return key + c.ext()
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, call connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	c, err := d.at(call, k)
	if err != nil {
		return connectors.IDs{}, err
	}
	resp, err := c.do(ctx, "PROPFIND", c.url(""), "1", []byte(propfindETag), nil, true)
	if err != nil {
		return connectors.IDs{}, err
	}
	if err := resp.Err(false); err != nil {
		return connectors.IDs{}, missing(err)
	}
	m, err := parseMultistatus(resp.Body)
	if err != nil {
		return connectors.IDs{}, err
	}
	var ids []string
	for _, r := range m.Responses {
		for _, h := range r.Hrefs {
			id, err := c.id(h)
			if err != nil {
				return connectors.IDs{}, err
			}
			if _, member := r.etag(); member && id > after {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	if len(ids) <= limit {
		return connectors.IDs{IDs: ids}, nil
	}
	return connectors.IDs{IDs: ids[:limit], Next: ids[limit-1]}, nil
}

// put writes a member under a condition.
func (c *collection) put(ctx context.Context, id string, data []byte, condition, value string) connectors.Written {
	mime := "text/vcard; charset=utf-8"
	if c.kind == connectors.KindAppointment {
		mime = "text/calendar; charset=utf-8"
	}
	fail := func(err error) connectors.Written { return connectors.Written{Err: identify(err, "put", c.kind, id)} }
	resp, err := c.do(ctx, http.MethodPut, c.url(id), "", data, map[string]string{"Content-Type": mime, condition: value}, false)
	if err != nil {
		return fail(err)
	}
	if err := resp.Err(true); err != nil {
		e := err.(*connectors.Error)
		switch {
		case resp.Status == http.StatusPreconditionFailed && condition == "If-None-Match":
			e.Class = connectors.ErrExists
		case resp.Status == http.StatusForbidden || resp.Status == http.StatusConflict:
			// A precondition of RFC 6352 section 5.3.2.1 or RFC 4791 section
			// 5.3.2.1 that the data does not meet.
			e.Class, e.Detail = connectors.ErrInvalid, "the server does not take the object"
			if strings.Contains(string(resp.Body), "no-uid-conflict") {
				e.Class, e.Detail = connectors.ErrInvalid, "another object has the same UID"
			}
		}
		return fail(e)
	}
	w := connectors.Written{ID: id, Rev: resp.Header.Get("ETag")}
	if w.Rev == "" {
		// The server stored something else than was sent, or does not say
		// (RFC 4791 section 5.3.4). Without an answer the next Changes tells.
		if o, err := c.get(ctx, id); err == nil && o.err == nil {
			w.Rev = o.etag
		}
	}
	return w
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, call connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	c, err := d.at(call, k)
	if err != nil {
		return nil, err
	}
	capability := capabilities().Kinds[k]
	out := make([]connectors.Written, len(ds))
	for i, draft := range ds {
		if err := capability.Fit(draft.Record, connectors.Fields(k)); err != nil {
			out[i].Err = err
			continue
		}
		var data []byte
		if k == connectors.KindContact {
			n := newCard(draft.Key, draft.Key)
			n.apply(draft.Record, connectors.Fields(k))
			data = n.bytes()
		} else {
			uid := draft.Record.Appointment.UID
			if uid == "" {
				uid = draft.Key
			}
			e := newEvent(uid, draft.Key, d.now())
			if err := e.write(draft.Record, connectors.Fields(k), d.now()); err != nil {
				out[i].Err = identify(err, "create", k, "")
				continue
			}
			data = e.root.bytes()
		}
		out[i] = c.put(ctx, c.named(draft.Key), data, "If-None-Match", "*")
	}
	return out, nil
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, call connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	c, err := d.at(call, k)
	if err != nil {
		return nil, err
	}
	capability := capabilities().Kinds[k]
	out := make([]connectors.Written, len(es))
	for i, e := range es {
		out[i] = c.update(ctx, e, capability)
	}
	return out, nil
}

func (c *collection) update(ctx context.Context, e connectors.Edit, capability connectors.Capability) connectors.Written {
	fail := func(err error) connectors.Written {
		return connectors.Written{Err: identify(err, "update", c.kind, e.ID)}
	}
	for _, f := range e.Fields {
		if l, ok := capability.Fields[f]; !ok || l.ReadOnly {
			return fail(&connectors.Error{Class: connectors.ErrUnsupported, Field: f})
		}
	}
	o, err := c.get(ctx, e.ID)
	if err != nil {
		return fail(err)
	}
	if o.err != nil {
		return fail(o.err)
	}
	if o.etag != e.Rev {
		return fail(&connectors.Error{Class: connectors.ErrPrecondition})
	}
	var data []byte
	if c.kind == connectors.KindContact {
		k, err := parseCard(o.data)
		if err != nil {
			return fail(err)
		}
		k.apply(e.Record, e.Fields)
		data = k.bytes()
	} else {
		ev, err := parseEvent(o.data, c.floating)
		if err != nil {
			return fail(err)
		}
		if err := ev.write(e.Record, e.Fields, c.now()); err != nil {
			return fail(err)
		}
		data = ev.root.bytes()
	}
	return c.put(ctx, e.ID, data, "If-Match", e.Rev)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, call connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	c, err := d.at(call, k)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(ts))
	for i, t := range ts {
		out[i].ID = t.ID
		if err := c.remove(ctx, t); err != nil {
			out[i].Err = identify(err, "delete", k, t.ID)
		}
	}
	return out, nil
}

// remove deletes one member that still has its revision.
func (c *collection) remove(ctx context.Context, t connectors.Target) error {
	if !member(t.ID) {
		return &connectors.Error{Class: connectors.ErrInvalid, Detail: "no id of a member"}
	}
	if t.Rev == "" || t.Rev == "*" { // any revision would do: RFC 9110 section 13.1.1
		return &connectors.Error{Class: connectors.ErrPrecondition}
	}
	resp, err := c.do(ctx, http.MethodDelete, c.url(t.ID), "", nil, map[string]string{"If-Match": t.Rev}, false)
	if err != nil {
		return err
	}
	switch resp.Status {
	case http.StatusNotFound, http.StatusGone:
		return nil
	case http.StatusPreconditionFailed:
		// The same answer for one that is gone: nothing has no revision.
		if o, err := c.get(ctx, t.ID); err == nil && errors.Is(o.err, connectors.ErrNotFound) {
			return nil
		}
	}
	return resp.Err(true)
}
