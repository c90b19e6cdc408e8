package msgraph

import (
	"fmt"
	"strings"
)

// recurrence is the rule of a series (resource type "patternedRecurrence").
type recurrence struct {
	Pattern struct {
		Type       string   `json:"type"`
		Interval   int      `json:"interval"`
		Month      int      `json:"month"`
		DayOfMonth int      `json:"dayOfMonth"`
		Days       []string `json:"daysOfWeek"`
		First      string   `json:"firstDayOfWeek"`
		Index      string   `json:"index"`
	} `json:"pattern"`
	Range struct {
		Type        string `json:"type"`
		End         string `json:"endDate"`
		Occurrences int    `json:"numberOfOccurrences"`
	} `json:"range"`
}

// rule writes it as an RRULE value (RFC 5545 section 3.3.10), "" if it is of a
// sort not known here.
func (r recurrence) rule() string {
	p := r.Pattern
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	var days []string
	for _, d := range p.Days {
		if len(d) < 2 {
			return ""
		}
		days = append(days, strings.ToUpper(d[:2]))
	}
	by := strings.Join(days, ",")
	switch p.Type {
	case "daily":
		add("FREQ=DAILY")
	case "weekly":
		add("FREQ=WEEKLY")
	case "absoluteMonthly", "relativeMonthly":
		add("FREQ=MONTHLY")
	case "absoluteYearly", "relativeYearly":
		add("FREQ=YEARLY")
	default:
		return ""
	}
	if p.Interval > 1 {
		add("INTERVAL=%d", p.Interval)
	}
	if strings.HasSuffix(p.Type, "Yearly") {
		add("BYMONTH=%d", p.Month)
	}
	switch {
	case strings.HasPrefix(p.Type, "absolute"):
		add("BYMONTHDAY=%d", p.DayOfMonth)
	case strings.HasPrefix(p.Type, "relative"):
		n, ok := map[string]int{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}[p.Index]
		if !ok || by == "" {
			return ""
		}
		add("BYDAY=%s", by)
		add("BYSETPOS=%d", n)
	case p.Type == "weekly":
		if by != "" {
			add("BYDAY=%s", by)
		}
		if len(p.First) >= 2 && !strings.EqualFold(p.First, "monday") {
			add("WKST=%s", strings.ToUpper(p.First[:2]))
		}
	}
	switch r.Range.Type {
	case "numbered":
		add("COUNT=%d", r.Range.Occurrences)
	case "endDate":
		add("UNTIL=%s", strings.ReplaceAll(r.Range.End, "-", ""))
	}
	return strings.Join(out, ";")
}
