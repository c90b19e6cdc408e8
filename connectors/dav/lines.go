package dav

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Limits on what a server may send as one card or calendar object.
const (
	maxObject = 4 << 20
	maxLines  = 20_000
	maxDepth  = 8
	maxParty  = 1_000
)

// line is one content line (RFC 5545 section 3.1, RFC 6350 section 3.3), its
// parameters and value as written.
type line struct {
	group  string // with its dot, "" if none
	name   string // in upper case; "" for a line that is none
	params string // from the first semicolon on
	value  string
	raw    string // as read; "" once changed
}

// parseLines unfolds and splits. Lines that are none are kept as they are.
func parseLines(data []byte) ([]line, error) {
	if len(data) > maxObject {
		return nil, malformed("larger than allowed")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.IndexByte(data, 0) >= 0 {
		return nil, malformed("not UTF-8 text")
	}
	if !utf8.Valid(data) {
		// Old programs write Latin-1 without saying so.
		if b, err := decodeCharset("windows-1252", data); err == nil {
			data = b
		}
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
	var out []line
	physical := strings.Split(text, "\n")
	for i := 0; i < len(physical); i++ {
		s := physical[i]
		var b strings.Builder
		b.WriteString(s)
		for i+1 < len(physical) && physical[i+1] != "" && (physical[i+1][0] == ' ' || physical[i+1][0] == '\t') {
			i++
			b.WriteString(physical[i][1:])
		}
		l := splitLine(b.String())
		// vCard 2.1 continues quoted-printable text after a trailing "=".
		for l.quotedPrintable() && strings.HasSuffix(l.value, "=") && i+1 < len(physical) {
			i++
			l.value = l.value[:len(l.value)-1] + strings.TrimLeft(physical[i], " \t")
			l.raw = ""
		}
		if l.raw == "" && l.name == "" {
			continue // an empty line
		}
		if out = append(out, l); len(out) > maxLines {
			return nil, malformed("more lines than allowed")
		}
	}
	return out, nil
}

// splitLine finds the colon that ends the parameters.
func splitLine(s string) line {
	s = strings.TrimRight(s, "\n")
	quoted := false
	head, semi := -1, -1
	for i := 0; i < len(s) && head < 0; i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && semi < 0 && !quoted:
			semi = i
		case s[i] == ':' && !quoted:
			head = i
		}
	}
	if head <= 0 {
		return line{raw: s}
	}
	l := line{value: s[head+1:], raw: s}
	name := s[:head]
	if semi >= 0 {
		name, l.params = s[:semi], s[semi:head]
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		l.group, name = name[:i+1], name[i+1:]
	}
	l.name = strings.ToUpper(strings.TrimSpace(name))
	if l.name == "" || strings.ContainsAny(l.name, " \t") {
		return line{raw: s}
	}
	return l
}

// param returns every value of a parameter. Values without a name are types, as
// vCard 2.1 writes them.
func (l line) param(name string) []string {
	var out []string
	for _, p := range splitOutsideQuotes(l.params, ';') {
		k, v, named := strings.Cut(p, "=")
		if !named {
			k, v = "TYPE", p
			switch strings.ToUpper(p) {
			case "QUOTED-PRINTABLE", "BASE64":
				k = "ENCODING"
			}
		}
		if p == "" || !strings.EqualFold(strings.TrimSpace(k), name) {
			continue
		}
		for _, x := range splitOutsideQuotes(v, ',') {
			out = append(out, strings.Trim(strings.TrimSpace(x), `"`))
		}
	}
	return out
}

func (l line) has(param, value string) bool {
	for _, v := range l.param(param) {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

func (l line) quotedPrintable() bool { return l.params != "" && l.has("ENCODING", "QUOTED-PRINTABLE") }

func splitOutsideQuotes(s string, sep byte) []string {
	var out []string
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// decoded returns the value with its transfer encoding and character set undone.
func (l line) decoded() string {
	if !l.quotedPrintable() {
		return l.value
	}
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(l.value)))
	if err != nil {
		return l.value
	}
	if cs := l.param("CHARSET"); len(cs) > 0 {
		if d, err := decodeCharset(cs[0], b); err == nil {
			b = d
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func decodeCharset(name string, b []byte) ([]byte, error) {
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil, err
	}
	return e.NewDecoder().Bytes(b)
}

// split returns the parts of a structured value (RFC 6350 section 6.2.2), each
// as written.
func split(value string, sep byte) []string {
	var out []string
	from := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case sep:
			out = append(out, value[from:i])
			from = i + 1
		}
	}
	return append(out, value[from:])
}

// unescape undoes the escapes of text values (RFC 5545 section 3.3.11).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == 'n' || s[i] == 'N' {
			b.WriteByte('\n')
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, ",", `\,`, ";", `\;`).Replace(s)
}

// text is the value of a text property.
func (l line) text() string { return unescape(l.decoded()) }

// with returns the line with another value, given unencoded and escaped.
func (l line) with(value string, version21 bool) line {
	var keep []string
	for _, p := range splitOutsideQuotes(strings.TrimPrefix(l.params, ";"), ';') {
		up := strings.ToUpper(p)
		if p != "" && up != "QUOTED-PRINTABLE" && !strings.HasPrefix(up, "ENCODING=") && !strings.HasPrefix(up, "CHARSET=") {
			keep = append(keep, p)
		}
	}
	if version21 && strings.ContainsFunc(value, func(r rune) bool { return r > 0x7e }) {
		keep = append(keep, "CHARSET=UTF-8", "ENCODING=QUOTED-PRINTABLE")
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		_, _ = w.Write([]byte(value))
		_ = w.Close()
		value = strings.ReplaceAll(b.String(), "=\r\n", "")
	}
	l.params, l.value, l.raw = "", value, ""
	if len(keep) > 0 {
		l.params = ";" + strings.Join(keep, ";")
	}
	return l
}

// write prints the line, folded at 75 octets.
// param1 returns the line with one value of a parameter, or without it for "".
func (l line) param1(name, value string) line {
	var keep []string
	for _, p := range splitOutsideQuotes(strings.TrimPrefix(l.params, ";"), ';') {
		if k, _, _ := strings.Cut(p, "="); p != "" && !strings.EqualFold(k, name) {
			keep = append(keep, p)
		}
	}
	if value != "" {
		keep = append(keep, name+"="+value)
	}
	l.params, l.raw = "", ""
	if len(keep) > 0 {
		l.params = ";" + strings.Join(keep, ";")
	}
	return l
}

func (l line) write(b *bytes.Buffer) {
	s := l.raw
	if s == "" {
		s = l.group + l.name + l.params + ":" + l.value
	}
	for first := true; ; first = false {
		limit := 75
		if !first {
			b.WriteByte(' ')
			limit = 74
		}
		if len(s) <= limit || l.quotedPrintable() {
			b.WriteString(s + "\r\n")
			return
		}
		for !utf8.RuneStart(s[limit]) {
			limit--
		}
		b.WriteString(s[:limit] + "\r\n")
		s = s[limit:]
	}
}

func malformed(detail string) error {
	return &connectors.Error{Class: connectors.ErrMalformed, Detail: detail}
}

func invalid(f connectors.Field, detail string) error {
	return &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: detail}
}
