package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

const (
	kc = connectors.KindContact
	ka = connectors.KindAppointment
)

// dedupe is what a system does with a second create under one key.
type dedupe uint8

const (
	never   dedupe = iota // makes a second record
	refuses               // ErrExists while the first is alive
	forever               // ErrExists even after the first was deleted
)

// dialect is how one family of systems behaves.
type dialect struct {
	name       string
	area       connectors.Area
	tombstones bool
	overlap    bool // cursors are times and go five minutes back: changes come again
	window     bool // a calendar shows only a window of days; leaving it looks like a deletion
	inline     bool // content comes along with changes
	silentRev  bool // a write does not say the new revision
	invites    bool // a change of a meeting by anybody mails its attendees
	shared     bool // its attendees' copies follow a change by a program
	keeps      map[connectors.Kind]dedupe
	lag        map[connectors.Kind]time.Duration // how long a write may stay invisible to listings
	batch      int
}

// dialects are the CRM and the mailboxes, by the table in DESIGN.md of this folder.
func dialects() []dialect {
	return []dialect{
		{name: "c4c", area: connectors.CRM, overlap: true, inline: true, batch: 20, keeps: map[connectors.Kind]dedupe{kc: refuses, ka: refuses}},
		{name: "graph", area: connectors.Mailbox, tombstones: true, window: true, invites: true, shared: true, batch: 20,
			keeps: map[connectors.Kind]dedupe{ka: refuses}, lag: map[connectors.Kind]time.Duration{kc: 5 * time.Second, ka: 5 * time.Second}},
		{name: "ews", area: connectors.Mailbox, tombstones: true, batch: 50},
		{name: "google", area: connectors.Mailbox, tombstones: true, inline: true, shared: true, batch: 50,
			keeps: map[connectors.Kind]dedupe{ka: forever}, lag: map[connectors.Kind]time.Duration{kc: 2 * time.Minute}},
		{name: "dav", area: connectors.Mailbox, tombstones: true, silentRev: true, batch: 50,
			keeps: map[connectors.Kind]dedupe{kc: refuses, ka: refuses}},
	}
}

// fieldsOf are what users fill in here, by kind. The rest stays empty.
func fieldsOf(k connectors.Kind) []connectors.Field {
	if k == kc {
		return []connectors.Field{connectors.FieldGivenName, connectors.FieldFamilyName, connectors.FieldEmail, connectors.FieldPhone,
			connectors.FieldJobTitle, connectors.FieldNote}
	}
	return []connectors.Field{connectors.FieldSubject, connectors.FieldLocation, connectors.FieldDescription, connectors.FieldTime,
		connectors.FieldSensitivity, connectors.FieldOrganizer, connectors.FieldAttendees}
}

func capabilities(d dialect) connectors.Capabilities {
	c := connectors.Capabilities{Area: d.area, Kinds: map[connectors.Kind]connectors.Capability{}}
	for _, k := range []connectors.Kind{kc, ka} {
		fs := map[connectors.Field]connectors.Limit{}
		for _, f := range fieldsOf(k) {
			fs[f] = connectors.Limit{}
		}
		switch {
		case d.area == connectors.CRM && k == kc:
			fs[connectors.FieldFamilyName] = connectors.Limit{Runes: 40, Required: true}
		case k == ka:
			fs[connectors.FieldTime] = connectors.Limit{Required: true}
			if d.area == connectors.Mailbox {
				// As in the real connectors: people invite, programs do not.
				for _, f := range []connectors.Field{connectors.FieldUID, connectors.FieldOrganizer, connectors.FieldAttendees} {
					fs[f] = connectors.Limit{ReadOnly: true}
				}
			}
		}
		c.Kinds[k] = connectors.Capability{Fields: fs, Create: true, Update: true, Delete: true, Tombstones: d.tombstones, Batch: d.batch}
		if lag := d.lag[k]; lag > time.Minute { // less is waited out by every engine, and no connector names it
			cap := c.Kinds[k]
			cap.Lag = lag
			c.Kinds[k] = cap
		}
	}
	return c
}

// item is one record in a system, alive or not.
type item struct {
	rec     *connectors.Record
	what    *thing
	prov    map[connectors.Field]*edit // which edit each value comes from
	gone    bool
	at      int              // position of its latest entry in the log
	since   time.Time        // when listings show it first
	stamp   time.Time        // as the system's clock says
	made    bool             // by the engine
	written [maxBoxes]string // by mailbox: the revision that its round made and did not note yet
	owner   int              // whose it is, of contacts in the CRM
	told    map[connectors.Field]*edit
	org     bool // the organizer's own copy of a meeting
}

