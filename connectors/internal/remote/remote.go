// Package remote is the one way in which connectors speak HTTP: it bounds what
// comes back, repeats what may be repeated, waits when asked to, and turns
// statuses into the classes of package connectors.
package remote

import (
	"context"
	"net/http"

	"github.com/lockkeeper/lockkeeper/connectors"
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

// Do sends a request and reads the whole answer. Any HTTP status is an answer,
// not an error; see Err. Without an answer the error is a *connectors.Error of
// class ErrUnavailable if nothing was sent or Repeat is set, ErrUnknownOutcome
// otherwise, ErrMalformed if a limit was passed, or wraps authz.ErrDenied.
// With Repeat, answers 429, 502, 503 and 504 and lost connections are tried again
// a few times, after the time the server asks for if that is short.
func Do(ctx context.Context, hc *http.Client, r Request) (Response, error) {
	return Response{}, &connectors.Error{Class: connectors.ErrUnavailable}
}

// Err maps the status to a *connectors.Error, nil for 2xx. A failed write
// (wrote true) with a 5xx status has an unknown outcome.
func (r Response) Err(wrote bool) error { return nil }
