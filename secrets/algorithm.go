package secrets

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes below
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Algorithm is how a key signs (RFC 7518 section 3.1, RFC 8037).
type Algorithm string

// Algorithms.
const (
	RS256 Algorithm = "RS256" // RSA PKCS #1 v1.5 with SHA-256, at least 2048 bits
	PS256 Algorithm = "PS256" // RSA-PSS with SHA-256, salt as long as the hash
	ES256 Algorithm = "ES256" // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
	HS256 Algorithm = "HS256" // HMAC with SHA-256
	HS512 Algorithm = "HS512" // HMAC with SHA-512
)

// hash is what the algorithm hashes with, zero if it is not known. Ed25519
// hashes by itself.
func (a Algorithm) hash() crypto.Hash {
	switch a {
	case RS256, PS256, ES256, HS256:
		return crypto.SHA256
	case HS512, EdDSA:
		return crypto.SHA512
	}
	return 0
}

func (a Algorithm) symmetric() bool { return a == HS256 || a == HS512 }

// fits checks that a key is one of the algorithm.
func (a Algorithm) fits(key crypto.Signer) error {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if (a == RS256 || a == PS256) && k.N.BitLen() >= 2048 {
			return nil
		}
	case *ecdsa.PrivateKey:
		if a == ES256 && k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PrivateKey:
		if a == EdDSA {
			return nil
		}
	}
	return fmt.Errorf("value: PRIVATE KEY is not one for %s (RSA of at least 2048 bits, P-256 or Ed25519)", a)
}

// generate makes a key of the algorithm.
func (a Algorithm) generate() (crypto.Signer, error) {
	switch a {
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, 3072)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	return nil, fmt.Errorf("algorithm %q has no key pair", a)
}

// sign signs a message; ECDSA in ASN.1.
func (a Algorithm) sign(key crypto.Signer, message []byte) ([]byte, error) {
	if a == EdDSA {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	h := a.hash().New()
	h.Write(message)
	return a.signDigest(key, h.Sum(nil))
}

func (a Algorithm) signDigest(key crypto.Signer, digest []byte) ([]byte, error) {
	switch a {
	case RS256, ES256:
		return key.Sign(rand.Reader, digest, crypto.SHA256)
	case PS256:
		return key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return nil, fmt.Errorf("algorithm %q signs no digest", a)
}

// signJWT signs the text of a JWT; ECDSA as two numbers of 32 bytes (RFC 7518
// section 3.4).
func (a Algorithm) signJWT(key crypto.Signer, text []byte) ([]byte, error) {
	sig, err := a.sign(key, text)
	if err != nil || a != ES256 {
		return sig, err
	}
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &v); err != nil || v.R.BitLen() > 256 || v.S.BitLen() > 256 {
		return nil, errors.New("secrets: signature has no known form")
	}
	out := make([]byte, 64)
	v.R.FillBytes(out[:32])
	v.S.FillBytes(out[32:])
	return out, nil
}

func (a Algorithm) mac(key, message []byte) []byte {
	m := hmac.New(a.hash().New, key)
	m.Write(message)
	return m.Sum(nil)
}