// invites reports whether others hear of what happens to it: it is the organizer's
// own copy of a meeting, and not one that was made by a program, which invites nobody.
func (it *item) invites() bool {
	return it.org && it.what.meeting && !it.made && len(it.rec.Appointment.Attendees) > 0
}

// entry is one line of a system's change log.
type entry struct {
	it      *item
	k       connectors.Kind
	left    bool      // left the window: reported like a deletion
	visible time.Time // not before
	rev     string
	old     *connectors.Record // the content before, for stale answers
}

// system is the model of one CRM or mailbox.
type system struct {
	w      *world
	d      dialect
	name   string
	user   int // whose mailbox; -1 is the CRM
	items  []*item
	byID   map[string]*item
	log    []entry
	serial int
	epoch  [3]int // by kind: cursors of older epochs have expired
	skew   time.Duration
	used   map[string]bool // keys that were ever created
	frozen bool            // a dry run is on: nothing may be written
	denied error           // every call fails so until this is taken away
}

func newSystem(w *world, d dialect, name string, user int) *system {
	return &system{w: w, d: d, name: name, user: user, byID: map[string]*item{}, used: map[string]bool{}}
}

func (s *system) crm() bool { return s.user < 0 }

// side of a pair that this system is, as an index.
func (s *system) side() int {
	if s.crm() {
		return 0
	}
	return 1
}

// sees reports whether a user's connection shows a record.
func (s *system) sees(it *item, user int) bool {
	if !s.crm() {
		return true
	}
	if it.rec.Kind == kc {
		return it.owner == user
	}
	a := it.rec.Appointment
	me := address(user)
	return it.owner == user || a.Organizer.Address == me || slices.ContainsFunc(a.Attendees, func(p connectors.Party) bool { return p.Address == me })
}

func address(user int) string { return fmt.Sprintf("u%d@acme.example", user) }

// shows reports whether the calendar's window has a record in it.
func (s *system) shows(r *connectors.Record) bool {
	if !s.d.window || r.Appointment == nil {
		return true
	}
	return r.Appointment.End.After(s.w.now.Add(-30*24*time.Hour)) && r.Appointment.Start.Before(s.w.now.Add(400*24*time.Hour))
}

// add stores a new record.
func (s *system) add(r *connectors.Record, t *thing, owner int) *item {
	s.serial++
	r.ID = fmt.Sprintf("%s-%d", s.name, s.serial)
	it := &item{rec: r, what: t, owner: owner, prov: map[connectors.Field]*edit{}}
	for _, f := range fieldsOf(r.Kind) {
		if e := t.edit(f, valueOf(r, f)); e != nil {
			it.prov[f] = e
		}
	}
	s.items = append(s.items, it)
	s.byID[r.ID] = it
	t.places = append(t.places, place{s, it})
	s.put(it, nil)
	it.since = s.log[it.at].visible
	return it
}

// put makes a new revision of a record and logs it.
func (s *system) put(it *item, old *connectors.Record) {
	s.serial++
	it.rec.Rev = "r" + strconv.Itoa(s.serial)
	it.stamp = s.w.now.Add(s.skew)
	it.rec.Modified = it.stamp.UTC().Truncate(time.Second)
	it.at = len(s.log)
	left := old != nil && s.shows(old) && !s.shows(it.rec)
	s.log = append(s.log, entry{it: it, k: it.rec.Kind, left: left, visible: s.w.now.Add(s.lag(it.rec.Kind)), rev: it.rec.Rev, old: old})
}

func (s *system) lag(k connectors.Kind) time.Duration {
	if l := s.d.lag[k]; l > 0 && !s.w.resting {
		s.w.some(lagged)
		return time.Duration(s.w.rng.Int64N(int64(l)))
	}
	return 0
}

func (s *system) remove(it *item) {
	it.gone = true
	it.at = len(s.log)
	s.log = append(s.log, entry{it: it, k: it.rec.Kind, visible: s.w.now.Add(s.lag(it.rec.Kind))})
}

// alive returns the records of a kind that are there, in the order of their birth.
func (s *system) alive(k connectors.Kind) []*item {
	var out []*item
	for _, it := range s.items {
		if !it.gone && it.rec.Kind == k {
			out = append(out, it)
		}
	}
	return out
}

// driver is a user's connection to a system.
type driver struct {
	s    *system
	user int
}

var _ connectors.Driver = driver{}

