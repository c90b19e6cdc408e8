package secrets

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// token is an access token, with when to replace it. The zero token is none.
type token struct {
	header func() string // a closure: reflection does not look inside
	until  time.Time     // when to get the next
}

func bearerToken(access string, until time.Time) token {
	header := "Bearer " + access
	return token{func() string { return header }, until}
}

// tokens keeps access tokens by secret and version, one exchange at a time for
// each.
type tokens struct {
	mu      sync.Mutex
	m       map[tokenKey]*tokenSlot
	running sync.WaitGroup
	ending  bool       // someone waits for running: nothing is added
	closing sync.Mutex // one at a time waits
	wait    exchangeTimes
}

// exchangeTimes are the bounds of an exchange; zero is the default of each.
type exchangeTimes struct {
	limit time.Duration // for one answer; 30 s
	pause time.Duration // before a request whose answer was lost is sent again; 2 s
}

func (e exchangeTimes) get() exchangeTimes {
	if e.limit == 0 {
		e.limit = 30 * time.Second
	}
	if e.pause == 0 {
		e.pause = 2 * time.Second
	}
	return e
}

type tokenKey struct {
	ref     Ref
	version uint64
}

type tokenSlot struct {
	turn chan struct{} // holds one token: whose turn it is to exchange
	mu   sync.Mutex
	tok  token
	// roots of the last use, for whoever has to tell the provider.
	roots *x509.CertPool
	// unsaved are tokens that a provider gave and the store has not taken yet.
	unsaved func() (was, is consentState)
	// failed is why the last exchange brought nothing, for a moment.
	failed    error
	failUntil time.Time
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

// take empties a secret's slots and returns the tokens that were there, and by
// which authorities they came.
func (t *tokens) take(r Ref) (out []token, roots *x509.CertPool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, s := range t.m {
		if k.ref == r {
			s.mu.Lock()
			if s.tok.header != nil {
				out = append(out, s.tok)
			}
			roots = s.roots
			s.mu.Unlock()
			delete(t.m, k)
		}
	}
	return out, roots
}

func (t *tokens) drop(r Ref) { t.take(r) }

// dropTenant drops the tokens of every secret of a tenant.
func (t *tokens) dropTenant(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.m {
		if k.ref.tenant() == tenant {
			delete(t.m, k)
		}
	}
}

// forget drops all tokens, after the exchanges that are under way have ended:
// what a provider has just rotated must be stored.
func (t *tokens) forget() {
	t.closing.Lock()
	defer t.closing.Unlock()
	t.mu.Lock()
	t.ending = true
	t.mu.Unlock()
	t.running.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = false
	t.m = nil
}

// start runs f as an exchange for which forget waits, unless it waits already.
func (t *tokens) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return false
	}
	t.running.Go(f)
	return true
}

// tokenSource gets access tokens for one secret.
type tokenSource struct {
	safe    *Safe
	ref     Ref
	version uint64
	cred    *credential
	roots   *x509.CertPool
}

var errClosing = errors.New("secrets: the safe is being closed")

// header returns an Authorization header, exchanging only when there is none
// that is good and different from the stale one. An exchange goes on when the
// caller leaves: what it brings may be the only copy.
func (t *tokenSource) header(ctx context.Context, stale string) (string, error) {
	s := t.safe.tokens.slot(tokenKey{t.ref, t.version})
	s.mu.Lock()
	s.roots = t.roots
	s.mu.Unlock()
	if h := s.good(t.safe.now(), stale); h != "" {
		return h, nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if h := s.good(t.safe.now(), stale); h != "" {
		<-s.turn
		return h, nil
	}
	type result struct {
		tok token
		err error
	}
	done := make(chan result, 1)
	if !t.safe.tokens.start(func() {
		defer func() { <-s.turn }()
		tok, err := t.exchange(context.WithoutCancel(plainContext{ctx}), s, stale)
		if err == nil {
			s.mu.Lock()
			s.tok = tok
			s.mu.Unlock()
		}
		done <- result{tok, err}
	}) {
		<-s.turn
		return "", errClosing
	}
	select {
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("secrets: token for %s: %w", t.ref, r.err)
		}
		return r.tok.header(), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *tokenSlot) good(now time.Time, stale string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tok.header != nil && s.tok.header() != stale && now.Before(s.tok.until) {
		return s.tok.header()
	}
	return ""
}

func (t *tokenSource) exchange(ctx context.Context, s *tokenSlot, stale string) (token, error) {
	m := t.cred.open()
	if m.scheme.Kind == OAuthCode {
		return t.refresh(ctx, s, stale)
	}
	now := t.safe.now()
	form := url.Values{}
	var err error
	switch m.scheme.Kind {
	case SAMLBearer:
		var a string
		if a, err = m.assertion(now); err == nil {
			form = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:saml2-bearer"}, "assertion": {a}, "client_id": {m.scheme.ClientID}}
		}
	case JWTBearer:
		var a string
		if a, err = m.serviceAssertion(now); err == nil {
			form = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {a}}
		}
	case ClientCredentials:
		form.Set("grant_type", "client_credentials")
	default:
		err = fmt.Errorf("kind %q gets no tokens", m.scheme.Kind)
	}
	if err != nil {
		return token{}, err
	}
	if m.scheme.Scope != "" && m.scheme.Kind != JWTBearer {
		form.Set("scope", m.scheme.Scope)
	}
	a, err := t.safe.ask(ctx, m, m.scheme.TokenURL, t.roots, form)
	if err != nil {
		return token{}, err
	}
	return bearerToken(a.access, now.Add(early(a.life))), nil
}

