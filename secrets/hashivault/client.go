package hashivault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"

	"github.com/lockkeeper/lockkeeper/secrets"
)

const (
	maxAnswer = 8 << 20         // bytes of one answer
	pause     = time.Second     // between two looks at a Vault that is not there
	strikes   = 3               // failures in a row before it counts as not there
	budget    = 10              // retries in reserve; every ten good answers earn one
	cooldown  = 5 * time.Second // between two logins because of a refusal
)

// Client speaks to one Vault. It logs in when it is first needed, keeps its
// token alive, and logs in again whenever the token ends. Safe for concurrent
// use. Close it.
type Client struct {
	cfg     Config
	api     *api.Client
	http    *http.Client
	slots   chan struct{} // one for each request under way
	breaker *gobreaker.CircuitBreaker[answer]
	last    atomic.Pointer[Error] // why the breaker opened
	spells  atomic.Uint64         // counts failures and new connections: after each it may be another Vault
	session *session
	known   known
	kv      *KV
	store   *Store
	closed  atomic.Bool

	mu      sync.Mutex
	retries float64
}

// New checks a Config and makes a Client. It does not speak to Vault yet: what
// is wrong there, the first use tells, or Check.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	t, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, slots: make(chan struct{}, cfg.AtOnce), retries: budget}
	// HTTP/1.1: a connection that hangs is closed with its one request, and not
	// shared by all. No proxy: a nil Proxy does not ask the environment.
	var proto http.Protocols
	proto.SetHTTP1(true)
	c.http = &http.Client{
		Transport: limited{&http.Transport{
			TLSClientConfig: t, Protocols: &proto, MaxConnsPerHost: cfg.AtOnce, MaxIdleConnsPerHost: cfg.AtOnce, IdleConnTimeout: 30 * time.Second,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c.spells.Add(1)
				return (&net.Dialer{Timeout: cfg.Timeout}).DialContext(ctx, network, addr)
			},
			TLSHandshakeTimeout: cfg.Timeout, ResponseHeaderTimeout: cfg.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
		}},
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.api, err = newAPI(cfg, c.http); err != nil {
		return nil, err
	}
	c.breaker = gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Timeout: pause,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return n.ConsecutiveFailures >= strikes || c.last.Load().State == secrets.Sealed
		},
		IsSuccessful: func(err error) bool {
			var e *Error
			if !errors.As(err, &e) || !e.down() {
				return true
			}
			c.last.Store(e)
			c.spells.Add(1)
			return false
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errCaller) },
	})
	c.session = newSession(c)
	return c, nil
}

// newAPI makes Vault's own client without anything of the environment in it.
func newAPI(cfg Config, h *http.Client) (*api.Client, error) {
	// No Timeout here: with one, WriteRaw ends its context before the body is read.
	// The http.Client has it.
	a, err := api.NewClient(&api.Config{Address: cfg.Address, HttpClient: h, MaxRetries: 0, DisableRedirects: true})
	if err != nil {
		return nil, fmt.Errorf("%w: Vault's own client does not start, most likely because of a VAULT_ variable in the environment that it cannot read: unset it", ErrConfig)
	}
	a.ClearToken()
	a.SetHeaders(http.Header{"X-Vault-Request": {"true"}})
	a.SetWrappingLookupFunc(func(string, string) string { return "" })
	if cfg.Namespace != "" {
		a.SetNamespace(cfg.Namespace)
	}
	return a, nil
}

// Format prints no content, whatever the verb.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, "hashivault.Client") }

// LogValue logs no content.
func (c *Client) LogValue() slog.Value { return slog.StringValue("hashivault.Client") }

// MarshalText returns secrets.ErrSecret.
func (c *Client) MarshalText() ([]byte, error) { return nil, secrets.ErrSecret }

// Close revokes the token that it logged in for, stops renewing it and closes
// idle connections. Calls from then on fail.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.session.close()
	c.http.CloseIdleConnections()
	return nil
}

// query is one request.
type query struct {
	op     string // for errors
	method string // GET, LIST, PUT, DELETE
	path   string // below /v1/
	body   any    // nil: none
	again  bool   // may be sent twice
	open   bool   // needs no token
}

// answer is what came back.
type answer struct {
	status int
	body   []byte
	errs   []string // Vault's error texts; they go no further
	warned bool     // it has warnings, as for a path that an engine does not know
	vaults bool     // the body is JSON, as Vault's are
}

