package secrets_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-smtp"

	imapproto "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// ready is an installation with one secret in it and a Handle for the service
// that uses it.
func (i *installation) ready(name, value string, s secrets.Scheme) (secrets.Ref, secrets.Handle) {
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), name))
	if err := i.safe.Put(context.Background(), i.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, []byte(value), secrets.PutOptions{Scheme: s}); err != nil {
		panic(err)
	}
	return ref, must(i.safe.Handle(i.grant("service:crm", "secrets.use", ref.Resource()), ref))
}

func trust(s *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

// fetch returns what a client reads.
func fetch(c *http.Client, address string) string {
	resp := must(c.Get(address))
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body)))
}

// A person lets the application into a mailbox. The application sends the
// browser away and hands in what it brings back; tokens it never sees.
func ExampleSafe_ExchangeCode() {
	var provider *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) { // the person says yes
		q := r.URL.Query()
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=SplxlOBeZQQYbYS6WxSbIA&state="+q.Get("state")+"&iss="+url.QueryEscape(provider.URL), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("provider:", r.FormValue("grant_type"), "with a verifier of", len(r.FormValue("code_verifier")), "letters")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}`)
	})
	mux.HandleFunc("GET /mail", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization") == "Bearer 2YotnFZFEjr1zCsicMWpAA")
	})
	provider = httptest.NewTLSServer(mux)
	defer provider.Close()

	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref, h := in.ready("mailbox", "the client's secret", secrets.Scheme{Kind: secrets.OAuthCode, AuthURL: provider.URL + "/authorize?access_type=offline", TokenURL: provider.URL + "/token",
		RedirectURL: "https://app.example/back", ClientID: "our-client", Scope: "mail offline_access", Issuer: provider.URL})

	write := in.grant("user:idp/ada", "secrets.write", ref.Resource())
	address := must(in.safe.ConsentURL(ctx, write, ref, "ana@example.com"))
	browser := provider.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp := must(browser.Get(address))
	_ = resp.Body.Close()
	back := must(resp.Location())

	fmt.Println(in.safe.ExchangeCode(ctx, write, ref, back.Query(), trust(provider)))
	fmt.Println(errors.Is(in.safe.ExchangeCode(ctx, write, ref, back.Query(), trust(provider)), secrets.ErrState))
	client := must(h.HTTPClient(ctx, secrets.ClientPolicy{Origin: provider.URL, Roots: trust(provider)}))
	fmt.Println("let in:", fetch(client, provider.URL+"/mail"))
	// Output:
	// provider: authorization_code with a verifier of 52 letters
	// <nil>
	// true
	// let in: true
}

// An application acts for itself and proves who it is with a key that was made
// inside; the provider gets the certificate, as Microsoft Entra wants it.
func ExampleSafe_Generate_clientCertificate() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		head, _, _ := strings.Cut(r.FormValue("client_assertion"), ".")
		var v map[string]any
		_ = json.Unmarshal(must(base64.RawURLEncoding.DecodeString(head)), &v)
		fmt.Println("assertion:", v["alg"], len(v["x5t#S256"].(string)))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
	})
	mux.HandleFunc("GET /users", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "users") })
	provider := httptest.NewTLSServer(mux)
	defer provider.Close()

	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), "graph"))
	certificate := must(in.safe.Generate(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.ClientCredentials,
		TokenURL: provider.URL + "/token", ClientID: "our-client", ClientAuth: secrets.ClientJWT, Algorithm: secrets.PS256, Scope: "https://graph.microsoft.com/.default"}}, time.Now().AddDate(1, 0, 0)))
	fmt.Println(certificate[:27]) // upload this

	h := must(in.safe.Handle(in.grant("service:crm", "secrets.use", ref.Resource()), ref))
	client := must(h.HTTPClient(ctx, secrets.ClientPolicy{Origin: provider.URL, Roots: trust(provider)}))
	fmt.Println(fetch(client, provider.URL+"/users"))
	// Output:
	// -----BEGIN CERTIFICATE-----
	// assertion: PS256 43
	// users
}

// A vendor's way to authenticate is data: here a key in the query, which neither
// the request that an answer names nor an error shows.
func ExampleScheme_apiKey() {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Query().Get("key") == "AIza-123")
	}))
	defer api.Close()
	in := newInstallation()
	defer in.close()
	_, h := in.ready("maps", "AIza-123", secrets.Scheme{Kind: secrets.APIKey, Query: "key"})
	client := must(h.HTTPClient(context.Background(), secrets.ClientPolicy{Origin: api.URL, Roots: trust(api)}))
	resp := must(client.Get(api.URL + "/geocode?q=Z%C3%BCrich"))
	defer resp.Body.Close()
	fmt.Println(string(must(io.ReadAll(resp.Body))), resp.Request.URL.RequestURI())
	// Output: true /geocode?q=Z%C3%BCrich
}

