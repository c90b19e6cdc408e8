package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// clockSkew is how far another system's clock may be behind ours.
const clockSkew = 30 * time.Second

const maxClaims = 64 << 10 // bytes

// jwt signs claims (RFC 7515 section 3.1, RFC 7519). Header fields beside alg,
// typ and kid come in extra.
func (m *material) jwt(claims map[string]any, extra map[string]any) (string, error) {
	head := map[string]any{"alg": m.scheme.Algorithm, "typ": "JWT"}
	if m.scheme.KeyID != "" {
		head["kid"] = m.scheme.KeyID
	}
	for k, v := range extra {
		head[k] = v
	}
	h, err := json.Marshal(head)
	if err != nil {
		return "", errors.New("header is no JSON")
	}
	c, err := json.Marshal(claims)
	if err != nil || len(c) > maxClaims {
		return "", fmt.Errorf("claims: want JSON of at most %d bytes", maxClaims)
	}
	b64 := base64.RawURLEncoding
	text := b64.AppendEncode(b64.AppendEncode(nil, h), nil)
	text = b64.AppendEncode(append(text, '.'), c)
	var sig []byte
	if m.scheme.Algorithm.symmetric() {
		sig = m.scheme.Algorithm.mac(m.secret, text)
	} else if sig, err = m.scheme.Algorithm.signJWT(m.key, text); err != nil {
		return "", errors.New("not signed")
	}
	return string(b64.AppendEncode(append(text, '.'), sig)), nil
}

func (s Scheme) lifetime() time.Duration {
	if s.Lifetime == 0 {
		return 5 * time.Minute
	}
	return s.Lifetime
}

// times sets when a JWT was made and ends, a little in the past for a clock that
// is behind, and an id of its own.
func (s Scheme) times(claims map[string]any, now time.Time) {
	from := now.Add(-clockSkew)
	claims["iat"], claims["exp"], claims["jti"] = from.Unix(), from.Add(s.lifetime()).Unix(), rand.Text()
}

// audience is whom a JWT is for.
func (s Scheme) audience() string {
	if s.Audience != "" {
		return s.Audience
	}
	return s.TokenURL
}

// clientAssertion proves the client by its key (RFC 7523 section 3). With a
// certificate the header has its hash, as Microsoft asks for ("Microsoft
// identity platform application authentication certificate credentials").
func (m *material) clientAssertion(now time.Time) (string, error) {
	claims := map[string]any{"iss": m.scheme.ClientID, "sub": m.scheme.ClientID, "aud": m.scheme.audience()}
	m.scheme.times(claims, now)
	claims["nbf"] = claims["iat"]
	var extra map[string]any
	if m.cert != nil {
		sum := sha256.Sum256(m.cert)
		extra = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	return m.jwt(claims, extra)
}

// serviceAssertion asks for a token in the name of the subject (RFC 7523 section
// 3; Google, "Using OAuth 2.0 for Server to Server Applications", has the scope
// among the claims).
func (m *material) serviceAssertion(now time.Time) (string, error) {
	claims := map[string]any{"iss": m.scheme.Issuer, "sub": m.scheme.Issuer, "aud": m.scheme.audience()}
	if m.scheme.Subject != "" {
		claims["sub"] = m.scheme.Subject
	}
	if m.scheme.Scope != "" {
		claims["scope"] = m.scheme.Scope
	}
	m.scheme.times(claims, now)
	return m.jwt(claims, nil)
}
