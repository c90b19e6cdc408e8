package c4c

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// column is one plain property: the field it carries, its name in the metadata
// of the service, and how many characters it holds.
type column struct {
	field connectors.Field
	name  string
	runes int
}

// shape is what there is to know about one kind: where it lives, what it is
// made of, and which code means that it is gone.
type shape struct {
	kind     connectors.Kind
	set      string
	columns  []column
	extra    []string // further properties that are read
	expand   []string // navigations that are read along with it
	key      string   // property that holds the create key
	keyRunes int      // characters that it holds
	status   string   // property of the status, "" if records of the kind can be deleted
	obsolete string
}

var (
	contactShape = shape{
		kind: connectors.KindContact, set: setContact,
		columns: []column{
			{connectors.FieldGivenName, "FirstName", 40},
			{connectors.FieldMiddleName, "MiddleName", 40},
			{connectors.FieldFamilyName, "LastName", 40},
			{connectors.FieldNickname, "NickName", 40},
			{connectors.FieldJobTitle, "JobTitle", 40},
			{connectors.FieldDepartment, "Department", 40},
			{connectors.FieldPhone, "Phone", 40},
			{connectors.FieldMobile, "Mobile", 40},
			{connectors.FieldFax, "Fax", 40},
			{connectors.FieldEmail, "Email", 255},
			{connectors.FieldCity, "BusinessAddressCity", 40},
			{connectors.FieldPostalCode, "BusinessAddressStreetPostalCode", 10},
			{connectors.FieldRegion, "BusinessAddressStateCodeTextUpdatable", 0},
		},
		extra: []string{"BusinessAddressStreet", "BusinessAddressHouseNumber", "BusinessAddressCountryCode",
			"BirthDate", "AccountID", "AccountFormattedName", "StatusCode", "ExternalID", "ExternalSystem"},
		expand: []string{navContactText},
		key:    "ExternalID", keyRunes: 100, status: "StatusCode", obsolete: "4",
	}
	accountShape = shape{
		kind: connectors.KindAccount, set: setAccount,
		columns: []column{
			{connectors.FieldName, "Name", 40},
			{connectors.FieldPhone, "Phone", 40},
			{connectors.FieldEmail, "Email", 255},
			{connectors.FieldWebsite, "WebSite", 1280},
			{connectors.FieldCity, "City", 40},
			{connectors.FieldPostalCode, "StreetPostalCode", 10},
		},
		extra: []string{"Street", "HouseNumber", "CountryCode", "LifeCycleStatusCode", "ExternalID", "ExternalSystem"},
		key:   "ExternalID", keyRunes: 100, status: "LifeCycleStatusCode", obsolete: "4",
	}
	appointmentShape = shape{
		kind: connectors.KindAppointment, set: setAppointment,
		columns: []column{
			{connectors.FieldSubject, "Subject", 765},
			{connectors.FieldLocation, "Location", 480},
		},
		extra: []string{"StartDate", "EndDate", "FullDayIndicator", "InformationSensitivityCode", "AvailabilityCode",
			"LifeCycleStatusCode", "OrganizerEmailURI", "OrganizerName", "GroupwareItemID"},
		expand: []string{navParty, navMeetingText},
		key:    "GroupwareItemID", keyRunes: 765,
	}
)

// Codes. Status codes of contacts and accounts: 2 active, 4 obsolete. Role and
// life cycle codes of appointments, and "1" for normal sensitivity, are those
// that answers of the vendor's sandbox show; README.md lists the ones that no
// published source confirms.
const (
	codeActive       = "2"
	codeOpen         = "1"
	codeCancelled    = "4"
	codeRoleCustomer = "CRM000"
	codeOrganizer    = "35"
	codeAttendee     = "36"
	codeBodyText     = "10002"

	externalSystem = "lockkeeper"
	zoneUTC        = "UTC"
)

// Lengths of what is no plain column.
const (
	runesStreet  = 60
	runesCompany = 40 // of the name of an account; the name that a contact shows may be longer
	runesAddress = 255
	runesName    = 480
)

func sensitivityCode(s connectors.Sensitivity) string {
	return map[connectors.Sensitivity]string{connectors.Public: "1", connectors.Private: "3", connectors.Confidential: "4"}[s]
}

