// Package zone knows the time zones by all the names that calendars give them.
package zone

import (
	"strings"
	"sync"
	"time"
)

// Name is the IANA name of a zone, UTC under one name only.
func Name(l *time.Location) string {
	if l == time.UTC {
		return "UTC"
	}
	return l.String()
}

// Location finds an IANA zone by its name, by a name that ends in one, as
// /mozilla.org/20050126_1/Europe/Berlin does, or by the name Windows has for it.
func Location(tzid string) *time.Location {
	tzid = strings.Trim(strings.TrimSpace(tzid), `"`)
	if w := IANA(tzid); w != "" {
		tzid = w
	}
	if tzid == "UTC" || tzid == "GMT" || tzid == "Z" || tzid == "Etc/UTC" {
		return time.UTC
	}
	parts := strings.Split(strings.Trim(tzid, "/"), "/")
	for from := 0; from < len(parts) && from < 6; from++ {
		name := strings.Join(parts[from:], "/")
		if len(parts)-from < 2 && !strings.Contains(name, "T") && from > 0 {
			break
		}
		if name == "" || name == "Local" || len(name) > 64 {
			continue
		}
		if l, err := time.LoadLocation(name); err == nil {
			return l
		}
	}
	return nil
}

// table is what the two generated texts say, made once.
type table struct {
	iana    map[string]string // folded Windows name to the IANA name
	windows map[string]string // IANA name, any of its names, to the Windows name
}

var tables = sync.OnceValue(func() table {
	t := table{map[string]string{}, map[string]string{}}
	for row := range strings.Lines(windowsZones) {
		w, names, ok := strings.Cut(strings.TrimSpace(row), "=")
		if !ok {
			continue
		}
		for i, n := range strings.Fields(names) {
			if i == 0 {
				t.iana[strings.ToLower(w)] = n
			}
			if _, taken := t.windows[n]; !taken || i == 0 {
				t.windows[n] = w
			}
		}
	}
	for row := range strings.Lines(aliases) {
		names := strings.Fields(row)
		w := ""
		for _, n := range names {
			if w == "" {
				w = t.windows[n]
			}
		}
		for _, n := range names {
			if _, taken := t.windows[n]; !taken && w != "" {
				t.windows[n] = w
			}
		}
	}
	return t
})

// IANA is the IANA name of a zone of Windows, in any case, for the territory that
// CLDR gives as the default; "" if there is none of that name.
func IANA(windows string) string {
	n := tables().iana[strings.ToLower(strings.TrimSpace(windows))]
	if n == "Etc/UTC" || n == "Etc/GMT" {
		return "UTC"
	}
	return n
}

// Windows is the name that Windows has for a zone, "" where there is none.
func Windows(l *time.Location) string {
	if l == time.UTC {
		return "UTC"
	}
	return WindowsName(l.String())
}

// WindowsName is the name that Windows has for an IANA zone, "" where there is
// none.
func WindowsName(iana string) string {
	if iana == "UTC" {
		return "UTC"
	}
	return tables().windows[iana]
}

// Names lists the zones of Windows.
func Names() []string {
	var out []string
	for row := range strings.Lines(windowsZones) {
		if w, _, ok := strings.Cut(row, "="); ok {
			out = append(out, w)
		}
	}
	return out
}
