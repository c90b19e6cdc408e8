package leaktest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// view undoes one kind of escape.
type view struct {
	name string
	lead byte // with which every escape begins
	// decode appends what the escape at b[i:] stands for and returns how long it
	// is, 0 if it is none, and how much before it goes too.
	decode func(dst, b []byte, i int) (out []byte, n, before int)
}

// near is how many decoded bytes beside an escape belong to it: as many as the
// longest value has in hex.
const near = 2 * longest

var views = [...]view{
	{"percent encoding", '%', percent},
	{"backslash escapes", '\\', backslash},
	{"entities", '&', entity},
	{"quoted-printable", '=', quotedPrintable},
	{"broken lines", '\n', lineBreak},
}

// lead has for each byte the number of the view whose escapes begin with it,
// from 1.
var lead = func() (at [256]byte) {
	for i, v := range views {
		at[v.lead] = byte(i + 1)
	}
	return at
}()

// region collects what is decoded. Only what is near an escape is copied.
type region struct {
	yield func(text []byte, at int)
	text  []byte
	open  bool
	start int // of the region, before decoding
	end   int // of the last escape
}

// regions calls yield with each decoded region of b and where it begins in b.
func (v *view) regions(b []byte, yield func(text []byte, at int)) {
	r := newRegion(yield)
	defer spare.Put(r)
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], v.lead)
		if j < 0 {
			break
		}
		i += j
		if n := r.escape(v, b, i); n > 0 {
			i += n
		} else {
			i++
		}
	}
	r.flush(b, len(b))
}

// allRegions does the same for escapes of every kind at once and returns the set
// of those there were.
func allRegions(b []byte, yield func(text []byte, at int)) (kinds int) {
	r := newRegion(yield)
	defer spare.Put(r)
	for i := 0; i < len(b); {
		k := lead[b[i]]
		if k == 0 {
			i++
			continue
		}
		if n := r.escape(&views[k-1], b, i); n > 0 {
			kinds |= 1 << (k - 1)
			i += n
		} else {
			i++
		}
	}
	r.flush(b, len(b))
	return kinds
}

func (r *region) escape(v *view, b []byte, i int) int {
	var buf [8]byte
	out, n, before := v.decode(buf[:0], b, i)
	if n == 0 {
		return 0
	}
	from := r.end
	if !r.open || i-r.end > 2*near {
		if from = token(b, max(r.end, i-near), -1, r.end); !r.open || token(b, r.end+near, 1, i) < from {
			r.flush(b, i)
			r.start, r.open = from, true
		} else {
			from = r.end
		}
	}
	r.text = append(r.text, b[from:max(from, i-before)]...)
	r.text = append(r.text, out...)
	r.end = i + n
	return n
}

func (r *region) flush(b []byte, to int) {
	if !r.open {
		return
	}
	r.text = append(r.text, b[r.end:token(b, min(r.end+near, to), 1, to)]...)
	r.yield(r.text, r.start)
	r.text, r.open = r.text[:0], false
}

// token goes from a place to the end of the token there, in steps of 1 or -1, as
// far as the limit.
func token(b []byte, at, step, limit int) int {
	for ; at != limit; at += step {
		c := at
		if step < 0 {
			c--
		}
		if !inToken[b[c]] {
			break
		}
	}
	return at
}

// spare are buffers for regions.
var spare sync.Pool

func newRegion(yield func([]byte, int)) *region {
	r, ok := spare.Get().(*region)
	if !ok {
		r = &region{}
	}
	*r = region{yield: yield, text: r.text[:0]}
	return r
}

