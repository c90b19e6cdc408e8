package connectors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// Recurrence is what makes a calendar item a series (RFC 5545 section 3.8.5):
// rules, further starts, and the occurrences that are not as the rules say. The
// Appointment that holds it is the master: its times are those of the first
// occurrence, and its fields those of every occurrence without an exception.
type Recurrence struct {
	Rules      []string     // RRULE values; nearly always one
	Dates      []time.Time  // further starts (RDATE), in any order
	Exceptions []Occurrence // at most one for each original start, in any order
}

// Occurrence is one occurrence of a series, named by the start that the rules
// give it, wherever it has been moved since. For all-day series that is midnight
// UTC of its day. It is held as it takes place; what of that is its own, and what
// it has from the series, is told by Appointment.Own.
type Occurrence struct {
	Original    time.Time
	Cancelled   bool
	Appointment *Appointment // as it is; nil if cancelled. Without UID and Recurrence: those are the master's
}

// Limits of a series.
const (
	MaxExceptions  = 2000 // exceptions and further starts that a series may have
	MaxOccurrences = 5000 // occurrences that Occurrences and Split look at
)

// Errors of series.
var (
	ErrNoSeries  = errors.New("connectors: no series")                                   // the appointment has no recurrence
	ErrRule      = errors.New("connectors: the rule of the series cannot be understood") // or is denser than daily
	ErrTooMany   = errors.New("connectors: the series has too many occurrences in that time")
	ErrEmptyPart = errors.New("connectors: a part of the series would be empty")
)

func (r *Recurrence) clone() *Recurrence {
	if r == nil {
		return nil
	}
	c := Recurrence{Rules: slices.Clone(r.Rules), Dates: slices.Clone(r.Dates), Exceptions: slices.Clone(r.Exceptions)}
	for i := range c.Exceptions {
		if a := c.Exceptions[i].Appointment; a != nil {
			c.Exceptions[i].Appointment = a.clone()
		}
	}
	return &c
}

func byOriginal(os []Occurrence) []Occurrence {
	out := slices.Clone(os)
	slices.SortStableFunc(out, func(a, b Occurrence) int { return cmp.Compare(a.Original.Unix(), b.Original.Unix()) })
	return out
}

