package msgraphtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// route finds what a path names below /v1.0/me or /v1.0/users/ADDRESS.
func (s *Server) route(r *http.Request) (any, error) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1.0/")
	if !ok {
		return nil, bad("BadRequest")
	}
	var parts []string
	for p := range strings.SplitSeq(path, "/") {
		d, err := url.PathUnescape(p)
		if err != nil {
			return nil, bad("BadRequest")
		}
		parts = append(parts, d)
	}
	var box *mailbox
	prefix := ""
	switch {
	case parts[0] == "me" && len(s.o.Mailboxes) > 0:
		box, prefix, parts = s.boxes[strings.ToLower(s.o.Mailboxes[0])], "me", parts[1:]
	case parts[0] == "users" && len(parts) > 2:
		box, prefix, parts = s.boxes[strings.ToLower(parts[1])], "users/"+url.PathEscape(parts[1]), parts[2:]
	}
	if box == nil {
		return nil, &problem{status: http.StatusNotFound, code: "ErrorInvalidUser"}
	}
	base := "https://" + r.Host + "/v1.0/" + prefix + "/"
	q := request{r, base + strings.Join(parts, "/"), r.URL.Query()}
	if len(parts) >= 3 && parts[0] == "contactFolders" && parts[2] == "contacts" {
		if parts[1] != "contacts" {
			return nil, notFound()
		}
		parts = parts[2:]
	}
	switch {
	case len(parts) == 1 && (parts[0] == "contacts" || parts[0] == "events"):
		switch r.Method {
		case http.MethodGet:
			return s.list(q, box.of(parts[0]))
		case http.MethodPost:
			return s.create(q, box, parts[0])
		}
	case len(parts) == 2 && parts[0] == "contacts" && parts[1] == "delta" && r.Method == http.MethodGet:
		return s.delta(q, &box.contacts, false)
	case len(parts) == 2 && parts[0] == "calendarView" && parts[1] == "delta" && r.Method == http.MethodGet:
		return s.delta(q, &box.events, true)
	case len(parts) == 2 && (parts[0] == "contacts" || parts[0] == "events"):
		e := box.of(parts[0]).entries[parts[1]]
		if e == nil || e.gone {
			return nil, notFound()
		}
		switch r.Method {
		case http.MethodGet:
			sel, exp, err := q.shape()
			if err != nil {
				return nil, err
			}
			return e.show(sel, exp), nil
		case http.MethodPatch:
			return s.patch(q, box, parts[0], e)
		case http.MethodDelete:
			return nil, s.remove(q, box, parts[0], e)
		}
	}
	return nil, bad("BadRequest")
}

func (m *mailbox) of(name string) *collection {
	if name == "contacts" {
		return &m.contacts
	}
	return &m.events
}

// request is one request and where it goes.
type request struct {
	*http.Request
	self  string // its address without the query
	query url.Values
}

var (
	expandProperty = regexp.MustCompile(`id eq '([^']+)'`)
	filterProperty = regexp.MustCompile(`^singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and ep/value eq '((?:[^']|'')*)'\)$`)
	dateOnly       = "2006-01-02T15:04:05"
)

// shape reads $select and $expand.
func (q request) shape() (sel, expand []string, err error) {
	for k := range q.query {
		if !slices.Contains([]string{"$select", "$expand", "$top", "$skip", "$filter", "startDateTime", "endDateTime", "$deltatoken", "$skiptoken"}, k) {
			return nil, nil, bad("BadRequest")
		}
	}
	if v := q.query.Get("$select"); v != "" {
		sel = strings.Split(v, ",")
	}
	if v := q.query.Get("$expand"); v != "" {
		inner, ok := strings.CutPrefix(v, "singleValueExtendedProperties($filter=")
		if !ok || !strings.HasSuffix(inner, ")") {
			return nil, nil, bad("BadRequest")
		}
		for _, m := range expandProperty.FindAllStringSubmatch(inner, -1) {
			expand = append(expand, m[1])
		}
	}
	return sel, expand, nil
}

