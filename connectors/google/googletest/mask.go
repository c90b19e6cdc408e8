package googletest

import "strings"

// masked keeps of an answer what a field mask names ("Partial response"): names
// with commas, "a/b" and "a(b,c)", and a star. It reports false for what is no mask.
func masked(v any, mask string) (any, bool) {
	tree, rest, ok := readMask(mask)
	if !ok || rest != "" {
		return nil, false
	}
	return tree.of(v), true
}

type maskTree map[string]maskTree // an empty one keeps everything

func readMask(s string) (maskTree, string, bool) {
	out := maskTree{}
	for {
		i := strings.IndexAny(s, ",()/")
		if i < 0 {
			i = len(s)
		}
		name := s[:i]
		if name == "" {
			return nil, s, false
		}
		s = s[i:]
		sub := maskTree{}
		var ok bool
		switch {
		case strings.HasPrefix(s, "("):
			if sub, s, ok = readMask(s[1:]); !ok || !strings.HasPrefix(s, ")") {
				return nil, s, false
			}
			s = s[1:]
		case strings.HasPrefix(s, "/"):
			j := strings.IndexAny(s[1:], ",()")
			if j < 0 {
				j = len(s) - 1
			}
			if sub, _, ok = readMask(s[1 : j+1]); !ok {
				return nil, s, false
			}
			s = s[j+1:]
		}
		out[name] = sub
		if !strings.HasPrefix(s, ",") {
			return out, s, true
		}
		s = s[1:]
	}
}

func (t maskTree) of(v any) any {
	if len(t) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if sub, ok := t[k]; ok {
				out[k] = sub.of(x)
			} else if _, ok := t["*"]; ok {
				out[k] = x
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = t.of(v[i])
		}
		return out
	}
	return v
}
