package c4c

import (
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// column is one plain property: the field it carries, its name in the metadata
// of the service, and how many characters it holds.
type column struct {
	field connectors.Field
	name  string
	runes int
}

// texts are records of text below another: the one that is kept in step is the
// oldest of the general type.
type texts struct {
	field    connectors.Field
	nav, set string
	typ      string // code of the type, "" where texts have none
}

// people are those who take part in an activity, as records below it.
type people struct {
	nav, set                string
	address, other, name    string // properties; other: where the address stands if not there
	addressRunes, nameRunes int
	organizer               string // role code of who leads it
	headAddress, headName   string // where the activity itself says who that is
	recipients              bool   // of a mail: no roles
	field                   connectors.Field
}

// when is where an activity says its time.
type when struct {
	start, end, startZone, endZone string
	allDay                         string // "" if there are no days
	start1, end1                   connectors.Field
	instant                        connectors.Field // FieldDate: start alone, an instant
}

// shape is what there is to know about one kind: where it lives, what it is
// made of, and which code means that it is gone.
type shape struct {
	kind     connectors.Kind
	set      string
	columns  []column
	required connectors.Field

	number  string // property with the number that other records refer to it by
	created string // property with the time of its creation

	key      string // property that holds the create key, "" if there is none
	keyRunes int    // characters that it holds
	system   string // property that says whose key it is, "" if there is none

	status   string // property of the status that means deleted, "" if records of the kind can be deleted
	obsolete string
	marked   string // property that says that somebody marked it for deletion

	street, house, country, birth string // properties of an address and a birthday
	company                       bool   // the account is a field too, by its name

	state     string // property of the status of an activity
	sensitive bool   // it says who may see it, and how its time shows to others
	second    string // property of the second place
	priority  string
	direction string
	percent   string

	text     *texts
	when     *when
	people   []people
	always   properties // what a creation says besides
	account  string     // property with the number of the account that it is about
	contact  string     // property with the number of the person that it is about
	files    *folder
	search   []connectors.Field
	noUpdate bool

	caps *connectors.Capability // what capability gives, made once
}

// folder is the collection of what is attached to a kind of record.
type folder struct{ set string }

// activityPeople are those of appointments, visits and phone calls.
func activityPeople(nav, set, address, other, name string, addressRunes, nameRunes int, headAddress, headName string) []people {
	return []people{{nav: nav, set: set, address: address, other: other, name: name, addressRunes: addressRunes, nameRunes: nameRunes,
		organizer: codeOrganizer, headAddress: headAddress, headName: headName}}
}

// shapes lists every kind. Visits stand in the calendar of who organizes them, or
// of who owns them.
func shapes(visitsOfOwner bool) map[connectors.Kind]shape {
	out := map[connectors.Kind]shape{}
	for _, s := range []shape{contactShape(), accountShape(), customerShape(), leadShape(), appointmentShape(), visitShape(visitsOfOwner), taskShape(), mailShape(), callShape()} {
		c := s.capability()
		s.caps = &c
		out[s.kind] = s
	}
	return out
}

// refs says what records of the kind refer to.
func (s shape) refs() map[connectors.Role][]connectors.Kind {
	out := map[connectors.Role][]connectors.Kind{}
	people := s.kind != connectors.KindContact && s.kind != connectors.KindLead
	if s.account != "" {
		out[connectors.RoleAccount] = []connectors.Kind{connectors.KindAccount}
		if people {
			out[connectors.RoleAccount] = append(out[connectors.RoleAccount], connectors.KindIndividualCustomer)
		}
	}
	if s.contact != "" {
		out[connectors.RoleContact] = []connectors.Kind{connectors.KindContact, connectors.KindIndividualCustomer}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func contactShape() shape {
	return shape{
		kind: connectors.KindContact, set: setContact, required: connectors.FieldFamilyName,
		columns: []column{
			{connectors.FieldGivenName, "FirstName", 40},
			{connectors.FieldMiddleName, "MiddleName", 40},
			{connectors.FieldFamilyName, "LastName", 40},
			{connectors.FieldNickname, "NickName", 40},
			{connectors.FieldJobTitle, "JobTitle", 40},
			{connectors.FieldDepartment, "Department", 40},
			{connectors.FieldPhone, "Phone", 40},
			{connectors.FieldMobile, "Mobile", 40},
			{connectors.FieldFax, "Fax", 40},
			{connectors.FieldEmail, "Email", 255},
			{connectors.FieldCity, "BusinessAddressCity", 40},
			{connectors.FieldPostalCode, "BusinessAddressStreetPostalCode", 10},
			{connectors.FieldRegion, "BusinessAddressStateCodeTextUpdatable", 0},
		},
		number: "ContactID", created: "CreationOn",
		key: "ExternalID", keyRunes: 100, system: "ExternalSystem",
		status: "StatusCode", obsolete: codeObsolete,
		street: "BusinessAddressStreet", house: "BusinessAddressHouseNumber", country: "BusinessAddressCountryCode", birth: "BirthDate",
		company: true, account: "AccountID",
		text:   &texts{connectors.FieldNote, navContactText, setContactText, ""},
		always: properties{"StatusCode": codeActive},
		search: []connectors.Field{connectors.FieldEmail},
	}
}

func accountShape() shape {
	return shape{
		kind: connectors.KindAccount, set: setAccount, required: connectors.FieldName,
		columns: []column{
			{connectors.FieldName, "Name", 40},
			{connectors.FieldPhone, "Phone", 40},
			{connectors.FieldEmail, "Email", 255},
			{connectors.FieldWebsite, "WebSite", 1280},
			{connectors.FieldCity, "City", 40},
			{connectors.FieldPostalCode, "StreetPostalCode", 10},
		},
		number: "AccountID", created: "CreationOn",
		key: "ExternalID", keyRunes: 100, system: "ExternalSystem",
		status: "LifeCycleStatusCode", obsolete: codeObsolete,
		street: "Street", house: "HouseNumber", country: "CountryCode",
		always: properties{"LifeCycleStatusCode": codeActive, "RoleCode": codeRoleCustomer},
		search: []connectors.Field{connectors.FieldName, connectors.FieldEmail},
	}
}

func customerShape() shape {
	return shape{
		kind: connectors.KindIndividualCustomer, set: setCustomer, required: connectors.FieldFamilyName,
		columns: []column{
			{connectors.FieldGivenName, "FirstName", 40},
			{connectors.FieldMiddleName, "MiddleName", 40},
			{connectors.FieldFamilyName, "LastName", 40},
			{connectors.FieldNickname, "NickName", 40},
			{connectors.FieldPhone, "Phone", 40},
			{connectors.FieldMobile, "Mobile", 40},
			{connectors.FieldFax, "Fax", 40},
			{connectors.FieldEmail, "Email", 255},
			{connectors.FieldWebsite, "WebSite", 1280},
			{connectors.FieldCity, "City", 40},
			{connectors.FieldPostalCode, "StreetPostalCode", 10},
		},
		number: "CustomerID", created: "CreationOn",
		key: "ExternalID", keyRunes: 100, system: "ExternalSystem",
		status: "LifeCycleStatusCode", obsolete: codeObsolete,
		street: "Street", house: "HouseNumber", country: "CountryCode", birth: "BirthDate",
		text:   &texts{connectors.FieldNote, "IndividualCustomerTextCollection", "IndividualCustomerTextCollectionCollection", ""},
		always: properties{"LifeCycleStatusCode": codeActive, "RoleCode": codeRoleCustomer},
		search: []connectors.Field{connectors.FieldEmail},
	}
}

func leadShape() shape {
	return shape{
		kind: connectors.KindLead, set: "LeadCollection", required: connectors.FieldFamilyName,
		columns: []column{
			{connectors.FieldTopic, "Name", 255},
			{connectors.FieldCompany, "Company", 40},
			{connectors.FieldGivenName, "ContactFirstName", 40},
			{connectors.FieldMiddleName, "ContactMiddleName", 40},
			{connectors.FieldFamilyName, "ContactLastName", 40},
			{connectors.FieldJobTitle, "ContactFunctionalTitleName", 40},
			{connectors.FieldDepartment, "ContactDepartmentName", 40},
			{connectors.FieldPhone, "ContactPhone", 40},
			{connectors.FieldMobile, "ContactMobile", 40},
			{connectors.FieldFax, "ContactFacsimileFormattedNumberDescription", 40},
			{connectors.FieldEmail, "ContactEMail", 255},
			{connectors.FieldCity, "AccountCity", 40},
			{connectors.FieldPostalCode, "AccountPostalAddressElementsStreetPostalCode", 10},
			{connectors.FieldWebsite, "AccountWebsite", 1028},
			{connectors.FieldNote, "Note", 0},
		},
		created: "CreationDateTime",
		key:     "ExternalID", keyRunes: 35,
		street: "AccountPostalAddressElementsStreetName", house: "AccountPostalAddressElementsHouseID", country: "AccountCountry",
		account: "AccountPartyID",
		files:   &folder{"LeadAttachmentFolderCollection"},
		search:  []connectors.Field{connectors.FieldEmail},
	}
}

func appointmentShape() shape {
	return shape{
		kind: connectors.KindAppointment, set: setAppointment,
		columns: []column{
			{connectors.FieldSubject, "Subject", 765},
			{connectors.FieldLocation, "Location", 480},
		},
		created: "CreatedOn",
		key:     "GroupwareItemID", keyRunes: 765,
		state: "LifeCycleStatusCode", sensitive: true,
		text:    &texts{connectors.FieldDescription, navMeetingText, setMeetingText, codeBodyText},
		when:    &when{start: "StartDate", end: "EndDate", startZone: "StartDatetimeZoneCode", endZone: "EnddatetimeZoneCode", allDay: "FullDayIndicator"},
		people:  activityPeople(navParty, setParty, "EMail", "PartyEmailURI", "Name", 255, 480, "OrganizerEmailURI", "OrganizerName"),
		account: "MainAccountPartyID", contact: "MainContactPartyID",
		files: &folder{"AppointmentAttachmentFolderCollection"},
	}
}

func visitShape(owner bool) shape {
	s := shape{
		kind: connectors.KindVisit, set: "VisitCollection",
		columns: []column{{connectors.FieldSubject, "Subject", 765}, {connectors.FieldLocation, "Location", 480}},
		created: "CreationDateTime", second: "AdditionalLocationName",
		key: "GroupwareItemID", keyRunes: 765, marked: "MarkedForDeletion",
		state:   "Status",
		text:    &texts{connectors.FieldDescription, "VisitTextCollection", "VisitTextCollectionCollection", codeBodyText},
		when:    &when{start: "StartDateTime", end: "EndDateTime", startZone: "StartTimeZoneCode", endZone: "EndTimeZoneCode", allDay: "AllDayEvent"},
		people:  activityPeople("VisitParty", "VisitPartyCollection", "Email", "", "PartyName", 254, 255, "OrganizerEmailURI", "OrganizerPartyName"),
		account: "MainAccountPartyID", contact: "MainContactPartyID",
		files: &folder{"VisitAttachmentCollection"},
	}
	if owner {
		p := &s.people[0]
		p.organizer, p.headAddress, p.headName = codeOwner, "OwnerEmailURI", "OwnerPartyName"
	}
	return s
}

func taskShape() shape {
	return shape{
		kind: connectors.KindTask, set: "TasksCollection", required: connectors.FieldSubject,
		columns:  []column{{connectors.FieldSubject, "Subject", 765}},
		state:    "Status",
		priority: "PriorityCode", percent: "CompletionPercent",
		text: &texts{connectors.FieldDescription, "TasksTextCollection", "TasksTextCollectionCollection", codeBodyText},
		when: &when{start: "StartDateTime", end: "DueDateTime", startZone: "StartDatetimeZoneCode", endZone: "DueDatetimeZoneCode",
			start1: connectors.FieldStart, end1: connectors.FieldDue},
		account: "MainAccountPartyID", contact: "MainContactPartyID",
		files: &folder{"TasksAttachmentFolderCollection"},
	}
}

func mailShape() shape {
	to := people{nav: "EMailToRecipients", set: "EMailToRecipientsCollection", address: "MessageToEmailID", other: "EMailID", name: "MessageToName",
		addressRunes: 254, nameRunes: 255, recipients: true, field: connectors.FieldTo}
	cc := people{nav: "EMailCcRecipients", set: "EMailCcRecipientsCollection", address: "MessageCCEMailID", other: "EMailID", name: "MessageCCName",
		addressRunes: 254, nameRunes: 255, recipients: true, field: connectors.FieldCc}
	return shape{
		kind: connectors.KindMail, set: "EMailCollection",
		columns: []column{{connectors.FieldSubject, "Subject", 765}},
		key:     "GroupwareItemID", keyRunes: 765,
		priority: "PriorityCode", direction: "Direction",
		text:    &texts{connectors.FieldBody, "EMailNotes", "EMailNotesCollection", codeBodyText},
		when:    &when{start: "DateTime", startZone: "DateTimetimeZoneCode", instant: connectors.FieldDate},
		people:  []people{to, cc},
		account: "MainAccountPartyID", contact: "MainContactPartyID",
		files:    &folder{"EMailAttachmentsCollection"},
		search:   []connectors.Field{connectors.FieldMessageID},
		noUpdate: true,
	}
}

func callShape() shape {
	return shape{
		kind: connectors.KindPhoneCall, set: "PhoneCallCollection",
		columns: []column{{connectors.FieldSubject, "Subject", 765}},
		created: "CreatedOn",
		key:     "GroupwareItemID", keyRunes: 765,
		state: "Status", direction: "InitiatorCode",
		text:    &texts{connectors.FieldDescription, "PhoneCallNotes", "PhoneCallNotesCollection", codeBodyText},
		when:    &when{start: "StartDateTime", end: "EndDateTime", startZone: "StartDateTimeZoneCode", endZone: "EndDatetimeZoneCode"},
		people:  activityPeople("PhoneCallParties", "PhoneCallPartiesCollection", "Email", "PartyEmailURI", "Name", 255, 480, "", ""),
		account: "MainAccountPartyID", contact: "MainContactPartyID",
		files: &folder{"PhoneCallAttachmentFolderCollection"},
	}
}

// Codes. Status codes of partners: 2 active, 4 obsolete. Role and life cycle
// codes of activities, and "1" for normal sensitivity, are those that answers of
// the vendor's sandbox show; README.md lists the ones that no published source
// confirms.
const (
	codeActive       = "2"
	codeObsolete     = "4"
	codeOpen         = "1"
	codeInProcess    = "2"
	codeCompleted    = "3"
	codeCancelled    = "4"
	codeRoleCustomer = "CRM000"
	codeOrganizer    = "35"
	codeAttendee     = "36"
	codeOwner        = "39"
	codeBodyText     = "10002"
	codeOutbound     = "1"
	codeInbound      = "2"
	codeFile         = "10001" // type of an attachment
	codeDocument     = "2"     // category of an attachment: a file that is kept here

	externalSystem = "lockkeeper"
	zoneUTC        = "UTC"
)

// Lengths of what is no plain column.
const (
	runesStreet  = 60
	runesCompany = 40 // of the name of an account; the name that a contact shows may be longer
	runesSecond  = 765
	runesMessage = 600 // of a message id, so that it fits beside a create key
)

// codes are what a code list says: the value of each code. Where several codes mean
// one value the first is written, and a code that is not there means the other value.
type codes[V comparable] struct {
	list  []coded[V]
	other V
}

type coded[V comparable] struct {
	code  string
	value V
}

// code is what is written for a value, "" if the list has none.
func (c codes[V]) code(v V) string {
	for _, x := range c.list {
		if x.value == v {
			return x.code
		}
	}
	return ""
}

// of is what a code means.
func (c codes[V]) of(code string) V {
	for _, x := range c.list {
		if x.code == code {
			return x.value
		}
	}
	return c.other
}

func sensitivities() codes[connectors.Sensitivity] {
	return codes[connectors.Sensitivity]{[]coded[connectors.Sensitivity]{{"1", connectors.Public}, {"3", connectors.Private}, {"2", connectors.Private}, // 2: personal
		{"4", connectors.Confidential}}, connectors.Public}
}

func availabilities() codes[connectors.Availability] {
	return codes[connectors.Availability]{[]coded[connectors.Availability]{{"1", connectors.Free}, {"2", connectors.Tentative}, {"3", connectors.Busy},
		{"4", connectors.OutOfOffice}}, connectors.Busy}
}

func taskStates() codes[connectors.TaskStatus] {
	return codes[connectors.TaskStatus]{[]coded[connectors.TaskStatus]{{codeOpen, connectors.NotStarted}, {codeInProcess, connectors.InProgress},
		{codeCompleted, connectors.Completed}, {codeCancelled, connectors.Dropped}}, connectors.NotStarted}
}

func priorities() codes[connectors.Priority] {
	return codes[connectors.Priority]{[]coded[connectors.Priority]{{"3", connectors.Normal}, {"2", connectors.High}, {"1", connectors.High}, // 1: immediate
		{"7", connectors.Low}}, connectors.Normal}
}

func directions() codes[connectors.Direction] {
	return codes[connectors.Direction]{[]coded[connectors.Direction]{{codeInbound, connectors.Inbound}, {codeOutbound, connectors.Outbound}}, connectors.UnknownDirection}
}

// noon is the instant that stands for a day: a task that is due on a day is due
// on that day nearly everywhere, whatever zone its reader is in.
const noon = 12 * time.Hour
