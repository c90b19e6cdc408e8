// Package mem is the reference connector: a CRM or a mailbox in memory that does
// everything the contract of connectors.Driver asks, and on demand everything
// that goes wrong with real ones. Tests of whatever uses connectors run on it.
package mem

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Options of a System. The nil Options make one that can do everything.
type Options struct {
	Limits     map[connectors.Kind]map[connectors.Field]connectors.Limit // replaces the fields of a kind; nil: all fields, no limits
	NoTombs    bool                                                      // Changes never reports a deletion
	NoDelete   bool
	RefuseDups bool // a second Create with one key is ErrExists; otherwise it makes a second record
	Batch      int  // records a call takes; zero: 50
	Silent     bool // writes do not say the new revision
	Lean       bool // changes come without content
	Rules      bool // series are kept without exceptions
	Heads      bool // changes come without long texts, as those of mails always do
	Clock      func() time.Time

	// Kinds replaces what the system can do, kind by kind; a kind that is not
	// there is not offered. Nil: everything, as far as the options above let.
	// C4C, Graph, EWS and Google return those of real systems.
	Kinds map[connectors.Kind]connectors.Capability
}

// System is one CRM or one mailbox. Several connections may share it. Safe for
// concurrent use.
type System struct {
	opts Options
	can  map[connectors.Kind]connectors.Capability

	mu     sync.Mutex
	kinds  map[connectors.Kind]*shelf
	epoch  int // cursors of older epochs have expired
	serial int
	ledger []Entry
	faults []Fault
}

type shelf struct {
	items map[string]*item
	log   []string // ids in the order of their changes; an id may repeat
}

type item struct {
	rec   *connectors.Record
	files map[string][]byte // contents of attachments by their ids
	gone  bool
	at    int // position of its latest entry in the log
	born  time.Time
}

// Entry is one verb that reached the system.
type Entry struct {
	Verb string // changes, get, find, list, create, update, delete, open, attach, detach
	Kind connectors.Kind
	IDs  []string
}

// Fault makes the next call of a verb go wrong.
type Fault struct {
	Verb  string // "" matches every verb
	Write bool   // matches only create, update, delete, attach and detach
	Skip  int    // how many matching calls pass first
	After bool   // the call takes effect and its answer is lost; otherwise nothing happens
	Item  int    // 1-based record of a write or of a get that fails alone; 0: the whole call
	Err   error  // nil: connectors.ErrUnavailable, or ErrUnknownOutcome with After

	// Wait makes the call slow and nothing else go wrong: it goes on when the
	// channel is closed, or ends with its context. Arrived is called before.
	Wait    <-chan struct{}
	Arrived func()
}

func (f *Fault) matches(verb string) bool {
	switch verb {
	case "create", "update", "delete", "attach", "detach":
	default:
		if f.Write {
			return false
		}
	}
	return f.Verb == "" || f.Verb == verb
}

// New makes an empty system.
func New(o *Options) *System {
	s := &System{kinds: map[connectors.Kind]*shelf{}}
	if o != nil {
		s.opts = *o
	}
	if s.opts.Clock == nil {
		s.opts.Clock = time.Now
	}
	if s.opts.Batch <= 0 {
		s.opts.Batch = 50
	}
	for _, k := range connectors.Kinds() {
		s.kinds[k] = &shelf{items: map[string]*item{}}
	}
	s.can = s.Capabilities(connectors.CRM).Kinds
	return s
}

// Plugin offers the system as a connector of either area under a name.
func (s *System) Plugin(name string, a connectors.Area) (connectors.Plugin, error) {
	return connectors.NewPlugin(name, s.Capabilities(a), func(connectors.Settings) (connectors.Driver, error) { return s.Driver(), nil })
}

// Driver returns what the connector is made of, for connectors that are built
// around it. Like any driver it acts only within a live Call.
func (s *System) Driver() connectors.Driver { return driver{s} }

// Capabilities returns what the system can do.
func (s *System) Capabilities(a connectors.Area) connectors.Capabilities {
	c := connectors.Capabilities{Area: a, Kinds: map[connectors.Kind]connectors.Capability{}}
	for _, k := range connectors.Kinds() {
		if s.opts.Kinds != nil {
			if v, ok := s.opts.Kinds[k]; ok {
				c.Kinds[k] = v
			}
			continue
		}
		fields := s.opts.Limits[k]
		if fields == nil {
			fields = map[connectors.Field]connectors.Limit{}
			for _, f := range connectors.Fields(k) {
				fields[f] = connectors.Limit{}
			}
		}
		_, series := fields[connectors.FieldRecurrence]
		c.Kinds[k] = connectors.Capability{Exceptions: series && !s.opts.Rules, Fields: fields, Create: true, Update: k != connectors.KindMail, Delete: !s.opts.NoDelete, Tombstones: !s.opts.NoTombs,
			Batch: s.opts.Batch, Search: searchable(k), Refs: references(k), Attachments: connectors.AttachmentCapability{Read: true, Write: true, Delete: !s.opts.NoDelete}}
	}
	return c
}

