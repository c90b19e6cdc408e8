package c4c

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// batchSize is how many records one batch carries, and batchBytes how long its
// body gets before the next record goes into another one. A single record may
// be longer.
const (
	batchSize  = 100
	batchBytes = 1 << 20
)

// Limits on the answer to a batch.
const (
	maxParts    = 4 * batchSize
	maxPartBody = 8 << 20
)

// operation is one request inside a batch.
type operation struct {
	method, rel string
	match       string     // revision it depends on, "" for none
	body        properties // nil for none
	grows       int64      // how many bytes longer the body is when it is sent than when it is written down
}

// size is about how many bytes an operation takes in a batch.
func (o operation) size() int {
	const around = 400
	b, err := json.Marshal(o.body)
	if err != nil {
		return around
	}
	return around + len(o.rel) + len(b)
}

// step is one part of a batch: a reading, or a change set, whose operations
// happen together or not at all ("Batch Processing", OData V2).
type step struct {
	read    string // address relative to the service, "" for a change set
	changes []operation
}

// outcome is what came back for a step. For a change set that failed it is the
// failure; for one that succeeded, the answer to its first operation.
type outcome struct {
	status int
	header http.Header
	body   []byte
	last   *outcome // of a change set that succeeded, the answer to its last operation; nil if it had one only
}

// err maps the status of an outcome to a class.
func (o outcome) err(wrote bool) error {
	if o.status == 0 {
		class := connectors.ErrUnavailable
		if wrote {
			class = connectors.ErrUnknownOutcome
		}
		return &connectors.Error{Class: class, Detail: "the batch ended before this record"}
	}
	if o.status == http.StatusPreconditionRequired {
		return &connectors.Error{Class: connectors.ErrPrecondition, Status: o.status}
	}
	return remote.Response{Status: o.status, Header: o.header, Body: o.body}.Err(wrote)
}

// entity is the record in the answer, nil if there is none.
func (o outcome) entity() entity {
	if len(o.body) == 0 {
		return nil
	}
	p, err := decode(o.body)
	if err != nil || len(p.Entities) != 1 {
		return nil
	}
	return p.Entities[0]
}

// batch sends steps in one request and returns as many outcomes. Its error
// means that nothing is known of any of them; if the class is ErrUnknownOutcome
// all of them may have happened.
func (s session) batch(ctx context.Context, steps []step) ([]outcome, error) {
	writes := false
	for _, st := range steps {
		writes = writes || len(st.changes) > 0
	}
	boundary, body, err := encodeBatch(steps)
	if err != nil {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "record cannot be written down", Cause: err}
	}
	resp, err := s.post(ctx, "$batch", "multipart/mixed; boundary="+boundary, body, writes)
	if err != nil {
		return nil, err
	}
	if err := resp.Err(writes); err != nil {
		return nil, err
	}
	out, err := decodeBatch(resp.Header.Get("Content-Type"), resp.Body, len(steps))
	if err != nil {
		class := connectors.ErrMalformed
		if writes {
			class = connectors.ErrUnknownOutcome
		}
		return nil, &connectors.Error{Class: class, Detail: "answer to a batch not understood"}
	}
	return out, nil
}

func encodeBatch(steps []step) (boundary string, body []byte, err error) {
	var b bytes.Buffer
	boundary = "batch_" + uuid.NewString()
	part := func(boundary string, o operation) error {
		var data []byte
		if o.body != nil {
			if data, err = json.Marshal(o.body); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n%s %s HTTP/1.1\r\nAccept: application/json\r\nodata-no-codedescs: true\r\n", boundary, o.method, o.rel)
		if o.match != "" {
			if strings.ContainsAny(o.match, "\r\n") {
				return errors.New("revision with a line end")
			}
			fmt.Fprintf(&b, "If-Match: %s\r\n", o.match)
		}
		if data != nil {
			fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", int64(len(data))+o.grows)
		}
		// The empty line that ends the headers and, where there is no body, the
		// second one that the system insists on.
		fmt.Fprintf(&b, "\r\n%s\r\n", data)
		return nil
	}
	for _, st := range steps {
		if st.read != "" {
			if err := part(boundary, operation{method: http.MethodGet, rel: st.read}); err != nil {
				return "", nil, err
			}
			continue
		}
		set := "changeset_" + uuid.NewString()
		fmt.Fprintf(&b, "--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", boundary, set)
		for _, o := range st.changes {
			if err := part(set, o); err != nil {
				return "", nil, err
			}
		}
		fmt.Fprintf(&b, "--%s--\r\n\r\n", set)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return boundary, b.Bytes(), nil
}

var errBatch = errors.New("not the answer to this batch")

// decodeBatch reads the answer: as many parts as steps, in their order. A part
// is an answer, or a change set of answers. A server that stopped early sends
// fewer parts; those missing have status zero.
func decodeBatch(contentType string, body []byte, steps int) ([]outcome, error) {
	mr, err := parts(contentType, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out := make([]outcome, 0, steps)
	for n := 0; ; n++ {
		p, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n >= steps || n >= maxParts {
			return nil, errBatch
		}
		o, err := decodePart(p.Header, p, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	for len(out) < steps {
		out = append(out, outcome{})
	}
	return out, nil
}

func parts(contentType string, r io.Reader) (*multipart.Reader, error) {
	mt, params, err := mime.ParseMediaType(contentType)
	if err != nil || mt != "multipart/mixed" || params["boundary"] == "" || len(params["boundary"]) > 70 {
		return nil, errBatch
	}
	return multipart.NewReader(r, params["boundary"]), nil
}

func decodePart(h textproto.MIMEHeader, r io.Reader, depth int) (outcome, error) {
	ct := h.Get("Content-Type")
	if mt, _, err := mime.ParseMediaType(ct); err != nil {
		return outcome{}, errBatch
	} else if mt == "application/http" {
		return decodeAnswer(r)
	}
	if depth > 0 {
		return outcome{}, errBatch
	}
	mr, err := parts(ct, r)
	if err != nil {
		return outcome{}, err
	}
	var first outcome
	for n := 0; ; n++ {
		p, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return outcome{}, errBatch
			}
			return first, nil
		}
		if err != nil || n >= maxParts {
			return outcome{}, errBatch
		}
		o, err := decodePart(p.Header, p, depth+1)
		if err != nil {
			return outcome{}, err
		}
		// A failure inside a change set is the failure of all of it.
		switch {
		case n == 0 || first.status < 300 && o.status >= 300:
			first = o
		case first.status < 300:
			first.last = &o
		}
	}
}

// decodeAnswer reads one answer as it stands in a part: status line, headers,
// body until the part ends.
func decodeAnswer(r io.Reader) (outcome, error) {
	br := bufio.NewReader(io.LimitReader(r, maxPartBody+1))
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode < 200 || resp.StatusCode > 599 {
		return outcome{}, errBatch
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPartBody+1))
	if err != nil || len(body) > maxPartBody {
		return outcome{}, errBatch
	}
	return outcome{status: resp.StatusCode, header: resp.Header, body: bytes.TrimSpace(body)}, nil
}
