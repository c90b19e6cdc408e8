package c4c

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// maxFile is the largest file that the system takes, in bytes.
const maxFile = 25 << 20

var _ connectors.Attacher = (*driver)(nil)

// OpenAttachment implements connectors.Attacher.
func (d *driver) OpenAttachment(ctx context.Context, c connectors.Call, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	return d.session(c.Client()).open(ctx, k, id, attachment)
}

// Attach implements connectors.Attacher. The content goes out as it is read, in
// one change set with a change of the record under the revision that the caller
// knows: either both happen or neither.
func (d *driver) Attach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	return d.session(c.Client()).attach(ctx, k, t, a, content)
}

// Detach implements connectors.Attacher.
func (d *driver) Detach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	return d.session(c.Client()).detach(ctx, k, t, attachment)
}

// fileProperties are what is read of an attachment; its content is not.
const fileProperties = propID + "," + propETag + ",ParentObjectID,Name,MimeType,LinkWebURI"

// file reads what is said about an attachment. A link to something elsewhere is
// no file.
func file(e entity) (parent string, a connectors.Attachment, ok bool, err error) {
	x := reader{e: e}
	parent = x.text("ParentObjectID")
	a = connectors.Attachment{ID: x.text(propID), Name: connectors.NormalizeText(connectors.FieldName, x.text("Name")), MediaType: x.text("MimeType"), Size: -1, Rev: e.rev()}
	link := x.text("LinkWebURI")
	if x.err != nil || a.ID == "" {
		return "", a, false, &connectors.Error{Class: connectors.ErrMalformed, Detail: "attachment with a property of another type than its own"}
	}
	return parent, a, link == "", nil
}

