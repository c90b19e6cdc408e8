package connectors

import (
	"slices"
	"strings"
	"time"
)

// Empty reports whether a record says nothing in a field. What always has some
// value, as a status does, is never empty.
func (r *Record) Empty(f Field) bool {
	switch p := r.place(f).(type) {
	case *string:
		return canonicalIsEmpty(f, *p)
	case *[]string:
		return len(*p) == 0
	case marked:
		return len(folded(p.r.Categories())) == 0
	case *[]Party:
		return len(*p) == 0
	case *[]Ref:
		return len(*p) == 0
	case *Party:
		return *p == Party{}
	case *time.Time:
		return p.IsZero()
	case *span:
		return p.Start.IsZero()
	case repeat:
		return p.a.Recurrence == nil
	case *Reminder:
		return !p.Set
	case nil:
		return true
	}
	return false
}

func canonicalIsEmpty(f Field, s string) bool {
	if f == FieldDescription {
		s, _ = CutSmart(s)
	}
	return s == ""
}

// Same reports whether two records of one kind say the same in a field. It
// compares meaning, not spelling: line ends, the punctuation of telephone
// numbers, the case of e-mail addresses, names and codes of countries, the
// order of attendees and categories, the spelling of instants and rules make no
// difference, nor does what stands below the delimiter of a description.
func Same(a, b *Record, f Field) bool {
	if a.Kind != b.Kind {
		return false
	}
	return same(a.place(f), b.place(f), f)
}

// same compares two places of one field.
func same(a, b any, f Field) bool {
	switch p := a.(type) {
	case *string:
		q, ok := b.(*string)
		return ok && (*p == *q || canonical(f, *p) == canonical(f, *q))
	case *[]string:
		q, ok := b.(*[]string)
		return ok && slices.Equal(*p, *q)
	case marked:
		q, ok := b.(marked)
		return ok && slices.Equal(folded(p.r.Categories()), folded(q.r.Categories()))
	case *[]Party:
		q, ok := b.(*[]Party)
		return ok && slices.Equal(addresses(*p), addresses(*q))
	case *[]Ref:
		q, ok := b.(*[]Ref)
		return ok && slices.Equal(sortedRefs(*p), sortedRefs(*q))
	case *Party:
		q, ok := b.(*Party)
		return ok && strings.EqualFold(strings.TrimSpace(p.Address), strings.TrimSpace(q.Address))
	case *time.Time:
		q, ok := b.(*time.Time)
		return ok && sameInstant(*p, *q)
	case *span:
		q, ok := b.(*span)
		return ok && sameInstant(p.Start, q.Start) && sameInstant(p.End, q.End) && p.AllDay == q.AllDay
	case repeat:
		q, ok := b.(repeat)
		return ok && sameSeries(p.a, q.a, occurrenceFields())
	case *Reminder:
		q, ok := b.(*Reminder)
		return ok && p.Set == q.Set && (!p.Set || p.Minutes == q.Minutes)
	case *int:
		return equal(p, b)
	case *Sensitivity:
		return equal(p, b)
	case *Availability:
		return equal(p, b)
	case *Status:
		return equal(p, b)
	case *TaskStatus:
		return equal(p, b)
	case *Priority:
		return equal(p, b)
	case *Direction:
		return equal(p, b)
	}
	return a == nil && b == nil
}

func equal[T comparable](p *T, b any) bool {
	q, ok := b.(*T)
	return ok && *p == *q
}

// Diff returns those of the fields in which two records differ. Exceptions of
// series are compared in these fields only. Where the zone is not among them, series
// differ too whose clocks do not go alike.
func Diff(a, b *Record, fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		alike := Same(a, b, f)
		if f == FieldRecurrence && a.Kind == b.Kind && a.Appointment != nil {
			alike = (alike || sameSeries(a.Appointment, b.Appointment, ownable(fields))) &&
				(slices.Contains(fields, FieldZone) || a.Appointment.Recurrence == nil || sameClock(a.Appointment, b.Appointment))
		}
		if !alike {
			out = append(out, f)
		}
	}
	return out
}