// Add puts a record in as a user would, under an id of the system's choice,
// which it returns.
func (s *System) Add(r *connectors.Record) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(r.Clone())
}

func (s *System) add(r *connectors.Record) string {
	s.serial++
	r.ID = fmt.Sprintf("id-%06d", s.serial)
	s.put(r)
	return r.ID
}

// put stores a record as the newest change.
func (s *System) put(r *connectors.Record) {
	s.serial++
	r.Rev, r.Modified = fmt.Sprintf("r%d", s.serial), s.opts.Clock().UTC().Truncate(time.Second)
	sh := s.kinds[r.Kind]
	next := &item{rec: r, at: len(sh.log), born: r.Modified}
	if was := sh.items[r.ID]; was != nil {
		next.files, next.born = was.files, was.born
	}
	sh.items[r.ID] = next
	sh.log = append(sh.log, r.ID)
}

// Edit changes a record as a user would; it reports whether there is one.
func (s *System) Edit(k connectors.Kind, id string, edit func(*connectors.Record)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.kinds[k].items[id]
	if it == nil || it.gone {
		return false
	}
	r := it.rec.Clone()
	edit(r)
	r.ID, r.Kind = id, k
	s.put(r)
	return true
}

// Touch gives a record a new revision and changes nothing else.
func (s *System) Touch(k connectors.Kind, id string) bool {
	return s.Edit(k, id, func(*connectors.Record) {})
}

// Remove deletes a record as a user would; it reports whether there was one.
func (s *System) Remove(k connectors.Kind, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(k, id)
}

func (s *System) remove(k connectors.Kind, id string) bool {
	sh := s.kinds[k]
	it := sh.items[id]
	if it == nil || it.gone {
		return false
	}
	s.serial++
	sh.items[id] = &item{gone: true, at: len(sh.log)}
	sh.log = append(sh.log, id)
	return true
}

// Records returns copies of what is there, by id.
func (s *System) Records(k connectors.Kind) []*connectors.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*connectors.Record
	for _, it := range s.kinds[k].items {
		if !it.gone {
			out = append(out, it.rec.Clone())
		}
	}
	slices.SortFunc(out, func(a, b *connectors.Record) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// ExpireCursors makes every cursor handed out so far ErrCursorExpired.
func (s *System) ExpireCursors() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

// Fail adds faults; each is used once.
func (s *System) Fail(fs ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fs...)
}

// Heal removes the faults that did not happen yet.
func (s *System) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// refers checks that what a record refers to is there.
func (s *System) refers(r *connectors.Record) error {
	for _, ref := range r.Refs {
		sh := s.kinds[ref.Kind]
		if sh == nil || sh.items[ref.ID] == nil || sh.items[ref.ID].gone {
			return &connectors.Error{Op: "check", Kind: r.Kind, Field: connectors.FieldRefs, Class: connectors.ErrInvalid, Detail: "refers to a record that is not there"}
		}
	}
	return nil
}

// Ledger returns what reached the system since the last call of Ledger.
func (s *System) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledger
	s.ledger = nil
	return l
}

// Writes counts the records that entries of a ledger created, changed or deleted.
func Writes(l []Entry) (n int) {
	for _, e := range l {
		if slices.Contains([]string{"create", "update", "delete", "attach", "detach"}, e.Verb) {
			n += len(e.IDs)
		}
	}
	return n
}

// fault takes the fault that this call meets, if any.
func (s *System) fault(verb string) *Fault {
	for i := range s.faults {
		f := &s.faults[i]
		if !f.matches(verb) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		hit := *f
		if hit.Err == nil {
			if hit.Err = connectors.ErrUnavailable; hit.After {
				hit.Err = connectors.ErrUnknownOutcome
			}
		}
		s.faults = slices.Delete(s.faults, i, i+1)
		return &hit
	}
	return nil
}

type driver struct{ s *System }

var _ connectors.Driver = driver{}

