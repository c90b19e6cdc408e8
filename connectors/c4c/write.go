package c4c

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// perRecord reports whether a failure is that of one record, as opposed to one
// that any other request would meet too.
func perRecord(err error) bool {
	for _, class := range []error{connectors.ErrNotFound, connectors.ErrPrecondition, connectors.ErrExists,
		connectors.ErrInvalid, connectors.ErrMalformed, connectors.ErrForbidden} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// changed calls a conflict on a record that exists what it is: somebody else
// was there.
func changed(err error) error {
	if e, ok := err.(*connectors.Error); ok && e.Class == connectors.ErrExists {
		v := *e
		v.Class = connectors.ErrPrecondition
		return &v
	}
	return err
}

// write sends one change set per record, each followed by a reading of the
// record where after says so, and returns two outcomes per record. A batch
// whose outcome is unknown leaves each of its records unknown.
func (s session) write(ctx context.Context, sets [][]operation, after []string) ([]outcome, []outcome, []error) {
	done, read, errs := make([]outcome, len(sets)), make([]outcome, len(sets)), make([]error, len(sets))
	for start, end := 0, 0; start < len(sets); start = end {
		bytes := 0
		for end = start; end < len(sets) && end-start < batchSize; end++ {
			n := len(after[end])
			for _, o := range sets[end] {
				n += o.size()
			}
			if bytes += n; bytes > batchBytes && end > start {
				break
			}
		}
		var steps []step
		at := make([]int, len(sets))
		for i := start; i < end; i++ {
			if len(sets[i]) == 0 {
				continue
			}
			at[i] = len(steps)
			steps = append(steps, step{changes: sets[i]})
			if after[i] != "" {
				steps = append(steps, step{read: after[i]})
			}
		}
		if len(steps) == 0 {
			continue
		}
		answers, err := s.batch(ctx, steps)
		for i := start; i < end; i++ {
			switch {
			case len(sets[i]) == 0:
			case err != nil:
				errs[i] = err
			default:
				done[i] = answers[at[i]]
				if after[i] != "" {
					read[i] = answers[at[i]+1]
				}
				errs[i] = done[i].err(true)
			}
		}
	}
	return done, read, errs
}

// whole returns the failure of a verb as a whole: one after which nothing was
// done to any record and that says nothing about a single one.
func whole(ws []connectors.Written) error {
	if len(ws) == 0 || ws[0].Err == nil {
		return nil
	}
	for _, w := range ws {
		if w.Err == nil || perRecord(w.Err) || errors.Is(w.Err, connectors.ErrUnknownOutcome) {
			return nil
		}
	}
	return ws[0].Err
}

func (s session) create(ctx context.Context, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(ds))
	fields := make([][]connectors.Field, len(ds))
	keys := make([]string, 0, len(ds))
	for i, d := range ds {
		fields[i] = sh.present(d.Record)
		if out[i].Err = sh.check(d.Record, fields[i]); out[i].Err == nil && len(d.Record.Refs) > 0 {
			out[i].Err = sh.check(d.Record, []connectors.Field{connectors.FieldRefs})
		}
		if out[i].Err == nil && d.Record.Appointment != nil && d.Record.Appointment.Recurrence != nil {
			out[i].Err = &connectors.Error{Field: connectors.FieldRecurrence, Class: connectors.ErrInvalid, Detail: "the system keeps no series"}
		}
		if out[i].Err == nil && sh.key != "" && utf8.RuneCountInString(sh.carry(d)) > sh.keyRunes {
			out[i].Err = &connectors.Error{Class: connectors.ErrInvalid, Detail: "key longer than the system keeps"}
		}
		if out[i].Err == nil && sh.key != "" && slices.Contains(keys, d.Key) {
			out[i].Err = &connectors.Error{Class: connectors.ErrExists, Detail: "key twice in one call"}
		}
		if out[i].Err == nil {
			keys = append(keys, d.Key)
		}
	}
	// The system itself never refuses a key that it has, so look first.
	there, err := s.find(ctx, k, keys)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	companies, err := s.companies(ctx, k, func(yield func(int, *connectors.Record) bool) {
		for i, d := range ds {
			if out[i].Err == nil && len(there[d.Key]) == 0 && len(d.Record.Refs) == 0 && !yield(i, d.Record) {
				return
			}
		}
	}, out)
	if err != nil {
		return nil, err
	}
	numbers, err := s.refer(ctx, func(yield func(int, *connectors.Record) bool) {
		for i, d := range ds {
			if out[i].Err == nil && len(there[d.Key]) == 0 && !yield(i, d.Record) {
				return
			}
		}
	}, out)
	if err != nil {
		return nil, err
	}
	sets, after := make([][]operation, len(ds)), make([]string, len(ds))
	for i, d := range ds {
		if out[i].Err == nil && len(there[d.Key]) > 0 {
			out[i].Err = &connectors.Error{ID: there[d.Key][0].ID, Class: connectors.ErrExists}
		}
		if out[i].Err != nil {
			continue
		}
		sets[i] = []operation{{method: http.MethodPost, rel: sh.set, body: sh.draft(d, fields[i], companies, numbers)}}
	}
	done, _, errs := s.write(ctx, sets, after)
	for i := range ds {
		if out[i].Err != nil || len(sets[i]) == 0 {
			out[i].Err = about(k, "create", "", out[i].Err)
			continue
		}
		if out[i].Err = about(k, "create", "", errs[i]); out[i].Err != nil {
			continue
		}
		e := done[i].entity()
		id, err := e.id()
		if err != nil {
			out[i].Err = about(k, "create", "", &connectors.Error{Class: connectors.ErrUnknownOutcome, Detail: "created without an id in the answer"})
			continue
		}
		out[i] = connectors.Written{ID: id, Rev: e.rev()}
		if t, err := e.date(propChanged); err == nil {
			out[i].Modified = t
		}
	}
	return out, whole(out)
}

