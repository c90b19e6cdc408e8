package vaulttest

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// Fault decides what becomes of a request. It may answer itself, or hand on to
// next, which is the server.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Proxy stands before a server, over TLS of the same authority, and spoils what
// goes through it. Safe for concurrent use.
type Proxy struct {
	srv   *httptest.Server
	fault atomic.Pointer[Fault]
	calls atomic.Int64
	end   chan struct{}
}

// Proxy starts a proxy without fault. It ends with the test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := s.ca.issue()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}
	next := &httputil.ReverseProxy{Transport: tr, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	p := &Proxy{end: make(chan struct{})}
	p.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		if f := p.fault.Load(); f != nil {
			(*f)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	p.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	p.srv.StartTLS()
	t.Cleanup(func() {
		close(p.end)
		p.srv.CloseClientConnections()
		p.srv.Close() // waits for every request that is under way
		tr.CloseIdleConnections()
	})
	return p
}

// URL is where the proxy is.
func (p *Proxy) URL() string { return p.srv.URL }

// Calls counts the requests so far.
func (p *Proxy) Calls() int { return int(p.calls.Load()) }

// Set puts a fault in place of the one before; nil is none.
func (p *Proxy) Set(f Fault) {
	if f == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&f)
}

// Hang answers nothing and leaves the connection open, as a peer does that is
// gone without saying so.
func (p *Proxy) Hang(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	select {
	case <-p.end:
	case <-r.Context().Done():
	}
}

// Reset answers with the end of the connection.
func (p *Proxy) Reset(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		if tcp, ok := t.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
			return
		}
	}
	_ = c.Close()
}
