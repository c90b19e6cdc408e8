package secrets_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/internal/peers"
)

const message = "From: ana@example.com\r\nTo: bo@example.com\r\nSubject: hello\r\n\r\nword\r\n"

// mailBearer is a token for a mailbox.
func mailBearer() secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer, Username: "ana@example.com"}}
}

// Against Dovecot: password and token, TLS at once and by STARTTLS.
//
// evidence: P26, P30
func TestMailAgainstDovecot(t *testing.T) {
	password := "pa ss\"wo\\rd \u00fc:Canary-" + apiToken
	d := peers.StartDovecot(t, password)
	token := "Canary-mail-token." + clientKey[:6] + "x9"
	token = strings.ReplaceAll(token, " ", "_")
	d.SetToken(token)
	c := watch(password, token)
	w := newWorld(t)
	for name, o := range map[string]secrets.PutOptions{"password": basic(d.User), "token": mailBearer()} {
		ref := newRef(t, "tenants/acme", name)
		value := map[string]string{"password": password, "token": token}[name]
		w.put(t, ref, value, o)
		for _, p := range []secrets.MailPolicy{{Address: d.IMAPS, Roots: d.Roots}, {Address: d.IMAP, StartTLS: true, Roots: d.Roots}} {
			var debug bytes.Buffer
			client, err := w.handle(t, ref).DialIMAP(t.Context(), p, &imapclient.Options{DebugWriter: &debug})
			require.NoError(t, err, name)
			require.Equal(t, imap.ConnStateAuthenticated, client.State())
			require.True(t, client.Caps().Has(imap.CapIdle))
			append := client.Append("INBOX", int64(len(message)), nil)
			_, err = append.Write([]byte(message))
			require.NoError(t, err)
			require.NoError(t, append.Close())
			_, err = append.Wait()
			require.NoError(t, err)
			box, err := client.Select("INBOX", nil).Wait()
			require.NoError(t, err)
			require.NotZero(t, box.NumMessages)
			require.NoError(t, client.Logout().Wait())
			_ = client.Close() // its reader would race with the printer
			c.check(t, "debug writer", debug.Bytes())
			require.Contains(t, debug.String(), "APPEND")
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				c.check(t, "client", fmt.Appendf(nil, verb, client))
			}
			require.Empty(t, walk(c, client), "reflection")
		}
		s, err := w.handle(t, ref).DialSMTP(t.Context(), secrets.MailPolicy{Address: d.Submission, StartTLS: true, Roots: d.Roots, LocalName: "lockkeeper.example"})
		require.NoError(t, err, name)
		require.NoError(t, s.Send(t.Context(), "ana@example.com", []string{"bo@example.com", "cy@example.com"}, strings.NewReader(message)))
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			c.check(t, "smtp", fmt.Appendf(nil, verb, s))
		}
		require.Empty(t, walk(c, s), "reflection")
		require.NoError(t, s.Close())
		require.Error(t, s.Send(t.Context(), "ana@example.com", []string{"bo@example.com"}, strings.NewReader(message)))

		// A wrong one is refused for good, and nothing of it shows.
		wrong := newRef(t, "tenants/acme", name+"-wrong")
		w.put(t, wrong, strings.ReplaceAll(value, "Canary", "Parrot"), o)
		cw := watch(strings.ReplaceAll(value, "Canary", "Parrot"))
		_, err = w.handle(t, wrong).DialIMAP(t.Context(), secrets.MailPolicy{Address: d.IMAPS, Roots: d.Roots}, nil)
		require.ErrorIs(t, err, secrets.ErrReauth, name)
		cw.check(t, "imap error", []byte(err.Error()))
		_, err = w.handle(t, wrong).DialSMTP(t.Context(), secrets.MailPolicy{Address: d.Submission, StartTLS: true, Roots: d.Roots})
		require.ErrorIs(t, err, secrets.ErrReauth, name)
		cw.check(t, "smtp error", []byte(err.Error()))
	}
	require.Len(t, d.Messages(), 2)
	require.Equal(t, []string{"from ana@example.com", "to bo@example.com", "to cy@example.com"}, strings.Split(d.Messages()[0], "\n")[:3])
	require.Contains(t, d.Messages()[0], "Subject: hello")
	c.check(t, "server's log", []byte(d.Log()))

	// Not trusted, or not the name that was asked for: no word is said.
	ref := newRef(t, "tenants/acme", "password")
	_, err := w.handle(t, ref).DialIMAP(t.Context(), secrets.MailPolicy{Address: d.IMAPS, Roots: x509.NewCertPool()}, nil)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	_, port, err := net.SplitHostPort(d.IMAPS)
	require.NoError(t, err)
	_, err = w.handle(t, ref).DialIMAP(t.Context(), secrets.MailPolicy{Address: "localhost:" + port, Roots: d.Roots}, nil)
	require.ErrorAs(t, err, new(x509.HostnameError))
	_, err = w.handle(t, ref).DialSMTP(t.Context(), secrets.MailPolicy{Address: d.Submission, StartTLS: true, Roots: x509.NewCertPool()})
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
}

