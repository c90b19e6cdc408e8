package connectors

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// NormalizeText brings a text to the one form in which this module carries it,
// so that a value survives a round trip through any system: valid UTF-8, line
// ends LF, no control characters, nothing that XML cannot hold, no white space
// at either end, and in fields of one line no line ends at all. Normalising
// twice changes nothing.
func NormalizeText(f Field, s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	many := f == FieldNote || f == FieldDescription || f == FieldBody || f == FieldStreet
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r' || c == '\u0085' || c == '\u2028' || c == '\u2029': // whatever a system calls a line end
			if many {
				return '\n'
			}
			return ' '
		case c == '\t':
			return ' '
		case unicode.IsControl(c) || c == '\uFEFF' || c == '\uFFFE' || c == '\uFFFF':
			return -1
		}
		return c
	}, s)
	if strings.Contains(s, " \n") || strings.Contains(s, "\u00a0\n") {
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " \u00a0")
		}
		s = strings.Join(lines, "\n")
	}
	return strings.TrimSpace(s)
}
