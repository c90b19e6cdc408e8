package secrets_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func send(c *http.Client, r *http.Request) (int, error) {
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestBasicAndBearer(t *testing.T) {
	w := newWorld(t)
	srv := newServer(t, nil)
	for i, c := range []struct {
		o           secrets.PutOptions
		value, want string
	}{
		{basic("ana@example.com"), "p\u00e4ss:word \x01", "Basic " + base64.StdEncoding.EncodeToString([]byte("ana@example.com:p\u00e4ss:word \x01"))},
		{basic("Aladdin"), "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, // RFC 7617
		{bearer(), "mF_9.B5f-4.1JqM", "Bearer mF_9.B5f-4.1JqM"},                 // RFC 6750
		{bearer(), strings.Repeat("x", 9000), "Bearer " + strings.Repeat("x", 9000)},
	} {
		ref := newRef(t, "tenants/acme", "s"+string(rune('a'+i)))
		w.put(t, ref, c.value, c.o)
		code, err := get(t, w.client(t, ref, srv.policy()), srv.URL+"/x")
		require.NoError(t, err)
		require.Equal(t, 200, code)
		require.Equal(t, c.want, srv.seen()[i])
	}
}

// evidence: P30
func TestCredentialGoesToThePinnedOriginOnly(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	other := newServer(t, nil)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a plain server was reached") }))
	defer plain.Close()
	var to string
	srv := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	})
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	away := []string{other.URL + "/", plain.URL + "/", "http" + strings.TrimPrefix(srv.URL, "https") + "/", "https://localhost" + port + "/", "https://127.0.0.1./",
		"https://127.0.0.1" + port + "1/", "https://user@127.0.0.2" + port, "//127.0.0.2" + port + "/x", "https://127.0.0.1.example" + port}
	for _, hooked := range []bool{false, true} {
		c := w.client(t, ref, srv.policy())
		if hooked { // the caller's own redirect rule replaces ours and changes nothing
			c.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		}
		for _, u := range away {
			if !strings.HasPrefix(u, "//") {
				_, err := get(t, c, u)
				require.ErrorIs(t, err, secrets.ErrOrigin, u)
			}
			to = u
			before := len(srv.seen())
			_, err := get(t, c, srv.URL+"/away")
			require.ErrorIs(t, err, secrets.ErrOrigin, "redirect to %s", u)
			require.Len(t, srv.seen(), before+1)
		}
	}
	require.Empty(t, other.seen())

	c := w.client(t, ref, srv.policy())
	for _, host := range []string{"other.example", "localhost" + port, "127.0.0.1:1", "127.0.0.1" + port + "@other.example", "[" + port} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("x"))
		require.NoError(t, err)
		r.Host = host
		_, err = send(c, r)
		require.ErrorIs(t, err, secrets.ErrOrigin, "Host: %s", host)
	}
	for _, u := range []*url.URL{{}, {Scheme: "https"}, {Path: "/"}, {Scheme: "https", Host: ":"}, {Scheme: "HTTPS", Host: srv.Listener.Addr().String()}} {
		_, err := c.Transport.RoundTrip((&http.Request{URL: u, Header: http.Header{}}).WithContext(t.Context()))
		require.ErrorIs(t, err, secrets.ErrOrigin, "%#v", u)
	}
}

// Some letters fold into ASCII for one library and into another name for the
// next: the pinned p-i-n and the p-I-with-dot-n that a link or redirect brings
// are different hosts, and the second can be bought.
func TestHostThatFoldsIntoThePinnedOne(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	c := w.client(t, ref, secrets.ClientPolicy{Origin: "https://pink.invalid"})
	for _, host := range []string{"p\u0130nk.invalid", "pin\u212a.invalid", "\uff50ink.invalid", "pink\u3002invalid", "pi\u00adnk.invalid"} {
		_, err := get(t, c, "https://"+host+"/")
		require.ErrorIs(t, err, secrets.ErrOrigin, host)
		_, err = c.Transport.RoundTrip((&http.Request{URL: &url.URL{Scheme: "https", Host: "pink.invalid"}, Host: host}).WithContext(t.Context()))
		require.ErrorIs(t, err, secrets.ErrOrigin, host)
	}
}