// attachment reads one attachment of a record, ErrNotFound if the record has none
// of that id.
func (s session) attachment(ctx context.Context, sh shape, id, attachment string) (connectors.Attachment, error) {
	none := &connectors.Error{ID: id, Class: connectors.ErrNotFound, Detail: "no such attachment"}
	if sh.files == nil {
		return connectors.Attachment{}, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	p, err := s.get(ctx, key(sh.files.set, attachment)+"?"+query("$select", fileProperties, "$format", "json"))
	if errors.Is(err, connectors.ErrNotFound) {
		return connectors.Attachment{}, none
	}
	if err != nil {
		return connectors.Attachment{}, err
	}
	if len(p.Entities) != 1 {
		return connectors.Attachment{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: errShape.Error()}
	}
	parent, a, ok, err := file(p.Entities[0])
	if err != nil {
		return connectors.Attachment{}, err
	}
	if !ok || parent != id || a.ID != attachment {
		return connectors.Attachment{}, none
	}
	return a, nil
}

func (s session) open(ctx context.Context, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	a, err := s.attachment(ctx, sh, id, attachment)
	if err != nil {
		return nil, a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(key(sh.files.set, attachment)+"/Binary/$value"), nil)
	if err != nil {
		return nil, a, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	resp, err := s.hc.Do(req)
	if err != nil {
		return nil, a, lost(ctx, err, connectors.ErrUnavailable)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		if err := (remote.Response{Status: resp.StatusCode, Header: resp.Header}).Err(false); err != nil {
			return nil, a, err
		}
		return nil, a, &connectors.Error{Class: connectors.ErrMalformed, Status: resp.StatusCode, Detail: "content without content"}
	}
	if n := resp.ContentLength; n >= 0 && !resp.Uncompressed {
		a.Size = n
	}
	return &content{ctx, resp.Body}, a, nil
}

// content says why it ends early without saying what the transport says.
type content struct {
	ctx  context.Context
	body io.ReadCloser
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil { // what was read ahead does not count
		return 0, lost(c.ctx, c.ctx.Err(), connectors.ErrUnavailable)
	}
	n, err := c.body.Read(p)
	if err != nil && err != io.EOF {
		err = lost(c.ctx, err, connectors.ErrUnavailable)
	}
	return n, err
}

// Close implements io.Closer.
func (c *content) Close() error { return c.body.Close() }

// lost is the failure of an exchange without an answer.
func lost(ctx context.Context, err, class error) error {
	switch {
	case errors.Is(err, authz.ErrDenied):
		return &connectors.Error{Cause: authz.ErrDenied}
	case ctx.Err() != nil:
		return &connectors.Error{Class: class, Detail: "cancelled", Cause: ctx.Err()}
	}
	return &connectors.Error{Class: class, Detail: "no answer"}
}

// touch is the change of a record that takes part in every change below it, so
// that its revision is tested and it shows up as changed for others: one property
// again as it is.
func (s session) touch(ctx context.Context, sh shape, t connectors.Target) (operation, error) {
	if t.Rev == "" || t.Rev == "*" {
		return operation{}, &connectors.Error{ID: t.ID, Class: connectors.ErrPrecondition, Detail: "no revision given"}
	}
	es, errs, err := s.entities(ctx, sh, []string{t.ID})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return operation{}, remote.Unsent(err)
	}
	if es[0].rev() != t.Rev {
		return operation{}, &connectors.Error{ID: t.ID, Class: connectors.ErrPrecondition}
	}
	v, err := es[0].text(sh.anchor())
	if err != nil {
		return operation{}, &connectors.Error{Class: connectors.ErrMalformed}
	}
	if sh.kind == connectors.KindMail {
		return operation{}, nil // mails are never changed
	}
	return operation{method: http.MethodPatch, rel: key(sh.set, t.ID), match: t.Rev, body: properties{sh.anchor(): v}}, nil
}

func (s session) attach(ctx context.Context, k connectors.Kind, t connectors.Target, a connectors.Attachment, r io.Reader) (connectors.Attached, error) {
	sh, err := s.shape(k)
	if err != nil {
		return connectors.Attached{}, err
	}
	if sh.files == nil {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	touch, err := s.touch(ctx, sh, t)
	if err != nil {
		return connectors.Attached{}, err
	}
	// The place where the content goes is marked by a text that nothing else can
	// hold: file names have no control characters, and JSON escapes them.
	const mark = "\x00content\x00"
	escaped, err := json.Marshal(mark)
	if err != nil {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "record cannot be written down"}
	}
	hole := string(escaped[1 : len(escaped)-1])
	size := int64(base64.StdEncoding.EncodedLen(int(a.Size)))
	post := operation{method: http.MethodPost, rel: sh.files.set, grows: size - int64(len(hole)),
		body: properties{"ParentObjectID": t.ID, "Name": a.Name, "MimeType": a.MediaType, "TypeCode": codeFile, "CategoryCode": codeDocument, "Binary": mark}}
	ops := []operation{touch, post}
	if touch.method == "" {
		ops = ops[1:]
	}
	boundary, body, err := encodeBatch([]step{{changes: ops}, {read: sh.brief(t.ID)}})
	before, after, ok := bytes.Cut(body, []byte(hole))
	if err != nil || !ok {
		return connectors.Attached{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "record cannot be written down"}
	}
	resp, err := s.stream(ctx, "multipart/mixed; boundary="+boundary, before, after, size, r)
	if err != nil {
		return connectors.Attached{}, err
	}
	answers, err := decodeBatch(resp.Header.Get("Content-Type"), resp.Body, 2)
	if err != nil {
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: connectors.ErrUnknownOutcome, Detail: "answer to a batch not understood"}
	}
	if err := changed(answers[0].err(true)); err != nil {
		return connectors.Attached{}, about(k, "attach", t.ID, err)
	}
	out := connectors.Attached{Attachment: a}
	made := answers[0].last
	if made == nil {
		made = &answers[0]
	}
	id, err := made.entity().text(propID)
	if err != nil || id == "" {
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: connectors.ErrUnknownOutcome, Detail: "attached without an id in the answer"}
	}
	out.Attachment.ID, out.Attachment.Rev = id, made.entity().rev()
	if e := answers[1].entity(); e != nil && answers[1].status < 300 {
		out.Rev = e.rev()
	}
	return out, nil
}

