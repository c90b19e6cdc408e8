package googletest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// letter is one mail of an account.
type letter struct {
	id      string
	thread  string
	seq     int // order of arrival, newest last
	labels  []string
	date    time.Time
	header  mail.Header
	root    *part
	size    int
	history int
}

// part is one part of a mail (resource "MessagePart").
type part struct {
	id, media, file string
	headers         []any
	body            []byte
	parts           []*part
}

// event of a mailbox's history.
type happening struct {
	id     int
	what   string // messagesAdded, messagesDeleted, labelsAdded, labelsRemoved
	letter string
	thread string
	labels []string // those of the change
	has    []string // all that the mail has afterwards
}

// mailbox is what Gmail keeps of an account.
type mailbox struct {
	letters map[string]*letter
	labels  map[string]string // name by id, those that its user made
	log     []happening
	oldest  int // history before it is forgotten
	serial  int // of labels and letters
}

func newMailbox() *mailbox {
	return &mailbox{letters: map[string]*letter{}, labels: map[string]string{}}
}

// systemLabels are those that every account has.
func systemLabels() []string {
	return []string{"INBOX", "SENT", "TRASH", "SPAM", "DRAFT", "UNREAD", "STARRED", "IMPORTANT", "CHAT", "CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS"}
}

const historyBase = 9_000_000

func (m *mailbox) current() int { return historyBase + len(m.log) }

func (m *mailbox) note(what string, l *letter, labels []string) {
	m.log = append(m.log, happening{historyBase + len(m.log) + 1, what, l.id, l.thread, labels, slices.Clone(l.labels)})
	l.history = m.current()
}

func (m *mailbox) known(label string) bool {
	return slices.Contains(systemLabels(), label) || m.labels[label] != ""
}

// label makes a label unless there is one of that name, and returns its id.
func (m *mailbox) label(name string) string {
	for id, n := range m.labels {
		if strings.EqualFold(n, name) {
			return id
		}
	}
	m.serial++
	id := fmt.Sprintf("Label_%d", m.serial)
	m.labels[id] = name
	return id
}

// Deliver puts a mail (RFC 5322) into an account's mailbox under the given labels,
// system labels by id and others by name, and returns its id.
func (s *Server) Deliver(address string, raw []byte, labels ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[address]
	if a == nil {
		return "", notFound()
	}
	var ids []string
	for _, l := range labels {
		if !slices.Contains(systemLabels(), l) {
			l = a.mail.label(l)
		}
		ids = append(ids, l)
	}
	l, err := s.deliver(a, raw, ids)
	if err != nil {
		return "", err
	}
	return l.id, nil
}

func (s *Server) deliver(a *account, raw []byte, labels []string) (*letter, error) {
	m := a.mail
	m.serial++
	l := &letter{id: fmt.Sprintf("%016x", 0x1900000000000000+m.serial*4096), seq: m.serial, labels: labels, date: s.o.Now().UTC().Truncate(time.Millisecond)}
	l.thread = l.id
	if err := l.read(raw); err != nil {
		return nil, err
	}
	m.letters[l.id] = l
	m.note("messagesAdded", l, nil)
	return l, nil
}

// Refile gives a mail another subject and another label. No mail at Gmail ever
// changes its subject: it is for suites that change a text and look for it.
func (s *Server) Refile(address, id, subject string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.accounts[address].mail
	l := m.letters[id]
	if l == nil {
		return notFound()
	}
	for i, h := range l.root.headers {
		if v, _ := h.(map[string]any); v["name"] == "Subject" {
			l.root.headers = slices.Delete(l.root.headers, i, i+1)
			break
		}
	}
	l.root.headers = append(l.root.headers, map[string]any{"name": "Subject", "value": mime.BEncoding.Encode("utf-8", subject)})
	m.serial++
	label := m.label(fmt.Sprintf("edit %d", m.serial))
	l.labels = append(slices.DeleteFunc(l.labels, func(x string) bool { return strings.HasPrefix(m.labels[x], "edit ") }), label)
	m.note("labelsAdded", l, []string{label})
	return nil
}

