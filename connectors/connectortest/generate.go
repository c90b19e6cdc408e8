package connectortest

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Records draws records of a kind as people and attackers write them, in the
// form in which this module carries them, within what a capability says: fields
// it does not list and fields that are read-only stay empty, texts fit.
func Records(k connectors.Kind, c connectors.Capability) *rapid.Generator[*connectors.Record] {
	return rapid.Custom(func(t *rapid.T) *connectors.Record {
		r := connectors.NewRecord(k)
		// A generator has to draw something, also where no field can be set.
		rapid.Bool().Draw(t, "nothing")
		for _, f := range connectors.Fields(k) {
			l, ok := c.Fields[f]
			if ok && !l.ReadOnly && f != connectors.FieldRecurrence {
				draw(t, r, f, l)
			}
		}
		// Last, for exceptions have from their series what it says.
		if l, ok := c.Fields[connectors.FieldRecurrence]; ok && !l.ReadOnly && rapid.Bool().Draw(t, "series") {
			r.Appointment.Recurrence = series(t, r.Appointment, c)
		}
		return r
	})
}

// draw sets one field.
func draw(t *rapid.T, r *connectors.Record, f connectors.Field, l connectors.Limit) {
	pick := func(vs ...string) {
		v := rapid.SampledFrom(vs).Draw(t, string(f))
		if l.Runes == 0 || len([]rune(v)) <= l.Runes {
			r.SetText(f, v)
		}
	}
	a := r.Appointment
	switch {
	case r.Task != nil && (f == connectors.FieldStatus || f == connectors.FieldReminder):
		drawTask(t, r.Task, f)
		return
	case r.Task != nil && f == connectors.FieldPercent:
		r.Task.Percent = rapid.IntRange(0, 100).Draw(t, "percent")
		return
	case f == connectors.FieldSensitivity || f == connectors.FieldPriority || f == connectors.FieldDirection:
		drawMark(t, r, f)
		return
	case r.Mail != nil && drawMail(t, r.Mail, f, l):
		return
	}
	switch f {
	case connectors.FieldMessageID:
		pick("", "m1@mail.example", "M=2/x@mail.example")
	case connectors.FieldAutoSubmitted:
		pick("", "auto-replied", "no")
	case connectors.FieldListID:
		pick("", "<dev.lists.example>")
	case connectors.FieldContentType:
		pick("", "text/plain", "multipart/report; report-type=delivery-status")
	case connectors.FieldStart, connectors.FieldDue:
		pick("", "2026-02-28", "2028-02-29", "1999-12-31", "2099-01-01")
	case connectors.FieldCategories:
		cs := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"SAP Contacts", "Visit", "Wichtig & eilig", "日本", "a;b", "Private"}), 0, 3, rapid.ID).Draw(t, "categories")
		r.SetCategories(cs)
	case connectors.FieldReminder:
		if a.Reminder.Set = rapid.Bool().Draw(t, "reminds"); a.Reminder.Set {
			a.Reminder.Minutes = rapid.SampledFrom([]int{0, 5, 15, 60, 1440, 40320}).Draw(t, "minutes")
		}
	case connectors.FieldCountry:
		pick("", "DE", "JP", "US", "GB")
	case connectors.FieldBirthday:
		pick("", "1969-07-20", "1604-02-29", "2026-01-01", "1899-12-31")
	case connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3:
		pick("", "a@example.com", "o'brien+tag_x%y@mail.example.co.uk", "Ünï@bücher.example", "{a}|b@example.com")
	case connectors.FieldPhone, connectors.FieldMobile, connectors.FieldHomePhone, connectors.FieldFax:
		pick("", "+49 6221 123-4", "(030) 123/45", "+1.555.0100 ext 5", "112", "*21#")
	case connectors.FieldWebsite:
		pick("", "https://example.com/a?b=c&d='e';f,g#h", "www.example.com", "http://bücher.example/ü%20x")
	case connectors.FieldZone:
		pick("", "Europe/Berlin", "America/New_York", "UTC")
	case connectors.FieldUID:
		pick("", "uid-1@example.com", "040000008200E00074C5B7101A82E008")
	case connectors.FieldTime:
		start := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "start"), 0).UTC()
		a.AllDay = rapid.Bool().Draw(t, "all day")
		n := rapid.Int64Range(1, 400).Draw(t, "length")
		a.Start, a.End = start, start.Add(time.Duration(n)*time.Minute)
		if a.AllDay {
			a.Start = start.Truncate(24 * time.Hour)
			a.End = a.Start.AddDate(0, 0, int(n%5)+1)
		}
	case connectors.FieldAvailability:
		a.Availability = rapid.SampledFrom([]connectors.Availability{connectors.Busy, connectors.Free, connectors.Tentative, connectors.OutOfOffice}).Draw(t, "availability")
	case connectors.FieldStatus:
		a.Status = rapid.SampledFrom([]connectors.Status{connectors.Confirmed, connectors.Unconfirmed, connectors.Cancelled}).Draw(t, "status")
	case connectors.FieldOrganizer:
		if rapid.Bool().Draw(t, "organized") {
			a.Organizer = party(t, 0)
		}
	case connectors.FieldAttendees:
		// Organizer comes before attendees in the order of fields; without
		// one there is nobody to invite.
		for i := range rapid.IntRange(0, 4).Draw(t, "attendees") {
			if a.Organizer.Address != "" {
				a.Attendees = append(a.Attendees, party(t, i+1))
			}
		}
	default:
		r.SetText(f, text(t, f, l))
	}
}