func sensitivityOf(code string) connectors.Sensitivity {
	switch code {
	case "2", "3": // personal, private
		return connectors.Private
	case "4":
		return connectors.Confidential
	}
	return connectors.Public
}

func availabilityCode(a connectors.Availability) string {
	return map[connectors.Availability]string{connectors.Free: "1", connectors.Tentative: "2", connectors.Busy: "3", connectors.OutOfOffice: "4"}[a]
}

func availabilityOf(code string) connectors.Availability {
	switch code {
	case "1":
		return connectors.Free
	case "2":
		return connectors.Tentative
	case "4":
		return connectors.OutOfOffice
	}
	return connectors.Busy
}

func shapeOf(k connectors.Kind) (shape, error) {
	switch k {
	case connectors.KindContact:
		return contactShape, nil
	case connectors.KindAccount:
		return accountShape, nil
	case connectors.KindAppointment:
		return appointmentShape, nil
	}
	return shape{}, &connectors.Error{Class: connectors.ErrUnsupported, Kind: k}
}

// selection names every property that is read, and every navigation with it.
func (s shape) selection() string {
	out := []string{propID, propETag, propChanged}
	for _, c := range s.columns {
		out = append(out, c.name)
	}
	return strings.Join(slices.Concat(out, s.extra, s.expand), ",")
}

// light names only what tells one revision from another.
func (s shape) light() string {
	out := []string{propID, propETag, propChanged}
	if s.status != "" {
		out = append(out, s.status)
	}
	return strings.Join(out, ",")
}

// gone reports whether a record counts as deleted.
func (s shape) gone(e entity) (bool, error) {
	if s.status == "" {
		return false, nil
	}
	code, err := e.text(s.status)
	return code == s.obsolete, err
}

// capability is the shape as callers see it.
func (s shape) capability() connectors.Capability {
	c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}, Create: true, Update: true, Delete: true, Batch: batchSize}
	for _, col := range s.columns {
		c.Fields[col.field] = connectors.Limit{Runes: col.runes}
	}
	switch s.kind {
	case connectors.KindContact:
		c.Fields[connectors.FieldFamilyName] = connectors.Limit{Runes: 40, Required: true}
		c.Fields[connectors.FieldCompany] = connectors.Limit{Runes: runesCompany}
		c.Fields[connectors.FieldBirthday] = connectors.Limit{}
		c.Fields[connectors.FieldNote] = connectors.Limit{}
	case connectors.KindAccount:
		c.Fields[connectors.FieldName] = connectors.Limit{Runes: 40, Required: true}
	case connectors.KindAppointment:
		for _, f := range []connectors.Field{connectors.FieldDescription, connectors.FieldSensitivity, connectors.FieldAvailability,
			connectors.FieldStatus, connectors.FieldOrganizer, connectors.FieldAttendees} {
			c.Fields[f] = connectors.Limit{}
		}
		c.Fields[connectors.FieldTime] = connectors.Limit{Required: true}
	}
	if s.kind != connectors.KindAppointment {
		c.Fields[connectors.FieldStreet] = connectors.Limit{Runes: runesStreet}
		c.Fields[connectors.FieldCountry] = connectors.Limit{}
	}
	return c
}

// record turns an entity into a record.
func (s shape) record(e entity) (*connectors.Record, error) {
	r, err := s.unmap(e)
	if err != nil {
		id, _ := e.id()
		return nil, &connectors.Error{Kind: s.kind, ID: id, Class: connectors.ErrMalformed, Detail: "record with a property of another type than its own"}
	}
	return r, nil
}

