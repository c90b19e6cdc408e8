package secrets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MailPolicy says where a mail credential may go.
type MailPolicy struct {
	Address  string         // "host:port"; the only one the credential may reach
	StartTLS bool           // TLS begins by STARTTLS instead of with the first byte; without TLS nothing is sent
	Roots    *x509.CertPool // certificate authorities trusted for it; nil: the machine's
	Timeout  time.Duration  // until the connection is signed in; zero: 30 seconds
	// LocalName is what an SMTP client calls itself; empty: localhost.
	LocalName string
}

func (p MailPolicy) timeout() time.Duration {
	if p.Timeout <= 0 {
		return 30 * time.Second
	}
	return p.Timeout
}

// host checks the address.
func (p MailPolicy) host() (string, error) {
	host, port, err := net.SplitHostPort(p.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || originOf(&url.URL{Scheme: "https", Host: p.Address}) == "" {
		return "", errors.New("secrets: mail: address: want host:port, an international host as xn--")
	}
	if strings.ContainsFunc(p.LocalName, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", errors.New("secrets: mail: local name: want a host name")
	}
	return host, nil
}

func (p MailPolicy) tls(host string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.Roots, ServerName: host}
}

// mailLogin is how one connection signs in. Everything is in closures.
type mailLogin struct {
	user   string
	token  bool // XOAUTH2 or OAUTHBEARER instead of PLAIN or LOGIN
	secret func() string
	shown  func() []string
}

// mail opens the secret for one connection.
func (h Handle) mail(ctx context.Context, p MailPolicy, what string) (Handle, mailLogin, error) {
	if err := h.covers(); err != nil {
		return Handle{}, mailLogin{}, err
	}
	if _, err := p.host(); err != nil {
		return Handle{}, mailLogin{}, err
	}
	c, version, err := h.h.safe.use(ctx, h.h.g, "secrets.use", h.h.ref)
	if err != nil {
		return Handle{}, mailLogin{}, err
	}
	s := c.open().scheme
	if err := s.reaches(p.Address); err != nil {
		return Handle{}, mailLogin{}, err
	}
	if k := s.Kind; k != Basic && k != Bearer && k != OAuthCode && k != ClientCredentials && k != JWTBearer || s.Username == "" {
		return Handle{}, mailLogin{}, fmt.Errorf("secrets: %s %s: want a scheme with a username, of kind basic, bearer or one that gets tokens", what, h.h.ref)
	}
	pinned := h.pinned(version)
	if err := pinned.begin(ctx, what); err != nil {
		return Handle{}, mailLogin{}, err
	}
	secret := string(c.open().secret)
	if s.Kind.tokened() {
		header, err := (&tokenSource{h.h.safe, h.h.ref, version, c, p.Roots}).header(ctx, "")
		if err != nil {
			return Handle{}, mailLogin{}, err
		}
		secret = strings.TrimPrefix(header, "Bearer ")
	}
	l := mailLogin{user: s.Username, token: s.Kind != Basic, secret: func() string { return secret }}
	l.shown = func() []string {
		e := base64.StdEncoding
		return []string{secret, l.plain(), e.EncodeToString([]byte(secret)), e.EncodeToString([]byte(l.plain())), e.EncodeToString([]byte(l.xoauth2()))}
	}
	return pinned, l, nil
}

// plain is the PLAIN mechanism's message (RFC 4616).
func (l mailLogin) plain() string { return "\x00" + l.user + "\x00" + l.secret() }

// xoauth2 is Google's and Microsoft's message ("XOAUTH2 Mechanism", "Authenticate
// an IMAP, POP or SMTP connection using OAuth").
func (l mailLogin) xoauth2() string {
	return "user=" + l.user + "\x01auth=Bearer " + l.secret() + "\x01\x01"
}

// oauthBearer is OAUTHBEARER's message (RFC 7628 section 3.1).
func (l mailLogin) oauthBearer(address string) string {
	host, port, _ := net.SplitHostPort(address)
	escape := strings.NewReplacer("=", "=3D", ",", "=2C") // RFC 5801 section 4
	return "n,a=" + escape.Replace(l.user) + ",\x01host=" + host + "\x01port=" + port + "\x01auth=Bearer " + l.secret() + "\x01\x01"
}

// message is the first message of a mechanism.
func (l mailLogin) message(mechanism, address string) string {
	switch mechanism {
	case "PLAIN":
		return l.plain()
	case "XOAUTH2":
		return l.xoauth2()
	}
	return l.oauthBearer(address)
}

// giveUp is what a client says to a mechanism's error message, in base64, so that
// the server says no (RFC 7628 section 3.2.3; XOAUTH2 wants an empty line).
func giveUp(mechanism string) string {
	if mechanism == "OAUTHBEARER" {
		return "AQ=="
	}
	return ""
}

// mechanism picks one that the server offers and the secret can do: a token
// never goes by a password's mechanism, nor the other way round.
func (l mailLogin) mechanism(offered func(string) bool, passwords ...string) string {
	wanted := append([]string{"PLAIN"}, passwords...)
	if l.token {
		wanted = []string{"OAUTHBEARER", "XOAUTH2"}
	}
	for _, m := range wanted {
		if offered(m) {
			return m
		}
	}
	return ""
}

// dialMail connects to the address of the policy and no other.
func dialMail(ctx context.Context, p MailPolicy) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, fmt.Errorf("secrets: mail: not reached: %w", err)
	}
	if !p.StartTLS {
		if c, err = startTLS(ctx, p, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// startTLS takes a connection into TLS, or closes it.
func startTLS(ctx context.Context, p MailPolicy, c net.Conn) (net.Conn, error) {
	host, err := p.host()
	if err == nil {
		t := tls.Client(c, p.tls(host))
		if err = t.HandshakeContext(ctx); err == nil {
			return t, nil
		}
	}
	_ = c.Close()
	return nil, fmt.Errorf("secrets: mail: TLS: %w", err)
}
