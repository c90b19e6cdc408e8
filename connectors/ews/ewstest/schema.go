package ewstest

import (
	"strings"
)

// form is how an element holds its value.
type form uint8

const (
	text form = iota
	flag
	number
	date
	day // what is a date to people
	body
	list
	extended
	entries
	places
	zoned
	people
	person
	attendees
	raw // elements of its own, kept as they are
	files
	headers
	folderRef
)

// element is one that an item may have, and the property that it is. What is ro is
// in answers only.
type element struct {
	name, uri string
	form      form
	ro        bool
	only      string // values, with | between
}

// schema lists, in order, the elements of an item ("types.xsd"). Here are those
// that anybody was seen to use.
func schema(item string) []element {
	all := []element{
		{name: "MimeContent", uri: "item:MimeContent", form: raw},
		{name: "ParentFolderId", uri: "item:ParentFolderId", form: folderRef, ro: true},
		{name: "ItemClass", uri: "item:ItemClass"}, {name: "Subject", uri: "item:Subject"},
		{name: "Sensitivity", uri: "item:Sensitivity", only: "Normal|Personal|Private|Confidential"},
		{name: "Body", uri: "item:Body", form: body},
		{name: "Attachments", uri: "item:Attachments", form: files, ro: true},
		{name: "DateTimeReceived", uri: "item:DateTimeReceived", form: date, ro: true},
		{name: "Size", uri: "item:Size", ro: true},
		{name: "Categories", uri: "item:Categories", form: list},
		{name: "Importance", uri: "item:Importance", only: "Low|Normal|High"},
		{name: "InReplyTo", uri: "item:InReplyTo"},
		{name: "InternetMessageHeaders", uri: "item:InternetMessageHeaders", form: headers, ro: true},
		{name: "DateTimeSent", uri: "item:DateTimeSent", form: date, ro: true},
		{name: "DateTimeCreated", uri: "item:DateTimeCreated", form: date, ro: true},
		{name: "ReminderDueBy", uri: "item:ReminderDueBy", form: date},
		{name: "ReminderIsSet", uri: "item:ReminderIsSet", form: flag},
		{name: "ReminderMinutesBeforeStart", uri: "item:ReminderMinutesBeforeStart", form: number},
		{name: "DisplayCc", uri: "item:DisplayCc", ro: true}, {name: "DisplayTo", uri: "item:DisplayTo", ro: true},
		{name: "HasAttachments", uri: "item:HasAttachments", form: flag, ro: true},
		{name: "ExtendedProperty", form: extended},
		{name: "LastModifiedTime", uri: "item:LastModifiedTime", form: date, ro: true},
	}
	switch item {
	case "Contact":
		return append(all, []element{{name: "FileAs", uri: "contacts:FileAs"}, {name: "FileAsMapping", uri: "contacts:FileAsMapping"}, {name: "DisplayName", uri: "contacts:DisplayName"},
			{name: "GivenName", uri: "contacts:GivenName"}, {name: "Initials", uri: "contacts:Initials"}, {name: "MiddleName", uri: "contacts:MiddleName"}, {name: "Nickname", uri: "contacts:Nickname"},
			{name: "CompanyName", uri: "contacts:CompanyName"}, {name: "EmailAddresses", form: entries}, {name: "PhysicalAddresses", form: places}, {name: "PhoneNumbers", form: entries},
			{name: "AssistantName", uri: "contacts:AssistantName"}, {name: "Birthday", uri: "contacts:Birthday", form: date}, {name: "BusinessHomePage", uri: "contacts:BusinessHomePage"},
			{name: "Department", uri: "contacts:Department"}, {name: "Generation", uri: "contacts:Generation"}, {name: "ImAddresses", form: entries}, {name: "JobTitle", uri: "contacts:JobTitle"},
			{name: "Manager", uri: "contacts:Manager"}, {name: "OfficeLocation", uri: "contacts:OfficeLocation"}, {name: "Profession", uri: "contacts:Profession"},
			{name: "SpouseName", uri: "contacts:SpouseName"}, {name: "Surname", uri: "contacts:Surname"}}...)
	case "CalendarItem":
		return append(all, []element{{name: "UID", uri: "calendar:UID"}, {name: "Start", uri: "calendar:Start", form: date}, {name: "End", uri: "calendar:End", form: date},
			{name: "IsAllDayEvent", uri: "calendar:IsAllDayEvent", form: flag}, {name: "LegacyFreeBusyStatus", uri: "calendar:LegacyFreeBusyStatus", only: "Free|Tentative|Busy|OOF|NoData"},
			{name: "Location", uri: "calendar:Location"}, {name: "IsMeeting", uri: "calendar:IsMeeting", form: flag, ro: true}, {name: "IsCancelled", uri: "calendar:IsCancelled", form: flag, ro: true},
			{name: "IsRecurring", uri: "calendar:IsRecurring", form: flag, ro: true}, {name: "MeetingRequestWasSent", uri: "calendar:MeetingRequestWasSent", form: flag, ro: true},
			{name: "IsResponseRequested", uri: "calendar:IsResponseRequested", form: flag, ro: true}, {name: "CalendarItemType", uri: "calendar:CalendarItemType", ro: true},
			{name: "MyResponseType", uri: "calendar:MyResponseType", ro: true}, {name: "Organizer", uri: "calendar:Organizer", form: person, ro: true},
			{name: "RequiredAttendees", uri: "calendar:RequiredAttendees", form: attendees}, {name: "OptionalAttendees", uri: "calendar:OptionalAttendees", form: attendees},
			{name: "Recurrence", uri: "calendar:Recurrence", form: raw}, {name: "ModifiedOccurrences", uri: "calendar:ModifiedOccurrences", form: raw, ro: true},
			{name: "DeletedOccurrences", uri: "calendar:DeletedOccurrences", form: raw, ro: true},
			{name: "StartTimeZone", uri: "calendar:StartTimeZone", form: zoned}, {name: "EndTimeZone", uri: "calendar:EndTimeZone", form: zoned}}...)
	case "Task":
		return append(all, []element{{name: "CompleteDate", uri: "task:CompleteDate", form: date}, {name: "DueDate", uri: "task:DueDate", form: day},
			{name: "IsComplete", uri: "task:IsComplete", form: flag, ro: true}, {name: "Owner", uri: "task:Owner", ro: true}, {name: "PercentComplete", uri: "task:PercentComplete", form: number},
			{name: "Recurrence", uri: "task:Recurrence", form: raw}, {name: "StartDate", uri: "task:StartDate", form: day},
			{name: "Status", uri: "task:Status", only: "NotStarted|InProgress|Completed|WaitingOnOthers|Deferred"}}...)
	}
	return append(all, []element{{name: "ToRecipients", uri: "message:ToRecipients", form: people}, {name: "CcRecipients", uri: "message:CcRecipients", form: people},
		{name: "From", uri: "message:From", form: person}, {name: "InternetMessageId", uri: "message:InternetMessageId"}, {name: "IsRead", uri: "message:IsRead", form: flag},
		{name: "References", uri: "message:References"}}...)
}

// known reports whether a property can be asked for. Asking for one that items of
// another kind have is fine; they just do not have it.
func known(uri string) bool {
	for _, k := range []string{"Contact", "CalendarItem", "Task", "Message"} {
		for _, e := range schema(k) {
			if e.uri == uri && uri != "" {
				return true
			}
		}
	}
	if uri == "item:ItemId" {
		return true
	}
	for _, p := range []string{"tag:0x", "ext:", "contacts:EmailAddress[EmailAddress", "contacts:PhoneNumber[", "contacts:PhysicalAddress:", "contacts:ImAddress[", "item:InternetMessageHeader["} {
		if strings.HasPrefix(uri, p) {
			return true
		}
	}
	return false
}

func base(group string) string {
	return map[string]string{"EmailAddresses": "contacts:EmailAddress", "PhoneNumbers": "contacts:PhoneNumber", "ImAddresses": "contacts:ImAddress"}[group]
}