func nibble(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// number reads n hex digits.
func number(b []byte, i, n int) (rune, bool) {
	if i+n > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+n] {
		d := nibble(c)
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func percent(dst, b []byte, i int) ([]byte, int, int) {
	if r, ok := number(b, i+1, 2); ok {
		return append(dst, byte(r)), 3, 0
	}
	return dst, 0, 0
}

func quotedPrintable(dst, b []byte, i int) ([]byte, int, int) {
	if r, ok := number(b, i+1, 2); ok {
		return append(dst, byte(r)), 3, 0
	}
	switch rest := b[i+1:]; {
	case bytes.HasPrefix(rest, []byte("\r\n")):
		return dst, 3, 0
	case bytes.HasPrefix(rest, []byte("\n")):
		return dst, 2, 0
	}
	return dst, 0, 0
}

func backslash(dst, b []byte, i int) ([]byte, int, int) {
	if i+1 >= len(b) {
		return dst, 0, 0
	}
	switch c := b[i+1]; c {
	case '"', '\'', '\\', '/', '`', '?':
		return append(dst, c), 2, 0
	case 'a':
		return append(dst, '\a'), 2, 0
	case 'b':
		return append(dst, '\b'), 2, 0
	case 'f':
		return append(dst, '\f'), 2, 0
	case 'n':
		return append(dst, '\n'), 2, 0
	case 'r':
		return append(dst, '\r'), 2, 0
	case 't':
		return append(dst, '\t'), 2, 0
	case 'v':
		return append(dst, '\v'), 2, 0
	case 'x':
		if r, ok := number(b, i+2, 2); ok {
			return append(dst, byte(r)), 4, 0
		}
	case 'u':
		r, ok := number(b, i+2, 4)
		if !ok {
			break
		}
		if utf16.IsSurrogate(r) && i+7 < len(b) && b[i+6] == '\\' && b[i+7] == 'u' {
			if low, ok := number(b, i+8, 4); ok {
				if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
					return utf8.AppendRune(dst, both), 12, 0
				}
			}
		}
		return utf8.AppendRune(dst, r), 6, 0
	case 'U':
		if r, ok := number(b, i+2, 8); ok {
			return utf8.AppendRune(dst, r), 10, 0
		}
	case '0', '1', '2', '3':
		if i+3 < len(b) && '0' <= b[i+2] && b[i+2] <= '7' && '0' <= b[i+3] && b[i+3] <= '7' {
			return append(dst, (c-'0')<<6|(b[i+2]-'0')<<3|(b[i+3]-'0')), 4, 0
		}
	}
	return dst, 0, 0
}

func entity(dst, b []byte, i int) ([]byte, int, int) {
	n := bytes.IndexByte(b[i:min(len(b), i+34)], ';')
	if n < 2 {
		return dst, 0, 0
	}
	e := string(b[i : i+n+1])
	if t := html.UnescapeString(e); t != e {
		return append(dst, t...), n + 1, 0
	}
	return dst, 0, 0
}

// lineBreak takes the end of a line and the blanks that begin the next out of
// what may be one token: sixteen characters of it before, one behind.
func lineBreak(dst, b []byte, i int) ([]byte, int, int) {
	before := 0
	if i > 0 && b[i-1] == '\r' {
		before = 1
	}
	if i-before < 16 {
		return dst, 0, 0
	}
	for _, c := range b[i-before-16 : i-before] {
		if !inToken[c] {
			return dst, 0, 0
		}
	}
	j := i + 1
	for j < len(b) && (b[j] == ' ' || b[j] == '\t') && j-i < 64 {
		j++
	}
	if j == len(b) || !inToken[b[j]] {
		return dst, 0, 0
	}
	return dst, j - i, before
}

var inToken = func() (is [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" {
		is[c] = true
	}
	return is
}()

// shortest is the length of a run of base64 or hex that is decoded. A canary that
// was written so and no other way is found without, so this is for what was
// written in two ways, which is longer; paths and words are mostly not.
const shortest = 32

// runs calls yield with what each run of base64 and hex in b stands for.
func runs(b []byte, yield func(name string, text []byte, at int)) {
	for i := shortest - 1; i < len(b); {
		// A run contains its characters at every step of this length.
		if !inToken[b[i]] {
			i += shortest
			continue
		}
		from, to := i, i
		for from > 0 && inToken[b[from-1]] {
			from--
		}
		for to < len(b) && inToken[b[to]] {
			to++
		}
		i = to + shortest
		if to-from < shortest {
			continue
		}
		// What stands before may be in the alphabet too: four ways to begin.
		run, isHex := newRegion(nil), true
		for _, c := range b[from:to] {
			isHex = isHex && nibble(c) >= 0
			switch c {
			case '-':
				c = '+'
			case '_':
				c = '/'
			}
			run.text = append(run.text, c)
		}
		for p := range 4 {
			if isHex {
				break
			}
			t := run.text[p:]
			if len(t)%4 == 1 {
				t = t[:len(t)-1]
			}
			r := newRegion(nil)
			var err error
			if r.text, err = base64.RawStdEncoding.AppendDecode(r.text, t); err == nil {
				yield("base64", r.text, from)
			}
			spare.Put(r)
		}
		spare.Put(run)
		if !isHex {
			continue
		}
		for p := range 2 {
			t := b[from+p : to]
			r := newRegion(nil)
			var err error
			if r.text, err = hex.AppendDecode(r.text, t[:len(t)/2*2]); err == nil {
				yield("hex", r.text, from)
			}
			spare.Put(r)
		}
	}
}
