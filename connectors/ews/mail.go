package ews

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"mime"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// mailCapability: mails are read and never written.
func mailCapability() connectors.Capability {
	c := connectors.Capability{Tombstones: true, Batch: batch, Fields: map[connectors.Field]connectors.Limit{}, Attachments: connectors.AttachmentCapability{Read: true, Size: largest}}
	for _, f := range connectors.Fields(connectors.KindMail) {
		c.Fields[f] = connectors.Limit{ReadOnly: true}
	}
	return c
}

// headers are the fields of RFC 5322 that the protocol has no property for.
func headers() []string { return []string{"Auto-Submitted", "List-Id", "Content-Type"} }

// mailExtra is what a head has; the body is asked for apart.
func mailExtra() string {
	var b strings.Builder
	for _, p := range []string{"item:LastModifiedTime", "item:ParentFolderId", "item:ItemClass", "item:Subject", "item:Sensitivity", "item:Attachments", "item:Categories", "item:Importance",
		"item:InReplyTo", "item:DateTimeSent", "message:ToRecipients", "message:CcRecipients", "message:From", "message:InternetMessageId", "message:References"} {
		b.WriteString(`<t:FieldURI FieldURI="` + p + `"/>`)
	}
	for _, h := range headers() {
		b.WriteString(`<t:IndexedFieldURI FieldURI="item:InternetMessageHeader" FieldIndex="` + h + `"/>`)
	}
	return b.String()
}

type mail struct {
	MessageID  string    `xml:"InternetMessageId"`
	InReplyTo  string    `xml:"InReplyTo"`
	References string    `xml:"References"`
	From       []mailbox `xml:"From>Mailbox"`
	To         []mailbox `xml:"ToRecipients>Mailbox"`
	Cc         []mailbox `xml:"CcRecipients>Mailbox"`
	Sent       string    `xml:"DateTimeSent"`
	Headers    []struct {
		Name string `xml:"HeaderName,attr"`
		Text string `xml:",chardata"`
	} `xml:"InternetMessageHeaders>InternetMessageHeader"`
}

// mailItems are the elements that a mail may be.
func mailItems() []string {
	return []string{"Message", "MeetingMessage", "MeetingRequest", "MeetingResponse", "MeetingCancellation"}
}

func readMail(it *item, _ *zone.Book) (*connectors.Record, error) {
	r := connectors.NewRecord(connectors.KindMail)
	m := r.Mail
	set := func(f connectors.Field, s string) { r.SetText(f, s) }
	set(connectors.FieldMessageID, unbracket(it.mail.MessageID))
	m.InReplyTo, m.References = messageIDs(it.mail.InReplyTo), messageIDs(it.mail.References)
	if len(it.mail.From) > 0 {
		m.From, _ = it.mail.From[0].party()
	}
	m.To, m.Cc = parties(it.mail.To), parties(it.mail.Cc)
	m.Date, _ = time.Parse(time.RFC3339, it.mail.Sent) // one without is of no date
	m.Date = m.Date.UTC()
	set(connectors.FieldSubject, it.Subject)
	set(connectors.FieldBody, it.plain())
	for _, h := range it.mail.Headers {
		switch strings.ToLower(h.Name) {
		case "auto-submitted":
			set(connectors.FieldAutoSubmitted, strings.ToLower(h.Text))
		case "list-id":
			set(connectors.FieldListID, h.Text)
		case "content-type":
			set(connectors.FieldContentType, contentType(h.Text))
		}
	}
	// What the mailbox took apart is known by its class only.
	switch class := strings.ToLower(it.Class); {
	case strings.HasPrefix(class, "report."):
		m.ContentType = "multipart/report"
	case strings.HasPrefix(class, "ipm.schedule.meeting."), strings.HasPrefix(it.XMLName.Local, "Meeting"):
		if _, p, err := mime.ParseMediaType(m.ContentType); err != nil || p["method"] == "" {
			m.ContentType = "text/calendar"
		}
	}
	m.Priority = index[connectors.Priority](importances(), it.Importance)
	m.Sensitivity = it.sensitivity()
	r.SetCategories(it.categories())
	return r, nil
}

// contentType keeps of a media type what says by whom a mail was written.
func contentType(s string) string {
	media, params, err := mime.ParseMediaType(s)
	if err != nil {
		return ""
	}
	keep := map[string]string{}
	for _, name := range []string{"report-type", "method"} {
		if v := strings.ToLower(params[name]); v != "" {
			keep[name] = v
		}
	}
	return mime.FormatMediaType(strings.ToLower(media), keep)
}

func unbracket(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
}

// messageIDs lists the ids of a field that holds several.
func messageIDs(s string) []string {
	var out []string
	for id := range strings.FieldsFuncSeq(s, func(c rune) bool {
		return c == '<' || c == '>' || c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ','
	}) {
		if id = connectors.NormalizeText(connectors.FieldMessageID, id); id != "" {
			out = append(out, id)
		}
	}
	return out
}

