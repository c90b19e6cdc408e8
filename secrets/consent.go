package secrets

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// kindConsent is the row below an OAuthCode secret that has its tokens. Its name
// is no Ref, so that nobody can put or use it as a secret of its own.
const kindConsent Kind = "oauth-consent"

// consentTime is how long a person may take to consent.
const consentTime = 10 * time.Minute

// consentState is what an OAuthCode secret has got, sealed in a row of its own:
// tokens change every hour, and the secret that they belong to does not.
type consentState struct {
	Client  string    `json:"client"` // to whom and by whom the tokens were issued
	Access  string    `json:"access,omitempty"`
	Refresh string    `json:"refresh,omitempty"`
	From    time.Time `json:"from,omitzero"`  // when the access token was asked for
	Until   time.Time `json:"until,omitzero"` // when it ends
	Refused bool      `json:"refused,omitempty"`

	Lost   int       `json:"lost,omitempty"` // answers to this refresh token that never came
	LostAt time.Time `json:"lost_at,omitzero"`

	Lease      string    `json:"lease,omitempty"` // who exchanges
	LeaseUntil time.Time `json:"lease_until,omitzero"`

	// A question to a person that is open.
	State    string    `json:"state,omitempty"`
	Verifier string    `json:"verifier,omitempty"`
	AskUntil time.Time `json:"ask_until,omitzero"`
}

