package dav

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Object is one card or one appointment, ready to be put on a server.
type Object struct {
	Name string // of the member, from its content
	Data []byte
	Err  error // why it cannot be read; Data is then as found
}

// SplitContacts takes a file apart into its cards. What a server would refuse
// for form alone, a missing UID or version, is added.
func SplitContacts(data []byte) []Object {
	ls, err := parseLines(data)
	if err != nil {
		return []Object{{Data: data, Err: err}}
	}
	var out []Object
	for i := 0; i < len(ls); i++ {
		if ls[i].name != "BEGIN" || !strings.EqualFold(strings.TrimSpace(ls[i].value), "VCARD") {
			continue
		}
		depth, end := 0, -1
		for j := i; j < len(ls) && end < 0; j++ {
			switch ls[j].name {
			case "BEGIN":
				depth++
			case "END":
				if depth--; depth == 0 {
					end = j
				}
			}
		}
		last := end
		if end < 0 {
			last = len(ls) - 1
		}
		var b bytes.Buffer
		for _, l := range ls[i : last+1] {
			l.write(&b)
		}
		i = last
		k, err := parseCard(b.Bytes())
		if err != nil {
			out = append(out, Object{Data: b.Bytes(), Err: err})
			continue
		}
		uid := named(k.bytes())
		if k.find("VERSION", nil) < 0 {
			k.lines = append(k.lines[:1:1], append([]line{{name: "VERSION", value: "3.0"}}, k.lines[1:]...)...)
		}
		if k.find("UID", nil) < 0 {
			k.put(-1, line{name: "UID"}, uid, false)
		}
		if k.find("FN", nil) < 0 {
			k.apply(k.contact(), nil)
		}
		out = append(out, Object{Name: uid + ".vcf", Data: k.bytes()})
	}
	if len(out) == 0 {
		return []Object{{Data: data, Err: malformed("no card")}}
	}
	return out
}

// named derives a name from content: the same content has the same name.
func named(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// SplitAppointments takes a file apart into one object for each series or single
// appointment, with the time zones it needs. Appointments outside of a calendar
// get one. Other components are left out.
func SplitAppointments(data []byte, now time.Time) []Object {
	root, err := parseCalendar(data)
	if err != nil {
		return []Object{{Data: data, Err: err}}
	}
	var out []Object
	loose := &component{name: "VCALENDAR"}
	for _, c := range root.children {
		switch c.name {
		case "VCALENDAR":
			out = append(out, splitCalendar(c, now)...)
		case "VEVENT", "VTIMEZONE":
			loose.children, loose.order = append(loose.children, c), append(loose.order, true)
		}
	}
	out = append(out, splitCalendar(loose, now)...)
	if len(out) == 0 {
		return []Object{{Data: data, Err: errNoEvent()}}
	}
	return out
}

func splitCalendar(cal *component, now time.Time) []Object {
	var zones []*component
	var order []string
	groups := map[string][]*component{}
	for _, c := range cal.children {
		switch c.name {
		case "VTIMEZONE":
			zones = append(zones, c)
		case "VEVENT":
			uid := c.text("UID")
			if uid == "" {
				uid = named(c.bytes())
				c.set("UID", line{name: "UID", value: uid})
			}
			if groups[uid] == nil {
				order = append(order, uid)
			}
			if c.get("DTSTAMP") == nil {
				c.set("DTSTAMP", line{name: "DTSTAMP", value: now.UTC().Format("20060102T150405Z")})
			}
			groups[uid] = append(groups[uid], c)
		}
	}
	var out []Object
	for _, uid := range order {
		one := &component{name: "VCALENDAR", lines: []line{{name: "VERSION", value: "2.0"}, {name: "PRODID", value: "-//lockkeeper//EN"}}, order: []bool{false, false}}
		for _, c := range append(append([]*component(nil), zones...), groups[uid]...) {
			one.children, one.order = append(one.children, c), append(one.order, true)
		}
		o := Object{Name: named([]byte(uid)) + ".ics", Data: one.bytes()}
		if e, err := parseEvent(o.Data, time.UTC); err != nil {
			o.Err = err
		} else if _, err := e.appointment(); err != nil {
			o.Err = err
		}
		out = append(out, o)
	}
	return out
}

// Contact reads a card as this connector would.
func Contact(data []byte) (*connectors.Record, error) {
	k, err := parseCard(data)
	if err != nil {
		return nil, err
	}
	return k.contact(), nil
}

// Appointment reads a calendar object as this connector would, times without a
// zone being UTC.
func Appointment(data []byte) (*connectors.Record, error) {
	e, err := parseEvent(data, time.UTC)
	if err != nil {
		return nil, err
	}
	return e.appointment()
}

// IsNoAppointment reports whether an error says that an object is something else
// than an appointment, a task for one, which this connector leaves alone.
func IsNoAppointment(err error) bool { return errors.Is(err, connectors.ErrNotFound) }
