package ewstest

import (
	"maps"
	"strings"
	"time"
)

// Receive puts a meeting into a mailbox's calendar, as an invitation from an
// organizer elsewhere does.
func (s *Server) Receive(mailbox, uid, organizer, subject string, start, end time.Time, attendees ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.box(mailbox)
	if box == nil {
		return ""
	}
	return s.insert(box.folder("calendar"), "CalendarItem", map[string]string{"calendar:UID": uid, "calendar:Organizer": organizer, "item:Subject": subject,
		"calendar:Start": start.UTC().Format(time.RFC3339), "calendar:End": end.UTC().Format(time.RFC3339), "calendar:RequiredAttendees": strings.Join(attendees, "\n"),
		"calendar:IsCancelled": "false", "item:Sensitivity": "Normal", "calendar:LegacyFreeBusyStatus": "Busy"}).id
}

// Subjects lists the appointments that a mailbox has, by subject and id.
func (s *Server) Subjects(mailbox string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, e := range s.box(mailbox).folder("calendar").entries {
		if !e.gone {
			out[e.props["item:Subject"]] = e.id
		}
	}
	return out
}

// fanOut lets attendees know: a message to each, and the meeting in the calendar
// of those who have a mailbox here.
func (s *Server) fanOut(kind string, from *mailbox, e *entry) {
	list := e.props["calendar:RequiredAttendees"]
	if list == "" || e.props["calendar:Organizer"] != from.address {
		return
	}
	for to := range strings.SplitSeq(list, "\n") {
		if strings.EqualFold(to, from.address) {
			continue
		}
		s.ledger = append(s.ledger, Message{kind, from.address, to, e.props["item:Subject"]})
		box := s.box(to)
		if box == nil {
			continue
		}
		f := box.folder("calendar")
		var copied *entry
		for _, c := range f.entries {
			if c.props["calendar:UID"] == e.props["calendar:UID"] {
				copied = c
			}
		}
		switch {
		case kind == "cancellation" && copied != nil && !copied.gone:
			copied.props["calendar:IsCancelled"] = "true"
			s.touch(copied)
		case kind == "cancellation":
		case copied != nil:
			copied.props, copied.gone = maps.Clone(e.props), false
			s.touch(copied)
		default:
			s.insert(f, "CalendarItem", maps.Clone(e.props))
		}
	}
}