func fail(class error) error {
	return &connectors.Error{Class: class, Detail: "simulated"}
}

// enter starts a call: it counts as a step and may meet a fault.
func (d driver) enter(ctx context.Context, c connectors.Call, op string, k connectors.Kind, ids []string) (fault, error) {
	if err := c.Err(); err != nil {
		return fault{}, err
	}
	if err := ctx.Err(); err != nil {
		return fault{}, &connectors.Error{Class: connectors.ErrUnavailable, Cause: err}
	}
	w := d.s.w
	w.call(d, op, k, ids)
	f := w.boundary(true, op)
	if d.s.denied != nil {
		w.active = true
		return f, fail(d.s.denied)
	}
	if f.class != nil && !f.after && !f.late && f.item == 0 {
		w.note("  fault: %s %s fails: %v", d.s.name, op, f.class)
		return f, fail(f.class)
	}
	return f, nil
}

// lost is the error of a call that took effect and whose answer was lost.
func (f fault) lost() error {
	if f.class != nil && f.after && f.item == 0 {
		return fail(f.class)
	}
	return nil
}

func (d driver) change(it *item, stale *connectors.Record) connectors.Change {
	r := it.rec
	if stale != nil {
		r = stale
	}
	c := connectors.Change{ID: r.ID, Rev: r.Rev, Modified: r.Modified}
	if d.s.d.inline {
		c.Record = r.Clone()
	}
	return c
}

// Changes implements connectors.Driver.
func (d driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	f, err := d.enter(ctx, c, "changes", k, nil)
	if err != nil {
		return connectors.Page{}, err
	}
	if f.lost() != nil {
		return connectors.Page{}, f.lost()
	}
	var p connectors.Page
	if d.s.d.overlap {
		p, err = d.byTime(k, cursor, limit)
	} else {
		p, err = d.byLog(k, cursor, limit, f.replay)
	}
	if err != nil {
		return p, err
	}
	if f.shuffle {
		d.s.w.rng.Shuffle(len(p.Changes), func(i, j int) { p.Changes[i], p.Changes[j] = p.Changes[j], p.Changes[i] })
	}
	if f.twice && len(p.Changes) > 0 {
		p.Changes = append(p.Changes, p.Changes[d.s.w.rng.IntN(len(p.Changes))])
	}
	d.s.w.hash(uint64(len(p.Changes)))
	for _, ch := range p.Changes {
		d.s.w.say(ch.ID, ch.Rev)
	}
	return p, nil
}

// byTime goes by the time of the last change, five minutes back, keyset by time
// and id: "T.unixnano.id.max".
func (d driver) byTime(k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	type at struct {
		t  int64
		id string
	}
	var from at
	var top int64
	paging := false
	if cursor != "" {
		parts := strings.Split(cursor, "|")
		epoch, _ := strconv.Atoi(parts[0])
		if len(parts) != 4 || epoch != d.s.epoch[k%3] {
			return connectors.Page{}, fail(connectors.ErrCursorExpired)
		}
		from.t, _ = strconv.ParseInt(parts[1], 10, 64)
		from.id = parts[2]
		top, _ = strconv.ParseInt(parts[3], 10, 64)
		paging = from.id != ""
		if !paging {
			from.t -= int64(5 * time.Minute)
		}
	}
	var its []*item
	for _, it := range d.s.items {
		if it.gone || it.rec.Kind != k || !d.s.sees(it, d.user) {
			continue
		}
		if t := it.stamp.UnixNano(); t > from.t || t == from.t && (!paging || it.rec.ID > from.id) {
			its = append(its, it)
		}
	}
	slices.SortFunc(its, func(a, b *item) int {
		if c := a.stamp.Compare(b.stamp); c != 0 {
			return c
		}
		return strings.Compare(a.rec.ID, b.rec.ID)
	})
	var p connectors.Page
	p.More = len(its) > limit
	its = its[:min(limit, len(its))]
	for _, it := range its {
		p.Changes = append(p.Changes, d.change(it, nil))
		top = max(top, it.stamp.UnixNano())
	}
	next := at{t: top}
	if p.More {
		next = at{its[len(its)-1].stamp.UnixNano(), its[len(its)-1].rec.ID}
	}
	p.Cursor = fmt.Sprintf("%d|%d|%s|%d", d.s.epoch[k%3], next.t, next.id, top)
	return p, nil
}