func (s shape) unmap(e entity) (*connectors.Record, error) {
	x := reader{e: e}
	r := connectors.NewRecord(s.kind)
	r.ID, r.Rev, r.Modified = x.text(propID), e.rev(), x.date(propChanged)
	r.Key = x.text(s.key)
	if s.key == "ExternalID" && x.text("ExternalSystem") != externalSystem {
		r.Key = "" // somebody else's number
	}
	if len(r.Key) > connectors.MaxKey {
		r.Key = ""
	}
	for _, c := range s.columns {
		r.SetText(c.field, x.text(c.name))
	}
	switch s.kind {
	case connectors.KindContact:
		r.SetText(connectors.FieldStreet, street(x.text("BusinessAddressStreet"), x.text("BusinessAddressHouseNumber")))
		r.SetText(connectors.FieldCountry, x.text("BusinessAddressCountryCode"))
		if x.text("AccountID") != "" {
			r.SetText(connectors.FieldCompany, x.text("AccountFormattedName"))
		}
		if t := x.date("BirthDate"); !t.IsZero() {
			r.Contact.Birthday = t.Format(time.DateOnly)
		}
		r.SetText(connectors.FieldNote, noteOf(x.texts(navContactText)).text)
	case connectors.KindAccount:
		r.SetText(connectors.FieldStreet, street(x.text("Street"), x.text("HouseNumber")))
		r.SetText(connectors.FieldCountry, x.text("CountryCode"))
	case connectors.KindAppointment:
		a := r.Appointment
		a.Start, a.End, a.AllDay = x.date("StartDate"), x.date("EndDate"), x.boolean("FullDayIndicator")
		a.Sensitivity = sensitivityOf(x.text("InformationSensitivityCode"))
		a.Availability = availabilityOf(x.text("AvailabilityCode"))
		if x.text("LifeCycleStatusCode") == codeCancelled {
			a.Status = connectors.Cancelled
		}
		for _, p := range x.parties() {
			switch {
			case p.role == codeOrganizer && a.Organizer.Address == "":
				a.Organizer = p.Party
			case p.role == codeAttendee:
				a.Attendees = append(a.Attendees, p.Party)
			}
		}
		if a.Organizer.Address == "" {
			a.Organizer = connectors.Party{Address: strings.TrimSpace(x.text("OrganizerEmailURI"))}
			if a.Organizer.Address != "" {
				a.Organizer.Name = x.text("OrganizerName")
			}
		}
		r.SetText(connectors.FieldDescription, noteOf(x.texts(navMeetingText)).text)
	}
	return r, x.err
}

// reader reads properties of an entity and keeps the first thing that was wrong.
type reader struct {
	e   entity
	err error
}

func (x *reader) keep(err error) {
	if x.err == nil {
		x.err = err
	}
}

func (x *reader) text(name string) string {
	s, err := x.e.text(name)
	x.keep(err)
	return s
}

func (x *reader) boolean(name string) bool {
	v, err := x.e.boolean(name)
	x.keep(err)
	return v
}

func (x *reader) date(name string) time.Time {
	t, err := x.e.date(name)
	x.keep(err)
	return t
}

func street(name, number string) string { return strings.TrimSpace(name + " " + number) }

// child is what an update needs to know of a record below another.
type child struct {
	id, rev string
}

// text is a note or a description.
type textChild struct {
	child
	text    string
	typ     string
	created time.Time
}

func (x *reader) texts(nav string) []textChild {
	es, err := x.e.children(nav)
	x.keep(err)
	out := make([]textChild, 0, len(es))
	for _, e := range es {
		y := reader{e: e}
		t := textChild{child{y.text(propID), e.rev()}, y.text("Text"), y.text("TypeCode"), y.date("CreatedOn")}
		x.keep(y.err)
		out = append(out, t)
	}
	return out
}

// noteOf picks the one text that is kept in step with the other side: the
// oldest of the general type. Others are left alone.
func noteOf(ts []textChild) textChild {
	ts = slices.DeleteFunc(slices.Clone(ts), func(t textChild) bool { return t.typ != "" && t.typ != codeBodyText })
	sort.SliceStable(ts, func(i, j int) bool {
		if !ts[i].created.Equal(ts[j].created) {
			return ts[i].created.Before(ts[j].created)
		}
		return ts[i].id < ts[j].id
	})
	if len(ts) == 0 {
		return textChild{}
	}
	return ts[0]
}

// partyChild is a person in a meeting who has an e-mail address. Those without
// one exist in the CRM only and are never touched.
type partyChild struct {
	child
	connectors.Party
	role string
}

func (x *reader) parties() []partyChild {
	es, err := x.e.children(navParty)
	x.keep(err)
	var out []partyChild
	for _, e := range es {
		y := reader{e: e}
		p := partyChild{child{y.text(propID), e.rev()}, connectors.Party{Address: strings.TrimSpace(y.text("EMail")), Name: y.text("Name")}, y.text("RoleCode")}
		if p.Address == "" {
			p.Address = strings.TrimSpace(y.text("PartyEmailURI"))
		}
		x.keep(y.err)
		if p.Address != "" && (p.role == codeOrganizer || p.role == codeAttendee) {
			out = append(out, p)
		}
	}
	return out
}

