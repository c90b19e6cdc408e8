package ewstest

import (
	"strings"
	"time"
)

// Receive puts a meeting into a mailbox's calendar, as an invitation from an
// organizer elsewhere does.
func (s *Server) Receive(mailbox, uid, organizer, subject string, start, end time.Time, attendees ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.boxes[strings.ToLower(mailbox)]
	if box == nil {
		return ""
	}
	return s.insert(box.folders["CalendarItem"], map[string]string{"calendar:UID": uid, "calendar:Organizer": organizer, "item:Subject": subject,
		"calendar:Start": start.UTC().Format(time.RFC3339), "calendar:End": end.UTC().Format(time.RFC3339), "calendar:RequiredAttendees": strings.Join(attendees, "\n"),
		"calendar:IsCancelled": "false", "item:Sensitivity": "Normal", "calendar:LegacyFreeBusyStatus": "Busy"}).id
}

// Subjects lists the appointments that a mailbox has, by subject and id.
func (s *Server) Subjects(mailbox string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, e := range s.boxes[strings.ToLower(mailbox)].folders["CalendarItem"].entries {
		if !e.gone {
			out[e.props["item:Subject"]] = e.id
		}
	}
	return out
}

// Discard removes an appointment as its owner does, telling nobody.
func (s *Server) Discard(mailbox, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.boxes[strings.ToLower(mailbox)].folders["CalendarItem"].entries[id]; e != nil {
		s.touch(e)
		e.gone = true
	}
}
