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

// HTTPClient returns a client that adds the credential to requests to the
// origin of the policy. A request to another origin, by a redirect too, is
// ErrOrigin and is not sent. Before each request the Grant is tested again and
// the secret's revocation looked up. Neither the request that a response names
// nor any error contains the credential. A 401 is answered by one new access
// token where the scheme gets those, and never by another scheme.
//
// The client is the caller's alone; connections below it are shared.
func (h Handle) HTTPClient(ctx context.Context, p ClientPolicy) (*http.Client, error) {
	if err := h.covers(); err != nil {
		return nil, err
	}
	o, err := p.origin()
	if err != nil {
		return nil, err
	}
	c, version, err := h.h.safe.use(ctx, h.h.g, "secrets.use", h.h.ref)
	if err != nil {
		return nil, err
	}
	m := c.open()
	_, authority, _ := strings.Cut(o, "://")
	if err := m.scheme.reaches(authority); err != nil {
		return nil, err
	}
	t := &transport{h: h.pinned(version), origin: o, limit: p.limit()}
	lane := ""
	switch k := m.scheme.Kind; {
	case k.tokened():
		t.token = &tokenSource{h.h.safe, h.h.ref, version, c, p.Roots}
	case k == NTLM:
		lane = fmt.Sprintf("%s %d", h.h.ref, version)
	case k == Basic || k == Bearer || k == APIKey || k == SignedRequest:
	default:
		return nil, fmt.Errorf("secrets: use %s: kind %q is not for requests", h.h.ref, k)
	}
	t.next = h.h.safe.wires.get(o, p.Roots, lane)
	t.lock = newLock(c, h.h.safe.now)
	if lane != "" {
		t.next = ntlm(c, t.next, h.h.safe.wires.turn(o, p.Roots, lane))
	}
	return &http.Client{Transport: t, Timeout: p.timeout(), CheckRedirect: t.redirect}, nil
}

const maxRedirects = 5

// transport adds a credential to requests for one origin.
type transport struct {
	h      Handle
	lock   lock
	token  *tokenSource // nil: the credential needs no exchange
	origin string
	limit  int64
	next   func(*http.Request) (*http.Response, error)
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

// pinned reports whether an authority is the pinned one.
func (t *transport) pinned(scheme, host string) bool {
	if len(t.origin) == len(scheme)+len("://")+len(host) && strings.HasPrefix(t.origin, scheme) && strings.HasSuffix(t.origin, host) {
		return t.origin[len(scheme):len(t.origin)-len(host)] == "://" // as it is mostly written
	}
	return originOf(&url.URL{Scheme: scheme, Host: host}) == t.origin
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	refuse := func(err error) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	if !t.pinned(r.URL.Scheme, r.URL.Host) || r.Host != "" && !t.pinned(r.URL.Scheme, r.Host) {
		return refuse(ErrOrigin)
	}
	if err := t.h.begin(r.Context(), "http"); err != nil {
		return refuse(err)
	}
	header := ""
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
	out := r.WithContext(plainContext{r.Context()})
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	shown, err := t.lock.put(out, header)
	if err != nil {
		if out.Body != nil {
			_ = out.Body.Close()
		}
		return nil, err
	}
	resp, err := t.next(out)
	if err != nil {
		return nil, withhold(err, shown()...)
	}
	if t.lock.clean != nil {
		t.lock.clean(resp.Header)
	}
	if err := t.leads(resp, shown); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	resp.Body = newAnswer(r.Context(), resp.Body, t.limit)
	return resp, nil
}

// leads refuses an answer that leads elsewhere, or nowhere: the HTTP client would
// quote the address, in which a server may have put what it got.
func (t *transport) leads(resp *http.Response, shown func() []string) error {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	to := resp.Header.Get("Location")
	if to == "" {
		return nil
	}
	u, err := resp.Request.URL.Parse(to)
	switch {
	case err != nil || shows(to, shown()...):
		return errAnswer
	case originOf(u) != t.origin:
		return ErrOrigin
	}
	return nil
}

// plainContext passes deadline and cancellation on and hides every value: a
// caller's httptrace hook would see the header.
type plainContext struct{ context.Context }

// Value implements context.Context.
func (plainContext) Value(any) any { return nil }

// AfterFunc spares contexts derived from this one a goroutine each: without
// values they cannot find the one that ends them.
func (c plainContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// limited fails with ErrTooLarge where io.LimitReader would pretend the end. It
// holds the body by its methods alone: behind the body is the connection, with
// the request in its buffer.
type limited struct {
	read  func([]byte) (int, error)
	close func() error
	over  func() error // why the exchange is over, nil while it is not; nil itself if it ends with the body only
	left  int64
}

func newLimited(r io.ReadCloser, n int64) *limited {
	return &limited{read: r.Read, close: r.Close, left: n}
}

// newAnswer is newLimited for the answer to a request. Whoever gives up an exchange
// says so over TLS before the line is cut, and a server may end its answer in order
// just then: what was read would pass for the whole of it.
func newAnswer(ctx context.Context, r io.ReadCloser, n int64) *limited {
	l := newLimited(r, n)
	l.over = ctx.Err
	return l
}

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
	switch {
	case err == io.EOF && l.over != nil: //nolint:errorlint // only the bare one is an end
		if cut := l.over(); cut != nil {
			err = cut
		}
	case err != nil && err != io.EOF: //nolint:errorlint // the same
		err = withhold(err) // a broken trailer is quoted
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
	turn      chan struct{}
}

type wire struct {
	origin string
	roots  *x509.CertPool
	lane   string // who alone has the line; empty: it is shared
}

const maxWires = 256

// get returns how to send requests to one origin and to no other. A lane is one
// connection without HTTP/2, for a scheme that signs in the connection.
func (w *wires) get(origin string, roots *x509.CertPool, lane string) func(*http.Request) (*http.Response, error) {
	return w.line(wire{origin, roots, lane}).roundTrip
}

// turn is held by whoever sends on a lane.
func (w *wires) turn(origin string, roots *x509.CertPool, lane string) chan struct{} {
	return w.line(wire{origin, roots, lane}).turn
}

func (w *wires) line(k wire) line {
	origin, roots := k.origin, k.roots
	w.mu.Lock()
	defer w.mu.Unlock()
	if l, ok := w.m[k]; ok {
		return l
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
	if k.lane != "" {
		t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.ForceAttemptHTTP2 = 1, 1, false
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	l := line{t.RoundTrip, t.CloseIdleConnections, make(chan struct{}, 1)}
	w.m[k] = l
	return l
}

func (w *wires) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, l := range w.m {
		l.closeIdle()
		delete(w.m, k)
	}
}
