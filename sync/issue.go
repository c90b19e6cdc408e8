package sync

import (
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Code names a kind of trouble, for good.
type Code string

// Codes of issues.
const (
	CodeConflict   Code = "LK-CONFLICT"
	CodeAmbiguous  Code = "LK-AMBIGUOUS"
	CodeField      Code = "LK-FIELD"
	CodeSeries     Code = "LK-SERIES"
	CodeOccurrence Code = "LK-OCCURRENCE"
	CodeGuests     Code = "LK-GUESTS"
	CodePrivate    Code = "LK-PRIVATE"
	CodeUnread     Code = "LK-UNREADABLE"
	CodeRefused    Code = "LK-REFUSED"
	CodeLater      Code = "LK-LATER"
	CodeUnknown    Code = "LK-UNKNOWN-OUTCOME"
	CodeDuplicate  Code = "LK-DUPLICATE"
	CodeBrake      Code = "LK-BRAKE"
	CodeFirst      Code = "LK-FIRST-ROUND"
	CodeLoop       Code = "LK-LOOP"
	CodeShared     Code = "LK-SHARED"
	CodeRelated    Code = "LK-RELATED"
	CodeFile       Code = "LK-FILE"
)

// Codes returns every code.
func Codes() []Code {
	return []Code{CodeConflict, CodeAmbiguous, CodeField, CodeSeries, CodeOccurrence, CodeGuests, CodePrivate, CodeUnread, CodeRefused, CodeLater, CodeUnknown,
		CodeDuplicate, CodeBrake, CodeFirst, CodeLoop, CodeShared, CodeRelated, CodeFile}
}

// explain says what happened, what was not done, and what to do next.
func (c Code) explain() (what, undone, next string) {
	switch c {
	case CodeConflict:
		return "Both sides changed this record differently since they were last alike.",
			"Neither side was changed.",
			"Edit the side you want to keep, or make both alike: the next edit on one side decides."
	case CodeAmbiguous:
		return "More than one record could be the partner of this one.",
			"Nothing was linked and nothing was created, so that there is no duplicate.",
			"Remove or change the duplicates so that one is left."
	case CodeField:
		return "The other side does not accept the value of a field.",
			"The record was not written there, and nothing was shortened to fit.",
			"Change the field named here on the side that has the record."
	case CodeSeries:
		return "The other side keeps no recurring series.",
			"The series was not copied, and no single occurrence was copied in its place.",
			"Nothing needs to be done; the series stays where it is."
	case CodeOccurrence:
		return "The other side does not keep what was changed in a recurring series.",
			"That was not written there; no occurrence was copied, moved or cancelled in its place.",
			"Change the series there too, or make the occurrence like the others again."
	case CodeGuests:
		return "A guest was taken off the list in the mailbox, which never held all whom the CRM names.",
			"Nobody was taken off the list in the CRM.",
			"Take the guest off there too, if that was meant."
	case CodePrivate:
		return "The appointment is marked as private.",
			"It was not copied to the CRM, and its name was not kept.",
			"Remove the mark in the mailbox if it should be seen in the CRM."
	case CodeUnread:
		return "The record could not be read or is not well formed.",
			"It was neither copied nor changed.",
			"Open it where it is and save it again, or remove it."
	case CodeRefused:
		return "The other side refused the record.",
			"The record was not written there.",
			"Check the rights and rules of that system for this record."
	case CodeLater:
		return "The other side could not take the record now.",
			"The record was not written there yet.",
			"Nothing needs to be done; it is tried again."
	case CodeUnknown:
		return "The answer to a write was lost.",
			"It is not known whether the record was created, and it was not sent again.",
			"Nothing needs to be done; it is looked for at the next round."
	case CodeDuplicate:
		return "More than one record carries the key of one create.",
			"The older one was linked, and no other was removed.",
			"Remove the surplus record by hand."
	case CodeBrake:
		return "More records were deleted or changed at once than is usual.",
			"None of these deletions or changes was carried over.",
			"If they are meant, approve them; otherwise restore the records."
	case CodeFirst:
		return "The record went away before the first round was through.",
			"Its partner was not deleted.",
			"Nothing needs to be done; it is looked at again after the first round."
	case CodeLoop:
		return "The record was written to and fro several times within an hour.",
			"It was not written again.",
			"Find out which program changes it back; it is tried again in an hour, and left alone if that goes on."
	case CodeShared:
		return "Another mailbox that takes part in the meeting is about to bring it to the CRM.",
			"It was not brought there a second time.",
			"Nothing needs to be done; it is linked as soon as it is there."
	case CodeFile:
		return "A file that is attached to the record does not cross.",
			"The record was carried over without it; nothing was taken away on either side.",
			"Change the file, or the rules for files, if it should be on the other side."
	case CodeRelated:
		return "A record that this one refers to, a guest or an account, could not be made in the CRM.",
			"The record was carried over without that reference.",
			"Check the rights and rules of the CRM for new contacts, leads and accounts."
	}
	return "Unknown trouble.", "Nothing was done.", "Report this code."
}

// Issue is something that a person must see.
type Issue struct {
	Number  int64            `json:"number"`
	Code    Code             `json:"code"`
	Kind    connectors.Kind  `json:"kind"`
	Left    string           `json:"left,omitempty"`  // id in the CRM
	Right   string           `json:"right,omitempty"` // id in the mailbox
	Field   connectors.Field `json:"field,omitempty"`
	What    string           `json:"what"`
	Undone  string           `json:"undone"` // what was not done
	Next    string           `json:"next"`   // what to do
	Name    string           `json:"name,omitempty"`
	First   time.Time        `json:"first_seen"`
	Last    time.Time        `json:"last_seen"`
	NextTry time.Time        `json:"next_try,omitzero"`
	Tries   int              `json:"tries"`
}

func (t Trouble) issue(names bool) Issue {
	what, undone, next := t.Code.explain()
	if t.Detail != "" {
		what = fmt.Sprintf("%s (%s)", what, t.Detail)
	}
	i := Issue{Number: t.Number, Code: t.Code, Kind: t.Kind, Left: t.ID[0], Right: t.ID[1], Field: t.Field, What: what, Undone: undone, Next: next,
		First: t.First, Last: t.Last, NextTry: t.NextTry, Tries: t.Tries}
	if names {
		i.Name = t.Name
	}
	return i
}

// nameLife is how long the name of a failing record is kept at most.
const nameLife = 14 * 24 * time.Hour

// retry returns when trouble is looked at again after so many tries; the zero
// time means only when a side changes.
func (c Code) retry(tries int, now time.Time) time.Time {
	waits := []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 4 * time.Hour, 24 * time.Hour}
	switch c {
	case CodeLater, CodeUnknown:
		return now.Add(waits[min(tries, len(waits))-1])
	case CodeRefused, CodeUnread, CodeAmbiguous:
		if tries <= len(waits) {
			return now.Add(waits[tries-1])
		}
		return time.Time{} // left alone until somebody changes it
	case CodeShared:
		return now.Add(waits[min(tries, 3)-1])
	case CodeLoop:
		if tries <= len(waits) {
			return now.Add(time.Hour)
		}
		return time.Time{}
	case CodeBrake, CodeFirst:
		return now
	}
	return time.Time{}
}

// name is what people call a record.
func name(r *connectors.Record) string {
	s := ""
	switch {
	case r == nil:
	case r.Contact != nil:
		s = connectors.NormalizeText(connectors.FieldName, r.Contact.GivenName+" "+r.Contact.FamilyName)
		if s == "" {
			s = r.Contact.Company
		}
	case r.Account != nil:
		s = r.Account.Name
	case r.Appointment != nil && r.Appointment.Sensitivity == connectors.Public:
		s = r.Appointment.Subject
	}
	if rs := []rune(s); len(rs) > 80 {
		s = string(rs[:80])
	}
	return s
}
