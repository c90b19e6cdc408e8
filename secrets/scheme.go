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
	// APIKey sends a key in a header or a query parameter. The value is the key.
	APIKey Kind = "api-key"
	// SignedRequest signs each request by a Recipe. The value is the key of the
	// signature, at least 16 bytes.
	SignedRequest Kind = "signed-request"
	// NTLM answers the challenges of an old Exchange server (MS-NLMP, version 2
	// of the protocol only). The value is the password. It needs Host and Legacy.
	NTLM Kind = "ntlm"

	// OAuthCode acts for a person who consented (RFC 6749 section 4.1 with RFC
	// 7636). The value is what the client proves itself with, see ClientAuth, and
	// empty for a public client. Tokens come by ExchangeCode and stay inside.
	OAuthCode Kind = "oauth-code"
	// ClientCredentials acts for the application itself (RFC 6749 section 4.4).
	// The value is as with OAuthCode.
	ClientCredentials Kind = "client-credentials"
	// JWTBearer signs a JWT for a subject and exchanges it for an access token
	// (RFC 7523 section 2.1): a service account with domain-wide delegation. The
	// value is a PEM block PRIVATE KEY, or Google's key file as it came.
	JWTBearer Kind = "jwt-bearer"
	// SAMLBearer signs a SAML 2.0 assertion, exchanges it for an access token
	// (RFC 7522) and sends that. The value is PEM: a PRIVATE KEY block (RSA,
	// PKCS #8) and, where the token endpoint authenticates its clients, a
	// CLIENT SECRET block.
	SAMLBearer Kind = "saml-bearer"

	// SigningKey signs what the caller brings, see Handle.Sign. The value is a PEM
	// block PRIVATE KEY (PKCS #8) that fits the Algorithm.
	SigningKey Kind = "signing-key"
	// JWTKey signs claims that the caller brings, see Handle.MintJWT. The value is
	// as with SigningKey, or for HS256 and HS512 the key itself.
	JWTKey Kind = "jwt-key"
	// HMACKey authenticates what the caller brings, see Handle.HMAC. The value is
	// the key, at least 16 bytes.
	HMACKey Kind = "hmac-key"
)

// ClientAuth is how a client proves itself at a token endpoint (RFC 6749
// section 2.3, RFC 7523 section 2.2).
type ClientAuth string

// Ways for a client to prove itself. The zero value is ClientBasic where the
// value has a CLIENT SECRET and nothing where it is empty.
const (
	ClientBasic ClientAuth = "client_secret_basic" // value: a PEM block CLIENT SECRET, or the secret itself
	ClientPost  ClientAuth = "client_secret_post"  // the same
	ClientJWT   ClientAuth = "private_key_jwt"     // value: a PEM block PRIVATE KEY; with a Certificate, its x5t#S256
)

