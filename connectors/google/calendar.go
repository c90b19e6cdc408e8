package google

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

func eventCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Exceptions: true, Batch: 50, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range connectors.Fields(connectors.KindAppointment) {
		c.Fields[f] = connectors.Limit{}
	}
	delete(c.Fields, connectors.FieldCategories) // there are none
	c.Fields[connectors.FieldTime] = connectors.Limit{Required: true}
	c.Fields[connectors.FieldDescription] = connectors.Limit{Runes: 8192}
	for _, f := range []connectors.Field{connectors.FieldUID, connectors.FieldZone, connectors.FieldStatus,
		connectors.FieldOrganizer, connectors.FieldAttendees} {
		c.Fields[f] = connectors.Limit{ReadOnly: true}
	}
	return c
}

// calendar is one calendar of the Calendar API, v3.
type calendar struct {
	service
	zones *zone.Book
	kind  connectors.Kind // appointments or visits
}

// Private extended properties of an event: its key, and how the time is shown to
// others where Google knows only busy and free.
const (
	keyProperty  = "lockkeeperKey"
	showProperty = "lockkeeperShow"
)

// event is an event as Google writes it (resource "Events").
type event struct {
	ID          string    `json:"id"`
	ETag        string    `json:"etag"`
	Status      string    `json:"status"`
	Updated     time.Time `json:"updated"`
	UID         string    `json:"iCalUID"`
	Master      string    `json:"recurringEventId"`
	Summary     string    `json:"summary"`
	Description string    `json:"description"`
	Location    string    `json:"location"`
	Start       when      `json:"start"`
	End         when      `json:"end"`
	Recurrence  []string  `json:"recurrence"`
	Original    when      `json:"originalStartTime"`
	Reminders   reminders `json:"reminders"`
	Visibility  string    `json:"visibility"`
	Transparent string    `json:"transparency"`
	Organizer   guest     `json:"organizer"`
	Attendees   []guest   `json:"attendees"`
	Extended    struct {
		Private map[string]string `json:"private"`
	} `json:"extendedProperties"`
}

type when struct {
	Date     string `json:"date,omitempty"`
	DateTime string `json:"dateTime,omitempty"`
	Zone     string `json:"timeZone,omitempty"`
}

type reminders struct {
	Default   bool       `json:"useDefault"`
	Overrides []reminder `json:"overrides"`
}

type reminder struct {
	Method  string `json:"method"`
	Minutes int    `json:"minutes"`
}

// popup is the reminder that is mapped; others are mails.
const popup = "popup"

// maxReminder is the earliest reminder, in minutes: four weeks ("Resource: Events").
const maxReminder = 40320

type guest struct {
	Email    string `json:"email"`
	Name     string `json:"displayName"`
	Self     bool   `json:"self"`
	Resource bool   `json:"resource"`
}

type events struct {
	Kind  string  `json:"kind"`
	Items []event `json:"items"`
	Page  string  `json:"nextPageToken"`
	Sync  string  `json:"nextSyncToken"`
}

// isEventID reports whether a text can be an id: base32hex in lower case, and an
// underscore in those of occurrences ("Events: insert").
func isEventID(s string) bool {
	return len(s) >= 5 && word(s, "0123456789abcdefghijklmnopqrstuvwxyzTZ_")
}

