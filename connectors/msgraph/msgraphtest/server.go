package msgraphtest

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Server.
type Options struct {
	Token     string   // the bearer token that is asked for
	Mailboxes []string // addresses; the first is what /me is
	PageSize  int      // of listings and histories; zero: 10, and never more than was asked for
	Now       func() time.Time

	// Denied are mailboxes that the credential has no access to.
	Denied []string
	// HeadersInDelta makes change histories of mails carry the headers of a mail
	// where they were selected. Nobody has promised that.
	HeadersInDelta bool
	// UploadHost is where the addresses of upload sessions lead, as in
	// "127.0.0.1:8443"; "": where the request for one came to. Graph's are never
	// at its own host.
	UploadHost string
	// Client sends notifications; nil: subscriptions are refused.
	Client *http.Client
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
	boxes    map[string]*mailbox // by address in lower case
	serial   int
	epoch    int // of histories: those of an earlier one have ended
	ledger   []Message
	busy     int // how many requests are still to be told to wait
	requests int
	unknown  []string

	uploads   map[string]*upload // by token
	loseParts int
	subs      []*subscription
	news      []message
}

// New makes a service with empty mailboxes.
func New(o *Options) *Server {
	s := &Server{o: *o, boxes: map[string]*mailbox{}, uploads: map[string]*upload{}}
	if s.o.PageSize <= 0 {
		s.o.PageSize = 10
	}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	for _, a := range s.o.Mailboxes {
		s.boxes[strings.ToLower(a)] = s.newMailbox(a)
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
}

// Throttle makes the next n requests, each in a batch counting, answer 429.
func (s *Server) Throttle(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = n
}

// problem is an error as the service writes it.
type problem struct {
	status int
	code   string
	header map[string]string
}

func (p *problem) Error() string { return p.code }

func bad(code string) *problem { return &problem{status: http.StatusBadRequest, code: code} }
func notFound() *problem {
	return &problem{status: http.StatusNotFound, code: "ErrorItemNotFound"}
}

const maxBody = 6 << 20

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/v2.0/uploads" {
		s.uploaded(w, r)
		return
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Token)) != 1 {
		s.answer(w, nil, &problem{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.URL.Path == "/v1.0/$batch" {
		s.batch(w, r)
		return
	}
	v, err := s.one(r)
	s.answer(w, v, err)
}

// one carries out a single request.
func (s *Server) one(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.busy > 0 {
		s.busy--
		return nil, &problem{status: http.StatusTooManyRequests, code: "ApplicationThrottled", header: map[string]string{"Retry-After": "0"}}
	}
	v, err := s.route(r)
	if p, ok := err.(*problem); ok && p.code == "BadRequest" {
		s.unknown = append(s.unknown, r.Method+" "+r.URL.RequestURI())
	}
	return v, err
}

// created is an answer with status 201.
type created struct{ v any }

func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	if p, ok := err.(*problem); ok {
		for k, h := range p.header {
			w.Header().Set(k, h)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": p.code, "message": p.code}})
		return
	}
	if v == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if b, ok := v.(raw); ok {
		w.Header().Set("Content-Type", b.mediaType)
		_, _ = w.Write(b.b)
		return
	}
	w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
	if c, ok := v.(created); ok {
		w.WriteHeader(http.StatusCreated)
		v = c.v
	}
	_ = json.NewEncoder(w).Encode(v)
}

// batch carries out up to twenty requests, in the order of their ids reversed:
// nobody may count on an order.
func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	type request struct {
		ID      string            `json:"id"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	}
	var in struct {
		Requests []request `json:"requests"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost || len(in.Requests) == 0 || len(in.Requests) > 20 {
		s.answer(w, nil, bad("BadRequest"))
		return
	}
	type response struct {
		ID      string            `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}
	var out struct {
		Responses []response `json:"responses"`
	}
	seen := map[string]bool{}
	slices.Reverse(in.Requests)
	for _, q := range in.Requests {
		if seen[q.ID] || q.ID == "" || !strings.HasPrefix(q.URL, "/") {
			s.answer(w, nil, bad("BadRequest"))
			return
		}
		seen[q.ID] = true
		sub := httptest.NewRequest(q.Method, "/v1.0"+q.URL, strings.NewReader(string(q.Body)))
		sub.Host = r.Host
		for k, v := range q.Headers {
			sub.Header.Set(k, v)
		}
		rec := httptest.NewRecorder()
		v, err := s.one(sub)
		s.answer(rec, v, err)
		p := response{ID: q.ID, Status: rec.Code, Headers: map[string]string{}, Body: json.RawMessage(rec.Body.Bytes())}
		for k := range rec.Header() {
			p.Headers[k] = rec.Header().Get(k)
		}
		if len(p.Body) == 0 {
			p.Body = nil
		}
		out.Responses = append(out.Responses, p)
	}
	s.answer(w, out, nil)
}
