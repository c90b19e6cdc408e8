package ewstest

import (
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// schema lists, in order, the elements that an item may have in a request, and the
// property that each is ("types.xsd").
type element struct{ name, uri string }

func common() []element {
	return []element{{"ItemClass", "item:ItemClass"}, {"Subject", "item:Subject"}, {"Sensitivity", "item:Sensitivity"}, {"Body", "item:Body"},
		{"Categories", "item:Categories"}, {"ExtendedProperty", ""}}
}

func schema(item string) []element {
	if item == "Contact" {
		return append(common(), element{"FileAs", "contacts:FileAs"}, element{"FileAsMapping", "contacts:FileAsMapping"}, element{"DisplayName", "contacts:DisplayName"},
			element{"GivenName", "contacts:GivenName"}, element{"Initials", "contacts:Initials"}, element{"MiddleName", "contacts:MiddleName"}, element{"Nickname", "contacts:Nickname"},
			element{"CompanyName", "contacts:CompanyName"}, element{"EmailAddresses", ""}, element{"PhysicalAddresses", ""}, element{"PhoneNumbers", ""},
			element{"Birthday", "contacts:Birthday"}, element{"BusinessHomePage", "contacts:BusinessHomePage"}, element{"Department", "contacts:Department"},
			element{"Generation", "contacts:Generation"}, element{"JobTitle", "contacts:JobTitle"}, element{"SpouseName", "contacts:SpouseName"}, element{"Surname", "contacts:Surname"})
	}
	return append(common(), element{"Start", "calendar:Start"}, element{"End", "calendar:End"}, element{"IsAllDayEvent", "calendar:IsAllDayEvent"},
		element{"LegacyFreeBusyStatus", "calendar:LegacyFreeBusyStatus"}, element{"Location", "calendar:Location"}, element{"RequiredAttendees", "calendar:RequiredAttendees"},
		element{"StartTimeZone", "calendar:StartTimeZone"}, element{"EndTimeZone", "calendar:EndTimeZone"})
}

// known reports whether a property can be asked for.
func known(item, uri string) bool {
	for _, e := range schema(item) {
		if e.uri == uri && uri != "" {
			return true
		}
	}
	readable := []string{"item:LastModifiedTime", "item:DateTimeCreated", "item:ItemId", "calendar:UID", "calendar:IsCancelled", "calendar:CalendarItemType", "calendar:Organizer",
		"calendar:OptionalAttendees", "calendar:Recurrence", "calendar:IsMeeting"}
	if slices.Contains(readable, uri) {
		return true
	}
	for _, p := range []string{"tag:0x", "ext:", "contacts:EmailAddress[EmailAddress", "contacts:PhoneNumber[", "contacts:PhysicalAddress:"} {
		if strings.HasPrefix(uri, p) {
			return true
		}
	}
	return false
}

// take reads an item of a request into properties. Elements that are not known,
// or not where the schema wants them, are an error.
func take(n *node, into map[string]string) *problem {
	last := -1
	for i := range n.Nodes {
		c := &n.Nodes[i]
		at := slices.IndexFunc(schema(n.name()), func(e element) bool { return e.name == c.name() })
		if at < 0 || at < last || at == last && c.name() != "ExtendedProperty" {
			return schemaProblem()
		}
		last = at
		switch c.name() {
		case "ExtendedProperty":
			if len(c.Nodes) != 2 || c.Nodes[0].uri() == "" || c.Nodes[1].name() != "Value" {
				return schemaProblem()
			}
			into[c.Nodes[0].uri()] = c.Nodes[1].Text
		case "EmailAddresses", "PhoneNumbers":
			base := map[string]string{"EmailAddresses": "contacts:EmailAddress", "PhoneNumbers": "contacts:PhoneNumber"}[c.name()]
			for j := range c.Nodes {
				into[base+"["+c.Nodes[j].attr("Key")+"]"] = c.Nodes[j].Text
			}
		case "PhysicalAddresses":
			for j := range c.Nodes {
				for k := range c.Nodes[j].Nodes {
					into["contacts:PhysicalAddress:"+c.Nodes[j].Nodes[k].name()+"["+c.Nodes[j].attr("Key")+"]"] = c.Nodes[j].Nodes[k].Text
				}
			}
		case "StartTimeZone", "EndTimeZone":
			if zone.Location(c.attr("Id")) == nil || strings.Contains(c.attr("Id"), "/") { // Windows names only
				return &problem{code: "ErrorInvalidTimeZone"}
			}
			into["calendar:"+c.name()] = c.attr("Id")
		case "RequiredAttendees":
			var list []string
			for j := range c.Nodes {
				list = append(list, c.Nodes[j].text("Mailbox", "EmailAddress"))
			}
			into["calendar:RequiredAttendees"] = strings.Join(list, "\n")
		case "Body":
			if c.attr("BodyType") != "Text" {
				return schemaProblem()
			}
			into["item:Body"] = c.Text
		case "Start", "End": // said in UTC, however it was written
			t, err := time.Parse(time.RFC3339, c.Text)
			if err != nil {
				return schemaProblem()
			}
			into["calendar:"+c.name()] = t.UTC().Format(time.RFC3339)
		default:
			into[schema(n.name())[at].uri] = c.Text
		}
	}
	return nil
}

// check tells whether an item is one that Exchange would keep.
func check(item string, p map[string]string) *problem {
	if item != "CalendarItem" {
		if b := p["contacts:Birthday"]; b != "" {
			if _, err := time.Parse(time.RFC3339, b); err != nil {
				return schemaProblem()
			}
		}
		return nil
	}
	from, err1 := time.Parse(time.RFC3339, p["calendar:Start"])
	to, err2 := time.Parse(time.RFC3339, p["calendar:End"])
	switch {
	case err1 != nil || err2 != nil:
		return schemaProblem()
	case to.Before(from):
		return &problem{code: "ErrorCalendarEndDateIsEarlierThanStartDate"}
	case !slices.Contains([]string{"", "Free", "Tentative", "Busy", "OOF", "NoData"}, p["calendar:LegacyFreeBusyStatus"]),
		!slices.Contains([]string{"", "Normal", "Personal", "Private", "Confidential"}, p["item:Sensitivity"]),
		!slices.Contains([]string{"", "true", "false"}, p["calendar:IsAllDayEvent"]):
		return schemaProblem()
	case len([]rune(p["item:Subject"])) > 255:
		return &problem{code: "ErrorPropertyUpdate"}
	}
	return nil
}