func parties(ms []mailbox) []connectors.Party {
	var out []connectors.Party
	for _, m := range ms {
		if p, ok := m.party(); ok {
			out = append(out, p)
		}
	}
	return out
}

// places is a cursor over several folders: where each history stands, and whose
// turn it is.
type places struct {
	At     int               `json:"at,omitempty"`
	States map[string]string `json:"states"`
}

// inbox reads what is new in one of the chosen folders, and the heads of it: no
// body comes along. The folders take turns.
func (s session) inbox(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	at := places{}
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &at); err != nil || at.At < 0 || len(at.States) == 0 {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
		}
	}
	if at.At >= len(s.d.folders) { // fewer folders than there were
		at.At = 0
	}
	name := s.d.folders[at.At]
	p, err := s.history(ctx, folderID(name), at.States[name], limit)
	if err != nil {
		return connectors.Page{}, err
	}
	next := places{At: at.At, States: map[string]string{}}
	for _, f := range s.d.folders { // folders that are not chosen any more are forgotten
		if v := at.States[f]; v != "" {
			next.States[f] = v
		}
	}
	next.States[name] = p.Cursor
	if !p.More {
		next.At = (at.At + 1) % len(s.d.folders)
		p.More = next.At != 0
	}
	b, err := json.Marshal(next)
	if err != nil {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "state of a folder"}
	}
	p.Cursor = string(b)
	return s.heads(ctx, p)
}

// heads adds the heads of mails to what changed.
func (s session) heads(ctx context.Context, p connectors.Page) (connectors.Page, error) {
	var ids []string
	for _, c := range p.Changes {
		if !c.Gone {
			ids = append(ids, c.ID)
		}
	}
	found, errs, err := s.items(ctx, ids, head)
	if err != nil {
		return connectors.Page{}, err
	}
	out := p.Changes[:0]
	n := -1
	for _, c := range p.Changes {
		if !c.Gone {
			n++
			switch err := errs[n]; {
			case errors.Is(err, connectors.ErrNotFound): // it went meanwhile: its history says so
				continue
			case err != nil: // its content is somebody's trouble later, not that of all others
			default:
				r, err := s.record(ctx, &found[n])
				if err != nil {
					return connectors.Page{}, err
				}
				r.Head()
				c.Rev, c.Modified, c.Record, c.Head = r.Rev, r.Modified, r, true
			}
		}
		out = append(out, c)
	}
	p.Changes = out
	return p, nil
}

// direction of a mail: what lies among the sent ones, or is from the mailbox's own
// address, was written by its user.
func (s session) direction(ctx context.Context, it *item, r *connectors.Record) error {
	sent, err := s.sentItems(ctx)
	if err != nil {
		return err
	}
	r.Mail.Direction = connectors.Inbound
	if it.Parent.ID != "" && it.Parent.ID == sent || s.d.mailbox != "" && strings.EqualFold(r.Mail.From.Address, s.d.mailbox) {
		r.Mail.Direction = connectors.Outbound
	}
	return nil
}

// sentItems is the id of the folder of sent mails, which stays; "" where there is
// none.
func (s session) sentItems(ctx context.Context) (string, error) {
	s.d.mu.Lock()
	id, known := s.d.sent, s.d.sentKnown
	s.d.mu.Unlock()
	if known {
		return id, nil
	}
	ms, err := s.do(ctx, `<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>`+folderID("sentitems")+`</m:FolderIds></m:GetFolder>`, false, 1)
	if err != nil {
		return "", err
	}
	switch err := ms[0].err(); {
	case ms[0].Code == "ErrorFolderNotFound":
	case err != nil:
		return "", err
	case len(ms[0].Folders.List) == 1:
		id = ms[0].Folders.List[0].ID.ID
	}
	s.d.mu.Lock()
	s.d.sent, s.d.sentKnown = id, true
	s.d.mu.Unlock()
	return id, nil
}

// folders are those of an answer.
type folders struct {
	List []struct {
		XMLName xml.Name
		ID      itemID `xml:"FolderId"`
	} `xml:",any"`
}

// folderID names a folder in a request: one that every mailbox has by its name,
// any other by its id.
func folderID(name string) string {
	if distinguished(name) {
		return `<t:DistinguishedFolderId Id="` + name + `"/>`
	}
	return `<t:FolderId Id="` + esc(name) + `"/>`
}

// distinguished reports whether a name is that of a folder that every mailbox has
// ("DistinguishedFolderId"), of those that mails may lie in.
func distinguished(name string) bool {
	switch name {
	case "inbox", "sentitems", "drafts", "deleteditems", "junkemail", "outbox", "msgfolderroot", "contacts", "calendar", "tasks":
		return true
	}
	return false
}