// CopyFields makes dst say in fields what src says, as CopyField does one by one,
// and the recurrence last: what an exception has of its own is told by the series
// that it belongs to. Its exceptions are copied in the fields that the two sides
// know, and its zone comes along, for rules count in it.
func CopyFields(dst, src *Record, fields, know []Field) {
	for _, f := range fields {
		if f != FieldRecurrence {
			CopyField(dst, src, f)
		}
	}
	if slices.Contains(fields, FieldRecurrence) && dst.Kind == src.Kind && dst.Appointment != nil && src.Appointment != nil {
		if src.Appointment.Recurrence != nil && src.Appointment.Zone != "" {
			dst.Appointment.Zone = src.Appointment.Zone
		}
		copySeries(dst.Appointment, src.Appointment, ownable(know))
	}
}

// CopyField makes dst say in a field what src says. Both must be of one kind;
// otherwise nothing happens. Of a description only what stands above the
// delimiter is copied, and what dst has below it stays; see CutSmart. Exceptions
// of a series that had the field from it follow.
func CopyField(dst, src *Record, f Field) {
	if dst.Kind != src.Kind {
		return
	}
	heirs := dst.heirs(f)
	copyField(dst, src, f)
	for _, x := range heirs {
		from := dst
		if f == FieldTime { // of each at its own day
			from = &Record{Kind: dst.Kind, Appointment: dst.Appointment.Regular(x.original)}
		}
		copyField(x.Record, from, f)
	}
}

func copyField(dst, src *Record, f Field) {
	switch q := src.place(f).(type) {
	case *string:
		put(dst, f, copied(f, dst.Text(f), *q))
	case *[]string:
		put(dst, f, slices.Clone(*q))
	case marked:
		dst.SetCategories(slices.Clone(q.r.Categories()))
	case *[]Party:
		put(dst, f, slices.Clone(*q))
	case *[]Ref:
		put(dst, f, slices.Clone(*q))
	case *Party:
		put(dst, f, *q)
	case *time.Time:
		put(dst, f, *q)
	case *span:
		if p, ok := dst.place(f).(*span); ok {
			p.Start, p.End, p.AllDay = q.Start, q.End, q.AllDay
		}
	case repeat:
		if p, ok := dst.place(f).(repeat); ok {
			copySeries(p.a, q.a, occurrenceFields())
		}
	case *Reminder:
		put(dst, f, *q)
	case *int:
		put(dst, f, *q)
	case *Sensitivity:
		put(dst, f, *q)
	case *Availability:
		put(dst, f, *q)
	case *Status:
		put(dst, f, *q)
	case *TaskStatus:
		put(dst, f, *q)
	case *Priority:
		put(dst, f, *q)
	case *Direction:
		put(dst, f, *q)
	}
}

func put[T any](dst *Record, f Field, v T) {
	if p, ok := dst.place(f).(*T); ok {
		*p = v
	}
}

// copied is what a field says after a text was copied over what it said.
func copied(f Field, was, now string) string {
	if f != FieldDescription {
		return now
	}
	own, _ := CutSmart(now)
	_, smart := CutSmart(was)
	if smart == "" && own == strings.TrimSpace(now) {
		return now // as it was written
	}
	return JoinSmart(own, smart)
}

// canonical is the form in which two spellings of one value are equal.
func canonical(f Field, s string) string {
	s = NormalizeText(f, s)
	switch f {
	case FieldDescription:
		own, _ := CutSmart(s)
		return own
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

// folded sorts marks and makes their case equal.
func folded(cs []string) []string {
	if len(cs) == 0 {
		return nil
	}
	out := make([]string, 0, len(cs))
	for _, c := range cs {
		if c = fold(NormalizeText(FieldCategories, c)); c != "" {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func sortedRefs(rs []Ref) []Ref {
	out := slices.Clone(rs)
	slices.SortFunc(out, func(a, b Ref) int {
		if c := int(a.Role) - int(b.Role); c != 0 {
			return c
		}
		if c := int(a.Kind) - int(b.Kind); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return slices.Compact(out)
}
