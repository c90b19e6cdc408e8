package googletest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
)

// maxBatch is how many requests one batch has at most.
const maxBatch = 100

// batch answers several requests at once ("Batching Requests").
func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.Method != http.MethodPost {
		answer(w, nil, bad("unknown"), "")
		return
	}
	in := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxBody), params["boundary"])
	var body bytes.Buffer
	out := multipart.NewWriter(&body)
	for n := 0; ; n++ {
		p, err := in.NextPart()
		if err == io.EOF && n > 0 {
			break
		}
		if err != nil || n >= maxBatch || p.Header.Get("Content-Type") != "application/http" {
			answer(w, nil, bad("invalid"), "")
			return
		}
		raw, _ := io.ReadAll(p)
		line, rest, _ := strings.Cut(string(raw), "\n")
		line = strings.TrimSuffix(strings.TrimRight(line, "\r"), " HTTP/1.1")
		inner, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: inner\r\n" + rest + "\r\n\r\n")))
		if err != nil {
			answer(w, nil, bad("invalid"), "")
			return
		}
		inner.Header.Set("Authorization", r.Header.Get("Authorization"))
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, inner)
		id := p.Header.Get("Content-ID")
		pw, _ := out.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {strings.Replace(id, "<", "<response-", 1)}})
		fmt.Fprintf(pw, "HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n", rec.Code, http.StatusText(rec.Code), rec.Body.Len())
		if v := rec.Header().Get("Retry-After"); v != "" {
			fmt.Fprintf(pw, "Retry-After: %s\r\n", v)
		}
		fmt.Fprintf(pw, "\r\n%s", rec.Body)
	}
	_ = out.Close()
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+out.Boundary())
	_, _ = w.Write(body.Bytes())
}
