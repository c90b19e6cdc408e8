package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/lockkeeper/lockkeeper/authz"
)

// cursors are where the next page of a list begins. They are sealed with a key of
// this process, for the caller and the question that they came from.
type cursors struct{ key [32]byte }

func newCursors() (c cursors) {
	_, _ = rand.Read(c.key[:]) // never fails
	return c
}

const macSize = 16

func (c cursors) mac(who authz.Principal, question, at string) []byte {
	h := hmac.New(sha256.New, c.key[:])
	for _, s := range []string{who.String(), question, at} {
		n := len(s)
		h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		h.Write([]byte(s))
	}
	return h.Sum(nil)[:macSize]
}

// seal makes a cursor of a position; "" is none.
func (c cursors) seal(who authz.Principal, question, at string) string {
	if at == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(c.mac(who, question, at), at...))
}

// open reads a cursor; none is the beginning.
func (c cursors) open(who authz.Principal, question, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < macSize || !hmac.Equal(b[:macSize], c.mac(who, question, string(b[macSize:]))) {
		p := problem(http.StatusBadRequest, "cursor", "The cursor is of another list, another caller, or from before the server was started.", "Begin again without cursor.")
		p.Errors = []Fault{{In: "query", Pointer: "cursor", Detail: "is not a cursor of this list"}}
		return "", p
	}
	return string(b[macSize:]), nil
}