// idOf is the id of the event that carries a key.
func idOf(key string) string {
	sum := sha256.Sum256([]byte("lockkeeper event\x00" + key))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

func (c calendar) changes(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	t, err := readToken(cursor)
	if err != nil {
		return connectors.Page{}, err
	}
	q := url.Values{"maxResults": {strconv.Itoa(min(limit, 2500))}, "showDeleted": {strconv.FormatBool(t.Sync != "")}}
	if t.Sync != "" {
		q.Set("syncToken", t.Sync)
	}
	if t.Page != "" {
		q.Set("pageToken", t.Page)
	}
	p, err := c.page(ctx, q)
	if err != nil {
		return connectors.Page{}, err
	}
	out := connectors.Page{}
	if out.Cursor, out.More, err = t.next(p.Page, p.Sync); err != nil {
		return connectors.Page{}, err
	}
	out.Changes, err = c.told(ctx, p.Items)
	return out, err
}

// told makes changes of the events of a page. Whatever of a series it has, the change
// is that of the series, once.
func (c calendar) told(ctx context.Context, items []event) ([]connectors.Change, error) {
	var out []connectors.Change
	series := map[string]bool{}
	for i := range items {
		if v := &items[i]; v.Master == "" && (v.isSeries() || v.Status == "cancelled") {
			series[v.ID] = v.Status != "cancelled"
		}
	}
	done := map[string]bool{}
	for i := range items {
		v := &items[i]
		switch {
		case v.ID == "":
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "event without id"}
		case v.Master != "":
			if alive, here := series[v.Master]; here {
				if !alive {
					continue // its end is told already
				}
			} else if _, err := c.one(ctx, v.Master); errors.Is(err, connectors.ErrNotFound) {
				// Somebody was invited to this occurrence alone, or its series is gone.
				out = append(out, c.alive(v, nil))
				continue
			} else if err != nil {
				return nil, err
			}
			if !done[v.Master] {
				done[v.Master] = true
				ch, err := c.wholeChange(ctx, v.Master)
				if err != nil {
					return nil, err
				}
				out = append(out, ch)
			}
		case v.Status == "cancelled":
			out = append(out, connectors.Change{ID: v.ID, Gone: true})
		case v.isSeries():
			if !done[v.ID] {
				done[v.ID] = true
				ch, err := c.wholeChange(ctx, v.ID)
				if err != nil {
					return nil, err
				}
				out = append(out, ch)
			}
		default:
			out = append(out, c.alive(v, nil))
		}
	}
	return out, nil
}

func (c calendar) alive(v *event, parts []event) connectors.Change {
	if v.Status == "cancelled" {
		return connectors.Change{ID: v.ID, Gone: true}
	}
	ch := connectors.Change{ID: v.ID, Rev: revision(v, parts), Modified: v.Updated}
	ch.Record, _ = c.record(v, parts) // one that cannot be read says so when it is
	return ch
}

// wholeChange reads a series of which something changed.
func (c calendar) wholeChange(ctx context.Context, id string) (connectors.Change, error) {
	v, err := c.one(ctx, id)
	if errors.Is(err, connectors.ErrNotFound) { // deleted meanwhile
		return connectors.Change{ID: id, Gone: true}, nil
	}
	if err != nil {
		return connectors.Change{}, err
	}
	parts, err := c.parts(ctx, v)
	if err != nil {
		return connectors.Change{}, err
	}
	return c.alive(v, parts), nil
}

func (c calendar) page(ctx context.Context, q url.Values) (events, error) {
	var p events
	err := c.do(ctx, http.MethodGet, "/events", q, "", nil, &p)
	if err == nil && p.Kind != "calendar#events" {
		err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	return p, err
}

func (c calendar) one(ctx context.Context, id string) (*event, error) {
	if !isEventID(id) {
		return nil, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	var v event
	if err := c.do(ctx, http.MethodGet, "/events/"+id, nil, "", nil, &v); err != nil {
		return nil, named(err, id)
	}
	switch {
	case v.ID != id || v.ETag == "":
		return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "another event than asked for"}
	case v.Status == "cancelled": // Google goes on to know what was deleted
		return nil, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	return &v, nil
}

func (c calendar) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		_, _, r, err := c.whole(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			out[i].Err = named(err, id)
			continue
		}
		out[i].Record = r
	}
	return out, nil
}