// A connection ends with what it rests on.
func TestMailConnectionDies(t *testing.T) {
	d := peers.StartDovecot(t, "the-password")
	for name, c := range map[string]struct {
		end  func(*world, secrets.Ref)
		want error
	}{
		"grant ended":     {func(w *world, _ secrets.Ref) { w.clock.add(10 * time.Minute) }, authz.ErrDenied},
		"secret revoked":  {func(w *world, r secrets.Ref) { w.revoke(t, r); w.clock.add(time.Second) }, secrets.ErrNotFound},
		"secret replaced": {func(w *world, r secrets.Ref) { w.put(t, r, "next", basic(d.User)); w.clock.add(time.Second) }, secrets.ErrConflict},
	} {
		w := newWorld(t)
		ref := newRef(t, "tenants/acme", "mail")
		w.put(t, ref, "the-password", basic(d.User))
		client, err := w.handle(t, ref).DialIMAP(t.Context(), secrets.MailPolicy{Address: d.IMAPS, Roots: d.Roots}, nil)
		require.NoError(t, err)
		require.NoError(t, client.Noop().Wait())
		s, err := w.handle(t, ref).DialSMTP(t.Context(), secrets.MailPolicy{Address: d.Submission, StartTLS: true, Roots: d.Roots})
		require.NoError(t, err)
		c.end(w, ref)
		require.Error(t, client.Noop().Wait(), name)
		<-client.Closed()
		_ = client.Close()
		err = s.Send(t.Context(), "ana@example.com", []string{"bo@example.com"}, strings.NewReader(message))
		require.ErrorIs(t, err, c.want, name)
		_ = s.Close()
		_, err = w.handle(t, newRef(t, "tenants/acme", "other")).DialIMAP(t.Context(), secrets.MailPolicy{Address: d.IMAPS, Roots: d.Roots}, nil)
		require.ErrorIs(t, err, secrets.ErrNotFound)
	}
	require.Empty(t, d.Messages())
}

// script is a mail server that says what it is told to and keeps what it hears.
type script struct {
	addr  string
	roots *x509.CertPool
	mu    sync.Mutex
	heard string // before TLS and after
	plain string // before TLS
}

// serve runs f for each connection. Its upgrade function takes the connection
// into TLS.
func newScript(t *testing.T, implicit bool, f func(say func(string), hear func() string, upgrade func())) *script {
	t.Helper()
	tlsServer := newServer(t, nil)
	p := tlsServer.policy()
	s := &script{roots: p.Roots}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				secure := implicit
				upgrade := func() {
					secure = true
					c = tls.Server(c, &tls.Config{Certificates: tlsServer.TLS.Certificates, MinVersion: tls.VersionTLS12})
				}
				if implicit {
					upgrade()
				}
				r := bufio.NewReader(c)
				f(func(text string) { _, _ = io.WriteString(c, text) }, func() string {
					line, _ := r.ReadString('\n')
					s.mu.Lock()
					defer s.mu.Unlock()
					s.heard += line
					if !secure {
						s.plain += line
					}
					return strings.TrimRight(line, "\r\n")
				}, func() { upgrade(); r = bufio.NewReader(c) })
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return s
}

func (s *script) all() (heard, plain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard, s.plain
}

