package connectors

import (
	"slices"
	"strings"
	"time"
)

// Regular is an occurrence of a series as the rules alone would have it: at its
// original start, with what the series says and without UID and Recurrence.
func (a *Appointment) Regular(original time.Time) *Appointment {
	one := a.clone()
	one.Recurrence, one.UID = nil, ""
	length := a.End.Sub(a.Start)
	one.Start, one.End = original.UTC(), original.Add(length).UTC()
	if a.AllDay {
		one.End = one.Start.AddDate(0, 0, int(length/(24*time.Hour)))
	}
	return one
}

// Own returns the fields in which an occurrence that is not cancelled differs from
// the regular one. In all others it says what the series says, and goes on saying
// so when the series changes: that is what a system means that keeps only the
// changed fields of an exception, and what CopyFields does with one that keeps all.
func (a *Appointment) Own(o Occurrence) []Field { return a.own(o, occurrenceFields()) }

func (a *Appointment) own(o Occurrence, know []Field) []Field {
	if o.Cancelled || o.Appointment == nil {
		return nil
	}
	regular := a.Regular(o.Original)
	var out []Field
	for _, f := range know {
		if !same(regular.place(f), o.Appointment.place(f), f) {
			out = append(out, f)
		}
	}
	return out
}

// occurrenceFields are the fields in which an occurrence may differ from its
// series.
func occurrenceFields() []Field {
	return []Field{FieldSubject, FieldLocation, FieldDescription, FieldTime, FieldSensitivity, FieldAvailability, FieldStatus,
		FieldOrganizer, FieldAttendees, FieldReminder, FieldDirection}
}

// ownable returns those of the fields that an occurrence may have of its own.
func ownable(fields []Field) []Field {
	return slices.DeleteFunc(occurrenceFields(), func(f Field) bool { return !slices.Contains(fields, f) })
}