// byLog goes by position in the log: "epoch|begin|position".
func (d driver) byLog(k connectors.Kind, cursor string, limit int, replay bool) (connectors.Page, error) {
	s := d.s
	began, pos := len(s.log), 0
	if cursor != "" {
		var epoch int
		if n, _ := fmt.Sscanf(cursor, "%d|%d|%d", &epoch, &began, &pos); n != 3 || epoch != s.epoch[k%3] {
			return connectors.Page{}, fail(connectors.ErrCursorExpired)
		}
		if replay && pos > began {
			pos = began + s.w.rng.IntN(pos-began)
			s.w.active = true
		}
	}
	var p connectors.Page
	end := pos
	for end < len(s.log) && (s.w.resting || !s.log[end].visible.After(s.w.now)) {
		end++
	}
	s.w.active = s.w.active || end < len(s.log) // something is not visible yet
	for ; pos < end && len(p.Changes) < limit; pos++ {
		e := s.log[pos]
		if e.k != k || e.it.at != pos && e.it.at < end { // a later entry tells the same
			continue
		}
		switch {
		case e.it.gone || !s.shows(e.it.rec):
			if pos >= began {
				p.Changes = append(p.Changes, connectors.Change{ID: e.it.rec.ID, Gone: true})
			}
		default:
			p.Changes = append(p.Changes, d.change(e.it, nil))
		}
	}
	p.More = pos < end
	p.Cursor = fmt.Sprintf("%d|%d|%d", s.epoch[k%3], began, pos)
	return p, nil
}

// Get implements connectors.Driver.
func (d driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	f, err := d.enter(ctx, c, "get", k, ids)
	if err != nil {
		return nil, err
	}
	if f.lost() != nil {
		return nil, f.lost()
	}
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		it := d.s.byID[id]
		switch {
		case f.item == i+1 && f.class != nil:
			out[i].Err = fail(f.class)
		case it == nil || it.gone || it.rec.Kind != k:
			out[i].Err = fail(connectors.ErrNotFound)
		default:
			out[i].Record = it.rec.Clone()
			d.s.w.say(id, it.rec.Rev)
		}
	}
	return out, nil
}

// Find implements connectors.Driver.
func (d driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	f, err := d.enter(ctx, c, "find", k, nil)
	if err != nil {
		return nil, err
	}
	if f.lost() != nil {
		return nil, f.lost()
	}
	out := map[string][]connectors.Change{}
	for _, it := range d.s.items {
		if it.gone || it.rec.Kind != k || it.rec.Key == "" || !slices.Contains(keys, it.rec.Key) {
			continue
		}
		if !d.s.w.resting && it.since.After(d.s.w.now) {
			continue
		}
		out[it.rec.Key] = append(out[it.rec.Key], connectors.Change{ID: it.rec.ID, Rev: it.rec.Rev, Modified: it.rec.Modified})
		d.s.w.say(it.rec.ID, it.rec.Rev)
	}
	return out, nil
}

// List implements connectors.Driver.
func (d driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	f, err := d.enter(ctx, c, "list", k, nil)
	if err != nil {
		return connectors.IDs{}, err
	}
	if f.lost() != nil {
		return connectors.IDs{}, f.lost()
	}
	var ids []string
	for _, it := range d.s.items {
		if !it.gone && it.rec.Kind == k && it.rec.ID > after && d.s.sees(it, d.user) && d.s.shows(it.rec) &&
			(d.s.w.resting || !it.since.After(d.s.w.now)) {
			ids = append(ids, it.rec.ID)
		}
	}
	slices.Sort(ids)
	if len(ids) <= limit {
		return connectors.IDs{IDs: ids}, nil
	}
	return connectors.IDs{IDs: ids[:limit], Next: ids[limit-1]}, nil
}

// each runs a write record by record under the call's fault.
func (d driver) each(ctx context.Context, c connectors.Call, op string, k connectors.Kind, ids []string, one func(i int) connectors.Written) ([]connectors.Written, error) {
	f, err := d.enter(ctx, c, op, k, ids)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(ids))
	for i := range ids {
		hit := f.class != nil && (f.item == 0 || f.item == i+1)
		switch {
		case hit && f.late:
			d.s.w.later(3*time.Second, func() { one(i) })
		case !hit || f.after:
			out[i] = one(i)
			if f.again && op == "create" {
				d.s.w.duplicated(d, out[i])
				one(i)
			}
		}
		if hit {
			out[i] = connectors.Written{Err: fail(f.class)}
			d.s.w.note("  fault: %s %s record %d: %v (took effect: %v)", d.s.name, op, i, f.class, f.after)
		}
		d.s.w.say(out[i].ID, out[i].Rev)
	}
	if f.crash {
		d.s.w.crash("after " + op)
	}
	return out, nil
}

