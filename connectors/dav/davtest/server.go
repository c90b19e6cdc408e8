package davtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
)

// Options of a Server.
type Options struct {
	Users map[string]string // name to password; a name is one segment of a path
	Dir   string            // where objects are kept as files; empty: in memory
	Clock func() time.Time  // nil: time.Now
}

// Server is a mail server's address books and calendars. All methods may be
// called at the same time.
type Server struct {
	users map[string][sha256.Size]byte
	now   func() time.Time

	mu    sync.Mutex
	boxes map[string]*box // by path
	epoch int64           // part of every token; tokens of another are no longer valid
	hook  func(http.ResponseWriter, *http.Request, http.Handler)

	requests, writes atomic.Int64
	ts               *httptest.Server
}

// New opens a server that is not listening yet.
func New(opts *Options) (*Server, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Server{users: map[string][sha256.Size]byte{}, now: opts.Clock, boxes: map[string]*box{}, epoch: 1}
	if s.now == nil {
		s.now = time.Now
	}
	for u, p := range opts.Users {
		if err := valid(u); err != nil {
			return nil, fmt.Errorf("user %q: %w", u, err)
		}
		s.users[u] = sha256.Sum256([]byte(p))
		for _, c := range []Collection{Contacts, Calendar} {
			dir := ""
			if opts.Dir != "" {
				dir = filepath.Join(opts.Dir, u, string(c))
			}
			b, err := openBox(dir, s.now())
			if err != nil {
				return nil, fmt.Errorf("davtest: %s of %s: %w", c, u, err)
			}
			s.boxes[Path(u, c)] = b
		}
	}
	return s, nil
}

// Path returns the path of a user's collection, as endpoints name it.
func Path(user string, c Collection) string { return "/" + user + "/" + string(c) + "/default/" }

// Start listens on loopback over TLS with a certificate of its own.
func (s *Server) Start() { s.ts = httptest.NewTLSServer(s.Handler()) }

// Close stops listening.
func (s *Server) Close() {
	if s.ts != nil {
		s.ts.Close()
	}
}

// URL returns the origin of a started server.
func (s *Server) URL() string { return s.ts.URL }

// Roots returns what a client must trust to reach a started server.
func (s *Server) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.ts.Certificate())
	return p
}

// PEM returns the certificate of a started server.
func (s *Server) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ts.Certificate().Raw})
}

// Requests returns how many requests came in.
func (s *Server) Requests() int64 { return s.requests.Load() }

// Writes returns how many of them changed something.
func (s *Server) Writes() int64 { return s.writes.Load() }

// Intercept has each request go through a function first, which may answer it,
// pass it on, or pass it on and spoil the answer. Nil ends that.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// ExpireTokens makes every sync token that was given out invalid.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

func (s *Server) box(user string, c Collection) (*box, error) {
	b := s.boxes[Path(user, c)]
	if b == nil {
		return nil, fmt.Errorf("davtest: no user %q", user)
	}
	return b, nil
}

// Put keeps an object as if a person had saved it. Its content is not judged.
func (s *Server) Put(user string, c Collection, name string, data []byte) error {
	if err := valid(name); err != nil {
		return err
	}
	if len(data) > MaxObject {
		return fmt.Errorf("davtest: %s: larger than %d bytes", name, MaxObject)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(user, c)
	if err == nil {
		_, err = b.put(name, data, s.now())
	}
	return err
}

// Remove deletes an object as if a person had.
func (s *Server) Remove(user string, c Collection, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(user, c)
	if err == nil && b.get(name) == nil {
		err = fmt.Errorf("davtest: no object %q", name)
	}
	if err != nil {
		return err
	}
	return b.remove(name, s.now())
}

// Get returns one object.
func (s *Server) Get(user string, c Collection, name string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(user, c)
	if err != nil {
		return Object{}, false
	}
	e := b.get(name)
	if e == nil {
		return Object{}, false
	}
	return e.Object, true
}

// List returns the objects of a collection in the order of their names.
func (s *Server) List(user string, c Collection) []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(user, c)
	if err != nil {
		return nil
	}
	var out []Object
	for _, e := range b.list() {
		out = append(out, e.Object)
	}
	return out
}

// Handler serves users under basic authentication.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		hook := s.hook
		s.mu.Unlock()
		if hook != nil {
			hook(w, r, http.HandlerFunc(s.serve))
			return
		}
		s.serve(w, r)
	})
}

