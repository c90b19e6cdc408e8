package secrets_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"expvar"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/gormstore/pgtest"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

var (
	leakSeed  = flag.Uint64("secrets.leakseed", 0, "seed of the canaries; 0: a new one")
	leakCount = flag.Int("secrets.canaries", 0, "how many canaries are planted; 0: 150, or 1000 where LOCKKEEPER_REQUIRE or CI is set and the race detector is not")
)

// planted is one canary: how it is put and what it is good for.
type planted struct {
	ref   secrets.Ref
	value string
	o     secrets.PutOptions
}

// house is a Safe full of canaries, and everything that came out of it.
type house struct {
	*world
	t       *testing.T
	scan    *leaktest.Scanner
	secrets []planted
	tokens  []string // that the token endpoint gives
	given   int
	dir     string
	tmp     string // as it was before
	db      func() // closes the database
	roots   *x509.CertPool
	h1, h2  *tap
	stray   *tap // every other host
	mu      sync.Mutex
	out     *leaktest.Writer // all that was said
	values  map[string]any   // what a caller can hold
	errs    int
}

// said scans what was said, apart from everything before.
func (h *house) said(what string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = fmt.Fprintf(h.out, "\n\n== %s\n", what)
	_, _ = h.out.Write(b)
}

// done is asserted at the end of each part, so that a leak has a name.
func (h *house) done(part string) {
	h.t.Helper()
	found, err := h.out.Close()
	assert.NoError(h.t, err)
	for _, f := range found[:min(5, len(found))] {
		h.t.Errorf("%s shows a secret of kind %s: %v", part, h.kind(f.Canary), f)
	}
	h.out = h.scan.Writer()
}

func (h *house) kind(n int) string {
	if n < len(h.secrets) {
		return string(h.secrets[n].o.Scheme.Kind)
	}
	return "token"
}

// tap is a server behind a line that someone listens to.
type tap struct {
	address string
	mu      sync.Mutex
	wire    bytes.Buffer // both directions
}

