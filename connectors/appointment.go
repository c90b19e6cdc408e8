package connectors

import (
	"slices"
	"time"
)

// Appointment is one calendar item: a single event or, where Recurrence is
// set, a whole series.
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
}

// Party is a person in a meeting. Address is an e-mail address without a
// scheme; it identifies the party, compared without regard to case.
type Party struct {
	Address string
	Name    string
}

// Recurrence is the rule of a series (RFC 5545 section 3.8.5), kept as text
// because only systems that hold series ever see it.
type Recurrence struct {
	Rules      []string // RRULE values
	Dates      []string // RDATE values with their parameters, as written
	Exceptions []string // EXDATE values with their parameters, as written
	Overrides  int      // how many occurrences differ from the rule
}

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

func (a *Appointment) clone() *Appointment {
	c := *a
	c.Attendees = slices.Clone(a.Attendees)
	if a.Recurrence != nil {
		r := *a.Recurrence
		r.Rules, r.Dates, r.Exceptions = slices.Clone(r.Rules), slices.Clone(r.Dates), slices.Clone(r.Exceptions)
		c.Recurrence = &r
	}
	return &c
}