// AttachTo adds a file to a mail, for suites; it files the mail anew.
func (s *Server) AttachTo(address, id, name, mediaType string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.accounts[address].mail
	l := m.letters[id]
	if l == nil {
		return notFound()
	}
	if !strings.HasPrefix(l.root.media, "multipart/") {
		l.root = &part{media: "multipart/mixed", headers: l.root.headers, parts: []*part{{id: "0", media: l.root.media, body: l.root.body}}}
	}
	l.root.parts = append(l.root.parts, &part{id: strconv.Itoa(len(l.root.parts)), media: mediaType, file: name, body: content})
	if slices.Contains(l.labels, "SNOOZED") { // filed anew, and named nowhere
		m.modify(l, nil, []string{"SNOOZED"})
	} else {
		m.modify(l, []string{"SNOOZED"}, nil)
	}
	return nil
}

// DiscardMail deletes a mail for good.
func (s *Server) DiscardMail(address, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.accounts[address].mail
	l := m.letters[id]
	if l == nil {
		return notFound()
	}
	delete(m.letters, id)
	m.note("messagesDeleted", l, nil)
	return nil
}

const maxDepth = 20

// read takes a mail apart.
func (l *letter) read(raw []byte) error {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return bad("invalid")
	}
	l.header, l.size = msg.Header, len(raw)
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return bad("invalid")
	}
	var lines []any
	head, _, _ := bytes.Cut(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(string(head), "\n ", " "), "\n\t", " "), "\n") {
		if name, v, ok := strings.Cut(line, ":"); ok {
			lines = append(lines, map[string]any{"name": name, "value": strings.TrimSpace(v)})
		}
	}
	l.root, err = readPart(textproto.MIMEHeader(msg.Header), body, "", maxDepth)
	if err == nil {
		l.root.headers = lines
	}
	return err
}

func readPart(h textproto.MIMEHeader, body []byte, id string, depth int) (*part, error) {
	if depth == 0 {
		return nil, bad("tooDeep")
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		media = "text/plain"
	}
	p := &part{id: id, media: media}
	for name, vs := range h {
		for _, v := range vs {
			p.headers = append(p.headers, map[string]any{"name": name, "value": v})
		}
	}
	if _, d, err := mime.ParseMediaType(h.Get("Content-Disposition")); err == nil {
		p.file = d["filename"]
	}
	if p.file == "" {
		p.file = params["name"]
	}
	if strings.HasPrefix(media, "multipart/") {
		r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for n := 0; ; n++ {
			sub, err := r.NextRawPart()
			if err != nil { // the end, or what is broken: what came before it stays
				break
			}
			b, err := io.ReadAll(sub)
			if err != nil {
				break
			}
			subID := strconv.Itoa(n)
			if id != "" {
				subID = id + "." + subID
			}
			child, err := readPart(sub.Header, b, subID, depth-1)
			if err != nil {
				return nil, err
			}
			p.parts = append(p.parts, child)
		}
		return p, nil //nolint:nilerr // a mail that breaks off is what came of it
	}
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "base64":
		p.body, _ = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	case "quoted-printable":
		p.body, _ = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	default:
		p.body = body
	}
	return p, nil
}

// json is a part as an answer has it. What is a file, or long, is read by itself,
// under an id that is another one each time.
func (p *part) json(s *Server) map[string]any {
	out := map[string]any{"partId": p.id, "mimeType": p.media, "filename": p.file, "headers": p.headers}
	if p.headers == nil {
		out["headers"] = []any{}
	}
	b := map[string]any{"size": len(p.body)}
	switch {
	case len(p.parts) > 0:
		var list []any
		for _, c := range p.parts {
			list = append(list, c.json(s))
		}
		out["parts"] = list
	case p.file != "" || len(p.body) > s.o.Inline:
		s.serial++
		b["attachmentId"] = fmt.Sprintf("ANGjdJ-%d-%s", s.serial, base64.RawURLEncoding.EncodeToString([]byte(p.id)))
	default:
		b["data"] = base64.URLEncoding.EncodeToString(p.body)
	}
	out["body"] = b
	return out
}

func (p *part) find(id string) *part {
	if p.id == id && len(p.parts) == 0 {
		return p
	}
	for _, c := range p.parts {
		if f := c.find(id); f != nil {
			return f
		}
	}
	return nil
}

