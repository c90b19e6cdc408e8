package c4c

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// own names the properties of the record itself that are read.
func (s shape) own() []string {
	out := []string{propID, propETag, propChanged}
	for _, c := range s.columns {
		out = append(out, c.name)
	}
	add := func(names ...string) {
		for _, n := range names {
			if n != "" && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	add(s.key, s.system, s.status, s.number, s.marked, s.street, s.house, s.country, s.birth, s.state, s.second, s.priority, s.direction, s.percent, s.account, s.contact)
	if s.company {
		add("AccountFormattedName")
	}
	if s.sensitive {
		add("InformationSensitivityCode", "AvailabilityCode")
	}
	if w := s.when; w != nil {
		add(w.start, w.end, w.allDay)
		if w.start1 != "" {
			add(w.startZone, w.endZone)
		}
	}
	for _, p := range s.people {
		add(p.headAddress, p.headName)
	}
	if s.kind == connectors.KindMail {
		add("MessageFromEmailURI", "MessageFromName")
	}
	return out
}

// expand names the navigations that are read along with a record; without its
// long texts where that is asked for.
func (s shape) expand(head bool) []string {
	var out []string
	for _, p := range s.people {
		out = append(out, p.nav)
	}
	if s.text != nil && !head {
		out = append(out, s.text.nav)
	}
	return out
}

// selection names every property that is read, and every navigation with it.
func (s shape) selection(head bool) string {
	return strings.Join(append(s.own(), s.expand(head)...), ",")
}

// light names only what tells one revision from another.
func (s shape) light() string {
	out := []string{propID, propETag, propChanged}
	if s.status != "" {
		out = append(out, s.status, s.number)
	}
	if s.marked != "" {
		out = append(out, s.marked)
	}
	return strings.Join(out, ",")
}

// gone reports whether a record counts as deleted.
func (s shape) gone(e entity) (bool, error) {
	if s.marked != "" {
		return e.boolean(s.marked)
	}
	if s.status == "" {
		return false, nil
	}
	code, err := e.text(s.status)
	return code == s.obsolete, err
}

// capability is the shape as callers see it.
func (s shape) capability() connectors.Capability {
	if s.caps != nil {
		return *s.caps
	}
	c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}, Create: true, Update: !s.noUpdate, Delete: true, Batch: batchSize,
		NoKey: s.key == "", Search: s.search, Refs: s.refs()}
	if s.keyRunes > 0 && s.keyRunes < connectors.MaxKey {
		c.KeyRunes = s.keyRunes
	}
	add := func(fs ...connectors.Field) {
		for _, f := range fs {
			c.Fields[f] = connectors.Limit{}
		}
	}
	for _, col := range s.columns {
		c.Fields[col.field] = connectors.Limit{Runes: col.runes}
	}
	if s.street != "" {
		c.Fields[connectors.FieldStreet] = connectors.Limit{Runes: runesStreet}
		add(connectors.FieldCountry)
	}
	if s.birth != "" {
		add(connectors.FieldBirthday)
	}
	if s.company {
		c.Fields[connectors.FieldCompany] = connectors.Limit{Runes: runesCompany}
	}
	if s.text != nil {
		add(s.text.field)
	}
	if s.state != "" {
		add(connectors.FieldStatus)
	}
	if s.sensitive {
		add(connectors.FieldSensitivity, connectors.FieldAvailability)
	}
	if s.priority != "" {
		add(connectors.FieldPriority)
	}
	if s.direction != "" {
		add(connectors.FieldDirection)
	}
	if s.percent != "" {
		add(connectors.FieldPercent)
	}
	switch w := s.when; {
	case w == nil:
	case w.instant != "":
		add(w.instant)
	case w.start1 != "":
		add(w.start1, w.end1)
	default:
		c.Fields[connectors.FieldTime] = connectors.Limit{Required: true}
	}
	for _, p := range s.people {
		if p.recipients {
			add(p.field)
		} else {
			add(connectors.FieldOrganizer, connectors.FieldAttendees)
		}
	}
	if s.kind == connectors.KindMail {
		add(connectors.FieldFrom)
		c.Fields[connectors.FieldMessageID] = connectors.Limit{Runes: runesMessage}
	}
	if s.required != "" {
		l := c.Fields[s.required]
		l.Required = true
		c.Fields[s.required] = l
	}
	if s.files != nil {
		c.Attachments = connectors.AttachmentCapability{Read: true, Write: true, Delete: true, Size: maxFile}
	}
	return c
}