func TestRedirectsWithinTheOrigin(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	srv := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if n := strings.TrimPrefix(r.URL.Path, "/"); n != "" {
			http.Redirect(w, r, "/"+n[1:], http.StatusFound)
		}
	})
	c := w.client(t, ref, srv.policy())
	resp, err := c.Get(srv.URL + "/aaaaa")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, srv.seen(), 6)
	for _, a := range srv.seen() {
		require.Equal(t, "Bearer the-token", a)
	}
	n := 0
	for r := resp.Request; r != nil; n++ { // the whole chain of requests, as the caller sees it
		require.Empty(t, r.Header.Get("Authorization"))
		if r.Response == nil {
			break
		}
		r = r.Response.Request
	}
	require.Equal(t, 5, n)
	_, err = get(t, c, srv.URL+"/aaaaaa")
	require.ErrorContains(t, err, "more than 5 redirects")
}

// evidence: P30
func TestNobodySeesTheHeader(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	srv := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body)
	})
	for _, http2 := range []bool{true, false} {
		s := srv
		if !http2 {
			s = &server{Server: httptest.NewTLSServer(srv.Config.Handler)}
			defer s.Close()
		}
		c := w.client(t, ref, s.policy())

		// No hook of the caller's context runs.
		hook := func(string) { t.Error("a trace hook was called") }
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GetConn: func(h string) { hook(h) }, GotConn: func(httptrace.GotConnInfo) { hook("") }, WroteHeaderField: func(k string, v []string) { hook(k) },
			WroteHeaders: func() { hook("") }, WroteRequest: func(httptrace.WroteRequestInfo) { hook("") }, GotFirstResponseByte: func() { hook("") },
			Got1xxResponse:    func(int, textproto.MIMEHeader) error { hook(""); return nil },
			TLSHandshakeStart: func() { hook("") }, ConnectStart: func(a, b string) { hook("") },
		})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader("body"))
		require.NoError(t, err)
		r.Header.Set("X-Mine", "1")
		resp, err := c.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "body", string(body))
		require.Equal(t, http2, resp.ProtoMajor == 2)

		// The caller's request is as it was, and is the one that the answer names.
		require.Equal(t, http.Header{"X-Mine": {"1"}}, r.Header)
		require.Equal(t, http.Header{"X-Mine": {"1"}}, resp.Request.Header)
		require.Same(t, ctx, r.Context())

		// Nothing of the standard library can be taken out of the client.
		_, ok := c.Transport.(*http.Transport)
		require.False(t, ok)
		_, ok = c.Transport.(interface{ Clone() *http.Transport })
		require.False(t, ok)
		_, ok = resp.Body.(io.Writer)
		require.False(t, ok)
		require.Nil(t, c.Jar)

		// And a header that the caller sets gives way on the wire, and stays with the caller.
		r = r.Clone(t.Context())
		r.Body = http.NoBody
		r.ContentLength = 0
		r.Header.Set("Authorization", "mine")
		_, err = send(c, r)
		require.NoError(t, err)
		require.Equal(t, "mine", r.Header.Get("Authorization"))
		require.Equal(t, "Bearer the-token", srv.seen()[len(srv.seen())-1])

		// A request without a header map does not get one.
		bare := (&http.Request{Method: http.MethodGet, URL: mustURL(t, s.URL)}).WithContext(t.Context())
		resp, err = c.Transport.RoundTrip(bare)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Nil(t, bare.Header)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// A server may send back what it got where a status line belongs; the HTTP
// library quotes that in its error.
func TestErrorsThatQuoteTheCredentialAreWithheld(t *testing.T) {
	w := newWorld(t)
	var echo func(authorization string) string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, echo(r.Header.Get("Authorization"))+"\r\n\r\n")
		_ = conn.Close()
	}))
	defer srv.Close()
	p := (&server{Server: srv}).policy()
	for name, o := range map[string]secrets.PutOptions{"one": bearer(), "two": basic("ana")} {
		ref := newRef(t, "tenants/acme", name)
		w.put(t, ref, `open"sesame\now`, o)
		c := w.client(t, ref, p)
		for _, f := range []func(string) string{
			func(a string) string { return a },
			func(a string) string { return "HTTP/1.1 " + a },
			func(a string) string { return "HTTP/1.1 200 OK\r\n" + a },
			func(a string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + a },
			func(a string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + a },
			func(a string) string {
				b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "Basic "))
				return "who is " + string(b)
			},
		} {
			echo = f
			_, err := get(t, c, srv.URL)
			require.Error(t, err)
			for _, form := range []string{"sesame", "b3Blbi", base64.StdEncoding.EncodeToString([]byte(`ana:open"sesame\now`))} {
				require.NotContains(t, err.Error(), form)
			}
		}
		echo = func(string) string { return "nonsense" }
		_, err := get(t, c, srv.URL)
		require.ErrorContains(t, err, "does not keep to the protocol", "other errors say what happened")
	}
}

