//go:build unix

package peers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/emersion/go-smtp"
)

// Mail is a running Dovecot with one mailbox, and where its submission service
// hands messages on to.
type Mail struct {
	IMAPS, IMAP, Submission string // addresses: TLS from the start, STARTTLS, STARTTLS
	Roots                   *x509.CertPool
	User                    string

	mu       sync.Mutex
	token    string
	messages []string
	log      string
}

// SetToken makes an access token good for the mailbox; empty: none is.
func (m *Mail) SetToken(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = token
}

// Messages are the envelopes and messages that were submitted.
func (m *Mail) Messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.messages...)
}

// Log is what the server has logged.
func (m *Mail) Log() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return ""
	}
	return string(b)
}

var dovecotConf = template.Must(template.New("").Parse(`base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/log
protocols = imap submission
listen = 127.0.0.1
ssl = required
ssl_cert = <{{.Dir}}/cert.pem
ssl_key = <{{.Dir}}/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = plain login oauthbearer xoauth2
auth_failure_delay = 0
default_internal_user = {{.Internal}}
default_login_user = {{.Login}}
default_internal_group = {{.Group}}
first_valid_uid = 1
mail_location = maildir:{{.Dir}}/mail/%n
mail_uid = {{.UID}}
mail_gid = {{.GID}}
submission_relay_host = 127.0.0.1
submission_relay_port = {{.Relay}}
hostname = mail.example
passdb {
  driver = passwd-file
  args = username_format=%u {{.Dir}}/users
  mechanisms = plain login
}
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {{.Dir}}/oauth2.conf
}
userdb {
  driver = static
  args = uid={{.UID}} gid={{.GID}} home={{.Dir}}/mail/%n
}
service anvil {
  chroot =
  # All tests come from one address: a refusal would make the next sign-in wait.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = {{.IMAPS}}
    ssl = yes
  }
}
service submission-login {
  chroot =
  inet_listener submission {
    port = {{.Submission}}
  }
}
`))

// StartDovecot starts a Dovecot of its own on loopback with the mailbox
// ana@example.com, and stops it when the test ends.
func StartDovecot(t testing.TB, password string) *Mail {
	t.Helper()
	program := ""
	for _, p := range []string{"dovecot", "/usr/sbin/dovecot"} {
		if found, err := exec.LookPath(p); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		missing(t, "dovecot is not installed")
	}
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("peers: dovecot: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "dovecot")
	fail(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &Mail{User: "ana@example.com", log: filepath.Join(dir, "log")}
	v := map[string]any{"Dir": dir}
	me, err := user.Current()
	fail(err)
	v["Internal"], v["Login"], v["UID"], v["GID"] = me.Username, me.Username, me.Uid, me.Gid
	g, err := user.LookupGroupId(me.Gid)
	fail(err)
	v["Group"] = g.Name
	fail(os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		fail(err)
		v["Internal"], v["Login"], v["Group"], v["UID"], v["GID"] = "dovecot", "dovenull", "dovecot", nobody.Uid, nobody.Gid
		fail(os.Chmod(dir, 0o755)) //nolint:gosec // the server's other users must get to it
		var uid, gid int
		_, err = fmt.Sscan(nobody.Uid+" "+nobody.Gid, &uid, &gid)
		fail(err)
		fail(os.Chown(filepath.Join(dir, "mail"), uid, gid))
	}
	for _, name := range []string{"IMAP", "IMAPS", "Submission"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		fail(err)
		v[name] = l.Addr().(*net.TCPAddr).Port
		fail(l.Close())
	}
	at := func(name string) string { return fmt.Sprintf("127.0.0.1:%d", v[name]) }
	m.IMAP, m.IMAPS, m.Submission = at("IMAP"), at("IMAPS"), at("Submission")
	v["Relay"] = m.relay(t)

	introspect := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"active": m.token != "" && r.FormValue("token") == m.token, "username": m.User})
	}))
	t.Cleanup(introspect.Close)
	write := func(name, content string) {
		t.Helper()
		fail(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)) //nolint:gosec // as above
	}
	cert, key, roots, err := certificate()
	fail(err)
	m.Roots = roots
	write("cert.pem", cert)
	write("key.pem", key)
	write("users", m.User+":{PLAIN.b64}"+base64.StdEncoding.EncodeToString([]byte(password))+"\n")
	write("oauth2.conf", "introspection_mode = post\nintrospection_url = "+introspect.URL+"/\nusername_attribute = username\nactive_attribute = active\nactive_value = true\n")
	var conf bytes.Buffer
	fail(dovecotConf.Execute(&conf, v))
	write("dovecot.conf", conf.String())

	cmd := exec.Command(program, "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	fail(cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	deadline := time.Now().Add(60 * time.Second)
	for {
		select {
		case <-ended:
			t.Fatalf("peers: dovecot ended: %s %s", out.String(), m.Log())
		default:
		}
		if ready(m.IMAPS, roots) && ready(m.Submission, nil) {
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("peers: dovecot does not answer: %s %s", out.String(), m.Log())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ready reports whether a server greets, over TLS if there are roots.
func ready(address string, roots *x509.CertPool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if roots != nil {
		c = tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	}
	b := make([]byte, 1024)
	n, err := c.Read(b)
	return err == nil && !strings.Contains(string(b[:n]), "Waiting")
}

func certificate() (cert, key string, roots *x509.CertPool, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peers"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		return "", "", nil, err
	}
	p8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", nil, err
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8})), roots, nil
}

// relay is the next server on a message's way. It takes all.
func (m *Mail) relay(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("peers: relay: %v", err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &envelope{m: m}, nil }))
	s.ErrorLog = quiet{}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type envelope struct {
	m    *Mail
	text string
}

func (e *envelope) Reset()        { e.text = "" }
func (e *envelope) Logout() error { return nil }
func (e *envelope) Mail(from string, _ *smtp.MailOptions) error {
	e.text = "from " + from + "\n"
	return nil
}
func (e *envelope) Rcpt(to string, _ *smtp.RcptOptions) error {
	e.text += "to " + to + "\n"
	return nil
}
func (e *envelope) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.m.messages = append(e.m.messages, e.text+string(b))
	return err
}
