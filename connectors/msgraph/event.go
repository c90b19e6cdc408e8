package msgraph

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

const eventSelect = "id,lastModifiedDateTime,iCalUId,subject,body,location,start,end,isAllDay,originalStartTimeZone,type,recurrence," +
	"sensitivity,showAs,isCancelled,isOrganizer,organizer,attendees,categories,isReminderOn,reminderMinutesBeforeStart,hasAttachments"

func eventCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: maxBatch, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range connectors.Fields(connectors.KindAppointment) {
		c.Fields[f] = connectors.Limit{}
	}
	c.Fields[connectors.FieldTime] = connectors.Limit{Required: true}
	// The mailbox gives identity, organizer and state itself; attendees are not
	// written because every change of them sends mail; the zone comes with the
	// times, and series are written by calendars only.
	for _, f := range []connectors.Field{connectors.FieldUID, connectors.FieldZone, connectors.FieldRecurrence, connectors.FieldStatus,
		connectors.FieldOrganizer, connectors.FieldAttendees} {
		c.Fields[f] = connectors.Limit{ReadOnly: true}
	}
	c.Fields[connectors.FieldSubject] = connectors.Limit{Runes: 255}
	c.Attachments = connectors.AttachmentCapability{Read: true, Write: true, Delete: true, Size: maxSmall - 1}
	return c
}

// event is an event as Graph writes it (resource type "event").
type event struct {
	item
	UID      string `json:"iCalUId"`
	Subject  string `json:"subject"`
	Body     body   `json:"body"`
	Location struct {
		Name string `json:"displayName"`
	} `json:"location"`
	Start      dateTime    `json:"start"`
	End        dateTime    `json:"end"`
	AllDay     bool        `json:"isAllDay"`
	Zone       string      `json:"originalStartTimeZone"`
	Type       string      `json:"type"`
	Recurrence *recurrence `json:"recurrence"`

	Sensitivity string     `json:"sensitivity"`
	ShowAs      string     `json:"showAs"`
	Cancelled   bool       `json:"isCancelled"`
	Organized   bool       `json:"isOrganizer"`
	Organizer   attendee   `json:"organizer"`
	Attendees   []attendee `json:"attendees"`
	Categories  []string   `json:"categories"`
	Reminds     bool       `json:"isReminderOn"`
	Before      int        `json:"reminderMinutesBeforeStart"`
}

type body struct {
	Type    string `json:"contentType"`
	Content string `json:"content"`
}

type dateTime struct {
	DateTime string `json:"dateTime"`
	Zone     string `json:"timeZone"`
}

type attendee struct {
	Type  string       `json:"type"`
	Email emailAddress `json:"emailAddress"`
}

// layout is a dateTime without a zone; Graph adds seven digits of a second.
const layout = "2006-01-02T15:04:05"

// instant reads a time, which is in UTC since every request asks for that.
func (d dateTime) instant(zones *zone.Book) (time.Time, bool) {
	l := time.UTC
	if d.Zone != "" && d.Zone != "UTC" {
		if zones == nil {
			l = zone.Location(d.Zone)
		} else {
			l = zones.Location(d.Zone)
		}
		if l == nil {
			return time.Time{}, false
		}
	}
	t, err := time.ParseInLocation(layout, strings.SplitN(d.DateTime, ".", 2)[0], l)
	return t.UTC(), err == nil
}

// Values that both sides know, in the order of the constants.
func sensitivities() []string { return []string{"normal", "private", "confidential"} }
func availabilities() []string {
	return []string{"busy", "free", "tentative", "oof"}
}

// sensitivity reads one, and takes what it does not know for private.
func sensitivity(s string) connectors.Sensitivity {
	for i, x := range sensitivities() {
		if strings.EqualFold(s, x) {
			return connectors.Sensitivity(i)
		}
	}
	if s == "" {
		return connectors.Public
	}
	return connectors.Private
}

// categories are the marks of an item, as many as a record may have.
func categories(cs []string) []string {
	var out []string
	for _, c := range cs {
		if c = connectors.NormalizeText(connectors.FieldCategories, c); c != "" && len(out) < connectors.MaxCategories {
			out = append(out, c)
		}
	}
	return out
}

// written is a list that is never null.
func written(cs []string) []string { return append([]string{}, cs...) }

// meeting reports whether other people take part in an event.
func meeting(raw []byte) bool {
	var v event
	return json.Unmarshal(raw, &v) != nil || len(v.Attendees) > 0
}

