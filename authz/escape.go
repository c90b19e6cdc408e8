package authz

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on names.
const (
	MaxSegment = 1024 // bytes of one part of a name, before escaping
	MaxDepth   = 16   // segments of a resource
	MaxName    = 8192 // bytes of a whole name, escaped
)

// checkSegment refuses what could make two names look or encode alike.
func checkSegment(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("empty")
	case s == "." || s == "..":
		return fmt.Errorf("%s means another place in many notations of paths", s)
	case len(s) > MaxSegment:
		return fmt.Errorf("%d bytes, %d at most", len(s), MaxSegment)
	case !utf8.ValidString(s):
		return fmt.Errorf("not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("control or invisible character %U", r)
		}
	}
	return nil
}

const upperhex = "0123456789ABCDEF"

func plain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '.' || b == '_' || b == '~' || b == '@' || b == '+'
}

// escape writes a segment so that no separator of any format here occurs in it.
// Different segments have different escapes.
func escape(s string) string {
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := range len(s) {
		if plain(s[i]) {
			b.WriteByte(s[i])
		} else {
			b.WriteByte('%')
			b.WriteByte(upperhex[s[i]>>4])
			b.WriteByte(upperhex[s[i]&15])
		}
	}
	return b.String()
}

// checkEscaped goes through segments with a slash between each two and returns
// how many there are. With an error that is the number of the one it is about.
func checkEscaped(s string) (n int, err error) {
	for more := true; more; {
		n++
		i := 0
		for i < len(s) && plain(s[i]) {
			i++
		}
		part := s[:i]
		if i < len(s) && s[i] != '/' { // not as simple as most
			if i = strings.IndexByte(s, '/'); i < 0 {
				i = len(s)
			}
			part = s[:i]
			_, err = unescape(part)
		} else if part == "" || part[0] == '.' || len(part) > MaxSegment {
			_, err = unescape(part)
		}
		if err != nil {
			return n, err
		}
		if more = i < len(s); more {
			s = s[i+1:]
		}
	}
	return n, nil
}

// unescape is the inverse of escape and accepts nothing else.
func unescape(s string) (string, error) {
	simple := true
	for i := 0; simple && i < len(s); i++ {
		simple = plain(s[i])
	}
	if simple && s != "" && s != "." && s != ".." && len(s) <= MaxSegment {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case plain(s[i]):
			b.WriteByte(s[i])
		case s[i] == '%' && i+2 < len(s):
			h, l := strings.IndexByte(upperhex, s[i+1]), strings.IndexByte(upperhex, s[i+2])
			if h < 0 || l < 0 || plain(byte(h<<4|l)) {
				return "", fmt.Errorf("not in escaped form at byte %d", i)
			}
			b.WriteByte(byte(h<<4 | l))
			i += 2
		default:
			return "", fmt.Errorf("not in escaped form at byte %d", i)
		}
	}
	out := b.String()
	return out, checkSegment(out)
}
