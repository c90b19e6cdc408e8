package ews

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// largest is the largest file, in bytes: as base64 it fits into the 64 MB that the
// service takes in one request, and into what one answer may have here.
const largest = 45 << 20

// files is what can be done with the files of appointments and tasks.
func files() connectors.AttachmentCapability {
	return connectors.AttachmentCapability{Read: true, Write: true, Delete: true, Size: largest}
}

const filesURI = `<t:FieldURI FieldURI="item:Attachments"/>`

// file is an attachment as an answer has it: a FileAttachment, or an ItemAttachment,
// which is another item.
type file struct {
	XMLName  xml.Name
	ID       fileID `xml:"AttachmentId"`
	Name     string `xml:"Name"`
	Type     string `xml:"ContentType"`
	Size     *int64 `xml:"Size"`
	Modified string `xml:"LastModifiedTime"`
}

type fileID struct {
	ID      string `xml:"Id,attr"`
	RootID  string `xml:"RootItemId,attr"`
	RootRev string `xml:"RootItemChangeKey,attr"`
}

type rootID struct {
	ID  string `xml:"RootItemId,attr"`
	Rev string `xml:"RootItemChangeKey,attr"`
}

// attachments lists what is attached. An item within an item is the mail that it
// is written as.
func (it *item) attachments() []*connectors.Attachment {
	var out []*connectors.Attachment
	for _, f := range it.Files.List {
		a := &connectors.Attachment{ID: f.ID.ID, Name: f.Name, MediaType: f.Type, Size: -1, Rev: f.Modified}
		switch f.XMLName.Local {
		case "FileAttachment": // its Size counts more than the content
		case "ItemAttachment":
			a.Name, a.MediaType = f.Name+".eml", "message/rfc822"
		default: // a link to a file elsewhere
			continue
		}
		if a.ID != "" && len(out) < connectors.MaxAttachments {
			out = append(out, a)
		}
	}
	return out
}

// OpenAttachment implements connectors.Attacher.
func (d *driver) OpenAttachment(ctx context.Context, c connectors.Call, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	return d.session(c, k).openFile(ctx, id, attachment)
}

// Attach implements connectors.Attacher.
func (d *driver) Attach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	return d.session(c, k).attach(ctx, t, a, content)
}

// Detach implements connectors.Attacher.
func (d *driver) Detach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	return d.session(c, k).detach(ctx, t, attachment)
}

// holder reads which files an item has.
func (s session) holder(ctx context.Context, id string) (*item, error) {
	ms, err := s.do(ctx, `<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>`+filesURI+`</t:AdditionalProperties></m:ItemShape><m:ItemIds><t:ItemId Id="`+esc(id)+`"/></m:ItemIds></m:GetItem>`, false, 1)
	if err != nil {
		return nil, err
	}
	if err := ms[0].err(); err != nil {
		return nil, named(err, id)
	}
	l := ms[0].Items.List
	if len(l) != 1 || l[0].ItemID.ID != id || l[0].ItemID.ChangeKey == "" {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "another item than asked for"}
	}
	return &l[0], nil
}

// openFile reads one file of an item. That it is the item's own is looked up first:
// the protocol gives any file of the mailbox to whoever has its id.
func (s session) openFile(ctx context.Context, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	it, err := s.holder(ctx, id)
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	for _, a := range it.attachments() {
		if a.ID != attachment {
			continue
		}
		rc, err := s.content(ctx, attachment)
		return rc, *a, err
	}
	return nil, connectors.Attachment{}, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
}

// maxPreamble is how much of an answer may come before a content, in bytes.
const maxPreamble = 64 << 10

// content streams a file out of the answer: an answer as large as a file is not
// held in memory.
func (s session) content(ctx context.Context, attachment string) (io.ReadCloser, error) {
	body := `<m:GetAttachment><m:AttachmentShape><t:IncludeMimeContent>true</t:IncludeMimeContent></m:AttachmentShape><m:AttachmentIds><t:AttachmentId Id="` + esc(attachment) + `"/></m:AttachmentIds></m:GetAttachment>`
	req, err := s.request(ctx, "GetAttachment", bytes.NewReader(s.envelope(body)))
	if err != nil {
		return nil, err
	}
	resp, err := s.hc.Do(req)
	if err != nil {
		return nil, unanswered(ctx, err, connectors.ErrUnavailable)
	}
	s.d.kept.take(resp.Header)
	in := bufio.NewReaderSize(resp.Body, 32<<10)
	before, err := toContent(in)
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		return newFileReader(ctx, resp.Body, in), nil
	case err != nil && !errors.Is(err, errNoContent):
		_ = resp.Body.Close()
		return nil, unanswered(ctx, err, connectors.ErrUnavailable)
	}
	_ = resp.Body.Close()
	ms, err := s.read(remote.Response{Status: resp.StatusCode, Header: resp.Header, Body: before}, false, 1)
	if err != nil {
		return nil, err
	}
	if err := ms[0].err(); err != nil {
		return nil, err
	}
	if len(ms[0].Files.List) != 1 || ms[0].Files.List[0].ID.ID != attachment {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "another file than asked for"}
	}
	return io.NopCloser(strings.NewReader("")), nil // a file without content has no element for it
}

