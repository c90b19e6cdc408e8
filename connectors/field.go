package connectors

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Field names one mapped property of a record. Fields are what capabilities
// list, what updates name and what issues point at.
type Field string

// Fields of contacts; accounts use some of them.
const (
	FieldPrefix     Field = "prefix"
	FieldGivenName  Field = "given_name"
	FieldMiddleName Field = "middle_name"
	FieldFamilyName Field = "family_name"
	FieldSuffix     Field = "suffix"
	FieldNickname   Field = "nickname"
	FieldCompany    Field = "company"
	FieldDepartment Field = "department"
	FieldJobTitle   Field = "job_title"
	FieldEmail      Field = "email"
	FieldEmail2     Field = "email2"
	FieldEmail3     Field = "email3"
	FieldPhone      Field = "phone"
	FieldMobile     Field = "mobile"
	FieldHomePhone  Field = "home_phone"
	FieldFax        Field = "fax"
	FieldStreet     Field = "street"
	FieldCity       Field = "city"
	FieldRegion     Field = "region"
	FieldPostalCode Field = "postal_code"
	FieldCountry    Field = "country"
	FieldBirthday   Field = "birthday"
	FieldWebsite    Field = "website"
	FieldNote       Field = "note"

	FieldName Field = "name" // accounts only
)

// Fields of appointments.
const (
	FieldUID          Field = "uid"
	FieldSubject      Field = "subject"
	FieldLocation     Field = "location"
	FieldDescription  Field = "description"
	FieldTime         Field = "time" // start, end and all-day together: they change together
	FieldZone         Field = "zone"
	FieldRecurrence   Field = "recurrence"
	FieldSensitivity  Field = "sensitivity"
	FieldAvailability Field = "availability"
	FieldStatus       Field = "status"
	FieldOrganizer    Field = "organizer"
	FieldAttendees    Field = "attendees"
)

// Fields returns every field of a kind, in a fixed order.
func Fields(k Kind) []Field {
	switch k {
	case KindContact:
		return []Field{FieldPrefix, FieldGivenName, FieldMiddleName, FieldFamilyName, FieldSuffix, FieldNickname,
			FieldCompany, FieldDepartment, FieldJobTitle, FieldEmail, FieldEmail2, FieldEmail3, FieldPhone, FieldMobile,
			FieldHomePhone, FieldFax, FieldStreet, FieldCity, FieldRegion, FieldPostalCode, FieldCountry, FieldBirthday,
			FieldWebsite, FieldNote}
	case KindAccount:
		return []Field{FieldName, FieldPhone, FieldEmail, FieldWebsite, FieldStreet, FieldCity, FieldRegion,
			FieldPostalCode, FieldCountry}
	case KindAppointment:
		return []Field{FieldUID, FieldSubject, FieldLocation, FieldDescription, FieldTime, FieldZone, FieldRecurrence,
			FieldSensitivity, FieldAvailability, FieldStatus, FieldOrganizer, FieldAttendees}
	}
	return nil
}

// text returns the place of a plain text field in a record, nil for a field
// that is no plain text or that the kind does not have.
func (r *Record) text(f Field) *string {
	switch {
	case r.Contact != nil:
		return r.Contact.text(f)
	case r.Account != nil:
		return r.Account.text(f)
	case r.Appointment != nil:
		return r.Appointment.text(f)
	}
	return nil
}

func (c *Contact) text(f Field) *string {
	switch f {
	case FieldPrefix:
		return &c.Prefix
	case FieldGivenName:
		return &c.GivenName
	case FieldMiddleName:
		return &c.MiddleName
	case FieldFamilyName:
		return &c.FamilyName
	case FieldSuffix:
		return &c.Suffix
	case FieldNickname:
		return &c.Nickname
	case FieldCompany:
		return &c.Company
	case FieldDepartment:
		return &c.Department
	case FieldJobTitle:
		return &c.JobTitle
	case FieldEmail:
		return &c.Email
	case FieldEmail2:
		return &c.Email2
	case FieldEmail3:
		return &c.Email3
	case FieldPhone:
		return &c.Phone
	case FieldMobile:
		return &c.Mobile
	case FieldHomePhone:
		return &c.HomePhone
	case FieldFax:
		return &c.Fax
	case FieldStreet:
		return &c.Street
	case FieldCity:
		return &c.City
	case FieldRegion:
		return &c.Region
	case FieldPostalCode:
		return &c.PostalCode
	case FieldCountry:
		return &c.Country
	case FieldBirthday:
		return &c.Birthday
	case FieldWebsite:
		return &c.Website
	case FieldNote:
		return &c.Note
	}
	return nil
}

func (a *Account) text(f Field) *string {
	switch f {
	case FieldName:
		return &a.Name
	case FieldPhone:
		return &a.Phone
	case FieldEmail:
		return &a.Email
	case FieldWebsite:
		return &a.Website
	case FieldStreet:
		return &a.Street
	case FieldCity:
		return &a.City
	case FieldRegion:
		return &a.Region
	case FieldPostalCode:
		return &a.PostalCode
	case FieldCountry:
		return &a.Country
	}
	return nil
}

func (a *Appointment) text(f Field) *string {
	switch f {
	case FieldUID:
		return &a.UID
	case FieldSubject:
		return &a.Subject
	case FieldLocation:
		return &a.Location
	case FieldDescription:
		return &a.Description
	case FieldZone:
		return &a.Zone
	}
	return nil
}

// Text returns a text field as it is, "" for a field that is no text or that
// the record does not have.
func (r *Record) Text(f Field) string {
	if p := r.text(f); p != nil {
		return *p
	}
	return ""
}

