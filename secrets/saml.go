package secrets

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/lockkeeper/lockkeeper/authz"
)

// minter makes SAML 2.0 bearer assertions.
type minter struct {
	scheme       Scheme
	key          *rsa.PrivateKey
	cert         []byte // DER
	clientSecret string
}

func newMinter(s Scheme, value []byte) (*minter, error) {
	blocks := pemBlocks(value)
	der, ok := blocks["PRIVATE KEY"]
	if !ok {
		return nil, errors.New("value: a PEM block PRIVATE KEY is wanted")
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("value: PRIVATE KEY is not PKCS #8")
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, errors.New("value: PRIVATE KEY is not RSA of at least 2048 bits")
	}
	b, _ := pem.Decode([]byte(s.Certificate))
	if b == nil {
		return nil, errors.New("certificate: a PEM block is wanted")
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return nil, errors.New("certificate: not X.509")
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(&key.PublicKey) {
		return nil, errors.New("certificate: does not belong to the private key")
	}
	return &minter{s, key, b.Bytes, string(blocks["CLIENT SECRET"])}, nil
}

// assertion signs an assertion for now (SAML 2.0 core section 2, RFC 7522
// section 3): exclusive canonical XML, RSA with SHA-256, the signature right
// behind the issuer as the schema demands.
func (m *minter) assertion(now time.Time) (string, error) {
	const ns = "urn:oasis:names:tc:SAML:2.0:assertion"
	life := m.scheme.Lifetime
	if life == 0 {
		life = 5 * time.Minute
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	format := m.scheme.NameFormat
	if format == "" {
		format = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	}
	el := etree.NewElement("saml2:Assertion")
	el.CreateAttr("xmlns:saml2", ns)
	el.CreateAttr("ID", "_"+hex.EncodeToString(id[:]))
	el.CreateAttr("IssueInstant", at(now))
	el.CreateAttr("Version", "2.0")
	el.CreateElement("saml2:Issuer").SetText(m.scheme.Issuer)
	subject := el.CreateElement("saml2:Subject")
	name := subject.CreateElement("saml2:NameID")
	name.CreateAttr("Format", format)
	name.SetText(m.scheme.Subject)
	conf := subject.CreateElement("saml2:SubjectConfirmation")
	conf.CreateAttr("Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	data := conf.CreateElement("saml2:SubjectConfirmationData")
	data.CreateAttr("NotOnOrAfter", at(now.Add(life)))
	data.CreateAttr("Recipient", m.scheme.TokenURL)
	cond := el.CreateElement("saml2:Conditions")
	cond.CreateAttr("NotBefore", at(now.Add(-time.Minute)))
	cond.CreateAttr("NotOnOrAfter", at(now.Add(life)))
	cond.CreateElement("saml2:AudienceRestriction").CreateElement("saml2:Audience").SetText(m.scheme.Audience)
	authn := el.CreateElement("saml2:AuthnStatement")
	authn.CreateAttr("AuthnInstant", at(now))
	authn.CreateElement("saml2:AuthnContext").CreateElement("saml2:AuthnContextClassRef").SetText("urn:oasis:names:tc:SAML:2.0:ac:classes:X509")
	attr := el.CreateElement("saml2:AttributeStatement").CreateElement("saml2:Attribute")
	attr.CreateAttr("Name", "client_id")
	attr.CreateElement("saml2:AttributeValue").SetText(m.scheme.ClientID)

	ctx := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{m.cert}, PrivateKey: m.key}))
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return "", errors.New("secrets: assertion: signature method")
	}
	signed, err := ctx.SignEnveloped(el)
	if err != nil {
		return "", errors.New("secrets: assertion: not signed")
	}
	sig := signed.Child[len(signed.Child)-1]
	signed.RemoveChildAt(len(signed.Child) - 1)
	signed.InsertChildAt(1, sig)
	doc := etree.NewDocument()
	doc.SetRoot(signed)
	b, err := doc.WriteToBytes()
	if err != nil {
		return "", errors.New("secrets: assertion: not written")
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// token is an access token, with when to replace it. The zero token is none.
type token struct {
	header func() string // a closure: reflection does not look inside
	until  time.Time     // when to get the next: at 80 % of its life
}

// tokens keeps access tokens by secret and version, one exchange at a time for
// each.
type tokens struct {
	mu sync.Mutex
	m  map[tokenKey]*tokenSlot
}

type tokenKey struct {
	ref     Ref
	version uint64
}

type tokenSlot struct {
	turn chan struct{} // holds one token: whose turn it is to exchange
	mu   sync.Mutex
	tok  token
}

const maxTokens = 10_000

func (t *tokens) slot(k tokenKey) *tokenSlot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[k]
	if s == nil {
		if t.m == nil {
			t.m = map[tokenKey]*tokenSlot{}
		}
		for len(t.m) >= maxTokens {
			for other := range t.m {
				delete(t.m, other)
				break
			}
		}
		s = &tokenSlot{turn: make(chan struct{}, 1)}
		t.m[k] = s
	}
	return s
}

