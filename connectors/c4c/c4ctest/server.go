package c4ctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Path is where the service lives on its host.
const Path = "/sap/c4c/odata/v1/c4codataapi/"

// TokenPath is where OAuth 2 tokens are given for SAML assertions.
const TokenPath = "/sap/bc/sec/oauth2/token"

// User is one who may use the service.
type User struct {
	Password string
	// Communication makes it a technical user, of whom neither a CSRF token is
	// asked nor, as the real service does it, If-Match.
	Communication bool
}

// Options are the choices of New. The zero value is a server that nobody may
// use.
type Options struct {
	Users map[string]User
	SAML  *SAML // nil: no tokens are given

	// PageSize is how many records one answer holds at most; zero: 1000, as the
	// real service does it. With $expand it is at most 100.
	PageSize int

	// QuietChildren leaves the dates and the revision of a record alone when a
	// note or a party below it changes.
	QuietChildren bool

	// Without names entity sets and properties, as in "VisitCollection" and
	// "LeadCollection/Note", that this tenant does not have.
	Without []string

	// Now is the clock; nil: time.Now.
	Now func() time.Time

	// Listener serves StartTLS; nil: a free port on loopback.
	Listener net.Listener

	// Certificate of the server for StartTLS; nil: one made by an authority
	// that is made for the occasion, see Roots.
	Certificate *tls.Certificate
}

// Server is one emulated tenant. Safe for concurrent use.
type Server struct {
	opts     Options
	model    model
	page     int
	now      func() time.Time
	http     *httptest.Server
	roots    *x509.CertPool
	rootsPEM []byte

	mu       sync.Mutex
	sets     map[string]*table
	serial   uint64
	stamp    time.Time
	undo     []func()
	sessions map[string]session
	tokens   map[string]issued
	used     map[string]time.Time // ids of assertions that were used
	faults   []*Fault
	ledger   []Entry
	requests int64
}

// New makes a tenant without records. It does not listen yet: call StartTLS or
// Start, or serve Handler.
func New(opts *Options) *Server {
	s := &Server{model: loadModel(), sets: map[string]*table{}, sessions: map[string]session{}, tokens: map[string]issued{}, used: map[string]time.Time{}}
	if opts != nil {
		s.opts = *opts
	}
	s.page, s.now = s.opts.PageSize, s.opts.Now
	if s.page <= 0 {
		s.page = 1000
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, n := range s.opts.Without {
		s.model.drop(n)
	}
	for _, n := range s.model.names() {
		s.sets[n] = newTable()
	}
	return s
}

// Handler serves the tenant below Path and TokenPath.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Start serves plain HTTP on loopback.
func (s *Server) Start() { s.unstarted().Start() }

// StartTLS serves HTTPS on loopback with a certificate of an authority of its
// own; clients trust it by Roots.
func (s *Server) StartTLS() {
	h := s.unstarted()
	cert := s.opts.Certificate
	if cert == nil {
		c, ca, err := certificate()
		if err != nil {
			panic(err) // no randomness
		}
		cert, s.rootsPEM = &c, ca
		s.roots = x509.NewCertPool()
		s.roots.AppendCertsFromPEM(ca)
	}
	h.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	h.EnableHTTP2 = true
	h.StartTLS()
}

func (s *Server) unstarted() *httptest.Server {
	s.http = httptest.NewUnstartedServer(s.Handler())
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	if s.opts.Listener != nil {
		_ = s.http.Listener.Close()
		s.http.Listener = s.opts.Listener
	}
	return s.http
}

// Close stops listening and waits for requests under way.
func (s *Server) Close() {
	if s.http != nil {
		s.http.Close()
	}
}

// URL is the address of the service, "" before it is started.
func (s *Server) URL() string {
	if s.http == nil {
		return ""
	}
	return s.http.URL + Path
}

// TokenURL is the address of the token endpoint, "" before it is started.
func (s *Server) TokenURL() string {
	if s.http == nil {
		return ""
	}
	return s.http.URL + TokenPath
}

// Roots are the authorities to trust, nil if the certificate was given.
func (s *Server) Roots() *x509.CertPool { return s.roots }

// RootsPEM is the certificate of the authority as a file has it, nil if the
// certificate was given.
func (s *Server) RootsPEM() []byte { return s.rootsPEM }

// certificate makes an authority, forgets its key, and returns a certificate
// for loopback.
func certificate() (tls.Certificate, []byte, error) {
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "c4ctest authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &k.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}