type userKey struct{}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	want, known := s.users[user]
	got := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !known {
		w.Header().Set("WWW-Authenticate", `Basic realm="davtest", charset="UTF-8"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), userKey{}, user))
	own := "/" + user + "/"
	if p := r.URL.Path; p != "/" && !strings.HasPrefix(p, "/.well-known/") && p+"/" != own && !strings.HasPrefix(p, own) {
		http.NotFound(w, r) // of somebody else: not even that it exists
		return
	}
	c := Contacts
	if strings.HasPrefix(r.URL.Path, own+string(Calendar)+"/") || strings.HasSuffix(r.URL.Path, "/caldav") {
		c = Calendar
	}
	base := Path(user, c)
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodPut, r.Method == http.MethodDelete:
		name, ok := strings.CutPrefix(r.URL.Path, base)
		if !ok || valid(name) != nil {
			http.Error(w, "no object", http.StatusForbidden)
			return
		}
		s.object(w, r, c, s.boxes[base], name)
	case r.Method == "REPORT" && r.URL.Path == base:
		s.report(w, r, c, s.boxes[base])
	case c == Contacts && r.Method != "MKCOL":
		(&carddav.Handler{Backend: cards{Server: s}}).ServeHTTP(w, r)
	case r.Method != "MKCOL":
		(&caldav.Handler{Backend: events{Server: s}}).ServeHTTP(w, r)
	default:
		http.Error(w, "one address book and one calendar", http.StatusForbidden)
	}
}

// object serves one member.
func (s *Server) object(w http.ResponseWriter, r *http.Request, c Collection, b *box, name string) {
	var data []byte
	if r.Method == http.MethodPut {
		var err error
		if data, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxObject)); err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := judge(c, data); err != nil {
			precondition(w, http.StatusForbidden, c, "valid-"+map[Collection]string{Contacts: "address", Calendar: "calendar"}[c]+"-data")
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := b.get(name)
	matches := func(header string) bool {
		v := r.Header.Get(header)
		return e != nil && (v == "*" || slices.ContainsFunc(strings.Split(v, ","), func(t string) bool { return strings.TrimSpace(t) == e.ETag }))
	}
	if r.Header.Get("If-Match") != "" && !matches("If-Match") || r.Header.Get("If-None-Match") != "" && matches("If-None-Match") {
		http.Error(w, "it is another one by now", http.StatusPreconditionFailed)
		return
	}
	if e == nil && r.Method != http.MethodPut {
		http.NotFound(w, r)
		return
	}
	var err error
	switch r.Method {
	case http.MethodPut:
		if u := uid(data); u != "" {
			for _, o := range b.members {
				if !o.gone && o.uid == u && o.Name != name {
					precondition(w, http.StatusForbidden, c, "no-uid-conflict")
					return
				}
			}
		}
		status := http.StatusNoContent
		if e == nil {
			status = http.StatusCreated
		}
		if e, err = b.put(name, data, s.now()); err == nil {
			s.writes.Add(1)
			w.Header().Set("ETag", e.ETag)
			w.WriteHeader(status)
		}
	case http.MethodDelete:
		if err = b.remove(name, s.now()); err == nil {
			s.writes.Add(1)
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		w.Header().Set("ETag", e.ETag)
		w.Header().Set("Content-Type", map[Collection]string{Contacts: vcard.MIMEType, Calendar: ical.MIMEType}[c]+"; charset=utf-8")
		http.ServeContent(w, r, "", e.ModTime, bytes.NewReader(e.Data))
	}
	if err != nil {
		http.Error(w, "cannot be kept", http.StatusInsufficientStorage)
	}
}

// judge says whether parsers of other people understand an object.
func judge(c Collection, data []byte) error {
	if c == Contacts {
		card, err := vcard.NewDecoder(bytes.NewReader(data)).Decode()
		if err == nil && card.Value(vcard.FieldVersion) == "" {
			err = fmt.Errorf("no version")
		}
		return err
	}
	cal, err := ical.NewDecoder(bytes.NewReader(data)).Decode()
	if err == nil && len(cal.Children) == 0 {
		err = fmt.Errorf("no component")
	}
	return err
}

func namespace(c Collection) string {
	if c == Contacts {
		return "urn:ietf:params:xml:ns:carddav"
	}
	return "urn:ietf:params:xml:ns:caldav"
}

func precondition(w http.ResponseWriter, status int, c Collection, name string) {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><D:error xmlns:D="DAV:" xmlns:C=%q><C:%s/></D:error>`, namespace(c), name)
}

