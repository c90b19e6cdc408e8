package c4ctest

import (
	"slices"
	"strings"
	"time"
)

// node is a part of a filter.
type node interface {
	match(r *row) bool
	props() []string
}

type logic struct {
	or   bool
	a, b node
}

func (n logic) match(r *row) bool {
	if n.or {
		return n.a.match(r) || n.b.match(r)
	}
	return n.a.match(r) && n.b.match(r)
}

func (n logic) props() []string { return append(n.a.props(), n.b.props()...) }

type comparison struct {
	prop property
	op   string // eq, ge, le, startswith, endswith
	val  any
}

func (n comparison) props() []string { return []string{n.prop.name} }

func (n comparison) match(r *row) bool {
	have := r.props[n.prop.name]
	t, _ := have.(string)
	want, _ := n.val.(string)
	switch n.op {
	case "startswith":
		return strings.HasPrefix(t, want)
	case "endswith":
		return strings.HasSuffix(t, want)
	case "ge":
		return have != nil && compare(have, n.val) >= 0
	case "le":
		return have != nil && compare(have, n.val) <= 0
	}
	if strings.Contains(want, "*") && n.prop.typ != "Timestamp" {
		return wildcard(want, t)
	}
	if have == nil && want == "" {
		return n.val != nil && n.prop.typ != "Timestamp" && n.prop.typ != "Date" && n.val != true
	}
	return compare(have, n.val) == 0
}

// wildcard matches a text against a pattern in which * stands for anything.
func wildcard(pattern, t string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(t, parts[0]) {
		return false
	}
	t = t[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(t, p)
		if i < 0 {
			return false
		}
		t = t[i+len(p):]
	}
	return strings.HasSuffix(t, last)
}

// parser reads the filters that the real service documents: eq, ge, le,
// startswith and endswith, joined by and; or only between comparisons of one
// property.
type parser struct {
	set    *entitySet
	tokens []string
	depth  int
}

func parseFilter(set *entitySet, t string) (node, *failure) {
	tokens, f := lex(t)
	if f != nil {
		return nil, f
	}
	p := &parser{set: set, tokens: tokens}
	n, f := p.or()
	if f != nil {
		return nil, f
	}
	if len(p.tokens) > 0 {
		return nil, bad("Filter cannot be read")
	}
	return n, nil
}

func lex(t string) ([]string, *failure) {
	var out []string
	for i := 0; i < len(t); {
		switch c := t[i]; {
		case c == ' ':
			i++
		case c == '(' || c == ')' || c == ',':
			out = append(out, string(c))
			i++
		default:
			start := i
			for i < len(t) && !strings.ContainsRune(" (),", rune(t[i])) {
				if t[i] != '\'' {
					i++
					continue
				}
				for i++; ; i++ {
					if i >= len(t) {
						return nil, bad("Text in the filter does not end")
					}
					if t[i] != '\'' {
						continue
					}
					if i+1 < len(t) && t[i+1] == '\'' {
						i++
						continue
					}
					i++
					break
				}
			}
			out = append(out, t[start:i])
		}
		if len(out) > 50000 {
			return nil, bad("Filter too long")
		}
	}
	return out, nil
}

func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) or() (node, *failure) {
	a, f := p.and()
	for f == nil && p.peek() == "or" {
		p.next()
		var b node
		if b, f = p.and(); f == nil {
			a = logic{true, a, b}
			names := a.props()
			if slices.ContainsFunc(names, func(n string) bool { return n != names[0] }) {
				return nil, bad("Logical operator OR is only supported for the same property")
			}
		}
	}
	return a, f
}

func (p *parser) and() (node, *failure) {
	a, f := p.term()
	for f == nil && p.peek() == "and" {
		p.next()
		var b node
		if b, f = p.term(); f == nil {
			a = logic{false, a, b}
		}
	}
	return a, f
}

func (p *parser) term() (node, *failure) {
	t := p.next()
	if t == "(" {
		if p.depth++; p.depth > 20 {
			return nil, bad("Filter too deep")
		}
		n, f := p.or()
		if f == nil && p.next() != ")" {
			f = bad("Filter cannot be read")
		}
		return n, f
	}
	if t == "startswith" || t == "endswith" {
		if p.next() != "(" {
			return nil, bad("Filter cannot be read")
		}
		prop, f := p.property(p.next())
		if f != nil {
			return nil, f
		}
		if p.next() != "," {
			return nil, bad("Filter cannot be read")
		}
		v, f := prop.literal(p.next())
		if f == nil && p.next() != ")" {
			f = bad("Filter cannot be read")
		}
		return comparison{prop, t, v}, f
	}
	prop, f := p.property(t)
	if f != nil {
		return nil, f
	}
	op := p.next()
	if op != "eq" && op != "ge" && op != "le" {
		return nil, bad("Operator %s is not supported", op)
	}
	v, f := prop.literal(p.next())
	return comparison{prop, op, v}, f
}

func (p *parser) property(name string) (property, *failure) {
	prop, ok := p.set.props[name]
	if !ok || prop.nav != "" {
		return property{}, bad("Property %s is invalid", name)
	}
	if name == "ETag" {
		return property{}, bad("Property ETag cannot be filtered")
	}
	return prop, nil
}

// literal reads a constant of the type of the property.
func (p property) literal(t string) (any, *failure) {
	inner := func(prefix string) (string, bool) {
		if !strings.HasPrefix(t, prefix+"'") || !strings.HasSuffix(t, "'") || len(t) < len(prefix)+2 {
			return "", false
		}
		return strings.ReplaceAll(t[len(prefix)+1:len(t)-1], "''", "'"), true
	}
	switch p.typ {
	case "String", "LargeString":
		if v, ok := inner(""); ok {
			return v, nil
		}
	case "UUID":
		if v, ok := inner("guid"); ok {
			return v, nil
		}
	case "Timestamp":
		if v, ok := inner("datetimeoffset"); ok {
			if d, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return d.UTC(), nil
			}
		}
	case "Date":
		if v, ok := inner("datetime"); ok {
			if d, err := time.Parse("2006-01-02T15:04:05", v); err == nil {
				return d, nil
			}
		}
	case "Boolean":
		if t == "true" || t == "false" {
			return t == "true", nil
		}
	}
	return nil, bad("Literal of the wrong type for %s", p.name)
}
