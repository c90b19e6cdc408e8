package profile

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// stringKind is what a computed field has to be.
const stringKind = reflect.String

// Rule is what a profile says of one kind. The nil Rule wants nothing.
type Rule struct {
	profile   *Profile
	kind      connectors.Kind
	spec      kinds
	direction Direction
	filters   [connectors.Mailbox + 1]*expression
	fields    map[connectors.Field]*field
}

// Kind returns the kind that the rule is about.
func (r *Rule) Kind() connectors.Kind { return r.kind }

// Direction returns the way records cross. Of a kind that is read only in the
// mailbox it is ToMailbox.
func (r *Rule) Direction() Direction { return r.direction }

// Winner returns whose values stand when both sides changed.
func (r *Rule) Winner() Winner { return r.spec.Winner }

// Deletes returns what happens to a record whose partner was deleted.
func (r *Rule) Deletes() Deletes { return r.spec.Deletes }

// ReadOnly reports that what users do in the mailbox changes nothing in the CRM.
// It never removes or replaces an item that a user made: one that was deleted in
// the mailbox comes back from the CRM, and nothing else follows from the rule.
func (r *Rule) ReadOnly() bool { return r != nil && r.spec.ReadOnly }

// Reason says why a record is not wanted.
type Reason string

// Reasons. The empty Reason means that the record is wanted.
const (
	KindOff     Reason = "kind is not synchronised"
	WrongWay    Reason = "records of this kind do not cross that way"
	NotMarked   Reason = "not marked for synchronisation"
	OutOfWindow Reason = "outside the window of time"
	Filtered    Reason = "left out by a filter"
	FilterError Reason = "a filter could not be applied"
	Blocklisted Reason = "address on a blocklist"
	IsPrivate   Reason = "private"
)

// Verdict is what a profile says of a record.
type Verdict struct {
	Wanted bool
	Reason Reason // why not

	// Reduce says that it crosses as a block of time only, see Reduced.
	Reduce bool
}

// Wants says whether a record that was read on one side takes part in
// synchronisation: a new one may cross, one that has a partner goes on being
// followed. Nothing is ever deleted because the answer is no; a partner is
// unlinked at most. It is asked before the body of a mail is read: nothing here
// but a filter looks at one, and filters come last.
func (r *Rule) Wants(on connectors.Area, rec *connectors.Record, now time.Time) Verdict {
	no := func(why Reason) Verdict { return Verdict{Reason: why} }
	switch {
	case r == nil || rec == nil || rec.Kind != r.kind || on != connectors.CRM && on != connectors.Mailbox:
		return no(KindOff)
	case r.profile.blockedRecord(rec):
		return no(Blocklisted)
	case on == connectors.Mailbox && !r.marked(rec) && !r.automatic():
		return no(NotMarked)
	case !r.inWindow(rec, now):
		return no(OutOfWindow)
	}
	v := Verdict{Wanted: true}
	if on == connectors.Mailbox && rec.Private() {
		if r.profile.private != Block || rec.Appointment == nil {
			return no(IsPrivate)
		}
		v.Reduce = true
		rec = Reduced(rec) // a filter sees no more than the CRM would
	}
	if f := r.filters[on]; f != nil {
		switch out, err := f.run(rec, now); {
		case err != nil:
			return no(FilterError)
		case out != true:
			return no(Filtered)
		}
	}
	return v
}

// MayCross says whether a record may cross from a side for the first time.
func (r *Rule) MayCross(from connectors.Area, rec *connectors.Record, now time.Time) Verdict {
	v := r.Wants(from, rec, now)
	if v.Wanted && (from == connectors.CRM && r.direction == ToCRM || from == connectors.Mailbox && r.direction == ToMailbox) {
		return Verdict{Reason: WrongWay}
	}
	return v
}

// automatic reports that mails are also chosen without a mark, by SaveMail.
func (r *Rule) automatic() bool { return r.kind == connectors.KindMail && r.profile.mail.AutoSave }

// marked reports whether a user chose the record, or need not.
func (r *Rule) marked(rec *connectors.Record) bool {
	m := r.spec.Marked
	if !m.Needed {
		return true
	}
	return slices.ContainsFunc(m.Folders, func(f string) bool { return strings.EqualFold(f, rec.Folder()) && f != "" }) ||
		slices.ContainsFunc(m.Categories, func(c string) bool { return hasFold(rec.Categories(), c) })
}

