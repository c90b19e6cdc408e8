package connectors

import (
	"slices"
	"time"
)

// Appointment is one calendar item: a single event or, where Recurrence is
// set, a whole series. Visits and phone calls have the same shape.
type Appointment struct {
	UID         string // iCalendar UID (RFC 5545 section 3.8.4.7), the same in every attendee's calendar
	Subject     string
	Location    string
	Description string // plain text, lines end in LF

	// Start and End are instants, End exclusive. With AllDay they are dates:
	// midnight UTC of the first day and of the day after the last.
	Start, End time.Time
	AllDay     bool
	Zone       string // IANA name in which the organizer thinks of the times, "" if unknown or all-day

	Recurrence   *Recurrence // nil for a single event
	Sensitivity  Sensitivity
	Availability Availability
	Status       Status
	Organizer    Party   // zero if nobody is named
	Attendees    []Party // without the organizer
	Reminder     Reminder
	Direction    Direction // of a phone call
}

// Party is a person in a meeting or a mail. Address is an e-mail address
// without a scheme; it identifies the party, compared without regard to case.
type Party struct {
	Address string
	Name    string
}

// Reminder is how long before its start an event reminds of itself.
type Reminder struct {
	Set     bool
	Minutes int // before the start; at most MaxReminder
}

// MaxReminder is the earliest reminder, in minutes before the start: a year.
const MaxReminder = 366 * 24 * 60

// Sensitivity is who may see the content. The zero value is public.
type Sensitivity uint8

// Sensitivities.
const (
	Public Sensitivity = iota
	Private
	Confidential
)

// Availability is how the time is shown to others. The zero value is busy.
type Availability uint8

// Availabilities.
const (
	Busy Availability = iota
	Free
	Tentative
	OutOfOffice
)

// Status says whether a meeting takes place. The zero value is confirmed.
type Status uint8

// Statuses.
const (
	Confirmed Status = iota
	Unconfirmed
	Cancelled
)

// Direction is who began a mail or a call, seen from the mailbox's user. The
// zero value says that it is not known.
type Direction uint8

// Directions.
const (
	UnknownDirection Direction = iota
	Inbound
	Outbound
)

func (a *Appointment) clone() *Appointment {
	c := *a
	c.Attendees = slices.Clone(a.Attendees)
	c.Recurrence = a.Recurrence.clone()
	return &c
}