func newTap(t *testing.T, to string) *tap {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &tap{address: l.Addr().String()}
	var running sync.WaitGroup
	conns := map[net.Conn]bool{}
	running.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			conns[a] = true
			p.mu.Unlock()
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
				running.Go(func() {
					buf := make([]byte, 32<<10)
					for {
						n, err := pair[0].Read(buf)
						p.mu.Lock()
						p.wire.Write(buf[:n])
						p.mu.Unlock()
						if n > 0 {
							_, _ = pair[1].Write(buf[:n])
						}
						if err != nil {
							_ = a.Close()
							_ = b.Close()
							return
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

func (p *tap) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.wire.Bytes())
}

// visible reports whether a value can be a header.
func headerLike(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// newHouse plants the canaries, each as a secret of a kind that it can be.
func newHouse(t *testing.T) *house {
	seed := *leakSeed
	if seed == 0 {
		seed = mrand.Uint64()
	}
	t.Logf("-secrets.leakseed=%d", seed)
	h := &house{world: newWorld(t), t: t, dir: t.TempDir(), values: map[string]any{}}
	h.tmp = os.TempDir()
	tmp := filepath.Join(h.dir, "tmp")
	require.NoError(t, os.Mkdir(tmp, 0o700))
	t.Setenv("TMPDIR", tmp)
	h.serve()

	n := *leakCount
	if n == 0 {
		if n = 150; !secrets.RaceEnabled && (os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers") {
			n = 1000
		}
	}
	t.Logf("%d canaries", n)
	canaries := leaktest.Canaries(seed, n)
	for range 3 { // RSA takes long to make
		_, key, _ := signingKey(t)
		canaries = append(canaries, key)
	}
	for _, c := range leaktest.Canaries(seed+1, 200) {
		if headerLike(c) {
			h.tokens = append(h.tokens, c)
		}
	}
	for i, c := range canaries {
		h.secrets = append(h.secrets, planted{newRef(t, "tenants/acme", fmt.Sprint("s", i)), c, h.options(i, c)})
	}
	var err error
	h.scan, err = leaktest.New(append(slices.Clone(canaries), h.tokens...))
	require.NoError(t, err)
	h.out = h.scan.Writer()

	// The database without its own encryption: what is in it is sealed by the Safe alone.
	db, err := sqlite.Open(t.Context(), filepath.Join(h.dir, "plain.db"), nil)
	require.NoError(t, err)
	h.db = func() { _ = db.Close() }
	t.Cleanup(h.db)
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	g.Logger = logger.New(logs(h.sql), logger.Config{LogLevel: logger.Info}) // every statement with its values
	store, err := gormstore.New(t.Context(), g)
	require.NoError(t, err)
	k, err := local.Create(filepath.Join(h.dir, "keyring"), nil)
	require.NoError(t, err)
	h.safe = h.open(t, k, k, store)
	h.values["safe"], h.values["store"], h.values["keyring"] = h.safe, store, k
	t.Cleanup(func() { _, _ = h.out.Close() })
	return h
}

// sql takes what gorm logs.
func (h *house) sql(format string, args ...any) { h.said("SQL", fmt.Appendf(nil, format, args...)) }

// logs is a function, where reflection ends, not this test itself.
type logs func(string, ...any)

// Printf implements gorm's Writer.
func (l logs) Printf(format string, args ...any) { l(format, args...) }

// options chooses what a canary is.
func (h *house) options(i int, c string) secrets.PutOptions {
	s := secrets.Scheme{Username: "ana", ClientID: "the-client"}
	token := h.url(i) + "/token"
	if b, _ := pem.Decode([]byte(c)); b != nil {
		k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
		require.NoError(h.t, err)
		switch k := k.(type) {
		case ed25519.PrivateKey:
			s.Algorithm = secrets.EdDSA
		case *ecdsa.PrivateKey:
			s.Algorithm = secrets.ES256
		case *rsa.PrivateKey:
			s.Kind, s.TokenURL, s.Issuer, s.Subject, s.Audience, s.Certificate = secrets.SAMLBearer, token, "lockkeeper.example", "ana@example.com", "crm.example", selfSigned(h.t, k)
			return secrets.PutOptions{Scheme: s}
		}
		switch i % 4 {
		case 0:
			s.Kind = secrets.SigningKey
		case 1:
			s.Kind = secrets.JWTKey
		case 2:
			s.Kind, s.TokenURL, s.Issuer = secrets.JWTBearer, token, "robot@example.com"
		default:
			s.Kind, s.TokenURL, s.ClientAuth = secrets.ClientCredentials, token, secrets.ClientJWT
		}
		return secrets.PutOptions{Scheme: s}
	}
	kinds := []secrets.Kind{secrets.Basic, secrets.NTLM, secrets.HMACKey, secrets.JWTKey, secrets.SignedRequest, secrets.ClientCredentials, secrets.OAuthCode}
	if headerLike(c) {
		kinds = append(kinds, secrets.Bearer, secrets.Bearer, secrets.APIKey, secrets.APIKey)
	}
	switch s.Kind = kinds[(i+i/11)%len(kinds)]; s.Kind {
	case secrets.NTLM:
		s.Host, s.Legacy = h.h1.address, secrets.Legacy{By: "user:idp/admin", At: h.clock.now()}
		s.Username = `CORP\ana`
	case secrets.HMACKey:
		s.Algorithm = secrets.HS512
	case secrets.JWTKey:
		s.Algorithm = secrets.HS256
	case secrets.SignedRequest:
		s.Algorithm = secrets.HS256
		s.Recipe = secrets.Recipe{Text: "{method}\n{path}\n{body-sha256}", Headers: "X-Signature: {signature}"}
	case secrets.ClientCredentials:
		s.TokenURL = token
		if i%2 == 0 {
			s.ClientAuth = secrets.ClientPost
		}
	case secrets.OAuthCode:
		s.TokenURL, s.AuthURL, s.RedirectURL = token, h.url(i)+"/authorize", "https://app.example/back"
	case secrets.APIKey:
		if i%2 == 0 {
			s.Header, s.Prefix = "X-Api-Key", "Token "
		} else {
			s.Query = "key"
		}
	}
	return secrets.PutOptions{Scheme: s}
}

func selfSigned(t *testing.T, k *rsa.PrivateKey) string {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (h *house) url(i int) string {
	if i%2 == 0 {
		return "https://" + h.h1.address
	}
	return "https://" + h.h2.address
}

// serve starts the servers that secrets are for, behind taps, and one that they
// are not for.
func (h *house) serve() {
	t := h.t
	h.roots = x509.NewCertPool()
	start := func(http2 bool) *tap {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(h.answer))
		srv.EnableHTTP2, srv.Config.ErrorLog = http2, quiet()
		srv.StartTLS()
		t.Cleanup(srv.Close)
		h.roots.AddCert(srv.Certificate())
		return newTap(t, srv.Listener.Addr().String())
	}
	h.h1, h.h2 = start(false), start(true)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(other.Close)
	h.stray = newTap(t, other.Listener.Addr().String())
}

// answer is the good server: it knows no secret, for here only those that it is
// sent matter.
func (h *house) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/token":
		h.mu.Lock()
		h.given++
		n := 2 * h.given
		h.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": h.tokens[n%len(h.tokens)], "refresh_token": h.tokens[(n+1)%len(h.tokens)], "token_type": "Bearer", "expires_in": 3600})
	case r.URL.Path == "/elsewhere":
		http.Redirect(w, r, "http://"+h.stray.address+"/"+url.PathEscape(r.Header.Get("Authorization")), http.StatusFound)
	case r.URL.Path == "/ntlm":
		scheme, param, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if msg, err := base64.StdEncoding.DecodeString(param); scheme == "NTLM" && err == nil && len(msg) > 12 && msg[8] == 3 {
			return
		} else if scheme == "NTLM" {
			w.Header().Set("WWW-Authenticate", "NTLM "+base64.StdEncoding.EncodeToString(challenge()))
		} else {
			w.Header().Set("WWW-Authenticate", "NTLM")
		}
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/refused":
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// challenge is a message of type 2 (MS-NLMP section 2.2.1.2).
func challenge() []byte {
	var name []byte
	for _, u := range utf16.Encode([]rune("CORP")) {
		name = binary.LittleEndian.AppendUint16(name, u)
	}
	info := append([]byte{2, 0, byte(len(name)), 0}, name...)
	info = append(info, 0, 0, 0, 0)
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	field := func(n, at int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
	}
	field(len(name), 56)
	b = binary.LittleEndian.AppendUint32(b, 0xe2898215)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	field(len(info), 56+len(name))
	b = append(b, 10, 0, 0, 0, 0, 0, 0, 15)
	return append(append(b, name...), info...)
}

// tell scans everything that can be said of an error.
func (h *house) tell(what string, err error) {
	if err == nil {
		return
	}
	h.mu.Lock()
	h.errs++
	h.mu.Unlock()
	var b bytes.Buffer
	var walk func(error)
	walk = func(e error) {
		if e == nil {
			return
		}
		fmt.Fprintf(&b, "%s\n%v %+v %#v %q %T\n", e.Error(), e, e, e, e, e)
		switch u := e.(type) { //nolint:errorlint // each link by itself
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	for _, level := range []slog.Level{-8, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, 12} {
		o := &slog.HandlerOptions{Level: slog.Level(-8), AddSource: true}
		for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&b, o)), slog.New(slog.NewJSONHandler(&b, o))} {
			l.With("with", err).Log(context.Background(), level, err.Error(), "err", err)
		}
	}
	if j, jerr := json.Marshal(err); jerr == nil {
		b.Write(j)
	}
	dump(&b, err)
	h.said(what, b.Bytes())
}

// dump writes what a printer by reflection would: every field, hidden or not.
func dump(w io.Writer, v any) {
	reach(v, func(path string, text []byte) bool {
		_, _ = fmt.Fprintf(w, "%s: %s\n", path, text)
		return false
	})
}

func (h *house) grantFor(ref secrets.Ref, perm string) authz.Grant {
	who := "user:idp/admin"
	if perm == "secrets.use" {
		who = "service:conn"
	}
	return h.grant(h.t, who, perm, ref.Resource())
}

// use uses a secret in the way of its kind.
func (h *house) use(i int, path string) error {
	p := h.secrets[i]
	ctx := h.t.Context()
	hd, err := h.safe.Handle(h.grantFor(p.ref, "secrets.use"), p.ref)
	if err != nil {
		return err
	}
	switch p.o.Scheme.Kind {
	case secrets.SigningKey:
		_, err = hd.Sign(ctx, []byte("message"))
		return err
	case secrets.HMACKey:
		_, err = hd.HMAC(ctx, []byte("message"))
		return err
	case secrets.JWTKey:
		_, err = hd.MintJWT(ctx, map[string]any{"x": 1})
		return err
	case secrets.OAuthCode:
		u, err := h.safe.ConsentURL(ctx, h.grantFor(p.ref, "secrets.write"), p.ref, "ana@example.com")
		if err != nil {
			return err
		}
		q, err := url.Parse(u)
		if err != nil {
			return err
		}
		h.said("consent", []byte(u))
		answer := url.Values{"state": {q.Query().Get("state")}, "code": {"a-code"}}
		if err := h.safe.ExchangeCode(ctx, h.grantFor(p.ref, "secrets.write"), p.ref, answer, h.roots); err != nil {
			return err
		}
	}
	origin := h.url(i)
	if p.o.Scheme.Kind == secrets.NTLM {
		origin, path = "https://"+h.h1.address, "/ntlm"
	}
	client, err := hd.HTTPClient(ctx, secrets.ClientPolicy{Origin: origin, Roots: h.roots, Timeout: 20 * time.Second})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	for name, v := range map[string]any{"client": client, "response": resp, "body": resp.Body, "handle": hd} {
		h.values[fmt.Sprintf("%s %s over HTTP/%d", p.o.Scheme.Kind, name, resp.ProtoMajor)] = v
	}
	return err
}

// Nothing that goes out of a Safe shows a secret of any kind, in any spelling:
// not when it is put, not when it is used, not when that fails.
//
// evidence: I5, no plaintext at rest or outside the border
// evidence: P28
// evidence: P30
// evidence: T11
func TestNoSecretLeaves(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	var traced bytes.Buffer
	if trace.Start(&traced) == nil { // someone else may be tracing
		defer trace.Stop()
	}
	kinds := map[secrets.Kind]int{}
	pprof.Do(ctx, pprof.Labels("part", "leak"), func(ctx context.Context) {
		for i, p := range h.secrets {
			v := []byte(p.value)
			require.NoError(t, h.safe.Put(ctx, h.grantFor(p.ref, "secrets.write"), p.ref, v, p.o), "%d %s", i, p.o.Scheme.Kind)
			require.Equal(t, make([]byte, len(v)), v, "the caller's copy is cleared")
			kinds[p.o.Scheme.Kind]++
		}
	})
	require.Len(t, kinds, 12, "a secret of every kind: %v", kinds)
	h.done("put")
	for i, p := range h.secrets {
		require.NoError(t, h.use(i, "/api"), "%d %s", i, p.o.Scheme.Kind)
	}
	h.done("use")

	t.Run("wire", func(t *testing.T) { // evidence: P27
		require.Greater(t, len(h.h1.bytes())+len(h.h2.bytes()), 100*len(h.secrets), "the taps hear what is said")
		for name, b := range map[string][]byte{"HTTP/1.1": h.h1.bytes(), "HTTP/2": h.h2.bytes()} {
			h.scan.Check(t, name+" on the wire", b)
		}
	})
	h.fail(t)
	h.hostile(t)
	t.Run("other hosts", func(t *testing.T) {
		require.Empty(t, h.stray.bytes(), "nothing at all was sent there")
	})
	h.print(t)
	h.runtime(t, &traced)
	h.disk(t)
	require.Greater(t, h.errs, 300, "that many things went wrong")
}

// fail makes every secret fail in every way that needs no hostile server.
func (h *house) fail(t *testing.T) {
	ctx := t.Context()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	broken := h.open(t, sealedKeeper{}, h.keys, h.store)
	t.Run("failures", func(t *testing.T) {
		for i, p := range h.secrets {
			value := func() []byte { return []byte(p.value) }
			write := h.grantFor(p.ref, "secrets.write")
			h.tell("zero grant", h.safe.Put(ctx, authz.Grant{}, p.ref, value(), p.o))
			h.tell("wrong permission", h.safe.Put(ctx, h.grantFor(p.ref, "secrets.describe"), p.ref, value(), p.o))
			h.tell("cancelled", h.safe.Put(cancelled, write, p.ref, value(), p.o))
			h.tell("sealed keeper", broken.Put(ctx, write, p.ref, value(), p.o))
			h.tell("late", h.safe.Put(ctx, write, p.ref, value(), secrets.PutOptions{Scheme: p.o.Scheme, Expires: h.clock.now().Add(-time.Second)}))
			other := newRef(t, "tenants/acme", fmt.Sprint("wrong", i))
			for _, k := range []secrets.Kind{"", "digest", secrets.Basic, secrets.Bearer, secrets.APIKey, secrets.SAMLBearer, secrets.JWTBearer, secrets.SigningKey, secrets.JWTKey, secrets.OAuthCode, secrets.ClientCredentials} {
				if k != p.o.Scheme.Kind && i%5 == 0 {
					o := p.o
					o.Scheme.Kind = k
					h.tell("wrong kind", h.safe.Put(ctx, h.grantFor(other, "secrets.write"), other, append(value(), '\n', 0), o))
				}
			}
			hd := h.handle(t, p.ref)
			_, err := hd.HTTPClient(ctx, secrets.ClientPolicy{Origin: "https://" + h.stray.address, Roots: h.roots})
			h.tell("other origin", err)
			if i%10 != 0 {
				continue
			}
			_, err = hd.HTTPClient(cancelled, secrets.ClientPolicy{Origin: h.url(i), Roots: h.roots})
			h.tell("cancelled", err)
			_, err = hd.Sign(cancelled, nil)
			h.tell("sign", err)
			_, err = hd.MintJWT(ctx, map[string]any{"exp": 1})
			h.tell("jwt", err)
			_, err = hd.HMAC(ctx, nil)
			h.tell("hmac", err)
			_, err = hd.DialIMAP(ctx, secrets.MailPolicy{Address: h.h1.address, Roots: h.roots, Timeout: time.Second}, nil)
			h.tell("imap", err)
			_, err = hd.DialSMTP(ctx, secrets.MailPolicy{Address: h.h1.address, Roots: h.roots, Timeout: time.Second})
			h.tell("smtp", err)
			if client, err := hd.HTTPClient(ctx, secrets.ClientPolicy{Origin: h.url(i)}); err == nil { // roots that do not trust it
				_, err = get(t, client, h.url(i)+"/api")
				require.Error(t, err)
				h.tell("TLS", err)
			}
			if client, err := hd.HTTPClient(ctx, secrets.ClientPolicy{Origin: h.url(i), Roots: h.roots}); err == nil {
				_, err = get(t, client, "http://"+h.stray.address+"/")
				require.ErrorIs(t, err, secrets.ErrOrigin)
				h.tell("elsewhere", err)
				_, err = get(t, client, h.url(i)+"/elsewhere")
				require.Error(t, err)
				h.tell("redirect", err)
				_, err = get(t, client, h.url(i)+"/refused")
				h.tell("refused", err)
				func() { // a panic of the caller's own, in the middle
					defer func() { h.tell("panic", fmt.Errorf("%v\n%s", recover(), debug.Stack())) }()
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+h.stray.address, panicking{})
					require.NoError(t, err)
					_, _ = client.Transport.RoundTrip(req)
				}()
			}
		}
		h.done("failures")
	})
}

// panicking is a body of a caller's that does.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("in Read") }
func (panicking) Close() error             { panic("in Close") }

// hostile servers send back what they got wherever a library might quote it.
func (h *house) hostile(t *testing.T) {
	echoes := map[string]func(got string) string{
		"nothing of HTTP": func(s string) string { return s + "\r\n\r\n" },
		"version":         func(s string) string { return "HTTP/" + s + " 200 OK\r\n\r\n" },
		"status":          func(s string) string { return "HTTP/1.1 " + s + "\r\n\r\n" },
		"status text":     func(s string) string { return "HTTP/1.1 99999 " + s + "\r\n\r\n" },
		"header":          func(s string) string { return "HTTP/1.1 200 OK\r\n" + s + "\r\n\r\n" },
		"header name":     func(s string) string { return "HTTP/1.1 200 OK\r\n" + s + " : x\r\n\r\n" },
		"length":          func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + s + "\r\n\r\n" },
		"transfer":        func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + s + "\r\n\r\n" },
		"chunk":           func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + s + "\r\n" },
		"trailer": func(s string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n" + s + "\r\n\r\n"
		},
		"trailer announced": func(s string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, " + s + "\r\n\r\n0\r\n\r\n"
		},
		"redirect elsewhere": func(s string) string {
			return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://" + h.stray.address + "/?" + s + "\r\n\r\n"
		},
		"redirect to nowhere": func(s string) string {
			return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ://%zz" + s + "\r\n\r\n"
		},
		"redirect, a scheme": func(s string) string {
			return "HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: mailto:" + s + "\r\n\r\n"
		},
		"early hint": func(s string) string { return "HTTP/1.1 103 " + s + "\r\n" + s + "\r\n\r\n" },
		"switch":     func(s string) string { return "HTTP/1.1 101 " + s + "\r\nUpgrade: " + s + "\r\n\r\n" },
		"compressed": func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + s },
		"too much": func(s string) string {
			return "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(s+" ", 1<<20/(len(s)+1)) + "\r\n\r\n"
		},
		"hung up": func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + s },
		"token error": func(s string) string {
			return jsonAnswer(400, map[string]any{"error": s, "error_description": s, "error_uri": s})
		},
		"token": func(s string) string {
			return jsonAnswer(200, map[string]any{"access_token": s + " \x01", "token_type": s})
		},
		"no token":        func(s string) string { return jsonAnswer(200, s) },
		"token of a type": func(s string) string { return jsonAnswer(200, map[string]any{"access_token": "x", "token_type": s}) },
		"a number": func(s string) string {
			return jsonAnswer(200, map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": s})
		},
	}
	spell := map[string]func(string) string{
		"":        func(s string) string { return s },
		"hex":     func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"reverse": func(s string) string { b := []byte(s); slices.Reverse(b); return string(b) },
		"query":   url.QueryEscape,
		"half":    func(s string) string { return s[len(s)/2:] },
	}
	// One canary of each kind that sends something, at a server for each echo.
	chosen := map[secrets.Kind]int{}
	for i, p := range h.secrets {
		switch k := p.o.Scheme.Kind; k {
		case secrets.SigningKey, secrets.HMACKey, secrets.JWTKey, secrets.OAuthCode, secrets.NTLM:
		default:
			chosen[k] = i
		}
	}
	require.Len(t, chosen, 7)
	for name, echo := range echoes {
		t.Run("hostile/"+name, func(t *testing.T) {
			for how, spelled := range spell {
				srv := newEcho(t, func(got string) string { return echo(spelled(got)) })
				for k, i := range chosen {
					p := h.secrets[i]
					o := p.o
					if o.Scheme.TokenURL != "" {
						o.Scheme.TokenURL = "https://" + srv.address + "/token"
					}
					ref := newRef(t, "tenants/acme", "hostile")
					if err := h.safe.Put(t.Context(), h.grantFor(ref, "secrets.write"), ref, []byte(p.value), o); err != nil {
						t.Fatal(err)
					}
					client, err := h.handle(t, ref).HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://" + srv.address, Roots: srv.roots, Timeout: 5 * time.Second})
					require.NoError(t, err)
					resp, err := client.Get("https://" + srv.address + "/api?x=1")
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					h.tell(fmt.Sprint(name, " ", how, " ", k), err)
				}
			}
			h.done("an error after " + name)
		})
	}
	for name, script := range map[string]func(line string) string{
		"SMTP": func(line string) string {
			switch word, _, _ := strings.Cut(line, " "); word {
			case "":
				return "220 mx"
			case "EHLO":
				return "250-mx\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER"
			}
			return "535 5.7.8 " + line + " is wrong"
		},
		"SMTP, broken": func(line string) string {
			switch word, _, _ := strings.Cut(line, " "); word {
			case "":
				return "220 mx"
			case "EHLO":
				return "250-mx\r\n250 AUTH PLAIN XOAUTH2"
			}
			return line
		},
		"IMAP": func(line string) string {
			tag, rest, _ := strings.Cut(line, " ")
			switch {
			case line == "":
				return "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR] ready"
			case strings.HasPrefix(rest, "CAPABILITY"):
				return "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR\r\n" + tag + " OK x"
			}
			return tag + " NO " + rest
		},
		"IMAP, broken": func(line string) string {
			if line == "" {
				return "* OK [CAPABILITY IMAP4rev1] ready"
			}
			return "* " + line + "\r\n" + line
		},
	} {
		t.Run("hostile/"+name, func(t *testing.T) {
			srv := newFoeScript(t, script)
			for k, i := range chosen {
				if k != secrets.Basic && k != secrets.Bearer {
					continue
				}
				p := h.secrets[i]
				ref := newRef(t, "tenants/acme", "hostile")
				require.NoError(t, h.safe.Put(t.Context(), h.grantFor(ref, "secrets.write"), ref, []byte(p.value), p.o))
				policy := secrets.MailPolicy{Address: srv.address, Roots: srv.roots, Timeout: 2 * time.Second}
				var err error
				if strings.HasPrefix(name, "SMTP") {
					_, err = h.handle(t, ref).DialSMTP(t.Context(), policy)
				} else {
					_, err = h.handle(t, ref).DialIMAP(t.Context(), policy, nil)
				}
				require.Error(t, err)
				h.tell(name, err)
			}
			require.NotEmpty(t, srv.lines(), "the server was told something")
			h.done("an error of " + name)
		})
	}
}

