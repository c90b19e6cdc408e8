package authz

import (
	"strings"

	"github.com/lockkeeper/lockkeeper/authz/internal/spelling"
)

// skeleton is what is left of a name when everything is gone that the eye
// passes over: dashes and underscores, a plural, letters like other letters.
func skeleton(name string) string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '.' || r == ':' })
	like := strings.NewReplacer("-", "", "_", "", "rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "i", "l", "5", "s", "2", "z")
	for i, p := range parts {
		p = like.Replace(p)
		if len(p) > 3 {
			p = strings.TrimSuffix(p, "s")
		}
		parts[i] = p
	}
	return strings.Join(parts, ".")
}

// lookAlikes finds names that a reader takes for one another.
func (l *linter) lookAlikes() {
	seen := map[string]string{}
	for _, p := range l.cat.permissions {
		if old, ok := seen[skeleton(p)]; ok {
			l.add(Warning, "look-alike", l.where[p], "permission %s looks like %s in line %d: rename one", p, old, l.where[old].line)
		} else {
			seen[skeleton(p)] = p
		}
	}
	seen = map[string]string{}
	for _, r := range l.roles {
		if old, ok := seen[skeleton(r)]; ok {
			l.add(Warning, "look-alike", l.first(r), "%s looks like %s in line %d: rename one", r, old, l.first(old).line)
		} else {
			seen[skeleton(r)] = r
		}
	}
}

// nearestOf proposes what was probably meant, as the end of a sentence.
func nearestOf(name string, names []string) string {
	if near := spelling.Nearest(name, names); near != "" {
		return ", perhaps " + near
	}
	return ""
}