// enter starts a call: it must be alive, and may meet a fault. The lock is held,
// except while a slow call waits.
func (d driver) enter(ctx context.Context, c connectors.Call, verb string, k connectors.Kind, ids []string) (*Fault, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &connectors.Error{Class: connectors.ErrUnavailable, Cause: err}
	}
	d.s.ledger = append(d.s.ledger, Entry{verb, k, ids})
	f := d.s.fault(verb)
	if f != nil && f.Wait != nil {
		d.s.mu.Unlock()
		defer d.s.mu.Lock()
		if f.Arrived != nil {
			f.Arrived()
		}
		select {
		case <-f.Wait:
			return nil, nil
		case <-ctx.Done():
			return nil, &connectors.Error{Class: connectors.ErrUnavailable, Cause: ctx.Err()}
		}
	}
	if f != nil && !f.After && f.Item == 0 {
		return nil, &connectors.Error{Class: f.Err}
	}
	return f, nil
}

// Changes implements connectors.Driver. A cursor is the kind, the epoch, where
// the log ended when the listing of everything began, and a position in the log.
// What was gone before that listing is no news to anybody.
func (d driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "changes", k, nil)
	if err != nil {
		return connectors.Page{}, err
	}
	sh := d.s.kinds[k]
	began, from := len(sh.log), 0
	if cursor != "" {
		var ok bool
		if began, from, ok = d.s.position(k, cursor); !ok {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired}
		}
	}
	p := connectors.Page{}
	pos := from
	for ; pos < len(sh.log) && len(p.Changes) < limit; pos++ {
		id := sh.log[pos]
		it := sh.items[id]
		switch {
		case it.at != pos: // a later entry tells the same
		case it.gone && (pos < began || !d.s.can[k].Tombstones):
		case it.gone:
			p.Changes = append(p.Changes, connectors.Change{ID: id, Gone: true})
		default:
			c := connectors.Change{ID: id, Rev: it.rec.Rev, Modified: it.rec.Modified}
			if !d.s.opts.Lean {
				c.Record = it.rec.Clone()
			}
			if c.Record != nil && (d.s.opts.Heads || k == connectors.KindMail) {
				c.Head = true
				c.Record.Head()
			}
			p.Changes = append(p.Changes, c)
		}
	}
	p.More = pos < len(sh.log)
	p.Cursor = d.s.cursor(k, began, pos)
	if f != nil {
		return connectors.Page{}, &connectors.Error{Class: f.Err}
	}
	return p, nil
}

func (s *System) cursor(k connectors.Kind, began, pos int) string {
	return fmt.Sprintf("%s:%d:%d:%d", k, s.epoch, began, pos)
}

// position is the inverse of cursor and takes nothing else.
func (s *System) position(k connectors.Kind, cursor string) (began, pos int, ok bool) {
	parts := strings.Split(cursor, ":")
	if len(parts) != 4 {
		return 0, 0, false
	}
	began, err1 := strconv.Atoi(parts[2])
	pos, err2 := strconv.Atoi(parts[3])
	n := len(s.kinds[k].log)
	return began, pos, err1 == nil && err2 == nil && began >= 0 && began <= n && pos >= 0 && pos <= n && s.cursor(k, began, pos) == cursor
}

// Get implements connectors.Driver.
func (d driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "get", k, ids)
	if err != nil {
		return nil, err
	}
	if f != nil && f.Item == 0 {
		return nil, &connectors.Error{Class: f.Err}
	}
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		if it := d.s.kinds[k].items[id]; it != nil && !it.gone {
			out[i].Record = it.rec.Clone()
		} else {
			out[i].Err = &connectors.Error{Op: "get", Kind: k, ID: id, Class: connectors.ErrNotFound}
		}
		if f != nil && f.Item == i+1 {
			out[i] = connectors.Result{Err: &connectors.Error{Op: "get", Kind: k, ID: id, Class: f.Err}}
		}
	}
	return out, nil
}

// Find implements connectors.Driver.
func (d driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "find", k, nil)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, &connectors.Error{Class: f.Err}
	}
	out := map[string][]connectors.Change{}
	for _, it := range d.s.kinds[k].items {
		if !it.gone && it.rec.Key != "" && slices.Contains(keys, it.rec.Key) {
			out[it.rec.Key] = append(out[it.rec.Key], connectors.Change{ID: it.rec.ID, Rev: it.rec.Rev, Modified: it.rec.Modified})
		}
	}
	for _, cs := range out {
		slices.SortFunc(cs, func(a, b connectors.Change) int { return strings.Compare(a.ID, b.ID) })
	}
	return out, nil
}

// List implements connectors.Driver.
func (d driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "list", k, nil)
	if err != nil {
		return connectors.IDs{}, err
	}
	if f != nil {
		return connectors.IDs{}, &connectors.Error{Class: f.Err}
	}
	var ids []string
	for id, it := range d.s.kinds[k].items {
		if !it.gone && id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(ids) <= limit {
		return connectors.IDs{IDs: ids}, nil
	}
	return connectors.IDs{IDs: ids[:limit], Next: ids[limit-1]}, nil
}

