package c4ctest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxOperations is how many requests one batch holds at most.
const maxOperations = 1000

// batch answers a $batch. A change set is one transaction; one that fails has
// one answer and does not hinder the next.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, base, user string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost {
		writeError(w, &failure{405, "METHOD", "a batch is a POST"})
		return
	}
	steps, f := parseBatch(r.Header.Get("Content-Type"), body)
	if f != nil {
		writeError(w, f)
		return
	}
	var out bytes.Buffer
	const outer, inner = "ejjeeffe0", "ejjeeffe1"
	for _, st := range steps {
		fmt.Fprintf(&out, "--%s\r\n", outer)
		if !st.set {
			writePart(&out, s.inner(st.ops[0], base, user))
			continue
		}
		var answers []answer
		fail := s.atomic(func() *failure {
			for _, o := range st.ops {
				o.base, o.user = base, user
				f := s.fault(o.method, o.rel, true)
				if f != nil && !f.After {
					s.noteInner(o, f.Status)
					return &failure{f.Status, "FAULT", "injected fault"}
				}
				a, fail := s.handle(o)
				if fail != nil {
					s.noteInner(o, fail.status)
					return fail
				}
				s.noteInner(o, a.status)
				answers = append(answers, a)
				if f != nil {
					answers = []answer{(&failure{f.Status, "FAULT", "injected fault"}).answer()}
				}
			}
			return nil
		})
		if fail != nil {
			writePart(&out, fail.answer())
			continue
		}
		fmt.Fprintf(&out, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n", inner)
		for _, a := range answers {
			fmt.Fprintf(&out, "--%s\r\n", inner)
			writePart(&out, a)
		}
		fmt.Fprintf(&out, "--%s--\r\n\r\n", inner)
	}
	fmt.Fprintf(&out, "--%s--\r\n", outer)
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+outer)
	w.Header().Set("Dataserviceversion", "2.0")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(out.Bytes())
}

func (s *Server) noteInner(o request, status int) {
	s.note(Entry{Time: s.now(), User: o.user, Method: o.verb(), Path: o.rel, Query: unescape(o.query), Set: setOf(o.rel), Inner: true, Status: status})
}

// inner answers a reading inside a batch.
func (s *Server) inner(o request, base, user string) answer {
	o.base, o.user = base, user
	if f := s.fault(o.method, o.rel, true); f != nil {
		s.noteInner(o, f.Status)
		return (&failure{f.Status, "FAULT", "injected fault"}).answer()
	}
	a, fail := s.handle(o)
	if fail != nil {
		a = fail.answer()
	}
	s.noteInner(o, a.status)
	return a
}

func writePart(w *bytes.Buffer, a answer) {
	fmt.Fprintf(w, "Content-Type: application/http\r\nContent-Length: %d\r\nContent-Transfer-Encoding: binary\r\n\r\n", len(a.body)+100)
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	for k, vs := range a.header {
		for _, v := range vs {
			fmt.Fprintf(w, "%s: %s\r\n", k, v)
		}
	}
	fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s\r\n", len(a.body), a.body)
}

type batchStep struct {
	set bool
	ops []request
}

func parseBatch(contentType string, body []byte) ([]batchStep, *failure) {
	mr, f := multipartOf(contentType, bytes.NewReader(body))
	if f != nil {
		return nil, f
	}
	var out []batchStep
	total := 0
	for {
		p, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bad("Batch cannot be read")
		}
		var st batchStep
		mt, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		switch {
		case err != nil:
			return nil, bad("Part without content type")
		case mt == "application/http":
			o, f := parseOperation(p.Header, p)
			if f != nil {
				return nil, f
			}
			if o.method != http.MethodGet {
				return nil, bad("Changes belong into a change set")
			}
			st.ops = []request{o}
		default:
			cr, f := multipartOf(p.Header.Get("Content-Type"), p)
			if f != nil {
				return nil, f
			}
			st.set = true
			for {
				c, err := cr.NextRawPart()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return nil, bad("Change set cannot be read")
				}
				o, f := parseOperation(c.Header, c)
				if f != nil {
					return nil, f
				}
				if o.method == http.MethodGet {
					return nil, bad("Reading does not belong into a change set")
				}
				st.ops = append(st.ops, o)
			}
		}
		if total += len(st.ops); len(st.ops) == 0 || total > maxOperations {
			return nil, bad("Batch with an empty change set or too many requests")
		}
		out = append(out, st)
	}
	if len(out) == 0 {
		return nil, bad("Batch without requests")
	}
	return out, nil
}

func multipartOf(contentType string, r io.Reader) (*multipart.Reader, *failure) {
	mt, params, err := mime.ParseMediaType(contentType)
	if err != nil || mt != "multipart/mixed" || params["boundary"] == "" {
		return nil, bad("Content type is not multipart/mixed with a boundary")
	}
	return multipart.NewReader(r, params["boundary"]), nil
}

func parseOperation(h textproto.MIMEHeader, r io.Reader) (request, *failure) {
	if h.Get("Content-Type") != "application/http" || !strings.EqualFold(h.Get("Content-Transfer-Encoding"), "binary") {
		return request{}, bad("Part is not application/http in binary encoding")
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return request{}, bad("Part cannot be read")
	}
	tp := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw)))
	line, err := tp.ReadLine()
	f := strings.Fields(line)
	if err != nil || len(f) != 3 || f[2] != "HTTP/1.1" {
		return request{}, bad("Request line cannot be read")
	}
	head, err := tp.ReadMIMEHeader()
	if err != nil {
		return request{}, bad("Headers are not ended by an empty line")
	}
	body, err := io.ReadAll(tp.R)
	if err != nil {
		return request{}, bad("Part cannot be read")
	}
	rel, query, _ := strings.Cut(f[1], "?")
	if strings.HasPrefix(rel, "/") || strings.Contains(rel, "://") || strings.ContainsAny(f[1], "' \"<>") && strings.ContainsAny(query, " \"<>") {
		return request{}, bad("Address is not relative to the service or not encoded")
	}
	o := request{method: f[0], rel: rel, query: query, header: http.Header(head)}
	if o.method == http.MethodGet {
		// The vendor's guide wants two empty lines after a reading.
		if !bytes.HasSuffix(raw, []byte("\r\n\r\n")) {
			return request{}, bad("Reading is not followed by two empty lines")
		}
		return o, nil
	}
	if cl := head.Get("Content-Length"); cl != "" {
		n, err := strconv.Atoi(cl)
		if err != nil || n < 0 || n > len(body) {
			return request{}, bad("Content-Length is wrong")
		}
		body = body[:n]
	}
	o.body = bytes.TrimSpace(body)
	return o, nil
}
