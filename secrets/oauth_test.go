package secrets_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// provider is an authorization server that rotates refresh tokens and detects
// their reuse (RFC 9700 section 4.14.2), with the API behind it. Whatever is not
// as the standards want it is a failure of the test.
type provider struct {
	*server
	t  testing.TB
	mu sync.Mutex

	issuer    string
	codes     map[string]url.Values // code: the question it answers
	refresh   string                // the one good refresh token
	used      map[string]bool       // refresh tokens that were good once
	access    map[string]bool       // access tokens that are good
	life      int
	asked     int // refreshes that arrived
	exchanged int // codes that arrived
	gone      int // consents that were withdrawn, by reuse or by the client
	secrets   []string
	// hostile answers instead of a good one, after the tokens have been rotated.
	hostile func(w http.ResponseWriter, r *http.Request, answer []byte) bool
	// before is run before the tokens are rotated, with the lock held.
	before    func(w http.ResponseWriter, r *http.Request) bool
	api       func(w http.ResponseWriter, r *http.Request)
	noRefresh bool
}

func newProvider(t testing.TB) *provider {
	p := &provider{t: t, codes: map[string]url.Values{}, used: map[string]bool{}, access: map[string]bool{}, life: 1000}
	p.server = newServer(t, p.serve)
	p.issuer = p.URL
	return p
}

func (p *provider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *provider) get(f func() int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f()
}

func (p *provider) fresh(kind string) string {
	s := kind + rand.Text()
	p.secrets = append(p.secrets, s)
	return s
}

const clientSecret = "client+secret/Canary=7"

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/token":
		p.token(w, r)
	case "/revoke":
		if err := r.ParseForm(); err != nil || !p.proves(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if tok := r.PostForm.Get("token"); tok == p.refresh || p.access[tok] {
			p.refresh, p.access = "", map[string]bool{}
			p.gone++
		}
	default:
		if !p.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if p.api != nil {
			p.api(w, r)
		}
	}
}

func (p *provider) proves(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	return id == "the-client" && secret == clientSecret
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "echo-of-the-answer"})
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || !p.proves(r) {
		p.t.Error("client did not prove itself")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	f := r.PostForm
	switch f.Get("grant_type") {
	case "authorization_code":
		p.exchanged++
		q, ok := p.codes[f.Get("code")]
		delete(p.codes, f.Get("code"))
		sum := sha256.Sum256([]byte(f.Get("code_verifier")))
		if !ok || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || q.Get("redirect_uri") != f.Get("redirect_uri") {
			refuse(w, "invalid_grant")
			return
		}
		p.secrets = append(p.secrets, f.Get("code_verifier"), f.Get("code"))
	case "refresh_token":
		p.asked++
		if p.before != nil && p.before(w, r) {
			return
		}
		old := f.Get("refresh_token")
		if p.used[old] { // reuse: someone stole it, all ends
			p.refresh, p.access = "", map[string]bool{}
			p.gone++
		}
		if old != p.refresh || old == "" {
			refuse(w, "invalid_grant")
			return
		}
		p.used[old] = true
	default:
		refuse(w, "unsupported_grant_type")
		return
	}
	p.refresh = p.fresh("refresh-")
	a := p.fresh("access-")
	p.access[a] = true
	v := map[string]any{"access_token": a, "token_type": "Bearer", "expires_in": p.life, "refresh_token": p.refresh}
	if p.noRefresh {
		delete(v, "refresh_token")
	}
	body, _ := json.Marshal(v)
	w.Header().Set("Content-Type", "application/json")
	if p.hostile != nil && p.hostile(w, r, body) {
		return
	}
	_, _ = w.Write(body)
}

// consent is a person who says yes: the query with which the browser comes back.
func (p *provider) consent(t testing.TB, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	require.Equal(t, p.URL+"/authorize", "https://"+u.Host+u.Path)
	for k, v := range map[string]string{"response_type": "code", "client_id": "the-client", "redirect_uri": "https://app.example/back", "scope": "mail offline",
		"code_challenge_method": "S256", "access_type": "offline"} {
		require.Equal(t, v, q.Get(k), k)
	}
	require.Len(t, q.Get("code_challenge"), 43)
	require.GreaterOrEqual(t, len(q.Get("state")), 43)
	p.mu.Lock()
	defer p.mu.Unlock()
	code := "code-" + rand.Text()
	p.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.issuer}}
}

