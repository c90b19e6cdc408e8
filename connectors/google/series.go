package google

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// A series is one record, and at Google several events: one with the rules, and one
// for each occurrence that is not as the rules say. They have an iCalUID in common,
// by which they are read together.

// isSeries reports whether an event has rules.
func (v *event) isSeries() bool { return len(v.Recurrence) > 0 }

// parts are the events of a series beside the one with its rules.
func (c calendar) parts(ctx context.Context, v *event) ([]event, error) {
	if !v.isSeries() || v.UID == "" {
		return nil, nil
	}
	var out []event
	q := url.Values{"iCalUID": {v.UID}, "showDeleted": {"true"}, "maxResults": {"2500"}}
	for range maxPages {
		p, err := c.page(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, o := range p.Items {
			if o.Master == v.ID {
				out = append(out, o)
			}
		}
		if len(out) > connectors.MaxExceptions {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: v.ID, Field: connectors.FieldRecurrence, Detail: "too many exceptions in a series"}
		}
		if p.Page == "" {
			slices.SortFunc(out, func(a, b event) int { return strings.Compare(a.ID, b.ID) })
			return out, nil
		}
		q.Set("pageToken", p.Page)
	}
	return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing without end"}
}

// revision is that of an event with all that belongs to it, which for a series is
// more than its own. The first part is the one that a write is conditional on.
func revision(v *event, parts []event) string {
	if !v.isSeries() {
		return v.ETag
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p.ID + "\x00" + p.ETag + "\x00"))
	}
	return v.ETag + "+" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

func etagOf(rev string) string {
	etag, _, _ := strings.Cut(rev, "+")
	return etag
}

// whole reads a record with all that belongs to it.
func (c calendar) whole(ctx context.Context, id string) (*event, []event, *connectors.Record, error) {
	v, err := c.one(ctx, id)
	if err != nil {
		return nil, nil, nil, err
	}
	if v.Master != "" {
		// An occurrence belongs to its series, unless only it was ever here: somebody
		// was invited to it alone.
		if _, err := c.one(ctx, v.Master); !errors.Is(err, connectors.ErrNotFound) {
			if err == nil {
				err = &connectors.Error{Class: connectors.ErrNotFound, ID: id}
			}
			return nil, nil, nil, named(err, id)
		}
	}
	parts, err := c.parts(ctx, v)
	if err != nil {
		return nil, nil, nil, named(err, id)
	}
	r, err := c.record(v, parts)
	return v, parts, r, named(err, id)
}

// recurrence reads the rules of a series, and what differs from them.
func (c calendar) recurrence(v *event, parts []event, a *connectors.Appointment) error {
	broken := &connectors.Error{Class: connectors.ErrMalformed, ID: v.ID, Field: connectors.FieldRecurrence, Detail: "series"}
	r := &connectors.Recurrence{}
	a.Recurrence = r
	for _, line := range v.Recurrence {
		name, value, _ := strings.Cut(line, ":")
		name, param, _ := strings.Cut(name, ";")
		switch name {
		case "RRULE":
			r.Rules = append(r.Rules, value)
		case "RDATE", "EXDATE":
			for s := range strings.SplitSeq(value, ",") {
				t, ok := c.stamp(s, param)
				if !ok {
					return broken
				}
				if name == "RDATE" {
					r.Dates = append(r.Dates, t)
				} else {
					r.Exceptions = append(r.Exceptions, connectors.Occurrence{Original: t, Cancelled: true})
				}
			}
		}
	}
	for i := range parts {
		p := &parts[i]
		at, ok := p.Original.instant()
		if !ok {
			return broken
		}
		r.Exceptions = slices.DeleteFunc(r.Exceptions, func(o connectors.Occurrence) bool { return o.Original.Equal(at) })
		o := connectors.Occurrence{Original: at, Cancelled: p.Status == "cancelled"}
		if !o.Cancelled {
			x, err := c.record(p, nil)
			if err != nil {
				return err
			}
			o.Appointment = x.Appointment
			o.Appointment.UID = ""
		}
		r.Exceptions = append(r.Exceptions, o)
	}
	// One that says what its series says is none.
	r.Exceptions = slices.DeleteFunc(r.Exceptions, func(o connectors.Occurrence) bool {
		return !o.Cancelled && len(connectors.Diff(c.alone(o.Appointment), c.alone(a.Regular(o.Original)), slices.Concat(ownFields(), readFields()))) == 0
	})
	return nil
}