// Servers, or those between, who want the password in the clear, or want it
// back: no byte of it is sent before TLS, and none shows.
//
// evidence: P17, P26
func TestHostileMailServers(t *testing.T) {
	const password = "Canary-mail-4Tz9Qw"
	c := watch(password)
	tag := func(line string) string { n, _, _ := strings.Cut(line, " "); return n }
	for name, x := range map[string]struct {
		starttls bool
		f        func(say func(string), hear func() string, upgrade func())
		sent     bool // the password may be, over TLS
	}{
		"imap: no STARTTLS": {true, func(say func(string), hear func() string, _ func()) {
			say("* OK hi\r\n")
			say("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag(hear()) + " OK\r\n")
			hear()
		}, false},
		"imap: STARTTLS refused": {true, func(say func(string), hear func() string, _ func()) {
			say("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hi\r\n")
			say("* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n" + tag(hear()) + " OK\r\n")
			say(tag(hear()) + " BAD no\r\n")
			hear()
		}, false},
		"imap: words before TLS": {true, func(say func(string), hear func() string, upgrade func()) {
			say("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n")
			say("* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n" + tag(hear()) + " OK\r\n")
			say(tag(hear()) + " OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
			upgrade()
			hear()
		}, false},
		"imap: PREAUTH in the clear": {true, func(say func(string), hear func() string, _ func()) {
			say("* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n")
			hear()
		}, false},
		"imap: PREAUTH in TLS": {false, func(say func(string), hear func() string, _ func()) {
			say("* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n")
			hear()
		}, false},
		"imap: LOGIN disabled": {false, func(say func(string), hear func() string, _ func()) {
			say("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n")
			hear()
		}, false},
		"imap: echo": {false, func(say func(string), hear func() string, _ func()) {
			say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n")
			line := hear()
			say(tag(line) + " NO " + line + " " + password + "\r\n")
			hear()
		}, true},
		"imap: echo before": {false, func(say func(string), hear func() string, _ func()) {
			say("* OK [CAPABILITY IMAP4rev1] hi\r\n")
			line := hear()
			say("* BYE " + line + "\r\n")
		}, true},
		"imap: endless line": {false, func(say func(string), hear func() string, _ func()) {
			say("* OK " + strings.Repeat("x", 100<<10))
			hear()
		}, false},
		"imap: endless lines": {false, func(say func(string), hear func() string, _ func()) {
			say("* OK hi\r\n")
			hear()
			for range 200 {
				say("* OK still here\r\n")
			}
			hear()
		}, false},
		"smtp: no STARTTLS": {true, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("250-hi\r\n250 AUTH PLAIN LOGIN\r\n")
			hear()
		}, false},
		"smtp: EHLO refused": {true, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("500 what\r\n")
			hear()
			say("250 hi\r\n")
			hear()
		}, false},
		"smtp: STARTTLS refused": {true, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("250-hi\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n")
			hear()
			say("454 no\r\n")
			hear()
		}, false},
		"smtp: words before TLS": {true, func(say func(string), hear func() string, upgrade func()) {
			say("220 hi\r\n")
			hear()
			say("250-hi\r\n250 STARTTLS\r\n")
			hear()
			say("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n235 yes\r\n")
			upgrade()
			hear()
			say("250 hi\r\n") // the server itself offers nothing
			hear()
		}, false},
		"smtp: echo": {false, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("250-hi\r\n250 AUTH PLAIN\r\n")
			line := hear()
			say("535 5.7.8 " + line + " " + password + "\r\n")
			hear()
		}, true},
		"smtp: asks without end": {false, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("250-hi\r\n250 AUTH LOGIN\r\n")
			for range 5 {
				hear()
				say("334 Z28gb24=\r\n")
			}
			hear()
		}, true},
		"smtp: nothing offered": {false, func(say func(string), hear func() string, _ func()) {
			say("220 hi\r\n")
			hear()
			say("250 hi\r\n")
			hear()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ref := newRef(t, "tenants/acme", "mail")
			w.put(t, ref, password, basic("ana"))
			s := newScript(t, !x.starttls, x.f)
			p := secrets.MailPolicy{Address: s.addr, StartTLS: x.starttls, Roots: s.roots, Timeout: 5 * time.Second}
			var err error
			if strings.HasPrefix(name, "imap") {
				_, err = w.handle(t, ref).DialIMAP(t.Context(), p, nil)
			} else {
				_, err = w.handle(t, ref).DialSMTP(t.Context(), p)
			}
			require.Error(t, err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			c.check(t, "error", []byte(err.Error()))
			heard, plain := s.all()
			c.check(t, "what went before TLS", []byte(plain))
			if name == "imap: words before TLS" {
				require.Equal(t, plain, heard, "and no word after them")
			}
			if !x.sent {
				c.check(t, "what was said", []byte(heard))
			}
		})
	}
	// A server that hangs, and a caller who leaves.
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "mail")
	w.put(t, ref, password, basic("ana"))
	for _, starttls := range []bool{true, false} {
		s := newScript(t, !starttls, func(say func(string), hear func() string, _ func()) { hear() })
		p := secrets.MailPolicy{Address: s.addr, StartTLS: starttls, Roots: s.roots, Timeout: 20 * time.Millisecond}
		_, err := w.handle(t, ref).DialIMAP(t.Context(), p, nil)
		require.Error(t, err)
		_, err = w.handle(t, ref).DialSMTP(t.Context(), p)
		require.Error(t, err)
		p.Timeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err = w.handle(t, ref).DialIMAP(ctx, p, nil)
		require.ErrorIs(t, err, context.Canceled, "starttls %t", starttls)
	}
}

