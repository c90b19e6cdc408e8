package connectors

// Field names one mapped property of a record. Fields are what capabilities
// list, what updates name and what issues point at.
type Field string

// Fields of contacts; accounts use some of them.
const (
	FieldPrefix     Field = "prefix"
	FieldGivenName  Field = "given_name"
	FieldMiddleName Field = "middle_name"
	FieldFamilyName Field = "family_name"
	FieldSuffix     Field = "suffix"
	FieldNickname   Field = "nickname"
	FieldCompany    Field = "company"
	FieldDepartment Field = "department"
	FieldJobTitle   Field = "job_title"
	FieldEmail      Field = "email"
	FieldEmail2     Field = "email2"
	FieldEmail3     Field = "email3"
	FieldPhone      Field = "phone"
	FieldMobile     Field = "mobile"
	FieldHomePhone  Field = "home_phone"
	FieldFax        Field = "fax"
	FieldStreet     Field = "street"
	FieldCity       Field = "city"
	FieldRegion     Field = "region"
	FieldPostalCode Field = "postal_code"
	FieldCountry    Field = "country"
	FieldBirthday   Field = "birthday"
	FieldWebsite    Field = "website"
	FieldNote       Field = "note"

	FieldName  Field = "name"  // accounts only
	FieldTopic Field = "topic" // leads only: what they ask for
)

// Fields of appointments, visits and phone calls; tasks and mails use some.
const (
	FieldUID          Field = "uid"
	FieldSubject      Field = "subject"
	FieldLocation     Field = "location"
	FieldDescription  Field = "description"
	FieldTime         Field = "time" // start, end and all-day together: they change together
	FieldZone         Field = "zone"
	FieldRecurrence   Field = "recurrence"
	FieldSensitivity  Field = "sensitivity"
	FieldAvailability Field = "availability"
	FieldStatus       Field = "status"
	FieldOrganizer    Field = "organizer"
	FieldAttendees    Field = "attendees"
	FieldReminder     Field = "reminder"
	FieldDirection    Field = "direction"
)

// Fields of tasks.
const (
	FieldStart    Field = "start" // a day
	FieldDue      Field = "due"   // a day
	FieldPercent  Field = "percent"
	FieldPriority Field = "priority"
)

// Fields of mails.
const (
	FieldMessageID     Field = "message_id"
	FieldInReplyTo     Field = "in_reply_to"
	FieldReferences    Field = "references"
	FieldFrom          Field = "from"
	FieldTo            Field = "to"
	FieldCc            Field = "cc"
	FieldDate          Field = "date"
	FieldBody          Field = "body"
	FieldAutoSubmitted Field = "auto_submitted"
	FieldListID        Field = "list_id"
	FieldContentType   Field = "content_type"
)

// FieldCategories are the marks of a mailbox, on records of every kind.
const FieldCategories Field = "categories"

// FieldRefs are the references of a record. No kind lists it in Fields, for ids
// of one system mean nothing in another; an Edit may name it all the same where
// Capability.Refs lets the kind refer to others, and replaces them as a whole.
const FieldRefs Field = "refs"

// Fields returns every field of a kind, in a fixed order.
func Fields(k Kind) []Field {
	switch k {
	case KindContact:
		return []Field{FieldPrefix, FieldGivenName, FieldMiddleName, FieldFamilyName, FieldSuffix, FieldNickname,
			FieldCompany, FieldDepartment, FieldJobTitle, FieldEmail, FieldEmail2, FieldEmail3, FieldPhone, FieldMobile,
			FieldHomePhone, FieldFax, FieldStreet, FieldCity, FieldRegion, FieldPostalCode, FieldCountry, FieldBirthday,
			FieldWebsite, FieldNote, FieldSensitivity, FieldCategories}
	case KindIndividualCustomer: // without a company
		return []Field{FieldPrefix, FieldGivenName, FieldMiddleName, FieldFamilyName, FieldSuffix, FieldNickname,
			FieldJobTitle, FieldEmail, FieldEmail2, FieldEmail3, FieldPhone, FieldMobile,
			FieldHomePhone, FieldFax, FieldStreet, FieldCity, FieldRegion, FieldPostalCode, FieldCountry, FieldBirthday,
			FieldWebsite, FieldNote, FieldSensitivity, FieldCategories}
	case KindLead:
		return []Field{FieldTopic, FieldPrefix, FieldGivenName, FieldMiddleName, FieldFamilyName, FieldSuffix,
			FieldCompany, FieldDepartment, FieldJobTitle, FieldEmail, FieldPhone, FieldMobile, FieldFax,
			FieldStreet, FieldCity, FieldRegion, FieldPostalCode, FieldCountry, FieldWebsite, FieldNote, FieldSensitivity, FieldCategories}
	case KindAccount:
		return []Field{FieldName, FieldPhone, FieldEmail, FieldWebsite, FieldStreet, FieldCity, FieldRegion,
			FieldPostalCode, FieldCountry, FieldCategories}
	case KindAppointment, KindVisit:
		return []Field{FieldUID, FieldSubject, FieldLocation, FieldDescription, FieldTime, FieldZone, FieldRecurrence,
			FieldSensitivity, FieldAvailability, FieldStatus, FieldOrganizer, FieldAttendees, FieldReminder, FieldCategories}
	case KindPhoneCall: // at no place, and one at a time
		return []Field{FieldUID, FieldSubject, FieldDescription, FieldTime, FieldZone, FieldSensitivity, FieldStatus,
			FieldOrganizer, FieldAttendees, FieldReminder, FieldDirection, FieldCategories}
	case KindTask:
		return []Field{FieldSubject, FieldDescription, FieldStart, FieldDue, FieldStatus, FieldPercent, FieldPriority,
			FieldSensitivity, FieldReminder, FieldCategories}
	case KindMail:
		return []Field{FieldMessageID, FieldInReplyTo, FieldReferences, FieldFrom, FieldTo, FieldCc, FieldDate, FieldSubject, FieldBody,
			FieldDirection, FieldAutoSubmitted, FieldListID, FieldContentType, FieldPriority, FieldSensitivity, FieldCategories}
	}
	return nil
}

// text returns the place of a plain text field in a record, nil for a field
// that is no plain text or that the record does not have.
func (r *Record) text(f Field) *string {
	p, _ := r.place(f).(*string)
	return p
}

// Text returns a text field as it is, "" for a field that is no text or that
// the record does not have.
func (r *Record) Text(f Field) string {
	if p := r.text(f); p != nil {
		return *p
	}
	return ""
}

// SetText sets a text field after normalising it; it reports false, and changes
// nothing, for a field that is no text or that the record does not have.
func (r *Record) SetText(f Field, s string) bool {
	p := r.text(f)
	if p == nil {
		return false
	}
	*p = NormalizeText(f, s)
	return true
}
