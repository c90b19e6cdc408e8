package gormstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
)

var errRow = errors.New("a row cannot be read")

// parser reads assignments from packed text. Names come again and again, so
// that it remembers what it has checked; equal names then share one string.
type parser struct {
	principals memo[authz.Principal]
	roles      memo[authz.Role]
	parents    memo[authz.Resource]
}

func newParser() *parser {
	p := &parser{principals: newMemo(authz.ParsePrincipal), roles: newMemo(authz.ParseRole)}
	p.parents = newMemo(p.resource)
	return p
}

// next reads the first row and returns what follows it. What it returns keeps
// none of the text alive.
func (p *parser) next(text string) (x authz.Authorization, rest string, err error) {
	var f [12]string
	for i := range f {
		end := strings.IndexByte(text, 31)
		if end < 0 {
			return x, "", errRow
		}
		f[i], text = text[:end], text[end+1:]
	}
	fail := func(err error) (authz.Authorization, string, error) {
		return authz.Authorization{}, "", fmt.Errorf("authorization %.40q: %w", f[0], err)
	}
	reason, err1 := strconv.ParseUint(f[10], 10, 31)
	condition, err2 := strconv.ParseUint(f[11], 10, 31)
	size := reason + condition
	if err1 != nil || err2 != nil || uint64(len(text)) < size {
		return fail(errRow)
	}
	x.Reason, x.Condition = strings.Clone(text[:reason]), strings.Clone(text[reason:size])
	switch text = text[size:]; {
	case len(text) > 1 && text[0] == 30:
		rest = text[1:]
	case text != "":
		return fail(errRow)
	}
	if len(f[0]) != 36 {
		return fail(errRow)
	}
	if x.ID, err = uuid.Parse(f[0]); err != nil {
		return fail(err)
	}
	if x.Principal, err = p.principals.get(f[1]); err != nil {
		return fail(err)
	}
	if x.Role, err = p.roles.get(f[2]); err != nil {
		return fail(err)
	}
	if x.Resource, err = p.resource(f[3]); err != nil {
		return fail(err)
	}
	switch f[4] {
	case "1":
		x.Effect = authz.Allow
	case "2":
		x.Effect = authz.Deny
	default:
		return fail(errors.New("effect: want 1 or 2"))
	}
	if x.From, err = unstamp(f[5]); err != nil {
		return fail(err)
	}
	if x.Until, err = unstamp(f[6]); err != nil {
		return fail(err)
	}
	if x.GrantedBy, err = p.perhaps(f[7]); err != nil {
		return fail(err)
	}
	switch f[8] {
	case "0":
	case "1":
		x.Pending = true
	default:
		return fail(errors.New("pending: want 0 or 1"))
	}
	if x.ApprovedBy, err = p.perhaps(f[9]); err != nil {
		return fail(err)
	}
	return x, rest, nil
}

func (p *parser) principal(s string) (authz.Principal, error) { return p.principals.get(s) }

// perhaps reads a principal that may be nobody.
func (p *parser) perhaps(s string) (authz.Principal, error) {
	if s == "" {
		return authz.Principal{}, nil
	}
	return p.principals.get(s)
}

// resource reads a path. Many resources are below one, which is then checked
// once, as are those above it: the path is right if the child of that name has
// that path.
func (p *parser) resource(s string) (authz.Resource, error) {
	if i := strings.LastIndexByte(s, '/'); i > 0 && strings.IndexByte(s[i:], '%') < 0 {
		if up, err := p.parents.get(s[:i]); err == nil {
			if r, err := up.Child(s[i+1:]); err == nil && r.String() == s {
				return r, nil
			}
		}
	}
	return authz.ParseResource(strings.Clone(s))
}

func unstamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}

// memo remembers results of a parse function, up to some size.
type memo[T any] struct {
	parse func(string) (T, error)
	known map[string]T
	size  int
}

// memoSize is in bytes of names.
const memoSize = 16 << 20

func newMemo[T any](parse func(string) (T, error)) memo[T] {
	return memo[T]{parse: parse, known: map[string]T{}}
}

func (m *memo[T]) get(s string) (T, error) {
	if v, ok := m.known[s]; ok {
		return v, nil
	}
	s = strings.Clone(s)
	v, err := m.parse(s)
	if err != nil {
		return v, err
	}
	if m.size += len(s); m.size > memoSize {
		clear(m.known)
		m.size = len(s)
	}
	m.known[s] = v
	return v, nil
}