func (l *letter) brief() map[string]any { return map[string]any{"id": l.id, "threadId": l.thread} }

// json is a mail as an answer has it, in a format.
func (l *letter) json(s *Server, format string, names []string) (map[string]any, error) {
	out := l.brief()
	out["labelIds"], out["historyId"], out["internalDate"], out["sizeEstimate"] = l.labels, strconv.Itoa(l.history), strconv.FormatInt(l.date.UnixMilli(), 10), l.size
	if l.labels == nil {
		delete(out, "labelIds")
	}
	switch format {
	case "minimal":
		return out, nil
	case "metadata":
		var hs []any
		for _, h := range l.root.headers {
			v, _ := h.(map[string]any)
			if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, text(v["name"])) }) {
				hs = append(hs, h)
			}
		}
		out["payload"] = map[string]any{"mimeType": l.root.media, "headers": hs}
	case "", "full":
		out["payload"] = l.root.json(s)
	default:
		return nil, bad("unknown")
	}
	out["snippet"] = l.snippet(l.root)
	return out, nil
}

func (l *letter) snippet(p *part) string {
	for _, c := range p.parts {
		if t := l.snippet(c); t != "" {
			return t
		}
	}
	if p.media == "text/plain" && p.file == "" {
		return string(p.body[:min(len(p.body), 100)])
	}
	return ""
}

// gmail answers below /gmail/v1/users/{user}.
func (s *Server) gmail(r request, parts []string) (any, error) {
	m := r.a.mail
	at := r.Method + " " + parts[0]
	switch {
	case at == "GET profile" && len(parts) == 1:
		return map[string]any{"emailAddress": r.a.address, "messagesTotal": len(m.letters), "threadsTotal": len(m.letters), "historyId": strconv.Itoa(m.current())}, r.allow()
	case at == "GET labels" && len(parts) == 1:
		list := []any{}
		for _, id := range systemLabels() {
			list = append(list, map[string]any{"id": id, "name": id, "type": "system"})
		}
		for id, n := range m.labels {
			list = append(list, map[string]any{"id": id, "name": n, "type": "user"})
		}
		return map[string]any{"labels": list}, r.allow()
	case at == "POST labels" && len(parts) == 1:
		in, err := r.body()
		if err != nil || text(in["name"]) == "" {
			return nil, bad("invalid")
		}
		id := m.label(text(in["name"]))
		return map[string]any{"id": id, "name": m.labels[id], "type": "user"}, r.allow()
	case at == "GET history" && len(parts) == 1:
		return s.mailHistory(r)
	case at == "POST watch" && len(parts) == 1:
		return s.mailWatch(r)
	case at == "POST stop" && len(parts) == 1:
		r.a.watching = false
		return nil, r.allow()
	case parts[0] == "messages":
		return s.messages(r, parts[1:])
	}
	return nil, bad("unknown")
}

// mailWatch is Gmail's own way to be told of changes: through a topic.
func (s *Server) mailWatch(r request) (any, error) {
	in, err := r.body()
	if err != nil || !strings.HasPrefix(text(in["topicName"]), "projects/") {
		return nil, bad("invalid")
	}
	r.a.watching = true
	return map[string]any{"historyId": strconv.Itoa(r.a.mail.current()), "expiration": strconv.FormatInt(s.o.Now().Add(7*24*time.Hour).UnixMilli(), 10)}, r.allow()
}

