package secrets

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// credential is a secret in use: either the value of an Authorization header or
// the means to get one. Everything is behind a pointer and unexported, so that
// printers that look inside find nothing to call.
type credential struct{ *material }

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
		return &credential{&material{header: "Basic " + base64.StdEncoding.EncodeToString(append([]byte(s.Username+":"), value...))}}, nil
	case Bearer:
		for _, b := range value {
			if b <= ' ' || b >= 0x7f {
				return nil, errors.New("value: a token of visible ASCII is wanted")
			}
		}
		return &credential{&material{header: "Bearer " + string(value)}}, nil
	case SAMLBearer:
		m, err := newMinter(s, value)
		if err != nil {
			return nil, err
		}
		return &credential{&material{mint: m}}, nil
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