func (p *provider) scheme() secrets.Scheme {
	return secrets.Scheme{Kind: secrets.OAuthCode, AuthURL: p.URL + "/authorize?access_type=offline", TokenURL: p.URL + "/token", RevokeURL: p.URL + "/revoke",
		RedirectURL: "https://app.example/back", ClientID: "the-client", Scope: "mail offline", Issuer: p.issuer}
}

// link is a Safe's consent with a provider.
type link struct {
	*world
	*provider
	ref secrets.Ref
}

func newLink(t testing.TB) *link {
	l := &link{newWorld(t), newProvider(t), newRef(t, "tenants/acme/users/7f3a", "mailbox")}
	l.safe.SetExchangeTimes(2*time.Second, time.Millisecond)
	l.put(t, l.ref, clientSecret, secrets.PutOptions{Scheme: l.scheme()})
	return l
}

func (l *link) writer(t testing.TB) authz.Grant {
	return l.grant(t, "user:idp/admin", "secrets.write", l.ref.Resource())
}

func (l *link) ask(t testing.TB) url.Values {
	t.Helper()
	u, err := l.safe.ConsentURL(t.Context(), l.writer(t), l.ref, "")
	require.NoError(t, err)
	return l.consent(t, u)
}

func (l *link) take(t testing.TB, answer url.Values) error {
	t.Helper()
	return l.safe.ExchangeCode(t.Context(), l.writer(t), l.ref, answer, l.policy().Roots)
}

// linked is a link to which someone has consented.
func linked(t testing.TB) *link {
	l := newLink(t)
	require.NoError(t, l.take(t, l.ask(t)))
	return l
}

func (l *link) use(t testing.TB) (int, error) {
	t.Helper()
	return get(t, l.client(t, l.ref, l.policy()), l.URL+"/api")
}

// end asserts that no token has shown in what the test could see.
func (l *link) clean(t testing.TB, seen ...any) {
	t.Helper()
	l.mu.Lock()
	c := watch(append([]string{clientSecret}, l.secrets...)...)
	l.mu.Unlock()
	for _, v := range seen {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
			if how := c.in(fmt.Appendf(nil, verb, v)); how != "" {
				t.Errorf("%T shows a secret (%s)", v, how)
			}
		}
		for encoding, encode := range encoders() {
			b, err := encode(v)
			if c.in(b) != "" || err != nil && c.in([]byte(err.Error())) != "" {
				t.Errorf("%T shows a secret in %s", v, encoding)
			}
		}
	}
	rows, err := l.store.List(context.Background(), "", "", 100)
	require.NoError(t, err)
	for _, e := range rows {
		r, err := l.store.Load(context.Background(), e.Tenant, e.Name, 0)
		require.NoError(t, err)
		if how := c.in(fmt.Appendf(nil, "%s %s %s %+v", r.Tenant.HeadKey, r.Version.Wrap, r.Version.Body, r)); how != "" {
			t.Errorf("row %s shows a secret (%s)", e.Name, how)
		}
	}
}

// evidence: P30
func TestConsent(t *testing.T) {
	l := newLink(t)
	_, err := l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth, "nobody consented yet")
	require.NoError(t, l.take(t, l.ask(t)))
	c := l.client(t, l.ref, l.policy())
	resp, err := c.Get(l.URL + "/api")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, 0, l.get(func() int { return l.asked }), "the first access token is used")
	l.clock.add(801 * time.Second)
	c = l.client(t, l.ref, l.policy())
	for range 3 {
		code, err := get(t, c, l.URL+"/api")
		require.NoError(t, err)
		require.Equal(t, 200, code)
	}
	require.Equal(t, 1, l.get(func() int { return l.asked }))
	d, err := l.safe.Describe(t.Context(), l.grant(t, "user:idp/admin", "secrets.describe", l.ref.Resource()), l.ref)
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Version, "tokens are not versions of the secret")
	var listed []secrets.Description
	owner := authztest.Resource(t, "tenants/acme/users/7f3a")
	for d, err := range l.safe.List(t.Context(), l.grant(t, "user:idp/admin", "secrets.describe", owner), owner) {
		require.NoError(t, err)
		listed = append(listed, d)
	}
	require.Len(t, listed, 1, "nor secrets of their own")
	l.clean(t, c, c.Transport, resp, resp.Request, d, l.safe, l.handle(t, l.ref), l.scheme())
	require.Empty(t, walk(watch(l.secrets...), c), "reflection")
}

