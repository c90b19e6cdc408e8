package dav

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// component is an iCalendar component: its own lines, the components in it, and
// the order of both.
type component struct {
	name     string
	lines    []line
	children []*component
	order    []bool // true: the next child, false: the next line
}

// parseCalendar reads a calendar object. Lines between components that belong
// to none are refused: they could belong to anything.
func parseCalendar(data []byte) (*component, error) {
	ls, err := parseLines(data)
	if err != nil {
		return nil, err
	}
	root := &component{}
	stack := []*component{root}
	for _, l := range ls {
		top := stack[len(stack)-1]
		switch {
		case l.name == "BEGIN":
			if len(stack) > maxDepth {
				return nil, malformed("components nested too deep")
			}
			c := &component{name: strings.ToUpper(strings.TrimSpace(l.value))}
			top.children, top.order = append(top.children, c), append(top.order, true)
			stack = append(stack, c)
		case l.name == "END":
			if len(stack) == 1 || !strings.EqualFold(strings.TrimSpace(l.value), top.name) {
				return nil, malformed("END without its BEGIN")
			}
			stack = stack[:len(stack)-1]
		case len(stack) == 1:
			return nil, malformed("content outside of a component")
		default:
			top.lines, top.order = append(top.lines, l), append(top.order, false)
		}
	}
	if len(stack) != 1 || len(root.children) == 0 {
		return nil, malformed("no complete calendar")
	}
	return root, nil
}

func (c *component) write(b *bytes.Buffer) {
	if c.name != "" {
		line{name: "BEGIN", value: c.name}.write(b)
	}
	l, k := 0, 0
	for _, child := range c.order {
		if child {
			c.children[k].write(b)
			k++
		} else {
			c.lines[l].write(b)
			l++
		}
	}
	if c.name != "" {
		line{name: "END", value: c.name}.write(b)
	}
}

func (c *component) bytes() []byte {
	var b bytes.Buffer
	c.write(&b)
	return b.Bytes()
}

// get returns the first line of a name, nil if there is none.
func (c *component) get(name string) *line {
	for i := range c.lines {
		if c.lines[i].name == name {
			return &c.lines[i]
		}
	}
	return nil
}

func (c *component) text(name string) string {
	if l := c.get(name); l != nil {
		return l.text()
	}
	return ""
}

// set replaces, adds or, with an empty line, removes the lines of a name.
func (c *component) set(name string, ls ...line) {
	at := len(c.lines)
	for i := len(c.lines) - 1; i >= 0; i-- {
		if c.lines[i].name == name {
			at = i
			c.removeLine(i)
		}
	}
	for _, l := range slices.Backward(ls) {
		c.insertLine(at, l)
	}
}

