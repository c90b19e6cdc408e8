// Package radicale runs Radicale, a CardDAV and CalDAV server that nobody here
// wrote, for tests. It comes from Debian's package of that name.
package radicale

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Paths of the collections of a user.
const (
	Contacts = "/%s/contacts/"
	Calendar = "/%s/calendar/"
)

// Server is a running Radicale that serves over TLS.
type Server struct {
	URL    string
	Roots  *x509.CertPool
	PEM    []byte // the certificate in Roots
	Data   string // the folder of its storage
	client *http.Client
	users  map[string]string
}

// Start runs the server until the test ends, with an empty address book and an
// empty calendar for each user (name to password). Without the program the test
// is skipped and says so; under CI=true it fails.
func Start(t testing.TB, users map[string]string) *Server {
	t.Helper()
	program, err := exec.LookPath("radicale")
	if err != nil {
		const absent = "LEFT OUT: radicale is not installed (Debian package radicale)"
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal(absent)
		}
		t.Skip(absent)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	// The certificate is the one of the standard library's test servers, so
	// that no key is made here that anything else could trust.
	sample := httptest.NewTLSServer(http.NotFoundHandler())
	cert := sample.TLS.Certificates[0]
	leaf := sample.Certificate()
	sample.Close()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	certFile := write("cert.pem", string(certPEM))
	keyFile := write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	var passwords strings.Builder
	for u, p := range users {
		fmt.Fprintf(&passwords, "%s:%s\n", u, p)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	config := write("config", fmt.Sprintf(`[server]
hosts = %s
ssl = True
certificate = %s
key = %s
[auth]
type = htpasswd
htpasswd_filename = %s
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = %s
[logging]
level = warning
`, addr, certFile, keyFile, write("users", passwords.String()), filepath.Join(dir, "data")))
	var out strings.Builder
	cmd := exec.Command(program, "--config", config)
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	s := &Server{URL: "https://" + addr, Roots: roots, PEM: certPEM, Data: filepath.Join(dir, "data"), users: users, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-gone
		if t.Failed() && out.Len() > 0 {
			t.Log("radicale:", out.String())
		}
	})
	for end := time.Now().Add(30 * time.Second); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-gone:
			t.Fatal("radicale ended: ", out.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("radicale does not answer")
		}
	}
	for u := range users {
		s.make(t, u, fmt.Sprintf(Contacts, u), `<resourcetype><collection/><C:addressbook xmlns:C="urn:ietf:params:xml:ns:carddav"/></resourcetype>`)
		s.make(t, u, fmt.Sprintf(Calendar, u), `<resourcetype><collection/><C:calendar xmlns:C="urn:ietf:params:xml:ns:caldav"/></resourcetype>`)
	}
	return s
}

// make creates a collection by extended MKCOL (RFC 5689).
func (s *Server) make(t testing.TB, user, path, prop string) {
	t.Helper()
	status, _ := s.Do(t, user, "MKCOL", path, `<?xml version="1.0"?><mkcol xmlns="DAV:"><set><prop>`+prop+`</prop></set></mkcol>`)
	if status != http.StatusCreated {
		t.Fatalf("radicale: MKCOL %s: %d", path, status)
	}
}

// Do sends one request as a user, as another client of the same mailbox would.
func (s *Server) Do(t testing.TB, user, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, s.users[user])
	switch {
	case strings.HasSuffix(path, ".vcf"):
		r.Header.Set("Content-Type", "text/vcard; charset=utf-8")
	case strings.HasSuffix(path, ".ics"):
		r.Header.Set("Content-Type", "text/calendar; charset=utf-8")
	default:
		r.Header.Set("Content-Type", "application/xml; charset=utf-8")
		r.Header.Set("Depth", "1")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