func TestAnswersThatNobodyAwaits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *link, q url.Values)
		want   error
	}{
		"no state":      {func(_ *link, q url.Values) { q.Del("state") }, secrets.ErrState},
		"empty state":   {func(_ *link, q url.Values) { q.Set("state", "") }, secrets.ErrState},
		"other state":   {func(_ *link, q url.Values) { q.Set("state", q.Get("state")[1:]+"A") }, secrets.ErrState},
		"two states":    {func(_ *link, q url.Values) { q.Add("state", q.Get("state")) }, secrets.ErrState},
		"late":          {func(l *link, _ url.Values) { l.clock.add(10 * time.Minute) }, secrets.ErrState},
		"no issuer":     {func(_ *link, q url.Values) { q.Del("iss") }, secrets.ErrState},
		"other issuer":  {func(_ *link, q url.Values) { q.Set("iss", "https://mix.example") }, secrets.ErrState},
		"two issuers":   {func(_ *link, q url.Values) { q.Add("iss", "https://mix.example") }, secrets.ErrState},
		"refused":       {func(_ *link, q url.Values) { q.Set("error", "access_denied") }, secrets.ErrReauth},
		"unknown error": {func(_ *link, q url.Values) { q.Set("error", "echo-of-the-answer") }, secrets.ErrReauth},
		"no code":       {func(_ *link, q url.Values) { q.Del("code") }, nil},
		"two codes":     {func(_ *link, q url.Values) { q.Add("code", "x") }, nil},
		"huge code":     {func(_ *link, q url.Values) { q.Set("code", strings.Repeat("x", 9000)) }, nil},
		"wrong code":    {func(_ *link, q url.Values) { q.Set("code", "code-of-another") }, secrets.ErrReauth},
		"replaced": {func(l *link, _ url.Values) {
			_, err := l.safe.ConsentURL(context.Background(), l.writer(t), l.ref, "ana@example.com")
			require.NoError(t, err)
		}, secrets.ErrState},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t)
			q := l.ask(t)
			c.change(l, q)
			err := l.take(t, q)
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.NotContains(t, err.Error(), "echo-of-the-answer")
			if name != "wrong code" {
				require.Zero(t, l.get(func() int { return l.exchanged }), "nothing was asked")
			}
			_, err = l.use(t)
			require.ErrorIs(t, err, secrets.ErrReauth)
		})
	}
}

func TestAnswersAreTakenOnce(t *testing.T) {
	l := newLink(t)
	q := l.ask(t)
	// Many browsers, two processes, one code.
	other := l.open(t, l.keys, l.keys, l.store)
	g := l.writer(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = []*secrets.Safe{l.safe, other}[i%2].ExchangeCode(context.Background(), g, l.ref, q, l.policy().Roots)
		})
	}
	wg.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
			continue
		}
		require.True(t, errors.Is(err, secrets.ErrState) || errors.Is(err, secrets.ErrConflict), "%v", err)
	}
	require.Equal(t, 1, good)
	require.Equal(t, 1, l.get(func() int { return l.exchanged }))
	// Without the permission, or for a secret of another kind, there is no question.
	_, err := l.safe.ConsentURL(t.Context(), authz.Grant{}, l.ref, "")
	require.ErrorIs(t, err, authz.ErrDenied)
	require.ErrorIs(t, l.safe.ExchangeCode(t.Context(), l.grant(t, "service:conn", "secrets.use", l.ref.Resource()), l.ref, q, nil), authz.ErrDenied)
	b := newRef(t, "tenants/acme", "token")
	l.put(t, b, "the-token", bearer())
	_, err = l.safe.ConsentURL(t.Context(), l.grant(t, "user:idp/admin", "secrets.write", b.Resource()), b, "")
	require.ErrorContains(t, err, `kind "bearer" has none`)
}