// series draws a rule and, where the system keeps them, exceptions from it. Time
// and zone are drawn before.
func series(t *rapid.T, a *connectors.Appointment, c connectors.Capability) *connectors.Recurrence {
	r := &connectors.Recurrence{Rules: []string{rapid.SampledFrom([]string{"FREQ=WEEKLY;COUNT=5", "FREQ=DAILY;INTERVAL=2;COUNT=8"}).Draw(t, "rule")}}
	if a.Start.IsZero() || !c.Exceptions {
		return r
	}
	bare := *a
	bare.Recurrence = r
	all, err := bare.Occurrences(time.Time{}, time.Time{})
	if err != nil {
		t.Fatalf("connectortest: series: %v", err)
	}
	for _, o := range all[1:] {
		switch rapid.IntRange(0, 3).Draw(t, "exception") {
		case 0:
			o.Cancelled, o.Appointment = true, nil
		case 1:
			x := o.Appointment
			if l, ok := c.Fields[connectors.FieldSubject]; ok && !l.ReadOnly {
				x.Subject = text(t, connectors.FieldSubject, connectors.Limit{Runes: short(l.Runes)})
			}
			if l, ok := c.Fields[connectors.FieldTime]; ok && !l.ReadOnly && rapid.Bool().Draw(t, "moved") {
				x.Start = x.Start.AddDate(0, 0, 1)
				x.End = x.Start.AddDate(0, 0, 1)
			}
		default:
			continue
		}
		r.Exceptions = append(r.Exceptions, o)
	}
	return r
}

// short is how long the subject of an exception may be.
func short(runes int) int {
	if runes == 0 {
		return 40
	}
	return min(runes, 40)
}

func drawTask(t *rapid.T, x *connectors.Task, f connectors.Field) {
	if f == connectors.FieldStatus {
		x.Status = connectors.TaskStatus(rapid.IntRange(0, int(connectors.Dropped)).Draw(t, "status"))
		return
	}
	if rapid.Bool().Draw(t, "reminds") {
		x.Remind = time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "remind"), 0).UTC()
	}
}

