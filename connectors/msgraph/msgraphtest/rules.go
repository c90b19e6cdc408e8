package msgraphtest

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// defaults are the properties that every new item has.
func defaults(kind string) object {
	switch kind {
	case "contacts":
		return object{"givenName": nil, "surname": nil, "emailAddresses": []any{}, "businessPhones": []any{}, "homePhones": []any{},
			"businessAddress": map[string]any{}, "categories": []any{}}
	case "tasks":
		return object{"title": "", "body": map[string]any{"contentType": "text", "content": ""}, "importance": "normal", "status": "notStarted",
			"isReminderOn": false, "categories": []any{}}
	case "messages":
		return object{"subject": "", "body": map[string]any{"contentType": "text", "content": ""}, "importance": "normal", "sensitivity": "normal",
			"isDraft": false, "categories": []any{}, "toRecipients": []any{}, "ccRecipients": []any{}}
	}
	return object{"subject": "", "body": map[string]any{"contentType": "text", "content": ""}, "location": map[string]any{"displayName": ""},
		"isAllDay": false, "sensitivity": "normal", "showAs": "busy", "isCancelled": false, "isOrganizer": true, "attendees": []any{},
		"type": "singleInstance", "recurrence": nil, "seriesMasterId": nil, "categories": []any{}, "isReminderOn": true, "reminderMinutesBeforeStart": 15.0}
}

// properties that a client may write.
func writable(kind string) []string {
	switch kind {
	case "contacts":
		return []string{"givenName", "middleName", "surname", "title", "generation", "nickName", "companyName", "department", "jobTitle", "emailAddresses",
			"businessPhones", "mobilePhone", "homePhones", "businessAddress", "birthday", "businessHomePage", "personalNotes", "categories", "spouseName", "displayName"}
	case "tasks":
		return []string{"title", "body", "importance", "status", "isReminderOn", "reminderDateTime", "dueDateTime", "startDateTime", "completedDateTime", "recurrence", "categories"}
	case "messages":
		return []string{"subject", "body", "importance", "sensitivity", "isDraft", "categories", "toRecipients", "ccRecipients", "from", "sender", "internetMessageId",
			"sentDateTime", "receivedDateTime", "meetingMessageType", "@odata.type"}
	}
	return []string{"subject", "body", "location", "start", "end", "isAllDay", "sensitivity", "showAs", "attendees", "categories", "transactionId", "recurrence",
		"isReminderOn", "reminderMinutesBeforeStart"}
}

// known refuses to select what items of a sort do not have.
func known(kind string, sel []string) error {
	more := map[string][]string{"contacts": {"parentFolderId"}, "messages": {"parentFolderId", "hasAttachments", "internetMessageHeaders"}, "tasks": {"hasAttachments"},
		"events": {"hasAttachments", "iCalUId", "originalStartTimeZone", "type", "isCancelled", "isOrganizer", "organizer", "seriesMasterId"}}[kind]
	for _, p := range sel {
		if p != "id" && p != "lastModifiedDateTime" && !slices.Contains(writable(kind), p) && !slices.Contains(more, p) {
			return bad("BadRequest")
		}
	}
	return nil
}

// merge puts what a client sent into an item. What the service does not know or
// does not let be written is an error.
func merge(kind string, props, in object, fresh bool) error {
	for k, v := range in {
		if !slices.Contains(writable(kind), k) || k == "transactionId" && !fresh {
			return bad("ErrorInvalidPropertySet")
		}
		props[k] = v
		if _, text := v.(string); !text {
			continue
		}
		if (k == "subject" || k == "title") && utf8.RuneCountInString(v.(string)) > 255 {
			return bad("ErrorInvalidRequest")
		}
	}
	if cs, ok := props["categories"].([]any); !ok || slices.ContainsFunc(cs, func(c any) bool { return text(c) == "" || len(text(c)) > 255 }) {
		return bad("ErrorInvalidPropertySet")
	}
	switch kind {
	case "contacts":
		return contactRules(props)
	case "tasks":
		return taskRules(props, in)
	case "messages":
		return nil
	}
	return eventRules(props, in)
}

func taskRules(props, in object) error {
	if text(props["title"]) == "" || !slices.Contains([]string{"low", "normal", "high"}, text(props["importance"])) ||
		!slices.Contains([]string{"notStarted", "inProgress", "completed", "waitingOnOthers", "deferred"}, text(props["status"])) {
		return bad("invalidRequest")
	}
	if _, ok := props["isReminderOn"].(bool); !ok {
		return bad("invalidRequest")
	}
	for _, k := range []string{"reminderDateTime", "dueDateTime", "startDateTime", "completedDateTime"} {
		if in[k] == nil {
			if props[k] == nil {
				delete(props, k)
			}
			continue
		}
		m, ok := in[k].(map[string]any)
		l := zone.Location(text(m["timeZone"]))
		t, err := time.Parse(dateOnly, strings.SplitN(text(m["dateTime"]), ".", 2)[0])
		if !ok || l == nil || err != nil {
			return bad("invalidRequest")
		}
		if k != "reminderDateTime" { // a day: what time of it is written makes no difference
			t = t.Truncate(24 * time.Hour)
		}
		wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, l)
		props[k] = map[string]any{"dateTime": wall.UTC().Format(dateOnly) + ".0000000", "timeZone": "UTC"}
	}
	if text(props["status"]) != "completed" {
		delete(props, "completedDateTime")
	}
	b, ok := props["body"].(map[string]any)
	if _, isText := b["content"].(string); !ok || !isText || !slices.Contains([]string{"text", "html"}, text(b["contentType"])) {
		return bad("invalidRequest")
	}
	return nil
}