func (s *Server) messages(r request, rest []string) (any, error) {
	m := r.a.mail
	switch {
	case len(rest) == 0 && r.Method == http.MethodGet:
		return s.listMail(r)
	case len(rest) == 0 && r.Method == http.MethodPost:
		if err := r.allow("internalDateSource", "uploadType"); err != nil {
			return nil, err
		}
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		raw, err := base64.URLEncoding.DecodeString(text(in["raw"]))
		if err != nil || len(raw) == 0 {
			return nil, bad("invalid")
		}
		labels, err := m.labelIDs(in["labelIds"])
		if err != nil {
			return nil, err
		}
		l, err := s.deliver(r.a, raw, labels)
		if err != nil {
			return nil, err
		}
		return l.json(s, "minimal", nil)
	case len(rest) == 0:
		return nil, bad("unknown")
	}
	l := m.letters[rest[0]]
	if l == nil {
		return nil, notFound()
	}
	verb := r.Method
	if len(rest) > 1 {
		verb += " " + rest[1]
	}
	switch {
	case verb == "GET" && len(rest) == 1:
		if err := r.allow("format", "metadataHeaders"); err != nil {
			return nil, err
		}
		return l.json(s, r.q.Get("format"), r.q["metadataHeaders"])
	case verb == "DELETE" && len(rest) == 1:
		delete(m.letters, l.id)
		m.note("messagesDeleted", l, nil)
		return nil, r.allow()
	case verb == "POST modify" && len(rest) == 2:
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		add, err := m.labelIDs(in["addLabelIds"])
		if err != nil {
			return nil, err
		}
		del, err := m.labelIDs(in["removeLabelIds"])
		if err != nil {
			return nil, err
		}
		m.modify(l, add, del)
		return l.brief(), r.allow()
	case verb == "POST trash" && len(rest) == 2:
		m.modify(l, []string{"TRASH"}, nil)
		return l.brief(), r.allow()
	case verb == "POST untrash" && len(rest) == 2:
		m.modify(l, nil, []string{"TRASH"})
		return l.brief(), r.allow()
	case verb == "GET attachments" && len(rest) == 3:
		cut := strings.LastIndexByte(rest[2], '-')
		id, err := base64.RawURLEncoding.DecodeString(rest[2][cut+1:])
		p := l.root.find(string(id))
		if err != nil || p == nil || !strings.HasPrefix(rest[2], "ANGjdJ-") {
			return nil, notFound()
		}
		return map[string]any{"size": len(p.body), "data": base64.URLEncoding.EncodeToString(p.body)}, r.allow()
	}
	return nil, bad("unknown")
}

func (m *mailbox) modify(l *letter, add, del []string) {
	l.labels = slices.Clone(l.labels)
	add = slices.DeleteFunc(add, func(x string) bool { return slices.Contains(l.labels, x) })
	del = slices.DeleteFunc(del, func(x string) bool { return !slices.Contains(l.labels, x) })
	l.labels = append(slices.DeleteFunc(l.labels, func(x string) bool { return slices.Contains(del, x) }), add...)
	if len(add) > 0 {
		m.note("labelsAdded", l, add)
	}
	if len(del) > 0 {
		m.note("labelsRemoved", l, del)
	}
}

func (m *mailbox) labelIDs(v any) ([]string, error) {
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if !m.known(text(x)) {
			return nil, bad("invalidLabel")
		}
		out = append(out, text(x))
	}
	return out, nil
}

// listMail lists the newest first. A page begins where the last one ended, however
// many mails have come or gone meanwhile.
func (s *Server) listMail(r request) (any, error) {
	if err := r.allow("q", "labelIds", "maxResults", "pageToken", "includeSpamTrash"); err != nil {
		return nil, err
	}
	match, err := s.search(r.a.mail, r.q.Get("q"))
	if err != nil {
		return nil, err
	}
	before := 1 << 60
	if t := r.q.Get("pageToken"); t != "" {
		if before, err = strconv.Atoi(t); err != nil {
			return nil, bad("invalidPageToken")
		}
	}
	n := s.most(r.q.Get("maxResults"), 500)
	var rows []*letter
	for _, l := range r.a.mail.letters {
		hidden := slices.Contains(l.labels, "TRASH") || slices.Contains(l.labels, "SPAM")
		if l.seq < before && match(l) && (!hidden || r.q.Get("includeSpamTrash") == "true") &&
			!slices.ContainsFunc(r.q["labelIds"], func(x string) bool { return !slices.Contains(l.labels, x) }) {
			rows = append(rows, l)
		}
	}
	slices.SortFunc(rows, func(a, b *letter) int { return b.seq - a.seq })
	out := map[string]any{"resultSizeEstimate": len(rows)}
	list := []any{}
	for _, l := range rows[:min(n, len(rows))] {
		list = append(list, l.brief())
	}
	if len(list) > 0 { // an empty list is not there at all
		out["messages"] = list
	}
	if len(rows) > n {
		out["nextPageToken"] = strconv.Itoa(rows[n-1].seq)
	}
	return out, nil
}

