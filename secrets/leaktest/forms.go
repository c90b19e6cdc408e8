package leaktest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// value is what of a canary is looked for in every form.
type value struct {
	b    []byte
	part string // "", or which part of the canary it is
}

// longest is the length of a value that is looked for in one piece.
const longest = 128

// values says what of a canary is secret: all of it, either half, or, of a key
// in PEM, the private numbers, and of a JWT what follows its header.
func values(canary string) []value {
	b := []byte(canary)
	block, _ := pem.Decode(b)
	if block == nil {
		return pieces(b[jwtHeader(canary):], "")
	}
	parts := private(block)
	if parts == nil {
		parts = map[string][]byte{"PEM content": block.Bytes}
	}
	var out []value
	for name, n := range parts {
		out = append(out, pieces(n, " of the "+name)...)
		// And as it stands in the text, which may be written in some other way again.
		if at := bytes.Index(block.Bytes, n); at >= 0 {
			text := base64.RawStdEncoding.EncodeToString(block.Bytes)
			out = append(out, pieces([]byte(text[(at*8+5)/6:(at+len(n))*8/6]), " of the PEM text of the "+name)...)
		}
	}
	return out
}

// pieces are a value and its halves, or, where it is long, pieces of it: a third
// of what a line of base64 holds, so that some are in one piece wherever lines end.
func pieces(b []byte, part string) (out []value) {
	if len(b) > longest {
		const n = 32
		for at := 0; at+n <= len(b); at += n {
			out = append(out, value{b[at : at+n], cmpOr(part, " of a part")})
		}
		return append(out, value{b[len(b)-n:], cmpOr(part, " of a part")})
	}
	if len(b) < MinLength {
		return nil
	}
	out = []value{{b, part}}
	if h := len(b) / 2; h >= MinLength {
		out = append(out, value{b[:h], part + " of the first half"}, value{b[len(b)-h:], part + " of the last half"})
	}
	return out
}

// jwtHeader returns the length of what every JWT of an issuer begins with.
func jwtHeader(s string) int {
	if parts := strings.Split(s, "."); len(parts) == 3 && strings.HasPrefix(s, "eyJ") && len(parts[1]) > 0 && len(parts[2]) >= MinLength {
		return len(parts[0]) + 1
	}
	return 0
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// private returns the numbers of a private key that its public half does not
// have, or nil.
func private(b *pem.Block) map[string][]byte {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(b.Bytes); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(b.Bytes); err != nil {
			if key, err = x509.ParseECPrivateKey(b.Bytes); err != nil {
				return nil
			}
		}
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		k.Precompute()
		out := map[string][]byte{"private exponent": k.D.Bytes(), "private Dp": k.Precomputed.Dp.Bytes(), "private Dq": k.Precomputed.Dq.Bytes(), "private Qinv": k.Precomputed.Qinv.Bytes()}
		for i, p := range k.Primes {
			out[fmt.Sprint("private prime ", i)] = p.Bytes()
		}
		return out
	case *ecdsa.PrivateKey:
		if d, err := k.Bytes(); err == nil {
			return map[string][]byte{"private number": d}
		}
	case ed25519.PrivateKey:
		return map[string][]byte{"private seed": k.Seed()}
	}
	return nil
}

// forms calls yield with each way in which bytes are written without an escape
// character. What is written with one is decoded by the views, for which
// characters are escaped is everybody's own choice.
func forms(v []byte, yield func(form string, text []byte)) {
	s := string(v)
	yield("plain", v)
	if !ascii(v) && utf8.Valid(v) {
		yield("lower case", []byte(strings.ToLower(s)))
		yield("upper case", []byte(strings.ToUpper(s)))
		if latin, ok := latin1(s); ok {
			yield("ISO 8859-1", latin)
		}
	}
	if bytes.IndexByte(v, ' ') >= 0 {
		yield("plus for space", bytes.ReplaceAll(v, []byte(" "), []byte("+")))
	}
	rev := slices.Clone(v)
	slices.Reverse(rev)
	yield("reversed", rev)
	if runes := []rune(s); !ascii(v) && utf8.Valid(v) {
		slices.Reverse(runes)
		yield("reversed", []byte(string(runes)))
	}
	yield("hex", []byte(hex.EncodeToString(v)))
	yield("spaced hex", fmt.Appendf(nil, "% x", v))
	yield("colon hex", bytes.ReplaceAll(fmt.Appendf(nil, "% x", v), []byte(" "), []byte(":")))
	for _, sep := range []string{" ", ", ", ","} {
		yield("byte list", list(v, sep, func(dst []byte, c byte) []byte { return strconv.AppendUint(dst, uint64(c), 10) }))
		if sep != "," {
			yield("byte list", list(v, sep, func(dst []byte, c byte) []byte { return fmt.Appendf(dst, "%#x", c) }))
			yield("byte list", list(v, sep, func(dst []byte, c byte) []byte { return fmt.Appendf(dst, "0x%02x", c) }))
		}
	}
	for shift := range 3 {
		e := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), v...))
		t := e[(shift*8+5)/6 : (shift+len(v))*8/6]
		yield("base64", []byte(t))
		if u := strings.NewReplacer("+", "-", "/", "_").Replace(t); u != t {
			yield("base64url", []byte(u))
		}
	}
	for shift := range 5 {
		for name, enc := range map[string]*base32.Encoding{"base32": base32.StdEncoding, "base32hex": base32.HexEncoding} {
			e := enc.WithPadding(base32.NoPadding).EncodeToString(append(make([]byte, shift), v...))
			yield(name, []byte(e[(shift*8+4)/5:(shift+len(v))*8/5]))
		}
	}
	if utf8.Valid(v) {
		var le, be []byte
		for _, u := range utf16.Encode([]rune(s)) {
			le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
		}
		yield("UTF-16LE", le)
		yield("UTF-16BE", be)
	}
	if len(v) >= 16 {
		n := new(big.Int).SetBytes(v)
		yield("number", []byte(n.String()))
	}
}

// hashes calls yield with the unkeyed hashes of a whole canary.
func hashes(v []byte, yield func(form string, text []byte)) {
	m, s1, s2, s5 := md5.Sum(v), sha1.Sum(v), sha256.Sum256(v), sha512.Sum512(v)
	for name, h := range map[string][]byte{"MD5": m[:], "SHA-1": s1[:], "SHA-256": s2[:], "SHA-512": s5[:]} {
		yield(name, h)
		yield(name+" in hex", []byte(hex.EncodeToString(h)))
		yield(name+" in base64", []byte(base64.RawStdEncoding.EncodeToString(h)))
		yield(name+" in base64url", []byte(base64.RawURLEncoding.EncodeToString(h)))
	}
}

func list(v []byte, sep string, number func([]byte, byte) []byte) []byte {
	var out []byte
	for i, c := range v {
		if i > 0 {
			out = append(out, sep...)
		}
		out = number(out, c)
	}
	return out
}

func ascii(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= utf8.RuneSelf })
}

func latin1(s string) ([]byte, bool) {
	var out []byte
	for _, r := range s {
		if r > 0xff {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}
