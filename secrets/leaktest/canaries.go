package leaktest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Canaries makes n secrets that all differ, the same ones for the same seed:
// passwords with quotes, blanks, umlauts and emoji, tokens of several alphabets
// and lengths, JWT, and private keys in PEM, in turn. None is a secret of
// anybody's. Each has 16 bytes or more.
func Canaries(seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 0x6c65616b))
	seen := map[string]bool{}
	var out []string
	for len(out) < n {
		c := kinds[len(out)%len(kinds)](r)
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	return out
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	signs   = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

var kinds = [...]func(r *rand.Rand) string{
	func(r *rand.Rand) string { return pick(r, 16+r.IntN(8), []rune(letters+signs)) },              // password
	func(r *rand.Rand) string { return base64.StdEncoding.EncodeToString(some(r, 24+r.IntN(40))) }, // token
	func(r *rand.Rand) string {
		return pick(r, 14+r.IntN(12), []rune(letters+signs+"äöüßÄÖÜéñçøåžł")) + "ü" + digits(r)
	},
	func(r *rand.Rand) string { return base64.RawURLEncoding.EncodeToString(some(r, 18+r.IntN(80))) },
	func(r *rand.Rand) string {
		return pick(r, 12+r.IntN(8), []rune(letters+"🔑🐦🎄👩‍🚀😀日本語")) + "🔑" + digits(r)
	},
	func(r *rand.Rand) string { return hex.EncodeToString(some(r, 10+r.IntN(30))) },
	jwt,
	func(r *rand.Rand) string { return pick(r, 18+r.IntN(30), []rune(letters+"-._~+/=")) }, // RFC 6750 token
	keyPEM,
	func(r *rand.Rand) string { // client secret as vendors write it
		b := some(r, 16)
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	},
	func(r *rand.Rand) string { return pick(r, 200+r.IntN(1800), []rune(letters+"._-")) }, // a long token
}

func pick(r *rand.Rand, n int, from []rune) string {
	var b strings.Builder
	for range n {
		b.WriteRune(from[r.IntN(len(from))])
	}
	// No blank at an end: headers and forms lose it.
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "  ", " x") + digits(r)
}

func digits(r *rand.Rand) string { return fmt.Sprintf("%04d", r.IntN(10000)) }

func some(r *rand.Rand, n int) []byte {
	b := make([]byte, n, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i : n+8][:8], r.Uint64())
	}
	return b
}

func jwt(r *rand.Rand) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + e(fmt.Appendf(nil, `{"sub":"%x","exp":%d}`, some(r, 8), 1_800_000_000+r.IntN(1000))) + "." + e(some(r, 64))
}

func keyPEM(r *rand.Rand) string {
	var key any = ed25519.NewKeyFromSeed(some(r, 32))
	if r.IntN(2) == 0 {
		d := some(r, 32)
		d[0] &= 0x7f // below the order of the group
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
		if err != nil {
			panic(err)
		}
		key = k
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
