package secrets

import (
	"bytes"
	"io"
	"net/http"

	"github.com/Azure/go-ntlmssp"
)

const maxRefusal = 64 << 10 // bytes of a 401's page

// ntlm sends requests on a lane that signs in by NTLM. The protocol signs in a
// connection, not a request: the lane is one connection that no other secret
// has, and its turn keeps the three messages of a handshake together.
//
// The password never leaves by another way: asked for Basic, it is not given.
func ntlm(c *credential, next func(*http.Request) (*http.Response, error), turn chan struct{}) func(*http.Request) (*http.Response, error) {
	n := ntlmssp.Negotiator{RoundTripper: roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next(r)
		if err == nil && resp.StatusCode == http.StatusUnauthorized {
			// The connection must be free for the next message. What is longer
			// than that costs the connection.
			b, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
			_ = resp.Body.Close()
			resp.Body = io.NopCloser(bytes.NewReader(b))
		}
		return resp, err
	})}
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
			_ = r.Body.Close()
			return nil, errBodyAgain
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-r.Context().Done():
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, r.Context().Err()
		}
		m := c.open()
		r.SetBasicAuth(m.scheme.Username, string(m.secret)) // for the negotiator, which takes it out
		return n.RoundTrip(r)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper. It is the last to see a request before
// the connection.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, _, ok := r.BasicAuth(); ok {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errPasswordSent
	}
	return f(r)
}
