package connectors

import (
	"fmt"
	"slices"
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

	// NoKey says that records carry no create key: Find finds nothing, and
	// whoever loses the answer to a create has to look for the record by what
	// it says.
	NoKey bool

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
func (c Capability) Fit(r *Record, fields []Field) error {
	for _, f := range fields {
		l, ok := c.Fields[f]
		if !ok || l.ReadOnly {
			continue
		}
		if n := utf8.RuneCountInString(r.Text(f)); l.Runes > 0 && n > l.Runes {
			return &Error{Op: "check", Kind: r.Kind, ID: r.ID, Field: f, Class: ErrInvalid,
				Detail: fmt.Sprintf("%d characters where %d fit", n, l.Runes)}
		}
	}
	for _, f := range Fields(r.Kind) {
		if c.Fields[f].Required && r.Empty(f) {
			return &Error{Op: "check", Kind: r.Kind, ID: r.ID, Field: f, Class: ErrInvalid, Detail: "empty where the system needs a value"}
		}
	}
	if slices.Contains(fields, FieldRefs) || len(r.Refs) > 0 {
		for _, ref := range r.Refs {
			if ref.ID == "" || !slices.Contains(c.Refs[ref.Role], ref.Kind) {
				return &Error{Op: "check", Kind: r.Kind, ID: r.ID, Field: FieldRefs, Class: ErrInvalid,
					Detail: "the system keeps no reference of that role and kind"}
			}
		}
	}
	if a := r.Appointment; a != nil && a.Recurrence != nil && (!c.Has(FieldRecurrence) || c.Fields[FieldRecurrence].ReadOnly) {
		return &Error{Op: "check", Kind: r.Kind, ID: r.ID, Field: FieldRecurrence, Class: ErrInvalid, Detail: "the system keeps no series"}
	}
	return nil
}
