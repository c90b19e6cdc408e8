package authz

import (
	"fmt"
	"strings"
)

// Role names a set of permissions that the policy states. The zero Role is none.
type Role struct{ name string }

// ParseRole reads a name such as role:tenant-admin.
func ParseRole(s string) (Role, error) {
	if name, ok := strings.CutPrefix(s, "role:"); !ok || len(name) > 64 || !isWord(name, '-') {
		return Role{}, fmt.Errorf("authz: role %.40q: want role: and lower-case letters, digits, dashes", s)
	}
	return Role{s}, nil
}

// MustRole is ParseRole for names written in source code; it panics on a bad one.
func MustRole(s string) Role {
	r, err := ParseRole(s)
	if err != nil {
		panic(err)
	}
	return r
}

// String returns the name.
func (r Role) String() string { return r.name }

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.name), nil }

// UnmarshalText reads a name; empty text is the zero Role.
func (r *Role) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*r = Role{}
		return nil
	}
	*r, err = ParseRole(string(b))
	return err
}

// isWord reports whether a name is a lower-case letter and then lower-case
// letters, digits and one other sign.
func isWord(s string, sign byte) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z':
		case i > 0 && ('0' <= b && b <= '9' || b == sign):
		default:
			return false
		}
	}
	return s != ""
}