// record turns an entity into a record. Its references hold numbers until they
// are looked up; see session.link.
func (s shape) record(e entity) (*connectors.Record, error) { return s.read(e, false) }

func (s shape) read(e entity, head bool) (*connectors.Record, error) {
	r, err := s.unmap(e, head)
	if err != nil {
		id, _ := e.id()
		return nil, &connectors.Error{Kind: s.kind, ID: id, Class: connectors.ErrMalformed, Detail: "record with a property of another type than its own"}
	}
	return r, nil
}

func (s shape) unmap(e entity, head bool) (*connectors.Record, error) {
	x := reader{e: e}
	r := connectors.NewRecord(s.kind)
	r.ID, r.Rev, r.Modified = x.text(propID), e.rev(), x.date(propChanged)
	if s.key != "" {
		carried, err := s.carried(e)
		x.keep(err)
		if len(carried) <= connectors.MaxKey {
			r.Key = carried
		}
	}
	for _, c := range s.columns {
		r.SetText(c.field, x.text(c.name))
	}
	if s.second != "" {
		r.SetText(connectors.FieldLocation, connectors.JoinLocation(x.text("Location"), x.text(s.second)))
	}
	if s.street != "" {
		r.SetText(connectors.FieldStreet, strings.TrimSpace(x.text(s.street)+" "+x.text(s.house)))
		r.SetText(connectors.FieldCountry, x.text(s.country))
	}
	if s.birth != "" {
		if t := x.date(s.birth); !t.IsZero() {
			r.Contact.Birthday = t.Format(time.DateOnly)
		}
	}
	if s.company && x.text(s.account) != "" {
		r.SetText(connectors.FieldCompany, x.text("AccountFormattedName"))
	}
	if s.text != nil && !head {
		r.SetText(s.text.field, noteOf(x.texts(s.text.nav)).text)
	}
	for _, n := range []struct {
		role     connectors.Role
		property string
	}{{connectors.RoleAccount, s.account}, {connectors.RoleContact, s.contact}} {
		if n.property != "" {
			if number := x.text(n.property); number != "" {
				r.Refs = append(r.Refs, connectors.Ref{Role: n.role, ID: number})
			}
		}
	}
	switch {
	case r.Appointment != nil:
		s.unmapAppointment(&x, r.Appointment)
	case r.Task != nil:
		s.unmapTask(&x, r.Task)
	case r.Mail != nil:
		s.unmapMail(&x, r)
	}
	return r, x.err
}

func (s shape) unmapAppointment(x *reader, a *connectors.Appointment) {
	w := s.when
	a.Start, a.End = x.date(w.start), x.date(w.end)
	if w.allDay != "" {
		a.AllDay = x.boolean(w.allDay)
	}
	if s.sensitive {
		a.Sensitivity = sensitivities().of(x.text("InformationSensitivityCode"))
		a.Availability = availabilities().of(x.text("AvailabilityCode"))
	}
	if s.direction != "" {
		a.Direction = directions().of(x.text(s.direction))
	}
	if x.text(s.state) == codeCancelled {
		a.Status = connectors.Cancelled
	}
	p := s.people[0]
	for _, q := range x.people(p) {
		switch {
		case q.role == p.organizer && a.Organizer.Address == "":
			a.Organizer = q.Party
		case q.role == codeAttendee:
			a.Attendees = append(a.Attendees, q.Party)
		}
	}
	if a.Organizer.Address == "" && p.headAddress != "" {
		a.Organizer = x.head(p)
	}
}

func (x *reader) head(p people) connectors.Party {
	out := connectors.Party{Address: strings.TrimSpace(x.text(p.headAddress))}
	if out.Address != "" {
		out.Name = x.text(p.headName)
	}
	return out
}

func (s shape) unmapTask(x *reader, t *connectors.Task) {
	t.Status, t.Priority = taskStates().of(x.text(s.state)), priorities().of(x.text(s.priority))
	t.Percent = x.percent(s.percent)
	t.Start, t.Due = x.day(s.when.start, s.when.startZone), x.day(s.when.end, s.when.endZone)
}