// each runs a write for every record of a call.
func (d driver) each(ctx context.Context, c connectors.Call, verb string, k connectors.Kind, ids []string, one func(i int) connectors.Written) ([]connectors.Written, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, verb, k, ids)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(ids))
	for i := range ids {
		hit := f != nil && (f.Item == 0 || f.Item == i+1)
		if !hit || f.After {
			out[i] = one(i)
		}
		if hit {
			out[i] = connectors.Written{Err: &connectors.Error{Op: verb, Kind: k, ID: ids[i], Class: f.Err}}
		}
	}
	return out, nil
}

// Create implements connectors.Driver.
func (d driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	capability := d.s.can[k]
	if !capability.Create {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	keys := make([]string, len(ds))
	for i := range ds {
		keys[i] = ds[i].Key
	}
	return d.each(ctx, c, "create", k, keys, func(i int) connectors.Written {
		if err := capability.Fit(ds[i].Record, connectors.Fields(k)); err != nil {
			return connectors.Written{Err: err}
		}
		if err := d.s.refers(ds[i].Record); err != nil {
			return connectors.Written{Err: err}
		}
		if d.s.opts.RefuseDups && !capability.NoKey {
			for _, it := range d.s.kinds[k].items {
				if !it.gone && it.rec.Key == ds[i].Key {
					return connectors.Written{Err: &connectors.Error{Op: "create", Kind: k, Class: connectors.ErrExists}}
				}
			}
		}
		r := connectors.NewRecord(k)
		fields := slices.DeleteFunc(connectors.Fields(k), func(f connectors.Field) bool { return !capability.Has(f) || capability.Fields[f].ReadOnly })
		connectors.CopyFields(r, ds[i].Record, append(fields, connectors.FieldRefs), capability.Known())
		if !capability.NoKey {
			r.Key = ds[i].Key
		}
		d.s.add(r)
		return d.s.written(r)
	})
}

func (s *System) written(r *connectors.Record) connectors.Written {
	if s.opts.Silent {
		return connectors.Written{ID: r.ID}
	}
	return connectors.Written{ID: r.ID, Rev: r.Rev, Modified: r.Modified}
}

// Update implements connectors.Driver.
func (d driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	capability := d.s.can[k]
	if !capability.Update {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	ids := make([]string, len(es))
	for i := range es {
		ids[i] = es[i].ID
	}
	return d.each(ctx, c, "update", k, ids, func(i int) connectors.Written {
		e := es[i]
		it := d.s.kinds[k].items[e.ID]
		bad := func(class error) connectors.Written {
			return connectors.Written{Err: &connectors.Error{Op: "update", Kind: k, ID: e.ID, Class: class}}
		}
		switch {
		case it == nil || it.gone:
			return bad(connectors.ErrNotFound)
		case it.rec.Rev != e.Rev:
			return bad(connectors.ErrPrecondition)
		}
		r := it.rec.Clone()
		for _, f := range e.Fields {
			if f == connectors.FieldRefs {
				if err := d.s.refers(e.Record); err != nil {
					return connectors.Written{Err: err}
				}
			} else if !capability.Has(f) || capability.Fields[f].ReadOnly {
				return bad(connectors.ErrInvalid)
			}
		}
		connectors.CopyFields(r, e.Record, e.Fields, capability.Known())
		if err := capability.FitEdit(r, it.rec, e.Fields); err != nil {
			return connectors.Written{Err: err}
		}
		d.s.put(r)
		return d.s.written(r)
	})
}

// Delete implements connectors.Driver.
func (d driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	ids := make([]string, len(ts))
	for i := range ts {
		ids[i] = ts[i].ID
	}
	can := d.s.can[k].Delete
	return d.each(ctx, c, "delete", k, ids, func(i int) connectors.Written {
		if !can {
			return connectors.Written{Err: &connectors.Error{Op: "delete", Kind: k, ID: ts[i].ID, Class: connectors.ErrUnsupported}}
		}
		if it := d.s.kinds[k].items[ts[i].ID]; it != nil && !it.gone {
			if it.rec.Rev != ts[i].Rev {
				return connectors.Written{Err: &connectors.Error{Op: "delete", Kind: k, ID: ts[i].ID, Class: connectors.ErrPrecondition}}
			}
			d.s.remove(k, ts[i].ID)
		}
		return connectors.Written{ID: ts[i].ID}
	})
}