// Legacy is who took responsibility for an old way to sign in, and when.
type Legacy struct {
	By     string    `json:"by,omitempty"` // a principal, as in user:idp/ada
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Scheme is how a secret is used, as data. Nothing in it is secret.
type Scheme struct {
	Kind Kind `json:"kind"`
	// Username of Basic and NTLM (DOMAIN\user or user@domain), and of mail
	// connections with a token: at most 255 bytes, without a colon.
	Username string `json:"username,omitempty"`
	// Host or host:port that alone may get the credential. Empty: whichever the
	// client's policy names. NTLM needs it.
	Host   string `json:"host,omitempty"`
	Legacy Legacy `json:"legacy,omitzero"` // NTLM needs it

	// Kinds that get tokens.
	TokenURL   string     `json:"token_url,omitempty"` // the token endpoint; also the SAML assertion's recipient
	ClientID   string     `json:"client_id,omitempty"` // the OAuth client
	ClientAuth ClientAuth `json:"client_auth,omitempty"`
	Scope      string     `json:"scope,omitempty"`
	// Issuer: who signs, as the other system knows it; with OAuthCode what the
	// provider calls itself in its answers (RFC 9207), empty if it does not.
	Issuer   string `json:"issuer,omitempty"`
	Subject  string `json:"subject,omitempty"`  // the user to act as; JWTBearer: empty is the account itself
	Audience string `json:"audience,omitempty"` // entity id of the other system; of a JWT, empty: TokenURL
	// NameFormat of SAMLBearer's NameID; empty: unspecified.
	NameFormat  string        `json:"name_format,omitempty"`
	Certificate string        `json:"certificate,omitempty"` // PEM, the public part of the key
	Lifetime    time.Duration `json:"lifetime,omitempty"`    // of what is signed, at most an hour; zero: 5 minutes

	// OAuthCode only.
	AuthURL     string `json:"auth_url,omitempty"`     // the authorization endpoint, with the vendor's own parameters as its query
	RedirectURL string `json:"redirect_url,omitempty"` // where the provider sends the person back
	// RevokeURL is where tokens are given back (RFC 7009); kinds that get tokens.
	RevokeURL string `json:"revoke_url,omitempty"`

	// Kinds with a key of their own. The algorithm is the scheme's, never the caller's.
	Algorithm Algorithm `json:"algorithm,omitempty"`
	KeyID     string    `json:"key_id,omitempty"` // kid of a JWT; {key-id} of a Recipe

	// APIKey only: exactly one of the two.
	Header string `json:"header,omitempty"` // name of the header
	Query  string `json:"query,omitempty"`  // name of the query parameter
	Prefix string `json:"prefix,omitempty"` // before the key in the header, as in "Token "

	Recipe Recipe `json:"recipe,omitzero"` // SignedRequest only
}

// tokened reports whether the kind gets access tokens from somewhere.
func (k Kind) tokened() bool {
	return k == OAuthCode || k == ClientCredentials || k == JWTBearer || k == SAMLBearer
}

func badScheme(field, want string) error {
	return fmt.Errorf("secrets: scheme: %s: want %s", field, want)
}

func (s Scheme) valid() error {
	for _, f := range [][2]string{{"username", s.Username}, {"host", s.Host}, {"legacy", s.Legacy.By}, {"legacy", s.Legacy.Reason},
		{"token_url", s.TokenURL}, {"client_id", s.ClientID}, {"scope", s.Scope}, {"issuer", s.Issuer}, {"subject", s.Subject},
		{"audience", s.Audience}, {"name_format", s.NameFormat}, {"auth_url", s.AuthURL}, {"redirect_url", s.RedirectURL},
		{"revoke_url", s.RevokeURL}, {"key_id", s.KeyID}, {"prefix", s.Prefix}} {
		if len(f[1]) > 4<<10 || !inXML(f[1]) {
			return badScheme(f[0], "at most 4 KiB without control characters")
		}
	}
	if len(s.Certificate) > 16<<10 {
		return badScheme("certificate", "at most 16 KiB")
	}
	if s.Lifetime < 0 || s.Lifetime > time.Hour {
		return badScheme("lifetime", "up to an hour")
	}
	if len(s.Username) > 255 || strings.Contains(s.Username, ":") {
		return badScheme("username", "at most 255 bytes without a colon")
	}
	if s.Host != "" && originOf(&url.URL{Scheme: "https", Host: s.Host}) == "" {
		return badScheme("host", "an ASCII host name or host:port")
	}
	if s.RevokeURL != "" && !(s.Kind.tokened() && endpoint(s.RevokeURL)) {
		return badScheme("revoke_url", "https://host/path, with a kind that gets tokens")
	}
	return s.fits()
}

// fits checks what one kind needs.
func (s Scheme) fits() error {
	needs := func(fields ...string) error {
		have := map[string]string{"username": s.Username, "client_id": s.ClientID, "issuer": s.Issuer, "subject": s.Subject,
			"audience": s.Audience, "certificate": s.Certificate, "host": s.Host}
		for _, f := range fields {
			if have[f] == "" {
				return badScheme(f, "a value")
			}
		}
		return nil
	}
	if s.Kind.tokened() && !endpoint(s.TokenURL) {
		return badScheme("token_url", "https://host/path")
	}
	switch s.ClientAuth {
	case "", ClientBasic, ClientPost:
	case ClientJWT:
		if s.Kind != OAuthCode && s.Kind != ClientCredentials {
			return badScheme("client_auth", "private_key_jwt with oauth-code or client-credentials only")
		}
		if s.Algorithm.hash() == 0 || s.Algorithm.symmetric() {
			return badScheme("algorithm", "RS256, PS256, ES256 or EdDSA")
		}
	default:
		return badScheme("client_auth", "client_secret_basic, client_secret_post or private_key_jwt")
	}
	switch s.Kind {
	case Basic:
		return needs("username")
	case Bearer:
	case NTLM:
		if err := needs("username", "host"); err != nil {
			return err
		}
		if s.Legacy.By == "" || s.Legacy.At.IsZero() {
			return badScheme("legacy", "who acknowledged that passwords go to an old server, and when")
		}
		if cloud(s.Host) {
			return badScheme("host", "a server of your own: this service takes no passwords")
		}
	case APIKey:
		if (s.Header == "") == (s.Query == "") {
			return badScheme("header", "a header or a query parameter, and not both")
		}
		if s.Header != "" && !fieldName(s.Header) {
			return badScheme("header", "the name of a header that is not the connection's")
		}
		if s.Query != "" && url.QueryEscape(s.Query) != s.Query {
			return badScheme("query", "letters, digits, - . _ and ~")
		}
	case SignedRequest:
		if !s.Algorithm.symmetric() {
			return badScheme("algorithm", "HS256 or HS512")
		}
		return s.Recipe.valid()
	case OAuthCode:
		if !endpoint(s.AuthURL) {
			return badScheme("auth_url", "https://host/path")
		}
		if u, err := url.Parse(s.RedirectURL); err != nil || u.Host == "" || u.Fragment != "" || u.User != nil {
			return badScheme("redirect_url", "scheme://host/path")
		}
		return needs("client_id")
	case ClientCredentials:
		return needs("client_id")
	case JWTBearer:
		if s.Algorithm.hash() == 0 || s.Algorithm.symmetric() {
			return badScheme("algorithm", "RS256, PS256, ES256 or EdDSA")
		}
		return needs("issuer")
	case SAMLBearer:
		return needs("client_id", "issuer", "subject", "audience", "certificate")
	case SigningKey:
		if s.Algorithm.hash() == 0 || s.Algorithm.symmetric() {
			return badScheme("algorithm", "RS256, PS256, ES256 or EdDSA")
		}
	case JWTKey:
		if s.Algorithm.hash() == 0 {
			return badScheme("algorithm", "RS256, PS256, ES256, EdDSA, HS256 or HS512")
		}
	case HMACKey:
		if !s.Algorithm.symmetric() {
			return badScheme("algorithm", "HS256 or HS512")
		}
	default:
		return badScheme("kind", "one of the Kinds, such as basic, bearer or oauth-code")
	}
	return nil
}

// endpoint reports whether an address is one to which a credential may go.
func endpoint(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && u.Fragment == "" && originOf(u) != "" &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

// inXML reports whether a text comes out of an XML document as it went in.
func inXML(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff
	})
}

// fieldName reports whether a name is a token (RFC 9110 section 5.6.2) and not
// one of the headers by which a connection is run.
func fieldName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	switch strings.ToLower(name) {
	case "", "host", "connection", "content-length", "transfer-encoding", "trailer", "te", "upgrade", "keep-alive", "proxy-authorization", "cookie":
		return false
	}
	return len(name) <= 128
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
