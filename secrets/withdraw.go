package secrets

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// ErrNotWithdrawn means that a secret was revoked here, and that the provider of
// its tokens was told (RFC 7009) and did not confirm: what it issued may be good
// until it ends by itself.
var ErrNotWithdrawn = errors.New("secrets: revoked here, the provider did not confirm")

// withdraw opens a secret that is about to be revoked. What it returns takes away
// its tokens, once the secret is revoked, and tells the provider.
func (s *Safe) withdraw(ctx context.Context, g authz.Grant, ref Ref) (tell func(context.Context) error) {
	m := &material{}
	if c, _, err := s.use(ctx, g, "secrets.revoke", ref); err == nil { // what does not open is revoked all the same
		m = c.open()
	}
	return func(ctx context.Context) error {
		st, err := s.dropConsent(ctx, ref)
		if err != nil {
			return fmt.Errorf("secrets: revoke %s: its tokens: %w", ref, err)
		}
		cached, roots := s.tokens.take(ref)
		if m.scheme.RevokeURL == "" {
			return nil
		}
		give := [][2]string{}
		switch {
		case st.Refresh != "" && st.Client == m.scheme.client():
			give = append(give, [2]string{st.Refresh, "refresh_token"}) // and with it what came of it (section 2.1)
		case st.Access != "" && st.Client == m.scheme.client():
			give = append(give, [2]string{st.Access, "access_token"})
		default:
			for _, t := range cached {
				give = append(give, [2]string{strings.TrimPrefix(t.header(), "Bearer "), "access_token"})
			}
		}
		for _, t := range give {
			if err := s.giveBack(ctx, m, roots, t[0], t[1]); err != nil {
				return fmt.Errorf("secrets: revoke %s: %w: %w", ref, err, ErrNotWithdrawn)
			}
		}
		return nil
	}
}

// giveBack tells a provider that a token is over, even if the caller has left.
func (s *Safe) giveBack(ctx context.Context, m *material, roots *x509.CertPool, token, hint string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err := s.post(ctx, m, m.scheme.RevokeURL, roots, url.Values{"token": {token}, "token_type_hint": {hint}})
	return err
}
