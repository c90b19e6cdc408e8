package ewstest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// mime is an item in the format that others than Exchange know, as base64:
// appointments as iCalendar, everything else as a mail.
func (e *entry) mime() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ":" + value + "\r\n")
		}
	}
	if e.kind != "CalendarItem" {
		line("Message-ID", e.props["message:InternetMessageId"])
		line("Subject", e.props["item:Subject"])
		b.WriteString("\r\n" + strings.ReplaceAll(e.props["item:Body"], "\n", "\r\n"))
		return base64.StdEncoding.EncodeToString([]byte(b.String()))
	}
	escape := strings.NewReplacer("\\", "\\\\", ";", "\\;", ",", "\\,", "\n", "\\n")
	when := func(uri string) string {
		t, err := time.Parse(time.RFC3339, e.props[uri])
		if err != nil {
			return ""
		}
		if e.props["calendar:IsAllDayEvent"] == "true" {
			return ";VALUE=DATE:" + t.Format("20060102")
		}
		return ":" + t.Format("20060102T150405Z")
	}
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("METHOD", "PUBLISH")
	line("PRODID", "Microsoft Exchange Server 2010")
	b.WriteString("BEGIN:VTIMEZONE\r\nTZID:UTC\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\nTZOFFSETFROM:+0000\r\nTZOFFSETTO:+0000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n")
	line("BEGIN", "VEVENT")
	line("UID", e.props["calendar:UID"])
	line("SUMMARY", escape.Replace(e.props["item:Subject"]))
	line("DESCRIPTION", escape.Replace(e.props["item:Body"]))
	line("LOCATION", escape.Replace(e.props["calendar:Location"]))
	b.WriteString("DTSTART" + when("calendar:Start") + "\r\nDTEND" + when("calendar:End") + "\r\n")
	line("CLASS", map[string]string{"Private": "PRIVATE", "Confidential": "CONFIDENTIAL", "Personal": "PRIVATE"}[e.props["item:Sensitivity"]])
	line("TRANSP", map[bool]string{true: "TRANSPARENT", false: "OPAQUE"}[e.props["calendar:LegacyFreeBusyStatus"] == "Free"])
	line("DTSTAMP", e.modified.Format("20060102T150405Z"))
	line("X-MICROSOFT-CDO-BUSYSTATUS", strings.ToUpper(e.props["calendar:LegacyFreeBusyStatus"]))
	if e.props["item:ReminderIsSet"] == "true" {
		b.WriteString(fmt.Sprintf("BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:REMINDER\r\nTRIGGER:-PT%sM\r\nEND:VALARM\r\n", e.props["item:ReminderMinutesBeforeStart"]))
	}
	line("END", "VEVENT")
	line("END", "VCALENDAR")
	return base64.StdEncoding.EncodeToString([]byte(b.String()))
}

// fromMIME reads what an item says in the format that others than Exchange know:
// of an appointment its first event.
func fromMIME(props map[string]string) {
	b, err := base64.StdEncoding.DecodeString(props["item:MimeContent"])
	delete(props, "item:MimeContent")
	if err != nil || len(b) == 0 {
		return
	}
	text := strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "").Replace(string(b))
	plain := strings.NewReplacer("\\\\", "\\", "\\n", "\n", "\\N", "\n", "\\,", ",", "\\;", ";")
	var in []string
	reminds := false
	for l := range strings.Lines(text) {
		left, value, _ := strings.Cut(strings.TrimRight(l, "\r\n"), ":")
		name, params, _ := strings.Cut(left, ";")
		switch name = strings.ToUpper(name); {
		case name == "BEGIN":
			in = append(in, strings.ToUpper(value))
			continue
		case name == "END" && len(in) > 0:
			in = in[:len(in)-1]
			continue
		case len(in) == 0:
			continue
		}
		switch in[len(in)-1] + " " + name {
		case "VEVENT UID":
			props["calendar:UID"] = value
		case "VEVENT SUMMARY":
			props["item:Subject"] = plain.Replace(value)
		case "VEVENT DESCRIPTION":
			props["item:Body"] = plain.Replace(value)
		case "VEVENT LOCATION":
			props["calendar:Location"] = plain.Replace(value)
		case "VEVENT CLASS":
			props["item:Sensitivity"] = map[string]string{"PRIVATE": "Private", "CONFIDENTIAL": "Confidential"}[value]
		case "VEVENT DTSTART", "VEVENT DTEND":
			uri := map[string]string{"DTSTART": "calendar:Start", "DTEND": "calendar:End"}[name]
			for _, form := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
				if t, err := time.Parse(form, value); err == nil {
					props[uri] = t.UTC().Format(time.RFC3339)
				}
			}
			props["calendar:IsAllDayEvent"] = fmt.Sprint(strings.Contains(params, "VALUE=DATE") && !strings.Contains(params, "DATE-TIME"))
		case "VEVENT X-MICROSOFT-CDO-ALLDAYEVENT":
			if value == "TRUE" {
				props["calendar:IsAllDayEvent"] = "true"
			}
		case "VALARM TRIGGER":
			if m, ok := strings.CutPrefix(value, "-PT"); ok {
				reminds = true
				props["item:ReminderMinutesBeforeStart"] = strings.TrimSuffix(m, "M")
			}
		}
	}
	props["item:ReminderIsSet"] = fmt.Sprint(reminds)
	if props["item:Sensitivity"] == "" {
		props["item:Sensitivity"] = "Normal"
	}
}