// stamp reads a time as RFC 5545 writes it (section 3.3.5).
func (c calendar) stamp(s, param string) (time.Time, bool) {
	in := time.UTC
	if name, ok := strings.CutPrefix(param, "TZID="); ok {
		if in = c.zones.Location(strings.Trim(name, `"`)); in == nil {
			return time.Time{}, false
		}
	}
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if t, err := time.ParseInLocation(layout, s, in); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// rules writes what makes a series.
func rules(a *connectors.Appointment) any {
	if a.Recurrence == nil {
		return nil
	}
	var out []string
	for _, r := range a.Recurrence.Rules {
		out = append(out, "RRULE:"+r)
	}
	for _, t := range a.Recurrence.Dates {
		if a.AllDay {
			out = append(out, "RDATE;VALUE=DATE:"+t.UTC().Format("20060102"))
		} else {
			out = append(out, "RDATE:"+t.UTC().Format("20060102T150405Z"))
		}
	}
	return out
}

// ownFields are what an occurrence can have of its own and what is written to it.
func ownFields() []connectors.Field {
	return []connectors.Field{connectors.FieldSubject, connectors.FieldLocation, connectors.FieldDescription, connectors.FieldTime, connectors.FieldSensitivity,
		connectors.FieldAvailability, connectors.FieldReminder}
}

// readFields are what an occurrence can have of its own and is only read.
func readFields() []connectors.Field {
	return []connectors.Field{connectors.FieldStatus, connectors.FieldOrganizer, connectors.FieldAttendees}
}

// alone makes a record of an occurrence.
func (c calendar) alone(a *connectors.Appointment) *connectors.Record {
	r := connectors.NewRecord(c.kind)
	r.Appointment = a
	return r
}

// settle brings the occurrences of a series to what they are to be, after the series
// itself was written, and returns the revision of the whole. What a change of the
// series does to its exceptions is the service's affair: it is looked at, not guessed.
// With strict, an exception of an occurrence that the rules do not give is refused;
// without, as where a series was moved, it is left alone.
func (c calendar) settle(ctx context.Context, id string, want *connectors.Record, strict bool) (*event, string, error) {
	v, parts, now, err := c.whole(ctx, id)
	if err != nil {
		return nil, "", err
	}
	wrote := false
	var todo []time.Time
	wants, has := map[int64]connectors.Occurrence{}, map[int64]connectors.Occurrence{}
	if r := want.Appointment.Recurrence; r != nil {
		for _, o := range r.Exceptions {
			wants[o.Original.Unix()] = o
			todo = append(todo, o.Original)
		}
	}
	if r := now.Appointment.Recurrence; r != nil {
		for _, o := range r.Exceptions {
			has[o.Original.Unix()] = o
			if _, ok := wants[o.Original.Unix()]; !ok {
				todo = append(todo, o.Original)
			}
		}
	}
	for _, at := range todo {
		w, h := wants[at.Unix()], has[at.Unix()]
		x, y := c.occurrence(want.Appointment, w, at), c.occurrence(now.Appointment, h, at)
		var differ []connectors.Field
		if !w.Cancelled && !h.Cancelled {
			if differ = connectors.Diff(x, y, ownFields()); len(differ) == 0 {
				continue
			}
		} else if w.Cancelled == h.Cancelled {
			continue
		}
		wrote = true
		if err := c.except(ctx, v, at, w.Cancelled, x, differ, strict); err != nil {
			return nil, "", err
		}
	}
	if wrote {
		if v, parts, _, err = c.whole(ctx, id); err != nil {
			return nil, "", err
		}
	}
	return v, revision(v, parts), nil
}

// occurrence is one occurrence as a record: the one that differs, or as the series
// says.
func (c calendar) occurrence(a *connectors.Appointment, o connectors.Occurrence, at time.Time) *connectors.Record {
	if o.Appointment != nil {
		return c.alone(o.Appointment)
	}
	return c.alone(a.Regular(at))
}

// except writes one occurrence. The ids of occurrences are the service's to say.
func (c calendar) except(ctx context.Context, v *event, at time.Time, cancel bool, x *connectors.Record, fields []connectors.Field, strict bool) error {
	original := at.UTC().Format(time.RFC3339)
	if v.Start.Date != "" {
		original = at.UTC().Format(time.DateOnly)
	}
	var p events
	q := url.Values{"originalStart": {original}, "showDeleted": {"true"}, "maxResults": {"10"}}
	if err := c.do(ctx, http.MethodGet, "/events/"+v.ID+"/instances", q, "", nil, &p); err != nil {
		return remote.Unsent(err)
	}
	i := slices.IndexFunc(p.Items, func(o event) bool {
		t, ok := o.Original.instant()
		return ok && t.Equal(at) && o.Master == v.ID && isEventID(o.ID) && o.ETag != ""
	})
	if i < 0 {
		if cancel || !strict {
			return nil // what does not take place needs no cancelling
		}
		return &connectors.Error{Class: connectors.ErrInvalid, ID: v.ID, Field: connectors.FieldRecurrence, Detail: "the series has no occurrence at the original start of an exception"}
	}
	o := p.Items[i]
	if cancel {
		if o.Status == "cancelled" {
			return nil
		}
		err := c.do(ctx, http.MethodDelete, "/events/"+o.ID, quiet(), o.ETag, nil, nil)
		if errors.Is(err, connectors.ErrNotFound) || errors.Is(err, connectors.ErrCursorExpired) {
			return nil
		}
		return err
	}
	if fields == nil {
		fields = ownFields() // it takes place again
	}
	body, err := c.body(x, fields, &o)
	if err != nil {
		return err
	}
	body["status"] = "confirmed"
	_, err = c.send(ctx, http.MethodPatch, "/events/"+o.ID, o.ETag, body)
	return err
}

// half is the error of a series that was written in part.
func half(err error, id string) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		v := *e
		v.ID, v.Class = id, connectors.ErrUnknownOutcome
		return &v
	}
	return err
}
