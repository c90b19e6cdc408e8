package policytest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/authz/internal/spelling"
)

// Limits on a test file.
const (
	maxFile   = 1 << 20 // bytes
	maxItems  = 20_000  // of one list
	maxErrors = 50      // that are told at once
)

// reader reads YAML and forgives nothing. It notes every mistake and goes on.
type reader struct {
	file string
	errs []error
}

func (r *reader) errorf(line int, format string, args ...any) {
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.file, line, fmt.Sprintf(format, args...)))
	}
}

// parse returns the only document of a file, nil if there is none.
func (r *reader) parse(text []byte) *yaml.Node {
	if len(text) > maxFile {
		r.errorf(1, "%d bytes, %d at most: split the file", len(text), maxFile)
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		line, what := yamlError(err)
		r.errorf(line, "%s", what)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		r.errorf(more.Line, "a second document: put it into a file of its own")
	}
	if len(doc.Content) != 1 {
		r.errorf(1, "the file is empty: want world, checks, lists, permitted, forbidden or invariants")
		return nil
	}
	return doc.Content[0]
}

// yamlError takes the line out of an error of the YAML package.
func yamlError(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n, m[2]
		}
	}
	if text == "EOF" {
		text = "the file is empty: want world, checks, lists, permitted, forbidden or invariants"
	}
	return 1, text
}

// pair is a key and its value.
type pair struct {
	key   string
	line  int
	value *yaml.Node
}

// pairs reads a mapping of any keys.
func (r *reader) pairs(n *yaml.Node, what string) []pair {
	if n.Kind != yaml.MappingNode {
		r.errorf(n.Line, "%s: want keys and values", what)
		return nil
	}
	var out []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || v.Kind == yaml.AliasNode || v.Anchor != "" || k.Anchor != "" {
			r.errorf(k.Line, "%s: anchors, aliases and keys that are no text are not read: write it out", what)
			continue
		}
		if old, dup := seen[k.Value]; dup {
			r.errorf(k.Line, "%s: %.60q stands in line %d already: remove one", what, k.Value, old)
			continue
		}
		seen[k.Value] = k.Line
		out = append(out, pair{k.Value, k.Line, v})
	}
	return out
}

// fields reads a mapping of known keys.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 && slices.Contains([]string{"check", "list", "gift", "grant"}, what) {
		r.errorf(n.Line, "%s: nothing in it, want %s", what, strings.Join(known, ", "))
	}
	for _, p := range r.pairs(n, what) {
		if !slices.Contains(known, p.key) {
			hint := "want " + strings.Join(known, ", ")
			if near := spelling.Nearest(p.key, known); near != "" {
				hint = "perhaps " + near
			}
			r.errorf(p.line, "%s: unknown key %.60q, %s", what, p.key, hint)
			continue
		}
		out[p.key] = p.value
	}
	return out
}

// items reads a list.
func (r *reader) items(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	case n.Kind != yaml.SequenceNode || n.Anchor != "":
		r.errorf(n.Line, "%s: want a list", what)
		return nil
	case len(n.Content) > maxItems:
		r.errorf(n.Line, "%s: %d items, %d at most: split the file", what, len(n.Content), maxItems)
		return nil
	}
	return n.Content
}

// text reads a scalar that must not be empty.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" || n.Anchor != "" {
		r.errorf(n.Line, "%s: want text", what)
		return "", false
	}
	return n.Value, true
}

// read parses a scalar by a function such as authz.ParseRole.
func read[T any](r *reader, n *yaml.Node, what string, parse func(string) (T, error)) (v T) {
	s, ok := r.text(n, what)
	if !ok {
		return v
	}
	v, err := parse(s)
	if err != nil {
		r.errorf(n.Line, "%s: %.60q: %s", what, s, strings.TrimPrefix(err.Error(), "authz: "))
	}
	return v
}

// need is read for a key that must be there.
func need[T any](r *reader, line int, m map[string]*yaml.Node, key string, parse func(string) (T, error)) (v T) {
	n := m[key]
	if n == nil {
		r.errorf(line, "%s is missing", key)
		return v
	}
	return read(r, n, key, parse)
}

// may is read for a key that may be missing.
func may[T any](r *reader, m map[string]*yaml.Node, key string, parse func(string) (T, error)) (v T) {
	if m[key] == nil {
		return v
	}
	return read(r, m[key], key, parse)
}

// many reads one value or a list of them.
func many[T any](r *reader, n *yaml.Node, what string, parse func(string) (T, error)) []T {
	if n.Kind == yaml.ScalarNode {
		return []T{read(r, n, what, parse)}
	}
	var out []T
	for _, x := range r.items(n, what) {
		out = append(out, read(r, x, what, parse))
	}
	return out
}

// needMany is many for a key that must be there and hold something.
func needMany[T any](r *reader, line int, m map[string]*yaml.Node, key string, parse func(string) (T, error)) []T {
	n := m[key]
	if n == nil {
		r.errorf(line, "%s is missing", key)
		return nil
	}
	out := many(r, n, key, parse)
	if len(out) == 0 {
		r.errorf(n.Line, "%s: want at least one", key)
	}
	return out
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("want a time as in 2030-01-31 or 2030-01-31T12:00:00Z")
}

func (r *reader) err() error {
	return errors.Join(r.errs...)
}
