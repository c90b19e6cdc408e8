package secrets

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// opened begins a use of one of the kinds and opens the secret for it.
func (h Handle) opened(ctx context.Context, what string, kinds ...Kind) (*material, error) {
	if err := h.must(ctx, what); err != nil {
		return nil, err
	}
	c, version, err := h.h.safe.use(ctx, h.h.g, "secrets.use", h.h.ref)
	if err != nil {
		return nil, err
	}
	if h.h.version != 0 && h.h.version != version {
		return nil, fmt.Errorf("secrets: use %s: %w", h.h.ref, ErrConflict)
	}
	m := c.open()
	if !slices.Contains(kinds, m.scheme.Kind) {
		return nil, fmt.Errorf("secrets: %s %s: kind %q is not for that", what, h.h.ref, m.scheme.Kind)
	}
	return m, nil
}

// Sign signs a message with a SigningKey by the algorithm of its scheme: ECDSA
// in ASN.1, RSA and Ed25519 as they are. The Grant and the secret's revocation
// are looked up before.
func (h Handle) Sign(ctx context.Context, message []byte) ([]byte, error) {
	m, err := h.opened(ctx, "sign", SigningKey)
	if err != nil {
		return nil, err
	}
	sig, err := m.scheme.Algorithm.sign(m.key, message)
	if err != nil {
		return nil, fmt.Errorf("secrets: sign %s: failed", h.h.ref)
	}
	return sig, nil
}

// SignDigest is Sign for a message that was hashed already, with SHA-256.
// Ed25519 signs no digests.
func (h Handle) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	m, err := h.opened(ctx, "sign", SigningKey)
	if err != nil {
		return nil, err
	}
	if a := m.scheme.Algorithm; a == EdDSA || len(digest) != a.hash().Size() {
		return nil, fmt.Errorf("secrets: sign %s: digest: want a SHA-256 of 32 bytes and an algorithm that signs digests, not %s", h.h.ref, a)
	}
	sig, err := m.scheme.Algorithm.signDigest(m.key, digest)
	if err != nil {
		return nil, fmt.Errorf("secrets: sign %s: failed", h.h.ref)
	}
	return sig, nil
}

// HMAC authenticates a message with an HMACKey by the algorithm of its scheme.
func (h Handle) HMAC(ctx context.Context, message []byte) ([]byte, error) {
	m, err := h.opened(ctx, "hmac", HMACKey)
	if err != nil {
		return nil, err
	}
	return m.scheme.Algorithm.mac(m.secret, message), nil
}

// MintJWT signs claims with a JWTKey. Algorithm, kid and lifetime are the
// scheme's: iat, nbf, exp and jti are set here and must not be among the claims.
// Where the scheme has an Issuer, Subject or Audience, iss, sub or aud is that,
// and another one is refused.
func (h Handle) MintJWT(ctx context.Context, claims map[string]any) (string, error) {
	m, err := h.opened(ctx, "jwt", JWTKey)
	if err != nil {
		return "", err
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("secrets: jwt %s: %w", h.h.ref, err) }
	all := maps.Clone(claims)
	if all == nil {
		all = map[string]any{}
	}
	for _, name := range []string{"iat", "nbf", "exp", "jti"} {
		if _, ok := all[name]; ok {
			return fail(fmt.Errorf("claims: %s is set by the scheme", name))
		}
	}
	for name, fixed := range map[string]string{"iss": m.scheme.Issuer, "sub": m.scheme.Subject, "aud": m.scheme.Audience} {
		if fixed == "" {
			continue
		}
		if v, ok := all[name]; ok && v != fixed {
			return fail(fmt.Errorf("claims: %s is fixed by the scheme", name))
		}
		all[name] = fixed
	}
	m.scheme.times(all, h.h.safe.now().Truncate(time.Second))
	all["nbf"] = all["iat"]
	text, err := m.jwt(all, nil)
	if err != nil {
		return fail(err)
	}
	return text, nil
}
