package msgraph

import (
	"context"
	"errors"
	"mime"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// What is read of a mail before anybody decides whether it is wanted, and what
// is read of one that is.
const (
	headSelect = "id,lastModifiedDateTime,subject,from,toRecipients,ccRecipients,internetMessageId,sentDateTime,receivedDateTime,importance,sensitivity," +
		"categories,isDraft,parentFolderId,internetMessageHeaders"
	mailSelect = headSelect + ",body,hasAttachments"
)

// Graph does not say of which class a mail is; Outlook does, in this property
// (MS-OXCMSG, PidTagMessageClass). It tells reports and automatic replies even
// where a mail never left the house and has no header.
const classProperty = "String 0x001A"

func mailCapability() connectors.Capability {
	c := connectors.Capability{Tombstones: true, Batch: maxBatch, Fields: map[connectors.Field]connectors.Limit{},
		Attachments: connectors.AttachmentCapability{Read: true, Size: maxFile}}
	for _, f := range connectors.Fields(connectors.KindMail) {
		c.Fields[f] = connectors.Limit{}
	}
	return c
}

// message is a mail as Graph writes it (resource type "message").
type message struct {
	item
	Type        string     `json:"@odata.type"`
	Subject     string     `json:"subject"`
	Body        body       `json:"body"`
	From        *attendee  `json:"from"`
	To          []attendee `json:"toRecipients"`
	Cc          []attendee `json:"ccRecipients"`
	MessageID   string     `json:"internetMessageId"`
	Sent        time.Time  `json:"sentDateTime"`
	Received    time.Time  `json:"receivedDateTime"`
	Importance  string     `json:"importance"`
	Sensitivity string     `json:"sensitivity"`
	Draft       bool       `json:"isDraft"`
	Parent      string     `json:"parentFolderId"`
	Categories  []string   `json:"categories"`
	Headers     *[]header  `json:"internetMessageHeaders"` // nil: not asked for, or not given
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// header returns the first field of a name, unfolded.
func (m message) header(name string) string {
	if m.Headers == nil {
		return ""
	}
	for _, h := range *m.Headers {
		if strings.EqualFold(h.Name, name) {
			return strings.Join(strings.Fields(h.Value), " ")
		}
	}
	return ""
}

// readMail reads a mail, or the head of one. Whose mailbox it is tells which way
// it went.
func readMail(b []byte, owner string, in found) (*connectors.Record, error) {
	var v message
	if err := decode(b, &v); err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a mail"}
	}
	r := connectors.NewRecord(connectors.KindMail)
	r.ID, r.Rev, r.Modified = v.ID, v.ETag, v.Modified
	m := r.Mail
	r.SetText(connectors.FieldMessageID, messageID(v.MessageID))
	if len(m.MessageID) <= connectors.MaxKey {
		r.Key = m.MessageID
	}
	r.SetText(connectors.FieldSubject, v.Subject)
	r.SetText(connectors.FieldBody, plain(v.Body))
	r.SetCategories(categories(v.Categories))
	if v.From != nil {
		m.From = v.From.party()
	}
	m.To, m.Cc = parties(v.To), parties(v.Cc)
	if m.Date = v.Sent; m.Date.IsZero() {
		m.Date = v.Received
	}
	m.Date = m.Date.UTC().Truncate(time.Second)
	m.InReplyTo, m.References = messageIDs(v.header("In-Reply-To")), messageIDs(v.header("References"))
	m.AutoSubmitted = connectors.NormalizeText(connectors.FieldAutoSubmitted, strings.ToLower(v.header("Auto-Submitted")))
	m.ListID = connectors.NormalizeText(connectors.FieldListID, v.header("List-Id"))
	m.ContentType = contentType(v.header("Content-Type"))
	for i, s := range priorities() {
		if strings.EqualFold(v.Importance, s) {
			m.Priority = connectors.Priority(i)
		}
	}
	m.Sensitivity = sensitivity(v.Sensitivity)
	class := strings.ToUpper(v.property(classProperty))
	switch {
	case strings.HasPrefix(class, "REPORT."):
		m.ContentType = "multipart/report"
	case strings.HasPrefix(class, "IPM.SCHEDULE.MEETING") || strings.Contains(v.Type, ".eventMessage"):
		m.ContentType = "text/calendar"
	case strings.HasPrefix(class, "IPM.NOTE.RULES.") && m.AutoSubmitted == "":
		m.AutoSubmitted = "auto-replied"
	}
	m.Direction = connectors.Inbound
	for _, f := range in.all {
		if f.id != v.Parent {
			continue
		}
		r.Marks = &connectors.Marks{Folder: f.name, Categories: r.Categories()}
		if f.sent {
			m.Direction = connectors.Outbound
		}
	}
	if owner != "" && strings.EqualFold(m.From.Address, owner) {
		m.Direction = connectors.Outbound
	}
	if r.Folder() == "" { // somewhere else: nowhere that anybody looks at
		r.Marks = &connectors.Marks{Folder: elsewhere, Categories: r.Categories()}
	}
	return r, nil
}

// elsewhere is the name of all folders that the endpoint does not follow.
const elsewhere = "(not followed)"

func parties(as []attendee) []connectors.Party {
	var out []connectors.Party
	for _, a := range as {
		out = append(out, a.party())
	}
	return out
}

// messageID takes off the angle brackets.
func messageID(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// maxIDs is how many message ids are read of one field.
const maxIDs = 100

// messageIDs reads a field with several (RFC 5322 section 3.6.4).
func messageIDs(s string) []string {
	var out []string
	for len(out) < maxIDs {
		_, after, ok := strings.Cut(s, "<")
		id, rest, ok2 := strings.Cut(after, ">")
		if !ok || !ok2 {
			return out
		}
		if id = connectors.NormalizeText(connectors.FieldMessageID, id); id != "" && len(id) < 1000 {
			out = append(out, id)
		}
		s = rest
	}
	return out
}

// contentType keeps of a media type what tells reports and invitations from
// letters.
func contentType(s string) string {
	media, params, err := mime.ParseMediaType(s)
	if err != nil {
		return ""
	}
	keep := map[string]string{}
	for _, k := range []string{"report-type", "method"} {
		if v := params[k]; v != "" {
			keep[k] = strings.ToLower(v)
		}
	}
	return connectors.NormalizeText(connectors.FieldContentType, mime.FormatMediaType(media, keep))
}

// heads turns the mails of a page into changes with what deciding about them
// needs. Where the page did not bring the headers, they are read, and so is what
// was removed from a folder: it may lie in another.
func (s session) heads(ctx context.Context, items []item) ([]connectors.Change, error) {
	in, err := s.followed(ctx)
	if err != nil {
		return nil, err
	}
	var out []connectors.Change
	add := func(v item) error {
		r, err := readMail(v.raw, s.d.owner(), in)
		if err != nil {
			return err
		}
		r.Head()
		ch := v.change()
		ch.Record, ch.Head = r, true
		out = append(out, ch)
		return nil
	}
	var bare []string
	for _, v := range items {
		var m message
		if err := decode(v.raw, &m); err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a mail"}
		}
		switch {
		case v.Removed != nil || m.Headers == nil && !m.Draft:
			bare = append(bare, v.ID)
		case m.Draft:
		default:
			if err := add(v); err != nil {
				return nil, err
			}
		}
	}
	read, errs, err := s.itemsWith(ctx, bare, headSelect)
	if err != nil {
		return nil, err
	}
	for i, id := range bare {
		switch {
		case errors.Is(errs[i], connectors.ErrNotFound):
			out = append(out, connectors.Change{ID: id, Gone: true})
		case errs[i] != nil:
			return nil, errs[i]
		default:
			if err := add(read[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