// A password that no quoted string can hold goes as a literal (RFC 9051 section
// 4.3), and a quote stays one.
func TestLogin(t *testing.T) {
	for password, want := range map[string]string{
		`a"b\c d`: "LOGIN \"ana\" \"a\\\"b\\\\c d\"", "p\u00e4ss": "LOGIN {3}\nana {5}\np\u00e4ss",
	} {
		var got []string
		s := newScript(t, true, func(say func(string), hear func() string, _ func()) {
			say("* OK [CAPABILITY IMAP4rev1] hi\r\n")
			first := hear()
			tag, _, _ := strings.Cut(first, " ")
			got = append(got, strings.TrimPrefix(first, tag+" "))
			for strings.HasSuffix(got[len(got)-1], "}") {
				say("+ go on\r\n")
				got = append(got, hear())
			}
			say(tag + " OK [CAPABILITY IMAP4rev1 IDLE] in\r\n")
			hear()
		})
		w := newWorld(t)
		ref := newRef(t, "tenants/acme", "mail")
		w.put(t, ref, password, basic("ana"))
		c, err := w.handle(t, ref).DialIMAP(t.Context(), secrets.MailPolicy{Address: s.addr, Roots: s.roots}, nil)
		require.NoError(t, err)
		require.True(t, c.Caps().Has(imap.CapIdle))
		_ = c.Close()
		require.Equal(t, want, strings.Join(got, "\n"))
	}
}

// What is asked of a connection whose secret is revoked does not reach the server.
func TestNothingIsSentForARevokedSecret(t *testing.T) {
	s := newScript(t, true, func(say func(string), hear func() string, _ func()) {
		say("* OK [CAPABILITY IMAP4rev1] hi\r\n")
		for line := hear(); line != ""; line = hear() {
			tag, _, _ := strings.Cut(line, " ")
			say(tag + " OK [CAPABILITY IMAP4rev1] done\r\n")
		}
	})
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "mail")
	w.put(t, ref, "the-password", basic("ana"))
	c, err := w.handle(t, ref).DialIMAP(t.Context(), secrets.MailPolicy{Address: s.addr, Roots: s.roots}, nil)
	require.NoError(t, err)
	require.NoError(t, c.Noop().Wait())
	before, _ := s.all()
	require.Contains(t, before, "NOOP")
	w.revoke(t, ref)
	w.clock.add(time.Second)
	require.Error(t, c.Noop().Wait())
	<-c.Closed()
	_ = c.Close()
	after, _ := s.all()
	require.Equal(t, before, after)
}

// What a server says to a message it does not want stays with its codes.
func TestRefusedMessages(t *testing.T) {
	s := newScript(t, true, func(say func(string), hear func() string, _ func()) {
		say("220 hi\r\n")
		for {
			switch line := hear(); {
			case line == "":
				return
			case strings.HasPrefix(line, "EHLO"):
				say("250-hi\r\n250 AUTH LOGIN\r\n")
			case line == "AUTH LOGIN":
				say("334 VXNlcm5hbWU6\r\n")
				hear()
				say("334 UGFzc3dvcmQ6\r\n")
				hear()
				say("235 2.7.0 in\r\n")
			case strings.HasPrefix(line, "RCPT"):
				say("550 5.1.1 echo-of-the-answer\r\n")
			case line == "QUIT":
				say("221 2.0.0 bye\r\n")
			default:
				say("250 2.0.0 fine\r\n")
			}
		}
	})
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "mail")
	w.put(t, ref, "the-password", basic("ana"))
	c, err := w.handle(t, ref).DialSMTP(t.Context(), secrets.MailPolicy{Address: s.addr, Roots: s.roots})
	require.NoError(t, err)
	err = c.Send(t.Context(), "ana@example.com", []string{"bo@example.com"}, strings.NewReader(message))
	no := &smtp.SMTPError{}
	require.ErrorAs(t, err, &no)
	require.Equal(t, 550, no.Code)
	require.Equal(t, smtp.EnhancedCode{5, 1, 1}, no.EnhancedCode)
	require.NotContains(t, err.Error(), "echo-of-the-answer")
	require.Error(t, c.Send(t.Context(), "ana@example.com", nil, strings.NewReader(message)))
	require.NoError(t, c.Close())
	heard, _ := s.all()
	require.NotContains(t, heard, "DATA")
	require.ErrorIs(t, (&secrets.SMTP{}).Send(t.Context(), "", nil, nil), authz.ErrDenied)
	require.NoError(t, (*secrets.SMTP)(nil).Close())
}

