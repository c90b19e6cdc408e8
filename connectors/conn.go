package connectors

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Conn is one mailbox or CRM system as a caller holds it. Each verb is one
// decision of the authorizer on the container of its kind, recorded before it
// takes effect; a refusal is authz.ErrDenied and nothing reaches the driver.
// The zero Conn refuses. Safe for concurrent use.
type Conn struct {
	hub      *Hub
	plugin   Plugin
	driver   Driver
	who      authz.Principal
	ep       Endpoint
	settings Settings
	sent     atomic.Int64
}

// MaxItems is how many records or changes one verb takes or gives at most.
const MaxItems = 1000

// Plugin returns the name of the connector, "" for the zero Conn.
func (c *Conn) Plugin() string {
	if c == nil {
		return ""
	}
	return c.plugin.name
}

// Area returns the side of the lock this connection is on.
func (c *Conn) Area() Area {
	if c == nil {
		return 0
	}
	return c.plugin.caps.Area
}

// Resource returns the node whose containers this connection reaches.
func (c *Conn) Resource() authz.Resource {
	if c == nil {
		return authz.Resource{}
	}
	return c.ep.Resource
}

// OnBehalfOf returns the user served, zero if none.
func (c *Conn) OnBehalfOf() authz.Principal {
	if c == nil {
		return authz.Principal{}
	}
	return c.ep.OnBehalfOf
}

// Capability returns what the system can do with a kind, and whether it offers
// the kind at all.
func (c *Conn) Capability(k Kind) (Capability, bool) {
	if c == nil {
		return Capability{}, false
	}
	v, ok := c.plugin.caps.Kinds[k]
	if v.Batch <= 0 {
		v.Batch = 1
	}
	return v, ok
}

// Requests returns how many HTTP requests this connection has sent.
func (c *Conn) Requests() int64 {
	if c == nil {
		return 0
	}
	return c.sent.Load()
}

// Changes reports what changed since a cursor; see Driver. Needs items.read.
func (c *Conn) Changes(ctx context.Context, k Kind, cursor string, limit int) (Page, error) {
	call, err := c.begin(ctx, "changes", k, read)
	if err != nil {
		return Page{}, err
	}
	defer call.end()
	p, err := c.driver.Changes(ctx, call, k, cursor, clamp(limit))
	if err != nil {
		return Page{}, c.wrap("changes", k, err)
	}
	if len(p.Cursor) > MaxCursor || len(p.Changes) > 10*MaxItems {
		return Page{}, c.malformed("changes", k, "page or cursor too large")
	}
	for i := range p.Changes {
		if err := c.sane("changes", k, p.Changes[i].ID, p.Changes[i].Rev, p.Changes[i].Record); err != nil {
			return Page{}, err
		}
		if r := p.Changes[i].Record; r != nil && r.Mail != nil && (!p.Changes[i].Head || r.Mail.Body != "") {
			return Page{}, c.malformed("changes", k, "the body of a mail came along")
		}
	}
	return p, nil
}

// Get reads records by id; result i belongs to id i. Needs items.read.
func (c *Conn) Get(ctx context.Context, k Kind, ids []string) ([]Result, error) {
	call, err := c.begin(ctx, "get", k, read)
	if err != nil {
		return nil, err
	}
	defer call.end()
	if err := c.count("get", k, len(ids)); err != nil || len(ids) == 0 {
		return nil, err
	}
	for _, id := range ids {
		if err := named(id); err != nil {
			return nil, c.wrap("get", k, err)
		}
	}
	rs, err := c.driver.Get(ctx, call, k, ids)
	if err != nil {
		return nil, c.wrap("get", k, err)
	}
	if len(rs) != len(ids) {
		return nil, c.malformed("get", k, "wrong number of results")
	}
	for i := range rs {
		if rs[i].Record == nil && rs[i].Err == nil {
			return nil, c.malformed("get", k, "result without record")
		}
		if rs[i].Err != nil {
			rs[i] = Result{Err: c.wrap("get", k, rs[i].Err)}
		}
		if rs[i].Record != nil {
			if err := c.sane("get", k, rs[i].Record.ID, rs[i].Record.Rev, rs[i].Record); err != nil {
				rs[i] = Result{Err: err}
			}
		}
	}
	return rs, nil
}