// drawMark sets what several shapes have.
func drawMark(t *rapid.T, r *connectors.Record, f connectors.Field) {
	v := rapid.IntRange(0, 2).Draw(t, string(f))
	src := connectors.NewRecord(r.Kind)
	switch {
	case src.Contact != nil:
		src.Contact.Sensitivity = connectors.Sensitivity(v)
	case src.Appointment != nil:
		src.Appointment.Sensitivity, src.Appointment.Direction = connectors.Sensitivity(v), connectors.Direction(v)
	case src.Task != nil:
		src.Task.Sensitivity, src.Task.Priority = connectors.Sensitivity(v), connectors.Priority(v)
	case src.Mail != nil:
		src.Mail.Sensitivity, src.Mail.Priority, src.Mail.Direction = connectors.Sensitivity(v), connectors.Priority(v), connectors.Direction(v)
	}
	connectors.CopyField(r, src, f)
}

// drawMail sets a field of a mail that is no text of any sort; it reports
// whether it did.
func drawMail(t *rapid.T, m *connectors.Mail, f connectors.Field, l connectors.Limit) bool {
	ids := func() []string {
		return rapid.SliceOfN(rapid.SampledFrom([]string{"a1@mail.example", "B.2+x@mail.example", "CAK_=9@x"}), 0, 3).Draw(t, string(f))
	}
	people := func() []connectors.Party {
		var out []connectors.Party
		for i := range rapid.IntRange(0, 3).Draw(t, string(f)) {
			out = append(out, party(t, i))
		}
		return out
	}
	switch f {
	case connectors.FieldInReplyTo:
		m.InReplyTo = ids()
	case connectors.FieldReferences:
		m.References = ids()
	case connectors.FieldFrom:
		if l.Required || rapid.Bool().Draw(t, "sent") {
			m.From = party(t, 0)
		}
	case connectors.FieldTo:
		m.To = people()
	case connectors.FieldCc:
		m.Cc = people()
	case connectors.FieldDate:
		m.Date = time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "date"), 0).UTC()
	default:
		return false
	}
	return true
}

func party(t *rapid.T, i int) connectors.Party {
	name := text(t, connectors.FieldName, connectors.Limit{Runes: 40})
	return connectors.Party{Address: fmt.Sprintf("p%d@example.com", i), Name: name}
}

// pieces are what breaks mappers: quoting and line ends of every format around,
// white space, writing directions, what is several code points long.
func pieces() []string {
	return []string{" ", "  ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u2003", "\u2028", "\u0085",
		`"`, `'`, `''`, "`", `\`, `\\`, `\n`, `\N`, `\,`, `\;`, ";", ",", ":", "=", "|", "^", "^n", "^'", "*", "/", "../", "?", "#", "+", "%", "%20", "%00", "%0d%0a",
		"&", "&amp;", "&#10;", "&lt;", "<", ">", "<b>", "</x>", "]]>", "<!--", "<![CDATA[", "{", "}", "[", "]", `{"d":null}`, `\u0041`, "/Date(0)/", "${x}", "{{x}}", "%s%d",
		"' or 'a' eq 'a", "--", "null", "BEGIN:VCARD", "END:VEVENT", "\r\nEND:VCARD\r\n", "\r\n --batch", "=?utf-8?q?x?=", "=C3=A4", "data:,x",
		"é", "e\u0301", "ß", "ſ", "İ", "ı", "Ω", "א", "שלום", "\u202e", "\u200f", "مرحبا", "日本語", "한국어", "👩\u200d🚀", "🇩🇪", "𝔘", "\U0010FFFD",
		"\x00", "\x07", "\x1f", "\x7f", "\u009f", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\xff", "\xc3",
		"O'Brien", "Müller & Söhne", "Straße 5", "a", "Z", "0"}
}

// text draws a text that fits.
func text(t *rapid.T, f connectors.Field, l connectors.Limit) string {
	parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(pieces()), rapid.StringN(0, 8, -1)), 0, 8).Draw(t, string(f))
	s := connectors.NormalizeText(f, strings.Join(parts, ""))
	most := l.Runes
	if most == 0 {
		most = 4000
	}
	if r := []rune(s); len(r) > most {
		s = connectors.NormalizeText(f, string(r[:most]))
	}
	if s == "" && l.Required {
		s = "x"
	}
	return s
}
