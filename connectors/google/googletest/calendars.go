package googletest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// secondary is a calendar beside the primary one.
type secondary struct {
	name   string
	events map[string]*item
}

// calendars answers for the calendars of an account as such.
func (s *Server) calendars(r request, parts []string) (any, error) {
	switch path := strings.Join(parts, "/"); {
	case path == "users/me/calendarList" && r.Method == http.MethodGet:
		list := []any{map[string]any{"kind": "calendar#calendarListEntry", "id": r.a.address, "summary": r.a.address, "primary": true, "accessRole": "owner"}}
		for id, c := range r.a.others {
			list = append(list, map[string]any{"kind": "calendar#calendarListEntry", "id": id, "summary": c.name, "accessRole": "owner"})
		}
		return map[string]any{"kind": "calendar#calendarList", "items": list}, r.allow("maxResults", "minAccessRole", "pageToken", "showDeleted", "showHidden")
	case path == "calendars" && r.Method == http.MethodPost:
		in, err := r.body()
		if err != nil || text(in["summary"]) == "" {
			return nil, bad("required")
		}
		return map[string]any{"kind": "calendar#calendar", "id": s.addCalendar(r.a, text(in["summary"])), "summary": in["summary"]}, r.allow()
	case path == "channels/stop" && r.Method == http.MethodPost:
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		for i, c := range r.a.channels {
			if c.id == text(in["id"]) && c.resource == text(in["resourceId"]) {
				r.a.channels = slices.Delete(r.a.channels, i, i+1)
				return nil, r.allow()
			}
		}
		return nil, notFound()
	}
	return nil, bad("unknown")
}

func (s *Server) addCalendar(a *account, name string) string {
	s.serial++
	id := fmt.Sprintf("c_%d@group.calendar.google.com", s.serial)
	a.others[id] = &secondary{name, map[string]*item{}}
	return id
}

// AddCalendar makes a calendar beside the primary one, and returns its id.
func (s *Server) AddCalendar(address, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addCalendar(s.accounts[address], name)
}

// channel is how somebody is told that something changed.
type channel struct {
	id, token, address, resource string
	events                       map[string]*item // of which calendar
	expires                      time.Time
	told                         int
}

// watch opens a channel. It says nothing of what changed, only that something did.
func (s *Server) watch(r request) (any, error) {
	if err := r.allow("eventTypes"); err != nil {
		return nil, err
	}
	in, err := r.body()
	if err != nil {
		return nil, err
	}
	c := &channel{id: text(in["id"]), token: text(in["token"]), address: text(in["address"]), events: r.events, expires: s.o.Now().Add(7 * 24 * time.Hour)}
	switch {
	case text(in["type"]) != "web_hook" || c.id == "" || len(c.id) > 64 || len(c.token) > 256:
		return nil, bad("invalid")
	case !strings.HasPrefix(c.address, "https://"):
		return nil, &problem{http.StatusUnauthorized, "push.webhookUrlUnauthorized", "UNAUTHENTICATED"}
	case slices.ContainsFunc(r.a.channels, func(o *channel) bool { return o.id == c.id }):
		return nil, bad("channelIdNotUnique")
	}
	if v, err := strconv.ParseInt(text(in["expiration"]), 10, 64); err == nil && time.UnixMilli(v).Before(c.expires) {
		c.expires = time.UnixMilli(v)
	}
	s.serial++
	c.resource = fmt.Sprintf("res%d", s.serial)
	r.a.channels = append(r.a.channels, c)
	s.notify(c, "sync")
	return map[string]any{"kind": "api#channel", "id": c.id, "resourceId": c.resource, "resourceUri": "https://www.googleapis.com/calendar/v3/calendars/x/events", "token": c.token,
		"expiration": strconv.FormatInt(c.expires.UnixMilli(), 10)}, nil
}

// notify tells one channel. What somebody does with it is no concern of the service.
func (s *Server) notify(c *channel, state string) {
	if s.o.Notify == nil {
		return
	}
	c.told++
	s.o.Notify(c.address, http.Header{"X-Goog-Channel-Id": {c.id}, "X-Goog-Channel-Token": {c.token}, "X-Goog-Resource-Id": {c.resource}, "X-Goog-Resource-State": {state},
		"X-Goog-Message-Number": {strconv.Itoa(c.told)}, "X-Goog-Channel-Expiration": {c.expires.UTC().Format(http.TimeFormat)}})
}

// stir tells the channels of a calendar that something changed in it.
func (s *Server) stir(a *account, events map[string]*item) {
	for _, c := range a.channels {
		if fmt.Sprintf("%p", c.events) == fmt.Sprintf("%p", events) && s.o.Now().Before(c.expires) {
			s.notify(c, "exists")
		}
	}
}

// starts are the first occurrences of a series, whatever became of them.
func starts(i *item, most int) []time.Time {
	list, _ := i.props["recurrence"].([]any)
	if len(list) == 0 {
		return nil
	}
	when, _ := i.props["start"].(map[string]any)
	first, _, err := instant(when)
	if err != nil {
		return nil
	}
	zone, err := time.LoadLocation(text(when["timeZone"]))
	if err != nil {
		zone = time.UTC
	}
	var set rrule.Set
	set.DTStart(first.In(zone))
	for _, l := range list {
		if rule, ok := strings.CutPrefix(text(l), "RRULE:"); ok {
			if o, err := rrule.StrToROption(rule); err == nil {
				o.Dtstart = first.In(zone)
				if r, err := rrule.NewRRule(*o); err == nil {
					set.RRule(r)
				}
			}
		}
	}
	for _, l := range list {
		if days, ok := strings.CutPrefix(text(l), "RDATE:"); ok {
			for d := range strings.SplitSeq(days, ",") {
				if t, err := time.Parse("20060102T150405Z", d); err == nil {
					set.RDate(t)
				}
			}
		}
	}
	var out []time.Time
	next := set.Iterator()
	for len(out) < most {
		t, ok := next()
		if !ok {
			break
		}
		out = append(out, t.UTC())
	}
	return out
}