var errNoContent = errors.New("ews: answer without a content")

// toContent reads up to the content and returns what came before it, all of it if
// the answer ends without one.
func toContent(in *bufio.Reader) ([]byte, error) {
	var before []byte
	for len(before) < maxPreamble {
		b, err := in.ReadByte()
		if err == io.EOF {
			return before, errNoContent
		}
		if err != nil {
			return nil, err
		}
		before = append(before, b)
		if b != '>' {
			continue
		}
		tag := before[bytes.LastIndexByte(before, '<')+1 : len(before)-1]
		if bytes.HasPrefix(tag, []byte("!")) { // no comments, no sections, no types
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not the answer to the operation"}
		}
		name, _, _ := bytes.Cut(tag, []byte(" "))
		if _, local, ok := bytes.Cut(name, []byte(":")); ok {
			name = local
		}
		if n := string(name); (n == "Content" || n == "MimeContent") && !bytes.HasSuffix(tag, []byte("/")) && tag[0] != '/' {
			if !bytes.Contains(before, []byte(`ResponseClass="Success"`)) {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not the answer to the operation"}
			}
			return before, nil
		}
	}
	return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "answer too large"}
}

// untilTag reads text up to the next tag, without white space.
type untilTag struct {
	in   *bufio.Reader
	done bool
}

// Read implements io.Reader.
func (u *untilTag) Read(p []byte) (int, error) {
	for !u.done {
		_, err := u.in.Peek(1)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		have, _ := u.in.Peek(min(u.in.Buffered(), len(p)))
		n, used := 0, 0
		for _, b := range have {
			if b == '<' {
				u.done = true
				break
			}
			used++
			if b != '\r' && b != '\n' && b != ' ' && b != '\t' {
				p[n] = b
				n++
			}
		}
		_, _ = u.in.Discard(used)
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// fileReader is a content under way.
type fileReader struct {
	ctx    context.Context //nolint:containedctx // the reader lives as long
	body   io.ReadCloser
	in     *bufio.Reader
	decode io.Reader
}

func newFileReader(ctx context.Context, body io.ReadCloser, in *bufio.Reader) *fileReader {
	return &fileReader{ctx: ctx, body: body, in: in, decode: base64.NewDecoder(base64.StdEncoding, &untilTag{in: in})}
}

// Read implements io.Reader. The content is whole only if the answer is.
func (f *fileReader) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, &connectors.Error{Class: connectors.ErrUnavailable, Detail: "cancelled", Cause: err}
	}
	n, err := f.decode.Read(p)
	switch bad := base64.CorruptInputError(0); {
	case errors.As(err, &bad):
		return n, &connectors.Error{Class: connectors.ErrMalformed, Detail: "content that is no base64"}
	case err == io.EOF:
		tail, err := io.ReadAll(io.LimitReader(f.in, maxPreamble))
		if err != nil {
			return n, err
		}
		if !bytes.HasSuffix(bytes.TrimSpace(tail), []byte("Envelope>")) {
			return n, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not the answer to the operation"}
		}
		return n, io.EOF
	}
	return n, err
}

// Close implements io.Closer.
func (f *fileReader) Close() error { return f.body.Close() }

// inMemory is how large a content may be that is sent again, where a sign-in asks
// for that.
const inMemory = 1 << 20

