package googletest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

var eventID = regexp.MustCompile(`^[a-v0-9]{5,1000}$`)

func (s *Server) events(r request, rest []string) (any, error) {
	switch {
	case len(rest) == 0 && r.Method == http.MethodGet:
		if err := r.allow("maxResults", "pageToken", "syncToken", "showDeleted", "singleEvents", "iCalUID"); err != nil {
			return nil, err
		}
		if r.q.Get("singleEvents") == "true" {
			return nil, bad("unknown")
		}
		if r.q.Has("iCalUID") {
			return s.byUID(r)
		}
		rows, page, next, err := s.list(r, r.events, "maxResults", "fullSyncRequired", http.StatusGone, func(i *item) any { return i.event() })
		if err != nil {
			return nil, err
		}
		out := map[string]any{"kind": "calendar#events", "items": rows}
		if page != "" {
			out["nextPageToken"] = page
		} else {
			out["nextSyncToken"] = next
		}
		return out, nil
	case len(rest) == 0 && r.Method == http.MethodPost:
		return s.insert(r)
	case len(rest) == 1 && rest[0] == "watch" && r.Method == http.MethodPost:
		return s.watch(r)
	case len(rest) == 2 && rest[1] == "instances" && r.Method == http.MethodGet && r.events[rest[0]] != nil:
		return s.instances(r, r.events[rest[0]])
	case len(rest) != 1:
		return nil, bad("unknown")
	}
	i := s.find(r, rest[0])
	if i == nil {
		return nil, notFound()
	}
	if m := r.Header.Get("If-Match"); m != "" && m != i.etag() {
		return nil, &problem{http.StatusPreconditionFailed, "conditionNotMet", "FAILED_PRECONDITION"}
	}
	switch r.Method {
	case http.MethodGet:
		return i.event(), r.allow()
	case http.MethodPatch, http.MethodPut:
		if err := r.allow("sendUpdates", "sendNotifications"); err != nil {
			return nil, err
		}
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		props := clone(i.props)
		if r.Method == http.MethodPut {
			old := props
			props = map[string]any{}
			for _, k := range []string{"organizer", "iCalUID", "recurringEventId", "originalStartTime"} {
				if old[k] != nil {
					props[k] = old[k]
				}
			}
		}
		if err := mergeEvent(props, in, false); err != nil {
			return nil, err
		}
		i.props, i.gone = props, false
		r.events[i.id] = i // an occurrence is stored once it differs
		s.touch(i)
		s.drop(r, i)
		s.stir(r.a, r.events)
		s.tell(r, "update", i)
		return i.event(), nil
	case http.MethodDelete:
		if err := r.allow("sendUpdates", "sendNotifications"); err != nil {
			return nil, err
		}
		if i.gone {
			return nil, &problem{http.StatusGone, "deleted", "NOT_FOUND"}
		}
		i.gone = true
		r.events[i.id] = i
		s.touch(i)
		for _, o := range r.events { // a series takes with it what differed from it
			if text(o.props["recurringEventId"]) == i.id && !o.lost {
				o.gone, o.lost = true, true
				s.touch(o)
			}
		}
		s.stir(r.a, r.events)
		s.tell(r, "cancellation", i)
		return nil, nil
	}
	return nil, bad("unknown")
}

// event is an event as an answer has it; of a deleted one little is left.
func (i *item) event() map[string]any {
	out := clone(i.props)
	if i.gone {
		out = map[string]any{"status": "cancelled"}
		for _, k := range []string{"recurringEventId", "originalStartTime", "iCalUID"} {
			if i.props[k] != nil && i.props["recurringEventId"] != nil {
				out[k] = i.props[k]
			}
		}
	}
	out["kind"], out["id"], out["etag"], out["updated"] = "calendar#event", i.id, i.etag(), i.updated.Format(time.RFC3339Nano)
	return out
}

func (s *Server) insert(r request) (any, error) {
	if err := r.allow("sendUpdates", "sendNotifications", "supportsAttachments"); err != nil {
		return nil, err
	}
	in, err := r.body()
	if err != nil {
		return nil, err
	}
	id := text(in["id"])
	delete(in, "id")
	if id == "" {
		id = fmt.Sprintf("e%dv", s.serial+1_000_000)
	}
	if !eventID.MatchString(id) {
		return nil, bad("invalid")
	}
	if r.events[id] != nil {
		return nil, &problem{http.StatusConflict, "duplicate", "ALREADY_EXISTS"}
	}
	self := map[string]any{"email": r.a.address, "self": true}
	props := map[string]any{"status": "confirmed", "organizer": self, "creator": self, "iCalUID": id + "@google.com"}
	if err := mergeEvent(props, in, true); err != nil {
		return nil, err
	}
	i := &item{id: id, props: props}
	r.events[id] = i
	s.touch(i)
	s.stir(r.a, r.events)
	s.tell(r, "invitation", i)
	return i.event(), nil
}