// position returns where in order the nth line stands.
func (c *component) position(n int) int {
	for i, child := range c.order {
		if !child {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return -1
}

func (c *component) removeLine(i int) {
	p := c.position(i)
	c.order = slices.Delete(c.order, p, p+1)
	c.lines = slices.Delete(c.lines, i, i+1)
}

func (c *component) insertLine(i int, l line) {
	p := c.position(i)
	if p < 0 { // behind the last line, before any alarm
		if p = slices.Index(c.order, true); p < 0 {
			p = len(c.order)
		}
		i = 0
		for _, child := range c.order[:p] {
			if !child {
				i++
			}
		}
	}
	c.order = slices.Insert(c.order, p, false)
	c.lines = slices.Insert(c.lines, i, l)
}

// event is what a calendar object says about one appointment.
type event struct {
	root   *component
	cal    *component
	master *component
	others []*component // occurrences that differ
	z      zones
}

// errNoEvent means that the object is a task, a journal or something else that
// is no appointment.
func errNoEvent() error {
	return &connectors.Error{Class: connectors.ErrNotFound, Detail: "the object holds no appointment"}
}

func parseEvent(data []byte, floating *time.Location) (*event, error) {
	root, err := parseCalendar(data)
	if err != nil {
		return nil, err
	}
	if len(root.children) != 1 || root.children[0].name != "VCALENDAR" {
		return nil, malformed("not one calendar")
	}
	e := &event{root: root, cal: root.children[0], z: zones{map[string]*component{}, floating}}
	uid, seen := "", false
	for _, c := range e.cal.children {
		switch c.name {
		case "VTIMEZONE":
			e.z.defined[strings.Trim(strings.TrimSpace(c.text("TZID")), `"`)] = c
		case "VEVENT":
			if seen && c.text("UID") != uid {
				return nil, invalid(connectors.FieldUID, "several appointments in one object")
			}
			uid, seen = c.text("UID"), true
			switch {
			case c.get("RECURRENCE-ID") != nil:
				e.others = append(e.others, c)
			case e.master != nil:
				return nil, invalid(connectors.FieldUID, "the same appointment twice in one object")
			default:
				e.master = c
			}
		}
	}
	if !seen {
		return nil, errNoEvent()
	}
	if e.master == nil { // occurrences of a series whose rule someone else keeps
		i := slices.IndexFunc(e.cal.children, func(c *component) bool { return c.name == "VEVENT" })
		e.master = e.cal.children[i]
	}
	return e, nil
}

// appointment reads the mapped fields.
func (e *event) appointment() (*connectors.Record, error) {
	m := e.master
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	if err := e.read(m, a); err != nil {
		return nil, err
	}
	r.SetText(connectors.FieldUID, m.text("UID"))
	rec := connectors.Recurrence{}
	for _, l := range m.lines {
		switch l.name {
		case "RRULE":
			rec.Rules = append(rec.Rules, l.value)
		case "RDATE":
			ts, ok := e.list(l)
			if !ok {
				return nil, invalid(connectors.FieldRecurrence, "a further date cannot be read")
			}
			rec.Dates = append(rec.Dates, ts...)
		case "EXDATE":
			ts, ok := e.list(l)
			if !ok {
				return nil, invalid(connectors.FieldRecurrence, "an excluded date cannot be read")
			}
			for _, t := range ts {
				rec.Exceptions = append(rec.Exceptions, connectors.Occurrence{Original: t, Cancelled: true})
			}
		}
		if len(rec.Dates)+len(rec.Exceptions) > connectors.MaxExceptions {
			return nil, invalid(connectors.FieldRecurrence, "more exceptions than allowed")
		}
	}
	for _, o := range e.others {
		x, err := e.occurrence(o)
		if err != nil {
			return nil, err
		}
		rec.Exceptions = slices.DeleteFunc(rec.Exceptions, func(y connectors.Occurrence) bool { return y.Original.Equal(x.Original) })
		rec.Exceptions = append(rec.Exceptions, x)
	}
	if len(rec.Rules)+len(rec.Dates)+len(e.others) > 0 {
		a.Recurrence = &rec
	}
	r.Key = m.text(keyProperty)
	return r, nil
}

// list reads the values of a line that may have several; of periods their start.
func (e *event) list(l line) (out []time.Time, ok bool) {
	for v := range strings.SplitSeq(l.value, ",") {
		one := l
		one.value, _, _ = strings.Cut(v, "/")
		t, _, _, ok := e.when(one)
		if !ok || len(out) > connectors.MaxExceptions {
			return nil, false
		}
		out = append(out, t)
	}
	return out, true
}

// off reports whether an exception is there to say that it does not take place. In a
// series that is cancelled as a whole it only says what the series says.
func (e *event) off(c *component) bool {
	return strings.EqualFold(c.text("STATUS"), "CANCELLED") && (e.orphan() || !strings.EqualFold(e.master.text("STATUS"), "CANCELLED"))
}

// occurrence reads one that is not as the rules say.
func (e *event) occurrence(c *component) (connectors.Occurrence, error) {
	t, _, _, ok := e.when(*c.get("RECURRENCE-ID"))
	if !ok {
		return connectors.Occurrence{}, invalid(connectors.FieldRecurrence, "the original start of an occurrence cannot be read")
	}
	if e.off(c) {
		return connectors.Occurrence{Original: t, Cancelled: true}, nil
	}
	o := connectors.Occurrence{Original: t, Appointment: &connectors.Appointment{}}
	return o, e.read(c, o.Appointment)
}

// read reads what a component says of itself, without what it says of a series.
func (e *event) read(m *component, a *connectors.Appointment) error {
	r := &connectors.Record{Kind: connectors.KindAppointment, Appointment: a}
	for _, p := range []struct {
		f    connectors.Field
		name string
	}{{connectors.FieldSubject, "SUMMARY"}, {connectors.FieldLocation, "LOCATION"}, {connectors.FieldDescription, "DESCRIPTION"}} {
		r.SetText(p.f, m.text(p.name))
	}
	if err := e.times(m, a); err != nil {
		return err
	}
	for _, l := range m.lines {
		if l.name == "ATTENDEE" {
			if p := party(l); p.Address != "" {
				a.Attendees = append(a.Attendees, p)
			}
		}
	}
	if len(a.Attendees) > maxParty {
		return invalid(connectors.FieldAttendees, "more attendees than allowed")
	}
	if l := m.get("ORGANIZER"); l != nil {
		a.Organizer = party(*l)
	}
	a.Attendees = slices.DeleteFunc(a.Attendees, func(p connectors.Party) bool {
		return a.Organizer.Address != "" && strings.EqualFold(p.Address, a.Organizer.Address)
	})
	switch strings.ToUpper(m.text("CLASS")) {
	case "PRIVATE":
		a.Sensitivity = connectors.Private
	case "CONFIDENTIAL":
		a.Sensitivity = connectors.Confidential
	}
	switch strings.ToUpper(m.text("STATUS")) {
	case "TENTATIVE":
		a.Status = connectors.Unconfirmed
	case "CANCELLED":
		a.Status = connectors.Cancelled
	}
	switch busy := strings.ToUpper(m.text("X-MICROSOFT-CDO-BUSYSTATUS")); {
	case busy == "OOF":
		a.Availability = connectors.OutOfOffice
	case busy == "TENTATIVE":
		a.Availability = connectors.Tentative
	case busy == "FREE", strings.EqualFold(m.text("TRANSP"), "TRANSPARENT"):
		a.Availability = connectors.Free
	}
	return nil
}

// party reads a calendar address (RFC 5545 section 3.3.3).
func party(l line) connectors.Party {
	v := strings.TrimSpace(l.value)
	if len(v) > 7 && strings.EqualFold(v[:7], "mailto:") {
		v = v[7:]
	}
	p := connectors.Party{Address: connectors.NormalizeText(connectors.FieldEmail, v)}
	if cn := l.param("CN"); len(cn) > 0 {
		p.Name = connectors.NormalizeText(connectors.FieldName, strings.Join(cn, ", "))
	}
	return p
}

// times reads start and end; see RFC 5545 section 3.6.1 for what stands in for
// a missing end.
func (e *event) times(m *component, a *connectors.Appointment) error {
	start := m.get("DTSTART")
	if start == nil {
		return invalid(connectors.FieldTime, "no start")
	}
	var ok bool
	if a.Start, a.Zone, a.AllDay, ok = e.when(*start); !ok {
		return invalid(connectors.FieldTime, "start cannot be read")
	}
	end, dur := m.get("DTEND"), m.get("DURATION")
	switch {
	case end != nil:
		var allDay bool
		if a.End, _, allDay, ok = e.when(*end); !ok || allDay != a.AllDay {
			return invalid(connectors.FieldTime, "end cannot be read")
		}
	case dur != nil:
		d, ok := duration(dur.value)
		if !ok || a.AllDay && d%(24*time.Hour) != 0 {
			return invalid(connectors.FieldTime, "duration cannot be read")
		}
		a.End = a.Start.Add(d)
	case a.AllDay:
		a.End = a.Start.AddDate(0, 0, 1)
	default:
		a.End = a.Start
	}
	if a.AllDay && a.End.Equal(a.Start) {
		a.End = a.Start.AddDate(0, 0, 1) // seen in the wild: an inclusive end
	}
	if a.End.Before(a.Start) {
		return invalid(connectors.FieldTime, "end before start")
	}
	for _, t := range []time.Time{a.Start, a.End} {
		if y := t.Year(); y < 1900 || y > 2200 {
			return invalid(connectors.FieldTime, "year out of range")
		}
	}
	return nil
}

// when reads a DATE or DATE-TIME value.
func (e *event) when(l line) (t time.Time, zone string, allDay, ok bool) {
	v := strings.TrimSpace(l.value)
	if t, err := time.Parse("20060102", v); err == nil {
		return t, "", true, true
	}
	if strings.HasSuffix(v, "Z") {
		t, err := time.Parse("20060102T150405Z", v)
		return t, "UTC", false, err == nil
	}
	tzid := ""
	if p := l.param("TZID"); len(p) > 0 {
		tzid = p[0]
	}
	t, zone, ok = e.z.instant(v, tzid)
	return t.UTC(), zone, false, ok
}

// duration reads a DURATION value (RFC 5545 section 3.3.6).
func duration(s string) (time.Duration, bool) {
	s = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "+")
	if !strings.HasPrefix(s, "P") || len(s) < 3 || len(s) > 32 {
		return 0, false
	}
	var total time.Duration
	n, digits, inTime := 0, 0, false
	for _, c := range s[1:] {
		unit := time.Duration(0)
		switch {
		case c >= '0' && c <= '9' && digits < 7:
			n, digits = n*10+int(c-'0'), digits+1
			continue
		case c == 'T' && !inTime && digits == 0:
			inTime = true
			continue
		case c == 'W' && !inTime:
			unit = 7 * 24 * time.Hour
		case c == 'D' && !inTime:
			unit = 24 * time.Hour
		case c == 'H' && inTime:
			unit = time.Hour
		case c == 'M' && inTime:
			unit = time.Minute
		case c == 'S' && inTime:
			unit = time.Second
		}
		if unit == 0 || digits == 0 || n > 100_000 {
			return 0, false
		}
		total += time.Duration(n) * unit
		n, digits = 0, 0
	}
	return total, digits == 0 && total >= 0
}

// newEvent makes an empty object.
func newEvent(uid, key string, now time.Time) *event {
	m := &component{name: "VEVENT"}
	m.set("UID", line{name: "UID", value: escape(uid)})
	m.set("DTSTAMP", line{name: "DTSTAMP", value: now.UTC().Format("20060102T150405Z")})
	m.set(keyProperty, line{name: keyProperty, value: escape(key)})
	cal := &component{name: "VCALENDAR", children: []*component{m}}
	cal.lines = []line{{name: "VERSION", value: "2.0"}, {name: "PRODID", value: "-//lockkeeper//EN"}}
	cal.order = []bool{false, false, true}
	root := &component{children: []*component{cal}, order: []bool{true}}
	return &event{root: root, cal: cal, master: m, z: zones{map[string]*component{}, time.UTC}}
}

// write makes the object say what the record says in the fields: the series and,
// where they had them from it, its exceptions.
func (e *event) write(r *connectors.Record, fields []connectors.Field, now time.Time) error {
	series := slices.Contains(fields, connectors.FieldRecurrence)
	if !series && !e.repeats() || series && !e.repeats() && r.Appointment.Recurrence == nil {
		return e.apply(r, fields, now)
	}
	if e.orphan() {
		for _, f := range []connectors.Field{connectors.FieldRecurrence, connectors.FieldTime} {
			if slices.Contains(fields, f) {
				return &connectors.Error{Class: connectors.ErrUnsupported, Field: f, Detail: "the times of a series that somebody else keeps"}
			}
		}
		return e.apply(r, fields, now)
	}
	was := connectors.NewRecord(connectors.KindAppointment)
	if e.master.get("DTSTART") != nil {
		var err error
		if was, err = e.appointment(); err != nil {
			return err
		}
	}
	want := was.Clone()
	connectors.CopyFields(want, r, fields, connectors.Fields(connectors.KindAppointment))
	if err := e.apply(want, fields, now); err != nil {
		return err
	}
	return e.setSeries(was.Appointment, want.Appointment, now)
}

// apply makes the event, or the series without its exceptions, say what the record
// says in the fields.
func (e *event) apply(r *connectors.Record, fields []connectors.Field, now time.Time) error {
	a, m := r.Appointment, e.master
	for _, f := range fields {
		switch f {
		case connectors.FieldSubject, connectors.FieldLocation, connectors.FieldDescription:
			name := map[connectors.Field]string{connectors.FieldSubject: "SUMMARY", connectors.FieldLocation: "LOCATION", connectors.FieldDescription: "DESCRIPTION"}[f]
			if r.Text(f) == "" {
				m.set(name)
				continue
			}
			l := line{name: name}
			if old := m.get(name); old != nil {
				l = *old
			}
			m.set(name, l.with(escape(r.Text(f)), false))
		case connectors.FieldTime:
			if a.Start.IsZero() || a.End.IsZero() {
				return invalid(f, "missing")
			}
			var old connectors.Appointment
			if e.times(m, &old) == nil && old.AllDay == a.AllDay && old.Start.Equal(a.Start) && old.End.Equal(a.End) {
				continue // said already, and perhaps in more words than ours
			}
			e.setTimes(a)
			n, _ := strconv.Atoi(m.text("SEQUENCE"))
			m.set("SEQUENCE", line{name: "SEQUENCE", value: strconv.Itoa(max(n, 0) + 1)})
		case connectors.FieldSensitivity:
			e.word("CLASS", map[connectors.Sensitivity]string{connectors.Private: "PRIVATE", connectors.Confidential: "CONFIDENTIAL"}[a.Sensitivity])
		case connectors.FieldStatus:
			e.word("STATUS", map[connectors.Status]string{connectors.Unconfirmed: "TENTATIVE", connectors.Cancelled: "CANCELLED"}[a.Status])
		case connectors.FieldAvailability:
			e.word("TRANSP", map[connectors.Availability]string{connectors.Free: "TRANSPARENT"}[a.Availability])
			e.word("X-MICROSOFT-CDO-BUSYSTATUS", map[connectors.Availability]string{connectors.OutOfOffice: "OOF", connectors.Tentative: "TENTATIVE"}[a.Availability])
		case connectors.FieldOrganizer:
			if a.Organizer.Address == "" {
				m.set("ORGANIZER")
			} else {
				m.set("ORGANIZER", address("ORGANIZER", a.Organizer))
			}
		case connectors.FieldAttendees:
			e.setAttendees(a)
		}
	}
	if m.get("LAST-MODIFIED") != nil {
		m.set("LAST-MODIFIED", line{name: "LAST-MODIFIED", value: now.UTC().Format("20060102T150405Z")})
	}
	if m.get("DTSTAMP") == nil {
		m.set("DTSTAMP", line{name: "DTSTAMP", value: now.UTC().Format("20060102T150405Z")})
	}
	return nil
}

func (e *event) word(name, value string) {
	if value == "" {
		e.master.set(name)
		return
	}
	e.master.set(name, line{name: name, value: value})
}

// setTimes writes start and end in the zone that the event has, if that is one
// that everybody knows, else in UTC; of a series in its own, for rules count in it.
func (e *event) setTimes(a *connectors.Appointment) {
	var loc *time.Location
	params := ""
	if old := e.master.get("DTSTART"); old != nil {
		if id := old.param("TZID"); len(id) > 0 {
			if l := zone.Location(id[0]); l != nil && l != time.UTC {
				loc, params = l, ";TZID="+quote(id[0])
			}
		}
	}
	if l := locate(a.Zone); l != nil && a.Recurrence != nil && !a.AllDay && (loc == nil || zone.Name(loc) != zone.Name(l)) {
		e.define(zone.Name(l), l, a.Start)
		loc, params = l, ";TZID="+quote(zone.Name(l))
	}
	write := func(name string, t time.Time) line {
		switch {
		case a.AllDay:
			return line{name: name, params: ";VALUE=DATE", value: t.UTC().Format("20060102")}
		case loc != nil:
			return line{name: name, params: params, value: t.In(loc).Format("20060102T150405")}
		}
		return line{name: name, value: t.UTC().Format("20060102T150405Z")}
	}
	e.master.set("DTSTART", write("DTSTART", a.Start))
	e.master.set("DURATION")
	e.master.set("DTEND", write("DTEND", a.End))
}

// setAttendees keeps the lines of those who stay, with all that they say.
func (e *event) setAttendees(a *connectors.Appointment) {
	var out []line
	have := map[string]bool{}
	for _, l := range e.master.lines {
		if l.name != "ATTENDEE" {
			continue
		}
		p := party(l)
		stays := strings.EqualFold(p.Address, a.Organizer.Address) && p.Address != "" ||
			slices.ContainsFunc(a.Attendees, func(x connectors.Party) bool { return strings.EqualFold(x.Address, p.Address) })
		if stays && !have[strings.ToLower(p.Address)] {
			have[strings.ToLower(p.Address)] = true
			out = append(out, l)
		}
	}
	for _, p := range a.Attendees {
		if !have[strings.ToLower(p.Address)] {
			have[strings.ToLower(p.Address)] = true
			out = append(out, address("ATTENDEE", p))
		}
	}
	e.master.set("ATTENDEE", out...)
}

func address(name string, p connectors.Party) line {
	l := line{name: name, value: p.Address}
	if strings.Contains(p.Address, "@") {
		l.value = "mailto:" + p.Address
	}
	if p.Name != "" {
		l.params = ";CN=" + quote(p.Name)
	}
	return l
}

// quote writes a parameter value (RFC 5545 section 3.2); double quotes have no
// place in one.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '"' || r < 0x20 || r == 0x7f {
			return '\''
		}
		return r
	}, s)
	if strings.ContainsAny(s, ",;: ") {
		return `"` + s + `"`
	}
	return s
}
