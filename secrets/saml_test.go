package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// bank is a token endpoint and the API behind it, on one server.
type bank struct {
	*server
	mu     sync.Mutex
	forms  []url.Values
	users  []string // id and secret with which the client came, if any
	raw    []string // everything that arrived
	tokens int
	life   any                                          // expires_in
	answer func(w http.ResponseWriter) (handled bool)   // instead of a token
	api    func(w http.ResponseWriter, r *http.Request) // instead of 200
}

func newBank(t *testing.T) *bank {
	b := &bank{life: 1000}
	b.server = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.raw = append(b.raw, fmt.Sprint(r.URL, r.Header, string(body)))
		if r.URL.Path != "/token" {
			if b.api != nil {
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				b.api(w, r)
			}
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Error("no form was posted")
		}
		user, password, _ := r.BasicAuth()
		b.forms, b.users = append(b.forms, form), append(b.users, user+" "+password)
		if b.answer != nil && b.answer(w) {
			return
		}
		b.tokens++
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprint("access-", b.tokens), "token_type": "Bearer", "expires_in": b.life})
	})
	return b
}

// exchanged returns how often the endpoint was asked.
func (b *bank) exchanged() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.forms)
}

func (b *bank) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// api returns the Authorization of each request that was not for a token.
func (b *bank) tokensSeen() []string {
	var out []string
	for _, a := range b.seen() {
		if strings.HasPrefix(a, "Bearer ") {
			out = append(out, a)
		}
	}
	return out
}

func (b *bank) options(change func(*secrets.Scheme)) secrets.PutOptions {
	o := saml("")
	o.Scheme.TokenURL = b.URL + "/token?a=1&b=2"
	if change != nil {
		change(&o.Scheme)
	}
	return o
}

// generate makes a key in the safe and returns its certificate.
func (w *world) generate(t testing.TB, ref secrets.Ref, o secrets.PutOptions) *x509.Certificate {
	t.Helper()
	text, err := w.safe.Generate(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, o, w.clock.now().Add(365*24*time.Hour))
	require.NoError(t, err)
	p, rest := pem.Decode([]byte(text))
	require.NotNil(t, p)
	require.Empty(t, rest)
	cert, err := x509.ParseCertificate(p.Bytes)
	require.NoError(t, err)
	return cert
}

// assertion returns the XML of the nth assertion that the bank got.
func (b *bank) assertion(t *testing.T, n int) []byte {
	t.Helper()
	text := b.forms[n].Get("assertion")
	require.NotContains(t, text, "=")
	x, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	return x
}

// hostileNames are values that an XML writer and an XML signer could disagree on.
func hostileNames() []string {
	return []string{"ana@example.com", `a&b<c>"d'e`, "]]>", "&amp;", "\u00fc \U0001f512", " blanks ", "<!-- x -->", "<?x?>"}
}