// attach adds a file to an item as it was last seen. The protocol does not make
// that conditional: the item is read first.
func (s session) attach(ctx context.Context, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	it, err := s.holder(ctx, t.ID)
	if err != nil {
		return connectors.Attached{}, remote.Unsent(err)
	}
	if it.ItemID.ChangeKey != t.Rev {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
	}
	media := ""
	if a.MediaType != "" {
		media = "<t:ContentType>" + esc(a.MediaType) + "</t:ContentType>"
	}
	before, after, ok := bytes.Cut(s.envelope(`<m:CreateAttachment><m:ParentItemId Id="`+esc(t.ID)+`" ChangeKey="`+esc(t.Rev)+`"/><m:Attachments><t:FileAttachment><t:Name>`+esc(a.Name)+`</t:Name>`+media+
		`<t:Content>`+mark+`</t:Content></t:FileAttachment></m:Attachments></m:CreateAttachment>`), []byte(mark))
	if !ok {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrInvalid, ID: t.ID, Detail: "attachment"}
	}
	whole := io.MultiReader(bytes.NewReader(before), &encoder{in: content}, bytes.NewReader(after))
	size := int64(len(before)) + int64(base64.StdEncoding.EncodedLen(int(a.Size))) + int64(len(after))
	if a.Size <= inMemory {
		b, err := io.ReadAll(whole)
		if err != nil || int64(len(b)) != size {
			return connectors.Attached{}, &connectors.Error{Class: connectors.ErrUnavailable, ID: t.ID, Detail: "content"}
		}
		whole = bytes.NewReader(b)
	}
	req, err := s.request(ctx, "CreateAttachment", whole)
	if err != nil {
		return connectors.Attached{}, err
	}
	req.ContentLength = size
	ms, err := s.send(ctx, req, true, 1)
	if err != nil {
		return connectors.Attached{}, named(err, t.ID)
	}
	if err := ms[0].err(); err != nil {
		return connectors.Attached{}, named(err, t.ID)
	}
	l := ms[0].Files.List
	if len(l) != 1 || l[0].ID.ID == "" {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: t.ID, Detail: "answer to a write"}
	}
	a.ID, a.Rev = l[0].ID.ID, ""
	return connectors.Attached{Attachment: a, Rev: l[0].ID.RootRev}, nil
}

// mark stands for a content in an envelope; no name or id holds a NUL.
const mark = "\x00"

// encoder reads another reader as base64.
type encoder struct {
	in  io.Reader
	raw [3 << 12]byte
	out [4 << 12]byte
	now []byte
	err error
}

// Read implements io.Reader.
func (e *encoder) Read(p []byte) (int, error) {
	for len(e.now) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := io.ReadFull(e.in, e.raw[:])
		if err == io.ErrUnexpectedEOF { //nolint:errorlint // of ReadFull: the last piece; a reader's own is told by its length
			err = io.EOF
		}
		e.err = err
		if n > 0 {
			base64.StdEncoding.Encode(e.out[:], e.raw[:n])
			e.now = e.out[:base64.StdEncoding.EncodedLen(n)]
		}
	}
	n := copy(p, e.now)
	e.now = e.now[n:]
	return n, nil
}

// detach removes a file from an item as it was last seen.
func (s session) detach(ctx context.Context, t connectors.Target, attachment string) (connectors.Written, error) {
	it, err := s.holder(ctx, t.ID)
	if errors.Is(err, connectors.ErrNotFound) { // and its files with it
		return connectors.Written{ID: t.ID}, nil
	}
	if err != nil {
		return connectors.Written{}, remote.Unsent(err)
	}
	there := false
	for _, a := range it.attachments() {
		there = there || a.ID == attachment
	}
	switch {
	case !there: // gone already
		return connectors.Written{ID: t.ID, Rev: it.ItemID.ChangeKey}, nil
	case it.ItemID.ChangeKey != t.Rev:
		return connectors.Written{}, &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
	}
	ms, err := s.do(ctx, `<m:DeleteAttachment><m:AttachmentIds><t:AttachmentId Id="`+esc(attachment)+`"/></m:AttachmentIds></m:DeleteAttachment>`, true, 1)
	if err != nil {
		return connectors.Written{}, named(err, t.ID)
	}
	switch err := ms[0].err(); {
	case errors.Is(err, connectors.ErrNotFound): // by somebody else
		return connectors.Written{ID: t.ID}, nil
	case err != nil:
		return connectors.Written{}, named(err, t.ID)
	}
	return connectors.Written{ID: t.ID, Rev: ms[0].RootID.Rev}, nil
}

// unanswered is what a request that got no answer, or half of one, ends with.
func unanswered(ctx context.Context, err, lost error) error {
	var e *connectors.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, authz.ErrDenied):
		return &connectors.Error{Cause: authz.ErrDenied}
	case ctx.Err() != nil:
		return &connectors.Error{Class: lost, Detail: "cancelled", Cause: ctx.Err()}
	}
	return &connectors.Error{Class: lost, Detail: "no answer"}
}