// mergeEvent applies a patch: null removes, an object is merged, all else replaces.
func mergeEvent(props, in map[string]any, fresh bool) error {
	known := []string{"summary", "description", "location", "start", "end", "visibility", "transparency", "attendees", "status", "recurrence", "reminders",
		"extendedProperties", "colorId", "guestsCanModify", "source"}
	for k, v := range in {
		if !slices.Contains(known, k) && (fresh || props[k] == nil) {
			return bad("unknown")
		}
		merge(props, k, v)
	}
	start, ok1 := props["start"].(map[string]any)
	end, ok2 := props["end"].(map[string]any)
	if !ok1 || !ok2 {
		return bad("required")
	}
	from, day1, err1 := instant(start)
	to, day2, err2 := instant(end)
	switch {
	case err1 != nil || err2 != nil || day1 != day2:
		return bad("invalid")
	case to.Before(from) || day1 && !to.After(from):
		return bad("timeRangeEmpty")
	case !slices.Contains([]string{"", "default", "public", "private", "confidential"}, text(props["visibility"])),
		!slices.Contains([]string{"", "opaque", "transparent"}, text(props["transparency"])):
		return bad("invalid")
	case len([]rune(text(props["description"]))) > 8192:
		return bad("invalid")
	}
	if m, _ := props["reminders"].(map[string]any); m != nil {
		list, _ := m["overrides"].([]any)
		if m["useDefault"] == true && len(list) > 0 || len(list) > 5 {
			return bad("invalid")
		}
		for _, x := range list {
			o, _ := x.(map[string]any)
			n, ok := o["minutes"].(float64)
			if !slices.Contains([]string{"popup", "email"}, text(o["method"])) || !ok || n < 0 || n > 40320 {
				return bad("invalid")
			}
		}
	}
	if l, _ := props["recurrence"].([]any); len(l) > 0 && !day1 && (text(start["timeZone"]) == "" || text(end["timeZone"]) == "") {
		return bad("required")
	}
	if text(props["visibility"]) == "default" {
		delete(props, "visibility") // defaults are not shown
	}
	if text(props["transparency"]) == "opaque" {
		delete(props, "transparency")
	}
	for _, k := range []string{"summary", "description", "location"} {
		if props[k] == "" {
			delete(props, k)
		}
	}
	return nil
}

func merge(into map[string]any, k string, v any) {
	old, ok1 := into[k].(map[string]any)
	m, ok2 := v.(map[string]any)
	switch {
	case v == nil:
		delete(into, k)
	case ok2:
		if !ok1 {
			old = map[string]any{}
			into[k] = old
		}
		for k2, v2 := range m {
			merge(old, k2, v2)
		}
	default:
		into[k] = v
	}
}

func instant(m map[string]any) (time.Time, bool, error) {
	if d := text(m["date"]); d != "" {
		if m["dateTime"] != nil {
			return time.Time{}, false, bad("invalid")
		}
		t, err := time.Parse(time.DateOnly, d)
		return t, true, err
	}
	if z := text(m["timeZone"]); z != "" {
		if _, err := time.LoadLocation(z); err != nil {
			return time.Time{}, false, err
		}
	}
	t, err := time.Parse(time.RFC3339, text(m["dateTime"]))
	return t, false, err
}

// tell lets guests know unless the request says that nobody is told, and keeps the
// calendars of those who have an account here in step either way.
func (s *Server) tell(r request, kind string, i *item) {
	organizer, _ := i.props["organizer"].(map[string]any)
	if text(organizer["email"]) != r.a.address {
		return
	}
	list, _ := i.props["attendees"].([]any)
	for _, x := range list {
		g, _ := x.(map[string]any)
		to := text(g["email"])
		if to == "" || strings.EqualFold(to, r.a.address) {
			continue
		}
		if r.q.Get("sendUpdates") != "none" {
			s.ledger = append(s.ledger, Message{kind, r.a.address, to, text(i.props["summary"])})
		}
		a := s.accounts[to]
		if a == nil {
			continue
		}
		copied := a.events[i.id]
		if copied == nil {
			copied = &item{id: i.id}
			a.events[i.id] = copied
		}
		props := clone(i.props)
		private, _ := props["extendedProperties"].(map[string]any)
		delete(private, "private") // a guest's copy has not the organizer's
		copied.props, copied.gone = props, kind == "cancellation"
		s.touch(copied)
	}
}

// Subjects lists the events that an account has, by summary and id.
func (s *Server) Subjects(address string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, i := range s.accounts[address].events {
		if !i.gone {
			out[text(i.props["summary"])] = i.id
		}
	}
	return out
}

// Receive puts a meeting into an account's calendar, as an invitation from an
// organizer elsewhere does.
func (s *Server) Receive(address, uid, organizer, subject string, start, end time.Time, attendees ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, a := range attendees {
		list = append(list, map[string]any{"email": a, "responseStatus": "needsAction"})
	}
	i := &item{id: fmt.Sprintf("r%dv", s.serial+1_000_000), props: map[string]any{"status": "confirmed", "summary": subject, "iCalUID": uid,
		"organizer": map[string]any{"email": organizer}, "attendees": list,
		"start": map[string]any{"dateTime": start.UTC().Format(time.RFC3339), "timeZone": "UTC"}, "end": map[string]any{"dateTime": end.UTC().Format(time.RFC3339), "timeZone": "UTC"}}}
	s.accounts[address].events[i.id] = i
	s.touch(i)
	return i.id
}

// Discard removes an event as its owner does, telling nobody.
func (s *Server) Discard(address, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.accounts[address].events[id]; i != nil {
		i.gone = true
		s.touch(i)
	}
}