func TestAssertion(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	for i, name := range hostileNames() {
		ref := newRef(t, "tenants/acme", fmt.Sprint("key", i))
		o := b.options(func(s *secrets.Scheme) {
			s.Subject, s.Issuer, s.Audience, s.ClientID = name, name+"-issuer", name+"-audience", name+"-client"
			if i == 0 {
				s.NameFormat, s.Lifetime = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", time.Minute
			}
		})
		cert := w.generate(t, ref, o)
		_, err := get(t, w.client(t, ref, b.policy()), b.URL+"/api")
		require.NoError(t, err)
		form := b.forms[i]
		require.Equal(t, "urn:ietf:params:oauth:grant-type:saml2-bearer", form.Get("grant_type"))
		require.Equal(t, name+"-client", form.Get("client_id"))
		require.Equal(t, "UIWC:CC_HOME", form.Get("scope"))
		require.Equal(t, " ", b.users[i], "no client secret, no client authentication")

		x := b.assertion(t, i)
		doc := etree.NewDocument()
		require.NoError(t, doc.ReadFromBytes(x))
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
		v.Clock = dsig.NewFakeClockAt(w.clock.now())
		el, err := v.Validate(doc.Root())
		require.NoError(t, err, name)
		text := func(path string) string {
			e := el.FindElement(path)
			require.NotNil(t, e, path)
			return e.Text()
		}
		attr := func(path, key string) string {
			e := el.FindElement(path)
			require.NotNil(t, e, path)
			return e.SelectAttrValue(key, "")
		}
		life, format := 5*time.Minute, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
		if i == 0 {
			life, format = time.Minute, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
		}
		const at = "2006-01-02T15:04:05.000Z"
		until := w.clock.now().Add(life).Format(at)
		require.Equal(t, "Assertion", el.Tag)
		require.Equal(t, "2.0", attr(".", "Version"))
		require.Equal(t, w.clock.now().Format(at), attr(".", "IssueInstant"))
		require.Equal(t, name+"-issuer", text("./Issuer"))
		require.Equal(t, name, text("./Subject/NameID"))
		require.Equal(t, format, attr("./Subject/NameID", "Format"))
		require.Equal(t, "urn:oasis:names:tc:SAML:2.0:cm:bearer", attr("./Subject/SubjectConfirmation", "Method"))
		require.Equal(t, o.Scheme.TokenURL, attr("./Subject/SubjectConfirmation/SubjectConfirmationData", "Recipient"))
		require.Equal(t, until, attr("./Subject/SubjectConfirmation/SubjectConfirmationData", "NotOnOrAfter"))
		require.Equal(t, until, attr("./Conditions", "NotOnOrAfter"))
		require.Equal(t, w.clock.now().Add(-time.Minute).Format(at), attr("./Conditions", "NotBefore"))
		require.Equal(t, name+"-audience", text("./Conditions/AudienceRestriction/Audience"))
		require.Equal(t, "client_id", attr("./AttributeStatement/Attribute", "Name"))
		require.Equal(t, name+"-client", text("./AttributeStatement/Attribute/AttributeValue"))
		var order []string
		for _, c := range doc.Root().ChildElements() {
			order = append(order, c.Tag)
		}
		require.Equal(t, []string{"Issuer", "Signature", "Subject", "Conditions", "AuthnStatement", "AttributeStatement"}, order, "as the schema demands")
		require.Contains(t, string(x), "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")

		// One altered character anywhere in the signed part and it verifies no more.
		for _, swap := range [][2]string{{name[:1], "~"}, {"NotOnOrAfter=\"2", "NotOnOrAfter=\"3"}, {"cm:bearer", "cm:holder"}} {
			bad := etree.NewDocument()
			if bad.ReadFromString(strings.Replace(string(x), swap[0], swap[1], 1)) != nil {
				continue
			}
			_, err := v.Validate(bad.Root())
			require.Error(t, err, "%v", swap)
		}
		t.Run("xmlsec1", func(t *testing.T) { xmlsec(t, x, cert) })
	}
}

// xmlsec verifies an assertion with the XML Security Library, which shares no
// code with what signed it.
func xmlsec(t *testing.T, assertion []byte, cert *x509.Certificate) {
	t.Helper()
	program, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("xmlsec1 is not installed: signatures are to be verified by it in CI")
		}
		t.Skip("xmlsec1 is not installed: signatures were verified by goxmldsig alone")
	}
	dir := t.TempDir()
	file, trusted := filepath.Join(dir, "a.xml"), filepath.Join(dir, "cert.pem")
	require.NoError(t, os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
	verify := func(x []byte) ([]byte, error) {
		require.NoError(t, os.WriteFile(file, x, 0o600))
		return exec.CommandContext(t.Context(), program, "--verify", "--enabled-key-data", "rsa", "--pubkey-cert-pem", trusted,
			"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", file).CombinedOutput()
	}
	out, err := verify(assertion)
	require.NoError(t, err, "%s\n%s", out, assertion)
	out, err = verify([]byte(strings.Replace(string(assertion), "client_id", "client_ie", 1)))
	require.Error(t, err, "%s", out)
}

