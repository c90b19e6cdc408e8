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

// place is what a path names.
type place struct {
	box    *mailbox
	kind   string  // of items
	folder *folder // nil: wherever the item lies
	id     string  // of an item; "" for the collection
	delta  bool
	ranged bool // a calendar view
	rest   []string
}

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
	if parts[0] == "subscriptions" {
		return s.subscriptions(r, parts[1:])
	}
	var box *mailbox
	prefix := ""
	switch {
	case parts[0] == "me" && len(s.o.Mailboxes) > 0:
		box, prefix, parts = s.boxes[strings.ToLower(s.o.Mailboxes[0])], "me", parts[1:]
	case parts[0] == "users" && len(parts) > 2:
		if slices.ContainsFunc(s.o.Denied, func(a string) bool { return strings.EqualFold(a, parts[1]) }) {
			return nil, &problem{status: http.StatusForbidden, code: "ErrorAccessDenied"}
		}
		box, prefix, parts = s.boxes[strings.ToLower(parts[1])], "users/"+url.PathEscape(parts[1]), parts[2:]
	}
	if box == nil {
		return nil, &problem{status: http.StatusNotFound, code: "ErrorInvalidUser"}
	}
	q := request{r, "https://" + r.Host + "/v1.0/" + prefix + "/" + strings.Join(parts, "/"), r.URL.Query()}
	if kind, ok := containers()[strings.Join(parts, "/")]; ok && r.Method == http.MethodGet {
		return s.listFolders(q, box, kind)
	}
	if kind, ok := containers()[strings.Join(parts[:max(len(parts)-1, 0)], "/")]; ok && r.Method == http.MethodGet {
		f := box.folder(kind, parts[len(parts)-1])
		if f == nil {
			return nil, &problem{status: http.StatusNotFound, code: "ErrorFolderNotFound"}
		}
		return f.show(), nil
	}
	if len(parts) == 1 && parts[0] == "messages" && r.Method == http.MethodGet { // of all folders
		all := &folder{collection: collection{entries: map[string]*entry{}}, kind: "messages"}
		for _, f := range box.folders {
			for _, e := range f.visible() {
				if f.kind == "messages" {
					all.entries[e.id], all.order = e, append(all.order, e.id)
				}
			}
		}
		return s.list(q, all)
	}
	at, err := box.place(parts)
	if err != nil {
		return nil, err
	}
	return s.serve(q, at)
}

// containers are the paths that list folders, each with the sort of items in
// them.
func containers() map[string]string {
	return map[string]string{"contactFolders": "contacts", "calendars": "events", "todo/lists": "tasks", "mailFolders": "messages"}
}

func (f *folder) show() object {
	o := object{"id": f.id}
	switch f.kind {
	case "events":
		o["name"], o["isDefaultCalendar"] = f.name, f.known != ""
	case "tasks":
		o["displayName"], o["wellknownListName"] = f.name, "none"
		if f.known != "" {
			o["wellknownListName"] = f.known
		}
	default:
		o["displayName"] = f.name
	}
	return o
}

func (s *Server) listFolders(q request, box *mailbox, kind string) (any, error) {
	if _, _, err := q.shape(); err != nil {
		return nil, err
	}
	var rows []object
	for _, f := range box.folders {
		if f.kind == kind && !(kind == "contacts" && f.known != "") { // the default folder is not among its own
			rows = append(rows, f.show())
		}
	}
	return s.paged(q, rows)
}

// place reads a path below a mailbox.
func (m *mailbox) place(parts []string) (place, error) {
	at := place{box: m}
	in := func(kind string, id string) error {
		if at.folder = m.folder(kind, id); at.folder == nil {
			return &problem{status: http.StatusNotFound, code: "ErrorFolderNotFound"}
		}
		return nil
	}
	var err error
	switch {
	case len(parts) >= 3 && parts[0] == "contactFolders" && parts[2] == "contacts",
		len(parts) >= 3 && parts[0] == "mailFolders" && parts[2] == "messages",
		len(parts) >= 3 && parts[0] == "calendars" && (parts[2] == "events" || parts[2] == "calendarView"):
		at.kind = map[string]string{"contactFolders": "contacts", "mailFolders": "messages", "calendars": "events"}[parts[0]]
		at.ranged = parts[2] == "calendarView"
		err, parts = in(at.kind, parts[1]), parts[3:]
	case len(parts) >= 4 && parts[0] == "todo" && parts[1] == "lists" && parts[3] == "tasks":
		at.kind = "tasks"
		err, parts = in(at.kind, parts[2]), parts[4:]
	case len(parts) >= 1 && (parts[0] == "contacts" || parts[0] == "events" || parts[0] == "messages" && len(parts) > 1):
		at.kind = parts[0]
		if len(parts) == 1 || parts[1] == "delta" {
			at.folder = m.standard(at.kind)
		}
		parts = parts[1:]
	case len(parts) == 2 && parts[0] == "calendarView":
		at.kind, at.ranged, at.folder, parts = "events", true, m.standard("events"), parts[1:]
	default:
		return at, bad("BadRequest")
	}
	if err != nil {
		return at, err
	}
	switch {
	case len(parts) == 1 && parts[0] == "delta":
		at.delta = true
	case at.ranged:
		return at, bad("BadRequest")
	case len(parts) > 0:
		at.id, at.rest = parts[0], parts[1:]
	}
	return at, nil
}