func jsonAnswer(status int, v any) string {
	b, _ := json.Marshal(v)
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(b), b)
}

// foe is a TLS server without a protocol.
type foe struct {
	address string
	roots   *x509.CertPool
	mu      sync.Mutex
	told    []string
}

func (f *foe) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

func newFoe(t *testing.T, talk func(f *foe, c net.Conn)) *foe {
	t.Helper()
	base := httptest.NewUnstartedServer(nil)
	base.StartTLS()
	cert := base.TLS.Certificates
	f := &foe{roots: x509.NewCertPool()}
	f.roots.AddCert(base.Certificate())
	base.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	f.address = l.Addr().String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				talk(f, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return f
}

// newEcho answers every request with something made of its credential.
func newEcho(t *testing.T, echo func(got string) string) *foe {
	return newFoe(t, func(_ *foe, c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		got := r.URL.Query().Get("key")
		for _, name := range []string{"Authorization", "X-Api-Key", "X-Signature"} {
			got += r.Header.Get(name)
		}
		if form, err := url.ParseQuery(string(body)); err == nil {
			got += form.Get("client_secret") + form.Get("assertion") + form.Get("client_assertion")
		}
		if b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got, "Basic ")); err == nil && strings.HasPrefix(got, "Basic ") {
			got = string(b)
		}
		_, _ = io.WriteString(c, echo(got))
	})
}

