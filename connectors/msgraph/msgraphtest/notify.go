package msgraphtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// subscription is somebody's wish to be told of changes.
type subscription struct {
	id        string
	box       *mailbox
	kind      string
	folder    string // "" for all
	changes   []string
	url       string
	lifecycle string
	state     string
	expires   time.Time
	immutable bool
}

// longest is how long subscriptions to a sort of items live at most ("Maximum
// length of subscription per resource type").
func longest(kind string) time.Duration {
	if kind == "tasks" {
		return 4230 * time.Minute
	}
	return 10080 * time.Minute
}

var subscribed = regexp.MustCompile(`^/?(me|users/[^/]+)/(?:(contacts|events|messages)|(contactFolders|mailFolders|calendars)/([^/]+)/(?:contacts|messages|events)|(todo/lists)/([^/]+)/tasks)$`)

func (u *subscription) show() object {
	return object{"id": u.id, "changeType": strings.Join(u.changes, ","), "notificationUrl": u.url, "lifecycleNotificationUrl": u.lifecycle,
		"expirationDateTime": u.expires.UTC().Format(time.RFC3339)}
}

// subscriptions answers requests for subscriptions. The new one's address is
// asked first whether it wants it; that happens while nobody else is served.
func (s *Server) subscriptions(r *http.Request, rest []string) (any, error) {
	switch {
	case len(rest) == 0 && r.Method == http.MethodPost:
		return s.subscribe(r)
	case len(rest) == 0 && r.Method == http.MethodGet:
		rows := []object{}
		for _, u := range s.subs {
			rows = append(rows, u.show())
		}
		return object{"value": rows}, nil
	}
	at := slices.IndexFunc(s.subs, func(u *subscription) bool { return len(rest) > 0 && u.id == rest[0] })
	if at < 0 {
		return nil, &problem{status: http.StatusNotFound, code: "ResourceNotFound"}
	}
	u := s.subs[at]
	switch {
	case len(rest) == 1 && r.Method == http.MethodDelete:
		s.subs = slices.Delete(s.subs, at, at+1)
		return nil, nil
	case len(rest) == 2 && rest[1] == "reauthorize" && r.Method == http.MethodPost:
		return nil, nil
	case len(rest) == 1 && r.Method == http.MethodPatch:
		var in struct {
			Until time.Time `json:"expirationDateTime"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Until.Before(s.o.Now()) || in.Until.After(s.o.Now().Add(longest(u.kind))) {
			return nil, bad("ValidationError")
		}
		u.expires = in.Until
		return u.show(), nil
	}
	return nil, bad("BadRequest")
}

func (s *Server) subscribe(r *http.Request) (any, error) {
	var in struct {
		Changes   string    `json:"changeType"`
		URL       string    `json:"notificationUrl"`
		Lifecycle string    `json:"lifecycleNotificationUrl"`
		Resource  string    `json:"resource"`
		Until     time.Time `json:"expirationDateTime"`
		State     string    `json:"clientState"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.State) > 128 {
		return nil, bad("BadRequest")
	}
	m := subscribed.FindStringSubmatch(in.Resource)
	if m == nil {
		return nil, bad("BadRequest")
	}
	address := s.o.Mailboxes[0]
	if _, a, ok := strings.Cut(m[1], "/"); ok {
		address, _ = url.PathUnescape(a)
	}
	box := s.boxes[strings.ToLower(address)]
	if box == nil {
		return nil, &problem{status: http.StatusNotFound, code: "ResourceNotFound"}
	}
	u := &subscription{id: rand.Text(), box: box, kind: m[2], folder: m[4] + m[6], changes: strings.Split(in.Changes, ","), url: in.URL, lifecycle: in.Lifecycle,
		state: in.State, expires: in.Until, immutable: strings.Contains(r.Header.Get("Prefer"), `IdType="ImmutableId"`)}
	if u.kind == "" {
		u.kind = map[string]string{"contactFolders": "contacts", "mailFolders": "messages", "calendars": "events", "todo/lists": "tasks"}[m[3]+m[5]]
	}
	for _, c := range u.changes {
		if !slices.Contains([]string{"created", "updated", "deleted"}, c) {
			return nil, bad("BadRequest")
		}
	}
	if in.Until.Before(s.o.Now()) || in.Until.After(s.o.Now().Add(longest(u.kind))) || in.Lifecycle == "" && in.Until.After(s.o.Now().Add(time.Hour)) {
		return nil, bad("ValidationError")
	}
	for _, to := range slices.Compact([]string{u.url, u.lifecycle}) {
		if to != "" && !s.validated(to) {
			return nil, bad("ValidationError")
		}
	}
	s.subs = append(s.subs, u)
	return created{u.show()}, nil
}

// validated asks an address to repeat a token as plain text within ten seconds
// ("notificationUrl validation").
func (s *Server) validated(to string) bool {
	token := "Validation: Testing client application & " + rand.Text()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to+"?validationToken="+url.QueryEscape(token), nil)
	if err != nil || r.URL.Scheme != "https" || s.o.Client == nil {
		return false
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := s.o.Client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return err == nil && resp.StatusCode == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") && string(b) == token
}

// tell notes that subscribers of a folder are to be told of a change; Deliver
// does.
func (s *Server) tell(box *mailbox, f *folder, change string) {
	for _, u := range s.subs {
		if u.box == box && u.kind == f.kind && (u.folder == "" || u.folder == f.id || u.folder == f.known) && slices.Contains(u.changes, change) && s.o.Now().Before(u.expires) {
			s.news = append(s.news, message{u.url, object{"subscriptionId": u.id, "subscriptionExpirationDateTime": u.expires.Format(time.RFC3339), "changeType": change,
				"clientState": u.state, "tenantId": "84bd8158-6d4d-4958-8b9f-9d6445542f95", "resource": "Users/x/Items/y", "resourceData": object{"id": "y"}}})
		}
	}
}

// message is what is still to be sent to a subscriber.
type message struct {
	to   string
	what object
}

// Lifecycle notes that all subscribers are to be told that their subscription
// needs something: "reauthorizationRequired", "subscriptionRemoved", which also
// removes it, or "missed".
func (s *Server) Lifecycle(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.subs {
		s.news = append(s.news, message{u.lifecycle, object{"subscriptionId": u.id, "subscriptionExpirationDateTime": u.expires.Format(time.RFC3339),
			"clientState": u.state, "tenantId": "84bd8158-6d4d-4958-8b9f-9d6445542f95", "lifecycleEvent": event}})
	}
	if event == "subscriptionRemoved" {
		s.subs = nil
	}
}

// Deliver sends the notifications that are due, those for one address together,
// and returns the status of each answer.
func (s *Server) Deliver() []int {
	s.mu.Lock()
	news := s.news
	s.news = nil
	s.mu.Unlock()
	var out []int
	for len(news) > 0 {
		to := news[0].to
		var value []object
		news = slices.DeleteFunc(news, func(m message) bool {
			if m.to == to {
				value = append(value, m.what)
			}
			return m.to == to
		})
		b, _ := json.Marshal(object{"value": value})
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, to, bytes.NewReader(b))
		if err != nil {
			continue
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := s.o.Client.Do(r)
		if err != nil {
			out = append(out, 0)
			continue
		}
		_ = resp.Body.Close()
		out = append(out, resp.StatusCode)
	}
	return out
}

// Subscriptions is how many there are.
func (s *Server) Subscriptions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subs)
}
