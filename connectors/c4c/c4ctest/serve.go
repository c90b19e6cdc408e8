package c4ctest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// maxBody is the longest request, in bytes.
const maxBody = 48 << 20

// serve answers one HTTP request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	f := s.fault(r.Method, r.URL.Path, false)
	s.mu.Unlock()
	if f != nil {
		if f.Delay > 0 {
			select {
			case <-time.After(f.Delay):
			case <-r.Context().Done():
			}
		}
		if f.After {
			lost := httptest.NewRecorder()
			s.route(lost, r)
		}
		if f.Drop {
			panic(http.ErrAbortHandler)
		}
		if f.Status != 0 {
			if !f.After {
				s.mu.Lock()
				s.note(Entry{Time: s.now(), Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, Path), Status: f.Status})
				s.mu.Unlock()
			}
			f.answer(w)
			return
		}
	}
	s.route(w, r)
}

func (f *Fault) answer(w http.ResponseWriter) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds())))
	}
	if f.Body != "" {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
		return
	}
	writeError(w, &failure{f.Status, "FAULT", "injected fault"})
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == TokenPath {
		s.token(w, r)
		return
	}
	if r.URL.Path+"/" == Path {
		http.Redirect(w, r, Path, http.StatusTemporaryRedirect)
		return
	}
	rel, ok := strings.CutPrefix(r.URL.EscapedPath(), Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	user, name, ok := s.authenticate(r)
	if !ok {
		w.Header().Set("Www-Authenticate", `Basic realm="SAP NetWeaver Application Server"`)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "<html><body>Logon failed</body></html>")
		s.log(r, name, rel, "", http.StatusUnauthorized)
		return
	}
	if !s.csrf(w, r, user, name) {
		w.Header().Set("X-Csrf-Token", "Required")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "CSRF token validation failed")
		s.log(r, name, rel, "", http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		writeError(w, &failure{413, "TOO_LARGE", "request too large"})
		return
	}
	base := "http://" + r.Host + Path
	if r.TLS != nil {
		base = "https://" + r.Host + Path
	}
	if rel == "$batch" {
		s.log(r, name, rel, "", http.StatusAccepted)
		s.batch(w, r, base, name, body)
		return
	}
	rq := request{method: r.Method, rel: rel, query: r.URL.RawQuery, header: r.Header, body: body, base: base, user: name}
	s.mu.Lock()
	defer s.mu.Unlock()
	var a answer
	if fail := s.atomic(func() (f *failure) { a, f = s.handle(rq); return f }); fail != nil {
		a = fail.answer()
	}
	s.note(Entry{Time: s.now(), User: name, Method: rq.verb(), Path: rel, Query: unescape(rq.query), Set: setOf(rel), Status: a.status})
	a.write(w)
}

func unescape(q string) string {
	if u, err := url.QueryUnescape(q); err == nil {
		return u
	}
	return q
}

func (s *Server) log(r *http.Request, user, rel, set string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(Entry{Time: s.now(), User: user, Method: r.Method, Path: rel, Query: unescape(r.URL.RawQuery), Set: set, Status: status})
}

// request is one operation, on its own or in a batch.
type request struct {
	method, rel, query string
	header             http.Header
	body               []byte
	base, user         string
}

// verb is the method that counts: MERGE may come as a POST.
func (r request) verb() string {
	if x := r.header.Get("X-Http-Method"); r.method == http.MethodPost && x != "" {
		return strings.ToUpper(x)
	}
	return r.method
}

// answer is what an operation gives back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.Header().Set("Dataserviceversion", "2.0")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func jsonAnswer(status int, v any) answer {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return (&failure{500, "ENCODING", "answer cannot be written"}).answer()
	}
	return answer{status, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, b.Bytes()}
}

func (f *failure) answer() answer {
	return jsonAnswer(f.status, map[string]any{"error": map[string]any{"code": f.code, "message": map[string]any{"lang": "en", "value": f.text}}})
}

func writeError(w http.ResponseWriter, f *failure) { f.answer().write(w) }

var address = regexp.MustCompile(`^([A-Za-z]+)(?:\('((?:[^'/]|'')*)'\))?(?:/(\$?[A-Za-z]+(?:/\$value)?))?$`)

// setOf is the entity set that an address names.
func setOf(rel string) string {
	set, _, _ := strings.Cut(rel, "(")
	set, _, _ = strings.Cut(set, "/")
	if strings.HasPrefix(set, "$") {
		return ""
	}
	return set
}

