package ewstest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// asked is what a request wants to see of items.
type asked struct {
	all  bool
	uris map[string]string // to the elements that named them
	text bool              // bodies as text, whatever they are
	mime bool
}

// shape reads which properties are asked for.
func (s *Server) shape(n *node) (asked, *problem) {
	a := asked{uris: map[string]string{}}
	if n == nil || !slices.Contains([]string{"IdOnly", "Default", "AllProperties"}, n.text("BaseShape")) {
		return a, schemaProblem()
	}
	a.all, a.text, a.mime = n.text("BaseShape") != "IdOnly", n.text("BodyType") == "Text", n.text("IncludeMimeContent") == "true"
	if add := n.at("AdditionalProperties"); add != nil {
		for i := range add.Nodes {
			u := add.Nodes[i].uri()
			if u == "" || !known(u) {
				s.unknown = append(s.unknown, "property "+u)
				return a, &problem{code: "ErrorInvalidPropertyRequest"}
			}
			a.uris[u] = add.Nodes[i].write()
		}
	}
	return a, nil
}

func (a asked) has(uri string) bool {
	_, ok := a.uris[uri]
	return ok || a.all && uri != ""
}

// value is what an item has in a property.
func (e *entry) value(uri string) (string, bool) {
	v, ok := e.props[uri]
	if ok {
		return v, true
	}
	switch uri {
	case "item:LastModifiedTime":
		return e.modified.Format(time.RFC3339), true
	case "item:DateTimeCreated":
		return e.created.Format(time.RFC3339), true
	case "item:ParentFolderId":
		return e.in.id, true
	case "item:DisplayTo":
		return strings.ReplaceAll(e.props["calendar:RequiredAttendees"]+e.props["message:ToRecipients"], "\n", "; "), true
	case "item:DisplayCc":
		return strings.ReplaceAll(e.props["calendar:OptionalAttendees"]+e.props["message:CcRecipients"], "\n", "; "), true
	case "item:HasAttachments":
		return fmt.Sprint(len(e.files) > 0), true
	case "item:Size":
		return fmt.Sprint(1000 + len(e.props["item:Body"])), true
	case "item:Importance", "item:Sensitivity":
		return "Normal", true
	case "item:ItemClass":
		return map[string]string{"Contact": "IPM.Contact", "CalendarItem": "IPM.Appointment", "Task": "IPM.Task", "Message": "IPM.Note", "MeetingRequest": "IPM.Schedule.Meeting.Request"}[e.kind], true
	case "calendar:IsMeeting":
		return fmt.Sprint(e.props["calendar:RequiredAttendees"] != ""), e.kind == "CalendarItem"
	case "calendar:IsRecurring":
		return fmt.Sprint(e.props["calendar:Recurrence"] != ""), e.kind == "CalendarItem"
	case "calendar:CalendarItemType":
		if e.props["calendar:Recurrence"] != "" {
			return "RecurringMaster", true
		}
		return "Single", e.kind == "CalendarItem"
	case "calendar:MyResponseType":
		return "Organizer", e.kind == "CalendarItem"
	case "ext:publicstrings:urn:schemas:calendar:instancetype":
		return map[bool]string{true: "1", false: "0"}[e.props["calendar:Recurrence"] != ""], e.kind == "CalendarItem"
	case "tag:0xe23": // PidTagInternetArticleNumber
		return strconv.Itoa(e.born), true
	case "task:IsComplete":
		return fmt.Sprint(e.props["task:Status"] == "Completed"), e.kind == "Task"
	}
	of, codec := alias(e.kind, uri)
	if of == "" {
		return "", false
	}
	v, ok = e.value(of)
	if n := slices.Index(codec, v); n >= 0 {
		v = strconv.Itoa(n)
	}
	return v, ok
}

// show writes an item with the properties that were asked for.
func (e *entry) show(want asked) string {
	var b strings.Builder
	b.WriteString("<t:" + e.kind + ">")
	if want.mime || want.has("item:MimeContent") && !want.all {
		b.WriteString(`<t:MimeContent CharacterSet="UTF-8">` + e.mime() + "</t:MimeContent>")
	}
	b.WriteString(`<t:ItemId Id="` + esc(e.id) + `" ChangeKey="` + esc(e.changeKey()) + `"/>`)
	for _, el := range schema(e.kind) {
		if el.name != "MimeContent" {
			e.element(&b, el, want)
		}
	}
	b.WriteString("</t:" + e.kind + ">")
	return b.String()
}

func mailboxElement(address string) string {
	address, name, ok := strings.Cut(address, "\t")
	if !ok {
		name = address
	}
	return "<t:Mailbox><t:Name>" + esc(name) + "</t:Name><t:EmailAddress>" + esc(address) + "</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType></t:Mailbox>"
}

