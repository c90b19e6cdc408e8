// Package remote is the one way in which connectors speak HTTP: it bounds what
// comes back, repeats what may be repeated, waits when asked to, and turns
// statuses into the classes of package connectors.
package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Request is one exchange.
type Request struct {
	Method  string
	URL     string
	Header  http.Header
	Body    []byte
	MaxBody int64 // bytes of the decoded answer; zero: 32 MiB
	Repeat  bool  // reading: may be sent again after a failure that says nothing
}

// Response is a complete answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

const (
	tries       = 4
	longestWait = 5 * time.Second // of one Retry-After served here; longer ones are the caller's
	maxBody     = 32 << 20
)

// Do sends a request and reads the whole answer. Any HTTP status is an answer,
// not an error; see Err. Without an answer the error is a *connectors.Error of
// class ErrUnavailable if nothing was sent or Repeat is set, ErrUnknownOutcome
// otherwise, ErrMalformed if a limit was passed, or wraps authz.ErrDenied.
// With Repeat, answers 429, 502, 503 and 504 and lost connections are tried again
// a few times, after the time the server asks for if that is short.
func Do(ctx context.Context, hc *http.Client, r Request) (Response, error) {
	for try := 1; ; try++ {
		resp, err := once(ctx, hc, r)
		again := r.Repeat && try < tries && ctx.Err() == nil
		var wait time.Duration
		switch {
		case err != nil:
			if !again || !errors.Is(err, connectors.ErrUnavailable) {
				return Response{}, err
			}
		case resp.Status == http.StatusTooManyRequests || resp.Status == http.StatusServiceUnavailable ||
			resp.Status == http.StatusBadGateway || resp.Status == http.StatusGatewayTimeout:
			if wait = retryAfter(resp.Header, time.Now()); !again || wait > longestWait {
				return resp, nil
			}
		default:
			return resp, nil
		}
		if wait == 0 {
			wait = 50 * time.Millisecond << try
		}
		wait += rand.N(wait/4 + 1)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return Response{}, fail(ctx.Err(), connectors.ErrUnavailable, "cancelled")
		}
	}
}

func once(ctx context.Context, hc *http.Client, r Request) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Response{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	if len(r.Body) == 0 {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	lost := connectors.ErrUnknownOutcome
	if r.Repeat {
		lost = connectors.ErrUnavailable
	}
	resp, err := hc.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.Is(err, authz.ErrDenied) {
			return Response{}, fail(authz.ErrDenied, nil, "")
		}
		if errors.As(err, &op) && op.Op == "dial" {
			return Response{}, fail(nil, connectors.ErrUnavailable, "no connection")
		}
		if ctx.Err() != nil {
			return Response{}, fail(ctx.Err(), lost, "cancelled")
		}
		if errors.Is(err, secrets.ErrOrigin) && r.Repeat {
			return Response{}, fail(nil, connectors.ErrMalformed, "the answer points to another host")
		}
		// The text of a url.Error holds the address, and others may hold what
		// the server said: neither goes on.
		return Response{}, fail(nil, lost, "no answer")
	}
	defer resp.Body.Close()
	limit := r.MaxBody
	if limit <= 0 {
		limit = maxBody
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case int64(len(body)) > limit:
		return Response{}, fail(nil, pick(r.Repeat, connectors.ErrMalformed, connectors.ErrUnknownOutcome), "answer too large")
	case err != nil && ctx.Err() != nil:
		return Response{}, fail(ctx.Err(), lost, "cancelled")
	case err != nil:
		return Response{}, fail(nil, lost, "answer cut short")
	}
	return Response{resp.StatusCode, resp.Header, body}, nil
}

func pick(yes bool, a, b error) error {
	if yes {
		return a
	}
	return b
}

func fail(cause, class error, detail string) error {
	return &connectors.Error{Class: class, Detail: detail, Cause: cause}
}

// retryAfter reads the header (RFC 9110 section 10.2.3) in seconds or as a date;
// what is absent, absurd or past is zero.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return min(max(time.Duration(n)*time.Second, 0), 24*time.Hour)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), 24*time.Hour)
	}
	return 0
}

// Err maps the status to a *connectors.Error, nil for 2xx. A failed write
// (wrote true) with a 5xx status has an unknown outcome.
func (r Response) Err(wrote bool) error {
	if r.Status >= 200 && r.Status < 300 {
		return nil
	}
	e := &connectors.Error{Status: r.Status, Class: connectors.ErrMalformed}
	switch r.Status {
	case http.StatusUnauthorized:
		e.Class = connectors.ErrUnauthorized
	case http.StatusForbidden:
		e.Class = connectors.ErrForbidden
	case http.StatusNotFound:
		e.Class = connectors.ErrNotFound
	case http.StatusConflict:
		e.Class = connectors.ErrExists
	case http.StatusGone:
		e.Class = connectors.ErrCursorExpired
	case http.StatusPreconditionFailed:
		e.Class = connectors.ErrPrecondition
	case http.StatusTooManyRequests:
		e.Class, e.RetryAfter = connectors.ErrThrottled, retryAfter(r.Header, time.Now())
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusUnsupportedMediaType, http.StatusInsufficientStorage, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
		e.Class = connectors.ErrInvalid
	default:
		if r.Status >= 500 {
			e.Class, e.RetryAfter = pick(wrote, connectors.ErrUnknownOutcome, connectors.ErrUnavailable), retryAfter(r.Header, time.Now())
		}
	}
	return e
}

// Unsent turns what went wrong before a write into an error after which nothing
// was done: reading for the sake of a write leaves no outcome unknown.
func Unsent(err error) error {
	var e *connectors.Error
	if errors.As(err, &e) && e.Class == connectors.ErrUnknownOutcome {
		v := *e
		v.Class = connectors.ErrUnavailable
		return &v
	}
	return err
}
