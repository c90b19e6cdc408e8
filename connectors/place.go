package connectors

// place returns a pointer to what a record says in a field, nil for a field that
// the record does not have. The pointer's type tells which sort of value it is.
func (r *Record) place(f Field) any {
	switch {
	case f == FieldCategories:
		return marked{r}
	case f == FieldRefs:
		return &r.Refs
	case r.Contact != nil:
		if p := r.Contact.text(f); p != nil {
			return p
		}
		if f == FieldSensitivity {
			return &r.Contact.Sensitivity
		}
	case r.Account != nil:
		if p := r.Account.text(f); p != nil {
			return p
		}
	case r.Appointment != nil:
		return r.Appointment.place(f)
	case r.Task != nil:
		return r.Task.place(f)
	case r.Mail != nil:
		return r.Mail.place(f)
	}
	return nil
}

// marked is the place of FieldCategories.
type marked struct{ r *Record }

// span is the place of FieldTime.
type span Appointment

func (a *Appointment) place(f Field) any {
	switch f {
	case FieldTime:
		return (*span)(a)
	case FieldRecurrence:
		return repeat{a}
	case FieldSensitivity:
		return &a.Sensitivity
	case FieldAvailability:
		return &a.Availability
	case FieldStatus:
		return &a.Status
	case FieldOrganizer:
		return &a.Organizer
	case FieldAttendees:
		return &a.Attendees
	case FieldReminder:
		return &a.Reminder
	case FieldDirection:
		return &a.Direction
	}
	if p := a.text(f); p != nil {
		return p
	}
	return nil
}

func (t *Task) place(f Field) any {
	switch f {
	case FieldSubject:
		return &t.Subject
	case FieldDescription:
		return &t.Description
	case FieldStart:
		return &t.Start
	case FieldDue:
		return &t.Due
	case FieldStatus:
		return &t.Status
	case FieldPercent:
		return &t.Percent
	case FieldPriority:
		return &t.Priority
	case FieldSensitivity:
		return &t.Sensitivity
	case FieldReminder:
		return &t.Remind
	}
	return nil
}

func (m *Mail) place(f Field) any {
	switch f {
	case FieldMessageID:
		return &m.MessageID
	case FieldInReplyTo:
		return &m.InReplyTo
	case FieldReferences:
		return &m.References
	case FieldFrom:
		return &m.From
	case FieldTo:
		return &m.To
	case FieldCc:
		return &m.Cc
	case FieldDate:
		return &m.Date
	case FieldSubject:
		return &m.Subject
	case FieldBody:
		return &m.Body
	case FieldDirection:
		return &m.Direction
	case FieldAutoSubmitted:
		return &m.AutoSubmitted
	case FieldListID:
		return &m.ListID
	case FieldContentType:
		return &m.ContentType
	case FieldPriority:
		return &m.Priority
	case FieldSensitivity:
		return &m.Sensitivity
	}
	return nil
}

func (c *Contact) text(f Field) *string {
	switch f {
	case FieldPrefix:
		return &c.Prefix
	case FieldGivenName:
		return &c.GivenName
	case FieldMiddleName:
		return &c.MiddleName
	case FieldFamilyName:
		return &c.FamilyName
	case FieldSuffix:
		return &c.Suffix
	case FieldNickname:
		return &c.Nickname
	case FieldCompany:
		return &c.Company
	case FieldDepartment:
		return &c.Department
	case FieldJobTitle:
		return &c.JobTitle
	case FieldEmail:
		return &c.Email
	case FieldEmail2:
		return &c.Email2
	case FieldEmail3:
		return &c.Email3
	case FieldPhone:
		return &c.Phone
	case FieldMobile:
		return &c.Mobile
	case FieldHomePhone:
		return &c.HomePhone
	case FieldFax:
		return &c.Fax
	case FieldStreet:
		return &c.Street
	case FieldCity:
		return &c.City
	case FieldRegion:
		return &c.Region
	case FieldPostalCode:
		return &c.PostalCode
	case FieldCountry:
		return &c.Country
	case FieldBirthday:
		return &c.Birthday
	case FieldWebsite:
		return &c.Website
	case FieldNote:
		return &c.Note
	case FieldTopic:
		return &c.Topic
	}
	return nil
}

func (a *Account) text(f Field) *string {
	switch f {
	case FieldName:
		return &a.Name
	case FieldPhone:
		return &a.Phone
	case FieldEmail:
		return &a.Email
	case FieldWebsite:
		return &a.Website
	case FieldStreet:
		return &a.Street
	case FieldCity:
		return &a.City
	case FieldRegion:
		return &a.Region
	case FieldPostalCode:
		return &a.PostalCode
	case FieldCountry:
		return &a.Country
	}
	return nil
}

func (a *Appointment) text(f Field) *string {
	switch f {
	case FieldUID:
		return &a.UID
	case FieldSubject:
		return &a.Subject
	case FieldLocation:
		return &a.Location
	case FieldDescription:
		return &a.Description
	case FieldZone:
		return &a.Zone
	}
	return nil
}