// size is how many items the client wants on a page, and gets at most.
func (q request) size(most int) int {
	n, err := strconv.Atoi(q.query.Get("$top"))
	if _, after, ok := strings.Cut(q.Header.Get("Prefer"), "odata.maxpagesize="); err != nil && ok {
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		n, err = strconv.Atoi(digits)
	}
	if err != nil || n <= 0 || n > most {
		return most
	}
	return n
}

func (s *Server) list(q request, c *collection) (any, error) {
	sel, exp, err := q.shape()
	if err != nil {
		return nil, err
	}
	rows := c.visible()
	if f := q.query.Get("$filter"); f != "" {
		m := filterProperty.FindStringSubmatch(f)
		if m == nil {
			return nil, bad("BadRequest")
		}
		id, want := strings.ToLower(m[1]), strings.ReplaceAll(m[2], "''", "'")
		rows = slices.DeleteFunc(rows, func(e *entry) bool { v, ok := e.key[id]; return !ok || v != want })
	}
	skip := 0
	if v := q.query.Get("$skip"); v != "" {
		if skip, err = strconv.Atoi(v); err != nil || skip < 0 {
			return nil, bad("BadRequest")
		}
	}
	n := q.size(s.o.PageSize)
	out := object{"value": []object{}}
	from, to := min(skip, len(rows)), min(skip+n, len(rows))
	for _, e := range rows[from:to] {
		out["value"] = append(out["value"].([]object), e.show(sel, exp))
	}
	if to < len(rows) {
		next := q.query
		next.Set("$skip", strconv.Itoa(to))
		next.Set("$top", strconv.Itoa(n))
		out["@odata.nextLink"] = q.self + "?" + next.Encode()
	}
	return out, nil
}

// history is what a token of a change history holds.
type history struct {
	Epoch    int      `json:"e"`
	Since    int      `json:"s"` // changes after this one
	To       int      `json:"t"` // up to this one, while paging
	At       int      `json:"p"` // how far the paging is
	From     string   `json:"from,omitempty"`
	Until    string   `json:"until,omitempty"`
	Select   []string `json:"sel,omitempty"`
	PageSize int      `json:"n,omitempty"`
}

// delta answers with what changed. In a calendar it covers a range of dates, and
// reports what is outside as removed whatever happened to it.
func (s *Server) delta(q request, c *collection, ranged bool) (any, error) {
	var h history
	token := q.query.Get("$deltatoken") + q.query.Get("$skiptoken")
	switch {
	case token != "":
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(b, &h) != nil {
			return nil, bad("syncStateInvalid")
		}
		if h.Epoch != s.epoch {
			return nil, &problem{status: http.StatusGone, code: "syncStateNotFound", header: map[string]string{"Location": q.self}}
		}
	case ranged:
		for _, k := range []string{"$select", "$filter", "$orderby", "$expand"} {
			if q.query.Has(k) {
				return nil, bad("ErrorInvalidUrlQuery")
			}
		}
		h.From, h.Until = q.query.Get("startDateTime"), q.query.Get("endDateTime")
		if h.From == "" || h.Until == "" {
			return nil, bad("ErrorInvalidParameter")
		}
	default:
		sel, _, err := q.shape()
		if err != nil {
			return nil, err
		}
		h.Select = sel
	}
	if h.To == 0 {
		h.Epoch, h.To, h.At = s.epoch, s.serial, h.Since
	}
	if h.PageSize == 0 {
		h.PageSize = q.size(s.o.PageSize)
	}
	inside := func(*entry) bool { return true }
	if ranged {
		from, err1 := time.Parse(time.RFC3339, h.From)
		until, err2 := time.Parse(time.RFC3339, h.Until)
		if err1 != nil || err2 != nil {
			return nil, bad("ErrorInvalidParameter")
		}
		inside = func(e *entry) bool {
			start, end := e.when("start"), e.when("end")
			return start.Before(until) && end.After(from)
		}
	}
	var rows []*entry
	for _, e := range c.entries {
		if e.seq > h.At && e.seq <= h.To {
			rows = append(rows, e)
		}
	}
	slices.SortFunc(rows, func(a, b *entry) int { return a.seq - b.seq })
	value := []object{}
	for _, e := range rows[:min(len(rows), h.PageSize)] {
		h.At = e.seq
		switch {
		case h.Since == 0 && (e.gone || !inside(e)): // a beginning has only what is there
		case e.gone || !inside(e):
			value = append(value, object{"id": e.id, "@removed": object{"reason": "deleted"}})
		default:
			o := e.show(h.Select, nil)
			delete(o, "singleValueExtendedProperties")
			value = append(value, o)
		}
	}
	out := object{"value": value}
	link := func(name string, h history) string {
		b, _ := json.Marshal(h)
		return q.self + "?" + name + "=" + base64.RawURLEncoding.EncodeToString(b)
	}
	if len(rows) > h.PageSize {
		out["@odata.nextLink"] = link("$skiptoken", h)
	} else {
		out["@odata.deltaLink"] = link("$deltatoken", history{Epoch: s.epoch, Since: max(h.To, 1), From: h.From, Until: h.Until, Select: h.Select})
	}
	return out, nil
}

