package google

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

var _ connectors.Attacher = (*driver)(nil)

// OpenAttachment implements connectors.Attacher, for mails. Google wraps a content
// into JSON; it is decoded as it comes.
func (d *driver) OpenAttachment(ctx context.Context, c connectors.Call, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	m, ok := sys.(mails)
	if !ok {
		return nil, connectors.Attachment{}, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	return m.open(ctx, id, attachment)
}

// Attach implements connectors.Attacher.
func (d *driver) Attach(context.Context, connectors.Call, connectors.Kind, connectors.Target, connectors.Attachment, io.Reader) (connectors.Attached, error) {
	return connectors.Attached{}, &connectors.Error{Class: connectors.ErrUnsupported}
}

// Detach implements connectors.Attacher.
func (d *driver) Detach(context.Context, connectors.Call, connectors.Kind, connectors.Target, string) (connectors.Written, error) {
	return connectors.Written{}, &connectors.Error{Class: connectors.ErrUnsupported}
}

func (m mails) open(ctx context.Context, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	none := connectors.Attachment{}
	gone := &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	ls, errs, err := m.letters(ctx, []string{id}, "full", fullFields)
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return nil, none, err
	}
	if ls[0].gone() {
		return nil, none, gone
	}
	p := ls[0].Payload.find(attachment, maxNesting)
	if p == nil || !p.attached() {
		return nil, none, gone
	}
	var list []*connectors.Attachment
	p.files(1, &list)
	if len(list) != 1 {
		return nil, none, gone
	}
	if p.Body.Attachment == "" {
		b, err := base64.URLEncoding.DecodeString(pad(p.Body.Data))
		if err != nil {
			return nil, none, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "content of a file"}
		}
		list[0].Size = int64(len(b))
		return io.NopCloser(strings.NewReader(string(b))), *list[0], nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+"/messages/"+id+"/attachments/"+url.PathEscape(p.Body.Attachment)+"?fields=data", nil)
	if err != nil {
		return nil, none, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	resp, err := m.hc.Do(req)
	if err != nil {
		if errors.Is(err, authz.ErrDenied) {
			return nil, none, &connectors.Error{Class: authz.ErrDenied}
		}
		return nil, none, &connectors.Error{Class: connectors.ErrUnavailable, ID: id, Detail: "no answer", Cause: ctx.Err()}
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
		return nil, none, named(classify(response(resp, b), false), id)
	}
	in := bufio.NewReaderSize(resp.Body, 32<<10)
	if err := atData(in); err != nil {
		_ = resp.Body.Close()
		return nil, none, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "content of a file"}
	}
	q := &quoted{in: in}
	return &content{q, base64.NewDecoder(base64.RawURLEncoding, q), resp.Body}, *list[0], nil
}

// content is a file under way.
type content struct {
	q       *quoted
	decoder io.Reader
	io.Closer
}

// Read implements io.Reader. Why a text ended too soon counts more than that it did.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.decoder.Read(p)
	if err != nil && c.q.err != nil {
		err = c.q.err
	}
	return n, err
}

// atData goes on to the first character of the text "data" of an object that has
// nothing else but numbers and short texts.
func atData(in *bufio.Reader) error {
	const most = 1 << 10 // bytes before it
	var head []byte
	for len(head) < most {
		b, err := in.ReadByte()
		if err != nil {
			return err
		}
		head = append(head, b)
		if b != '"' {
			continue
		}
		// Complete the object by an end of its own and see whether it is what is meant.
		var v map[string]any
		if json.Unmarshal([]byte(string(head)+`"}`), &v) == nil {
			if s, ok := v["data"].(string); ok && s == "" && strings.HasSuffix(strings.TrimRight(string(head[:len(head)-1]), " \t\r\n"), ":") {
				return nil
			}
		}
	}
	return io.ErrUnexpectedEOF
}

// quoted reads up to the quotation mark that ends a text, without the padding of
// base64. A text that does not end is broken.
type quoted struct {
	in   *bufio.Reader
	done bool
	err  error // why it broke off
}

// Read implements io.Reader.
func (q *quoted) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !q.done {
		b, err := q.in.ReadByte()
		switch {
		case err == io.EOF:
			q.err = io.ErrUnexpectedEOF
			return n, q.err
		case err != nil:
			q.err = err
			return n, err
		case b == '"':
			q.done = true
		case b == '=':
		default:
			p[n] = b
			n++
		}
		if n > 0 && q.in.Buffered() == 0 {
			return n, nil
		}
	}
	if n == 0 && q.done {
		return 0, io.EOF
	}
	return n, nil
}