// present lists the mapped fields in which a record says something, and those
// the system demands.
func (s shape) present(r *connectors.Record) []connectors.Field {
	var out []connectors.Field
	c := s.capability()
	for _, f := range connectors.Fields(s.kind) {
		if c.Has(f) && (!r.Empty(f) || c.Fields[f].Required) {
			out = append(out, f)
		}
	}
	return out
}

// draft is the body of a creation, with what stands below the record inside.
func (s shape) draft(d connectors.Draft, fields []connectors.Field, companies map[string]string, numbers map[connectors.Ref]string) properties {
	p := s.properties(d.Record, fields)
	for name, v := range s.always {
		p[name] = v
	}
	if s.key != "" {
		p[s.key] = s.carry(d)
	}
	if s.system != "" {
		p[s.system] = externalSystem
	}
	if s.company {
		if name := d.Record.Contact.Company; name != "" {
			p[s.account] = companies[name]
		}
	}
	s.pointTo(p, d.Record.Refs, numbers, false)
	if s.text != nil {
		if text := d.Record.Text(s.text.field); text != "" {
			p[s.text.nav] = []properties{s.text.new(text)}
		}
	}
	if a := d.Record.Appointment; a != nil {
		if a.Status != connectors.Cancelled {
			delete(p, s.state) // the system opens new ones itself
		}
		var parties []properties
		w := s.people[0]
		if a.Organizer.Address != "" {
			parties = append(parties, w.new(a.Organizer, w.organizer))
		}
		for _, q := range distinct(a.Attendees) {
			parties = append(parties, w.new(q, codeAttendee))
		}
		if len(parties) > 0 {
			p[w.nav] = parties
		}
	}
	if m := d.Record.Mail; m != nil {
		for _, w := range s.people {
			var parties []properties
			for _, q := range distinct(recipients(m, w.field)) {
				parties = append(parties, w.new(q, ""))
			}
			if len(parties) > 0 {
				p[w.nav] = parties
			}
		}
	}
	return p
}

func (t *texts) new(text string) properties {
	p := properties{"Text": text}
	if t.typ != "" {
		p["TypeCode"] = t.typ
	}
	return p
}

func (p people) new(q connectors.Party, role string) properties {
	out := properties{p.address: strings.TrimSpace(q.Address), p.name: q.Name}
	if !p.recipients {
		out["RoleCode"] = role
	}
	return out
}

// distinct drops parties whose address is there already.
func distinct(ps []connectors.Party) []connectors.Party {
	var out []connectors.Party
	for _, p := range ps {
		if !slices.ContainsFunc(out, func(q connectors.Party) bool { return sameAddress(p, q) }) {
			out = append(out, p)
		}
	}
	return out
}

func sameAddress(a, b connectors.Party) bool {
	return strings.EqualFold(strings.TrimSpace(a.Address), strings.TrimSpace(b.Address))
}

