package secrets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// ClientPolicy says where a credential may go and what may come back.
type ClientPolicy struct {
	Origin            string         // "https://host:port"; the only origin the credential may reach
	Roots             *x509.CertPool // certificate authorities trusted for it; nil: the machine's
	Timeout           time.Duration  // of a whole exchange, its answer read; zero: 60 seconds
	MaxResponse       int64          // bytes of one answer after decompression; zero: 64 MiB
	AllowLoopbackHTTP bool           // plain http to this machine, for tests
}

func (p ClientPolicy) timeout() time.Duration {
	if p.Timeout <= 0 {
		return 60 * time.Second
	}
	return p.Timeout
}

func (p ClientPolicy) limit() int64 {
	if p.MaxResponse <= 0 {
		return 64 << 20
	}
	return p.MaxResponse
}

// origin returns scheme and authority in one spelling.
func (p ClientPolicy) origin() (string, error) {
	u, err := url.Parse(p.Origin)
	if err != nil || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("secrets: client: origin: want https://host or https://host:port")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && p.AllowLoopbackHTTP && loopback(u.Hostname())) {
		return "", errors.New("secrets: client: origin: want https")
	}
	if o := originOf(u); o != "" {
		return o, nil
	}
	return "", errors.New("secrets: client: origin: want an ASCII host name, an international one as xn--")
}

// originOf returns one spelling of an origin, or "" for a host that is not
// ASCII. Such a host has several foldings (U+0130 becomes i for one, i with a
// dot for the other) and the one compared here need not be the one dialled.
func originOf(u *url.URL) string {
	for i := range len(u.Host) {
		if u.Host[i] <= ' ' || u.Host[i] >= 0x7f {
			return ""
		}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

const maxRedirects = 5

// transport adds a credential to requests for one origin.
type transport struct {
	h       Handle
	cred    *credential
	version uint64
	token   *tokenSource // nil: the credential is a fixed header
	origin  string
	limit   int64
	next    func(*http.Request) (*http.Response, error)
}

// Format prints no content.
func (t *transport) Format(f fmt.State, _ rune) { fmt.Fprint(f, "transport") }

func (t *transport) redirect(r *http.Request, via []*http.Request) error {
	if originOf(r.URL) != t.origin {
		return ErrOrigin
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("secrets: more than %d redirects", maxRedirects)
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	refuse := func(err error) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	if err := t.h.covers(); err != nil {
		return refuse(err)
	}
	if originOf(r.URL) != t.origin || r.Host != "" && originOf(&url.URL{Scheme: r.URL.Scheme, Host: r.Host}) != t.origin {
		return refuse(ErrOrigin)
	}
	if err := t.h.h.safe.live(r.Context(), t.h.h.ref, t.version); err != nil {
		return refuse(err)
	}
	header := t.cred.open().header
	if t.token != nil {
		var err error
		if header, err = t.token.header(r.Context(), ""); err != nil {
			return refuse(err)
		}
	}
	resp, err := t.send(r, header)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && t.token != nil && (r.Body == nil || r.GetBody != nil) {
		// The token may have ended early: get one new one, try once.
		fresh, terr := t.token.header(r.Context(), header)
		if terr == nil && fresh != header {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			_ = resp.Body.Close()
			again := r.Clone(r.Context())
			if r.GetBody != nil {
				if again.Body, err = r.GetBody(); err != nil {
					return nil, errors.New("secrets: request body cannot be sent again")
				}
			}
			resp, err = t.send(again, fresh)
		}
	}
	if err != nil {
		return nil, err
	}
	resp.Request = r
	return resp, nil
}

func (t *transport) send(r *http.Request, header string) (*http.Response, error) {
	out := r.Clone(plainContext{r.Context()})
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set("Authorization", header)
	resp, err := t.next(out)
	if err != nil {
		return nil, withhold(err, shapes(header)...)
	}
	resp.Body = newLimited(resp.Body, t.limit)
	return resp, nil
}

// plainContext passes deadline and cancellation on and hides every value: a
// caller's httptrace hook would see the header.
type plainContext struct{ context.Context }

// Value implements context.Context.
func (plainContext) Value(any) any { return nil }

// limited fails with ErrTooLarge where io.LimitReader would pretend the end. It
// holds the body by its methods alone: behind the body is the connection, with
// the request in its buffer.
type limited struct {
	read  func([]byte) (int, error)
	close func() error
	left  int64
}

func newLimited(r io.ReadCloser, n int64) *limited { return &limited{r.Read, r.Close, n} }

// Close implements io.Closer.
func (l *limited) Close() error { return l.close() }

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p))-1 > l.left {
		p = p[:l.left+1]
	}
	n, err := l.read(p)
	if l.left -= int64(n); l.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

// wires are the connections, shared by all clients to one origin. They are held
// by functions for the same reason as in limited.
type wires struct {
	mu sync.Mutex
	m  map[wire]line
}

type line struct {
	roundTrip func(*http.Request) (*http.Response, error)
	closeIdle func()
}

type wire struct {
	origin string
	roots  *x509.CertPool
}

const maxWires = 256

// get returns how to send requests to one origin and to no other.
func (w *wires) get(origin string, roots *x509.CertPool) func(*http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := wire{origin, roots}
	if l, ok := w.m[k]; ok {
		return l.roundTrip
	}
	if w.m == nil {
		w.m = map[wire]line{}
	}
	for len(w.m) >= maxWires {
		for other, l := range w.m {
			l.closeIdle()
			delete(w.m, other)
			break
		}
	}
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		// No proxy from the environment: it would see where we go.
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, pinned, _ := strings.Cut(origin, "://")
			if !strings.EqualFold(addr, pinned) { // both are ASCII
				return nil, ErrOrigin
			}
			return d.DialContext(ctx, network, addr)
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        60 * time.Second,
		MaxIdleConnsPerHost:    8,
		MaxConnsPerHost:        32,
		MaxResponseHeaderBytes: 256 << 10,
		ForceAttemptHTTP2:      true,
	}
	w.m[k] = line{t.RoundTrip, t.CloseIdleConnections}
	return t.RoundTrip
}

func (w *wires) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, l := range w.m {
		l.closeIdle()
		delete(w.m, k)
	}
}