// newScript answers line by line, and begins with the answer to none.
func newFoeScript(t *testing.T, script func(line string) string) *foe {
	return newFoe(t, func(f *foe, c net.Conn) {
		if _, err := io.WriteString(c, script("")+"\r\n"); err != nil {
			return
		}
		for s := bufio.NewScanner(c); s.Scan(); {
			f.mu.Lock()
			f.told = append(f.told, s.Text())
			f.mu.Unlock()
			if _, err := io.WriteString(c, script(s.Text())+"\r\n"); err != nil {
				return
			}
		}
	})
}

// print prints, logs, encodes and walks everything that a caller can hold.
func (h *house) print(t *testing.T) {
	t.Run("values", func(t *testing.T) {
		h.values["grant"] = h.grantFor(h.secrets[0].ref, "secrets.use")
		d, err := h.safe.Describe(t.Context(), h.grantFor(h.secrets[0].ref, "secrets.describe"), h.secrets[0].ref)
		require.NoError(t, err)
		// A record is printed like another; what is in them all is looked at below.
		rs := h.Audit.Records()
		h.values["description"], h.values["scheme"], h.values["audit"] = d, h.secrets[0].o, rs[max(0, len(rs)-100):]
		require.Greater(t, len(h.values), 70)
		for name, v := range h.values {
			var b bytes.Buffer
			for _, x := range []any{v, []any{v}, map[string]any{"k": v}, struct{ V any }{v}, struct{ v any }{v}, &v} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
					fmt.Fprintf(&b, verb+"\n", x)
				}
				for _, encode := range encoders() {
					out, err := encode(x)
					b.Write(out)
					fmt.Fprintln(&b, err)
				}
				func() {
					defer func() { _ = recover() }() // yaml panics at what it cannot do
					out, err := yaml.Marshal(x)
					b.Write(out)
					fmt.Fprintln(&b, err)
				}()
			}
			h.said(name, b.Bytes())
			if !strings.Contains(name, "response") && !strings.Contains(name, "store") { // the library walks these for ever
				rec := &recorder{}
				assert.Equal(rec, v, 1)
				h.said(name+" compared", []byte(rec.text))
			}
		}
		b, err := json.Marshal(h.Audit.Records())
		require.NoError(t, err)
		h.said("audit", b)
		h.done("a value")
		// Together, for what two of them hold is walked once.
		walked := 0
		reach(h.values, func(path string, text []byte) bool {
			walked++
			found, err := h.scan.Bytes(text)
			require.NoError(t, err)
			assert.Empty(t, found, "%s is where reflection reaches", path)
			return len(found) > 0
		})
		require.Greater(t, walked, 2000)
	})
}