// below reports whether a field is kept in records of their own.
func (s shape) below(f connectors.Field) bool {
	switch f {
	case connectors.FieldOrganizer, connectors.FieldAttendees:
		return true
	}
	return s.text != nil && s.text.field == f
}

func (s session) update(ctx context.Context, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(es))
	for i, e := range es {
		out[i].ID = e.ID
		if e.Rev == "" || e.Rev == "*" {
			out[i].Err = &connectors.Error{Class: connectors.ErrPrecondition, Detail: "no revision given"}
		} else {
			out[i].Err = sh.check(e.Record, e.Fields)
		}
	}
	current, err := s.current(ctx, sh, es, out)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	companies, err := s.companies(ctx, k, func(yield func(int, *connectors.Record) bool) {
		for i, e := range es {
			if out[i].Err == nil && named(e, connectors.FieldCompany) && !named(e, connectors.FieldRefs) && !yield(i, e.Record) {
				return
			}
		}
	}, out)
	if err != nil {
		return nil, err
	}
	numbers, err := s.refer(ctx, func(yield func(int, *connectors.Record) bool) {
		for i, e := range es {
			if out[i].Err == nil && named(e, connectors.FieldRefs) && !yield(i, e.Record) {
				return
			}
		}
	}, out)
	if err != nil {
		return nil, err
	}
	sets, after := make([][]operation, len(es)), make([]string, len(es))
	for i, e := range es {
		if out[i].Err != nil {
			continue
		}
		to := e
		if survivor, rev, ok := cutMerged(e.Rev); ok {
			to.ID, to.Rev = survivor, rev
		}
		if sets[i], out[i].Err = sh.edit(to, current[i], companies, numbers); out[i].Err == nil {
			after[i] = sh.address(to.ID)
		}
	}
	_, read, errs := s.write(ctx, sets, after)
	for i, e := range es {
		if out[i].Err == nil {
			out[i].Err = changed(errs[i])
		}
		if out[i].Err != nil {
			out[i].Err = about(k, "update", e.ID, out[i].Err)
			continue
		}
		// The revision after the write is only worth something if the record
		// still says what was written: otherwise somebody was faster, and the
		// next reading has to show it.
		if seen := read[i].entity(); seen != nil && read[i].status < 300 {
			r, err := sh.record(seen)
			if err == nil && len(connectors.Diff(e.Record, r, e.Fields)) == 0 {
				out[i].Rev, out[i].Modified = r.Rev, r.Modified
				if survivor, _, ok := cutMerged(e.Rev); ok {
					out[i].Rev = mergedRev(survivor, r.Rev)
				}
			}
		}
	}
	return out, whole(out)
}

// current reads the records of those edits that change what stands below them.
// One that has moved on fails here already.
func (s session) current(ctx context.Context, sh shape, es []connectors.Edit, out []connectors.Written) ([]entity, error) {
	got := make([]entity, len(es))
	var ids []string
	var at []int
	for i, e := range es {
		if out[i].Err == nil && slices.ContainsFunc(e.Fields, sh.below) {
			ids, at = append(ids, e.ID), append(at, i)
		}
	}
	if len(ids) == 0 {
		return got, nil
	}
	found, errs, err := s.entities(ctx, sh, ids)
	if err != nil {
		return nil, err
	}
	for j, i := range at {
		switch {
		case errs[j] != nil:
			out[i].Err = remote.Unsent(errs[j])
		case found[j].rev() != es[i].Rev:
			out[i].Err = &connectors.Error{Class: connectors.ErrPrecondition}
		default:
			got[i] = found[j]
		}
	}
	return got, nil
}

// edit is the change set of one update. The record itself always takes part,
// under the revision the caller knows: a change of its notes alone sends one
// property again as it was read, so that the revision is tested and the record
// shows up as changed for others.
func (s shape) edit(e connectors.Edit, now entity, companies map[string]string, numbers map[connectors.Ref]string) ([]operation, error) {
	p := s.properties(e.Record, e.Fields)
	if s.company && named(e, connectors.FieldCompany) {
		p[s.account] = ""
		if name := e.Record.Contact.Company; name != "" {
			p[s.account] = companies[name]
		}
	}
	if named(e, connectors.FieldRefs) {
		s.pointTo(p, e.Record.Refs, numbers, true)
	}
	if len(p) == 0 {
		v, err := now.text(s.anchor())
		if err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed}
		}
		p[s.anchor()] = v
	}
	ops := []operation{{method: http.MethodPatch, rel: key(s.set, e.ID), match: e.Rev, body: p}}
	x := reader{e: now}
	for _, f := range e.Fields {
		switch {
		case s.text != nil && f == s.text.field:
			ops = append(ops, s.text.change(e.ID, noteOf(x.texts(s.text.nav)), e.Record.Text(f))...)
		case f == connectors.FieldOrganizer:
			var want []connectors.Party
			if o := e.Record.Appointment.Organizer; o.Address != "" {
				want = append(want, o)
			}
			w := s.people[0]
			ops = append(ops, w.change(e.ID, x.people(w), want, w.organizer)...)
		case f == connectors.FieldAttendees:
			w := s.people[0]
			ops = append(ops, w.change(e.ID, x.people(w), e.Record.Appointment.Attendees, codeAttendee)...)
		}
	}
	if x.err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record with a property of another type than its own"}
	}
	return ops, nil
}