func (t *tokens) drop(r Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.m {
		if k.ref == r {
			delete(t.m, k)
		}
	}
}

func (t *tokens) dropTenant(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.m {
		if k.ref.tenant() == tenant {
			delete(t.m, k)
		}
	}
}

func (t *tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m = nil
}

// tokenSource gets access tokens for one secret.
type tokenSource struct {
	safe    *Safe
	ref     Ref
	version uint64
	cred    *credential
	roots   *x509.CertPool
}

// header returns an Authorization header, exchanging only when there is none
// that is good and different from the stale one.
func (t *tokenSource) header(ctx context.Context, stale string) (string, error) {
	s := t.safe.tokens.slot(tokenKey{t.ref, t.version})
	good := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tok.header != nil && s.tok.header() != stale && t.safe.now().Before(s.tok.until) {
			return s.tok.header()
		}
		return ""
	}
	if h := good(); h != "" {
		return h, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if h := good(); h != "" {
		return h, nil
	}
	tok, err := t.exchange(ctx)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tok = tok
	return tok.header(), nil
}

// exchange sends an assertion to the token endpoint (RFC 7522 section 2.1).
func (t *tokenSource) exchange(ctx context.Context) (token, error) {
	m := t.cred.open().mint
	fail := func(what string, err error) (token, error) {
		if err == nil {
			return token{}, fmt.Errorf("secrets: token for %s: %s", t.ref, what)
		}
		return token{}, fmt.Errorf("secrets: token for %s: %s: %w", t.ref, what, err)
	}
	now := t.safe.now()
	a, err := m.assertion(now)
	if err != nil {
		return token{}, err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:saml2-bearer"}, "assertion": {a}, "client_id": {m.scheme.ClientID}}
	if m.scheme.Scope != "" {
		form.Set("scope", m.scheme.Scope)
	}
	ctx, cancel := context.WithTimeout(plainContext{ctx}, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.scheme.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return fail("token_url", nil)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if m.clientSecret != "" {
		req.SetBasicAuth(url.QueryEscape(m.scheme.ClientID), url.QueryEscape(m.clientSecret))
	}
	resp, err := t.safe.wires.get(originOf(req.URL), t.roots)(req)
	if err != nil {
		shown := append(shapes(req.Header.Get("Authorization")), a, m.clientSecret, url.QueryEscape(m.clientSecret))
		return fail("endpoint not reached", withhold(err, shown...))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(newLimited(resp.Body, 1<<20))
	if err != nil {
		return fail("answer", err)
	}
	switch {
	case resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fail(fmt.Sprintf("HTTP %d", resp.StatusCode), ErrReauth)
	case resp.StatusCode != http.StatusOK:
		return fail(fmt.Sprintf("HTTP %d", resp.StatusCode), nil)
	}
	var v struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &v); err != nil || v.AccessToken == "" || !strings.EqualFold(v.TokenType, "bearer") ||
		strings.ContainsFunc(v.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fail("answer is no bearer token", nil)
	}
	life, err := v.ExpiresIn.Int64()
	if err != nil || life <= 0 || life > 24*3600 {
		life = 300
	}
	header := "Bearer " + v.AccessToken
	return token{func() string { return header }, now.Add(time.Duration(life) * time.Second * 8 / 10)}, nil
}

// Generate makes a signing key for a SAMLBearer scheme inside the safe, where it
// stays, and returns its self-signed certificate in PEM, good until the given
// time, for the other system to trust. Permission and versions are as with Put.
func (s *Safe) Generate(ctx context.Context, g authz.Grant, ref Ref, o PutOptions, until time.Time) (certificate string, err error) {
	if err := s.may(g, "secrets.write", ref); err != nil {
		return "", err // before the work of making a key
	}
	if o.Scheme.Kind != SAMLBearer {
		return "", fmt.Errorf("secrets: generate %s: kind %q has no signing key", ref, o.Scheme.Kind)
	}
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return "", fmt.Errorf("secrets: generate %s: %w", ref, err)
	}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: o.Scheme.Issuer}, NotBefore: s.now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return "", fmt.Errorf("secrets: generate %s: %w", ref, err)
	}
	p8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("secrets: generate %s: %w", ref, err)
	}
	defer clear(p8)
	o.Scheme.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err := s.Put(ctx, g, ref, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}), o); err != nil {
		return "", err
	}
	return o.Scheme.Certificate, nil
}
