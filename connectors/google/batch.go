package google

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// answer is what one request of several got.
type answer struct{ remote.Response }

// many reads several paths of a service, in one request where they are several
// (Gmail API, "Batching Requests"). What is told to slow down is asked again.
func (s service) many(ctx context.Context, paths []string) ([]answer, error) {
	out := make([]answer, len(paths))
	todo := make([]int, len(paths))
	for i := range todo {
		todo[i] = i
	}
	for try := 1; len(todo) > 0; try++ {
		rs, err := s.batch(ctx, paths, todo)
		if err != nil {
			return nil, err
		}
		var again []int
		var wait time.Duration
		for n, i := range todo {
			out[i] = rs[n]
			if d, slow := told(classify(rs[n].Response, false)); slow && try < tries && d <= longestWait {
				again, wait = append(again, i), max(wait, d)
			}
		}
		if todo = again; len(todo) > 0 {
			if err := pause(ctx, wait, try); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (s service) batch(ctx context.Context, paths []string, which []int) ([]answer, error) {
	base, err := url.Parse(s.base)
	if err != nil {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	if len(which) == 1 {
		r, err := remote.Do(ctx, s.hc, remote.Request{Method: http.MethodGet, URL: s.base + paths[which[0]], Header: http.Header{"Accept": {"application/json"}}, Repeat: true})
		if err != nil {
			return nil, err
		}
		return []answer{{r}}, nil
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for n, i := range which {
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {fmt.Sprintf("<item%d>", n)}})
		if err != nil {
			return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "request cannot be written"}
		}
		fmt.Fprintf(p, "GET %s%s\r\n\r\n", base.EscapedPath(), paths[i])
	}
	_ = w.Close()
	u := *base
	u.Path, u.RawPath = "/batch"+strings.TrimSuffix(base.Path, s.user), ""
	r, err := remote.Do(ctx, s.hc, remote.Request{Method: http.MethodPost, URL: u.String(), Header: http.Header{"Content-Type": {"multipart/mixed; boundary=" + w.Boundary()}},
		Body: body.Bytes(), Repeat: true}) // it reads only
	if err != nil {
		return nil, err
	}
	if err := classify(r, false); err != nil {
		return nil, err
	}
	return parts(r, len(which))
}

// parts takes the answer to a batch apart.
func parts(r remote.Response, n int) ([]answer, error) {
	broken := &connectors.Error{Class: connectors.ErrMalformed, Detail: "not an answer to a batch"}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" || params["boundary"] == "" {
		return nil, broken
	}
	out := make([]answer, n)
	seen := 0
	mr := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"])
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, broken
		}
		var i int
		id := p.Header.Get("Content-Id")
		if _, err := fmt.Sscanf(id, "<response-item%d>", &i); err != nil || i < 0 || i >= n || out[i].Status != 0 {
			return nil, broken
		}
		hr, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			return nil, broken
		}
		b, err := io.ReadAll(hr.Body)
		_ = hr.Body.Close()
		if err != nil {
			return nil, broken
		}
		out[i] = answer{remote.Response{Status: hr.StatusCode, Header: hr.Header, Body: b}}
		seen++
	}
	if seen != n {
		return nil, broken
	}
	return out, nil
}

// Waiting for a service that asks to slow down: what is longer is the caller's.
const (
	tries       = 4
	longestWait = 5 * time.Second
)

// pause waits before a request is sent again.
func pause(ctx context.Context, wait time.Duration, try int) error {
	if wait == 0 {
		wait = 50 * time.Millisecond << try
	}
	t := time.NewTimer(wait + rand.N(wait/4+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return &connectors.Error{Class: connectors.ErrUnavailable, Detail: "cancelled", Cause: ctx.Err()}
	}
}
