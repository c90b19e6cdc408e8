package connectors

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// Area is the side of the lock a system stands on. It decides which
// permissions its verbs need: "crm.items.read" or "mailbox.items.read", and so
// on for write and delete.
type Area uint8

// Areas. The zero Area is none of them and is refused.
const (
	CRM Area = iota + 1
	Mailbox
)

// String returns "crm" or "mailbox".
func (a Area) String() string {
	switch a {
	case CRM:
		return "crm"
	case Mailbox:
		return "mailbox"
	}
	return "none"
}

// Capabilities says as data what a system can do, so that nobody ever asks for
// the type of a connector. A kind that is not listed is not offered.
type Capabilities struct {
	Area  Area
	Kinds map[Kind]Capability
}

// Capability is what a system can do with one kind of record.
type Capability struct {
	Fields     map[Field]Limit // the fields it maps; what is not here never crosses
	Create     bool
	Update     bool
	Delete     bool
	Tombstones bool // Changes reports what was deleted; otherwise only List and Get can tell
	Batch      int  // how many records one Create, Update, Delete or Get takes; zero: 1

	// Lag is how long Find may not see a record that was created; zero: not at all.
	Lag time.Duration

	// NoKey says that records carry no create key: Find finds nothing, and
	// whoever loses the answer to a create has to look for the record by what
	// it says.
	NoKey bool

	// Exceptions says that a series is read with all its exceptions, and, where
	// the recurrence can be written, written with them. Without it only rules and
	// further dates are.
	Exceptions bool

	// KeyRunes is the longest create key that fits, in characters; zero: any of at
	// most MaxKey bytes. The engine's own have 35.
	KeyRunes int

	Search      []Field         // text fields that records can be looked for by; see Searcher
	Refs        map[Role][]Kind // what records of this kind refer to, read and written; nil: nothing
	Attachments AttachmentCapability
}

// Limit is what a system demands of one field.
type Limit struct {
	Runes    int  // longest text it keeps; zero: no limit known
	Required bool // a record without it is refused
	ReadOnly bool // it can be read and never written
}

// Has reports whether the field is mapped.
func (c Capability) Has(f Field) bool { _, ok := c.Fields[f]; return ok }

// Shared returns the fields that both sides map, in the order of Fields: the
// only ones that are compared and carried between them.
func Shared(k Kind, a, b Capability) []Field {
	var out []Field
	for _, f := range Fields(k) {
		if a.Has(f) && b.Has(f) {
			out = append(out, f)
		}
	}
	return out
}

// Fit checks a record against what a system demands of the given fields. Its
// error is an *Error of class ErrInvalid that names the field and never shows
// the value. Nothing is shortened to fit: a shortened text is a lost one.
func (c Capability) Fit(r *Record, fields []Field) error { return c.FitEdit(r, r, fields) }

// FitEdit checks like Fit what a record that is there would be once the given
// fields say what they say in r, and the recurrence too: a system that keeps no
// series must not get the first event of one. What a series that is there says of
// all its occurrences may change.
func (c Capability) FitEdit(r, there *Record, fields []Field) error {
	refuse := func(f Field, detail string) error {
		return &Error{Op: "check", Kind: there.Kind, ID: there.ID, Field: f, Class: ErrInvalid, Detail: detail}
	}
	for _, f := range fields {
		l, ok := c.Fields[f]
		if !ok || l.ReadOnly || l.Runes <= 0 {
			continue
		}
		text := r.Text(f)
		if there != r {
			text = copied(f, there.Text(f), text)
		}
		if n := utf8.RuneCountInString(text); n > l.Runes {
			return refuse(f, fmt.Sprintf("%d characters where %d fit", n, l.Runes))
		}
	}
	says := func(f Field) *Record {
		if slices.Contains(fields, f) || f == FieldRecurrence && r.Appointment != nil {
			return r
		}
		return there
	}
	missing := false
	for f, l := range c.Fields {
		missing = missing || l.Required && says(f).Empty(f)
	}
	if missing { // by name, the first in order
		for _, f := range Fields(there.Kind) {
			if c.Fields[f].Required && says(f).Empty(f) {
				return refuse(f, "empty where the system needs a value")
			}
		}
	}
	for _, ref := range says(FieldRefs).Refs {
		if ref.ID == "" || !slices.Contains(c.Refs[ref.Role], ref.Kind) {
			return refuse(FieldRefs, "the system keeps no reference of that role and kind")
		}
	}
	same := there != r && there.Appointment != nil && there.Appointment.Recurrence != nil && !slices.Contains(fields, FieldRecurrence) && !slices.Contains(fields, FieldTime)
	if a := r.Appointment; a != nil && a.Recurrence != nil && !same && (!c.Has(FieldRecurrence) || c.Fields[FieldRecurrence].ReadOnly) {
		return refuse(FieldRecurrence, "the system keeps no series")
	}
	if slices.Contains(fields, FieldRecurrence) {
		return c.fitExceptions(r, refuse)
	}
	return nil
}

// fitExceptions checks the occurrences of a series that are not as its rules say.
func (c Capability) fitExceptions(r *Record, refuse func(Field, string) error) error {
	a := r.Appointment
	if a == nil || a.Recurrence == nil {
		return nil
	}
	for _, o := range a.Recurrence.Exceptions {
		own := a.own(o, ownable(c.Known()))
		if !c.Exceptions && (o.Cancelled || len(own) > 0) {
			return refuse(FieldRecurrence, "the system keeps no exceptions of a series")
		}
		for _, f := range own {
			s, ok := o.Appointment.place(f).(*string)
			if n := c.Fields[f].Runes; ok && n > 0 && utf8.RuneCountInString(*s) > n {
				return refuse(FieldRecurrence, fmt.Sprintf("%s of an exception is longer than the %d characters that fit", f, n))
			}
		}
	}
	return nil
}

// Known returns the fields that are mapped, in no order.
func (c Capability) Known() []Field { return slices.Collect(maps.Keys(c.Fields)) }
