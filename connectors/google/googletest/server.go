package googletest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options of a Server.
type Options struct {
	Accounts map[string]string // address by bearer token
	PageSize int               // of listings and histories; zero: 100, and never more than was asked for
	Lag      int               // how many requests it takes until a change of a contact shows in listings
	Inline   int               // longest text of a mail that comes along with it, in bytes; zero: 1 MiB
	Now      func() time.Time

	// Notify gets what the service sends to the address of a channel. It is called
	// while a request is served and must not send another one.
	Notify func(address string, h http.Header)

	// OneRoot serves every service below this path as well, for a suite that has
	// one address only.
	OneRoot string
}

// Message is one mail that a change of a meeting has sent.
type Message struct {
	Kind    string // "invitation", "update" or "cancellation"
	From    string
	To      string
	Subject string
}

// Server is the service. It implements http.Handler. Safe for concurrent use.
type Server struct {
	o Options

	mu       sync.Mutex
	accounts map[string]*account // by address
	serial   int
	requests int
	epoch    int
	forgot   time.Time // tasks that changed before are not told
	ledger   []Message
	busy     []Busy
	unknown  []string
}

// Busy is how the next request is told to wait: with 403 or 429.
// Reason is the one that is given, empty: userRateLimitExceeded. After is a header
// Retry-After, empty: none.
type Busy struct {
	Status int
	Reason string
	After  string
}

// New makes a service with empty accounts.
func New(o *Options) *Server {
	s := &Server{o: *o, accounts: map[string]*account{}, serial: 1}
	if s.o.PageSize <= 0 {
		s.o.PageSize = 100
	}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	if s.o.Inline <= 0 {
		s.o.Inline = 1 << 20
	}
	for _, a := range s.o.Accounts {
		s.accounts[a] = &account{address: a, events: map[string]*item{}, people: map[string]*item{}, tasks: map[string]*item{}, others: map[string]*secondary{}, groups: map[string]string{}, mail: newMailbox()}
	}
	return s
}

// Ledger returns every message that meetings have sent so far.
func (s *Server) Ledger() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger)
}

// Unknown returns the requests that the service did not know.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Expire ends all change histories.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.forgot = s.o.Now().Add(time.Hour)
	for _, a := range s.accounts {
		a.mail.oldest = a.mail.current() + 1
		a.mail.log = append(a.mail.log, happening{id: a.mail.oldest, what: "labelsAdded"})
	}
}

// TellToWait makes the next requests be told to wait, one after the other.
func (s *Server) TellToWait(how ...Busy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = how
}

// account is what one user has.
type account struct {
	address string
	events  map[string]*item
	people  map[string]*item
	mail    *mailbox
	tasks   map[string]*item
	others  map[string]*secondary
	groups  map[string]string // name by id

	channels []*channel
	watching bool // mails
}

// item is an event or a contact, as JSON has it.
type item struct {
	id      string
	props   map[string]any
	seq     int
	version int
	shown   int // the request from which listings show it
	updated time.Time
	gone    bool
	lost    bool // with the series that it was part of
	born    int
}

func (i *item) etag() string {
	return strconv.Quote(strconv.Itoa(3_000_000_000_000 + i.version*1000 + i.seq))
}

func (s *Server) touch(i *item) {
	s.serial++
	i.seq, i.version, i.updated = s.serial, i.version+1, s.o.Now().UTC().Truncate(time.Millisecond)
	i.shown = s.requests + s.o.Lag
}

// problem is an error as Google writes it.
type problem struct {
	status int
	reason string
	name   string
}

func (p *problem) Error() string { return p.reason }

func bad(reason string) *problem {
	return &problem{http.StatusBadRequest, reason, "INVALID_ARGUMENT"}
}
func notFound() *problem { return &problem{http.StatusNotFound, "notFound", "NOT_FOUND"} }

const maxBody = 4 << 20