func (s shape) unmapMail(x *reader, r *connectors.Record) {
	m := r.Mail
	m.MessageID, _ = cutMessage(x.text(s.key))
	m.Date, m.Direction, m.Priority = x.date(s.when.start), directions().of(x.text(s.direction)), priorities().of(x.text(s.priority))
	m.From = connectors.Party{Address: strings.TrimSpace(x.text("MessageFromEmailURI"))}
	if m.From.Address != "" {
		m.From.Name = x.text("MessageFromName")
	}
	for _, p := range s.people {
		var ps []connectors.Party
		for _, q := range x.people(p) {
			ps = append(ps, q.Party)
		}
		if p.field == connectors.FieldTo {
			m.To = ps
		} else {
			m.Cc = ps
		}
	}
}

// reader reads properties of an entity and keeps the first thing that was wrong.
type reader struct {
	e   entity
	err error
}

func (x *reader) keep(err error) {
	if x.err == nil {
		x.err = err
	}
}

func (x *reader) text(name string) string {
	s, err := x.e.text(name)
	x.keep(err)
	return s
}

func (x *reader) boolean(name string) bool {
	v, err := x.e.boolean(name)
	x.keep(err)
	return v
}

func (x *reader) date(name string) time.Time {
	t, err := x.e.date(name)
	x.keep(err)
	return t
}

// percent reads a number of percent; what is outside 0 to 100 is cut to it.
func (x *reader) percent(name string) int {
	b := strings.Trim(string(x.e[name]), `"`)
	if b == "" || b == "null" {
		return 0
	}
	v, err := strconv.ParseFloat(b, 64)
	if err != nil || v != v {
		x.keep(errShape)
		return 0
	}
	return int(min(max(v, 0), 100))
}

// day reads an instant as the day that it is in its own zone.
func (x *reader) day(name, zone string) string {
	t := x.date(name)
	if t.IsZero() {
		return ""
	}
	t = t.In(location(x.text(zone)))
	if y := t.Year(); y < 1 || y > 9999 {
		return ""
	}
	return t.Format(time.DateOnly)
}

// child is what an update needs to know of a record below another.
type child struct {
	id, rev string
}

// text is a note or a description.
type textChild struct {
	child
	text    string
	typ     string
	created time.Time
}

func (x *reader) texts(nav string) []textChild {
	es, err := x.e.children(nav)
	x.keep(err)
	out := make([]textChild, 0, len(es))
	for _, e := range es {
		y := reader{e: e}
		t := textChild{child{y.text(propID), e.rev()}, y.text("Text"), y.text("TypeCode"), y.date("CreatedOn")}
		x.keep(y.err)
		out = append(out, t)
	}
	return out
}

// noteOf picks the one text that is kept in step with the other side: the
// oldest of the general type. Others are left alone.
func noteOf(ts []textChild) textChild {
	ts = slices.DeleteFunc(slices.Clone(ts), func(t textChild) bool { return t.typ != "" && t.typ != codeBodyText })
	sort.SliceStable(ts, func(i, j int) bool {
		if !ts[i].created.Equal(ts[j].created) {
			return ts[i].created.Before(ts[j].created)
		}
		return ts[i].id < ts[j].id
	})
	if len(ts) == 0 {
		return textChild{}
	}
	return ts[0]
}

// partyChild is a person in an activity who has an e-mail address. Those without
// one exist in the CRM only and are never touched.
type partyChild struct {
	child
	connectors.Party
	role string
}

func (x *reader) people(p people) []partyChild {
	es, err := x.e.children(p.nav)
	x.keep(err)
	var out []partyChild
	for _, e := range es {
		y := reader{e: e}
		q := partyChild{child{y.text(propID), e.rev()}, connectors.Party{Address: strings.TrimSpace(y.text(p.address)), Name: y.text(p.name)}, ""}
		if q.Address == "" && p.other != "" {
			q.Address = strings.TrimSpace(y.text(p.other))
		}
		if !p.recipients {
			q.role = y.text("RoleCode")
		}
		x.keep(y.err)
		if q.Address != "" && (p.recipients || q.role == p.organizer || q.role == codeAttendee) {
			out = append(out, q)
		}
	}
	return out
}