func contactRules(props object) error {
	list, ok := props["emailAddresses"].([]any)
	if !ok || len(list) > 3 {
		return bad("ErrorInvalidPropertySet")
	}
	for _, x := range list {
		m, ok := x.(map[string]any)
		if a, isText := m["address"].(string); !ok || !isText || a == "" {
			return bad("ErrorInvalidRecipients")
		}
	}
	for _, k := range []string{"businessPhones", "homePhones"} {
		if ps, ok := props[k].([]any); !ok || len(ps) > 2 {
			return bad("ErrorInvalidPropertySet")
		}
	}
	if b, ok := props["birthday"].(string); ok {
		if _, err := time.Parse(time.RFC3339, b); err != nil {
			return bad("ErrorInvalidPropertySet")
		}
	}
	return nil
}

func eventRules(props, in object) error {
	if !slices.Contains([]string{"normal", "personal", "private", "confidential"}, text(props["sensitivity"])) ||
		!slices.Contains([]string{"free", "tentative", "busy", "oof", "workingElsewhere", "unknown"}, text(props["showAs"])) {
		return bad("ErrorInvalidPropertySet")
	}
	for _, k := range []string{"start", "end"} {
		m, ok := props[k].(map[string]any)
		if !ok {
			return bad("ErrorPropertyNotSupported")
		}
		if in[k] == nil {
			continue
		}
		l := zone.Location(text(m["timeZone"]))
		t, err := time.Parse(dateOnly, strings.SplitN(text(m["dateTime"]), ".", 2)[0])
		if l == nil || err != nil {
			return bad("ErrorInvalidTimeZone")
		}
		if k == "start" {
			props["originalStartTimeZone"] = text(m["timeZone"])
		}
		wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, l)
		if props["isAllDay"] == true && (wall.Hour()|wall.Minute()|wall.Second()) != 0 {
			return bad("ErrorInvalidRequest") // the event must begin and end at midnight
		}
		props[k] = map[string]any{"dateTime": wall.UTC().Format(dateOnly) + ".0000000", "timeZone": "UTC"}
	}
	from := text(props["start"].(map[string]any)["dateTime"])
	if to := text(props["end"].(map[string]any)["dateTime"]); to < from || props["isAllDay"] == true && to == from {
		return bad("ErrorCalendarEndDateIsEarlierThanStartDate")
	}
	if b, ok := props["body"].(map[string]any); ok && !strings.EqualFold(text(b["contentType"]), "text") {
		return bad("ErrorInvalidPropertySet")
	}
	return nil
}

func text(v any) string { s, _ := v.(string); return s }

// fanOut lets attendees know: a message to each, and the meeting in the calendar
// of those who have a mailbox here. Every change of a meeting does.
func (s *Server) fanOut(kind string, from *mailbox, e *entry) {
	list, _ := e.props["attendees"].([]any)
	for _, x := range list {
		m, _ := x.(map[string]any)
		email, _ := m["emailAddress"].(map[string]any)
		to := text(email["address"])
		if to == "" || strings.EqualFold(to, from.address) {
			continue
		}
		s.ledger = append(s.ledger, Message{kind, from.address, to, text(e.props["subject"])})
		box := s.boxes[strings.ToLower(to)]
		if box == nil {
			continue
		}
		var copied *entry
		calendar := box.standard("events")
		for _, c := range calendar.entries {
			if c.props["iCalUId"] == e.props["iCalUId"] {
				copied = c
			}
		}
		props := clone(e.props)
		props["isOrganizer"] = false
		delete(props, "transactionId")
		switch {
		case kind == "cancellation" && copied != nil && !copied.gone:
			copied.props["isCancelled"] = true
			s.touch(copied)
		case kind == "cancellation":
		case copied != nil:
			copied.props, copied.gone = props, false
			s.touch(copied)
		default:
			_, _ = s.insert(&calendar.collection, props, nil)
		}
		s.tell(box, calendar, "updated")
	}
}

// Invite makes a meeting in a mailbox as its owner would: attendees are told.
func (s *Server) Invite(organizer, subject string, start, end time.Time, attendees ...string) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.boxes[strings.ToLower(organizer)]
	if box == nil {
		return "", notFound()
	}
	list := []any{}
	for _, a := range attendees {
		list = append(list, map[string]any{"type": "required", "emailAddress": map[string]any{"name": a, "address": a}})
	}
	props := defaults("events")
	at := func(t time.Time) map[string]any {
		return map[string]any{"dateTime": t.UTC().Format(dateOnly), "timeZone": "UTC"}
	}
	if err := merge("events", props, object{"subject": subject, "start": at(start), "end": at(end), "attendees": list}, true); err != nil {
		return "", err
	}
	s.serial++
	props["iCalUId"] = "uid-" + s.newID()
	props["organizer"] = map[string]any{"emailAddress": map[string]any{"name": organizer, "address": organizer}}
	e, err := s.insert(&box.standard("events").collection, props, nil)
	if err != nil {
		return "", err
	}
	s.fanOut("invitation", box, e)
	return e.id, nil
}