// client names what tokens are bound to: a secret that is put again for another
// provider or client does not send it the tokens of the first.
func (s Scheme) client() string {
	sum := sha256.New()
	for _, f := range []string{s.TokenURL, s.ClientID, s.Issuer} {
		fmt.Fprintf(sum, "%d %s", len(f), f)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// consentRow is the row of a Ref's tokens.
func consentRow(ref Ref) (string, error) {
	at, err := ref.at.Child("oauth", "consent")
	if err != nil {
		return "", fmt.Errorf("secrets: consent: %w", err)
	}
	return at.String(), nil
}

// consent reads what an OAuthCode secret has got, and the revision of its row. A
// row that is not there or was taken back is an empty state.
func (s *Safe) consent(ctx context.Context, ref Ref) (consentState, uint64, error) {
	name, err := consentRow(ref)
	if err != nil {
		return consentState{}, 0, err
	}
	r, _, err := s.loadNamed(ctx, ref.tenant(), name, 0)
	switch {
	case err != nil:
		return consentState{}, 0, err
	case r.Head.Revision == 0 || r.Head.Revoked:
		return consentState{}, r.Head.Revision, nil
	case r.Head.Kind != kindConsent || !r.Version.of(r.Head):
		return consentState{}, 0, ErrTampered
	}
	plain, _, err := s.plain(ctx, &r.Version)
	if err != nil {
		return consentState{}, 0, err
	}
	defer clear(plain)
	var st consentState
	if err := json.Unmarshal(plain, &st); err != nil {
		return consentState{}, 0, ErrTampered
	}
	return st, r.Head.Revision, nil
}

// setConsent writes it, unless another did since: ErrConflict.
func (s *Safe) setConsent(ctx context.Context, ref Ref, st consentState, ifRevision uint64) error {
	plain, err := json.Marshal(st)
	if err != nil {
		return errors.New("secrets: consent: no JSON")
	}
	defer clear(plain)
	return s.saveConsent(ctx, ref, plain, ifRevision)
}

// saveConsent writes a new state over a revision, or none and takes the row back.
func (s *Safe) saveConsent(ctx context.Context, ref Ref, plain []byte, ifRevision uint64) error {
	name, err := consentRow(ref)
	if err != nil {
		return err
	}
	r, hk, err := s.loadNamed(ctx, ref.tenant(), name, 0)
	if err != nil {
		return err
	}
	if hk == nil || r.Head.Revision != ifRevision {
		return ErrConflict
	}
	now := whole(s.now())
	h := Head{Name: name, Tenant: ref.tenant(), Revision: r.Head.Revision + 1, Current: r.Head.Current, Oldest: r.Head.Current + 1, Kind: kindConsent,
		Created: r.Head.Created, Changed: now, Revoked: plain == nil}
	if h.Created.IsZero() {
		h.Created = now
	}
	var v *Version
	if plain != nil {
		h.Current++ // and none is kept but that
		k, _, err := s.keys.cache.get(ctx, cacheKey{h.Tenant, r.Tenant.Generation}, len(plain))
		if err != nil {
			return err
		}
		v = &Version{Name: name, Tenant: h.Tenant, Number: h.Current, Kind: h.Kind, Created: now, KeyVersion: k.version}
		sealed, err := seal(nil, k, s.at(v), plain)
		if err != nil {
			return err
		}
		v.Wrap, v.Body = split(sealed)
	}
	h.MAC = hk.sum(s.deployment, h)
	if err := s.store.Save(ctx, h, v, r.Tenant.Generation); err != nil {
		return err
	}
	s.marks.raise(name, h.Revision)
	return nil
}

// dropConsent takes the tokens away for good and returns what they were.
func (s *Safe) dropConsent(ctx context.Context, ref Ref) (consentState, error) {
	for range 8 {
		st, revision, err := s.consent(ctx, ref)
		if errors.Is(err, ErrTampered) { // what cannot be read can still be taken away
			var name string
			var r Record
			if name, err = consentRow(ref); err == nil {
				r, _, err = s.loadNamed(ctx, ref.tenant(), name, 0)
			}
			revision = r.Head.Revision
		}
		if err != nil {
			return consentState{}, err
		}
		if revision == 0 {
			return st, nil
		}
		if err = s.saveConsent(ctx, ref, nil, revision); !errors.Is(err, ErrConflict) {
			return st, err
		}
	}
	return consentState{}, ErrConflict
}

// changeConsent reads, changes and writes, again when another wrote meanwhile.
func (s *Safe) changeConsent(ctx context.Context, ref Ref, change func(*consentState) error) error {
	for range 8 {
		st, v, err := s.consent(ctx, ref)
		if err != nil {
			return err
		}
		if err := change(&st); err != nil {
			return err
		}
		if err := s.setConsent(ctx, ref, st, v); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// codeScheme opens an OAuthCode secret for someone who may write it.
func (s *Safe) codeScheme(ctx context.Context, g authz.Grant, ref Ref) (*material, error) {
	if err := s.may(g, "secrets.write", ref); err != nil {
		return nil, err
	}
	c, _, err := s.use(ctx, g, "secrets.write", ref)
	if err != nil {
		return nil, err
	}
	m := c.open()
	if m.scheme.Kind != OAuthCode {
		return nil, fmt.Errorf("secrets: consent for %s: kind %q has none", ref, m.scheme.Kind)
	}
	return m, nil
}

// ConsentURL begins to ask a person for consent (RFC 6749 section 4.1.1 with
// PKCE, RFC 7636) and returns where to send the browser. It needs a Grant of
// secrets.write. The hint, usually a mail address, tells the provider who is to
// sign in; it may be empty.
//
// The state and the verifier are sealed in the store, for ten minutes, one
// question for each secret: a new one replaces the last, and its answer is
// taken once, by whichever process it reaches.
func (s *Safe) ConsentURL(ctx context.Context, g authz.Grant, ref Ref, hint string) (string, error) {
	m, err := s.codeScheme(ctx, g, ref)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(m.scheme.AuthURL)
	if err != nil {
		return "", fmt.Errorf("secrets: consent for %s: auth_url is none", ref)
	}
	state, verifier := rand.Text()+rand.Text(), rand.Text()+rand.Text() // 52 letters each, 256 bits
	err = s.changeConsent(ctx, ref, func(st *consentState) error {
		st.State, st.Verifier, st.AskUntil = state, verifier, s.now().Add(consentTime)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("secrets: consent for %s: %w", ref, err)
	}
	sum := sha256.Sum256([]byte(verifier))
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", m.scheme.ClientID)
	q.Set("redirect_uri", m.scheme.RedirectURL)
	q.Set("state", state)
	q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
	q.Set("code_challenge_method", "S256")
	if m.scheme.Scope != "" {
		q.Set("scope", m.scheme.Scope)
	}
	if hint != "" {
		q.Set("login_hint", hint)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// ErrState means that an answer from a provider belongs to no open question: it
// is forged, late, or was taken before.
var ErrState = errors.New("secrets: no such consent is awaited")

// ExchangeCode takes the query with which a provider sent the person back,
// exchanges its code inside (RFC 6749 section 4.1.3) and stores the tokens, which
// the caller never sees. It needs a Grant of secrets.write. Roots are the
// authorities trusted for the token endpoint; nil: the machine's.
//
// An answer whose state is not the awaited one is ErrState and changes nothing.
// Where the scheme names an Issuer, the answer must name the same (RFC 9207).
// An answer with the right state is used up even when it fails: ask again.
func (s *Safe) ExchangeCode(ctx context.Context, g authz.Grant, ref Ref, query url.Values, roots *x509.CertPool) error {
	m, err := s.codeScheme(ctx, g, ref)
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("secrets: consent for %s: %w", ref, err) }
	verifier := ""
	err = s.changeConsent(ctx, ref, func(st *consentState) error {
		given := query["state"]
		if len(given) != 1 || st.State == "" || subtle.ConstantTimeCompare([]byte(given[0]), []byte(st.State)) != 1 || !s.now().Before(st.AskUntil) {
			return ErrState
		}
		verifier = st.Verifier
		st.State, st.Verifier, st.AskUntil = "", "", time.Time{}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if iss := query["iss"]; m.scheme.Issuer != "" && (len(iss) != 1 || iss[0] != m.scheme.Issuer) {
		return fail(fmt.Errorf("another issuer answered: %w", ErrState))
	}
	if query.Has("error") {
		code := oauthCode(query.Get("error"))
		if code == "" {
			code = "unknown error"
		}
		return fail(fmt.Errorf("refused: %s: %w", code, ErrReauth))
	}
	code := query["code"]
	if len(code) != 1 || code[0] == "" || len(code[0]) > 8<<10 {
		return fail(errors.New("answer has no code"))
	}
	now := s.now()
	a, err := s.ask(ctx, m, m.scheme.TokenURL, roots, url.Values{"grant_type": {"authorization_code"}, "code": code,
		"redirect_uri": {m.scheme.RedirectURL}, "code_verifier": {verifier}})
	if err != nil {
		return fail(err)
	}
	// The tokens are there: a caller who leaves now must not lose them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = s.changeConsent(ctx, ref, func(st *consentState) error {
		ask := *st
		*st = consentState{Client: m.scheme.client(), Access: a.access, Refresh: a.refresh, From: now, Until: now.Add(a.life)}
		st.State, st.Verifier, st.AskUntil = ask.State, ask.Verifier, ask.AskUntil // someone asks again already
		return nil
	})
	if err != nil {
		return fail(err)
	}
	s.tokens.drop(ref)
	return nil
}
