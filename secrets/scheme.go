package secrets

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is how a secret is used.
type Kind string

// Kinds.
const (
	// Basic sends user name and password (RFC 7617). The value is the password.
	Basic Kind = "basic"
	// Bearer sends a token (RFC 6750). The value is the token.
	Bearer Kind = "bearer"
	// SAMLBearer signs a SAML 2.0 assertion, exchanges it for an access token
	// (RFC 7522) and sends that. The value is PEM: a PRIVATE KEY block (RSA,
	// PKCS #8) and, where the token endpoint authenticates its clients, a
	// CLIENT SECRET block.
	SAMLBearer Kind = "saml-bearer"
)

// Scheme is how a secret is used, as data. Nothing in it is secret.
type Scheme struct {
	Kind     Kind   `json:"kind"`
	Username string `json:"username,omitempty"` // Basic: at most 255 bytes, without a colon

	// SAMLBearer only.
	TokenURL    string        `json:"token_url,omitempty"`   // the token endpoint; also the assertion's recipient
	ClientID    string        `json:"client_id,omitempty"`   // the OAuth client
	Issuer      string        `json:"issuer,omitempty"`      // who signs, as the other system knows it
	Subject     string        `json:"subject,omitempty"`     // NameID: the user to act as
	NameFormat  string        `json:"name_format,omitempty"` // of the NameID; empty: unspecified
	Audience    string        `json:"audience,omitempty"`    // entity id of the other system
	Scope       string        `json:"scope,omitempty"`
	Certificate string        `json:"certificate,omitempty"` // PEM, the public part of the key
	Lifetime    time.Duration `json:"lifetime,omitempty"`    // of the assertion; zero: 5 minutes
}

func (s Scheme) valid() error {
	bad := func(field, want string) error { return fmt.Errorf("secrets: scheme: %s: want %s", field, want) }
	switch s.Kind {
	case Basic:
		if s.Username == "" || len(s.Username) > 255 || strings.ContainsAny(s.Username, ":\r\n\x00") {
			return bad("username", "1 to 255 bytes without colon or line end")
		}
	case Bearer:
	case SAMLBearer:
		u, err := url.Parse(s.TokenURL)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || originOf(u) == "" || !(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
			return bad("token_url", "https://host/path")
		}
		for _, f := range [][2]string{{"client_id", s.ClientID}, {"issuer", s.Issuer}, {"subject", s.Subject}, {"audience", s.Audience}, {"certificate", s.Certificate}} {
			if f[1] == "" || len(f[1]) > 16<<10 {
				return bad(f[0], "a value")
			}
		}
		for _, f := range [][2]string{{"token_url", s.TokenURL}, {"client_id", s.ClientID}, {"issuer", s.Issuer}, {"subject", s.Subject}, {"name_format", s.NameFormat}, {"audience", s.Audience}} {
			if !inXML(f[1]) {
				return bad(f[0], "no control characters")
			}
		}
		if s.Lifetime < 0 || s.Lifetime > time.Hour {
			return bad("lifetime", "up to an hour")
		}
	default:
		return bad("kind", "basic, bearer or saml-bearer")
	}
	return nil
}

// inXML reports whether a text comes out of an XML document as it went in.
func inXML(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff
	})
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
