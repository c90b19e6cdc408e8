package authz

import (
	"fmt"
	"strings"
)

// Permission is one verb on one kind of thing, as in mailbox.items.read. Every
// access or action that is possible has exactly one. The zero Permission is
// none and is denied to everybody.
type Permission struct{ name string }

// ParsePermission reads a name of two to five dotted words of lower-case
// letters, digits and underscores. It does not say whether a policy knows it.
func ParsePermission(s string) (Permission, error) {
	words := 0
	for w := range strings.SplitSeq(s, ".") {
		if words++; words > 5 || len(s) > 128 || !isWord(w, '_') {
			words = 0
			break
		}
	}
	if words < 2 {
		return Permission{}, fmt.Errorf("authz: permission %.40q: want two to five dotted lower-case words, as in mailbox.items.read", s)
	}
	return Permission{s}, nil
}

// MustPermission is ParsePermission for names written in source code; it panics
// on a bad one.
func MustPermission(s string) Permission {
	p, err := ParsePermission(s)
	if err != nil {
		panic(err)
	}
	return p
}

// String returns the name.
func (p Permission) String() string { return p.name }

// MarshalText writes the name.
func (p Permission) MarshalText() ([]byte, error) { return []byte(p.name), nil }

// UnmarshalText reads a name; empty text is the zero Permission, which a
// recorded refusal may hold.
func (p *Permission) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*p = Permission{}
		return nil
	}
	*p, err = ParsePermission(string(b))
	return err
}
