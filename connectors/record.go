package connectors

import (
	"slices"
	"time"
)

// Record is one contact, appointment, mail and so on, held in memory only.
// Exactly one of the content pointers is set, the one of its kind's shape.
//
// Formatting a Record shows its kind, id and revision and never its content;
// marshalling one is an error.
type Record struct {
	Kind     Kind
	ID       string    // the system's own id, opaque, case-sensitive, at most MaxID bytes
	Rev      string    // the system's own revision, opaque: equal means unchanged; at most MaxRev bytes
	Modified time.Time // last modified as the system says, a hint only; zero if it does not say
	Key      string    // the create key found on the record, "" if it carries none

	Owner       Party         // whose the record is, as a CRM says; zero if it does not, and never written
	Marks       *Marks        // where and under which marks a mailbox keeps the record; nil: none
	Refs        []Ref         // other records of the same system that this one refers to
	Attachments []*Attachment // what is attached, without content; see Conn.OpenAttachment

	Contact     *Contact
	Account     *Account
	Appointment *Appointment
	Task        *Task
	Mail        *Mail
}

// Marks are how a mailbox files a record. Categories are compared without regard
// to case and order.
type Marks struct {
	Folder     string // name of the container as its user sees it, "" if there is one only; never written
	Categories []string
}

// Folder returns the name of the container that the record lies in, "" if the
// system has one only.
func (r *Record) Folder() string {
	if r.Marks == nil {
		return ""
	}
	return r.Marks.Folder
}

// Categories returns the marks that a mailbox's user gave the record.
func (r *Record) Categories() []string {
	if r.Marks == nil {
		return nil
	}
	return r.Marks.Categories
}

// SetCategories replaces the marks.
func (r *Record) SetCategories(cs []string) {
	if r.Marks == nil {
		if len(cs) == 0 {
			return
		}
		r.Marks = &Marks{}
	}
	r.Marks.Categories = cs
}

// Limits on what a system may hand us as identity of a record, and with it.
const (
	MaxID          = 1024 // bytes of an id
	MaxRev         = 1024 // bytes of a revision
	MaxKey         = 128  // bytes of a create key
	MaxRefs        = 1000 // references of a record
	MaxAttachments = 1000 // attachments of a record
	MaxCategories  = 200  // categories of a record
)

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.Refs = slices.Clone(r.Refs)
	if r.Marks != nil {
		c.Marks = &Marks{Folder: r.Marks.Folder, Categories: slices.Clone(r.Marks.Categories)}
	}
	c.Attachments = slices.Clone(r.Attachments)
	for i, a := range c.Attachments {
		v := *a
		c.Attachments[i] = &v
	}
	if r.Contact != nil {
		v := *r.Contact
		c.Contact = &v
	}
	if r.Account != nil {
		v := *r.Account
		c.Account = &v
	}
	if r.Appointment != nil {
		c.Appointment = r.Appointment.clone()
	}
	if r.Task != nil {
		v := *r.Task
		c.Task = &v
	}
	if r.Mail != nil {
		c.Mail = r.Mail.clone()
	}
	return &c
}

// Head takes the long texts off a record: what is left is enough to decide
// whether it is wanted.
func (r *Record) Head() {
	switch {
	case r.Mail != nil:
		r.Mail.Body = ""
	default:
		r.SetText(FieldDescription, "")
		r.SetText(FieldNote, "")
	}
}

// NewRecord returns an empty record of a kind, with its content allocated.
func NewRecord(k Kind) *Record {
	r := &Record{Kind: k}
	switch k.Shape() {
	case ShapeContact:
		r.Contact = &Contact{}
	case ShapeAccount:
		r.Account = &Account{}
	case ShapeAppointment:
		r.Appointment = &Appointment{}
	case ShapeTask:
		r.Task = &Task{}
	case ShapeMail:
		r.Mail = &Mail{}
	}
	return r
}

// whole reports whether a record has the content of its kind and no other.
func (r *Record) whole() bool {
	n := 0
	for _, is := range [...]bool{r.Contact != nil, r.Account != nil, r.Appointment != nil, r.Task != nil, r.Mail != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		return false
	}
	switch r.Kind.Shape() {
	case ShapeContact:
		return r.Contact != nil
	case ShapeAccount:
		return r.Account != nil
	case ShapeAppointment:
		return r.Appointment != nil
	case ShapeTask:
		return r.Task != nil
	case ShapeMail:
		return r.Mail != nil
	}
	return false
}

// Private reports whether the record's owner keeps its content from others.
func (r *Record) Private() bool {
	p, ok := r.place(FieldSensitivity).(*Sensitivity)
	return ok && *p != Public
}

// Span is the time that a record takes up, for windows and filters: of an
// appointment its start and end, of a series the start of its first occurrence
// and the end of its last, of a task its due day, of a mail its date. A zero
// start or end is open. Records of other kinds, and tasks without a due day,
// have none.
func (r *Record) Span() (start, end time.Time, ok bool) {
	switch {
	case r.Appointment != nil && !r.Appointment.Start.IsZero():
		a := r.Appointment
		if a.Recurrence == nil {
			return a.Start, a.End, true
		}
		return a.Start, a.last(), true
	case r.Task != nil:
		if d, ok := ParseDate(r.Task.Due); ok {
			return d, d.AddDate(0, 0, 1), true
		}
	case r.Mail != nil && !r.Mail.Date.IsZero():
		return r.Mail.Date, r.Mail.Date, true
	}
	return time.Time{}, time.Time{}, false
}

// Role says as what a record refers to another.
type Role uint8

// Roles of references. The zero Role is none of them and is refused.
const (
	RoleAccount     Role = iota + 1 // the company: a contact's employer, an activity's customer
	RoleContact                     // the person that an activity is mainly about
	RoleParticipant                 // somebody else who takes part in an activity
)

// String returns "account", "contact" or "participant", and "none" for anything
// else.
func (r Role) String() string {
	switch r {
	case RoleAccount:
		return "account"
	case RoleContact:
		return "contact"
	case RoleParticipant:
		return "participant"
	}
	return "none"
}

// Ref refers to another record by its id in the same system. Ids of one system
// mean nothing in another: whoever carries a record across translates them.
type Ref struct {
	Role Role
	Kind Kind
	ID   string
}