// early is when to replace what lives so long: at 75 to 80 % of its life, not
// at the same moment for all.
func early(life time.Duration) time.Duration {
	return life*3/4 + rand.N(life/20+1) //nolint:gosec // spreads load, hides nothing
}

// answer is what a token endpoint gave.
type answer struct {
	access, refresh string
	life            time.Duration // of the access token
}

// refusal is a token endpoint's no. Its text is one that the standards have,
// never the endpoint's own.
type refusal struct {
	status int
	code   string
}

func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("HTTP %d", r.status)
	}
	return fmt.Sprintf("HTTP %d %s", r.status, r.code)
}

// Unwrap is ErrReauth for a no that asking again does not change.
func (r *refusal) Unwrap() error {
	switch {
	case r.code == "temporarily_unavailable" || r.code == "server_error" || r.code == "slow_down":
		return nil
	case r.status == http.StatusBadRequest || r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		return ErrReauth
	}
	return nil
}

// lost marks an error after which nobody knows whether the other side acted.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// oauthCodes are the error codes that may be repeated (RFC 6749 sections 4.1.2.1
// and 5.2, RFC 7009 section 2.2.1, OpenID Connect core section 3.1.2.6).
var oauthCodes = [...]string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable", "slow_down",
	"unsupported_token_type", "interaction_required", "login_required", "account_selection_required", "consent_required"}

func oauthCode(code string) string {
	for _, known := range oauthCodes {
		if code == known {
			return known
		}
	}
	return ""
}

const maxAnswer = 1 << 20 // bytes of a token endpoint's answer

// ask posts a form to a token endpoint in the client's name.
func (s *Safe) ask(ctx context.Context, m *material, address string, roots *x509.CertPool, form url.Values) (answer, error) {
	body, err := s.post(ctx, m, address, roots, form)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(body)
}

// readAnswer reads what an endpoint gives (RFC 6749 section 5.1). A life that
// makes no sense becomes a short one.
func readAnswer(body []byte) (answer, error) {
	var v struct {
		Access  string      `json:"access_token"`
		Refresh string      `json:"refresh_token"`
		Type    string      `json:"token_type"`
		Life    json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &v); err != nil || v.Access == "" || !strings.EqualFold(v.Type, "bearer") || !printable(v.Access) || !printable(v.Refresh) {
		return answer{}, errors.New("answer is no bearer token")
	}
	life, err := v.Life.Int64()
	if err != nil || life <= 0 || life > 24*3600 {
		life = 300
	}
	return answer{v.Access, v.Refresh, time.Duration(life) * time.Second}, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// post sends a form with what proves the client and returns the body of a 200.
// Nothing of another answer's body but a known code gets into the error.
func (s *Safe) post(ctx context.Context, m *material, address string, roots *x509.CertPool, form url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(plainContext{ctx}, s.tokens.wait.get().limit)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	shown := []string{}
	user := ""
	switch auth := m.scheme.ClientAuth; {
	case auth == ClientJWT:
		a, err := m.clientAssertion(s.now())
		if err != nil {
			return nil, fmt.Errorf("client assertion: %w", err)
		}
		form.Set("client_id", m.scheme.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", a)
	case m.scheme.Kind == JWTBearer: // the assertion is all
	case auth == ClientPost:
		form.Set("client_id", m.scheme.ClientID)
		form.Set("client_secret", string(m.secret))
	case len(m.secret) > 0:
		user = url.QueryEscape(m.scheme.ClientID)
	default:
		form.Set("client_id", m.scheme.ClientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("address is none")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if user != "" { // escaped before Basic: RFC 6749 section 2.3.1
		req.SetBasicAuth(user, url.QueryEscape(string(m.secret)))
	}
	shown = append(shown, shapes(req.Header.Get("Authorization"))...)
	shown = append(shown, string(m.secret))
	for _, name := range []string{"assertion", "client_assertion", "refresh_token", "code", "code_verifier", "token"} {
		shown = append(shown, form.Get(name))
	}
	resp, err := s.wires.get(originOf(req.URL), roots, "")(req)
	if err != nil {
		err = fmt.Errorf("endpoint not reached: %w", withhold(err, shown...))
		if sent.Load() {
			return nil, &lost{err}
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(newAnswer(req.Context(), resp.Body, maxAnswer))
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("answer: %w", err)
	case err != nil:
		return nil, &lost{fmt.Errorf("answer: %w", withhold(err, shown...))}
	case resp.StatusCode != http.StatusOK:
		var v struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(body, &v) // no JSON is no code
		return nil, &refusal{resp.StatusCode, oauthCode(v.Error)}
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, errors.New("answer is a page for people")
	}
	return body, nil
}
