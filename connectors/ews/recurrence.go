package ews

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// recurrence is the rule of a series ("Recurrence (RecurrenceType)").
type recurrence struct {
	Daily           *pattern `xml:"DailyRecurrence"`
	Weekly          *pattern `xml:"WeeklyRecurrence"`
	AbsoluteMonthly *pattern `xml:"AbsoluteMonthlyRecurrence"`
	RelativeMonthly *pattern `xml:"RelativeMonthlyRecurrence"`
	AbsoluteYearly  *pattern `xml:"AbsoluteYearlyRecurrence"`
	RelativeYearly  *pattern `xml:"RelativeYearlyRecurrence"`
	Numbered        *struct {
		N int `xml:"NumberOfOccurrences"`
	} `xml:"NumberedRecurrence"`
	Until *struct {
		Date string `xml:"EndDate"`
	} `xml:"EndDateRecurrence"`
}

type pattern struct {
	Interval   int    `xml:"Interval"`
	Days       string `xml:"DaysOfWeek"`
	DayOfMonth int    `xml:"DayOfMonth"`
	Index      string `xml:"DayOfWeekIndex"`
	Month      string `xml:"Month"`
	First      string `xml:"FirstDayOfWeek"`
}

// rule writes it as an RRULE value (RFC 5545 section 3.3.10), "" if it is of a
// sort not known here.
func (r *recurrence) rule() string {
	if r == nil {
		return ""
	}
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	var p *pattern
	for _, c := range []struct {
		p    *pattern
		freq string
	}{{r.Daily, "DAILY"}, {r.Weekly, "WEEKLY"}, {r.AbsoluteMonthly, "MONTHLY"}, {r.RelativeMonthly, "MONTHLY"}, {r.AbsoluteYearly, "YEARLY"}, {r.RelativeYearly, "YEARLY"}} {
		if c.p != nil {
			p = c.p
			add("FREQ=%s", c.freq)
			break
		}
	}
	if p == nil {
		return ""
	}
	if p.Interval > 1 {
		add("INTERVAL=%d", p.Interval)
	}
	if p == r.AbsoluteYearly || p == r.RelativeYearly {
		m := slices.IndexFunc(months(), func(s string) bool { return s == p.Month })
		if m < 0 {
			return ""
		}
		add("BYMONTH=%d", m+1)
	}
	by, ok := p.days()
	switch {
	case !ok:
		return ""
	case p == r.AbsoluteMonthly || p == r.AbsoluteYearly:
		add("BYMONTHDAY=%d", p.DayOfMonth)
	case p == r.RelativeMonthly || p == r.RelativeYearly:
		n, known := map[string]int{"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}[p.Index]
		if !known || by == "" {
			return ""
		}
		add("BYDAY=%s", by)
		add("BYSETPOS=%d", n)
	case p == r.Weekly:
		if by != "" {
			add("BYDAY=%s", by)
		}
		if len(p.First) >= 2 && p.First != "Monday" {
			add("WKST=%s", strings.ToUpper(p.First[:2]))
		}
	}
	switch {
	case r.Numbered != nil:
		add("COUNT=%d", r.Numbered.N)
	case r.Until != nil && len(r.Until.Date) >= 10:
		add("UNTIL=%s", strings.ReplaceAll(r.Until.Date[:10], "-", ""))
	}
	return strings.Join(out, ";")
}

func months() []string {
	var out []string
	for m := time.January; m <= time.December; m++ {
		out = append(out, m.String())
	}
	return out
}

// days lists weekdays as RFC 5545 writes them.
func (p *pattern) days() (string, bool) {
	var out []string
	for d := range strings.FieldsSeq(p.Days) {
		switch d {
		case "Day":
			out = append(out, "MO", "TU", "WE", "TH", "FR", "SA", "SU")
		case "Weekday":
			out = append(out, "MO", "TU", "WE", "TH", "FR")
		case "WeekendDay":
			out = append(out, "SA", "SU")
		case "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday":
			out = append(out, strings.ToUpper(d[:2]))
		default:
			return "", false
		}
	}
	return strings.Join(out, ","), true
}
