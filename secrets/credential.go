package secrets

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// credential is a secret in use: either the value of an Authorization header or
// the means to get one. It is inside a closure: printers and comparers that
// follow unexported fields by reflection find a function and stop.
type credential struct{ open func() *material }

func newCredential(m material) *credential { return &credential{func() *material { return &m }} }

type material struct {
	header string // Authorization, for what needs no exchange
	mint   *minter
}

// Format prints no content.
func (credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, "credential") }

// LogValue logs no content.
func (credential) LogValue() slog.Value { return slog.StringValue("credential") }

// MarshalText returns ErrSecret.
func (credential) MarshalText() ([]byte, error) { return nil, ErrSecret }

// prepare checks that a value fits its scheme and makes it usable. Its errors
// never show the value.
func prepare(s Scheme, value []byte) (*credential, error) {
	switch s.Kind {
	case Basic:
		if strings.ContainsAny(string(value), "\r\n\x00") {
			return nil, errors.New("value: a password without line ends is wanted")
		}
		return newCredential(material{header: "Basic " + base64.StdEncoding.EncodeToString(append([]byte(s.Username+":"), value...))}), nil
	case Bearer:
		for _, b := range value {
			if b <= ' ' || b >= 0x7f {
				return nil, errors.New("value: a token of visible ASCII is wanted")
			}
		}
		return newCredential(material{header: "Bearer " + string(value)}), nil
	case SAMLBearer:
		m, err := newMinter(s, value)
		if err != nil {
			return nil, err
		}
		return newCredential(material{mint: m}), nil
	}
	return nil, fmt.Errorf("kind %q is not known", s.Kind)
}

// pemBlocks splits a PEM value by block type.
func pemBlocks(value []byte) map[string][]byte {
	out := map[string][]byte{}
	for rest := value; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		out[b.Type] = b.Bytes
	}
}

// withhold replaces an error that shows a secret: the HTTP library quotes what a
// server sends where it expected something else, and a server may send back what
// it got.
func withhold(err error, secrets ...string) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, ErrOrigin} {
		if errors.Is(err, known) {
			return known
		}
	}
	text := err.Error()
	for _, s := range secrets {
		if len(s) < 4 {
			continue // says nothing, and is in too many words
		}
		if q := strconv.Quote(s); strings.Contains(text, s) || strings.Contains(text, q[1:len(q)-1]) {
			return errors.New("secrets: exchange failed: the error shows the credential and is withheld")
		}
	}
	return err
}

// shapes are the forms in which a server could send an Authorization header back.
func shapes(header string) []string {
	scheme, param, _ := strings.Cut(header, " ")
	out := []string{param}
	if scheme == "Basic" {
		if b, err := base64.StdEncoding.DecodeString(param); err == nil {
			_, password, _ := strings.Cut(string(b), ":")
			out = append(out, password)
		}
	}
	return out
}
