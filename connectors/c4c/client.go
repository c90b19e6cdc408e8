package c4c

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// Limits on what an answer may hold beyond the shared ones.
const (
	maxPages   = 50 // of one listing that follows links
	maxCookies = 32 // in one answer
	maxToken   = 1024
)

// session is what one verb works with: the driver and the client of its Call.
type session struct {
	d  *driver
	hc *http.Client
}

// pass is a CSRF token and the cookies it was given with; the system wants to
// see both together. An empty token means that the system gave none and wants
// none, as it does for OAuth and communication users.
type pass struct {
	token string
	jar   http.CookieJar
}

// cookies adds those that belong to an address.
func (p *pass) cookies(u *url.URL, h http.Header) {
	var cookies []string
	for _, c := range p.jar.Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	if len(cookies) > 0 {
		h.Set("Cookie", strings.Join(cookies, "; "))
	}
}

// sign adds what goes with a request beside the credential.
func (p *pass) sign(r *http.Request) {
	if p.jar != nil {
		p.cookies(r.URL, r.Header)
	}
}

// passes keeps the current pass of a connection.
type passes struct {
	mu  sync.Mutex
	now *pass
}

func (p *passes) get() *pass {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *passes) set(v *pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = v
}

// url is the address of something relative to the service.
func (s session) url(rel string) string { return s.d.base.String() + rel }

func (s session) do(ctx context.Context, r remote.Request, p *pass) (remote.Response, error) {
	if p != nil && p.jar != nil {
		u, err := url.Parse(r.URL)
		if err != nil {
			return remote.Response{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "address"}
		}
		p.cookies(u, r.Header)
	}
	resp, err := remote.Do(ctx, s.hc, r)
	if err == nil && p != nil && p.jar != nil {
		if u, perr := url.Parse(r.URL); perr == nil {
			p.jar.SetCookies(u, cookiesOf(resp.Header))
		}
	}
	return resp, err
}

func cookiesOf(h http.Header) []*http.Cookie {
	cs := (&http.Response{Header: h}).Cookies()
	if len(cs) > maxCookies {
		cs = cs[:maxCookies]
	}
	return cs
}

// get reads one address below the service.
func (s session) get(ctx context.Context, rel string) (payload, error) {
	h := http.Header{"Accept": {"application/json"}, "Odata-No-Codedescs": {"true"}}
	resp, err := s.do(ctx, remote.Request{Method: http.MethodGet, URL: s.url(rel), Header: h, Repeat: true}, s.d.passes.get())
	if err != nil {
		return payload{}, err
	}
	if err := resp.Err(false); err != nil {
		return payload{}, err
	}
	return decode(resp.Body)
}

// all reads a listing to its end, following the links of the server as long as
// they stay on the same collection of the same service.
func (s session) all(ctx context.Context, rel string) ([]entity, error) {
	var out []entity
	for range maxPages {
		p, err := s.get(ctx, rel)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Entities...)
		if p.Next == "" {
			return out, nil
		}
		if rel, err = s.d.link(rel, p.Next); err != nil {
			return nil, err
		}
	}
	return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing without end"}
}

// link checks a link of the server and makes it relative to the service.
func (d *driver) link(rel, next string) (string, error) {
	bad := &connectors.Error{Class: connectors.ErrMalformed, Detail: "link leads out of the collection"}
	from, err := url.Parse(d.base.String() + rel)
	if err != nil || len(next) > 16<<10 {
		return "", bad
	}
	// A link may be relative to the service or absolute.
	u, err := d.base.Parse(next)
	if err != nil || u.User != nil || u.Scheme != d.base.Scheme || u.Host != d.base.Host || u.EscapedPath() != from.EscapedPath() || u.RawQuery == from.RawQuery {
		return "", bad
	}
	return strings.TrimPrefix(u.EscapedPath(), d.base.EscapedPath()) + "?" + u.RawQuery, nil
}

// fetch asks for a new pass. It reads the id of one record, which is the
// cheapest reading there is.
func (s session) fetch(ctx context.Context) (*pass, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Accept": {"application/json"}, "X-Csrf-Token": {"fetch"}}
	rel := setContact + "?" + query("$top", "1", "$select", propID, "$format", "json")
	resp, err := s.do(ctx, remote.Request{Method: http.MethodGet, URL: s.url(rel), Header: h, Repeat: true}, &pass{jar: jar})
	if err != nil {
		return nil, err
	}
	if err := resp.Err(false); err != nil {
		return nil, err
	}
	p := &pass{token: resp.Header.Get("X-Csrf-Token"), jar: jar}
	if len(p.token) > maxToken || strings.EqualFold(p.token, "required") {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "token of no use"}
	}
	s.d.passes.set(p)
	return p, nil
}

// post sends a writing with the current pass. A system that no longer accepts
// the pass refuses before it does anything, so one more try with a new one is
// safe.
func (s session) post(ctx context.Context, rel, contentType string, body []byte, writes bool) (remote.Response, error) {
	p := s.d.passes.get()
	for again := false; ; again = true {
		if p == nil {
			var err error
			if p, err = s.fetch(ctx); err != nil {
				return remote.Response{}, remote.Unsent(err)
			}
		}
		h := http.Header{"Accept": {"multipart/mixed"}, "Content-Type": {contentType}}
		if p.token != "" {
			h.Set("X-Csrf-Token", p.token)
		}
		resp, err := s.do(ctx, remote.Request{Method: http.MethodPost, URL: s.url(rel), Header: h, Body: body, Repeat: !writes}, p)
		if err != nil {
			return resp, err
		}
		if !again && resp.Status == http.StatusForbidden && strings.EqualFold(resp.Header.Get("X-Csrf-Token"), "required") {
			p = nil
			continue
		}
		return resp, nil
	}
}