// Twenty uses in two processes at the moment when the token must be replaced:
// the provider, which ends all at the second use of a refresh token, is asked once.
func TestRefreshOnceForAll(t *testing.T) {
	l := linked(t)
	other := l.open(t, l.keys, l.keys, l.store)
	other.SetExchangeTimes(2*time.Second, time.Millisecond)
	for round := range 5 {
		l.clock.add(2000 * time.Second)
		g := l.grant(t, "service:conn", "secrets.use", l.ref.Resource())
		var wg sync.WaitGroup
		for i := range 20 {
			h, err := []*secrets.Safe{l.safe, other}[i%2].Handle(g, l.ref)
			require.NoError(t, err)
			c, err := h.HTTPClient(t.Context(), l.policy())
			require.NoError(t, err)
			wg.Go(func() {
				if code, err := get(t, c, l.URL+"/api"); err != nil || code != 200 {
					t.Error(code, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, round+1, l.get(func() int { return l.asked }))
		require.Zero(t, l.get(func() int { return l.gone }))
	}
}

// What was rotated is in the store before it is used: the store that has just
// failed is asked again, and a process that dies after the answer leaves a
// consent that the next one can use.
func TestRotatedTokenIsStoredBeforeItIsUsed(t *testing.T) {
	l := linked(t)
	broken := &outage{Store: l.store}
	safe := l.open(t, l.keys, l.keys, broken)
	l.clock.add(2000 * time.Second)
	l.set(func() {
		l.api = func(http.ResponseWriter, *http.Request) {
			has, _, leased, _, err := safe.Consented(context.Background(), l.ref)
			if err != nil || !has || leased {
				t.Error("used before it was stored", has, leased, err)
			}
		}
		l.hostile = func(http.ResponseWriter, *http.Request, []byte) bool {
			broken.failSave(2) // the answer is on its way
			return false
		}
	})
	h, err := safe.Handle(l.grant(t, "service:conn", "secrets.use", l.ref.Resource()), l.ref)
	require.NoError(t, err)
	c, err := h.HTTPClient(t.Context(), l.policy())
	require.NoError(t, err)
	code, err := get(t, c, l.URL+"/api")
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Equal(t, 1, l.get(func() int { return l.asked }))

	// A store that stays away: no use, nothing lost.
	l.clock.add(900 * time.Second)
	l.set(func() {
		l.hostile = func(http.ResponseWriter, *http.Request, []byte) bool { broken.failSave(1000); return false }
	})
	h, err = safe.Handle(l.grant(t, "service:conn", "secrets.use", l.ref.Resource()), l.ref)
	require.NoError(t, err)
	c, err = h.HTTPClient(t.Context(), l.policy())
	require.NoError(t, err)
	before := len(l.seen())
	l.clock.add(150 * time.Second)
	_, err = get(t, c, l.URL+"/api")
	require.ErrorContains(t, err, "not stored yet")
	require.NotErrorIs(t, err, secrets.ErrReauth)
	require.Len(t, l.seen(), before+1, "the exchange alone")
	_, err = get(t, c, l.URL+"/api")
	require.Error(t, err)
	require.Len(t, l.seen(), before+1, "and it is not repeated")
	broken.failSave(0)
	code, err = get(t, c, l.URL+"/api")
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Equal(t, 2, l.get(func() int { return l.asked }))
	require.Zero(t, l.get(func() int { return l.gone }))
	l.set(func() { l.hostile = nil })

	// Another process goes on from there.
	l.clock.add(2000 * time.Second)
	code, err = l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Zero(t, l.get(func() int { return l.gone }))
}

func TestRefusedConsentIsNotAskedAgain(t *testing.T) {
	l := linked(t)
	l.clock.add(2000 * time.Second)
	l.set(func() { l.refresh = "withdrawn" })
	_, err := l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth)
	require.NotContains(t, err.Error(), "echo-of-the-answer")
	other := l.open(t, l.keys, l.keys, l.store)
	for _, safe := range []*secrets.Safe{l.safe, other, l.safe} {
		l.clock.add(time.Hour)
		h, err := safe.Handle(l.grant(t, "service:conn", "secrets.use", l.ref.Resource()), l.ref)
		require.NoError(t, err)
		c, err := h.HTTPClient(t.Context(), l.policy())
		require.NoError(t, err)
		_, err = get(t, c, l.URL+"/api")
		require.ErrorIs(t, err, secrets.ErrReauth)
	}
	require.Equal(t, 1, l.get(func() int { return l.asked }), "no loop, in no process")
	// Until someone consents anew.
	require.NoError(t, l.take(t, l.ask(t)))
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
}

// A refresh that fails while the token still lives costs nobody anything.
func TestLivingTokenServesMeanwhile(t *testing.T) {
	l := linked(t)
	l.set(func() {
		l.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	})
	l.clock.add(850 * time.Second)
	for range 5 {
		code, err := l.use(t)
		require.NoError(t, err)
		require.Equal(t, 200, code)
	}
	require.Equal(t, 1, l.get(func() int { return l.asked }), "and the provider is left in peace for a while")
	l.clock.add(31 * time.Second)
	_, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 2, l.get(func() int { return l.asked }))
	l.clock.add(100 * time.Second)
	for range 3 {
		_, err = l.use(t)
		require.ErrorContains(t, err, "HTTP 503")
		require.NotErrorIs(t, err, secrets.ErrReauth)
	}
	require.Equal(t, 3, l.get(func() int { return l.asked }))
	l.set(func() { l.before = nil })
	l.clock.add(2 * time.Second)
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code, "it recovers by itself")
}

// The worst that a provider can do to one refresh, and what is left of the
// consent afterwards.
func TestHostileProviders(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		<-r.Context().Done()
		return true
	}
	cut := func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		panic(http.ErrAbortHandler)
	}
	reply := func(code int, kind, body string) func(http.ResponseWriter, *http.Request, []byte) bool {
		return func(w http.ResponseWriter, _ *http.Request, answer []byte) bool {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, strings.ReplaceAll(body, "ECHO", string(answer)))
			return true
		}
	}
	for name, c := range map[string]struct {
		hostile func(http.ResponseWriter, *http.Request, []byte) bool
		asked   int  // within the first use
		reauth  bool // what the first use says
		after   bool // what a later use says, the provider being good again
	}{
		// The answer was lost after the rotation: one more try with the old token, which the provider takes for theft.
		"answer never comes":   {hang, 2, true, true},
		"connection cut":       {cut, 2, true, true},
		"500 after rotation":   {reply(500, "text/plain", "ECHO"), 1, false, true},
		"502 page":             {reply(502, "text/html", "<html>ECHO"), 1, false, true},
		"redirect with tokens": {reply(307, "application/json", "ECHO"), 1, false, true},
		"page":                 {reply(200, "text/html", "ECHO"), 1, false, true},
		"not JSON":             {reply(200, "application/json", "ECHO}"), 1, false, true},
		"no token":             {reply(200, "application/json", `{"token_type":"Bearer"}`), 1, false, true},
		"other type":           {reply(200, "application/json", `{"access_token":"t","token_type":"DPoP"}`), 1, false, true},
		"line in token":        {reply(200, "application/json", `{"access_token":"a\r\nX: y","token_type":"Bearer"}`), 1, false, true},
		"line in refresh":      {reply(200, "application/json", `{"access_token":"a","refresh_token":"b\n","token_type":"Bearer"}`), 1, false, true},
		"huge":                 {reply(200, "application/json", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`), 1, false, true},
		"echo in error":        {reply(400, "application/json", `{"error":"ECHO"}`), 1, true, true},
		"invalid client":       {reply(401, "application/json", `{"error":"invalid_client"}`), 1, true, true},
		"busy":                 {reply(429, "application/json", `{"error":"slow_down"}`), 1, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := linked(t)
			limit := 10 * time.Second
			if name == "answer never comes" {
				limit = 50 * time.Millisecond
			}
			l.safe.SetExchangeTimes(limit, time.Millisecond)
			l.clock.add(2000 * time.Second)
			// The provider's own lock must not keep the second try out.
			l.set(func() {
				l.hostile = func(w http.ResponseWriter, r *http.Request, answer []byte) bool {
					l.mu.Unlock()
					defer l.mu.Lock()
					return c.hostile(w, r, answer)
				}
			})
			before := len(l.seen())
			_, err := l.use(t)
			require.Error(t, err)
			require.Equal(t, c.reauth, errors.Is(err, secrets.ErrReauth), "%v", err)
			require.NotContains(t, err.Error(), "echo-of-the-answer")
			l.clean(t, err, err.Error())
			require.Equal(t, c.asked, l.get(func() int { return l.asked }))
			require.Len(t, l.seen(), before+c.asked, "no token, no request")
			l.set(func() { l.hostile = nil })
			l.clock.add(time.Hour)
			_, err = l.use(t)
			require.Equal(t, c.after, errors.Is(err, secrets.ErrReauth), "%v", err)
			asked := l.get(func() int { return l.asked })
			l.clock.add(time.Hour)
			_, err = l.use(t)
			require.ErrorIs(t, err, secrets.ErrReauth)
			require.Equal(t, asked, l.get(func() int { return l.asked }), "then nobody is asked any more")
			require.NoError(t, l.take(t, l.ask(t)))
			code, err := l.use(t)
			require.NoError(t, err)
			require.Equal(t, 200, code)
		})
	}
}

// A provider that is slow or away before it has rotated anything costs no
// consent: answers lost twice let it rest, and then it is tried again.
func TestOutageOfAProviderEnds(t *testing.T) {
	l := linked(t)
	l.clock.add(2000 * time.Second)
	l.set(func() {
		l.before = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	})
	_, err := l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth)
	require.Equal(t, 2, l.get(func() int { return l.asked }))
	for range 3 {
		l.clock.add(4 * time.Minute)
		_, err = l.use(t)
		require.ErrorIs(t, err, secrets.ErrReauth)
	}
	require.Equal(t, 2, l.get(func() int { return l.asked }), "rests")
	l.set(func() { l.before = nil })
	l.clock.add(4 * time.Minute)
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
}

// A token that the API refuses before its time is replaced once, and one that is
// refused as soon as it is made is not: there would be no end.
func TestConsentTokenThatEndsEarly(t *testing.T) {
	l := linked(t)
	_, err := l.use(t)
	require.NoError(t, err)
	l.clock.add(time.Minute)
	l.set(func() { l.access = map[string]bool{} })
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Equal(t, 1, l.get(func() int { return l.asked }))
	l.set(func() {
		l.api = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	})
	for range 5 {
		code, err = l.use(t)
		require.NoError(t, err)
		require.Equal(t, 401, code)
	}
	require.Equal(t, 1, l.get(func() int { return l.asked }))
}

// A process that took the lease and died: another takes over when it is over,
// and waits until then.
func TestLeaseOfTheDead(t *testing.T) {
	l := linked(t)
	l.clock.add(2000 * time.Second)
	l.set(func() {
		l.hostile = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
			l.mu.Unlock()
			defer l.mu.Lock()
			<-r.Context().Done()
			return true
		}
	})
	dying := l.open(t, l.keys, l.keys, &frozen{Store: l.store, after: 1})
	dying.SetExchangeTimes(20*time.Millisecond, time.Millisecond)
	h, err := dying.Handle(l.grant(t, "service:conn", "secrets.use", l.ref.Resource()), l.ref)
	require.NoError(t, err)
	c, err := h.HTTPClient(t.Context(), l.policy())
	require.NoError(t, err)
	_, err = get(t, c, l.URL+"/api")
	require.Error(t, err)
	_, _, leased, _, err := l.safe.Consented(t.Context(), l.ref)
	require.NoError(t, err)
	require.True(t, leased)

	l.set(func() { l.hostile = nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+"/api", nil)
	require.NoError(t, err)
	asked := l.get(func() int { return l.asked })
	_, err = send(l.client(t, l.ref, l.policy()), r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, asked, l.get(func() int { return l.asked }), "the lease is respected")
	l.clock.add(5 * time.Minute)
	_, err = l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth, "the token that was lost with it had been rotated")
	require.Greater(t, l.get(func() int { return l.asked }), asked)
}

// frozen is a Store that takes so many writes and no more.
type frozen struct {
	secrets.Store
	mu    sync.Mutex
	after int
}

func (f *frozen) Save(ctx context.Context, h secrets.Head, v *secrets.Version, generation uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after--; f.after < 0 {
		return errors.New("frozen")
	}
	return f.Store.Save(ctx, h, v, generation)
}

// A secret that is put again for another provider takes no tokens along.
func TestTokensStayWithTheirProvider(t *testing.T) {
	l := linked(t)
	evil := newProvider(t)
	s := l.scheme()
	s.TokenURL = evil.URL + "/token"
	l.put(t, l.ref, clientSecret, secrets.PutOptions{Scheme: s})
	l.clock.add(2000 * time.Second)
	_, err := get(t, l.client(t, l.ref, evil.policy()), evil.URL)
	require.ErrorIs(t, err, secrets.ErrReauth)
	require.Empty(t, evil.seen())
	// A new client secret alone keeps them.
	l.put(t, l.ref, clientSecret, secrets.PutOptions{Scheme: l.scheme()})
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
}

func TestConsentWithoutRefreshToken(t *testing.T) {
	l := newLink(t)
	l.set(func() { l.noRefresh = true })
	require.NoError(t, l.take(t, l.ask(t)))
	l.clock.add(900 * time.Second)
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	l.clock.add(80 * time.Second)
	_, err = l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth)
	require.Zero(t, l.get(func() int { return l.asked }))
}

// A caller who leaves does not take the tokens along: the exchange ends, and
// closing the Safe waits for it.
func TestCallerLeavesDuringTheExchange(t *testing.T) {
	l := linked(t)
	l.clock.add(2000 * time.Second)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	l.set(func() {
		l.hostile = func(http.ResponseWriter, *http.Request, []byte) bool { close(arrived); <-goOn; return false }
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+"/api", nil)
	require.NoError(t, err)
	done := make(chan error, 1)
	c := l.client(t, l.ref, l.policy())
	go func() { _, err := send(c, r); done <- err }()
	<-arrived
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	close(goOn)
	require.NoError(t, l.safe.Close())
	has, refused, leased, lost, err := l.safe.Consented(t.Context(), l.ref)
	require.NoError(t, err)
	require.True(t, has)
	require.False(t, refused || leased)
	require.Zero(t, lost)
	l.set(func() { l.hostile = nil })
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Equal(t, 1, l.get(func() int { return l.asked }))
}

// Revoking here tells the provider, and says so when the provider does not hear.
func TestRevocationReachesTheProvider(t *testing.T) {
	l := linked(t)
	code, err := l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	l.revoke(t, l.ref)
	require.Equal(t, 1, l.get(func() int { return l.gone }))
	_, err = l.handle(t, l.ref).HTTPClient(t.Context(), l.policy())
	require.ErrorIs(t, err, secrets.ErrNotFound)
	_, err = l.safe.ConsentURL(t.Context(), l.writer(t), l.ref, "")
	require.ErrorIs(t, err, secrets.ErrNotFound)
	has, _, _, _, err := l.safe.Consented(t.Context(), l.ref)
	require.NoError(t, err)
	require.False(t, has)
	// Put again, it has no consent until someone gives one.
	l.put(t, l.ref, clientSecret, secrets.PutOptions{Scheme: l.scheme()})
	_, err = l.use(t)
	require.ErrorIs(t, err, secrets.ErrReauth)
	require.NoError(t, l.take(t, l.ask(t)))
	code, err = l.use(t)
	require.NoError(t, err)
	require.Equal(t, 200, code)

	l.server.Close()
	g := l.grant(t, "user:idp/admin", "secrets.revoke", l.ref.Resource())
	err = l.safe.Revoke(t.Context(), g, l.ref)
	require.ErrorIs(t, err, secrets.ErrNotWithdrawn)
	l.clean(t, err, err.Error())
	_, err = l.handle(t, l.ref).HTTPClient(t.Context(), l.policy())
	require.ErrorIs(t, err, secrets.ErrNotFound, "revoked all the same")
}

// A secret that is revoked while its token is being replaced stays revoked, and
// the tokens that come too late go back.
func TestRevokedDuringTheExchange(t *testing.T) {
	l := linked(t)
	l.clock.add(2000 * time.Second)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	l.set(func() {
		l.hostile = func(http.ResponseWriter, *http.Request, []byte) bool {
			l.mu.Unlock()
			defer l.mu.Lock()
			close(arrived)
			<-goOn
			return false
		}
	})
	c := l.client(t, l.ref, l.policy())
	done := make(chan error, 1)
	go func() { _, err := get(t, c, l.URL+"/api"); done <- err }()
	<-arrived
	l.revoke(t, l.ref)
	close(goOn)
	require.Error(t, <-done)
	require.NoError(t, l.safe.Close())
	require.Equal(t, 1, l.get(func() int { return l.gone }), "the late ones")
	has, _, _, _, err := l.safe.Consented(t.Context(), l.ref)
	require.NoError(t, err)
	require.False(t, has)
}
