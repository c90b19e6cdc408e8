package secrets

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// credential is a secret in use. It is inside a closure: printers and comparers
// that follow unexported fields by reflection find a function and stop.
type credential struct{ open func() *material }

func newCredential(m material) *credential { return &credential{func() *material { return &m }} }

// material is what a value of a scheme comes to.
type material struct {
	scheme Scheme
	secret []byte        // password, token, key, or the client's secret
	key    crypto.Signer // of the kinds that have a key pair
	cert   []byte        // DER, of that key
	header string        // Basic, Bearer and APIKey: the finished field value
}

// Format prints no content.
func (credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, "credential") }

// LogValue logs no content.
func (credential) LogValue() slog.Value { return slog.StringValue("credential") }

// MarshalText returns ErrSecret.
func (credential) MarshalText() ([]byte, error) { return nil, ErrSecret }

// prepare checks that a value fits its scheme and makes it usable. Its errors
// never show the value.
func prepare(s Scheme, value []byte) (c *credential, err error) {
	erase(func() { c, err = take(s, value) })
	return c, err
}

// take is prepare, in memory that is overwritten afterwards.
func take(s Scheme, value []byte) (*credential, error) {
	m := material{scheme: s}
	var err error
	switch s.Kind {
	case Basic:
		if m.secret, err = password(value); err == nil {
			m.header = "Basic " + base64.StdEncoding.EncodeToString(append([]byte(s.Username+":"), value...))
		}
	case NTLM:
		m.secret, err = password(value)
	case Bearer:
		if m.secret, err = visible(value, "token"); err == nil {
			m.header = "Bearer " + string(value)
		}
	case APIKey:
		if m.secret, err = visible(value, "key"); err == nil {
			m.header = s.Prefix + string(value)
		}
	case SignedRequest, HMACKey:
		m.secret, err = hmacKey(value)
	case JWTKey, SigningKey:
		if s.Algorithm.symmetric() {
			m.secret, err = hmacKey(value)
		} else {
			err = m.keyFrom(pemBlocks(value))
		}
	case OAuthCode, ClientCredentials:
		err = m.clientFrom(value)
	case JWTBearer:
		if value, err = googleKey(s, value); err == nil {
			err = m.keyFrom(pemBlocks(value))
		}
	case SAMLBearer:
		m.scheme.Algorithm = RS256
		blocks := pemBlocks(value)
		if err = m.keyFrom(blocks); err == nil && m.cert == nil {
			err = errors.New("certificate: a PEM block is wanted")
		}
		m.secret = blocks["CLIENT SECRET"]
	default:
		err = fmt.Errorf("kind %q is not known", s.Kind)
	}
	if err != nil {
		return nil, err
	}
	return newCredential(m), nil
}

func password(value []byte) ([]byte, error) {
	if len(value) == 0 || bytes.ContainsAny(value, "\r\n\x00") {
		return nil, errors.New("value: a password without line ends is wanted")
	}
	return slices.Clone(value), nil
}

func visible(value []byte, what string) ([]byte, error) {
	if len(value) == 0 || bytes.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, fmt.Errorf("value: a %s of visible ASCII is wanted", what)
	}
	return slices.Clone(value), nil
}

func hmacKey(value []byte) ([]byte, error) {
	if len(value) < 16 {
		return nil, errors.New("value: a key of at least 16 bytes is wanted")
	}
	return slices.Clone(value), nil
}

// keyFrom takes key and certificate.
func (m *material) keyFrom(blocks map[string][]byte) error {
	der, ok := blocks["PRIVATE KEY"]
	if !ok {
		return errors.New("value: a PEM block PRIVATE KEY is wanted")
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return errors.New("value: PRIVATE KEY is not PKCS #8")
	}
	if m.key, ok = k.(crypto.Signer); !ok {
		return errors.New("value: PRIVATE KEY does not sign")
	}
	if err := m.scheme.Algorithm.fits(m.key); err != nil {
		return err
	}
	if m.scheme.Certificate == "" {
		return nil
	}
	b, _ := pem.Decode([]byte(m.scheme.Certificate))
	if b == nil {
		return errors.New("certificate: a PEM block is wanted")
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return errors.New("certificate: not X.509")
	}
	if pub, ok := m.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return errors.New("certificate: does not belong to the private key")
	}
	m.cert = b.Bytes
	return nil
}

