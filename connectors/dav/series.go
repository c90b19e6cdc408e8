package dav

import (
	"slices"
	"strconv"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// repeats reports whether the object is a series, or part of one.
func (e *event) repeats() bool {
	return e.master.get("RRULE") != nil || e.master.get("RDATE") != nil || len(e.others) > 0
}

// orphan reports whether somebody else keeps the rule: the object holds single
// occurrences only.
func (e *event) orphan() bool { return e.master.get("RECURRENCE-ID") != nil }

// stamp writes an instant as the start of the series is written.
func (e *event) stamp(name string, t time.Time) line {
	start := e.master.get("DTSTART")
	if _, zone, allDay, ok := e.when(*start); ok && allDay {
		return line{name: name, params: ";VALUE=DATE", value: t.UTC().Format("20060102")}
	} else if id := start.param("TZID"); ok && len(id) > 0 {
		if l := locate(zone); l != nil {
			return line{name: name, params: ";TZID=" + quote(id[0]), value: t.In(l).Format("20060102T150405")}
		}
	}
	return line{name: name, value: t.UTC().Format("20060102T150405Z")}
}

// locate loads an IANA zone, nil for what is none, and for UTC, which needs no name.
func locate(name string) *time.Location {
	if name == "" {
		return nil
	}
	if l := zone.Location(name); l != nil && l != time.UTC {
		return l
	}
	return nil
}

// setSeries writes how the appointment recurs. What is said already, in whatever
// words, stays; so does what an exception says beyond the mapped fields.
func (e *event) setSeries(was, a *connectors.Appointment, now time.Time) error {
	m := e.master
	if a.Recurrence == nil {
		for _, name := range []string{"RRULE", "RDATE", "EXDATE"} {
			m.set(name)
		}
		e.keep(func(*component) bool { return false })
		return nil
	}
	if start := m.get("DTSTART"); start == nil {
		return invalid(connectors.FieldTime, "missing")
	} else if l := locate(a.Zone); l != nil && !a.AllDay {
		if _, name, _, _ := e.when(*start); name != zone.Name(l) || start.param("TZID") == nil {
			e.setTimes(a) // rules count in the zone
		}
	}
	e.setRules(a.Recurrence)
	off, on := map[int64]bool{}, map[int64]connectors.Occurrence{}
	for _, o := range a.Recurrence.Exceptions {
		switch {
		case o.Cancelled:
			off[o.Original.Unix()] = true
		case len(a.Own(o)) > 0:
			on[o.Original.Unix()] = o
		}
	}
	regular := map[int64]bool{} // exceptions of which only what is not mapped is their own
	if was.Recurrence != nil {
		for _, o := range was.Recurrence.Exceptions {
			regular[o.Original.Unix()] = !o.Cancelled && len(was.Own(o)) == 0
		}
	}
	here := map[int64]*component{}
	e.keep(func(c *component) bool {
		t, _, _, ok := e.when(*c.get("RECURRENCE-ID"))
		at := t.Unix()
		cancelled := e.off(c)
		if _, wanted := on[at]; !ok || here[at] != nil || cancelled != off[at] || !cancelled && !wanted && !regular[at] {
			return false
		}
		here[at] = c
		return true
	})
	var excluded []line
	for _, l := range m.lines {
		ts, ok := e.list(l)
		if l.name != "EXDATE" || !ok {
			continue
		}
		if slices.ContainsFunc(ts, func(t time.Time) bool { return !off[t.Unix()] }) {
			for _, t := range ts {
				if off[t.Unix()] {
					excluded = append(excluded, e.stamp("EXDATE", t))
				}
			}
		} else {
			excluded = append(excluded, l)
		}
		for _, t := range ts {
			off[t.Unix()] = false // said
		}
	}
	for _, o := range a.Recurrence.Exceptions {
		if at := o.Original.Unix(); off[at] && here[at] == nil {
			excluded = append(excluded, e.stamp("EXDATE", o.Original))
		}
	}
	m.set("EXDATE", excluded...)
	for _, o := range a.Recurrence.Exceptions {
		at := o.Original.Unix()
		if _, wanted := on[at]; !wanted {
			continue
		}
		c := here[at]
		if c == nil {
			c = e.except(o.Original)
		}
		if err := e.setException(c, o.Appointment, now); err != nil {
			return err
		}
	}
	return nil
}

// setRules writes rules and further dates, if they are others than before.
func (e *event) setRules(r *connectors.Recurrence) {
	m := e.master
	var rules, was []string
	var lines []line
	for _, s := range r.Rules {
		rules = append(rules, connectors.NormalizeRule(s))
		lines = append(lines, line{name: "RRULE", value: s})
	}
	var dates []time.Time
	for _, l := range m.lines {
		switch l.name {
		case "RRULE":
			was = append(was, connectors.NormalizeRule(l.value))
		case "RDATE":
			ts, _ := e.list(l)
			dates = append(dates, ts...)
		}
	}
	slices.Sort(rules)
	slices.Sort(was)
	if !slices.Equal(rules, was) {
		m.set("RRULE", lines...)
		n, _ := strconv.Atoi(m.text("SEQUENCE"))
		m.set("SEQUENCE", line{name: "SEQUENCE", value: strconv.Itoa(max(n, 0) + 1)})
	}
	if byTime := (time.Time).Compare; !slices.EqualFunc(slices.SortedFunc(slices.Values(dates), byTime), slices.SortedFunc(slices.Values(r.Dates), byTime), time.Time.Equal) {
		lines = nil
		for _, t := range r.Dates {
			lines = append(lines, e.stamp("RDATE", t))
		}
		m.set("RDATE", lines...)
	}
}

// keep removes the exceptions that are not wanted.
func (e *event) keep(wanted func(*component) bool) {
	gone := map[*component]bool{}
	e.others = slices.DeleteFunc(e.others, func(c *component) bool { gone[c] = !wanted(c); return gone[c] })
	n := 0
	e.cal.order = slices.DeleteFunc(e.cal.order, func(child bool) bool {
		if !child {
			return false
		}
		n++
		return gone[e.cal.children[n-1]]
	})
	e.cal.children = slices.DeleteFunc(e.cal.children, func(c *component) bool { return gone[c] })
}

// except makes an exception that says what the series says, at its original start.
func (e *event) except(original time.Time) *component {
	c := e.master.clone()
	for _, name := range []string{"RRULE", "RDATE", "EXDATE", keyProperty} {
		c.set(name)
	}
	start, end := e.master.get("DTSTART"), e.master.get("DTEND")
	c.set("RECURRENCE-ID", e.stamp("RECURRENCE-ID", original))
	c.set("DTSTART", e.stamp("DTSTART", original))
	if end != nil {
		from, _, _, ok1 := e.when(*start)
		to, _, _, ok2 := e.when(*end)
		if ok1 && ok2 {
			c.set("DTEND", e.stamp("DTEND", original.Add(to.Sub(from))))
		}
	}
	e.cal.children, e.cal.order = append(e.cal.children, c), append(e.cal.order, true)
	e.others = append(e.others, c)
	return c
}

// setException makes a component say what an occurrence says, as far as it does not.
func (e *event) setException(c *component, a *connectors.Appointment, now time.Time) error {
	one := &event{root: e.root, cal: e.cal, master: c, z: e.z}
	var says connectors.Appointment
	if err := one.read(c, &says); err != nil {
		return err
	}
	got, want := &connectors.Record{Kind: connectors.KindAppointment, Appointment: &says}, &connectors.Record{Kind: connectors.KindAppointment, Appointment: a}
	diff := connectors.Diff(got, want, []connectors.Field{connectors.FieldSubject, connectors.FieldLocation, connectors.FieldDescription, connectors.FieldTime,
		connectors.FieldSensitivity, connectors.FieldStatus, connectors.FieldAvailability, connectors.FieldOrganizer, connectors.FieldAttendees})
	if len(diff) == 0 {
		return nil
	}
	return one.apply(want, diff, now)
}

func (c *component) clone() *component {
	out := &component{name: c.name, lines: slices.Clone(c.lines), order: slices.Clone(c.order)}
	for _, x := range c.children {
		out.children = append(out.children, x.clone())
	}
	return out
}

// define adds the definition of a zone (RFC 5545 section 3.6.5), if the object has
// none: how its clocks go around the given time and ten years on, change by change.
func (e *event) define(id string, l *time.Location, at time.Time) {
	if e.z.defined[id] != nil {
		return
	}
	def := &component{name: "VTIMEZONE"}
	def.set("TZID", line{name: "TZID", value: id})
	t := time.Date(at.Year()-1, 1, 1, 0, 0, 0, 0, time.UTC)
	_, before := t.In(l).Zone()
	def.observe("STANDARD", "19700101T000000", before, before)
	for end := t.AddDate(12, 0, 0); t.Before(end); {
		next := t.Add(24 * time.Hour)
		if _, after := next.In(l).Zone(); after != before {
			lo, hi := t, next
			for hi.Sub(lo) > time.Second {
				if mid := lo.Add(hi.Sub(lo) / 2).Truncate(time.Second); offsetAt(mid, l) == before {
					lo = mid
				} else {
					hi = mid
				}
			}
			name := "STANDARD"
			if hi.In(l).IsDST() {
				name = "DAYLIGHT"
			}
			def.observe(name, hi.Add(time.Duration(before)*time.Second).Format("20060102T150405"), before, after)
			before = after
		}
		t = next
	}
	e.z.defined[id] = def
	e.cal.children = slices.Insert(e.cal.children, 0, def)
	at0 := slices.Index(e.cal.order, true)
	if at0 < 0 {
		at0 = len(e.cal.order)
	}
	e.cal.order = slices.Insert(e.cal.order, at0, true)
}

func offsetAt(t time.Time, l *time.Location) int { _, o := t.In(l).Zone(); return o }

// observe adds an observance that begins at a local time.
func (c *component) observe(name, start string, from, to int) {
	o := &component{name: name}
	o.set("DTSTART", line{name: "DTSTART", value: start})
	o.set("TZOFFSETFROM", line{name: "TZOFFSETFROM", value: offsetText(from)})
	o.set("TZOFFSETTO", line{name: "TZOFFSETTO", value: offsetText(to)})
	c.children, c.order = append(c.children, o), append(c.order, true)
}

func offsetText(seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	two := func(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }
	out := sign + two(seconds/3600) + two(seconds/60%60)
	if seconds%60 != 0 {
		out += two(seconds % 60)
	}
	return out
}