func (c calendar) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	out := map[string][]connectors.Change{}
	for _, k := range keys {
		v, err := c.one(ctx, idOf(k))
		switch {
		case errors.Is(err, connectors.ErrNotFound):
		case err != nil:
			return nil, err
		case v.Extended.Private[keyProperty] == k:
			parts, err := c.parts(ctx, v)
			if err != nil {
				return nil, err
			}
			out[k] = append(out[k], connectors.Change{ID: v.ID, Rev: revision(v, parts), Modified: v.Updated})
		}
	}
	return out, nil
}

func (c calendar) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	q := url.Values{"maxResults": {strconv.Itoa(min(limit, 2500))}, "fields": {"kind,items(id,status,recurringEventId),nextPageToken"}}
	if after != "" {
		q.Set("pageToken", after)
	}
	p, err := c.page(ctx, q)
	if err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{Next: p.Page}
	there := map[string]bool{}
	for _, v := range p.Items {
		there[v.ID] = v.Master == ""
	}
	for _, v := range p.Items {
		if v.Status == "cancelled" {
			continue
		}
		if v.Master != "" && !there[v.Master] { // one that is here without its series
			_, err := c.one(ctx, v.Master)
			if err != nil && !errors.Is(err, connectors.ErrNotFound) {
				return connectors.IDs{}, err
			}
			if there[v.Master] = err == nil; err != nil {
				out.IDs = append(out.IDs, v.ID)
			}
			continue
		}
		if v.Master == "" {
			out.IDs = append(out.IDs, v.ID)
		}
	}
	return out, nil
}

// quiet is how every write says that nobody is told.
func quiet() url.Values { return url.Values{"sendUpdates": {"none"}} }

func (c calendar) create(ctx context.Context, d connectors.Draft) connectors.Written {
	if err := eventCapability().Fit(d.Record, connectors.Fields(c.kind)); err != nil {
		return connectors.Written{Err: err}
	}
	body, err := c.body(d.Record, connectors.Fields(c.kind), nil)
	if err != nil {
		return connectors.Written{Err: err}
	}
	body["id"] = idOf(d.Key)
	private, _ := body["extendedProperties"].(map[string]any)["private"].(map[string]any)
	private[keyProperty] = d.Key
	v, err := c.send(ctx, http.MethodPost, "/events", "", body)
	w := c.written(v, err)
	if r := d.Record.Appointment.Recurrence; err == nil && r != nil {
		w.Rev = revision(&v, nil)
		if len(r.Exceptions) > 0 {
			at, rev, err := c.settle(ctx, v.ID, d.Record, true)
			if err != nil {
				return connectors.Written{Err: half(err, v.ID)}
			}
			w.Rev, w.Modified = rev, at.Updated
		}
	}
	return w
}

func (c calendar) send(ctx context.Context, method, path, match string, body map[string]any) (event, error) {
	var v event
	err := c.do(ctx, method, path, quiet(), match, body, &v)
	if err == nil && (v.ID == "" || v.ETag == "") {
		err = &connectors.Error{Class: connectors.ErrUnknownOutcome, Detail: "answer to a write"}
	}
	return v, err
}

func (c calendar) written(v event, err error) connectors.Written {
	if err != nil {
		return connectors.Written{Err: err}
	}
	return connectors.Written{ID: v.ID, Rev: v.ETag, Modified: v.Updated}
}

func (c calendar) update(ctx context.Context, e connectors.Edit) connectors.Written {
	if !isEventID(e.ID) {
		return connectors.Written{ID: e.ID, Err: &connectors.Error{Class: connectors.ErrNotFound, ID: e.ID}}
	}
	if err := writable(eventCapability(), e); err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	if err := seen(e.ID, e.Rev); err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	// What was deleted can still be changed, and would be there again.
	v, parts, now, err := c.whole(ctx, e.ID)
	if err == nil && revision(v, parts) != e.Rev {
		err = &connectors.Error{Class: connectors.ErrPrecondition, ID: e.ID}
	}
	if err != nil {
		return connectors.Written{ID: e.ID, Err: remote.Unsent(err)}
	}
	body, err := c.body(e.Record, e.Fields, v)
	if err != nil {
		return connectors.Written{ID: e.ID, Err: named(err, e.ID)}
	}
	sent, err := c.send(ctx, http.MethodPatch, "/events/"+e.ID, v.ETag, body)
	w := c.written(sent, err)
	w.ID, w.Err = e.ID, named(w.Err, e.ID)
	if w.Err != nil || !v.isSeries() && !sent.isSeries() {
		return w
	}
	connectors.CopyFields(now, e.Record, e.Fields, eventCapability().Known())
	at, rev, err := c.settle(ctx, e.ID, now, slices.Contains(e.Fields, connectors.FieldRecurrence))
	if err != nil {
		w.Err = half(err, e.ID)
		return w
	}
	w.Rev, w.Modified = rev, at.Updated
	return w
}

