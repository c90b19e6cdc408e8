package demo

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// File writes a record as a mailbox keeps it: a contact as vCard 3.0 (RFC 2426),
// an appointment as iCalendar (RFC 5545). The name is unique in a collection
// for one uid and ends in .vcf or .ics.
func File(r *connectors.Record, uid string) (file string, content []byte, err error) {
	var b bytes.Buffer
	switch r.Kind {
	case connectors.KindContact:
		err = vcard.NewEncoder(&b).Encode(card(r.Contact, uid))
		file = uid + ".vcf"
	case connectors.KindAppointment:
		err = ical.NewEncoder(&b).Encode(calendar(r.Appointment, uid))
		file = uid + ".ics"
	default:
		err = fmt.Errorf("kind %s is not kept in mailboxes", r.Kind)
	}
	if err != nil {
		return "", nil, fmt.Errorf("demo: write %s: %w", uid, err)
	}
	return file, b.Bytes(), nil
}

func card(c *connectors.Contact, uid string) vcard.Card {
	v := vcard.Card{}
	set := func(name, value, typ string) {
		if value == "" {
			return
		}
		f := &vcard.Field{Value: value}
		if typ != "" {
			f.Params = vcard.Params{vcard.ParamType: {typ}}
		}
		v.Add(name, f)
	}
	set(vcard.FieldVersion, "3.0", "")
	set(vcard.FieldUID, uid, "")
	v.AddName(&vcard.Name{FamilyName: c.FamilyName, GivenName: c.GivenName, AdditionalName: c.MiddleName})
	set(vcard.FieldFormattedName, strings.TrimSpace(c.GivenName+" "+c.FamilyName), "")
	set(vcard.FieldOrganization, c.Company, "")
	set(vcard.FieldTitle, c.JobTitle, "")
	set(vcard.FieldEmail, c.Email, "work")
	set(vcard.FieldTelephone, c.Phone, "work")
	set(vcard.FieldTelephone, c.Mobile, "cell")
	set(vcard.FieldBirthday, c.Birthday, "")
	set(vcard.FieldNote, c.Note, "")
	if c.Street+c.City != "" {
		v.AddAddress(&vcard.Address{Field: &vcard.Field{Params: vcard.Params{vcard.ParamType: {"work"}}},
			StreetAddress: c.Street, Locality: c.City, Region: c.Region, PostalCode: c.PostalCode, Country: c.Country})
	}
	return v
}

func calendar(a *connectors.Appointment, uid string) *ical.Calendar {
	cal := ical.NewCalendar()
	cal.Props.SetText(ical.PropVersion, "2.0")
	cal.Props.SetText(ical.PropProductID, "-//lockkeeper//example server//EN")
	e := ical.NewEvent()
	if a.UID != "" {
		uid = a.UID
	}
	e.Props.SetText(ical.PropUID, uid)
	e.Props.SetDateTime(ical.PropDateTimeStamp, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	text := func(name, value string) {
		if value != "" {
			e.Props.SetText(name, value)
		}
	}
	text(ical.PropSummary, a.Subject)
	text(ical.PropLocation, a.Location)
	text(ical.PropDescription, a.Description)
	at := func(name string, t time.Time) {
		if a.AllDay {
			e.Props.SetDate(name, t)
			return
		}
		if loc, err := time.LoadLocation(a.Zone); err == nil {
			t = t.In(loc)
		}
		e.Props.SetDateTime(name, t)
	}
	at(ical.PropDateTimeStart, a.Start)
	at(ical.PropDateTimeEnd, a.End)
	if a.Sensitivity == connectors.Private {
		text(ical.PropClass, "PRIVATE")
	}
	if a.Availability == connectors.Free {
		text(ical.PropTransparency, "TRANSPARENT")
	}
	if a.Recurrence != nil {
		for _, rule := range a.Recurrence.Rules {
			p := ical.NewProp(ical.PropRecurrenceRule)
			p.Value = rule
			e.Props.Add(p)
		}
	}
	party := func(name string, p connectors.Party) {
		if p.Address == "" {
			return
		}
		prop := ical.NewProp(name)
		prop.Value = "mailto:" + p.Address
		prop.Params.Set(ical.ParamCommonName, p.Name)
		e.Props.Add(prop)
	}
	party(ical.PropOrganizer, a.Organizer)
	for _, p := range a.Attendees {
		party(ical.PropAttendee, p)
	}
	cal.Children = append(cal.Children, e.Component)
	return cal
}