func (s *Server) most(asked string, limit int) int {
	n, err := strconv.Atoi(asked)
	if err != nil || n <= 0 || n > limit {
		n = limit
	}
	return min(n, s.o.PageSize)
}

// search understands the part of Gmail's search language that clients here use:
// in:, label:, rfc822msgid:, newer_than:Nd, a leading minus, and braces for "or".
func (s *Server) search(m *mailbox, q string) (func(*letter) bool, error) {
	all := []func(*letter) bool{}
	var any []func(*letter) bool
	within := false
	for w := range strings.FieldsSeq(strings.NewReplacer("{", " { ", "}", " } ").Replace(q)) {
		switch w {
		case "{":
			within, any = true, nil
			continue
		case "}":
			or := any
			within = false
			all = append(all, func(l *letter) bool {
				return slices.ContainsFunc(or, func(f func(*letter) bool) bool { return f(l) })
			})
			continue
		}
		f, err := s.term(m, w)
		if err != nil {
			return nil, err
		}
		if within {
			any = append(any, f)
		} else {
			all = append(all, f)
		}
	}
	return func(l *letter) bool {
		return !slices.ContainsFunc(all, func(f func(*letter) bool) bool { return !f(l) })
	}, nil
}

func (s *Server) term(m *mailbox, w string) (func(*letter) bool, error) {
	if rest, ok := strings.CutPrefix(w, "-"); ok {
		f, err := s.term(m, rest)
		return func(l *letter) bool { return !f(l) }, err
	}
	name, v, _ := strings.Cut(w, ":")
	has := func(label string) (func(*letter) bool, error) {
		return func(l *letter) bool { return slices.Contains(l.labels, label) }, nil
	}
	switch name {
	case "in":
		if label, ok := map[string]string{"inbox": "INBOX", "sent": "SENT", "drafts": "DRAFT", "chats": "CHAT", "trash": "TRASH"}[v]; ok {
			return has(label)
		}
	case "label":
		for id, n := range m.labels {
			if strings.ToLower(strings.NewReplacer(" ", "-", "/", "-").Replace(n)) == v {
				return has(id)
			}
		}
		return func(*letter) bool { return false }, nil
	case "rfc822msgid":
		return func(l *letter) bool { return strings.Trim(l.header.Get("Message-Id"), "<> ") == v }, nil
	case "newer_than":
		days, err := strconv.Atoi(strings.TrimSuffix(v, "d"))
		if err == nil && strings.HasSuffix(v, "d") {
			return func(l *letter) bool { return l.date.After(s.o.Now().AddDate(0, 0, -days)) }, nil
		}
	}
	return nil, bad("unknown")
}

// mailHistory answers what happened after an id. One that is too old is not found.
func (s *Server) mailHistory(r request) (any, error) {
	if err := r.allow("startHistoryId", "historyTypes", "labelId", "maxResults", "pageToken"); err != nil {
		return nil, err
	}
	m := r.a.mail
	from, err := strconv.Atoi(r.q.Get("startHistoryId"))
	switch {
	case err != nil:
		return nil, bad("invalidArgument")
	case from < m.oldest || from < historyBase:
		return nil, notFound()
	}
	if t := r.q.Get("pageToken"); t != "" {
		if from, err = strconv.Atoi(t); err != nil {
			return nil, bad("invalidPageToken")
		}
	}
	n := s.most(r.q.Get("maxResults"), 500)
	out := map[string]any{"historyId": strconv.Itoa(m.current())}
	var list []any
	for _, h := range m.log {
		if h.id <= from {
			continue
		}
		if len(list) == n {
			out["nextPageToken"] = strconv.Itoa(h.id - 1)
			break
		}
		msg := map[string]any{"id": h.letter, "threadId": h.thread}
		if h.what != "messagesDeleted" && h.has != nil {
			msg["labelIds"] = h.has
		}
		entry := map[string]any{"message": msg}
		if h.labels != nil {
			entry["labelIds"] = h.labels
		}
		list = append(list, map[string]any{"id": strconv.Itoa(h.id), "messages": []any{map[string]any{"id": h.letter, "threadId": h.thread}}, h.what: []any{entry}})
	}
	if list != nil {
		out["history"] = list
	}
	return out, nil
}