func (c calendar) remove(ctx context.Context, t connectors.Target) connectors.Written {
	w := connectors.Written{ID: t.ID}
	if !isEventID(t.ID) {
		return w
	}
	if w.Err = seen(t.ID, t.Rev); w.Err != nil {
		return w
	}
	if strings.Contains(t.Rev, "+") { // a series: more than its own revision counts
		v, parts, _, err := c.whole(ctx, t.ID)
		if errors.Is(err, connectors.ErrNotFound) {
			return w
		}
		if err == nil && revision(v, parts) != t.Rev {
			err = &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
		}
		if w.Err = remote.Unsent(err); err != nil {
			return w
		}
	}
	err := c.do(ctx, http.MethodDelete, "/events/"+t.ID, quiet(), etagOf(t.Rev), nil, nil)
	if errors.Is(err, connectors.ErrPrecondition) {
		if _, gone := c.one(ctx, t.ID); errors.Is(gone, connectors.ErrNotFound) {
			return w // what changed is that it was deleted
		}
	}
	if err != nil && !errors.Is(err, connectors.ErrNotFound) && !errors.Is(err, connectors.ErrCursorExpired) { // 410: deleted already
		w.Err = named(err, t.ID)
	}
	return w
}

// record reads an event, and of a series what differs from it.
func (c calendar) record(v *event, parts []event) (*connectors.Record, error) {
	r := connectors.NewRecord(c.kind)
	r.ID, r.Rev, r.Modified, r.Key = v.ID, revision(v, parts), v.Updated, v.Extended.Private[keyProperty]
	a := r.Appointment
	r.SetText(connectors.FieldUID, v.UID)
	r.SetText(connectors.FieldSubject, v.Summary)
	r.SetText(connectors.FieldLocation, v.Location)
	r.SetText(connectors.FieldDescription, v.Description)
	var ok1, ok2 bool
	a.Start, ok1 = v.Start.instant()
	a.End, ok2 = v.End.instant()
	if !ok1 || !ok2 {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: connectors.FieldTime, Detail: "times of an event"}
	}
	if a.AllDay = v.Start.Date != ""; !a.AllDay && v.Start.Zone != "" {
		if l := c.zones.Location(v.Start.Zone); l != nil {
			r.SetText(connectors.FieldZone, zone.Name(l))
		}
	}
	if v.Visibility == "private" || v.Visibility == "confidential" {
		a.Sensitivity = connectors.Private
	}
	if v.Transparent == "transparent" {
		a.Availability = connectors.Free
	} else if i := slices.Index(shown(), v.Extended.Private[showProperty]); i > 0 {
		a.Availability = connectors.Availability(i)
	}
	if v.Extended.Private[showProperty+"Secret"] == "confidential" && a.Sensitivity == connectors.Private {
		a.Sensitivity = connectors.Confidential
	}
	if v.Status == "tentative" {
		a.Status = connectors.Unconfirmed
	}
	for _, o := range v.Reminders.Overrides {
		if o.Method == popup && o.Minutes >= 0 && o.Minutes <= maxReminder && (!a.Reminder.Set || o.Minutes < a.Reminder.Minutes) {
			a.Reminder = connectors.Reminder{Set: true, Minutes: o.Minutes}
		}
	}
	for _, g := range v.Attendees {
		if !g.Resource && !strings.EqualFold(g.Email, v.Organizer.Email) {
			a.Attendees = append(a.Attendees, g.party())
		}
	}
	if len(v.Attendees) > 0 { // alone one is no organizer
		a.Organizer = v.Organizer.party()
	}
	if v.isSeries() { // compared with what the series says: it comes last
		return r, c.recurrence(v, parts, a)
	}
	return r, nil
}

