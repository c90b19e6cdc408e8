package c4c

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var errDate = errors.New("not a date")

// jsonDate is the form of dates in OData V2 JSON ("JavaScript Object Notation
// (JSON) Format", section 4, primitive types): milliseconds since 1970 and, for
// Edm.DateTimeOffset, an offset in minutes that only says how to show it.
var jsonDate = regexp.MustCompile(`^/Date\((-?[0-9]{1,17})(?:[+-][0-9]{1,4})?\)/$`)

// parseDate reads a date in any of the forms that servers of this protocol
// write: /Date(ms)/, ISO 8601 with or without zone, a bare day, and the literals
// datetime'...' and datetimeoffset'...'. A time without zone is UTC. Years
// outside 1 to 9999 are refused.
func parseDate(s string) (time.Time, error) {
	if m := jsonDate.FindStringSubmatch(s); m != nil {
		ms, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || ms == math.MinInt64 {
			return time.Time{}, errDate
		}
		return inRange(time.UnixMilli(ms).UTC())
	}
	for _, p := range []string{"datetimeoffset'", "datetime'"} {
		if strings.HasPrefix(s, p) && strings.HasSuffix(s, "'") && len(s) > len(p) {
			s = s[len(p) : len(s)-1]
		}
	}
	if len(s) > 40 {
		return time.Time{}, errDate
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return inRange(t.UTC())
		}
	}
	return time.Time{}, errDate
}

func inRange(t time.Time) (time.Time, error) {
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, errDate
	}
	return t, nil
}

// offsetLiteral writes an instant as it stands in a filter.
func offsetLiteral(t time.Time) string {
	return "datetimeoffset'" + t.UTC().Format("2006-01-02T15:04:05.000Z") + "'"
}

// instant writes an instant as the value of a property.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