// Mark returns the category that a record gets which comes from the CRM, "" if
// none is needed.
func (r *Rule) Mark() string {
	if r == nil || !r.spec.Marked.Needed || len(r.spec.Marked.Categories) == 0 {
		return ""
	}
	return r.spec.Marked.Categories[0]
}

func hasFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(strings.TrimSpace(x), s) })
}

func (r *Rule) inWindow(rec *connectors.Record, now time.Time) bool {
	if !r.spec.Windowed {
		return true
	}
	start, end, ok := rec.Span()
	if !ok {
		return true // what has no time is always now
	}
	from, to := r.profile.Window(now)
	return (from.IsZero() || end.IsZero() || !end.Before(from)) && (to.IsZero() || !start.After(to))
}

// Reduced is what of a private event crosses: that somebody is not free.
func Reduced(rec *connectors.Record) *connectors.Record {
	out := connectors.NewRecord(rec.Kind)
	out.ID, out.Rev, out.Modified, out.Key = rec.ID, rec.Rev, rec.Modified, rec.Key
	if a, b := rec.Appointment, out.Appointment; a != nil {
		b.UID, b.Start, b.End, b.AllDay, b.Zone = a.UID, a.Start, a.End, a.AllDay, a.Zone
		b.Sensitivity, b.Availability = a.Sensitivity, a.Availability
		b.Subject = "Private"
		if a.Recurrence != nil {
			b.Recurrence = &connectors.Recurrence{Rules: slices.Clone(a.Recurrence.Rules), Dates: slices.Clone(a.Recurrence.Dates)}
			for _, o := range a.Recurrence.Exceptions {
				x := connectors.Occurrence{Original: o.Original, Cancelled: o.Cancelled}
				if o.Appointment != nil {
					x.Appointment = Reduced(&connectors.Record{Kind: rec.Kind, Appointment: o.Appointment}).Appointment
				}
				b.Recurrence.Exceptions = append(b.Recurrence.Exceptions, x)
			}
		}
	}
	return out
}

// Attachment says whether a file crosses, and if not, why. Extensions count, not
// media types: those are what the sender likes.
func (r *Rule) Attachment(a connectors.Attachment) (carry bool, why string) {
	if r == nil || !r.spec.Attachments.Carry {
		return false, "files of this kind do not cross"
	}
	s := r.spec.Attachments
	ext := extension(connectors.Extension(a.Name))
	switch {
	case slices.Contains(s.Refuse, ext):
		return false, "type of file is refused"
	case len(s.Allow) > 0 && !slices.Contains(s.Allow, ext):
		return false, "type of file is not among those allowed"
	case a.Size < 0:
		return false, "size is not known"
	case a.Size < int64(s.Min):
		return false, "smaller than files have to be"
	case s.Max > 0 && a.Size > int64(s.Max):
		return false, "larger than files may be"
	}
	return true, ""
}

// Remind sets the reminder of a draft or an update for the mailbox. Tasks remind
// at the profile's time on their due day, events so many minutes before. What is
// over, or would have been due before now, reminds of nothing.
func (r *Rule) Remind(rec *connectors.Record, now time.Time) {
	if r == nil || r.spec.Reminder.Set == RemindKeep || r.spec.Reminder.Set == "" {
		return
	}
	always := r.spec.Reminder.Set == RemindAlways
	switch a, t := rec.Appointment, rec.Task; {
	case a != nil:
		a.Reminder = connectors.Reminder{}
		first := a.Start.Add(-time.Duration(r.spec.Reminder.Minutes) * time.Minute)
		if always && !a.Start.IsZero() && (a.Recurrence != nil || first.After(now)) {
			a.Reminder = connectors.Reminder{Set: true, Minutes: r.spec.Reminder.Minutes}
		}
	case t != nil:
		t.Remind = time.Time{}
		day, ok := connectors.ParseDate(t.Due)
		at, err := time.Parse("15:04", string(r.spec.Reminder.At))
		if !always || !ok || err != nil || t.Status == connectors.Completed || t.Status == connectors.Dropped {
			return
		}
		when := time.Date(day.Year(), day.Month(), day.Day(), at.Hour(), at.Minute(), 0, 0, r.profile.Zone())
		if when.After(now) {
			t.Remind = when.UTC()
		}
	}
}