// clientFrom takes what a client proves itself with.
func (m *material) clientFrom(value []byte) error {
	blocks := pemBlocks(value)
	if m.scheme.ClientAuth == ClientJWT {
		return m.keyFrom(blocks)
	}
	if blocks["PRIVATE KEY"] != nil {
		return errors.New("client_auth: private_key_jwt is wanted with a PRIVATE KEY")
	}
	secret := blocks["CLIENT SECRET"]
	if secret == nil {
		secret = value
	}
	if bytes.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("value: a client secret without line ends is wanted")
	}
	if len(secret) == 0 && (m.scheme.ClientAuth != "" || m.scheme.Kind == ClientCredentials) {
		return errors.New("value: a client secret is wanted")
	}
	m.secret = slices.Clone(secret)
	return nil
}

// googleKey takes the key out of a service account's key file, which names the
// account: it must be the scheme's.
func googleKey(s Scheme, value []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) {
		return value, nil
	}
	var file struct {
		Key   string `json:"private_key"`
		Email string `json:"client_email"`
		URL   string `json:"token_uri"`
	}
	if json.Unmarshal(value, &file) != nil || file.Key == "" {
		return nil, errors.New("value: a key file with private_key is wanted")
	}
	if file.Email != s.Issuer {
		return nil, errors.New("issuer: the client_email of the key file is wanted")
	}
	if file.URL != "" && file.URL != s.TokenURL {
		return nil, errors.New("token_url: the token_uri of the key file is wanted")
	}
	return []byte(file.Key), nil
}

// pemBlocks splits a PEM value by block type.
func pemBlocks(value []byte) map[string][]byte {
	out := map[string][]byte{}
	for rest := value; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		out[b.Type] = b.Bytes
	}
}

// withhold says how an exchange failed and nothing of what the other side wrote:
// the libraries quote what they did not expect, and a server may send back what
// it got, in whatever spelling. What is passed on are errors of kinds whose text
// is made here.
func withhold(err error, secrets ...string) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, ErrOrigin, ErrTooLarge, os.ErrDeadlineExceeded, net.ErrClosed,
		io.ErrUnexpectedEOF, io.EOF, http.ErrSchemeMismatch, errNoStartTLS, errBodyAgain, errPasswordSent} {
		if errors.Is(err, known) {
			return known
		}
	}
	var (
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
		operation   *net.OpError
		name        *net.DNSError
		refused     *imapNo
		ours        said
		temporary   net.Error
	)
	var safe error
	switch {
	case errors.As(err, &refused):
		safe = refused
	case errors.As(err, &ours):
		safe = ours
	case errors.As(err, &certificate):
		safe = certificate
	case errors.As(err, &alert):
		safe = alert
	case errors.As(err, &name):
		safe = name
	case errors.As(err, &operation):
		safe = operation
	case errors.As(err, &temporary) && temporary.Timeout():
		return os.ErrDeadlineExceeded
	default:
		return errAnswer
	}
	switch {
	case shows(safe.Error(), secrets...):
		return errAnswer
	case errors.Is(err, ErrReauth):
		return fmt.Errorf("%w: %w", safe, ErrReauth)
	}
	return safe
}

// said is an error of our own words about the other side.
type said string

func (s said) Error() string { return string(s) }

var (
	errAnswer       = errors.New("secrets: exchange failed: the other side does not keep to the protocol, and what it sent is withheld")
	errBodyAgain    = errors.New("secrets: request body cannot be sent again, as NTLM has to: set GetBody")
	errPasswordSent = errors.New("secrets: the password was about to be sent")
)

// shows reports whether a text has one of the secrets, as it is or quoted.
func shows(text string, secrets ...string) bool {
	for _, s := range secrets {
		if len(s) < 4 {
			continue // says nothing, and is in too many words
		}
		if q := strconv.Quote(s); strings.Contains(text, s) || strings.Contains(text, q[1:len(q)-1]) || strings.Contains(text, url.QueryEscape(s)) {
			return true
		}
	}
	return false
}

// shapes are the forms in which a server could send an Authorization header back.
func shapes(header string) []string {
	scheme, param, ok := strings.Cut(header, " ")
	if !ok {
		param = header
	}
	out := []string{param}
	if scheme == "Basic" {
		if b, err := base64.StdEncoding.DecodeString(param); err == nil {
			_, password, _ := strings.Cut(string(b), ":")
			out = append(out, password)
		}
	}
	return out
}
