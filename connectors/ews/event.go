package ews

import (
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

func eventCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: batch, Fields: map[connectors.Field]connectors.Limit{}, Attachments: files()}
	for _, f := range connectors.Fields(connectors.KindAppointment) {
		c.Fields[f] = connectors.Limit{}
	}
	c.Fields[connectors.FieldTime] = connectors.Limit{Required: true}
	// The mailbox gives identity, organizer and state itself; attendees are
	// invited by people; the zone comes with the times, and series are written
	// by calendars only.
	for _, f := range []connectors.Field{connectors.FieldUID, connectors.FieldZone, connectors.FieldRecurrence, connectors.FieldStatus,
		connectors.FieldOrganizer, connectors.FieldAttendees} {
		c.Fields[f] = connectors.Limit{ReadOnly: true}
	}
	c.Fields[connectors.FieldSubject] = connectors.Limit{Runes: 255}
	return c
}

const eventExtra = `<t:FieldURI FieldURI="item:LastModifiedTime"/><t:FieldURI FieldURI="item:Attachments"/><t:FieldURI FieldURI="calendar:UID"/><t:FieldURI FieldURI="calendar:IsCancelled"/>` +
	`<t:FieldURI FieldURI="calendar:CalendarItemType"/><t:FieldURI FieldURI="calendar:Organizer"/><t:FieldURI FieldURI="calendar:RequiredAttendees"/>` +
	`<t:FieldURI FieldURI="calendar:OptionalAttendees"/><t:FieldURI FieldURI="calendar:Recurrence"/>`

type event struct {
	UID        string      `xml:"UID"`
	Start      string      `xml:"Start"`
	End        string      `xml:"End"`
	AllDay     bool        `xml:"IsAllDayEvent"`
	FreeBusy   string      `xml:"LegacyFreeBusyStatus"`
	Location   string      `xml:"Location"`
	Cancelled  bool        `xml:"IsCancelled"`
	Type       string      `xml:"CalendarItemType"`
	Organizer  []mailbox   `xml:"Organizer>Mailbox"`
	Required   []mailbox   `xml:"RequiredAttendees>Attendee>Mailbox"`
	Optional   []mailbox   `xml:"OptionalAttendees>Attendee>Mailbox"`
	Recurrence *recurrence `xml:"Recurrence"`
	StartZone  zoneID      `xml:"StartTimeZone"`
}

type zoneID struct {
	ID string `xml:"Id,attr"`
}

type mailbox struct {
	Name    string `xml:"Name"`
	Address string `xml:"EmailAddress"`
	Routing string `xml:"RoutingType"`
}

// party is a person with an address; one of the directory alone has none.
func (m mailbox) party() (connectors.Party, bool) {
	a := strings.TrimSpace(m.Address)
	return connectors.Party{Address: a, Name: connectors.NormalizeText(connectors.FieldName, m.Name)}, a != "" && m.Routing != "EX"
}

// Values that both sides know, in the order of the constants.
func availabilities() []string { return []string{"Busy", "Free", "Tentative", "OOF"} }

// instants are written and read in UTC: every request says so.
const instant = "2006-01-02T15:04:05Z"