// SetText sets a text field after normalising it; it reports false, and changes
// nothing, for a field that is no text or that the record does not have.
func (r *Record) SetText(f Field, s string) bool {
	p := r.text(f)
	if p == nil {
		return false
	}
	*p = NormalizeText(f, s)
	return true
}

// NormalizeText brings a text to the one form in which this module carries it,
// so that a value survives a round trip through any system: valid UTF-8, line
// ends LF, no control characters, nothing that XML cannot hold, no white space
// at either end, and in fields of one line no line ends at all. Normalising
// twice changes nothing.
func NormalizeText(f Field, s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	many := f == FieldNote || f == FieldDescription || f == FieldStreet
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r' || c == '\u0085' || c == '\u2028' || c == '\u2029': // whatever a system calls a line end
			if many {
				return '\n'
			}
			return ' '
		case c == '\t':
			return ' '
		case unicode.IsControl(c) || c == '\uFEFF' || c == '\uFFFE' || c == '\uFFFF':
			return -1
		}
		return c
	}, s)
	if strings.Contains(s, " \n") || strings.Contains(s, "\u00a0\n") {
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " \u00a0")
		}
		s = strings.Join(lines, "\n")
	}
	return strings.TrimSpace(s)
}

// Empty reports whether a record says nothing in a field.
func (r *Record) Empty(f Field) bool {
	if p := r.text(f); p != nil {
		return *p == ""
	}
	a := r.Appointment
	if a == nil {
		return true
	}
	switch f {
	case FieldTime:
		return a.Start.IsZero()
	case FieldRecurrence:
		return a.Recurrence == nil
	case FieldOrganizer:
		return a.Organizer == Party{}
	case FieldAttendees:
		return len(a.Attendees) == 0
	}
	return false
}

// Same reports whether two records of one kind say the same in a field. It
// compares meaning, not spelling: line ends, the punctuation of telephone
// numbers, the case of e-mail addresses, names and codes of countries, the
// order of attendees and the spelling of instants make no difference.
func Same(a, b *Record, f Field) bool {
	if p, q := a.text(f), b.text(f); p != nil && q != nil {
		return *p == *q || canonical(f, *p) == canonical(f, *q)
	}
	x, y := a.Appointment, b.Appointment
	if x == nil || y == nil {
		return x == y
	}
	switch f {
	case FieldTime:
		return sameInstant(x.Start, y.Start) && sameInstant(x.End, y.End) && x.AllDay == y.AllDay
	case FieldRecurrence:
		return x.Recurrence.same(y.Recurrence)
	case FieldSensitivity:
		return x.Sensitivity == y.Sensitivity
	case FieldAvailability:
		return x.Availability == y.Availability
	case FieldStatus:
		return x.Status == y.Status
	case FieldOrganizer:
		return strings.EqualFold(x.Organizer.Address, y.Organizer.Address)
	case FieldAttendees:
		return slices.Equal(addresses(x.Attendees), addresses(y.Attendees))
	}
	return false
}

// Diff returns those of the fields in which two records differ.
func Diff(a, b *Record, fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if !Same(a, b, f) {
			out = append(out, f)
		}
	}
	return out
}

// CopyField makes dst say in a field what src says. Both must be of one kind;
// otherwise nothing happens.
func CopyField(dst, src *Record, f Field) {
	if dst.Kind != src.Kind {
		return
	}
	if p, q := dst.text(f), src.text(f); p != nil && q != nil {
		*p = *q
		return
	}
	x, y := dst.Appointment, src.Appointment
	if x == nil || y == nil {
		return
	}
	switch f {
	case FieldTime:
		x.Start, x.End, x.AllDay = y.Start, y.End, y.AllDay
	case FieldRecurrence:
		x.Recurrence = y.clone().Recurrence
	case FieldSensitivity:
		x.Sensitivity = y.Sensitivity
	case FieldAvailability:
		x.Availability = y.Availability
	case FieldStatus:
		x.Status = y.Status
	case FieldOrganizer:
		x.Organizer = y.Organizer
	case FieldAttendees:
		x.Attendees = slices.Clone(y.Attendees)
	}
}

// canonical is the form in which two spellings of one value are equal.
func canonical(f Field, s string) string {
	s = NormalizeText(f, s)
	switch f {
	case FieldPhone, FieldMobile, FieldHomePhone, FieldFax:
		return canonicalPhone(s)
	case FieldEmail, FieldEmail2, FieldEmail3:
		return strings.ToLower(s)
	case FieldCountry:
		return canonicalCountry(s)
	case FieldZone:
		if s == "Etc/UTC" || s == "Z" {
			return "UTC"
		}
	}
	return s
}

// canonicalPhone drops what only makes a number easier to read.
func canonicalPhone(s string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case ' ', '-', '.', '/', '(', ')', '\u00a0':
			return -1
		}
		return c
	}, strings.ToLower(s))
}

func addresses(ps []Party) []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, strings.ToLower(strings.TrimSpace(p.Address)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sameInstant compares to the second: no system here keeps more.
func sameInstant(a, b time.Time) bool { return a.Unix() == b.Unix() || a.IsZero() && b.IsZero() }

func (r *Recurrence) same(o *Recurrence) bool {
	if r == nil || o == nil {
		return r == o
	}
	return slices.Equal(r.Rules, o.Rules) && slices.Equal(r.Dates, o.Dates) &&
		slices.Equal(r.Exceptions, o.Exceptions) && r.Overrides == o.Overrides
}