func TestAssertionsAreUsedOnce(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	w.generate(t, ref, b.options(nil))
	b.set(func() { b.life = 1 })
	seen := map[string]bool{}
	c := w.client(t, ref, b.policy())
	for i := range 10 {
		_, err := get(t, c, b.URL)
		require.NoError(t, err)
		doc := etree.NewDocument()
		require.NoError(t, doc.ReadFromBytes(b.assertion(t, i)))
		id := doc.Root().SelectAttrValue("ID", "")
		require.Len(t, id, 33)
		require.False(t, seen[id])
		seen[id] = true
		w.clock.add(time.Second)
	}
}

// evidence: P30
func TestTheSigningKeyNeverLeaves(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	key, value, cert := signingKey(t)
	w.put(t, ref, value+string(pem.EncodeToMemory(&pem.Block{Type: "CLIENT SECRET", Bytes: []byte("s3cr&t/+ x")})), b.options(func(s *secrets.Scheme) { s.Certificate = cert }))
	for range 3 {
		_, err := get(t, w.client(t, ref, b.policy()), b.URL)
		require.NoError(t, err)
	}
	require.Equal(t, 1, b.exchanged())
	require.Equal(t, "the-client "+url.QueryEscape("s3cr&t/+ x"), b.users[0], "escaped before Basic, as OAuth has it")
	all := strings.Join(b.raw, "\n") + string(b.assertion(t, 0))
	p8, _ := pem.Decode([]byte(value))
	for _, secret := range [][]byte{p8.Bytes, key.D.Bytes(), key.Primes[0].Bytes(), key.Primes[1].Bytes(), key.Precomputed.Dp.Bytes()} {
		part := secret[len(secret)-60:]
		for _, form := range []string{string(part), hex.EncodeToString(part), base64.StdEncoding.EncodeToString(part)[4:70], base64.StdEncoding.EncodeToString(part[1:])[4:70],
			base64.StdEncoding.EncodeToString(part[2:])[4:70], new(big.Int).SetBytes(part).String()} {
			require.NotContains(t, all, form)
		}
	}
	require.NotContains(t, all, "s3cr&t/+ x")
	_, err := w.safe.Generate(t.Context(), authz.Grant{}, ref, b.options(nil), w.clock.now())
	require.ErrorIs(t, err, authz.ErrDenied)
}

// signingKey returns a key, as the PEM that is put, and its certificate.
func signingKey(t *testing.T) (*rsa.PrivateKey, string, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key, keyPEM(t, key), certPEM(t, &key.PublicKey, key)
}

func keyPEM(t *testing.T, key any) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

func certPEM(t *testing.T, pub, key any) string {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	b, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}))
}

func TestUnfitKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "key")
	g := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	_, good, cert := signingKey(t)
	_, _, otherCert := signingKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string][2]string{
		"no PEM":            {"open sesame", cert},
		"no private key":    {cert, cert},
		"broken key":        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", cert},
		"not RSA":           {keyPEM(t, ec), certPEM(t, &ec.PublicKey, ec)},
		"another's":         {good, otherCert},
		"no certificate":    {good, "x"},
		"broken":            {good, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
		"empty certificate": {good, ""},
	} {
		err := w.safe.Put(t.Context(), g, ref, []byte(c[0]), saml(c[1]))
		require.Error(t, err, name)
		if name != "no private key" {
			require.NotContains(t, err.Error(), c[0], name)
		}
	}
	for name, change := range map[string]func(*secrets.Scheme){
		"token_url plain":       func(s *secrets.Scheme) { s.TokenURL = "http://crm.example/token" },
		"token_url user":        func(s *secrets.Scheme) { s.TokenURL = "https://u:p@crm.example/token" },
		"token_url fragment":    func(s *secrets.Scheme) { s.TokenURL += "#x" },
		"token_url unicode":     func(s *secrets.Scheme) { s.TokenURL = "https://p\u0130n.example/token" },
		"client_id":             func(s *secrets.Scheme) { s.ClientID = "" },
		"issuer":                func(s *secrets.Scheme) { s.Issuer = "" },
		"subject":               func(s *secrets.Scheme) { s.Subject = "" },
		"subject control":       func(s *secrets.Scheme) { s.Subject = "a\x00b" },
		"subject tab":           func(s *secrets.Scheme) { s.Subject = "a\tb" },
		"subject return":        func(s *secrets.Scheme) { s.Subject = "a\rb" },
		"issuer no UTF-8":       func(s *secrets.Scheme) { s.Issuer = "a\xff" },
		"name_format":           func(s *secrets.Scheme) { s.NameFormat = "\x01" },
		"audience noncharacter": func(s *secrets.Scheme) { s.Audience = "\ufffe" },
		"audience":              func(s *secrets.Scheme) { s.Audience = "" },
		"lifetime":              func(s *secrets.Scheme) { s.Lifetime = 2 * time.Hour },
		"lifetime below":        func(s *secrets.Scheme) { s.Lifetime = -1 },
	} {
		o := saml(cert)
		change(&o.Scheme)
		require.ErrorContains(t, w.safe.Put(t.Context(), g, ref, []byte(good), o), strings.Fields(name)[0], name)
	}
	require.NoError(t, w.safe.Put(t.Context(), g, ref, []byte(good), saml(cert)))
	_, err = w.safe.Generate(t.Context(), g, ref, basic("ana"), w.clock.now().Add(time.Hour))
	require.ErrorContains(t, err, "no signing key")
	bad := saml("")
	bad.Scheme.Subject = ""
	text, err := w.safe.Generate(t.Context(), g, ref, bad, w.clock.now().Add(time.Hour))
	require.Error(t, err)
	require.Empty(t, text, "a certificate whose key was not kept is worth nothing")
}