func (g guest) party() connectors.Party {
	return connectors.Party{Address: strings.TrimSpace(g.Email), Name: connectors.NormalizeText(connectors.FieldName, g.Name)}
}

func (w when) instant() (time.Time, bool) {
	if w.Date != "" {
		t, err := time.Parse(time.DateOnly, w.Date)
		return t, err == nil
	}
	t, err := time.Parse(time.RFC3339, w.DateTime)
	return t.UTC(), err == nil
}

// shown are the availabilities by the names that the private property has.
func shown() []string { return []string{"busy", "free", "tentative", "away"} }

// body makes what gives fields their values. What is there is given where it is
// changed, and nil where there is nothing yet.
func (c calendar) body(r *connectors.Record, fields []connectors.Field, there *event) (map[string]any, error) {
	a := r.Appointment
	private := map[string]any{}
	out := map[string]any{"extendedProperties": map[string]any{"private": private}}
	for _, f := range fields {
		switch f {
		case connectors.FieldSubject:
			out["summary"] = a.Subject
		case connectors.FieldLocation:
			out["location"] = a.Location
		case connectors.FieldDescription:
			out["description"] = a.Description
		case connectors.FieldSensitivity:
			out["visibility"], private[showProperty+"Secret"] = "default", nil
			if a.Sensitivity != connectors.Public {
				out["visibility"] = "private"
			}
			if a.Sensitivity == connectors.Confidential {
				private[showProperty+"Secret"] = "confidential"
			}
		case connectors.FieldAvailability:
			if int(a.Availability) >= len(shown()) {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not known"}
			}
			out["transparency"], private[showProperty] = "opaque", nil
			if a.Availability == connectors.Free {
				out["transparency"] = "transparent"
			} else if a.Availability != connectors.Busy {
				private[showProperty] = shown()[a.Availability]
			}
		case connectors.FieldRecurrence:
			if there != nil || a.Recurrence != nil {
				out["recurrence"] = rules(a)
			}
		case connectors.FieldReminder:
			if a.Reminder.Set && (a.Reminder.Minutes < 0 || a.Reminder.Minutes > maxReminder) {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "reminders are at most four weeks before"}
			}
			if there == nil && !a.Reminder.Set {
				continue // as the calendar's user has it
			}
			list := []any{}
			if there != nil {
				for _, o := range there.Reminders.Overrides {
					if o.Method != popup {
						list = append(list, o)
					}
				}
			}
			if a.Reminder.Set {
				list = append(list, reminder{popup, a.Reminder.Minutes})
			}
			out["reminders"] = map[string]any{"useDefault": false, "overrides": list}
		case connectors.FieldTime:
			if a.Start.IsZero() || a.End.Before(a.Start) {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "an end after its start is wanted"}
			}
			out["start"], out["end"] = c.when(a, a.Start), c.when(a, a.End)
		}
	}
	return out, nil
}

// when writes a time, with null for what it is not: a patch keeps what it does
// not name, and an event cannot have both.
func (c calendar) when(a *connectors.Appointment, t time.Time) map[string]any {
	if a.AllDay {
		return map[string]any{"date": t.UTC().Format(time.DateOnly), "dateTime": nil, "timeZone": nil}
	}
	l := time.UTC
	if z := c.zones.Location(a.Zone); z != nil && a.Zone != "" {
		l = z
	}
	return map[string]any{"date": nil, "dateTime": t.In(l).Format(time.RFC3339), "timeZone": zone.Name(l)}
}
