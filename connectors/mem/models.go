package mem

import "github.com/lockkeeper/lockkeeper/connectors"

// references is what records of a kind refer to where everything is possible.
func references(k connectors.Kind) map[connectors.Role][]connectors.Kind {
	people := []connectors.Kind{connectors.KindContact, connectors.KindIndividualCustomer}
	switch k.Shape() {
	case connectors.ShapeContact:
		if k == connectors.KindContact || k == connectors.KindLead {
			return map[connectors.Role][]connectors.Kind{connectors.RoleAccount: {connectors.KindAccount}}
		}
	case connectors.ShapeAppointment, connectors.ShapeTask, connectors.ShapeMail:
		return map[connectors.Role][]connectors.Kind{connectors.RoleAccount: {connectors.KindAccount, connectors.KindIndividualCustomer},
			connectors.RoleContact: people, connectors.RoleParticipant: people}
	}
	return nil
}

// without lists the fields of a kind but some. The read-only ones can be read.
func without(k connectors.Kind, not []connectors.Field, readOnly []connectors.Field) map[connectors.Field]connectors.Limit {
	out := map[connectors.Field]connectors.Limit{}
	for _, f := range connectors.Fields(k) {
		out[f] = connectors.Limit{}
	}
	for _, f := range not {
		delete(out, f)
	}
	for _, f := range readOnly {
		if _, ok := out[f]; ok {
			out[f] = connectors.Limit{ReadOnly: true}
		}
	}
	return out
}

// C4C are the options of a CRM that can do what SAP Cloud for Customer can: no
// deletions are reported, accounts and contacts cannot be deleted, tasks carry
// no key, no series, no marks of a mailbox, files of 25 MB at most.
func C4C() *Options {
	kinds := map[connectors.Kind]connectors.Capability{}
	for _, k := range connectors.Kinds() {
		not := []connectors.Field{connectors.FieldCategories, connectors.FieldReminder, connectors.FieldRecurrence, connectors.FieldZone,
			connectors.FieldSensitivity, connectors.FieldNickname, connectors.FieldBirthday, connectors.FieldHomePhone}
		if k.Shape() == connectors.ShapeAppointment || k.Shape() == connectors.ShapeTask {
			not = not[:4] // these know what is private
		}
		c := connectors.Capability{Fields: without(k, not, nil), Create: true, Update: k != connectors.KindMail,
			Delete: k.Shape() != connectors.ShapeAccount && k.Shape() != connectors.ShapeContact || k == connectors.KindLead,
			Batch:  50, NoKey: k == connectors.KindTask, Search: searchable(k), Refs: references(k)}
		if s := k.Shape(); s != connectors.ShapeContact && s != connectors.ShapeAccount {
			c.Attachments = connectors.AttachmentCapability{Read: true, Write: true, Delete: true, Size: 25 << 20}
		}
		demand(c, connectors.FieldName, connectors.FieldFamilyName, connectors.FieldSubject, connectors.FieldTime)
		if k == connectors.KindMail || k.Shape() == connectors.ShapeTask {
			delete(c.Fields, connectors.FieldTime)
		}
		kinds[k] = c
	}
	return &Options{Kinds: kinds}
}

func demand(c connectors.Capability, fs ...connectors.Field) {
	for _, f := range fs {
		if l, ok := c.Fields[f]; ok {
			l.Required = true
			c.Fields[f] = l
		}
	}
}

// mailbox are the capabilities that the mailboxes share: contacts, appointments,
// tasks and mails, which are read only.
func mailbox(keylessTasks bool) map[connectors.Kind]connectors.Capability {
	kinds := map[connectors.Kind]connectors.Capability{}
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail} {
		c := connectors.Capability{Create: k != connectors.KindMail, Update: k != connectors.KindMail, Delete: k != connectors.KindMail, Tombstones: true, Batch: 20,
			NoKey: k == connectors.KindTask && keylessTasks, Fields: without(k, nil, nil),
			Attachments: connectors.AttachmentCapability{Read: k != connectors.KindContact, Write: k == connectors.KindAppointment || k == connectors.KindTask,
				Delete: k == connectors.KindAppointment || k == connectors.KindTask}}
		if k == connectors.KindAppointment {
			c.Fields = without(k, nil, []connectors.Field{connectors.FieldUID, connectors.FieldZone, connectors.FieldOrganizer, connectors.FieldStatus})
			c.Exceptions = true
			demand(c, connectors.FieldTime)
		}
		kinds[k] = c
	}
	return kinds
}

// Graph are the options of a mailbox that can do what Microsoft Graph can.
// Attendees are read only there: each change of them sends mail.
func Graph() *Options {
	kinds := mailbox(false)
	kinds[connectors.KindAppointment].Fields[connectors.FieldAttendees] = connectors.Limit{ReadOnly: true}
	return &Options{Kinds: kinds, RefuseDups: true}
}

// EWS are the options of a mailbox that can do what Exchange Web Services can.
func EWS() *Options { return &Options{Kinds: mailbox(false)} }

// Google are the options of a mailbox that can do what Google's interfaces can:
// tasks carry no key, no files, no priority and no reminder; nothing has
// categories but mails.
func Google() *Options {
	kinds := mailbox(true)
	for k, c := range kinds {
		if k != connectors.KindMail {
			delete(c.Fields, connectors.FieldCategories)
		}
		switch k {
		case connectors.KindContact:
			delete(c.Fields, connectors.FieldSensitivity)
		case connectors.KindTask:
			for _, f := range []connectors.Field{connectors.FieldStart, connectors.FieldPercent, connectors.FieldPriority, connectors.FieldSensitivity, connectors.FieldReminder} {
				delete(c.Fields, f)
			}
			c.Attachments = connectors.AttachmentCapability{}
		case connectors.KindAppointment:
			c.Attachments = connectors.AttachmentCapability{}
		}
		kinds[k] = c
	}
	return &Options{Kinds: kinds, RefuseDups: true}
}