// serve answers a request for what its path names.
func (s *Server) serve(q request, at place) (any, error) {
	if at.delta {
		if q.Method != http.MethodGet || at.kind == "events" && !at.ranged {
			return nil, bad("BadRequest")
		}
		return s.delta(q, at.folder, at.ranged)
	}
	if at.id == "" {
		switch {
		case q.Method == http.MethodGet:
			return s.list(q, at.folder)
		case q.Method == http.MethodPost && at.kind != "messages":
			return s.create(q, at.box, at.folder)
		}
		return nil, bad("BadRequest")
	}
	f, e := at.box.item(at.kind, at.id)
	if e == nil || at.folder != nil && f != at.folder {
		return nil, notFound()
	}
	if len(at.rest) > 0 {
		return s.attachments(q, at.box, f, e, at.rest)
	}
	switch {
	case q.Method == http.MethodGet:
		sel, exp, err := q.shape()
		if err != nil {
			return nil, err
		}
		if err := known(f.kind, sel); err != nil {
			return nil, err
		}
		return e.show(f, sel, exp), nil
	case at.kind == "messages": // nobody here writes mail
		return nil, bad("BadRequest")
	case q.Method == http.MethodPatch:
		return s.patch(q, at.box, f, e)
	case q.Method == http.MethodDelete:
		return nil, s.remove(q, at.box, f, e)
	}
	return nil, bad("BadRequest")
}

// request is one request and where it goes.
type request struct {
	*http.Request
	self  string // its address without the query
	query url.Values
}

var (
	expandProperty = regexp.MustCompile(`id eq '([^']+)'`)
	expandOpen     = regexp.MustCompile(`^extensions\(\$filter=id eq '([^']+)'\)$`)
	filterOpen     = regexp.MustCompile(`^Extensions/any\(f:f/id eq '([^']+)'\)$`)
	filterMail     = regexp.MustCompile(`^internetMessageId eq '((?:[^']|'')*)'$`)
	filterProperty = regexp.MustCompile(`^singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and ep/value eq '((?:[^']|'')*)'\)$`)
	dateOnly       = "2006-01-02T15:04:05"
)

