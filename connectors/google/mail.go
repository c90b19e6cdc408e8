package google

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func mailCapability() connectors.Capability {
	c := connectors.Capability{Tombstones: true, Batch: 50, Fields: map[connectors.Field]connectors.Limit{},
		Attachments: connectors.AttachmentCapability{Read: true, Size: maxMail}}
	for _, f := range connectors.Fields(connectors.KindMail) {
		c.Fields[f] = connectors.Limit{}
	}
	return c
}

// maxMail is the largest mail that Gmail takes, in bytes, files and all ("Gmail
// receiving limits").
const maxMail = 50 << 20

// Of a mail that nobody has asked for, only the fields of its header and the media
// types of its parts leave Google: no text, no snippet of it, no file and no name
// of one. The types tell an invitation, which says so in none of its header fields.
const (
	headFields = "id,threadId,labelIds,internalDate,payload(mimeType,headers,parts(mimeType,parts(mimeType,parts(mimeType))))"
	fullFields = "id,threadId,labelIds,internalDate,payload"
)

// mails are the mails of an account, Gmail API v1. They are read, and nothing else.
type mails struct {
	service
	o *mailOptions
}

// mailOptions are what an endpoint says of its mails, and the labels as they were
// last seen.
type mailOptions struct {
	label string // looked at besides Inbox and Sent
	days  int    // a first reading goes back; 0: to the beginning

	mu     sync.Mutex
	labels map[string]string // name by id
}

// Labels that every account has.
const (
	inbox = "INBOX"
	sent  = "SENT"
)

// letter is a mail as Gmail writes it (resource "Message").
type letter struct {
	ID      string   `json:"id"`
	Labels  []string `json:"labelIds"`
	Date    string   `json:"internalDate"` // milliseconds
	Payload *part    `json:"payload"`
}

