package google

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Limits of a mail.
const (
	maxNesting = 20      // of parts in parts
	maxText    = 4 << 20 // bytes of a text that is read
	maxParties = 2000    // addresses in a field
	maxThread  = 200     // message ids in a field
)

// decoder reads words that are encoded for a header (RFC 2047).
func decoder() *mime.WordDecoder { return &mime.WordDecoder{CharsetReader: charset.NewReaderLabel} }

// value is the first field of a name, as it came.
func (p *part) value(name string) string {
	for _, h := range p.Headers {
		if strings.EqualFold(h.Name, name) {
			return strings.TrimSpace(h.Value)
		}
	}
	return ""
}

// words is a field in which words may be encoded.
func (p *part) words(name string) string {
	v := p.value(name)
	if d, err := decoder().DecodeHeader(v); err == nil {
		return d
	}
	return v
}

// parties reads the addresses of a field. One that cannot be read takes no other
// with it.
func (p *part) parties(name string) []connectors.Party {
	var out []connectors.Party
	parser := mail.AddressParser{WordDecoder: decoder()}
	for _, h := range p.Headers {
		if !strings.EqualFold(h.Name, name) {
			continue
		}
		list, err := parser.ParseList(h.Value)
		if err != nil {
			list = nil
			for s := range strings.SplitSeq(h.Value, ",") {
				if a, err := parser.Parse(strings.TrimSpace(s)); err == nil {
					list = append(list, a)
				} else if _, rest, ok := strings.Cut(s, "<"); ok {
					if a, _, ok := strings.Cut(rest, ">"); ok && strings.Contains(a, "@") {
						list = append(list, &mail.Address{Address: strings.TrimSpace(a)})
					}
				}
			}
		}
		for _, a := range list {
			if len(out) < maxParties {
				out = append(out, connectors.Party{Address: connectors.NormalizeText(connectors.FieldEmail, a.Address), Name: connectors.NormalizeText(connectors.FieldName, a.Name)})
			}
		}
	}
	return out
}

// messageIDs reads the ids of a field, without their angle brackets.
func (p *part) messageIDs(name string) []string {
	var out []string
	for w := range strings.FieldsSeq(strings.NewReplacer("<", " ", ">", " ", ",", " ").Replace(p.value(name))) {
		if strings.Contains(w, "@") && len(out) < maxThread {
			out = append(out, connectors.NormalizeText(connectors.FieldMessageID, w))
		}
	}
	return out
}

func (p *part) messageID() string {
	return connectors.NormalizeText(connectors.FieldMessageID, strings.Trim(p.value("Message-ID"), "<> \t"))
}

// contentType says of a mail what Mail.ContentType holds. An invitation has its
// calendar as one of the ways in which it says the same; a calendar among its files
// is no invitation.
func (p *part) contentType() string {
	if p.invites(maxNesting) {
		return "text/calendar"
	}
	media, params, err := mime.ParseMediaType(p.value("Content-Type"))
	if err != nil {
		return strings.ToLower(p.Media)
	}
	keep := map[string]string{}
	for _, k := range []string{"report-type", "method"} {
		if v := params[k]; v != "" {
			keep[k] = strings.ToLower(v)
		}
	}
	return mime.FormatMediaType(media, keep)
}

func (p *part) invites(depth int) bool {
	if depth == 0 {
		return false
	}
	for i := range p.Parts {
		c := &p.Parts[i]
		if strings.EqualFold(p.Media, "multipart/alternative") && strings.EqualFold(c.Media, "text/calendar") || c.invites(depth-1) {
			return true
		}
	}
	return false
}

// record reads a mail, with its text and the list of its files if full is set.
func (m mails) record(l letter, names map[string]string, full bool) (*connectors.Record, error) {
	p := l.Payload
	r := connectors.NewRecord(connectors.KindMail)
	r.ID, r.Rev, r.Modified = l.ID, l.rev(), l.date()
	x := r.Mail
	x.MessageID = p.messageID()
	if len(x.MessageID) <= connectors.MaxKey {
		r.Key = x.MessageID
	}
	x.InReplyTo, x.References = p.messageIDs("In-Reply-To"), p.messageIDs("References")
	if from := p.parties("From"); len(from) > 0 {
		x.From = from[0]
	}
	x.To, x.Cc = p.parties("To"), p.parties("Cc")
	x.Date = l.date()
	r.SetText(connectors.FieldSubject, p.words("Subject"))
	auto, _, _ := strings.Cut(p.value("Auto-Submitted"), ";")
	r.SetText(connectors.FieldAutoSubmitted, strings.ToLower(auto))
	r.SetText(connectors.FieldListID, p.words("List-Id"))
	r.SetText(connectors.FieldContentType, p.contentType())
	x.Direction = connectors.Inbound
	if slices.Contains(l.Labels, sent) {
		x.Direction = connectors.Outbound
	}
	switch v := strings.ToLower(p.value("Importance") + p.value("X-Priority")); {
	case strings.HasPrefix(v, "high") || strings.HasPrefix(v, "1") || strings.HasPrefix(v, "2"):
		x.Priority = connectors.High
	case strings.HasPrefix(v, "low") || strings.HasPrefix(v, "4") || strings.HasPrefix(v, "5"):
		x.Priority = connectors.Low
	}
	switch strings.ToLower(p.value("Sensitivity")) {
	case "private", "personal":
		x.Sensitivity = connectors.Private
	case "company-confidential":
		x.Sensitivity = connectors.Confidential
	}
	marks := &connectors.Marks{Folder: connectors.NormalizeText(connectors.FieldName, m.folder(l, names))}
	for _, id := range l.Labels {
		if n := connectors.NormalizeText(connectors.FieldName, names[id]); n != "" && len(marks.Categories) < connectors.MaxCategories {
			marks.Categories = append(marks.Categories, n)
		}
	}
	slices.Sort(marks.Categories)
	r.Marks = marks
	if full {
		text, err := p.text(maxNesting)
		if err != nil {
			return nil, err
		}
		r.SetText(connectors.FieldBody, text)
		p.files(maxNesting, &r.Attachments)
	}
	return r, nil
}

