package c4ctest

import (
	"strings"
	"time"
)

// Fault is one misbehaviour. It applies to whole HTTP requests or, with Inner,
// to the requests inside a batch.
type Fault struct {
	Method string // of the request; "" for any
	Path   string // part of the path; "" for any
	Inner  bool   // applies inside $batch, where it fails the change set

	Status     int           // to answer with; zero: none, only the delay
	RetryAfter time.Duration // header of the answer, in seconds; zero: none
	After      bool          // the request takes effect first and the answer is lost or replaced
	Drop       bool          // the connection is cut instead of an answer
	Delay      time.Duration // before anything
	Body       string        // of the answer, to see that nobody repeats it

	Times int // how often; zero: once; negative: always
}

// Inject adds a fault. Earlier ones come first.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault takes the first fault that applies. The lock is held.
func (s *Server) fault(method, path string, inner bool) *Fault {
	for _, f := range s.faults {
		if f.Times == 0 || f.Inner != inner || f.Method != "" && f.Method != method || !strings.Contains(path, f.Path) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

// Entry is one request that the server saw.
type Entry struct {
	Time   time.Time
	User   string // "" if nobody was signed in
	Method string
	Path   string // below the service, without query
	Query  string // decoded
	Set    string // entity set, "" if none
	Inner  bool   // inside a batch
	Status int
}

// maxLedger is how many requests the ledger keeps.
const maxLedger = 20000

// note writes a request down. The lock is held.
func (s *Server) note(e Entry) {
	if len(s.ledger) >= maxLedger {
		s.ledger = append(s.ledger[:0], s.ledger[maxLedger/2:]...)
	}
	s.ledger = append(s.ledger, e)
}

// Ledger returns the requests so far, those inside batches included; of very
// many only the last.
func (s *Server) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.ledger...)
}

// Writes counts the requests so far that would change something, inside
// batches or not.
func (s *Server) Writes() int {
	n := 0
	for _, e := range s.Ledger() {
		if e.Method != "GET" && e.Set != "" {
			n++
		}
	}
	return n
}

// ResetLedger forgets the requests so far and their number.
func (s *Server) ResetLedger() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger, s.requests = nil, 0
}

// RequestCount returns how many HTTP requests arrived; a batch is one.
func (s *Server) RequestCount() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ExpireSessions forgets all sessions: the next write with an old token is
// refused.
func (s *Server) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}