// named reports whether an edit names a field. Where it names a contact's company
// and its references, the references count: they are which account is meant.
func named(e connectors.Edit, f connectors.Field) bool { return slices.Contains(e.Fields, f) }

// anchor is the property that is sent again where none changed.
func (s shape) anchor() string { return s.columns[0].name }

func (t *texts) change(parent string, now textChild, want string) []operation {
	switch {
	case now.id == "" && want == "":
		return nil
	case now.id == "":
		p := t.new(want)
		p["ParentObjectID"] = parent
		return []operation{{method: http.MethodPost, rel: t.set, body: p}}
	case want == "":
		return []operation{{method: http.MethodDelete, rel: key(t.set, now.id), match: now.rev}}
	}
	return []operation{{method: http.MethodPatch, rel: key(t.set, now.id), match: now.rev, body: properties{"Text": want}}}
}

// change adds who is missing and removes who is too many. Who stays is not
// touched: a party of the CRM knows more than a name and an address.
func (p people) change(parent string, now []partyChild, want []connectors.Party, role string) []operation {
	var ops []operation
	kept := map[int]bool{}
	for _, w := range distinct(want) {
		i := slices.IndexFunc(now, func(q partyChild) bool { return q.role == role && sameAddress(q.Party, w) })
		if i >= 0 {
			kept[i] = true
			continue
		}
		b := p.new(w, role)
		b["ParentObjectID"] = parent
		ops = append(ops, operation{method: http.MethodPost, rel: p.set, body: b})
	}
	for i, q := range now {
		if q.role == role && !kept[i] && !slices.ContainsFunc(want, func(w connectors.Party) bool { return sameAddress(q.Party, w) }) {
			ops = append(ops, operation{method: http.MethodDelete, rel: key(p.set, q.id), match: q.rev})
		}
	}
	return ops
}

func (s session) remove(ctx context.Context, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Written, len(ts))
	sets, after := make([][]operation, len(ts)), make([]string, len(ts))
	for i, t := range ts {
		out[i].ID = t.ID
		if t.ID == "" || t.Rev == "" || t.Rev == "*" {
			out[i].Err = about(k, "delete", t.ID, &connectors.Error{Class: connectors.ErrPrecondition, Detail: "no revision given"})
			continue
		}
		if _, _, merged := cutMerged(t.Rev); merged {
			continue // it is obsolete already, and who it was merged into stays
		}
		op := operation{method: http.MethodDelete, rel: key(sh.set, t.ID), match: t.Rev}
		if sh.status != "" {
			op.method, op.body = http.MethodPatch, properties{sh.status: sh.obsolete}
		}
		sets[i] = []operation{op}
	}
	_, _, errs := s.write(ctx, sets, after)
	var stale []int
	for i, t := range ts {
		switch {
		case out[i].Err != nil || errs[i] == nil || errors.Is(errs[i], connectors.ErrNotFound):
		default:
			out[i].Err = about(k, "delete", t.ID, changed(errs[i]))
			if errors.Is(out[i].Err, connectors.ErrPrecondition) {
				stale = append(stale, i)
			}
		}
	}
	// One that is obsolete already has another revision and is what was asked for,
	// and some servers call one that is gone changed.
	if len(stale) > 0 {
		ids := make([]string, len(stale))
		for j, i := range stale {
			ids[j] = ts[i].ID
		}
		if _, found, err := s.entities(ctx, sh, ids); err == nil {
			for j, i := range stale {
				if errors.Is(found[j], connectors.ErrNotFound) {
					out[i].Err = nil
				}
			}
		}
	}
	return out, whole(out)
}