// And here a signature over each request.
func ExampleRecipe() {
	const key = "a key of the vendor's, 32 bytes!"
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := hmac.New(sha256.New, []byte(key))
		fmt.Fprintf(m, "%s\n%s\n%s", r.Method, r.URL.Path, r.Header.Get("X-Time"))
		fmt.Fprint(w, r.Header.Get("Authorization") == "ACME acme-7:"+hex.EncodeToString(m.Sum(nil)))
	}))
	defer api.Close()
	in := newInstallation()
	defer in.close()
	_, h := in.ready("vendor", key, secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, KeyID: "acme-7",
		Recipe: secrets.Recipe{Text: "{method}\n{path}\n{unix}", Headers: "X-Time: {unix}\nAuthorization: ACME {key-id}:{signature}"}})
	client := must(h.HTTPClient(context.Background(), secrets.ClientPolicy{Origin: api.URL, Roots: trust(api)}))
	fmt.Println(fetch(client, api.URL+"/orders"))
	// Output: true
}

// A signature is made inside; whoever verifies it needs the certificate alone.
func ExampleHandle_Sign() {
	in := newInstallation()
	defer in.close()
	ctx := context.Background()
	ref := must(secrets.NewRef(must(authz.ParseResource("tenants/acme")), "export"))
	certificate := must(in.safe.Generate(ctx, in.grant("user:idp/ada", "secrets.write", ref.Resource()), ref,
		secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SigningKey, Algorithm: secrets.ES256}}, time.Now().AddDate(1, 0, 0)))
	h := must(in.safe.Handle(in.grant("service:crm", "secrets.use", ref.Resource()), ref))

	signature := must(h.Sign(ctx, []byte("the export of today")))
	block, _ := pem.Decode([]byte(certificate))
	sum := sha256.Sum256([]byte("the export of today"))
	fmt.Println(ecdsa.VerifyASN1(must(x509.ParseCertificate(block.Bytes)).PublicKey.(*ecdsa.PublicKey), sum[:], signature))
	// Output: true
}

// The caller says what a JWT claims; key, algorithm, issuer and how long it is
// good are not the caller's to choose.
func ExampleHandle_MintJWT() {
	in := newInstallation()
	defer in.close()
	_, h := in.ready("webhooks", "a key of at least sixteen bytes", secrets.Scheme{Kind: secrets.JWTKey, Algorithm: secrets.HS256, Issuer: "lockkeeper.example", Lifetime: time.Minute})
	token := must(h.MintJWT(context.Background(), map[string]any{"sub": "ana", "aud": "hooks.example"}))
	var claims map[string]any
	_ = json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])), &claims)
	fmt.Println(claims["iss"], claims["sub"], claims["exp"].(float64)-claims["iat"].(float64))
	_, err := h.MintJWT(context.Background(), map[string]any{"iss": "someone.else"})
	fmt.Println(err)
	// Output:
	// lockkeeper.example ana 60
	// secrets: jwt tenants/acme/secrets/webhooks: claims: iss is fixed by the scheme
}

// A mailbox on a server of one's own: the client that comes back is signed in
// already and has never had the password.
func ExampleHandle_DialIMAP() {
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	user := imapmemserver.NewUser("ana@example.com", "open sesame")
	_ = user.Create("INBOX", nil)
	box := imapmemserver.New()
	box.AddUser(user)
	server := imapserver.New(&imapserver.Options{TLSConfig: tls.TLS, Caps: imapproto.CapSet{imapproto.CapIMAP4rev1: {}},
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return box.NewSession(), nil, nil
		}})
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(l) }()
	defer server.Close()

	in := newInstallation()
	defer in.close()
	_, h := in.ready("mailbox", "open sesame", secrets.Scheme{Kind: secrets.Basic, Username: "ana@example.com", Host: l.Addr().String()})
	client := must(h.DialIMAP(context.Background(), secrets.MailPolicy{Address: l.Addr().String(), StartTLS: true, Roots: trust(tls)}, nil))
	defer client.Close()
	fmt.Println(client.State() == imapproto.ConnStateAuthenticated)
	fmt.Println(must(client.Select("INBOX", nil).Wait()).NumMessages)
	// Output:
	// true
	// 0
}

// A message goes out; each one is authorized anew.
func ExampleHandle_DialSMTP() {
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &postbox{}, nil }))
	server.TLSConfig = tls.TLS
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(l) }()
	defer server.Close()

	in := newInstallation()
	defer in.close()
	_, h := in.ready("submission", "open sesame", secrets.Scheme{Kind: secrets.Basic, Username: "ana@example.com"})
	mail := must(h.DialSMTP(context.Background(), secrets.MailPolicy{Address: l.Addr().String(), StartTLS: true, Roots: trust(tls)}))
	fmt.Println(mail.Send(context.Background(), "ana@example.com", []string{"bo@example.com"}, strings.NewReader("Subject: hello\r\n\r\nBo,\r\n")))
	fmt.Println(mail.Close())
	// Output:
	// from ana@example.com
	// to bo@example.com
	// <nil>
	// <nil>
}

// postbox is a submission server's end.
type postbox struct{ in bool }

func (p *postbox) AuthMechanisms() []string { return []string{sasl.Plain} }
func (p *postbox) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if p.in = user == "ana@example.com" && password == "open sesame"; !p.in {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
func (p *postbox) Mail(from string, _ *smtp.MailOptions) error {
	if !p.in {
		return smtp.ErrAuthRequired
	}
	fmt.Println("from", from)
	return nil
}
func (p *postbox) Rcpt(to string, _ *smtp.RcptOptions) error { fmt.Println("to", to); return nil }
func (p *postbox) Data(r io.Reader) error                    { _, err := io.Copy(io.Discard, r); return err }
func (p *postbox) Reset()                                    {}
func (p *postbox) Logout() error                             { return nil }