// Passwords do not go to clouds, by whatever protocol, nor tokens and keys to
// hosts that the scheme does not name. Nothing is dialled for that.
//
// evidence: P17
func TestCloudsGetNoPasswords(t *testing.T) {
	w := newWorld(t)
	pass := newRef(t, "tenants/acme", "password")
	w.put(t, pass, "the-password", basic("ana@example.com"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // dialling would say something else
	defer cancel()
	for _, host := range []string{"outlook.office365.com", "OUTLOOK.office365.COM", "outlook.office365.com.", "smtp.office365.com", "imap-mail.outlook.com", "graph.microsoft.com",
		"imap.gmail.com", "smtp.googlemail.com", "www.googleapis.com"} {
		h := w.handle(t, pass)
		_, err := h.HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://" + host})
		require.ErrorIs(t, err, secrets.ErrOrigin, host)
		_, err = h.DialIMAP(ctx, secrets.MailPolicy{Address: host + ":993"}, nil)
		require.ErrorIs(t, err, secrets.ErrOrigin, host)
		_, err = h.DialSMTP(ctx, secrets.MailPolicy{Address: host + ":587", StartTLS: true})
		require.ErrorIs(t, err, secrets.ErrOrigin, host)
	}
	for _, host := range []string{"exchange.acme.example", "office365.com.acme.example", "notoutlook.com", "my123456.crm.ondemand.com"} {
		_, err := w.handle(t, pass).HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://" + host})
		require.NoError(t, err, host)
	}
	o := bearer()
	o.Scheme.Host, o.Scheme.Username = "imap.acme.example:993", "ana"
	pinned := newRef(t, "tenants/acme", "pinned")
	w.put(t, pinned, "the-token", o)
	for _, address := range []string{"imap.acme.example:994", "other.example:993", "imap.acme.example.evil.example:993"} {
		_, err := w.handle(t, pinned).DialIMAP(ctx, secrets.MailPolicy{Address: address}, nil)
		require.ErrorIs(t, err, secrets.ErrOrigin, address)
		_, err = w.handle(t, pinned).HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://" + address})
		require.ErrorIs(t, err, secrets.ErrOrigin, address)
	}
	cancel() // the key is in memory by now: only dialling says that it was cancelled
	_, err := w.handle(t, pinned).DialIMAP(ctx, secrets.MailPolicy{Address: "IMAP.acme.example:993"}, nil)
	require.ErrorIs(t, err, context.Canceled)
	ctx = t.Context()
	for _, address := range []string{"", "imap.acme.example", ":993", "imap.acme.example:0", "imap.acme.example:x", "p\u0130n.example:993", "a b:993"} {
		_, err := w.handle(t, pinned).DialIMAP(ctx, secrets.MailPolicy{Address: address}, nil)
		require.ErrorContains(t, err, "address", "%q", address)
	}
	plain := newRef(t, "tenants/acme", "nobody's")
	w.put(t, plain, "the-token", bearer())
	_, err = w.handle(t, plain).DialSMTP(ctx, secrets.MailPolicy{Address: "smtp.acme.example:465"})
	require.ErrorContains(t, err, "username")
	_, err = (secrets.Handle{}).DialIMAP(ctx, secrets.MailPolicy{}, nil)
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = (secrets.Handle{}).DialSMTP(ctx, secrets.MailPolicy{})
	require.ErrorIs(t, err, authz.ErrDenied)
}
