package dav

import (
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// zones resolves the time zones that one calendar object names.
type zones struct {
	defined  map[string]*component // VTIMEZONE by TZID
	floating *time.Location
}

// instant reads a local time in a zone. The name is that of an IANA zone, or ""
// when the object's own definition was needed.
func (z zones) instant(local, tzid string) (t time.Time, name string, ok bool) {
	wall, err := time.Parse("20060102T150405", local)
	if err != nil {
		return time.Time{}, "", false
	}
	in := func(l *time.Location) time.Time {
		return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, l)
	}
	if tzid == "" {
		return in(z.floating), zone.Name(z.floating), true
	}
	if l := zone.Location(tzid); l != nil {
		return in(l), zone.Name(l), true
	}
	def := z.defined[tzid]
	if def == nil {
		return time.Time{}, "", false
	}
	if lic := def.get("X-LIC-LOCATION"); lic != nil {
		if l := zone.Location(lic.text()); l != nil {
			return in(l), zone.Name(l), true
		}
	}
	if offset, ok := def.offset(wall); ok {
		return wall.Add(-offset), "", true
	}
	return time.Time{}, "", false
}

// offset computes the offset from UTC that a VTIMEZONE gives for a wall time
// (RFC 5545 section 3.6.5): that of the observance that began last.
func (c *component) offset(wall time.Time) (time.Duration, bool) {
	var best time.Time
	var out time.Duration
	found := false
	for _, ob := range c.children {
		if ob.name != "STANDARD" && ob.name != "DAYLIGHT" {
			continue
		}
		to, from := ob.get("TZOFFSETTO"), ob.get("DTSTART")
		if to == nil || from == nil {
			continue
		}
		off, ok := utcOffset(to.value)
		start, err := time.Parse("20060102T150405", strings.TrimSpace(from.value))
		if !ok || err != nil {
			continue
		}
		onset := start
		if rule := ob.get("RRULE"); rule != nil && !wall.Before(start) {
			o, err := rrule.StrToROption(rule.value)
			if err != nil || o.Freq > rrule.WEEKLY {
				continue // a zone changes by the year; anything denser is an attack
			}
			o.Dtstart = start
			if rr, err := rrule.NewRRule(*o); err == nil {
				if b := rr.Before(wall, true); !b.IsZero() {
					onset = b
				}
			}
		}
		for _, d := range ob.lines {
			if d.name == "RDATE" {
				for _, v := range strings.Split(d.value, ",") {
					if t, err := time.Parse("20060102T150405", strings.TrimSpace(v)); err == nil && !t.After(wall) && t.After(onset) {
						onset = t
					}
				}
			}
		}
		if onset.After(wall) {
			if !found && best.IsZero() {
				// Before the first onset the earliest observance is the best there is.
				out, found = off, true
			}
			continue
		}
		if !found || best.IsZero() || onset.After(best) {
			best, out, found = onset, off, true
		}
	}
	return out, found
}

// utcOffset reads +HHMM or +HHMMSS (RFC 5545 section 3.3.14).
func utcOffset(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if len(s) != 5 && len(s) != 7 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	n := 0
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if len(s) == 5 {
		n *= 100
	}
	d := time.Duration(n/10000)*time.Hour + time.Duration(n/100%100)*time.Minute + time.Duration(n%100)*time.Second
	if d > 15*time.Hour {
		return 0, false
	}
	if s[0] == '-' {
		d = -d
	}
	return d, true
}