// eventProperties are the mapped properties in the order of the schema.
func eventProperties() []property {
	when := func(path, name string, value func(a *connectors.Appointment) string) property {
		return property{field: connectors.FieldTime, path: path, value: func(r *connectors.Record) string { return tagged(name, value(r.Appointment)) }}
	}
	in := func(path, name string) property {
		return property{field: connectors.FieldTime, path: path, value: func(r *connectors.Record) string {
			return `<t:` + name + ` Id="` + esc(home(r.Appointment)) + `"/>`
		}}
	}
	return []property{
		element(connectors.FieldSubject, "item:Subject", "Subject"),
		sensitivityProperty(func(r *connectors.Record) connectors.Sensitivity { return r.Appointment.Sensitivity }),
		bodyProperty(connectors.FieldDescription),
		categoriesProperty(),
		{field: connectors.FieldReminder, path: "item:ReminderIsSet", value: func(r *connectors.Record) string { // said always: the mailbox reminds by default
			return tagged("ReminderIsSet", yes(r.Appointment.Reminder.Set))
		}},
		{field: connectors.FieldReminder, path: "item:ReminderMinutesBeforeStart", keep: true, value: func(r *connectors.Record) string {
			if !r.Appointment.Reminder.Set {
				return ""
			}
			return tagged("ReminderMinutesBeforeStart", strconv.Itoa(r.Appointment.Reminder.Minutes))
		}},
		when("calendar:Start", "Start", func(a *connectors.Appointment) string { return a.Start.UTC().Format(instant) }),
		when("calendar:End", "End", func(a *connectors.Appointment) string { return a.End.UTC().Format(instant) }),
		when("calendar:IsAllDayEvent", "IsAllDayEvent", func(a *connectors.Appointment) string {
			return yes(a.AllDay)
		}),
		{field: connectors.FieldAvailability, path: "calendar:LegacyFreeBusyStatus", value: func(r *connectors.Record) string {
			return tagged("LegacyFreeBusyStatus", pick(availabilities(), int(r.Appointment.Availability)))
		}},
		element(connectors.FieldLocation, "calendar:Location", "Location"),
		in("calendar:StartTimeZone", "StartTimeZone"),
		in("calendar:EndTimeZone", "EndTimeZone"),
	}
}

// home is the zone of an appointment by its Windows name, the only names that the
// protocol takes; UTC for a day and where there is no such name.
func home(a *connectors.Appointment) string {
	if l := zone.Location(a.Zone); l != nil && !a.AllDay && a.Zone != "" {
		if w := zone.Windows(l); w != "" {
			return w
		}
	}
	return "UTC"
}

func readEvent(it *item, zones *zone.Book) (*connectors.Record, error) {
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	r.SetText(connectors.FieldUID, it.UID)
	r.SetText(connectors.FieldSubject, it.Subject)
	r.SetText(connectors.FieldLocation, it.Location)
	r.SetText(connectors.FieldDescription, it.plain())
	var err1, err2 error
	a.Start, err1 = time.Parse(time.RFC3339, it.Start)
	a.End, err2 = time.Parse(time.RFC3339, it.End)
	if err1 != nil || err2 != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: connectors.FieldTime, Detail: "times of an appointment"}
	}
	a.Start, a.End = a.Start.UTC(), a.End.UTC()
	var l *time.Location
	if it.StartZone.ID != "" {
		l = zones.Location(it.StartZone.ID)
	}
	if a.AllDay = it.AllDay; a.AllDay {
		a.Start, a.End = day(a.Start, l), day(a.End, l)
	} else if l != nil {
		r.SetText(connectors.FieldZone, zone.Name(l))
	}
	a.Sensitivity = it.sensitivity()
	a.Availability = index[connectors.Availability](availabilities(), it.FreeBusy)
	r.SetCategories(it.categories())
	if it.ReminderSet && it.Minutes >= 0 && it.Minutes <= connectors.MaxReminder {
		a.Reminder = connectors.Reminder{Set: true, Minutes: it.Minutes}
	}
	if it.Cancelled {
		a.Status = connectors.Cancelled
	}
	if it.Recurrence != nil || it.Type == "RecurringMaster" {
		a.Recurrence = &connectors.Recurrence{}
		if rule := it.Recurrence.rule(); rule != "" {
			a.Recurrence.Rules = []string{rule}
		}
	}
	organizer := connectors.Party{}
	if len(it.Organizer) > 0 {
		organizer, _ = it.Organizer[0].party()
	}
	for _, m := range append(it.Required, it.Optional...) {
		if p, ok := m.party(); ok && !strings.EqualFold(p.Address, organizer.Address) {
			a.Attendees = append(a.Attendees, p)
		}
	}
	if len(a.Attendees) > 0 { // alone one is no organizer
		a.Organizer = organizer
	}
	return r, nil
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