// shape reads $select and $expand.
func (q request) shape() (sel []string, exp expansion, err error) {
	for k := range q.query {
		if !slices.Contains([]string{"$select", "$expand", "$top", "$skip", "$filter", "startDateTime", "endDateTime", "$deltatoken", "$skiptoken"}, k) {
			return nil, exp, bad("BadRequest")
		}
	}
	if v := q.query.Get("$select"); v != "" {
		sel = strings.Split(v, ",")
	}
	v := q.query.Get("$expand")
	if v == "" {
		return sel, exp, nil
	}
	if m := expandOpen.FindStringSubmatch(v); m != nil {
		return sel, expansion{open: []string{strings.TrimPrefix(m[1], openType)}}, nil
	}
	inner, ok := strings.CutPrefix(v, "singleValueExtendedProperties($filter=")
	if !ok || !strings.HasSuffix(inner, ")") {
		return nil, exp, bad("BadRequest")
	}
	for _, m := range expandProperty.FindAllStringSubmatch(inner, -1) {
		exp.properties = append(exp.properties, m[1])
	}
	return sel, exp, nil
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

func (s *Server) list(q request, f *folder) (any, error) {
	sel, exp, err := q.shape()
	if err != nil {
		return nil, err
	}
	if err := known(f.kind, sel); err != nil {
		return nil, err
	}
	items := f.visible()
	if v := q.query.Get("$filter"); v != "" {
		keep, err := filter(f.kind, v)
		if err != nil {
			return nil, err
		}
		items = slices.DeleteFunc(items, func(e *entry) bool { return !keep(e) })
	}
	rows := make([]object, 0, len(items))
	for _, e := range items {
		rows = append(rows, e.show(f, sel, exp))
	}
	return s.paged(q, rows)
}

// filter reads the conditions that the service knows here. Values of extended
// properties are compared without case.
func filter(kind, v string) (func(*entry) bool, error) {
	if m := filterProperty.FindStringSubmatch(v); m != nil && kind != "tasks" {
		id, want := strings.ToLower(m[1]), strings.ReplaceAll(m[2], "''", "'")
		return func(e *entry) bool { v, ok := e.key[id]; return ok && strings.EqualFold(v, want) }, nil
	}
	if m := filterOpen.FindStringSubmatch(v); m != nil && kind == "tasks" {
		return func(e *entry) bool { _, ok := e.open[strings.TrimPrefix(m[1], openType)]; return ok }, nil
	}
	if m := filterMail.FindStringSubmatch(v); m != nil && kind == "messages" {
		want := strings.ReplaceAll(m[1], "''", "'")
		return func(e *entry) bool { return text(e.props["internetMessageId"]) == want }, nil
	}
	return nil, bad("BadRequest")
}

// paged cuts a page out of a listing.
func (s *Server) paged(q request, rows []object) (any, error) {
	skip := 0
	if v := q.query.Get("$skip"); v != "" {
		var err error
		if skip, err = strconv.Atoi(v); err != nil || skip < 0 {
			return nil, bad("BadRequest")
		}
	}
	n := q.size(s.o.PageSize)
	from, to := min(skip, len(rows)), min(skip+n, len(rows))
	out := object{"value": append([]object{}, rows[from:to]...)}
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

	Properties []string `json:"ext,omitempty"`
}

// delta answers with what changed. In a calendar it covers a range of dates, and
// reports what is outside as removed whatever happened to it.
func (s *Server) delta(q request, c *folder, ranged bool) (any, error) {
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
		sel, exp, err := q.shape()
		if err != nil {
			return nil, err
		}
		if err := known(c.kind, sel); err != nil {
			return nil, err
		}
		h.Select, h.Properties = sel, exp.properties
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
			o := e.show(c, h.Select, expansion{properties: h.Properties})
			if !s.o.HeadersInDelta {
				delete(o, "internetMessageHeaders")
			}
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
		out["@odata.deltaLink"] = link("$deltatoken", history{Epoch: s.epoch, Since: max(h.To, 1), From: h.From, Until: h.Until, Select: h.Select, Properties: h.Properties})
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

func (q request) body() (in object, ext, open []any, err error) {
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil || in == nil {
		return nil, nil, nil, bad("BadRequest")
	}
	ext, _ = in["singleValueExtendedProperties"].([]any)
	open, _ = in["extensions"].([]any)
	delete(in, "singleValueExtendedProperties")
	delete(in, "extensions")
	return in, ext, open, nil
}

func (q request) match(e *entry) error {
	if m := q.Header.Get("If-Match"); m != "" && m != "*" && m != e.etag() {
		return &problem{status: http.StatusPreconditionFailed, code: "ErrorIrresolvableConflict"}
	}
	return nil
}

func (s *Server) create(q request, box *mailbox, f *folder) (any, error) {
	in, ext, open, err := q.body()
	if err != nil {
		return nil, err
	}
	if f.kind == "tasks" && len(ext) > 0 || f.kind != "tasks" && len(open) > 0 {
		return nil, bad("ErrorInvalidPropertySet") // what each sort of items is known to take
	}
	props := defaults(f.kind)
	if err := merge(f.kind, props, in, true); err != nil {
		return nil, err
	}
	if id, ok := in["transactionId"].(string); ok && f.kind == "events" {
		for _, e := range f.visible() {
			if e.props["transactionId"] == id {
				return nil, &problem{status: http.StatusConflict, code: "ErrorDuplicateTransactionId"}
			}
		}
	}
	if f.kind == "events" {
		s.serial++
		props["iCalUId"] = fmt.Sprintf("040000008200E00074C5B7101A82E008%024d", s.serial)
		props["organizer"] = map[string]any{"emailAddress": map[string]any{"name": box.address, "address": box.address}}
		props["isOrganizer"] = true
	}
	e, err := s.insert(&f.collection, props, ext)
	if err != nil {
		return nil, err
	}
	if err := e.extendOpen(open); err != nil {
		return nil, err
	}
	if f.kind == "events" {
		s.fanOut("invitation", box, e)
	}
	s.tell(box, f, "created")
	return created{e.show(f, nil, expansion{})}, nil
}

func (s *Server) patch(q request, box *mailbox, f *folder, e *entry) (any, error) {
	if err := q.match(e); err != nil {
		return nil, err
	}
	in, ext, _, err := q.body()
	if err != nil {
		return nil, err
	}
	props := clone(e.props)
	if err := merge(f.kind, props, in, false); err != nil {
		return nil, err
	}
	if err := e.extend(ext); err != nil {
		return nil, err
	}
	e.props = props
	s.touch(e)
	// What only its owner sees of a meeting is told to nobody.
	own := true
	for k := range in {
		own = own && slices.Contains([]string{"categories", "isReminderOn", "reminderMinutesBeforeStart"}, k)
	}
	if f.kind == "events" && props["isOrganizer"] == true && !own {
		s.fanOut("update", box, e)
	}
	s.tell(box, f, "updated")
	return e.show(f, nil, expansion{}), nil
}

func (s *Server) remove(q request, box *mailbox, f *folder, e *entry) error {
	if err := q.match(e); err != nil {
		return err
	}
	s.touch(e)
	e.gone = true
	if f.kind == "events" && e.props["isOrganizer"] == true {
		s.fanOut("cancellation", box, e)
	}
	s.tell(box, f, "deleted")
	return nil
}
