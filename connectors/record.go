package connectors

import (
	"fmt"
	"time"
)

// Kind says which sort of thing a record is. Its text form is also the name of
// the container that holds such records, the last segment of their resource.
type Kind uint8

// The kinds of records. The zero Kind is none of them and is refused.
const (
	KindContact Kind = iota + 1
	KindAccount
	KindAppointment
)

// Kinds lists every kind in the order in which they are synced: what others
// refer to comes first.
func Kinds() []Kind { return []Kind{KindAccount, KindContact, KindAppointment} }

// String returns "contacts", "accounts" or "appointments", and "none" for
// anything else.
func (k Kind) String() string {
	switch k {
	case KindContact:
		return "contacts"
	case KindAccount:
		return "accounts"
	case KindAppointment:
		return "appointments"
	}
	return "none"
}

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds() {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("connectors: kind %q: not one of contacts, accounts, appointments", s)
}

// MarshalText writes the text form.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the text form.
func (k *Kind) UnmarshalText(b []byte) (err error) { *k, err = ParseKind(string(b)); return err }

// Record is one contact, account or appointment, held in memory only. Exactly
// one of the content pointers is set, the one that Kind names.
//
// Formatting a Record shows its kind, id and revision and never its content;
// marshalling one is an error.
type Record struct {
	Kind     Kind
	ID       string    // the system's own id, opaque, case-sensitive, at most MaxID bytes
	Rev      string    // the system's own revision, opaque: equal means unchanged; at most MaxRev bytes
	Modified time.Time // last modified as the system says, a hint only; zero if it does not say
	Key      string    // the create key found on the record, "" if it carries none

	Contact     *Contact
	Account     *Account
	Appointment *Appointment
}

// Limits on what a system may hand us as identity of a record.
const (
	MaxID  = 1024 // bytes of an id
	MaxRev = 1024 // bytes of a revision
	MaxKey = 128  // bytes of a create key
)

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
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
	return &c
}

// NewRecord returns an empty record of a kind, with its content allocated.
func NewRecord(k Kind) *Record {
	r := &Record{Kind: k}
	switch k {
	case KindContact:
		r.Contact = &Contact{}
	case KindAccount:
		r.Account = &Account{}
	case KindAppointment:
		r.Appointment = &Appointment{}
	}
	return r
}