// Find looks for records by create key; see Driver. Needs items.read.
func (c *Conn) Find(ctx context.Context, k Kind, keys []string) (map[string][]Change, error) {
	call, err := c.begin(ctx, "find", k, read)
	if err != nil {
		return nil, err
	}
	defer call.end()
	if err := c.count("find", k, len(keys)); err != nil || len(keys) == 0 {
		return nil, err
	}
	m, err := c.driver.Find(ctx, call, k, keys)
	if err != nil {
		return nil, c.wrap("find", k, err)
	}
	for _, cs := range m {
		for _, ch := range cs {
			if err := c.sane("find", k, ch.ID, ch.Rev, ch.Record); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// List pages through the ids that exist; see Driver. Needs items.read.
func (c *Conn) List(ctx context.Context, k Kind, after string, limit int) (IDs, error) {
	call, err := c.begin(ctx, "list", k, read)
	if err != nil {
		return IDs{}, err
	}
	defer call.end()
	p, err := c.driver.List(ctx, call, k, after, clamp(limit))
	if err != nil {
		return IDs{}, c.wrap("list", k, err)
	}
	if len(p.IDs) > 10*MaxItems || len(p.Next) > MaxCursor || (p.Next != "" && p.Next == after) {
		return IDs{}, c.malformed("list", k, "page too large or without end")
	}
	for _, id := range p.IDs {
		if err := c.sane("list", k, id, "", nil); err != nil {
			return IDs{}, err
		}
	}
	return p, nil
}

// Create makes records; result i belongs to draft i. Needs items.write.
func (c *Conn) Create(ctx context.Context, k Kind, ds []Draft) ([]Written, error) {
	return c.write(ctx, "create", k, write, len(ds), func(call Call) ([]Written, error) {
		for _, d := range ds {
			if d.Record == nil || d.Record.Kind != k || !d.Record.whole() || d.Key == "" || len(d.Key) > MaxKey {
				return nil, &Error{Class: ErrInvalid, Detail: "draft without record or key"}
			}
			if err := writableSeries(d.Record); err != nil {
				return nil, err
			}
		}
		return c.driver.Create(ctx, call, k, ds)
	})
}

// Update changes fields of records; result i belongs to edit i. Needs
// items.write. Mails are never updated: that is ErrUnsupported.
func (c *Conn) Update(ctx context.Context, k Kind, es []Edit) ([]Written, error) {
	return c.write(ctx, "update", k, write, len(es), func(call Call) ([]Written, error) {
		if k == KindMail {
			return nil, &Error{Class: ErrUnsupported, Detail: "mails are never updated"}
		}
		for _, e := range es {
			if e.Record == nil || e.Record.Kind != k || !e.Record.whole() || len(e.Fields) == 0 {
				return nil, &Error{Class: ErrInvalid, Detail: "edit without record or fields"}
			}
			if err := named(e.ID); err != nil {
				return nil, err
			}
			if err := writableSeries(e.Record); err != nil {
				return nil, err
			}
		}
		return c.driver.Update(ctx, call, k, es)
	})
}

// Delete removes records; result i belongs to target i. Needs items.delete.
func (c *Conn) Delete(ctx context.Context, k Kind, ts []Target) ([]Written, error) {
	return c.write(ctx, "delete", k, remove, len(ts), func(call Call) ([]Written, error) {
		for _, t := range ts {
			if err := named(t.ID); err != nil {
				return nil, err
			}
		}
		return c.driver.Delete(ctx, call, k, ts)
	})
}

func (c *Conn) write(ctx context.Context, op string, k Kind, a access, n int, do func(Call) ([]Written, error)) ([]Written, error) {
	call, err := c.begin(ctx, op, k, a)
	if err != nil {
		return nil, err
	}
	defer call.end()
	if err := c.count(op, k, n); err != nil || n == 0 {
		return nil, err
	}
	ws, err := do(call)
	if err != nil {
		return nil, c.wrap(op, k, err)
	}
	if len(ws) != n {
		return nil, c.malformed(op, k, "wrong number of results")
	}
	for i := range ws {
		if ws[i].Err != nil {
			ws[i].Err = c.wrap(op, k, ws[i].Err)
			continue
		}
		if op != "delete" || ws[i].ID != "" {
			if err := c.sane(op, k, ws[i].ID, ws[i].Rev, nil); err != nil {
				ws[i].Err = &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnknownOutcome, Cause: err}
			}
		}
	}
	return ws, nil
}

func clamp(limit int) int {
	if limit <= 0 || limit > MaxItems {
		return MaxItems
	}
	return limit
}

func (c *Conn) count(op string, k Kind, n int) error {
	if n > MaxItems {
		return &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrInvalid, Detail: fmt.Sprintf("%d records in one call, %d at most", n, MaxItems)}
	}
	return nil
}

// named refuses an id that names no record. On many systems the address of no
// record in particular is that of the whole container.
func named(id string) error {
	if id == "" || len(id) > MaxID {
		return &Error{Class: ErrInvalid, Detail: "empty or over-long id"}
	}
	return nil
}

// writableSeries refuses a series that no system should be asked to keep.
func writableSeries(r *Record) error {
	if r.Appointment != nil && !saneSeries(r.Appointment.Recurrence) {
		return &Error{Class: ErrInvalid, Field: FieldRecurrence, Detail: "too many exceptions in a series, or two of one occurrence"}
	}
	return nil
}

// sane refuses identities that no system should hand out and content of
// another kind than asked for.
func (c *Conn) sane(op string, k Kind, id, rev string, r *Record) error {
	if id == "" || len(id) > MaxID || len(rev) > MaxRev {
		return c.malformed(op, k, "empty or over-long id or revision")
	}
	if r == nil {
		return nil
	}
	if r.Kind != k || !r.whole() {
		return c.malformed(op, k, "record of another kind")
	}
	if len(r.Categories()) > MaxCategories || len(r.Refs) > MaxRefs || len(r.Attachments) > MaxAttachments {
		return c.malformed(op, k, "too many categories, references or attachments")
	}
	if a := r.Appointment; a != nil && !saneSeries(a.Recurrence) {
		return c.malformed(op, k, "too many exceptions in a series, or two of one occurrence")
	}
	for _, a := range r.Attachments {
		if a == nil || saneAttachment(*a) != nil {
			return c.malformed(op, k, "attachment without id or over-long")
		}
	}
	if r.Modified.After(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		return c.malformed(op, k, "time out of range")
	}
	return nil
}

func (c *Conn) malformed(op string, k Kind, detail string) error {
	return &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrMalformed, Detail: detail}
}

// wrap completes what a driver's error leaves open.
func (c *Conn) wrap(op string, k Kind, err error) error {
	if e, ok := err.(*Error); ok {
		v := *e
		v.Plugin, v.Op, v.Kind = c.plugin.name, op, k
		return &v
	}
	return &Error{Plugin: c.plugin.name, Op: op, Kind: k, Cause: err}
}