// brief is where the revision of a record is read.
func (s shape) brief(id string) string {
	return key(s.set, id) + "?" + query("$select", propID+","+propETag, "$format", "json")
}

// stream sends a batch with a content in its middle. It cannot be sent twice: if
// the pass turns out to be of no use, nothing was done, and the next try has a
// new one.
func (s session) stream(ctx context.Context, contentType string, before, after []byte, size int64, r io.Reader) (remote.Response, error) {
	p := s.d.passes.get()
	if p == nil {
		var err error
		if p, err = s.fetch(ctx); err != nil {
			return remote.Response{}, remote.Unsent(err)
		}
	}
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		enc := base64.NewEncoder(base64.StdEncoding, pw)
		_, err := io.CopyBuffer(struct{ io.Writer }{enc}, struct{ io.Reader }{r}, make([]byte, 64<<10))
		if err == nil {
			err = enc.Close()
		}
		_ = pw.CloseWithError(err)
	}()
	body := io.MultiReader(bytes.NewReader(before), pr, bytes.NewReader(after))
	// Whatever happens, nobody reads the content once this has returned.
	defer func() { _ = pr.CloseWithError(io.ErrClosedPipe); <-done }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("$batch"), io.NopCloser(body))
	if err != nil {
		return remote.Response{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	req.ContentLength = int64(len(before)) + size + int64(len(after))
	req.Header.Set("Accept", "multipart/mixed")
	req.Header.Set("Content-Type", contentType)
	if p.token != "" {
		req.Header.Set("X-Csrf-Token", p.token)
	}
	p.sign(req)
	resp, err := s.hc.Do(req)
	if err != nil {
		return remote.Response{}, lost(ctx, err, connectors.ErrUnknownOutcome)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPartBody+1))
	if err != nil || len(b) > maxPartBody {
		return remote.Response{}, lost(ctx, io.ErrUnexpectedEOF, connectors.ErrUnknownOutcome)
	}
	out := remote.Response{Status: resp.StatusCode, Header: resp.Header, Body: b}
	if out.Status == http.StatusForbidden && strings.EqualFold(out.Header.Get("X-Csrf-Token"), "required") {
		s.d.passes.set(nil)
		return remote.Response{}, &connectors.Error{Class: connectors.ErrUnavailable, Status: out.Status, Detail: "the session has ended; nothing was sent"}
	}
	return out, out.Err(true)
}

func (s session) detach(ctx context.Context, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	sh, err := s.shape(k)
	if err != nil {
		return connectors.Written{}, err
	}
	a, err := s.attachment(ctx, sh, t.ID, attachment)
	if errors.Is(err, connectors.ErrNotFound) {
		return connectors.Written{ID: t.ID}, nil
	}
	if err != nil {
		return connectors.Written{}, remote.Unsent(err)
	}
	touch, err := s.touch(ctx, sh, t)
	if err != nil {
		return connectors.Written{}, err
	}
	ops := slices.DeleteFunc([]operation{touch, {method: http.MethodDelete, rel: key(sh.files.set, attachment), match: a.Rev}},
		func(o operation) bool { return o.method == "" })
	answers, err := s.batch(ctx, []step{{changes: ops}, {read: sh.brief(t.ID)}})
	if err == nil {
		err = changed(answers[0].err(true))
	}
	if err != nil {
		return connectors.Written{}, about(k, "detach", t.ID, err)
	}
	out := connectors.Written{ID: t.ID}
	if e := answers[1].entity(); e != nil && answers[1].status < 300 {
		out.Rev = e.rev()
	}
	return out, nil
}