func TestAnswersAreLimited(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	gone := make(chan struct{}, 8)
	srv := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
			gone <- struct{}{}
		case "/drip": // an answer that begins and never ends
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			gone <- struct{}{}
		case "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 1<<20))
			_ = z.Close()
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 300<<10))
		default:
			_, _ = w.Write(make([]byte, 1000))
		}
	})
	with := func(change func(*secrets.ClientPolicy)) *http.Client {
		p := srv.policy()
		change(&p)
		return w.client(t, ref, p)
	}
	for limit, ok := range map[int64]bool{999: false, 1000: true, 1001: true, math.MaxInt64: true, 0: true} {
		_, err := get(t, with(func(p *secrets.ClientPolicy) { p.MaxResponse = limit }), srv.URL)
		if ok {
			require.NoError(t, err, limit)
		} else {
			require.ErrorIs(t, err, secrets.ErrTooLarge)
		}
	}
	_, err := get(t, with(func(p *secrets.ClientPolicy) { p.MaxResponse = 1<<20 - 1 }), srv.URL+"/zip")
	require.ErrorIs(t, err, secrets.ErrTooLarge, "counted after decompression")
	_, err = get(t, with(func(p *secrets.ClientPolicy) { p.MaxResponse = 1 << 20 }), srv.URL+"/zip")
	require.NoError(t, err)
	_, err = get(t, with(func(*secrets.ClientPolicy) {}), srv.URL+"/headers")
	require.Error(t, err)
	for _, path := range []string{"/hang", "/drip"} {
		_, err := get(t, with(func(p *secrets.ClientPolicy) { p.Timeout = 20 * time.Millisecond }), srv.URL+path)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-gone
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/hang", nil)
	require.NoError(t, err)
	time.AfterFunc(0, cancel)
	_, err = send(with(func(*secrets.ClientPolicy) {}), r)
	require.ErrorIs(t, err, context.Canceled, "the caller's cancellation passes")
	require.Equal(t, 60*time.Second, with(func(*secrets.ClientPolicy) {}).Timeout)
}

// evidence: P26
func TestTransportIsVerifiedTLS(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	srv := newServer(t, nil)
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("TLS 1.1 was spoken") }))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = quiet()
	old.StartTLS()
	defer old.Close()

	p := srv.policy()
	p.Roots = x509.NewCertPool()
	_, err := get(t, w.client(t, ref, p), srv.URL)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	p.Roots = nil
	_, err = get(t, w.client(t, ref, p), srv.URL)
	require.Error(t, err, "the machine's roots do not know it either")
	p = (&server{Server: old}).policy()
	_, err = get(t, w.client(t, ref, p), old.URL)
	require.ErrorContains(t, err, "protocol version")
	require.Empty(t, srv.seen())

	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			t.Error("loopback without credential")
		}
	}))
	defer plain.Close()
	_, err = w.handle(t, ref).HTTPClient(t.Context(), secrets.ClientPolicy{Origin: plain.URL})
	require.ErrorContains(t, err, "want https")
	_, err = w.handle(t, ref).HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "http://crm.example", AllowLoopbackHTTP: true})
	require.ErrorContains(t, err, "want https")
	_, err = get(t, w.client(t, ref, secrets.ClientPolicy{Origin: plain.URL, AllowLoopbackHTTP: true}), plain.URL)
	require.NoError(t, err)
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(v, proxy.URL)
	}
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	_, err := get(t, w.client(t, ref, secrets.ClientPolicy{Origin: "https://crm.invalid", Timeout: time.Second}), "https://crm.invalid/")
	require.Error(t, err)
}

func TestDebugOutputOfTheHTTPLibraryIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"http2debug=1", "http2debug=2", "x=1,http2debug=2"} {
		t.Setenv("GODEBUG", v)
		_, err := secrets.New(w.keys, w.keys, w.store, nil)
		require.ErrorContains(t, err, "http2debug", v)
	}
}

