package ewstest

import (
	"strings"
)

// match tells whether an item is one that a restriction means, and whether the
// restriction was understood.
func (e *entry) match(r *node) (yes, known bool) {
	switch r.name() {
	case "And", "Or":
		yes = r.name() == "And"
		for i := range r.Nodes {
			y, k := e.match(&r.Nodes[i])
			if !k {
				return false, false
			}
			if r.name() == "And" {
				yes = yes && y
			} else {
				yes = yes || y
			}
		}
		return yes, len(r.Nodes) > 0
	case "Not":
		if len(r.Nodes) != 1 {
			return false, false
		}
		y, k := e.match(&r.Nodes[0])
		return !y, k
	}
	if len(r.Nodes) == 0 || r.Nodes[0].uri() == "" {
		return false, false
	}
	v, has := e.value(r.Nodes[0].uri())
	if r.name() == "Exists" {
		return has, true
	}
	if len(r.Nodes) != 2 {
		return false, false
	}
	c := r.Nodes[1].at("Constant")
	if r.name() == "Contains" {
		c = &r.Nodes[1]
	}
	if c == nil || c.name() != "Constant" {
		return false, false
	}
	want := c.attr("Value")
	v, want = strings.ToLower(v), strings.ToLower(want)
	// Times are said in UTC and in one form, so texts compare as they do.
	switch r.name() {
	case "IsEqualTo":
		return v == want && (has || want == ""), true
	case "IsNotEqualTo":
		return v != want, true
	case "IsGreaterThan":
		return has && v > want, true
	case "IsGreaterThanOrEqualTo":
		return has && v >= want, true
	case "IsLessThan":
		return has && v < want, true
	case "IsLessThanOrEqualTo":
		return has && v <= want, true
	case "Contains":
		switch r.attr("ContainmentMode") {
		case "FullString":
			return v == want, true
		case "Prefixed":
			return strings.HasPrefix(v, want), true
		case "Substring":
			return strings.Contains(v, want), true
		}
	}
	return false, false
}