// handle does one operation. The lock is held.
func (s *Server) handle(r request) (answer, *failure) {
	if r.rel == "" {
		return jsonAnswer(200, map[string]any{"d": map[string]any{"EntitySets": s.model.names()}}), nil
	}
	if r.rel == "$metadata" && r.method == http.MethodGet {
		return answer{200, http.Header{"Content-Type": {"application/xml"}}, s.model.describe()}, nil
	}
	rel, err := url.PathUnescape(r.rel)
	m := address.FindStringSubmatch(rel)
	if err != nil || m == nil || strings.Contains(r.rel, "('") != strings.Contains(rel, "('") && !strings.Contains(r.rel, "%27") {
		return answer{}, &failure{404, "/IWFND/CM_MGW/001", "Resource not found"}
	}
	set := s.model[m[1]]
	if set == nil {
		return answer{}, &failure{404, "/IWFND/CM_MGW/003", "Entity set is not part of the service"}
	}
	keyed := strings.Contains(rel, "(")
	id, tail := strings.ReplaceAll(m[2], "''", "'"), m[3]
	if r.method == http.MethodGet {
		if !strings.Contains(r.header.Get("Accept"), "application/json") && !strings.Contains(r.query, "$format=json") && tail != "$count" && !strings.HasSuffix(tail, "/$value") {
			return answer{}, &failure{406, "FORMAT", "only JSON is emulated"}
		}
		return s.read(r, set, keyed, id, tail)
	}
	if r.query != "" {
		return answer{}, bad("query options in a change")
	}
	if ct := r.header.Get("Content-Type"); len(r.body) > 0 && !strings.HasPrefix(ct, "application/json") {
		return answer{}, &failure{415, "FORMAT", "only JSON is emulated"}
	}
	switch r.verb() {
	case http.MethodPost:
		if keyed && tail == "" {
			return answer{}, &failure{405, "METHOD", "POST goes to a collection"}
		}
		parent := ""
		if keyed {
			p, ok := set.props[tail]
			if !ok || p.nav == "" {
				return answer{}, &failure{404, "/IWFND/CM_MGW/001", "Resource not found"}
			}
			if _, f := s.row(set.name, id); f != nil {
				return answer{}, f
			}
			parent, set = id, s.model[p.nav]
		}
		in, f := s.props(set, r.body)
		if f != nil {
			return answer{}, f
		}
		row, f := s.insert(set.name, in, parent, false)
		if f != nil {
			return answer{}, f
		}
		a := jsonAnswer(201, map[string]any{"d": map[string]any{"results": s.render(r.base, set, row, nil, nil)}})
		a.header.Set("Location", r.base+set.name+"('"+row.id+"')")
		return a, nil
	case http.MethodPatch, "MERGE", http.MethodDelete:
		if !keyed || tail != "" {
			return answer{}, &failure{405, "METHOD", "changes go to one record"}
		}
		row, f := s.row(set.name, id)
		if f != nil {
			return answer{}, f
		}
		switch match := r.header.Get("If-Match"); {
		case match == "" && s.opts.Users[r.user].Communication:
		case match == "":
			return answer{}, &failure{428, "PRECONDITION", "If-Match is missing"}
		case match == "*":
			return answer{}, bad("If-Match for any revision")
		case match != etag(row):
			return answer{}, &failure{412, "PRECONDITION", "Precondition failed"}
		}
		if r.method == http.MethodDelete {
			if set.name == "ContactCollection" || set.name == "CorporateAccountCollection" || set.name == "IndividualCustomerCollection" {
				return answer{}, &failure{405, "METHOD", "Deletion of business partners is not supported"}
			}
			s.drop(set.name, row)
			return answer{status: 204, header: http.Header{}}, nil
		}
		if set.name == "EMailCollection" {
			return answer{}, &failure{405, "METHOD", "Mails cannot be changed"}
		}
		in, f := s.props(set, r.body)
		if f != nil {
			return answer{}, f
		}
		for n := range in {
			if set.props[n].nav != "" {
				return answer{}, bad("Deep update of %s is not supported", n)
			}
		}
		s.remember(set.name, row)
		if f := s.change(set, row, in, false); f != nil {
			return answer{}, f
		}
		s.stampRow(set, row, false)
		return answer{status: 204, header: http.Header{}}, nil
	}
	return answer{}, &failure{405, "METHOD", "method not supported"}
}

// props reads the body of a change.
func (s *Server) props(set *entitySet, body []byte) (Props, *failure) {
	d := json.NewDecoder(bytes.NewReader(body))
	var in map[string]any
	if err := d.Decode(&in); err != nil || in == nil || d.More() {
		return nil, bad("Error while parsing the JSON body")
	}
	return s.convert(set, in)
}

func (s *Server) convert(set *entitySet, in map[string]any) (Props, *failure) {
	out := Props{}
	for n, v := range in {
		p := set.props[n]
		if p.nav == "" {
			out[n] = v
			continue
		}
		if m, ok := v.(map[string]any); ok {
			v = m["results"]
		}
		list, ok := v.([]any)
		if !ok {
			return nil, bad("Navigation %s has invalid type", n)
		}
		children := make([]Props, 0, len(list))
		for _, c := range list {
			m, ok := c.(map[string]any)
			if !ok {
				return nil, bad("Navigation %s has invalid type", n)
			}
			child, f := s.convert(s.model[p.nav], m)
			if f != nil {
				return nil, f
			}
			children = append(children, child)
		}
		out[n] = children
	}
	return out, nil
}

// etag is the revision of a row as the real service writes it.
func etag(r *row) string {
	return `W/"datetimeoffset'` + strings.ReplaceAll(r.time("ETag").Format("2006-01-02T15:04:05.0000000Z"), ":", "%3A") + `'"`
}