// Invited lists who is invited to an appointment or to any occurrence of a series,
// each once, without the organizer.
func (a *Appointment) Invited() []Party {
	out := slices.Clone(a.Attendees)
	if a.Recurrence == nil {
		return out
	}
	seen := map[string]bool{}
	for _, p := range addresses(append(out, a.Organizer)) {
		seen[p] = true
	}
	for _, o := range a.Recurrence.Exceptions {
		if o.Appointment == nil {
			continue
		}
		for _, p := range o.Appointment.Attendees {
			if key := strings.ToLower(strings.TrimSpace(p.Address)); !seen[key] {
				seen[key] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// Strays counts the exceptions of a series, other than cancelled ones, whose
// original start its rules do not give, as after the series was ended before them.
// It fails with ErrTooMany where the rules give more than MaxOccurrences until then.
func (a *Appointment) Strays() (int, error) {
	if a.Recurrence == nil {
		return 0, ErrNoSeries
	}
	waiting := map[int64]bool{}
	var latest time.Time
	for _, o := range a.Recurrence.Exceptions {
		if !o.Cancelled {
			waiting[o.Original.Unix()] = true
			if o.Original.After(latest) {
				latest = o.Original
			}
		}
	}
	n := 0
	err := a.starts(func(t time.Time) bool {
		n++
		delete(waiting, t.Unix())
		return len(waiting) > 0 && !t.After(latest) && n <= MaxOccurrences
	})
	if err == nil && n > MaxOccurrences {
		err = ErrTooMany
	}
	return len(waiting), err
}

// repeat is the place of FieldRecurrence. Exceptions mean nothing without their
// series, so it is the whole appointment.
type repeat struct{ a *Appointment }

// sameSeries compares meaning: the order of dates and exceptions, the order of the
// parts of a rule, and what a rule says that would be so anyway, make no
// difference; nor does an exception that says what the series says, nor a field
// that is not among those given.
func sameSeries(a, b *Appointment, know []Field) bool {
	r, o := a.Recurrence, b.Recurrence
	if r == nil || o == nil {
		return r == o
	}
	return slices.Equal(normalRules(r.Rules), normalRules(o.Rules)) && slices.Equal(seconds(r.Dates), seconds(o.Dates)) &&
		slices.EqualFunc(a.exceptions(know), b.exceptions(know), func(x, y Occurrence) bool { return sameException(a, b, x, y, know) })
}

// sameException compares two exceptions, each against its own series.
func sameException(a, b *Appointment, x, y Occurrence, know []Field) bool {
	if x.Original.Unix() != y.Original.Unix() || x.Cancelled != y.Cancelled {
		return false
	}
	own := a.own(x, know)
	if !slices.Equal(own, b.own(y, know)) {
		return false
	}
	for _, f := range own {
		if !same(x.Appointment.place(f), y.Appointment.place(f), f) {
			return false
		}
	}
	return true
}

// Exceptions lists the exceptions of a series by their original starts, without
// those that say in the given fields what the series says.
func (a *Appointment) Exceptions(know []Field) []Occurrence {
	if a.Recurrence == nil {
		return nil
	}
	return a.exceptions(ownable(know))
}

func (a *Appointment) exceptions(know []Field) []Occurrence {
	return slices.DeleteFunc(byOriginal(a.Recurrence.Exceptions), func(o Occurrence) bool { return !o.Cancelled && len(a.own(o, know)) == 0 })
}

// sameClock reports whether two series count their days by clocks that go alike,
// whatever the zones are called. A zone that is not known goes like any.
func sameClock(a, b *Appointment) bool {
	if a.Zone == b.Zone || a.Zone == "" || b.Zone == "" || a.AllDay || b.AllDay {
		return true
	}
	x, err1 := time.LoadLocation(a.Zone)
	y, err2 := time.LoadLocation(b.Zone)
	if err1 != nil || err2 != nil {
		return false
	}
	for month := range 13 {
		t := a.Start.AddDate(0, month, 0)
		_, p := t.In(x).Zone()
		if _, q := t.In(y).Zone(); p != q {
			return false
		}
	}
	return true
}

// copySeries makes dst recur as src does. Of the fields that are given its
// exceptions say what they say in src, or what dst says where they have nothing of
// their own there; in the others they stay as they are in dst.
func copySeries(dst, src *Appointment, know []Field) {
	if src.Recurrence == nil {
		dst.Recurrence = nil
		return
	}
	there := map[int64]*Appointment{}
	if dst.Recurrence != nil {
		for _, o := range dst.Recurrence.Exceptions {
			there[o.Original.Unix()] = o.Appointment
		}
	}
	next := src.Recurrence.clone()
	for i, o := range next.Exceptions {
		if o.Cancelled || o.Appointment == nil {
			continue
		}
		x := dst.Regular(o.Original)
		from, to := &Record{Appointment: o.Appointment}, &Record{Appointment: x}
		if was := there[o.Original.Unix()]; was != nil {
			for _, f := range occurrenceFields() {
				if !slices.Contains(know, f) {
					copyField(to, &Record{Appointment: was}, f)
				}
			}
		}
		for _, f := range src.own(o, know) {
			copyField(to, from, f)
		}
		next.Exceptions[i].Appointment = x
	}
	dst.Recurrence = next
}

// heir is an exception that has a field from its series.
type heir struct {
	*Record
	original time.Time
}

// heirs are the exceptions of a series that have a field from it.
func (r *Record) heirs(f Field) []heir {
	a := r.Appointment
	if a == nil || a.Recurrence == nil || !slices.Contains(occurrenceFields(), f) {
		return nil
	}
	var out []heir
	for _, o := range a.Recurrence.Exceptions {
		if f == FieldTime && o.Appointment != nil {
			if at := a.Regular(o.Original); same(at.place(f), o.Appointment.place(f), f) {
				out = append(out, heir{&Record{Kind: r.Kind, Appointment: o.Appointment}, o.Original})
			}
			continue
		}
		if o.Appointment != nil && same(a.place(f), o.Appointment.place(f), f) {
			out = append(out, heir{&Record{Kind: r.Kind, Appointment: o.Appointment}, o.Original})
		}
	}
	return out
}

// saneSeries reports whether exceptions are what Recurrence says they are.
func saneSeries(r *Recurrence) bool {
	if r == nil {
		return true
	}
	if len(r.Exceptions)+len(r.Dates) > MaxExceptions {
		return false
	}
	seen := map[int64]bool{}
	for _, o := range r.Exceptions {
		if seen[o.Original.Unix()] || o.Cancelled == (o.Appointment != nil) || o.Appointment != nil && o.Appointment.Recurrence != nil {
			return false
		}
		seen[o.Original.Unix()] = true
	}
	return true
}