// properties are what is sent: the properties of the record itself.
type properties map[string]any

// check refuses values that the system cannot hold, naming the field and never
// the value.
func (s shape) check(r *connectors.Record, fields []connectors.Field) error {
	invalid := func(f connectors.Field, detail string) error {
		return &connectors.Error{Kind: s.kind, ID: r.ID, Field: f, Class: connectors.ErrInvalid, Detail: detail}
	}
	c := s.capability()
	for _, f := range fields {
		if f == connectors.FieldRefs {
			for _, ref := range r.Refs {
				if ref.ID == "" || len(ref.ID) > connectors.MaxID || !slices.Contains(c.Refs[ref.Role], ref.Kind) {
					return invalid(f, "the system keeps no reference of that role and kind")
				}
			}
			if one := oneOfEach(r.Refs); !one {
				return invalid(f, "two references of one role")
			}
			if len(c.Refs) > 0 {
				continue
			}
		}
		l, ok := c.Fields[f]
		switch {
		case !ok:
			return invalid(f, "the system does not keep this field")
		case l.Required && r.Empty(f):
			return invalid(f, "empty where the system needs a value")
		case l.Runes > 0 && utf8.RuneCountInString(r.Text(f)) > l.Runes:
			return invalid(f, fmt.Sprintf("%d characters where %d fit", utf8.RuneCountInString(r.Text(f)), l.Runes))
		case f == connectors.FieldCountry && r.Text(f) != "" && connectors.CountryCode(r.Text(f)) == "":
			return invalid(f, "no country that has a code")
		case f == connectors.FieldBirthday && r.Text(f) != "":
			if t, err := time.Parse(time.DateOnly, r.Text(f)); err != nil || t.Year() < 1 {
				return invalid(f, "not a full date")
			}
		case f == connectors.FieldMessageID && strings.ContainsAny(r.Text(f), "<> *"):
			return invalid(f, "not the text of a message id")
		}
		if detail := s.misfit(r, f); detail != "" {
			return invalid(f, detail)
		}
	}
	return nil
}

func oneOfEach(refs []connectors.Ref) bool {
	seen := map[connectors.Role]bool{}
	for _, r := range refs {
		if seen[r.Role] {
			return false
		}
		seen[r.Role] = true
	}
	return true
}

// misfit says why an activity cannot hold what a record says in a field, "" if
// it can.
func (s shape) misfit(r *connectors.Record, f connectors.Field) string {
	bad := "address empty or too long"
	switch a, t, m := r.Appointment, r.Task, r.Mail; {
	case a != nil:
		switch f {
		case connectors.FieldTime:
			for _, t := range []time.Time{a.Start, a.End} {
				if _, err := inRange(t.UTC()); err != nil || t.IsZero() {
					return "time out of range"
				}
			}
			if a.End.Before(a.Start) {
				return "ends before it starts"
			}
			if a.AllDay && s.when.allDay == "" {
				return "the system keeps no whole days here"
			}
		case connectors.FieldStatus:
			if a.Status == connectors.Unconfirmed {
				return "the system has no unconfirmed meetings"
			}
		case connectors.FieldOrganizer:
			if a.Organizer != (connectors.Party{}) && !s.people[0].fits(a.Organizer) {
				return bad
			}
		case connectors.FieldAttendees:
			if slices.ContainsFunc(a.Attendees, func(p connectors.Party) bool { return !s.people[0].fits(p) }) {
				return bad
			}
		}
	case t != nil:
		switch f {
		case connectors.FieldStart, connectors.FieldDue:
			if d := r.Text(f); d != "" {
				if day, ok := connectors.ParseDate(d); !ok || day.Year() < 1 {
					return "not a day"
				}
			}
		case connectors.FieldStatus:
			if taskStates().code(t.Status) == "" {
				return "the system has no tasks that wait or are deferred"
			}
		case connectors.FieldPercent:
			if t.Percent < 0 || t.Percent > 100 {
				return "not between 0 and 100"
			}
		}
	case m != nil:
		switch f {
		case connectors.FieldDate:
			if _, err := inRange(m.Date.UTC()); err != nil {
				return "time out of range"
			}
		case connectors.FieldFrom:
			if m.From != (connectors.Party{}) && !s.people[0].fits(m.From) {
				return bad
			}
		case connectors.FieldTo, connectors.FieldCc:
			for _, p := range s.people {
				if p.field == f && slices.ContainsFunc(recipients(m, f), func(q connectors.Party) bool { return !p.fits(q) }) {
					return bad
				}
			}
		}
	}
	return ""
}

