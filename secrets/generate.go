package secrets

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Generate makes a key inside the safe, where it stays, for a scheme that signs
// with one: of its Algorithm, with SAMLBearer RSA. It returns the self-signed
// certificate in PEM, good until the given time, for the other system to trust.
// Permission and versions are as with Put.
func (s *Safe) Generate(ctx context.Context, g authz.Grant, ref Ref, o PutOptions, until time.Time) (certificate string, err error) {
	if err := s.may(g, "secrets.write", ref); err != nil {
		return "", err // before the work of making a key
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("secrets: generate %s: %w", ref, err) }
	a, name := o.Scheme.Algorithm, o.Scheme.Issuer
	switch k := o.Scheme.Kind; {
	case k == SAMLBearer:
		a = RS256
	case k == JWTBearer || k == SigningKey || k == JWTKey:
	case (k == OAuthCode || k == ClientCredentials) && o.Scheme.ClientAuth == ClientJWT:
		name = o.Scheme.ClientID
	default:
		return fail(fmt.Errorf("kind %q has no signing key", k))
	}
	key, err := a.generate()
	if err != nil {
		return fail(err)
	}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: s.now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return fail(err)
	}
	p8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	defer clear(p8)
	o.Scheme.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err := s.Put(ctx, g, ref, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}), o); err != nil {
		return "", err
	}
	return o.Scheme.Certificate, nil
}
