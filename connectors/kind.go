package connectors

import (
	"fmt"
	"strings"
)

// Kind says which sort of thing a record is. Its text form is also the name of
// the container that holds such records, the last segment of their resource.
type Kind uint8

// The kinds of records. The zero Kind is none of them and is refused. Numbers
// are kept by stores of states: they do not change.
const (
	KindContact            Kind = iota + 1 // a person at a company
	KindAccount                            // a company
	KindAppointment                        // a calendar item
	KindIndividualCustomer                 // a person who is a customer without a company
	KindLead                               // a person who is not a customer yet, and what they ask for
	KindVisit                              // a calendar item at a customer's place
	KindTask                               // something to do by a day
	KindMail                               // an e-mail that was sent or received; never updated
	KindPhoneCall                          // a call that was or will be made
)

// Kinds lists every kind in the order in which they are synced: what others
// refer to comes first.
func Kinds() []Kind {
	return []Kind{KindAccount, KindContact, KindIndividualCustomer, KindLead, KindAppointment, KindVisit, KindTask, KindMail, KindPhoneCall}
}

// Shape says which content a kind has. Several kinds may share one.
type Shape uint8

// Shapes. The zero Shape is that of no kind.
const (
	ShapeContact     Shape = iota + 1 // Record.Contact: contacts, individual customers, leads
	ShapeAccount                      // Record.Account: accounts
	ShapeAppointment                  // Record.Appointment: appointments, visits, phone calls
	ShapeTask                         // Record.Task: tasks
	ShapeMail                         // Record.Mail: mails
)

// Shape returns the shape of a kind's content, zero for what is no kind.
func (k Kind) Shape() Shape {
	switch k {
	case KindContact, KindIndividualCustomer, KindLead:
		return ShapeContact
	case KindAccount:
		return ShapeAccount
	case KindAppointment, KindVisit, KindPhoneCall:
		return ShapeAppointment
	case KindTask:
		return ShapeTask
	case KindMail:
		return ShapeMail
	}
	return 0
}

// String returns "contacts", "phone-calls" and so on, and "none" for anything
// else.
func (k Kind) String() string {
	switch k {
	case KindContact:
		return "contacts"
	case KindAccount:
		return "accounts"
	case KindAppointment:
		return "appointments"
	case KindIndividualCustomer:
		return "individual-customers"
	case KindLead:
		return "leads"
	case KindVisit:
		return "visits"
	case KindTask:
		return "tasks"
	case KindMail:
		return "mails"
	case KindPhoneCall:
		return "phone-calls"
	}
	return "none"
}

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, error) {
	var all []string
	for _, k := range Kinds() {
		if k.String() == s {
			return k, nil
		}
		all = append(all, k.String())
	}
	return 0, fmt.Errorf("connectors: kind %.40q: not one of %s", s, strings.Join(all, ", "))
}

// MarshalText writes the text form.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the text form.
func (k *Kind) UnmarshalText(b []byte) (err error) { *k, err = ParseKind(string(b)); return err }