func recipients(m *connectors.Mail, f connectors.Field) []connectors.Party {
	if f == connectors.FieldTo {
		return m.To
	}
	return m.Cc
}

func (p people) fits(q connectors.Party) bool {
	n := utf8.RuneCountInString(q.Address)
	return n > 0 && n <= p.addressRunes && utf8.RuneCountInString(q.Name) <= p.nameRunes
}

// properties turns fields of a checked record into properties. Company, texts,
// people and references are no properties and are handled where the record is
// written.
func (s shape) properties(r *connectors.Record, fields []connectors.Field) properties {
	out := properties{}
	for _, f := range fields {
		for _, c := range s.columns {
			if c.field == f {
				out[c.name] = r.Text(f)
			}
		}
		switch f {
		case connectors.FieldLocation:
			if s.second != "" {
				out["Location"], out[s.second] = connectors.CutLocation(r.Text(f))
			}
		case connectors.FieldStreet:
			// The number is part of the text on the other side. It moves into
			// the street, so that the same text comes back.
			out[s.street], out[s.house] = r.Text(f), ""
		case connectors.FieldCountry:
			out[s.country] = connectors.CountryCode(r.Text(f))
		case connectors.FieldBirthday:
			out[s.birth] = nil
			if r.Contact.Birthday != "" {
				out[s.birth] = r.Contact.Birthday + "T00:00:00"
			}
		}
		switch {
		case r.Appointment != nil:
			s.fillAppointment(out, r.Appointment, f)
		case r.Task != nil:
			s.fillTask(out, r, f)
		case r.Mail != nil:
			s.fillMail(out, r.Mail, f)
		}
	}
	return out
}

func (s shape) fillAppointment(out properties, a *connectors.Appointment, f connectors.Field) {
	w := s.when
	switch f {
	case connectors.FieldTime:
		out[w.start], out[w.end] = instant(a.Start), instant(a.End)
		out[w.startZone], out[w.endZone] = zoneUTC, zoneUTC
		if w.allDay != "" {
			out[w.allDay] = a.AllDay
		}
	case connectors.FieldSensitivity:
		out["InformationSensitivityCode"] = sensitivities().code(a.Sensitivity)
	case connectors.FieldAvailability:
		out["AvailabilityCode"] = availabilities().code(a.Availability)
	case connectors.FieldDirection:
		out[s.direction] = directions().code(a.Direction)
	case connectors.FieldStatus:
		out[s.state] = codeOpen
		if a.Status == connectors.Cancelled {
			out[s.state] = codeCancelled
		}
	}
}

func (s shape) fillTask(out properties, r *connectors.Record, f connectors.Field) {
	t := r.Task
	day := func(property, zone string) {
		out[property] = nil
		if d, ok := connectors.ParseDate(r.Text(f)); ok {
			out[property], out[zone] = instant(d.Add(noon)), zoneUTC
		}
	}
	switch f {
	case connectors.FieldStart:
		day(s.when.start, s.when.startZone)
	case connectors.FieldDue:
		day(s.when.end, s.when.endZone)
	case connectors.FieldStatus:
		out[s.state] = taskStates().code(t.Status)
	case connectors.FieldPriority:
		out[s.priority] = priorities().code(t.Priority)
	case connectors.FieldPercent:
		out[s.percent] = strconv.Itoa(t.Percent) + ".00"
	}
}

func (s shape) fillMail(out properties, m *connectors.Mail, f connectors.Field) {
	switch f {
	case connectors.FieldDate:
		out[s.when.start], out[s.when.startZone] = instant(m.Date), zoneUTC
	case connectors.FieldDirection:
		out[s.direction] = directions().code(m.Direction)
	case connectors.FieldPriority:
		out[s.priority] = priorities().code(m.Priority)
	case connectors.FieldFrom:
		out["MessageFromEmailURI"], out["MessageFromName"] = strings.TrimSpace(m.From.Address), m.From.Name
	}
}