// Create implements connectors.Driver.
func (d driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	ids := make([]string, len(ds))
	for i, x := range ds {
		ids[i] = x.Key
		d.s.w.judgeDraft(d, x.Record)
	}
	return d.each(ctx, c, "create", k, ids, func(i int) connectors.Written {
		key := ds[i].Key
		switch d.s.d.keeps[k] {
		case forever:
			if d.s.used[key] {
				return connectors.Written{Err: fail(connectors.ErrExists)}
			}
		case refuses:
			for _, it := range d.s.items {
				if !it.gone && it.rec.Key == key {
					return connectors.Written{Err: fail(connectors.ErrExists)}
				}
			}
		}
		d.s.used[key] = true
		r := connectors.NewRecord(k)
		for f, l := range d.s.w.caps[d.s.d.name].Kinds[k].Fields {
			if !l.ReadOnly {
				connectors.CopyField(r, ds[i].Record, f)
			}
		}
		r.Key = key
		if a := r.Appointment; a != nil && !d.s.crm() {
			d.s.w.uid++
			a.UID = fmt.Sprintf("uid-%d", d.s.w.uid)
		}
		it := d.s.w.engineCreates(d, r)
		if it == nil {
			return connectors.Written{Err: fail(connectors.ErrInvalid)}
		}
		return d.written(it)
	})
}

func (d driver) written(it *item) connectors.Written {
	if d.s.d.silentRev {
		return connectors.Written{ID: it.rec.ID}
	}
	return connectors.Written{ID: it.rec.ID, Rev: it.rec.Rev, Modified: it.rec.Modified}
}

// Update implements connectors.Driver.
func (d driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	ids := make([]string, len(es))
	for i, e := range es {
		ids[i] = e.ID
		d.s.w.judgeDraft(d, e.Record)
	}
	return d.each(ctx, c, "update", k, ids, func(i int) connectors.Written {
		e := es[i]
		it := d.s.byID[e.ID]
		switch {
		case it == nil || it.gone:
			return connectors.Written{Err: fail(connectors.ErrNotFound)}
		case it.rec.Rev != e.Rev:
			return connectors.Written{Err: fail(connectors.ErrPrecondition)}
		}
		old := it.rec
		r := old.Clone()
		for _, f := range e.Fields {
			if l, ok := d.s.w.caps[d.s.d.name].Kinds[k].Fields[f]; !ok || l.ReadOnly {
				return connectors.Written{Err: fail(connectors.ErrInvalid)}
			}
			connectors.CopyField(r, e.Record, f)
		}
		d.s.w.engineUpdates(d, it, r, e.Fields)
		it.rec = r
		d.s.put(it, old)
		it.written[d.user] = it.rec.Rev
		if !d.s.crm() && it.invites() {
			if d.s.d.shared {
				d.s.w.fanOut(d.s, it)
			} else {
				it.what.untold = true
			}
		}
		return d.written(it)
	})
}

// Delete implements connectors.Driver.
func (d driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	ids := make([]string, len(ts))
	for i, t := range ts {
		ids[i] = t.ID
	}
	return d.each(ctx, c, "delete", k, ids, func(i int) connectors.Written {
		it := d.s.byID[ts[i].ID]
		switch {
		case it == nil || it.gone:
			return connectors.Written{ID: ts[i].ID}
		case it.rec.Rev != ts[i].Rev:
			return connectors.Written{Err: fail(connectors.ErrPrecondition)}
		}
		d.s.w.engineDeletes(d, it)
		d.s.remove(it)
		return connectors.Written{ID: ts[i].ID}
	})
}

// valueOf is a field as text, the same for values that mean the same.
func valueOf(r *connectors.Record, f connectors.Field) string {
	a := r.Appointment
	if a == nil {
		return strings.ToLower(r.Text(f))
	}
	switch f {
	case connectors.FieldTime:
		if a.Start.IsZero() {
			return ""
		}
		return strconv.FormatInt(a.Start.Unix(), 36)
	case connectors.FieldSensitivity:
		return strconv.Itoa(int(a.Sensitivity))
	case connectors.FieldOrganizer:
		return a.Organizer.Address
	case connectors.FieldAttendees:
		var as []string
		for _, p := range a.Attendees {
			as = append(as, p.Address)
		}
		slices.Sort(as)
		return strings.Join(as, ",")
	}
	return strings.ToLower(r.Text(f))
}