// into decodes the "data" of an answer.
func (a answer) into(op string, data any) error {
	if err := json.Unmarshal(a.body, &struct {
		Data any `json:"data"`
	}{data}); err != nil {
		return &Error{Op: op, State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
	}
	return nil
}

// do sends a query, within all the bounds of a Client. The error is an *Error,
// or the context's when it ended first.
func (c *Client) do(ctx context.Context, q query) (answer, error) {
	if c.closed.Load() {
		return answer{}, &Error{Op: q.op, State: secrets.Unreachable, Reason: "the client is closed"}
	}
	wait, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if c.breaker.State() == gobreaker.StateOpen {
		return answer{}, c.verdict(q.op)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-wait.Done():
		if err := ctx.Err(); err != nil {
			return answer{}, fmt.Errorf("hashivault: %s: %w", q.op, err)
		}
		return answer{}, &Error{Op: q.op, State: secrets.Unreachable, Reason: "too many requests wait for it"}
	}
	for try := 0; ; try++ {
		a, err := c.breaker.Execute(func() (answer, error) { return c.once(ctx, q) })
		if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			return answer{}, c.verdict(q.op)
		}
		var e *Error
		if err == nil {
			c.earn()
			return a, nil
		}
		if !q.again || try > 0 || !errors.As(err, &e) || e.State != secrets.Unreachable || !c.spend() {
			return answer{}, err
		}
		select {
		case <-time.After(20*time.Millisecond + rand.N(80*time.Millisecond)): // jitter is no secret
		case <-ctx.Done():
			return answer{}, fmt.Errorf("hashivault: %s: %w", q.op, ctx.Err())
		}
	}
}

// verdict is what is known of a Vault that is not there.
func (c *Client) verdict(op string) error {
	l := c.last.Load()
	if l == nil {
		return &Error{Op: op, State: secrets.Unreachable, Reason: "it was not there a moment ago", Known: true}
	}
	return &Error{Op: op, State: l.State, Reason: l.Reason, Known: true}
}

func (c *Client) earn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retries = min(budget, c.retries+0.1)
}

func (c *Client) spend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retries < 1 {
		return false
	}
	c.retries--
	return true
}

// once sends a query with a token, and once more with a new one if it is refused.
func (c *Client) once(ctx context.Context, q query) (answer, error) {
	if q.open {
		return c.send(ctx, q)
	}
	gen, err := c.session.ensure(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := c.send(ctx, q)
	var e *Error
	if !errors.As(err, &e) || e.State != secrets.Denied || !c.session.again(ctx, gen) {
		return a, err
	}
	return c.send(ctx, q)
}

// errCaller marks the end of the caller's patience, which says nothing of Vault.
var errCaller = errors.New("the caller gave up")

// send sends a query as it is, within the timeout of one request.
func (c *Client) send(ctx context.Context, q query) (answer, error) { return c.sendWith(ctx, c.api, q) }

// sendWith is send with a token of its own.
func (c *Client) sendWith(ctx context.Context, a *api.Client, q query) (answer, error) {
	try, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	ans, err := raw(try, a, q)
	if err == nil {
		if e := ofStatus(q.op, ans); e != nil {
			return ans, e
		}
		return ans, nil
	}
	if ctx.Err() != nil {
		return answer{}, &gaveUp{q.op, ctx.Err()}
	}
	return answer{}, ofTransport(q.op, err)
}

// gaveUp is the context's error with the operation.
type gaveUp struct {
	op  string
	err error
}

func (g *gaveUp) Error() string   { return "hashivault: " + g.op + ": " + g.err.Error() }
func (g *gaveUp) Unwrap() []error { return []error{g.err, errCaller} }

// raw sends a query through Vault's client and reads the answer whole. Its
// errors may hold anything and go no further than ofTransport.
func raw(ctx context.Context, a *api.Client, q query) (answer, error) {
	var (
		resp *api.Response
		err  error
	)
	switch q.method {
	case http.MethodGet:
		resp, err = a.Logical().ReadRawWithContext(ctx, q.path)
	case "LIST":
		resp, err = a.Logical().ReadRawWithDataWithContext(ctx, q.path, url.Values{"list": {"true"}})
	case http.MethodDelete:
		resp, err = a.Logical().DeleteRawWithContext(ctx, q.path)
	default:
		b := []byte("{}")
		if q.body != nil {
			if b, err = json.Marshal(q.body); err != nil {
				return answer{}, err
			}
		}
		resp, err = a.Logical().WriteRawWithContext(ctx, q.path, b)
		clear(b) // it may hold keys
	}
	var refused *api.ResponseError
	if err != nil && !errors.As(err, &refused) {
		return answer{}, err
	}
	if resp == nil {
		return answer{}, errors.New("no answer")
	}
	defer resp.Body.Close()
	out := answer{status: resp.StatusCode}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		return answer{}, err
	}
	out.vaults = len(out.body) == 0 && out.status < 300 || json.Valid(out.body)
	if refused != nil && out.vaults {
		out.errs = refused.Errors
		var w struct{ Warnings []string }
		out.warned = json.Unmarshal(out.body, &w) == nil && len(w.Warnings) > 0
	}
	if !out.vaults && out.status < 300 {
		out.status = http.StatusTeapot // a page of something else in between
	}
	return out, nil
}

// limited bounds what an answer may be.
type limited struct{ *http.Transport }

var errTooLarge = errors.New("answer too large")

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = &bounded{resp.Body, maxAnswer}
	}
	return resp, err
}

type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