func TestTokensAreExchangedOnceForAll(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	w.generate(t, ref, b.options(nil))
	clients := []*http.Client{w.client(t, ref, b.policy()), w.client(t, ref, b.policy())}
	all := func() {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := get(t, clients[i%2], b.URL+"/api"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all()
	require.Equal(t, 1, b.exchanged())
	w.clock.add(749 * time.Second)
	// The clients' Grants are over by now; new ones share the token.
	clients = []*http.Client{w.client(t, ref, b.policy()), w.client(t, ref, b.policy())}
	all()
	require.Equal(t, 1, b.exchanged(), "good for 75 % of its life of 1000 s")
	w.clock.add(51 * time.Second)
	all()
	require.Equal(t, 2, b.exchanged(), "and replaced at 80 % at the latest, not all at the same moment")
	seen := b.tokensSeen()
	require.Len(t, seen, 60)
	require.Equal(t, "Bearer access-1", seen[39])
	require.Equal(t, "Bearer access-2", seen[40])
	require.NoError(t, w.safe.Close())
	all()
	require.Equal(t, 3, b.exchanged(), "closing forgets tokens")
}

func TestTokenThatEndsEarly(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	w.generate(t, ref, b.options(nil))
	c := w.client(t, ref, b.policy())
	_, err := get(t, c, b.URL+"/api")
	require.NoError(t, err)
	var bodies []string
	b.set(func() {
		b.api = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			if r.Header.Get("Authorization") != "Bearer access-2" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/api", strings.NewReader("content"))
	require.NoError(t, err)
	code, err := send(c, r)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Equal(t, []string{"content", "content"}, bodies, "sent again, whole")
	require.Equal(t, 2, b.exchanged())
	require.Empty(t, r.Header.Get("Authorization"))

	// Refused for good: one new token, one more try, and the answer is the caller's.
	b.set(func() {
		b.api = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	})
	before := len(b.tokensSeen())
	code, err = get(t, c, b.URL+"/api")
	require.NoError(t, err)
	require.Equal(t, 401, code)
	require.Equal(t, 3, b.exchanged())
	require.Len(t, b.tokensSeen(), before+2)

	// A body that cannot be read twice is not sent twice.
	r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/api", io.MultiReader(strings.NewReader("once")))
	require.NoError(t, err)
	before = len(b.tokensSeen())
	code, err = send(c, r)
	require.NoError(t, err)
	require.Equal(t, 401, code)
	require.Len(t, b.tokensSeen(), before+1)
}

func TestTokenEndpointAnswers(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	w.generate(t, ref, b.options(nil))
	c := w.client(t, ref, b.policy())
	reply := func(code int, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.Header().Set("Location", b.URL+"/token")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	good := `{"access_token":"t","token_type":"bearer"`
	for name, x := range map[string]struct {
		code   int
		body   string
		reauth bool
	}{
		"refused":       {400, `{"error":"invalid_grant","error_description":"echo-of-the-answer"}`, true},
		"unauthorized":  {401, "echo-of-the-answer", true},
		"forbidden":     {403, "echo-of-the-answer", true},
		"broken":        {500, "echo-of-the-answer", false},
		"busy":          {429, "echo-of-the-answer", false},
		"redirect":      {307, "echo-of-the-answer", false},
		"created":       {201, good + "}", false},
		"not JSON":      {200, "<html>echo-of-the-answer</html>", false},
		"no token":      {200, `{"token_type":"bearer"}`, false},
		"other type":    {200, `{"access_token":"t","token_type":"mac"}`, false},
		"no type":       {200, `{"access_token":"t"}`, false},
		"line in token": {200, `{"access_token":"a\r\nX: y","token_type":"bearer"}`, false},
		"too long":      {200, good + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`, false},
	} {
		before, asked := len(b.tokensSeen()), b.exchanged()
		b.set(func() { b.answer = reply(x.code, x.body) })
		_, err := get(t, c, b.URL+"/api")
		require.Error(t, err, name)
		require.Equal(t, x.reauth, is(err, secrets.ErrReauth), "%s: %v", name, err)
		require.NotContains(t, err.Error(), "echo-of-the-answer")
		require.Len(t, b.tokensSeen(), before, "%s: no token, no request", name)
		require.Equal(t, asked+1, b.exchanged(), "%s: asked once", name)
	}
	// Lives that make no sense become a short one.
	for _, life := range []string{`"x":1`, `"expires_in":0`, `"expires_in":-5`, `"expires_in":"3600000"`, `"expires_in":1e9`, `"expires_in":1.5`} {
		w.clock.add(241 * time.Second)
		c = w.client(t, ref, b.policy())
		b.set(func() { b.answer = reply(200, good+","+life+"}") })
		asked := b.exchanged()
		_, err := get(t, c, b.URL+"/api")
		require.NoError(t, err, life)
		require.Equal(t, asked+1, b.exchanged(), life)
		w.clock.add(224 * time.Second)
		_, err = get(t, c, b.URL+"/api")
		require.NoError(t, err)
		require.Equal(t, asked+1, b.exchanged(), life)
	}
}

func TestRevokedKeyMintsNoMore(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	ref := newRef(t, "tenants/acme", "key")
	w.generate(t, ref, b.options(nil))
	c := w.client(t, ref, b.policy())
	_, err := get(t, c, b.URL+"/api")
	require.NoError(t, err)
	w.revoke(t, ref)
	_, err = get(t, c, b.URL+"/api")
	require.ErrorIs(t, err, secrets.ErrNotFound)
	w.generate(t, ref, b.options(nil))
	_, err = get(t, w.client(t, ref, b.policy()), b.URL+"/api")
	require.NoError(t, err)
	require.Equal(t, 2, b.exchanged(), "the old key's token died with it")
}