// A client is dead, before anything is sent, as soon as one thing that it rests
// on has ended.
func TestClientDies(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *world, secrets.Ref)
		want error
	}{
		"grant ended":     {func(_ *testing.T, w *world, _ secrets.Ref) { w.clock.add(10 * time.Minute) }, authz.ErrDenied},
		"secret expired":  {func(_ *testing.T, w *world, _ secrets.Ref) { w.clock.add(5 * time.Minute) }, secrets.ErrExpired},
		"secret revoked":  {func(t *testing.T, w *world, r secrets.Ref) { w.revoke(t, r) }, secrets.ErrNotFound},
		"secret replaced": {func(t *testing.T, w *world, r secrets.Ref) { w.put(t, r, "next", bearer()) }, secrets.ErrConflict},
		"use no longer allowed": {func(t *testing.T, w *world, r secrets.Ref) {
			g := w.grant(t, "user:idp/admin", "authz.authorizations.write", authztest.Resource(t, "tenants/acme"))
			for _, a := range authorizations(t, w) {
				if a.Role == authztest.Role(t, "role:connection") {
					require.NoError(t, w.Edit(g).Revoke(t.Context(), a.ID, "over"))
				}
			}
		}, authz.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "allow user:idp/admin role:tenant-admin tenants/acme", "allow service:conn role:connection tenants/acme")
			ref := newRef(t, "tenants/acme", "crm")
			o := bearer()
			o.Expires = w.clock.now().Add(5 * time.Minute)
			w.put(t, ref, "the-token", o)
			srv := newServer(t, nil)
			h := w.handle(t, ref)
			client, err := h.HTTPClient(t.Context(), srv.policy())
			require.NoError(t, err)
			_, err = get(t, client, srv.URL)
			require.NoError(t, err)
			c.end(t, w, ref)
			body := &closing{Reader: strings.NewReader("body")}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
			require.NoError(t, err)
			_, err = send(client, r)
			require.ErrorIs(t, err, c.want)
			require.True(t, body.closed, "a refused request's body is closed too")
			require.Len(t, srv.seen(), 1, "nothing was sent")
			if name != "secret replaced" {
				_, err = h.HTTPClient(t.Context(), srv.policy())
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

func authorizations(t *testing.T, w *world) []authz.Authorization {
	t.Helper()
	on := authztest.Resource(t, "tenants/acme")
	as, err := w.Authorizations(w.grant(t, "user:idp/admin", "authz.authorizations.read", on), on)
	require.NoError(t, err)
	return as
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func is(err, target error) bool { return errors.Is(err, target) }

func TestStoreOutageStopsClients(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	w.put(t, ref, "the-token", bearer())
	broken := &outage{Store: w.store}
	safe := w.open(t, w.keys, w.keys, broken)
	h, err := safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
	require.NoError(t, err)
	srv := newServer(t, nil)
	c, err := h.HTTPClient(t.Context(), srv.policy())
	require.NoError(t, err)
	broken.set(errors.New("disk on fire"))
	_, err = get(t, c, srv.URL)
	require.ErrorContains(t, err, "disk on fire")
	require.Empty(t, srv.seen(), "who cannot look up the revocation does not send")
}

// outage is a Store that fails on demand.
type outage struct {
	secrets.Store
	mu    sync.Mutex
	err   error
	saves int // that fail
}

func (o *outage) failSave(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saves = n
}

func (o *outage) Save(ctx context.Context, h secrets.Head, v *secrets.Version, generation uint32) error {
	o.mu.Lock()
	fail := o.saves > 0
	o.saves--
	o.mu.Unlock()
	if fail {
		return errors.New("disk on fire")
	}
	return o.Store.Save(ctx, h, v, generation)
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

func (o *outage) Load(ctx context.Context, tenant, name string, version uint64) (secrets.Record, error) {
	o.mu.Lock()
	err := o.err
	o.mu.Unlock()
	if err != nil {
		return secrets.Record{}, err
	}
	return o.Store.Load(ctx, tenant, name, version)
}

func TestClientForManyAtOnce(t *testing.T) {
	w := newWorld(t)
	srv := newServer(t, nil)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		ref := newRef(t, "tenants/acme", name)
		w.put(t, ref, "token-"+name, bearer())
		c := w.client(t, ref, srv.policy())
		for range 5 {
			wg.Go(func() {
				if _, err := get(t, c, srv.URL+"/"+name); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	count := map[string]int{}
	for _, a := range srv.seen() {
		count[a]++
	}
	require.Equal(t, map[string]int{"Bearer token-a": 5, "Bearer token-b": 5, "Bearer token-c": 5, "Bearer token-d": 5}, count)
}