func (e *entry) element(b *strings.Builder, el element, want asked) {
	switch el.form {
	case extended:
		for _, u := range slices.Sorted(maps.Keys(want.uris)) {
			v, ok := e.value(u)
			if !ok || !strings.HasPrefix(u, "tag:") && !strings.HasPrefix(u, "ext:") {
				continue
			}
			v = "<t:Value>" + esc(v) + "</t:Value>"
			if strings.Contains(want.uris[u], `Array"`) {
				v = strings.ReplaceAll("<t:Values>"+v+"</t:Values>", "\n", "</t:Value><t:Value>")
			}
			b.WriteString("<t:ExtendedProperty>" + want.uris[u] + v + "</t:ExtendedProperty>")
		}
		return
	case entries:
		e.entries(b, el.name, want)
		return
	case places:
		e.places(b, want)
		return
	case headers:
		open := false
		for _, u := range slices.Sorted(maps.Keys(e.props)) {
			if name, ok := strings.CutPrefix(u, "item:InternetMessageHeader["); ok && (want.has(u) || want.has(el.uri)) {
				if !open {
					b.WriteString("<t:InternetMessageHeaders>")
					open = true
				}
				b.WriteString(`<t:InternetMessageHeader HeaderName="` + esc(strings.TrimSuffix(name, "]")) + `">` + esc(e.props[u]) + "</t:InternetMessageHeader>")
			}
		}
		if open {
			b.WriteString("</t:InternetMessageHeaders>")
		}
		return
	case files:
		if want.has(el.uri) && len(e.files) > 0 {
			b.WriteString("<t:Attachments>")
			for _, f := range e.files {
				b.WriteString(f.show(false))
			}
			b.WriteString("</t:Attachments>")
		}
		return
	}
	v, ok := e.value(el.uri)
	if !want.has(el.uri) || !ok && el.form != body {
		return
	}
	switch el.form {
	case body:
		kind := "Text"
		if e.props["html"] == "true" && want.text {
			v = connectors.HTMLToText(v)
		} else if e.props["html"] == "true" {
			kind = "HTML"
		}
		b.WriteString(`<t:Body BodyType="` + kind + `">` + esc(strings.ReplaceAll(v, "\n", "\r\n")) + "</t:Body>")
	case zoned:
		b.WriteString("<t:" + el.name + ` Id="` + esc(v) + `" Name="(UTC) ` + esc(v) + `"/>`)
	case folderRef:
		b.WriteString("<t:" + el.name + ` Id="` + esc(v) + `" ChangeKey="AQ=="/>`)
	case raw:
		b.WriteString("<t:" + el.name + ">" + v + "</t:" + el.name + ">")
	case list, people, person, attendees:
		if v == "" {
			return
		}
		b.WriteString("<t:" + el.name + ">")
		for one := range strings.SplitSeq(v, "\n") {
			switch el.form {
			case list:
				b.WriteString("<t:String>" + esc(one) + "</t:String>")
			case attendees:
				b.WriteString("<t:Attendee>" + mailboxElement(one) + "</t:Attendee>")
			default:
				b.WriteString(mailboxElement(one))
			}
		}
		b.WriteString("</t:" + el.name + ">")
	default:
		b.WriteString("<t:" + el.name + ">" + esc(v) + "</t:" + el.name + ">")
	}
}

func (e *entry) entries(b *strings.Builder, group string, want asked) {
	open := false
	for _, u := range slices.Sorted(maps.Keys(e.props)) {
		if key, ok := strings.CutPrefix(u, base(group)+"["); ok && want.has(u) {
			if !open {
				b.WriteString("<t:" + group + ">")
				open = true
			}
			b.WriteString(`<t:Entry Key="` + strings.TrimSuffix(key, "]") + `">` + esc(e.props[u]) + "</t:Entry>")
		}
	}
	if open {
		b.WriteString("</t:" + group + ">")
	}
}

func (e *entry) places(b *strings.Builder, want asked) {
	all := false
	for _, key := range []string{"Business", "Home", "Other"} {
		open := false
		for _, name := range []string{"Street", "City", "State", "CountryOrRegion", "PostalCode"} {
			u := "contacts:PhysicalAddress:" + name + "[" + key + "]"
			if v, ok := e.props[u]; ok && want.has(u) {
				if !all {
					b.WriteString(`<t:PhysicalAddresses>`)
					all = true
				}
				if !open {
					b.WriteString(`<t:Entry Key="` + key + `">`)
					open = true
				}
				b.WriteString("<t:" + name + ">" + esc(v) + "</t:" + name + ">")
			}
		}
		if open {
			b.WriteString("</t:Entry>")
		}
	}
	if all {
		b.WriteString("</t:PhysicalAddresses>")
	}
}