// runtime looks into what the runtime tells about itself.
func (h *house) runtime(t *testing.T, traced *bytes.Buffer) {
	t.Run("runtime", func(t *testing.T) {
		var b bytes.Buffer
		for _, name := range []string{"goroutine", "heap", "allocs", "block", "mutex", "threadcreate"} {
			for debug := range 3 {
				require.NoError(t, pprof.Lookup(name).WriteTo(&b, debug))
			}
		}
		expvar.Do(func(kv expvar.KeyValue) { fmt.Fprintln(&b, kv.Key, kv.Value) })
		stack := make([]byte, 4<<20)
		b.Write(stack[:runtime.Stack(stack, true)])
		trace.Stop()
		require.NotZero(t, traced.Len())
		b.Write(traced.Bytes())
		env, err := os.ReadFile("/proc/self/environ")
		if err == nil {
			b.Write(env)
		}
		h.said("runtime", b.Bytes())
		h.done("the runtime")
	})
}

// disk looks at everything on disk, while it is in use and after.
func (h *house) disk(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		backup := filepath.Join(h.dir, "backup.db")
		db, err := sqlite.Open(t.Context(), filepath.Join(h.dir, "plain.db"), nil)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "VACUUM INTO ?", backup)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		h.scan.CheckPath(t, h.dir)
		h.scan.CheckPath(t, filepath.Dir(h.path))
		_, err = os.Stat(filepath.Join(h.dir, "plain.db-wal"))
		require.NoError(t, err, "there is a log of the database")
		h.db()
		h.scan.CheckPath(t, h.dir)
		b, err := os.ReadFile(backup)
		require.NoError(t, err)
		require.Contains(t, string(b), "tenants/acme/secrets/s1", "this is the file that has the rows")
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Setenv("TMPDIR", h.tmp)
		connect := pgtest.Start(t).Database(t)
		g, err := gorm.Open(postgres.Open(connect), &gorm.Config{Logger: logger.New(logs(h.sql), logger.Config{LogLevel: logger.Info})})
		require.NoError(t, err)
		pool, err := g.DB()
		require.NoError(t, err)
		defer pool.Close()
		store, err := gormstore.New(t.Context(), g)
		require.NoError(t, err)
		safe := h.open(t, h.keys, h.keys, store)
		for _, p := range h.secrets[:min(len(h.secrets), 300)] {
			require.NoError(t, safe.Put(t.Context(), h.grantFor(p.ref, "secrets.write"), p.ref, []byte(p.value), p.o))
			hd, err := safe.Handle(h.grantFor(p.ref, "secrets.use"), p.ref)
			require.NoError(t, err)
			_, _ = hd.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: h.url(0), Roots: h.roots})
		}
		var dir string
		require.NoError(t, g.Raw("SHOW data_directory").Scan(&dir).Error)
		require.NoError(t, g.Exec("CHECKPOINT").Error)
		dump, err := exec.CommandContext(t.Context(), "pg_dump", connect).Output()
		require.NoError(t, err)
		require.Contains(t, string(dump), "tenants/acme/secrets/s1")
		h.scan.Check(t, "dump", dump)
		h.scan.CheckPath(t, dir)
		h.done("SQL log")
	})
}
