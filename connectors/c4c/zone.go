package c4c

import (
	"strconv"
	"strings"
	"time"
)

// location is the zone of a code of the system ("Time Zones", the code list of
// the properties whose names end in ZoneCode). A code that is not known here is
// UTC: what is read in it, a day, is then that of UTC.
func location(code string) *time.Location {
	name := map[string]string{
		"CET": "Europe/Berlin", "WET": "Europe/Lisbon", "EET": "Europe/Athens", "GMTUK": "Europe/London",
		"EST": "America/New_York", "CST": "America/Chicago", "MST": "America/Denver", "MSTNO": "America/Phoenix", "PST": "America/Los_Angeles",
		"AST": "America/Halifax", "NST": "America/St_Johns", "ALA": "America/Anchorage", "HAW": "Pacific/Honolulu",
		"INDIA": "Asia/Kolkata", "JAPAN": "Asia/Tokyo", "AUSNSW": "Australia/Sydney", "AUSVIC": "Australia/Melbourne", "AUSQLD": "Australia/Brisbane",
		"AUSSA": "Australia/Adelaide", "AUSWA": "Australia/Perth", "AUSTAS": "Australia/Hobart", "AUSNT": "Australia/Darwin", "NZST": "Pacific/Auckland",
		"BRAZIL": "America/Sao_Paulo", "ISRAEL": "Asia/Jerusalem", "EGYPT": "Africa/Cairo", "CAIRO": "Africa/Cairo", "IRAN": "Asia/Tehran",
	}[code]
	if name != "" {
		if l, err := time.LoadLocation(name); err == nil {
			return l
		}
	}
	if h, err := strconv.Atoi(strings.TrimPrefix(code, "UTC")); err == nil && strings.HasPrefix(code, "UTC") && h >= -12 && h <= 14 {
		return time.FixedZone(code, h*3600)
	}
	return time.UTC
}