type part struct {
	ID       string   `json:"partId"`
	Media    string   `json:"mimeType"`
	File     string   `json:"filename"`
	Headers  []header `json:"headers"`
	Body     body     `json:"body"`
	Parts    []part   `json:"parts"`
	fetching func(id string) ([]byte, error)
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type body struct {
	Attachment string `json:"attachmentId"`
	Size       int64  `json:"size"`
	Data       string `json:"data"`
}

func isMailID(s string) bool { return len(s) <= 32 && word(s, "0123456789abcdef") }

// seenLabels are the labels by id. They are read again when one turns up that is not
// known.
func (m mails) seenLabels(ctx context.Context, unknown bool) (map[string]string, error) {
	m.o.mu.Lock()
	defer m.o.mu.Unlock()
	if m.o.labels != nil && !unknown {
		return m.o.labels, nil
	}
	var p struct {
		Labels []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"labels"`
	}
	if err := m.do(ctx, http.MethodGet, "/labels", url.Values{"fields": {"labels(id,name,type)"}}, "", nil, &p); err != nil {
		return nil, err
	}
	if len(p.Labels) == 0 { // there are always those of the system
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	m.o.labels = map[string]string{}
	for _, l := range p.Labels {
		if l.Type == "user" {
			m.o.labels[l.ID] = l.Name
		}
	}
	return m.o.labels, nil
}

// labels are the names of those that a mail's user gave it.
func (m mails) labels(ctx context.Context, ls []letter) (map[string]string, error) {
	known, err := m.seenLabels(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, l := range ls {
		for _, id := range l.Labels {
			if _, ok := known[id]; !ok && !ofGoogle(id) {
				return m.seenLabels(ctx, true)
			}
		}
	}
	return known, nil
}

// ofGoogle reports whether a label is one of Gmail's own.
func ofGoogle(id string) bool { return !strings.HasPrefix(id, "Label_") }

// folder is where a mail is looked at: the label of the options, else Inbox or Sent,
// "" where it is not. What is in the bin, or nobody has sent yet, is nowhere.
func (m mails) folder(l letter, names map[string]string) string {
	has := func(id string) bool { return slices.Contains(l.Labels, id) }
	if l.gone() || has("DRAFT") || has("CHAT") {
		return ""
	}
	for _, id := range l.Labels {
		if n := names[id]; n != "" && strings.EqualFold(n, m.o.label) {
			return n
		}
	}
	switch {
	case has(inbox):
		return "Inbox"
	case has(sent):
		return "Sent"
	}
	return ""
}

// gone reports whether a mail's user has thrown it away.
func (l letter) gone() bool {
	return slices.Contains(l.Labels, "TRASH") || slices.Contains(l.Labels, "SPAM")
}

// rev changes with what a mail is filed under. Nothing else of a mail changes; that
// it was read, or has a star, is no change here.
func (l letter) rev() string {
	var ids []string
	for _, id := range l.Labels {
		if filing(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(strings.Join(ids, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// filing reports whether a label says where a mail is, and not only how it is shown.
func filing(id string) bool {
	return !slices.Contains([]string{"UNREAD", "STARRED", "IMPORTANT"}, id) && !strings.HasPrefix(id, "CATEGORY_")
}

func (l letter) date() time.Time {
	ms, err := strconv.ParseInt(l.Date, 10, 64)
	if err != nil || ms <= 0 || ms > time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC().Truncate(time.Second)
}

// query asks for the mails that are looked at, in Gmail's search language.
func (m mails) query() string {
	q := "{in:inbox in:sent"
	if m.o.label != "" {
		q += " label:" + strings.ToLower(strings.NewReplacer(" ", "-", "/", "-", "{", "-", "}", "-", "\"", "-", "(", "-", ")", "-").Replace(m.o.label))
	}
	q += "} -in:drafts -in:chats"
	if m.o.days > 0 {
		q += " newer_than:" + strconv.Itoa(m.o.days) + "d"
	}
	return q
}

type listing struct {
	Messages []struct {
		ID string `json:"id"`
	} `json:"messages"`
	Page     string `json:"nextPageToken"`
	Estimate *int   `json:"resultSizeEstimate"`
}

func (m mails) page(ctx context.Context, query, page string, limit int) (listing, error) {
	q := url.Values{"q": {query}, "maxResults": {strconv.Itoa(min(limit, 500))}, "fields": {"messages(id),nextPageToken,resultSizeEstimate"}}
	if page != "" {
		q.Set("pageToken", page)
	}
	var p listing
	err := m.do(ctx, http.MethodGet, "/messages", q, "", nil, &p)
	if err == nil && p.Estimate == nil {
		err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	return p, err
}

// heads is how many mails one page of changes looks into: each costs a request.
const heads = 100

// place in a reading of mails.
type mailToken struct {
	Since string `json:"h,omitempty"` // the history after it is to be read
	Page  string `json:"p,omitempty"`
	Next  string `json:"n,omitempty"` // the history after it is to be read when this reading is over
}

// changes reads what is new. The first reading notes where history is and lists
// what is there; what happens meanwhile is read from history after it.
func (m mails) changes(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	var t mailToken
	if cursor != "" {
		err := json.Unmarshal([]byte(cursor), &t)
		if err != nil || t.Since == "" && t.Next == "" || !number(t.Since) || !number(t.Next) || len(t.Page) > 1024 {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
		}
	}
	limit = min(limit, heads)
	if t.Since != "" {
		return m.history(ctx, t, limit)
	}
	if t.Next == "" {
		var p struct {
			History string `json:"historyId"`
		}
		if err := m.do(ctx, http.MethodGet, "/profile", url.Values{"fields": {"historyId"}}, "", nil, &p); err != nil {
			return connectors.Page{}, err
		}
		if t.Next = p.History; !number(t.Next) || t.Next == "" {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "no history"}
		}
	}
	p, err := m.page(ctx, m.query(), t.Page, limit)
	if err != nil {
		return connectors.Page{}, err
	}
	var ids []string
	for _, x := range p.Messages {
		ids = append(ids, x.ID)
	}
	if t.Page = p.Page; t.Page == "" {
		t = mailToken{Since: t.Next}
	}
	return m.told(ctx, t, ids, nil, false)
}

func number(s string) bool {
	if s == "" {
		return true
	}
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// history reads a page of what happened.
func (m mails) history(ctx context.Context, t mailToken, limit int) (connectors.Page, error) {
	q := url.Values{"startHistoryId": {t.Since}, "maxResults": {strconv.Itoa(limit)}, "fields": {"history(messagesAdded(message(id,labelIds)),messagesDeleted(message(id)),labelsAdded(message(id),labelIds),labelsRemoved(message(id),labelIds)),historyId,nextPageToken"}}
	if t.Page != "" {
		q.Set("pageToken", t.Page)
	}
	type happening struct {
		Message letter   `json:"message"`
		Labels  []string `json:"labelIds"`
	}
	var p struct {
		History []struct {
			Added   []happening `json:"messagesAdded"`
			Deleted []happening `json:"messagesDeleted"`
			On      []happening `json:"labelsAdded"`
			Off     []happening `json:"labelsRemoved"`
		} `json:"history"`
		ID   string `json:"historyId"`
		Page string `json:"nextPageToken"`
	}
	if err := m.do(ctx, http.MethodGet, "/history", q, "", nil, &p); err != nil {
		if errors.Is(err, connectors.ErrNotFound) { // "typically valid for at least a week": it is no longer there
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Status: http.StatusNotFound}
		}
		return connectors.Page{}, err
	}
	if p.ID == "" || !number(p.ID) {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a page of history"}
	}
	var ids, deleted []string
	touch := func(id string, gone bool) {
		ids = slices.DeleteFunc(ids, func(x string) bool { return x == id })
		deleted = slices.DeleteFunc(deleted, func(x string) bool { return x == id })
		if gone {
			deleted = append(deleted, id)
		} else {
			ids = append(ids, id)
		}
	}
	for _, h := range p.History {
		for _, x := range h.Added {
			if !slices.Contains(x.Message.Labels, "DRAFT") { // each keystroke makes one
				touch(x.Message.ID, false)
			}
		}
		for _, x := range slices.Concat(h.On, h.Off) {
			if slices.ContainsFunc(x.Labels, filing) {
				touch(x.Message.ID, false)
			}
		}
		for _, x := range h.Deleted {
			touch(x.Message.ID, true)
		}
	}
	if t.Next == "" {
		t.Next = p.ID // what happens while pages are read is read again, and not lost
	}
	if t.Page = p.Page; t.Page == "" {
		t = mailToken{Since: t.Next}
	}
	return m.told(ctx, t, ids, deleted, true)
}

// told makes a page of changes of what was listed or happened. What is no longer
// looked at is no change; what is not there, or was thrown away, is gone.
func (m mails) told(ctx context.Context, t mailToken, ids, deleted []string, happened bool) (connectors.Page, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "cursor"}
	}
	out := connectors.Page{Cursor: string(b), More: t.Page != ""}
	for _, id := range slices.Concat(ids, deleted) {
		if !isMailID(id) {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "mail without id"}
		}
	}
	ls, errs, err := m.letters(ctx, ids, "full", headFields)
	if err != nil {
		return connectors.Page{}, err
	}
	names, err := m.labels(ctx, ls)
	if err != nil {
		return connectors.Page{}, err
	}
	for i, l := range ls {
		switch {
		case errors.Is(errs[i], connectors.ErrNotFound):
			deleted = append(deleted, ids[i])
		case errs[i] != nil:
			return connectors.Page{}, errs[i]
		case l.gone():
			deleted = append(deleted, ids[i])
		case m.folder(l, names) != "":
			r, err := m.record(l, names, false)
			ch := connectors.Change{ID: l.ID, Rev: l.rev(), Head: true}
			if err == nil {
				ch.Record, ch.Modified = r, r.Modified
			}
			out.Changes = append(out.Changes, ch)
		}
	}
	if happened {
		for _, id := range deleted {
			out.Changes = append(out.Changes, connectors.Change{ID: id, Gone: true})
		}
	}
	return out, nil
}

// letters reads mails by id, each with its own error, in few requests.
func (m mails) letters(ctx context.Context, ids []string, format, fields string) ([]letter, []error, error) {
	out, errs := make([]letter, len(ids)), make([]error, len(ids))
	var at []int
	for i, id := range ids {
		if isMailID(id) {
			at = append(at, i)
		} else {
			errs[i] = &connectors.Error{Class: connectors.ErrNotFound, ID: id}
		}
	}
	each := 50
	if fields == fullFields {
		each = 5 // texts are long
	}
	for chunk := range slices.Chunk(at, each) {
		var paths []string
		for _, i := range chunk {
			paths = append(paths, "/messages/"+ids[i]+"?"+url.Values{"format": {format}, "fields": {fields}}.Encode())
		}
		rs, err := m.many(ctx, paths)
		if errors.Is(err, connectors.ErrMalformed) && len(chunk) > 1 { // one of them may be what does not fit
			rs = nil
			for n := range paths {
				r, err := m.many(ctx, paths[n:n+1])
				if err != nil && !errors.Is(err, connectors.ErrMalformed) {
					return nil, nil, err
				}
				if err != nil {
					errs[chunk[n]] = named(err, ids[chunk[n]])
					r = make([]answer, 1)
				}
				rs = append(rs, r...)
			}
		} else if err != nil {
			return nil, nil, err
		}
		for n, i := range chunk {
			if errs[i] != nil {
				continue
			}
			if errs[i] = named(classify(rs[n].Response, false), ids[i]); errs[i] != nil {
				continue
			}
			if err := json.Unmarshal(rs[n].Body, &out[i]); err != nil || out[i].ID != ids[i] || out[i].Payload == nil {
				errs[i] = &connectors.Error{Class: connectors.ErrMalformed, ID: ids[i], Detail: "not the mail that was asked for"}
			}
		}
	}
	return out, errs, nil
}

func (m mails) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	ls, errs, err := m.letters(ctx, ids, "full", fullFields)
	if err != nil {
		return nil, err
	}
	names, err := m.labels(ctx, ls)
	if err != nil {
		return nil, err
	}
	for i, l := range ls {
		err := errs[i]
		switch {
		case err == nil && (l.gone() || slices.Contains(l.Labels, "DRAFT") || slices.Contains(l.Labels, "CHAT")):
			err = &connectors.Error{Class: connectors.ErrNotFound, ID: ids[i]}
		case err == nil:
			l.Payload.fetching = func(a string) ([]byte, error) { return m.file(ctx, ids[i], a) }
			out[i].Record, err = m.record(l, names, true)
		}
		out[i].Err = named(err, ids[i])
	}
	return out, nil
}

// find looks for mails by their Message-ID: that is the key that every mail carries.
func (m mails) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	out := map[string][]connectors.Change{}
	for _, k := range keys {
		if k == "" || strings.ContainsAny(k, " {}()\"\t\r\n") {
			continue
		}
		p, err := m.page(ctx, "rfc822msgid:"+k, "", 20)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, x := range p.Messages {
			ids = append(ids, x.ID)
		}
		ls, errs, err := m.letters(ctx, ids, "full", headFields)
		if err != nil {
			return nil, err
		}
		for i, l := range ls {
			// A search that was not understood would return everything.
			if errs[i] == nil && !l.gone() && l.Payload.messageID() == k {
				out[k] = append(out[k], connectors.Change{ID: l.ID, Rev: l.rev(), Modified: l.date()})
			}
		}
	}
	return out, nil
}

func (m mails) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	p, err := m.page(ctx, m.query(), after, limit)
	if err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{Next: p.Page}
	for _, x := range p.Messages {
		out.IDs = append(out.IDs, x.ID)
	}
	return out, nil
}

func readOnly() connectors.Written {
	return connectors.Written{Err: &connectors.Error{Class: connectors.ErrUnsupported, Detail: "mails are only read"}}
}

func (m mails) create(context.Context, connectors.Draft) connectors.Written  { return readOnly() }
func (m mails) update(context.Context, connectors.Edit) connectors.Written   { return readOnly() }
func (m mails) remove(context.Context, connectors.Target) connectors.Written { return readOnly() }