// properties are what is sent: the properties of the record itself.
type properties map[string]any

// check refuses values that the system cannot hold, naming the field and never
// the value.
func (s shape) check(r *connectors.Record, fields []connectors.Field) error {
	invalid := func(f connectors.Field, detail string) error {
		return &connectors.Error{Kind: s.kind, ID: r.ID, Field: f, Class: connectors.ErrInvalid, Detail: detail}
	}
	limits := s.capability().Fields
	for _, f := range fields {
		l, ok := limits[f]
		switch {
		case !ok:
			return invalid(f, "the system does not keep this field")
		case l.Required && r.Empty(f):
			return invalid(f, "empty where the system needs a value")
		case l.Runes > 0 && utf8.RuneCountInString(r.Text(f)) > l.Runes:
			return invalid(f, fmt.Sprintf("%d characters where %d fit", utf8.RuneCountInString(r.Text(f)), l.Runes))
		case f == connectors.FieldCountry && r.Text(f) != "" && connectors.CountryCode(r.Text(f)) == "":
			return invalid(f, "no country that has a code")
		case f == connectors.FieldBirthday && r.Text(f) != "":
			if t, err := time.Parse(time.DateOnly, r.Text(f)); err != nil || t.Year() < 1 {
				return invalid(f, "not a full date")
			}
		}
	}
	a := r.Appointment
	if a == nil {
		return nil
	}
	for _, f := range fields {
		switch f {
		case connectors.FieldTime:
			for _, t := range []time.Time{a.Start, a.End} {
				if _, err := inRange(t.UTC()); err != nil || t.IsZero() {
					return invalid(f, "time out of range")
				}
			}
			if a.End.Before(a.Start) {
				return invalid(f, "ends before it starts")
			}
		case connectors.FieldStatus:
			if a.Status == connectors.Unconfirmed {
				return invalid(f, "the system has no unconfirmed meetings")
			}
		case connectors.FieldOrganizer:
			if a.Organizer != (connectors.Party{}) && !fits(a.Organizer) {
				return invalid(f, "address empty or too long")
			}
		case connectors.FieldAttendees:
			for _, p := range a.Attendees {
				if !fits(p) {
					return invalid(f, "address empty or too long")
				}
			}
		}
	}
	return nil
}

func fits(p connectors.Party) bool {
	n := utf8.RuneCountInString(p.Address)
	return n > 0 && n <= runesAddress && utf8.RuneCountInString(p.Name) <= runesName
}

// properties turns fields of a checked record into properties. Company, note,
// description and parties are no properties and are handled where the record is
// written.
func (s shape) properties(r *connectors.Record, fields []connectors.Field) properties {
	out := properties{}
	for _, f := range fields {
		for _, c := range s.columns {
			if c.field == f {
				out[c.name] = r.Text(f)
			}
		}
	}
	prefix := ""
	if s.kind == connectors.KindContact {
		prefix = "BusinessAddress"
	}
	for _, f := range fields {
		switch f {
		case connectors.FieldStreet:
			// The number is part of the text on the other side. It moves into
			// the street, so that the same text comes back.
			out[prefix+"Street"], out[prefix+"HouseNumber"] = r.Text(f), ""
		case connectors.FieldCountry:
			out[prefix+"CountryCode"] = connectors.CountryCode(r.Text(f))
		case connectors.FieldBirthday:
			out["BirthDate"] = nil
			if r.Contact.Birthday != "" {
				out["BirthDate"] = r.Contact.Birthday + "T00:00:00"
			}
		case connectors.FieldTime:
			out["StartDate"], out["EndDate"] = instant(r.Appointment.Start), instant(r.Appointment.End)
			out["StartDatetimeZoneCode"], out["EnddatetimeZoneCode"] = zoneUTC, zoneUTC
			out["FullDayIndicator"] = r.Appointment.AllDay
		case connectors.FieldSensitivity:
			out["InformationSensitivityCode"] = sensitivityCode(r.Appointment.Sensitivity)
		case connectors.FieldAvailability:
			out["AvailabilityCode"] = availabilityCode(r.Appointment.Availability)
		case connectors.FieldStatus:
			out["LifeCycleStatusCode"] = codeOpen
			if r.Appointment.Status == connectors.Cancelled {
				out["LifeCycleStatusCode"] = codeCancelled
			}
		}
	}
	return out
}