func readEvent(b []byte, zones *zone.Book) (*connectors.Record, error) {
	var v event
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not an event"}
	}
	r := connectors.NewRecord(connectors.KindAppointment)
	r.ID, r.Rev, r.Modified = v.ID, v.ETag, v.Modified
	a := r.Appointment
	r.SetText(connectors.FieldUID, v.UID)
	r.SetText(connectors.FieldSubject, v.Subject)
	r.SetText(connectors.FieldLocation, v.Location.Name)
	r.SetText(connectors.FieldDescription, plain(v.Body))
	var ok1, ok2 bool
	if a.Start, ok1 = v.Start.instant(zones); ok1 {
		a.End, ok2 = v.End.instant(zones)
	}
	if !ok1 || !ok2 {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: connectors.FieldTime, Detail: "times of an event"}
	}
	home := zones.Location(v.Zone)
	if a.AllDay = v.AllDay; a.AllDay {
		a.Start, a.End = day(a.Start, home), day(a.End, home)
	} else if home != nil {
		r.SetText(connectors.FieldZone, zone.Name(home))
	}
	a.Sensitivity = sensitivity(v.Sensitivity)
	r.SetCategories(categories(v.Categories))
	if v.Reminds && v.Before >= 0 && v.Before <= connectors.MaxReminder {
		a.Reminder = connectors.Reminder{Set: true, Minutes: v.Before}
	}
	for i, s := range availabilities() {
		if v.ShowAs == s {
			a.Availability = connectors.Availability(i)
		}
	}
	if v.Cancelled {
		a.Status = connectors.Cancelled
	}
	if v.Recurrence != nil {
		a.Recurrence = &connectors.Recurrence{}
		if rule := v.Recurrence.rule(); rule != "" {
			a.Recurrence.Rules = []string{rule}
		}
	}
	if len(v.Attendees) > 0 { // alone one is no organizer
		a.Organizer = v.Organizer.party()
	}
	for _, p := range v.Attendees {
		if p.Type != "resource" && !strings.EqualFold(p.Email.Address, v.Organizer.Email.Address) {
			a.Attendees = append(a.Attendees, p.party())
		}
	}
	return r, nil
}

func (a attendee) party() connectors.Party {
	return connectors.Party{Address: strings.TrimSpace(a.Email.Address), Name: connectors.NormalizeText(connectors.FieldName, a.Email.Name)}
}

// plain is the text of a body. Bodies are asked for as text; what comes as HTML
// nevertheless is read as a person sees it.
func plain(b body) string {
	if strings.EqualFold(b.Type, "html") {
		return connectors.HTMLToText(b.Content)
	}
	return b.Content
}

// day is the date that an all-day event begins or ends on: midnight where it was
// made, wherever the answer counts from.
func day(t time.Time, home *time.Location) time.Time {
	if h, m, s := t.Clock(); (h|m|s) != 0 && home != nil {
		t = t.In(home)
	}
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// writeEvent makes the body that gives fields their values.
func writeEvent(r *connectors.Record, fields []connectors.Field, _ *item) (map[string]any, error) {
	a := r.Appointment
	out := map[string]any{}
	for _, f := range fields {
		switch f {
		case connectors.FieldSubject:
			out["subject"] = a.Subject
		case connectors.FieldLocation:
			out["location"] = map[string]any{"displayName": a.Location}
		case connectors.FieldDescription:
			out["body"] = body{"text", a.Description}
		case connectors.FieldSensitivity:
			if int(a.Sensitivity) >= len(sensitivities()) {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not known"}
			}
			out["sensitivity"] = sensitivities()[a.Sensitivity]
		case connectors.FieldAvailability:
			if int(a.Availability) >= len(availabilities()) {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not known"}
			}
			out["showAs"] = availabilities()[a.Availability]
		case connectors.FieldCategories:
			out["categories"] = written(r.Categories())
		case connectors.FieldReminder:
			if a.Reminder.Minutes < 0 || a.Reminder.Minutes > connectors.MaxReminder {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "too long before"}
			}
			out["isReminderOn"] = a.Reminder.Set // it is on unless somebody says otherwise
			if a.Reminder.Set {
				out["reminderMinutesBeforeStart"] = a.Reminder.Minutes
			}
		case connectors.FieldTime:
			if a.Start.IsZero() || a.End.Before(a.Start) || a.Start.Year() > 4500 {
				return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "an end after its start is wanted"}
			}
			l := time.UTC
			if z := zone.Location(a.Zone); z != nil && !a.AllDay {
				l = z
			}
			out["start"] = dateTime{a.Start.In(l).Format(layout), zone.Name(l)}
			out["end"] = dateTime{a.End.In(l).Format(layout), zone.Name(l)}
			out["isAllDay"] = a.AllDay
		}
	}
	return out, nil
}
