package msgraph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// maxFile is the largest attachment that is carried, in bytes.
const maxFile = 60 << 20

// attached is an attachment as Graph writes it (resource type "fileAttachment").
type attached struct {
	Type     string    `json:"@odata.type"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Media    string    `json:"contentType"`
	Size     int64     `json:"size"`
	Inline   bool      `json:"isInline"`
	Modified time.Time `json:"lastModifiedDateTime"`
}

const fileFields = "id,name,contentType,size,isInline,lastModifiedDateTime"

func (a attached) attachment() connectors.Attachment {
	media, _, _ := strings.Cut(a.Media, ";")
	return connectors.Attachment{ID: a.ID, Name: connectors.NormalizeText(connectors.FieldName, a.Name), MediaType: strings.TrimSpace(media), Size: max(a.Size, -1), Rev: a.Modified.UTC().Format(time.RFC3339)}
}

// files says what is attached to those of the items that have something.
func (s session) files(ctx context.Context, items []item, out []connectors.Result) error {
	if !s.s.can.Attachments.Read {
		return nil
	}
	var ps []part
	var at []int
	for i := range items {
		if out[i].Record != nil && items[i].HasFiles {
			ps, at = append(ps, part{method: http.MethodGet, path: items[i].path + "/attachments" + query("$select", fileFields, "$top", "100")}), append(at, i)
		}
	}
	rs, err := s.do(ctx, ps)
	if err != nil {
		return err
	}
	for n, r := range rs {
		i := at[n]
		list, err := s.allFiles(ctx, r)
		if err != nil {
			out[i] = connectors.Result{Err: named(err, items[i].ID)}
			continue
		}
		out[i].Record.Attachments = list
	}
	return nil
}

// allFiles reads a listing of attachments from its first page on.
func (s session) allFiles(ctx context.Context, r remote.Response) ([]*connectors.Attachment, error) {
	if err := classify(r, false); err != nil {
		return nil, err
	}
	var out []*connectors.Attachment
	for b, path := r.Body, ""; ; {
		var p struct {
			Value []attached `json:"value"`
			Next  string     `json:"@odata.nextLink"`
		}
		if err := decode(b, &p); err != nil || p.Value == nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing of attachments"}
		}
		out = append(out, carried(p.Value)...)
		if p.Next == "" || len(out) >= connectors.MaxAttachments {
			return out[:min(len(out), connectors.MaxAttachments)], nil
		}
		next, err := s.follow(p.Next)
		if err != nil || next == path {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "a listing without end"}
		}
		path = next
		var raw json.RawMessage
		if err := s.read(ctx, path, "", &raw); err != nil {
			return nil, err
		}
		b = raw
	}
}

// carried picks the attachments that are files. Items and links that are attached
// have no content of their own to carry, and pictures within a text belong to
// it.
func carried(list []attached) []*connectors.Attachment {
	var out []*connectors.Attachment
	for _, a := range list {
		if strings.HasSuffix(a.Type, ".fileAttachment") && !a.Inline && isID(a.ID) {
			v := a.attachment()
			out = append(out, &v)
		}
	}
	return out
}

var _ connectors.Attacher = (*driver)(nil)

// OpenAttachment implements connectors.Attacher.
func (d *driver) OpenAttachment(ctx context.Context, c connectors.Call, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	s := d.session(c, k)
	path, a, err := s.file(ctx, id, attachment)
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	resp, err := s.stream(ctx, http.MethodGet, s.d.root.String()+path+"/$value", nil, nil, 0)
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	if resp.StatusCode != http.StatusOK {
		if err = classify(short(resp), false); err == nil {
			err = &connectors.Error{Class: connectors.ErrMalformed, Status: resp.StatusCode, Detail: "an answer without content"}
		}
		return nil, connectors.Attachment{}, err
	}
	// How long it is counts, not how much room it takes in the mailbox.
	a.Size = resp.ContentLength
	return &content{ctx, resp.Body}, a, nil
}

// content ends with its context, also where some of it has come already.
type content struct {
	ctx context.Context
	io.ReadCloser
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, &connectors.Error{Class: connectors.ErrUnavailable, Detail: "cancelled", Cause: err}
	}
	return c.ReadCloser.Read(p)
}

// file reads what is said of one attachment, and returns its path.
func (s session) file(ctx context.Context, id, attachment string) (string, connectors.Attachment, error) {
	none := &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	if !isID(id) || !isID(attachment) {
		return "", connectors.Attachment{}, none
	}
	in, err := s.followed(ctx)
	if err != nil {
		return "", connectors.Attachment{}, err
	}
	path := s.d.user + in.followed[0].item + id + "/attachments/" + attachment
	r, err := s.single(ctx, part{method: http.MethodGet, path: path + query("$select", fileFields)})
	if err != nil {
		return "", connectors.Attachment{}, err
	}
	if err := classify(r, false); err != nil {
		return "", connectors.Attachment{}, named(err, id)
	}
	var a attached
	if err := decode(r.Body, &a); err != nil || a.ID != attachment {
		return "", connectors.Attachment{}, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "not an attachment"}
	}
	if !strings.HasSuffix(a.Type, ".fileAttachment") {
		return "", connectors.Attachment{}, none
	}
	return path, a.attachment(), nil
}

// stream sends one request and returns the answer before its content has come.
func (s session) stream(ctx context.Context, method, address string, h http.Header, content io.Reader, size int64) (*http.Response, error) {
	lost := connectors.ErrUnknownOutcome
	if method == http.MethodGet {
		lost = connectors.ErrUnavailable
	}
	back, err := s.lane(ctx)
	if err != nil {
		return nil, err
	}
	defer back()
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	if content != nil {
		r.ContentLength = size
	}
	for k, v := range h {
		r.Header[k] = v
	}
	r.Header.Set("Prefer", prefer)
	resp, err := s.hc.Do(r)
	switch {
	case err == nil:
		return resp, nil
	case errors.Is(err, authz.ErrDenied):
		return nil, &connectors.Error{Cause: authz.ErrDenied}
	case ctx.Err() != nil:
		return nil, &connectors.Error{Class: lost, Detail: "cancelled", Cause: ctx.Err()}
	case errors.Is(err, secrets.ErrOrigin) && method == http.MethodGet:
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "the answer points to another host"}
	}
	return nil, &connectors.Error{Class: lost, Detail: "no answer"}
}

// short reads an answer that has to be short, and closes it.
func short(resp *http.Response) remote.Response {
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return remote.Response{Status: resp.StatusCode, Header: resp.Header, Body: b}
}

// maxSmall is the size below which a file goes in one request ("Attach large
// files to Outlook messages or events").
const maxSmall = 3 << 20

// Attach implements connectors.Attacher.
func (d *driver) Attach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	s := d.session(c, k)
	now, err := s.unchanged(ctx, t)
	if err != nil {
		return connectors.Attached{}, err
	}
	head, err := json.Marshal(struct {
		Type  string `json:"@odata.type"`
		Name  string `json:"name"`
		Media string `json:"contentType"`
	}{"#microsoft.graph.fileAttachment", a.Name, mediaType(a)})
	if err != nil {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrInvalid, ID: t.ID, Detail: "name cannot be written"}
	}
	front, back := string(head[:len(head)-1])+`,"contentBytes":"`, `"}`
	size := int64(len(front)+len(back)) + int64(base64.StdEncoding.EncodedLen(int(a.Size)))
	resp, err := s.stream(ctx, http.MethodPost, s.d.root.String()+now.path+"/attachments", http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		io.MultiReader(strings.NewReader(front), &base64Reader{r: content}, strings.NewReader(back)), size)
	if err != nil {
		return connectors.Attached{}, named(err, t.ID)
	}
	r := short(resp)
	if err := classify(r, true); err != nil {
		return connectors.Attached{}, named(err, t.ID)
	}
	var v attached
	if err := decode(r.Body, &v); err != nil || !isID(v.ID) {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: t.ID, Detail: "answer to a write"}
	}
	// Which revision the record has now is not said; to ask for it could bring
	// what somebody else has changed meanwhile.
	return connectors.Attached{Attachment: v.attachment()}, nil
}

func mediaType(a connectors.Attachment) string {
	if a.MediaType == "" {
		return "application/octet-stream"
	}
	return a.MediaType
}

// unchanged reads an item that still has a revision and to which files may be
// attached. A change of what is attached to a meeting is sent to its attendees.
func (s session) unchanged(ctx context.Context, t connectors.Target) (item, error) {
	now, errs, err := s.items(ctx, []string{t.ID})
	if err == nil {
		err = errs[0]
	}
	switch {
	case err != nil:
		return item{}, remote.Unsent(err)
	case now[0].ETag != t.Rev:
		return item{}, &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
	case s.kind == connectors.KindAppointment && meeting(now[0].raw):
		return item{}, &connectors.Error{Class: connectors.ErrInvalid, ID: t.ID, Field: connectors.FieldAttendees,
			Detail: "a change of what is attached to a meeting is sent to its attendees: its organizer has to do it"}
	}
	return now[0], nil
}

// Detach implements connectors.Attacher.
func (d *driver) Detach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	s := d.session(c, k)
	path, _, err := s.file(ctx, t.ID, attachment)
	if errors.Is(err, connectors.ErrNotFound) {
		return connectors.Written{ID: t.ID}, nil
	}
	if err != nil {
		return connectors.Written{}, remote.Unsent(err)
	}
	if _, err := s.unchanged(ctx, t); err != nil {
		return connectors.Written{}, err
	}
	r, err := s.single(ctx, part{method: http.MethodDelete, path: path})
	if err == nil {
		if err = classify(r, true); errors.Is(err, connectors.ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return connectors.Written{}, named(err, t.ID)
	}
	return connectors.Written{ID: t.ID}, nil
}

// base64Reader encodes what it reads.
type base64Reader struct {
	r    io.Reader
	in   [48 << 10]byte // a multiple of three
	out  []byte
	done error
}

// Read implements io.Reader.
func (b *base64Reader) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.done != nil {
			return 0, b.done
		}
		n := 0
		for n < len(b.in) && b.done == nil { // not io.ReadFull: it takes a content cut short for one that ended
			var m int
			m, b.done = b.r.Read(b.in[n:])
			n += m
		}
		if b.done != nil && b.done != io.EOF {
			return 0, b.done
		}
		b.out = base64.StdEncoding.AppendEncode(b.out[:0], b.in[:n])
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}
