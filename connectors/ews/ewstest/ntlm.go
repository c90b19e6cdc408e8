package ewstest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the protocol has it
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"strings"
	"sync"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck,gosec // the protocol has it
)

// seat is what a connection has come to: NTLM signs in connections, not requests.
type seat struct {
	mu        sync.Mutex
	challenge []byte
	in        bool
}

type seatKey struct{}

// ConnContext gives each connection a place to remember that it is signed in.
// A server with Options.NTLM needs it as its http.Server's ConnContext.
func (*Server) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, seatKey{}, &seat{})
}

// signIn goes through NTLM version 2 (MS-NLMP) on the request's connection and
// reports whether it may go on. Version 1 is not accepted.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) bool {
	c, ok := r.Context().Value(seatKey{}).(*seat)
	if !ok {
		http.Error(w, "ewstest: NTLM needs the server's ConnContext", http.StatusInternalServerError)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	auth := r.Header.Get("Authorization")
	if auth == "" && c.in {
		return true
	}
	c.in = false
	msg, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(auth, "NTLM "))
	offer := "NTLM"
	switch {
	case !strings.HasPrefix(auth, "NTLM ") || err != nil || len(msg) < 32 || !bytes.HasPrefix(msg, []byte("NTLMSSP\x00")):
	case msg[8] == 1:
		c.challenge = make([]byte, 8)
		_, _ = rand.Read(c.challenge)
		offer += " " + base64.StdEncoding.EncodeToString(challengeMessage(c.challenge))
	case msg[8] == 3 && c.challenge != nil:
		c.in = s.proves(msg, c.challenge)
		c.challenge = nil // one answer to a challenge
	}
	if !c.in {
		w.Header().Set("WWW-Authenticate", offer)
		w.WriteHeader(http.StatusUnauthorized)
	}
	return c.in
}

// challengeMessage is a CHALLENGE_MESSAGE (MS-NLMP section 2.2.1.2).
func challengeMessage(challenge []byte) []byte {
	domain := wide("ACME")
	// Names of the domain and the server, and the end (section 2.2.2.1).
	var info []byte
	for id, name := range []string{1: "MAIL", 2: "ACME"} {
		if name != "" {
			v := wide(name)
			info = binary.LittleEndian.AppendUint16(info, uint16(id))     //nolint:gosec // 1 or 2
			info = binary.LittleEndian.AppendUint16(info, uint16(len(v))) //nolint:gosec // 8
			info = append(info, v...)
		}
	}
	info = append(info, 0, 0, 0, 0)
	field := func(b []byte, n, at int) []byte {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))     //nolint:gosec // short
		b = binary.LittleEndian.AppendUint16(b, uint16(n))     //nolint:gosec // short
		return binary.LittleEndian.AppendUint32(b, uint32(at)) //nolint:gosec // short
	}
	// Unicode, NTLM, a domain as target, extended session security, target
	// info, version, 128 and 56 bits (section 2.2.2.5).
	const flags, size = 0xa2898205, 56
	out := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	out = field(out, len(domain), size)
	out = binary.LittleEndian.AppendUint32(out, flags)
	out = append(out, challenge...)
	out = append(out, make([]byte, 8)...)
	out = field(out, len(info), size+len(domain))
	out = append(out, 6, 1, 0xb1, 0x1d, 0, 0, 0, 15)
	return append(append(out, domain...), info...)
}

// proves reports whether an AUTHENTICATE_MESSAGE (section 2.2.1.3) was made
// with the password of the server's user (section 3.3.2).
func (s *Server) proves(msg, challenge []byte) bool {
	part := func(at int) []byte {
		if len(msg) < at+8 {
			return nil
		}
		n, off := int(binary.LittleEndian.Uint16(msg[at:])), int(binary.LittleEndian.Uint32(msg[at+4:]))
		if off > len(msg) || n > len(msg)-off {
			return nil
		}
		return msg[off : off+n]
	}
	proof, domain, user := part(20), narrow(part(28)), narrow(part(36))
	name := user
	if domain != "" {
		name = domain + `\` + user
	}
	if len(proof) < 44 || !strings.EqualFold(name, s.o.User) { // 24 bytes are version 1
		return false
	}
	h := md4.New() //nolint:gosec // the protocol has it
	_, _ = h.Write(wide(s.o.Password))
	key := hmacMD5(h.Sum(nil), wide(strings.ToUpper(user)+domain))
	return hmac.Equal(proof[:16], hmacMD5(key, challenge, proof[16:]))
}

func hmacMD5(key []byte, data ...[]byte) []byte {
	m := hmac.New(md5.New, key)
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(nil)
}

// wide and narrow are UTF-16, little end first.
func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func narrow(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