// request is one request of an account.
type request struct {
	*http.Request
	a      *account
	q      url.Values
	events map[string]*item // of the calendar that the request is for
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.rooted(r)
	if r.URL.Path == "/batch/gmail/v1" && s.o.Accounts[token] != "" {
		s.batch(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[s.o.Accounts[token]]
	if a == nil || token == "" {
		answer(w, nil, &problem{http.StatusUnauthorized, "authError", "UNAUTHENTICATED"}, "")
		return
	}
	if len(s.busy) > 0 {
		how := s.busy[0]
		s.busy = s.busy[1:]
		if how.Reason == "" {
			how.Reason = "userRateLimitExceeded"
		}
		if how.After != "" {
			w.Header().Set("Retry-After", how.After)
		}
		answer(w, nil, &problem{how.Status, how.Reason, "RESOURCE_EXHAUSTED"}, "")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.requests++
	v, err := s.route(request{Request: r, a: a, q: r.URL.Query()})
	if p, ok := err.(*problem); ok && p.reason == "unknown" {
		s.unknown = append(s.unknown, r.Method+" "+r.URL.RequestURI())
	}
	answer(w, v, err, r.URL.Query().Get("fields"))
}

// rooted makes of a path below the one root that of its service.
func (s *Server) rooted(r *http.Request) {
	batch := strings.HasPrefix(r.URL.Path, "/batch"+s.o.OneRoot)
	if s.o.OneRoot == "" || !batch && !strings.HasPrefix(r.URL.Path, s.o.OneRoot+"/") {
		return
	}
	if batch {
		r.URL.Path, r.URL.RawPath = "/batch/gmail/v1", ""
		return
	}
	for first, service := range map[string]string{"calendars": "/calendar/v3", "people": "/v1", "users": "/gmail/v1", "lists": "/tasks/v1"} {
		if rest := strings.TrimPrefix(r.URL.Path, s.o.OneRoot+"/"); strings.HasPrefix(rest, first) {
			raw := strings.TrimPrefix(r.URL.EscapedPath(), s.o.OneRoot)
			r.URL.Path, r.URL.RawPath = service+"/"+rest, service+raw
			return
		}
	}
}

func answer(w http.ResponseWriter, v any, err error, mask string) {
	if err == nil && v != nil && mask != "" {
		// What the mask sees is what would be sent.
		plain := map[string]any{}
		b, failed := json.Marshal(v)
		if failed != nil || json.Unmarshal(b, &plain) != nil {
			err = bad("invalid")
		} else if kept, ok := masked(plain, mask); ok {
			v = kept
		} else {
			err = bad("invalidParameter")
		}
	}
	if p, ok := err.(*problem); ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": p.status, "message": p.reason, "status": p.name,
			"errors":  []any{map[string]any{"reason": p.reason, "domain": "global", "message": p.reason}},
			"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": p.reason}}}})
		return
	}
	if v == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) route(r request) (any, error) {
	var parts []string
	for p := range strings.SplitSeq(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/") {
		d, err := url.PathUnescape(p)
		if err != nil {
			return nil, bad("unknown")
		}
		parts = append(parts, d)
	}
	switch {
	case len(parts) >= 5 && strings.Join(parts[:3], "/") == "calendar/v3/calendars" && parts[4] == "events":
		r.events = r.a.events
		if parts[3] != "primary" && parts[3] != r.a.address {
			c := r.a.others[parts[3]]
			if c == nil {
				return nil, notFound()
			}
			r.events = c.events
		}
		return s.events(r, parts[5:])
	case len(parts) >= 3 && parts[0] == "calendar" && parts[1] == "v3":
		return s.calendars(r, parts[2:])
	case len(parts) >= 3 && parts[0] == "tasks" && parts[1] == "v1":
		return s.tasks(r, parts[2:])
	case len(parts) >= 5 && strings.Join(parts[:3], "/") == "gmail/v1/users":
		if parts[3] != "me" && parts[3] != r.a.address {
			return nil, notFound()
		}
		return s.gmail(r, parts[4:])
	case parts[0] == "v1":
		return s.people(r, strings.Join(parts[1:], "/"))
	}
	return nil, bad("unknown")
}

// allow refuses parameters that an operation does not have.
func (r request) allow(names ...string) error {
	for k := range r.q {
		if !slices.Contains(append(names, "alt", "prettyPrint", "fields"), k) {
			return bad("unknown")
		}
	}
	return nil
}

func (r request) body() (map[string]any, error) {
	var v map[string]any
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil || v == nil {
		return nil, bad("parseError")
	}
	return v, nil
}

// history is what a token holds: what to list, and how far that is.
type history struct {
	Epoch, Since, To, At int
	All                  bool
}

func (h history) String() string {
	b, _ := json.Marshal(h)
	return base64.RawURLEncoding.EncodeToString(b)
}

// list answers a page of items, in the order of their last change.
func (s *Server) list(r request, items map[string]*item, most, expired string, status int, show func(*item) any) ([]any, string, string, error) {
	h := history{Epoch: s.epoch, To: s.serial, All: true}
	if t := r.q.Get("pageToken") + ""; t != "" {
		b, err := base64.RawURLEncoding.DecodeString(t)
		if err != nil || json.Unmarshal(b, &h) != nil {
			return nil, "", "", bad("invalidPageToken")
		}
	} else if t := r.q.Get("syncToken"); t != "" {
		b, err := base64.RawURLEncoding.DecodeString(t)
		if err != nil || json.Unmarshal(b, &h) != nil {
			return nil, "", "", bad("invalidSyncToken")
		}
		h.To, h.At, h.All = s.serial, h.Since, false
	}
	if h.Epoch != s.epoch {
		return nil, "", "", &problem{status, expired, "FAILED_PRECONDITION_OF_HISTORY"}
	}
	n, err := strconv.Atoi(r.q.Get(most))
	if err != nil || n <= 0 || n > s.o.PageSize {
		n = s.o.PageSize
	}
	var rows []*item
	for _, i := range items {
		if i.seq > h.At && i.seq <= h.To && (!i.gone || !h.All || i.props["recurringEventId"] != nil && !i.lost) {
			rows = append(rows, i)
		}
	}
	slices.SortFunc(rows, func(a, b *item) int { return a.seq - b.seq })
	// What does not show yet holds back all that came after it.
	if k := slices.IndexFunc(rows, func(i *item) bool { return i.shown > s.requests }); k >= 0 {
		h.To = rows[k].seq - 1
		rows = rows[:k]
	}
	out := []any{}
	for _, i := range rows[:min(n, len(rows))] {
		h.At = i.seq
		out = append(out, show(i))
	}
	if len(rows) > n {
		return out, h.String(), "", nil
	}
	return out, "", history{Epoch: s.epoch, Since: max(h.To, 1)}.String(), nil
}

func clone(v map[string]any) map[string]any {
	b, err := json.Marshal(v)
	out := map[string]any{}
	if err == nil {
		_ = json.Unmarshal(b, &out)
	}
	return out
}

func text(v any) string { s, _ := v.(string); return s }

func (s *Server) newID(prefix string) string {
	s.serial++
	return prefix + fmt.Sprintf("%d", 7_000_000_000_000+s.serial*37)
}