// when reads a dateTimeTimeZone in UTC.
func (e *entry) when(name string) time.Time {
	m, _ := e.props[name].(map[string]any)
	v, _ := m["dateTime"].(string)
	t, _ := time.Parse(dateOnly, strings.SplitN(v, ".", 2)[0])
	return t
}

func (q request) body() (object, []any, error) {
	var o object
	if err := json.NewDecoder(q.Body).Decode(&o); err != nil || o == nil {
		return nil, nil, bad("BadRequest")
	}
	ext, _ := o["singleValueExtendedProperties"].([]any)
	delete(o, "singleValueExtendedProperties")
	return o, ext, nil
}

func (q request) match(e *entry) error {
	if m := q.Header.Get("If-Match"); m != "" && m != "*" && m != e.etag() {
		return &problem{status: http.StatusPreconditionFailed, code: "ErrorIrresolvableConflict"}
	}
	return nil
}

func (s *Server) create(q request, box *mailbox, kind string) (any, error) {
	in, ext, err := q.body()
	if err != nil {
		return nil, err
	}
	props := defaults(kind)
	if err := merge(kind, props, in, true); err != nil {
		return nil, err
	}
	if id, ok := in["transactionId"].(string); ok && kind == "events" {
		for _, e := range box.events.visible() {
			if e.props["transactionId"] == id {
				return nil, &problem{status: http.StatusConflict, code: "ErrorDuplicateTransactionId"}
			}
		}
	}
	if kind == "events" {
		s.serial++
		props["iCalUId"] = fmt.Sprintf("040000008200E00074C5B7101A82E008%024d", s.serial)
		props["organizer"] = map[string]any{"emailAddress": map[string]any{"name": box.address, "address": box.address}}
		props["isOrganizer"] = true
	}
	e, err := s.insert(box.of(kind), props, ext)
	if err != nil {
		return nil, err
	}
	if kind == "events" {
		s.fanOut("invitation", box, e)
	}
	return created{e.show(nil, nil)}, nil
}

func (s *Server) patch(q request, box *mailbox, kind string, e *entry) (any, error) {
	if err := q.match(e); err != nil {
		return nil, err
	}
	in, ext, err := q.body()
	if err != nil {
		return nil, err
	}
	props := clone(e.props)
	if err := merge(kind, props, in, false); err != nil {
		return nil, err
	}
	if err := e.extend(ext); err != nil {
		return nil, err
	}
	e.props = props
	s.touch(e)
	if kind == "events" && props["isOrganizer"] == true {
		s.fanOut("update", box, e)
	}
	return e.show(nil, nil), nil
}

func (s *Server) remove(q request, box *mailbox, kind string, e *entry) error {
	if err := q.match(e); err != nil {
		return err
	}
	s.touch(e)
	e.gone = true
	if kind == "events" && e.props["isOrganizer"] == true {
		s.fanOut("cancellation", box, e)
	}
	return nil
}