type reportRequest struct {
	XMLName xml.Name
	Token   string   `xml:"DAV: sync-token"`
	Level   string   `xml:"DAV: sync-level"`
	Limit   int      `xml:"DAV: limit>nresults"`
	Hrefs   []string `xml:"DAV: href"`
}

// report answers what go-webdav does not (sync-collection) or would write anew
// (multiget), and leaves queries to it.
func (s *Server) report(w http.ResponseWriter, r *http.Request, c Collection, b *box) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	var q reportRequest
	if err != nil || xml.Unmarshal(body, &q) != nil {
		http.Error(w, "no report", http.StatusBadRequest)
		return
	}
	switch q.XMLName.Local {
	case "sync-collection":
		s.changes(w, c, b, q, r.URL.Path)
	case "addressbook-multiget", "calendar-multiget":
		s.multiget(w, c, b, q, r.URL.Path)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		if c == Contacts {
			(&carddav.Handler{Backend: cards{Server: s}}).ServeHTTP(w, r)
		} else {
			(&caldav.Handler{Backend: events{Server: s}}).ServeHTTP(w, r)
		}
	}
}

const tokenPrefix = "urn:davtest:sync:"

func (s *Server) changes(w http.ResponseWriter, c Collection, b *box, q reportRequest, base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var since int64
	if t := strings.TrimSpace(q.Token); t != "" {
		epoch, seq, ok := strings.Cut(strings.TrimPrefix(t, tokenPrefix), ":")
		n, err := strconv.ParseInt(seq, 10, 64)
		if !ok || err != nil || epoch != strconv.FormatInt(s.epoch, 10) || n < 0 || n > b.seq {
			w.Header().Set("Content-Type", "application/xml; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="utf-8"?><error xmlns="DAV:"><valid-sync-token/></error>`)
			return
		}
		since = n
	}
	initial, upTo := since == 0, b.seq
	changed := b.since(since)
	if initial {
		changed = slices.DeleteFunc(changed, func(e *entry) bool { return e.gone })
	}
	var out bytes.Buffer
	begin(&out, c)
	if q.Limit > 0 && len(changed) > q.Limit {
		changed = changed[:q.Limit]
		upTo = changed[len(changed)-1].seq
		// RFC 6578 section 3.6: the collection itself says that there is more.
		fmt.Fprintf(&out, `<response><href>%s</href><status>HTTP/1.1 507 Insufficient Storage</status></response>`, text(base))
	}
	for _, e := range changed {
		if e.gone {
			fmt.Fprintf(&out, `<response><href>%s</href><status>HTTP/1.1 404 Not Found</status></response>`, href(base, e.Name))
			continue
		}
		fmt.Fprintf(&out, `<response><href>%s</href><propstat><prop><getetag>%s</getetag></prop><status>HTTP/1.1 200 OK</status></propstat></response>`, href(base, e.Name), text(e.ETag))
	}
	fmt.Fprintf(&out, `<sync-token>%s%d:%d</sync-token></multistatus>`, tokenPrefix, s.epoch, upTo)
	finish(w, &out)
}

func (s *Server) multiget(w http.ResponseWriter, c Collection, b *box, q reportRequest, base string) {
	data := map[Collection]string{Contacts: "address-data", Calendar: "calendar-data"}[c]
	var out bytes.Buffer
	begin(&out, c)
	s.mu.Lock()
	for _, h := range q.Hrefs {
		var e *entry
		if u, err := url.Parse(strings.TrimSpace(h)); err == nil {
			if name, ok := strings.CutPrefix(u.Path, base); ok {
				e = b.get(name)
			}
		}
		if e == nil {
			fmt.Fprintf(&out, `<response><href>%s</href><status>HTTP/1.1 404 Not Found</status></response>`, text(h))
			continue
		}
		fmt.Fprintf(&out, `<response><href>%s</href><propstat><prop><getetag>%s</getetag><C:%s>%s</C:%[3]s></prop><status>HTTP/1.1 200 OK</status></propstat></response>`,
			href(base, e.Name), text(e.ETag), data, text(string(e.Data)))
	}
	s.mu.Unlock()
	out.WriteString(`</multistatus>`)
	finish(w, &out)
}

func begin(b *bytes.Buffer, c Collection) {
	fmt.Fprintf(b, `<?xml version="1.0" encoding="utf-8"?><multistatus xmlns="DAV:" xmlns:C=%q>`, namespace(c))
}

func finish(w http.ResponseWriter, b *bytes.Buffer) {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(http.StatusMultiStatus)
	_, _ = w.Write(b.Bytes())
}

func text(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
