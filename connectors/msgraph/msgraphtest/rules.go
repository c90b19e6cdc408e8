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
	if kind == "contacts" {
		return object{"givenName": nil, "surname": nil, "emailAddresses": []any{}, "businessPhones": []any{}, "homePhones": []any{},
			"businessAddress": map[string]any{}, "categories": []any{}}
	}
	return object{"subject": "", "body": map[string]any{"contentType": "text", "content": ""}, "location": map[string]any{"displayName": ""},
		"isAllDay": false, "sensitivity": "normal", "showAs": "busy", "isCancelled": false, "isOrganizer": true, "attendees": []any{},
		"type": "singleInstance", "recurrence": nil, "seriesMasterId": nil, "categories": []any{}}
}

// properties that a client may write.
func writable(kind string) []string {
	if kind == "contacts" {
		return []string{"givenName", "middleName", "surname", "title", "generation", "nickName", "companyName", "department", "jobTitle", "emailAddresses",
			"businessPhones", "mobilePhone", "homePhones", "businessAddress", "birthday", "businessHomePage", "personalNotes", "categories", "spouseName", "displayName"}
	}
	return []string{"subject", "body", "location", "start", "end", "isAllDay", "sensitivity", "showAs", "attendees", "categories", "transactionId", "recurrence"}
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
		if k == "subject" && utf8.RuneCountInString(v.(string)) > 255 {
			return bad("ErrorInvalidRequest")
		}
	}
	if kind == "contacts" {
		return contactRules(props)
	}
	return eventRules(props, in)
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
		for _, c := range box.events.entries {
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
			_, _ = s.insert(&box.events, props, nil)
		}
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
	e, err := s.insert(&box.events, props, nil)
	if err != nil {
		return "", err
	}
	s.fanOut("invitation", box, e)
	return e.id, nil
}