// attached reports whether a part is a file and not what the mail says.
func (p *part) attached() bool {
	return p.File != "" || strings.HasPrefix(strings.ToLower(p.value("Content-Disposition")), "attachment")
}

// text is what a part says, as plain text.
func (p *part) text(depth int) (string, error) {
	media := strings.ToLower(p.Media)
	switch {
	case depth == 0 || p.attached():
		return "", nil
	case media == "multipart/alternative":
		var best *part
		for i := range p.Parts {
			c := &p.Parts[i]
			if m := strings.ToLower(c.Media); best == nil || m == "text/plain" || strings.HasPrefix(m, "multipart/") && !strings.EqualFold(best.Media, "text/plain") {
				best = c
			}
		}
		if best == nil {
			return "", nil
		}
		best.fetching = p.fetching
		return best.text(depth - 1)
	case strings.HasPrefix(media, "multipart/"):
		var all []string
		for i := range p.Parts {
			p.Parts[i].fetching = p.fetching
			t, err := p.Parts[i].text(depth - 1)
			if err != nil {
				return "", err
			}
			if t != "" {
				all = append(all, t)
			}
			if media == "multipart/related" {
				break // the others are what the first one shows
			}
		}
		return strings.Join(all, "\n"), nil
	case media != "text/plain" && media != "text/html":
		return "", nil
	}
	b, err := p.content()
	if err != nil {
		return "", err
	}
	s := decode(b, p.value("Content-Type"))
	if media == "text/html" {
		s = connectors.HTMLToText(s)
	}
	return connectors.NormalizeText(connectors.FieldBody, s), nil
}

// content is a text as it came; one that is long is read by itself.
func (p *part) content() ([]byte, error) {
	if p.Body.Data == "" && p.Body.Attachment != "" && p.fetching != nil {
		if p.Body.Size > maxText {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: connectors.FieldBody, Detail: "the text is too long"}
		}
		return p.fetching(p.Body.Attachment)
	}
	b, err := base64.URLEncoding.DecodeString(pad(p.Body.Data))
	if err != nil || len(b) > maxText {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: connectors.FieldBody, Detail: "the text is too long or not encoded"}
	}
	return b, nil
}

// pad brings base64 to the length that its decoder wants.
func pad(s string) string {
	s = strings.TrimRight(s, "=")
	return s + strings.Repeat("=", (4-len(s)%4)%4)
}

// decode reads a text in the character set that its part names. What is UTF-8 is
// read as such: the service may have converted it. (Sets that switch by escape
// sequences, as ISO-2022-JP, look like UTF-8 before they are read.)
func decode(b []byte, contentType string) string {
	_, params, err := mime.ParseMediaType(contentType)
	set := strings.ToLower(params["charset"])
	if err != nil || set == "" || utf8.Valid(b) && !bytes.ContainsRune(b, 0x1b) && !strings.HasPrefix(set, "utf-16") {
		return string(b)
	}
	r, err := charset.NewReaderLabel(set, bytes.NewReader(b))
	if err != nil {
		return string(b)
	}
	out, err := io.ReadAll(io.LimitReader(r, 4*maxText))
	if err != nil {
		return string(b)
	}
	return string(out)
}

// files lists what is attached. The part's number names a file: the id that the
// service gives its content is another one each time.
func (p *part) files(depth int, out *[]*connectors.Attachment) {
	if depth == 0 || len(*out) >= connectors.MaxAttachments {
		return
	}
	if len(p.Parts) == 0 && p.attached() && p.ID != "" && len(p.ID) <= connectors.MaxID {
		name := connectors.NormalizeText(connectors.FieldName, p.File)
		if name == "" {
			name = "unnamed"
		}
		for len(name) > connectors.MaxAttachmentName {
			_, n := utf8.DecodeLastRuneInString(name)
			name = name[:len(name)-n]
		}
		*out = append(*out, &connectors.Attachment{ID: p.ID, Name: name, MediaType: strings.ToLower(p.Media), Size: max(p.Body.Size, -1)})
	}
	for i := range p.Parts {
		p.Parts[i].files(depth-1, out)
	}
}

func (p *part) find(id string, depth int) *part {
	if depth == 0 {
		return nil
	}
	if p.ID == id && len(p.Parts) == 0 {
		return p
	}
	for i := range p.Parts {
		if c := p.Parts[i].find(id, depth-1); c != nil {
			return c
		}
	}
	return nil
}

// file reads a content of a few MiB at most.
func (m mails) file(ctx context.Context, id, attachment string) ([]byte, error) {
	var p struct {
		Data *string `json:"data"`
	}
	if err := m.do(ctx, http.MethodGet, "/messages/"+id+"/attachments/"+url.PathEscape(attachment), url.Values{"fields": {"data"}}, "", nil, &p); err != nil {
		return nil, err
	}
	if p.Data == nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "content of a mail"}
	}
	b, err := base64.URLEncoding.DecodeString(pad(*p.Data))
	if err != nil || len(b) > maxText {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "content of a mail"}
	}
	return b, nil
}
