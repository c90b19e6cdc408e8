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