const maxInstances = 250

// drop takes from a series what differs from occurrences that it does not have any
// more.
func (s *Server) drop(r request, master *item) {
	all := starts(master, maxInstances)
	for _, o := range r.events {
		if text(o.props["recurringEventId"]) != master.id || o.lost {
			continue
		}
		w, _ := o.props["originalStartTime"].(map[string]any)
		at, day, err := instant(w)
		if first, _ := master.props["start"].(map[string]any); err != nil || day != (text(first["date"]) != "") || !slices.ContainsFunc(all, at.Equal) {
			o.gone, o.lost = true, true
			s.touch(o)
		}
	}
}

func occurrenceID(master *item, at time.Time) string {
	if m, _ := master.props["start"].(map[string]any); text(m["date"]) != "" {
		return master.id + "_" + at.Format("20060102")
	}
	return master.id + "_" + at.UTC().Format("20060102T150405Z")
}

// occurrence is one occurrence of a series: the one that differs, or one as the
// series says, which is not stored.
func (s *Server) occurrence(r request, master *item, at time.Time) *item {
	id := occurrenceID(master, at)
	if i := r.events[id]; i != nil {
		return i
	}
	props := clone(master.props)
	delete(props, "recurrence")
	start, _ := props["start"].(map[string]any)
	end, _ := props["end"].(map[string]any)
	from, _, _ := instant(start)
	to, _, _ := instant(end)
	shift := at.Sub(from)
	props["originalStartTime"] = clone(shifted(start, from, shift))
	props["start"], props["end"], props["recurringEventId"] = shifted(start, from, shift), shifted(end, to, shift), master.id
	return &item{id: id, props: props, seq: master.seq, version: master.version, updated: master.updated}
}

func shifted(w map[string]any, at time.Time, by time.Duration) map[string]any {
	out := clone(w)
	if text(w["date"]) != "" {
		out["date"] = at.Add(by).Format(time.DateOnly)
	} else {
		out["dateTime"] = at.Add(by).Format(time.RFC3339)
	}
	return out
}

// find is an event by id, perhaps an occurrence that nobody has touched.
func (s *Server) find(r request, id string) *item {
	if i := r.events[id]; i != nil {
		return i
	}
	cut := strings.LastIndexByte(id, '_')
	if cut < 0 {
		return nil
	}
	master := r.events[id[:cut]]
	if master == nil || master.gone {
		return nil
	}
	for _, at := range starts(master, maxInstances) {
		if occurrenceID(master, at) == id {
			return s.occurrence(r, master, at)
		}
	}
	return nil
}

// instances lists the occurrences of a series.
func (s *Server) instances(r request, master *item) (any, error) {
	if err := r.allow("maxResults", "pageToken", "showDeleted", "timeMin", "timeMax", "originalStart"); err != nil {
		return nil, err
	}
	list := []any{}
	for _, at := range starts(master, maxInstances) {
		if v := r.q.Get("originalStart"); v != "" && v != at.Format(time.RFC3339) && v != at.Format(time.DateOnly) {
			continue
		}
		if i := s.occurrence(r, master, at); !i.gone || r.q.Get("showDeleted") == "true" {
			list = append(list, i.event())
		}
	}
	return map[string]any{"kind": "calendar#events", "items": list}, nil
}

// byUID lists a series and what differs from it.
func (s *Server) byUID(r request) (any, error) {
	if r.q.Get("syncToken") != "" {
		return nil, bad("invalid") // "Events: list" does not take both
	}
	var rows []*item
	for _, i := range r.events {
		part := i.props["recurringEventId"] != nil
		if i.uid() == r.q.Get("iCalUID") && !i.lost && (!i.gone || part || r.q.Get("showDeleted") == "true") {
			rows = append(rows, i)
		}
	}
	slices.SortFunc(rows, func(a, b *item) int { return strings.Compare(a.id, b.id) })
	list := []any{}
	for _, i := range rows {
		list = append(list, i.event())
	}
	return map[string]any{"kind": "calendar#events", "items": list, "nextSyncToken": "none"}, nil
}

func (i *item) uid() string { return text(i.props["iCalUID"]) }

// Alone puts one occurrence of somebody else's series into an account's calendar, as
// an invitation to that one does, and returns its id.
func (s *Server) Alone(address, series string, at time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	when := func(t time.Time) map[string]any {
		return map[string]any{"dateTime": t.UTC().Format(time.RFC3339), "timeZone": "UTC"}
	}
	i := &item{id: series + "_" + at.UTC().Format("20060102T150405Z"), props: map[string]any{"status": "confirmed", "summary": "one of them", "iCalUID": series + "@google.com",
		"recurringEventId": series, "originalStartTime": when(at), "start": when(at), "end": when(at.Add(time.Hour))}}
	s.accounts[address].events[i.id] = i
	s.touch(i)
	return i.id
}