func seconds(ts []time.Time) []int64 {
	out := make([]int64, len(ts))
	for i, t := range ts {
		out[i] = t.Unix()
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func normalRules(rules []string) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = NormalizeRule(r)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NormalizeRule brings an RRULE value (RFC 5545 section 3.3.10) to one spelling:
// upper case, FREQ first and the other parts by name, lists in order, and
// without the parts that say what is so anyway. Normalising twice changes
// nothing; a value that is no rule keeps its parts.
func NormalizeRule(rule string) string {
	freq := ""
	var parts []string
	for p := range strings.SplitSeq(strings.ToUpper(strings.Join(strings.Fields(rule), "")), ";") {
		name, value, _ := strings.Cut(p, "=")
		switch {
		case name == "FREQ" && freq == "":
			freq = "FREQ=" + value
			continue
		case name == "" || name == "INTERVAL" && value == "1" || name == "WKST" && value == "MO":
			continue
		case strings.HasPrefix(name, "BY"):
			vs := strings.Split(value, ",")
			slices.Sort(vs)
			value = strings.Join(slices.Compact(vs), ",")
		}
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	parts = slices.Compact(parts)
	if freq != "" {
		parts = slices.Insert(parts, 0, freq)
	}
	return strings.Join(parts, ";")
}

// starts calls yield with the original starts of a series in order, each once,
// until it returns false.
func (a *Appointment) starts(yield func(time.Time) bool) error {
	if a.Recurrence == nil {
		return ErrNoSeries
	}
	where := time.UTC
	if !a.AllDay && a.Zone != "" {
		l, err := time.LoadLocation(a.Zone)
		if err != nil {
			return fmt.Errorf("connectors: zone of the series: %w", ErrRule)
		}
		where = l
	}
	first := a.Start.In(where).Truncate(time.Second)
	var set rrule.Set
	for _, s := range a.Recurrence.Rules {
		o, err := rrule.StrToROption(s)
		if err != nil || o.Freq > rrule.DAILY || len(o.Byhour)+len(o.Byminute)+len(o.Bysecond) > 0 {
			return ErrRule
		}
		o.Dtstart = first
		if limit := first.AddDate(200, 0, 0); o.Until.IsZero() || o.Until.After(limit) {
			o.Until = limit // also a rule that never fits a day comes to an end
		}
		if a.AllDay || !strings.Contains(strings.ToUpper(s), "Z") {
			u := o.Until
			h, m, sec := 23, 59, 59 // an end that is a day means all of it
			if strings.Contains(strings.ToUpper(s), "T") && u.Hour()+u.Minute()+u.Second() > 0 {
				h, m, sec = u.Clock()
			}
			o.Until = time.Date(u.Year(), u.Month(), u.Day(), h, m, sec, 0, where)
		}
		r, err := rrule.NewRRule(*o)
		if err != nil {
			return ErrRule
		}
		rs := rrule.Set{}
		rs.RRule(r)
		if len(a.Recurrence.Rules) == 1 {
			set.RRule(r)
			break
		}
		next, n := r.Iterator(), 0 // several rules are rare: their starts are all taken as dates
		for t, ok := next(); ok; t, ok = next() {
			if n++; n > MaxOccurrences {
				break
			}
			set.RDate(t)
		}
	}
	for _, d := range a.Recurrence.Dates {
		set.RDate(d.In(where).Truncate(time.Second))
	}
	if len(a.Recurrence.Rules) == 0 {
		set.RDate(first)
	}
	next := set.Iterator()
	var last time.Time
	for t, ok := next(); ok; t, ok = next() {
		if !last.IsZero() && t.Equal(last) {
			continue
		}
		last = t
		if !yield(t) {
			return nil
		}
	}
	return nil
}

// Occurrences lists what of a series takes place between two instants, in the
// order of the original starts: with exceptions applied, without those that are
// cancelled. A zero end is open. It fails with ErrTooMany where that would be
// more than MaxOccurrences, and where the first that many end before the time
// begins.
func (a *Appointment) Occurrences(from, to time.Time) ([]Occurrence, error) {
	if a.Recurrence == nil {
		return nil, ErrNoSeries
	}
	exceptions := map[int64]Occurrence{}
	latest := to
	for _, x := range a.Recurrence.Exceptions {
		exceptions[x.Original.Unix()] = x
		// What was moved into the time may have begun after it.
		if !to.IsZero() && x.Appointment != nil && x.Original.After(latest) {
			latest = x.Original
		}
	}
	n := 0
	var out []Occurrence
	tooMany := false
	err := a.starts(func(t time.Time) bool {
		if n++; n > MaxOccurrences {
			tooMany = true
			return false
		}
		if !latest.IsZero() && t.After(latest) {
			return false
		}
		o, ok := exceptions[t.Unix()]
		if !ok {
			o = Occurrence{Original: t.UTC(), Appointment: a.Regular(t)}
		}
		if o.Cancelled || o.Appointment == nil || o.Appointment.End.Before(from) || !to.IsZero() && !o.Appointment.Start.Before(to) {
			return true
		}
		out = append(out, o)
		return true
	})
	if err == nil && tooMany {
		err = ErrTooMany
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// last is the end of the last occurrence, zero if there is none or it is far.
func (a *Appointment) last() time.Time {
	var end time.Time
	for _, s := range a.Recurrence.Rules {
		if !strings.Contains(strings.ToUpper(s), "COUNT=") && !strings.Contains(strings.ToUpper(s), "UNTIL=") {
			return time.Time{}
		}
	}
	n := 0
	if err := a.starts(func(t time.Time) bool {
		end = t
		n++
		return n <= MaxOccurrences
	}); err != nil || n > MaxOccurrences {
		return time.Time{}
	}
	end = end.Add(a.End.Sub(a.Start)).UTC()
	for _, x := range a.Recurrence.Exceptions {
		if x.Appointment != nil && x.Appointment.End.After(end) {
			end = x.Appointment.End
		}
	}
	return end
}

// Split divides a series in two, as a calendar does when somebody changes this
// occurrence and all following: the first part ends before the occurrence whose
// original start is at or after the given instant, the second begins with it.
// Exceptions go with their occurrences. The second part is a series of its own
// and has no UID yet. The series itself is left as it is.
func (a *Appointment) Split(at time.Time) (before, following *Appointment, err error) {
	if a.Recurrence == nil {
		return nil, nil, ErrNoSeries
	}
	if len(a.Recurrence.Rules) > 1 {
		return nil, nil, fmt.Errorf("%w: several rules in one series", ErrRule)
	}
	head, found, err := a.firstFrom(at)
	if err != nil {
		return nil, nil, err
	}
	if head == 0 || found.IsZero() {
		return nil, nil, ErrEmptyPart
	}
	before, following = a.clone(), a.clone()
	following.UID = ""
	begin := found
	if len(a.Recurrence.Rules) > 0 {
		// The rule counts its weeks and months from the start: that of the
		// second part is one that the rule gives, not a further date.
		alone := a.clone()
		alone.Recurrence.Dates = nil
		n, next, err := alone.firstFrom(at)
		if err != nil {
			return nil, nil, err
		}
		if next.IsZero() { // the rule has ended; further dates are all that follows
			following.Recurrence.Rules = nil
		} else {
			begin = next
			before.Recurrence.Rules[0], following.Recurrence.Rules[0], err = splitRule(a.Recurrence.Rules[0], n, begin, a.AllDay)
			if err != nil {
				return nil, nil, err
			}
		}
	}
	length := a.End.Sub(a.Start)
	following.Start = begin.UTC()
	following.End = following.Start.Add(length)
	if a.AllDay {
		following.End = following.Start.AddDate(0, 0, int(length/(24*time.Hour)))
	}
	early := func(t time.Time) bool { return t.Before(found) }
	before.Recurrence.Dates = slices.DeleteFunc(before.Recurrence.Dates, func(t time.Time) bool { return !early(t) })
	following.Recurrence.Dates = slices.DeleteFunc(following.Recurrence.Dates, early)
	before.Recurrence.Exceptions = slices.DeleteFunc(before.Recurrence.Exceptions, func(o Occurrence) bool { return !early(o.Original) })
	following.Recurrence.Exceptions = slices.DeleteFunc(following.Recurrence.Exceptions, func(o Occurrence) bool { return early(o.Original) })
	return before, following, nil
}

// firstFrom counts the starts before an instant, and finds the first that is not,
// zero if there is none.
func (a *Appointment) firstFrom(at time.Time) (before int, first time.Time, err error) {
	err = a.starts(func(t time.Time) bool {
		if !t.Before(at) {
			first = t
			return false
		}
		before++
		return before <= MaxOccurrences
	})
	if err == nil && before > MaxOccurrences {
		err = ErrTooMany
	}
	return before, first, err
}

// splitRule divides one rule after n occurrences, before an instant.
func splitRule(rule string, n int, at time.Time, allDay bool) (before, following string, err error) {
	var head, tail []string
	counted := false
	for p := range strings.SplitSeq(rule, ";") {
		name, value, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(p)), "=")
		switch name {
		case "COUNT":
			total, err := strconv.Atoi(value)
			if err != nil {
				return "", "", ErrRule
			}
			if n == 0 { // none before: the end below says so
				tail = append(tail, p)
				break
			}
			counted = true
			head, tail = append(head, fmt.Sprintf("COUNT=%d", min(n, total))), append(tail, fmt.Sprintf("COUNT=%d", max(total-n, 1)))
		case "UNTIL":
			tail = append(tail, p)
		default:
			head, tail = append(head, p), append(tail, p)
		}
	}
	if !counted {
		until := at.UTC().Add(-time.Second).Format("20060102T150405Z")
		if allDay {
			until = at.UTC().AddDate(0, 0, -1).Format("20060102")
		}
		head = append(head, "UNTIL="+until)
	}
	return strings.Join(head, ";"), strings.Join(tail, ";"), nil
}
