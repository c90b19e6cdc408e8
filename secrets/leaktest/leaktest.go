// Package leaktest finds secrets where they must not be: a test plants canaries,
// drives what it tests, and has everything scanned that came out of it.
//
//	s, err := leaktest.New(leaktest.Canaries(seed, 1000))
//	... use the canaries as passwords, tokens and keys ...
//	s.Check(t, "log", log)
//	s.CheckPath(t, dir)
//
// A canary is found as it is, in another case, and written as: hex (also spaced,
// or with colons), lists of byte values in decimal or hex, base64 and base64url
// wherever inside a longer text it begins (so also in a Basic header), base32 and
// base32hex likewise, UTF-16, ISO 8859-1, reversed, and as unkeyed MD5, SHA-1,
// SHA-256 or SHA-512 in binary, hex or base64, for the hash of a password is as
// good as the password to who can guess. So is each half of a canary that has 16
// bytes or more. Of a private key in PEM the private numbers are looked for, not
// what its certificate shows too.
//
// Each of these is also found behind up to three layers of: percent encoding,
// backslash escapes (JSON, Go, C), entities (HTML, XML), quoted-printable, line
// breaks inside a token, base64, hex; and inside gzip, zlib and zip, four deep.
// What was compressed and then cut into the pages of a database is not.
// Raw deflate has no mark to know it by and is tried where it is usual: at the
// start, behind a blank line, in base64. Not found: what was encrypted, zstd,
// and a canary of which no half is in one piece.
//
// A Finding says which canary and how it was written, never its value.
package leaktest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// MinLength is the length in bytes of the shortest canary. What is shorter is
// part of too many things that are no leak.
const MinLength = 8

// ErrUnfinished means that not everything was scanned: a compressed part was
// larger than MaxInflated.
var ErrUnfinished = errors.New("leaktest: not everything was scanned")

// MaxInflated is how many bytes one scan takes out of compressed parts.
const MaxInflated = 4 << 30

// Finding is one way in which a canary shows. The same way is reported once for
// each thing scanned, where it first was.
type Finding struct {
	Canary int    // its number, in the order given to New
	Form   string // how it is written, as in "base64 of the first half in backslash escapes in gzip"
	Where  string // path of the file, "" for what has none
	Offset int64  // about where, of what is scanned before any decoding
}

// String has everything but the value.
func (f Finding) String() string {
	at := fmt.Sprintf("at %d", f.Offset)
	if f.Where != "" {
		at = f.Where + " " + at
	}
	return fmt.Sprintf("canary %d as %s %s", f.Canary, f.Form, at)
}

// Scanner looks for canaries. Safe for concurrent use.
type Scanner struct {
	index *index
	n     int
}

// New makes a Scanner. The canaries are numbered from 0. An error names the one
// that is shorter than MinLength, or the same as another.
func New(canaries []string) (*Scanner, error) {
	if len(canaries) == 0 {
		return nil, errors.New("leaktest: no canaries: nothing would be found")
	}
	seen := map[string]int{}
	x := newIndex()
	for i, c := range canaries {
		if len(c) < MinLength {
			return nil, fmt.Errorf("leaktest: canary %d: want at least %d bytes", i, MinLength)
		}
		if first, again := seen[c]; again {
			return nil, fmt.Errorf("leaktest: canary %d is canary %d again", i, first)
		}
		seen[c] = i
		x.add(i, c)
	}
	x.build()
	return &Scanner{x, len(canaries)}, nil
}

// Format prints no canary, whatever the verb.
func (s *Scanner) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "scanner for %d canaries", s.n) }

// LogValue logs no canary.
func (s *Scanner) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Bytes scans a text.
func (s *Scanner) Bytes(b []byte) ([]Finding, error) {
	w := s.Writer()
	_, _ = w.Write(b)
	return w.Close()
}

// Reader scans to the end of r, in memory that does not grow with it.
func (s *Scanner) Reader(r io.Reader) ([]Finding, error) {
	w := s.Writer()
	_, err := io.Copy(w, struct{ io.Reader }{r})
	found, cerr := w.Close()
	return found, cmp.Or(err, cerr)
}

// Path scans a file, or every regular file below a directory. Names of files are
// scanned too.
func (s *Scanner) Path(path string) ([]Finding, error) {
	var found []Finding
	var errs []error
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && p != path { // deleted meanwhile
				return nil
			}
			return err
		}
		names, _ := s.Bytes([]byte(d.Name()))
		if d.Type().IsRegular() {
			f, err := os.Open(p)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			inside, err := s.Reader(f)
			if err = errors.Join(err, f.Close()); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p, err))
			}
			names = append(names, inside...)
		}
		for i := range names {
			names[i].Where = p
		}
		found = append(found, names...)
		return nil
	})
	return found, errors.Join(append(errs, err)...)
}

// Check fails the test if a text shows a canary.
func (s *Scanner) Check(t testing.TB, what string, b []byte) {
	t.Helper()
	found, err := s.Bytes(b)
	s.report(t, what, found, err)
}

// CheckPath fails the test if a file, or any file below a directory, shows a
// canary.
func (s *Scanner) CheckPath(t testing.TB, path string) {
	t.Helper()
	found, err := s.Path(path)
	s.report(t, path, found, err)
}

func (s *Scanner) report(t testing.TB, what string, found []Finding, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if len(found) == 0 {
		return
	}
	var lines []string
	for _, f := range found[:min(len(found), 10)] {
		lines = append(lines, f.String())
	}
	if more := len(found) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	t.Errorf("%s shows secrets:\n%s", what, strings.Join(lines, "\n"))
}

// whole drops findings of a half where the whole was found in the same form.
func whole(found []Finding) []Finding {
	has := map[Finding]bool{}
	key := func(f Finding) Finding {
		form := strings.NewReplacer(" of the first half", "", " of the last half", "").Replace(f.Form)
		return Finding{Canary: f.Canary, Form: form}
	}
	for _, f := range found {
		if k := key(f); k.Form == f.Form {
			has[k] = true
		}
	}
	found = slices.DeleteFunc(found, func(f Finding) bool { k := key(f); return k.Form != f.Form && has[k] })
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Canary, b.Canary), cmp.Compare(a.Form, b.Form))
	})
	return found
}
