package authz

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/effector"
	"github.com/casbin/casbin/v2/model"
	defaultrolemanager "github.com/casbin/casbin/v2/rbac/default-role-manager"
)

// shape says which field of a Casbin request and of a p row plays which part.
// It exists only for models whose meaning roles on a tree have too.
type shape struct {
	request []string // the tokens of r, without their prefix
	columns int      // fields of a p row
	sub     pair
	act     pair
	path    []pair // the domain first, then the rest in the order of the request
	eft     int    // the field of a p row with its effect, -1 if every row allows
	denies  bool   // whether a row that denies wins
	grouped string // the relation that gives subjects roles, "" if none
	domain  bool   // it does so per domain, which is path[0]
	nested  string // the relation that puts objects into groups, "" if none
	levels  int    // role levels that the Enforcer follows
}

// pair is a request field and the field of a p row that it has to equal.
type pair struct{ r, p int }

// finding is a reason why something cannot be imported, and what to do.
func finding(where, why, instead string) string {
	return fmt.Sprintf("%s: %s: %s", where, why, instead)
}

// readShape reads a model, or says what in it roles on a tree cannot mean.
func readShape(e *casbin.Enforcer) (shape, []string) {
	var s shape
	var bad []string
	refuse := func(where, why, instead string) { bad = append(bad, finding(where, why, instead)) }
	m := e.GetModel()
	for _, key := range []string{"r", "p", "e", "m"} {
		if m[key] == nil || m[key][key] == nil {
			refuse(key, "not defined", "import an Enforcer whose model is loaded")
		}
	}
	if len(bad) > 0 {
		return s, bad
	}
	for _, sec := range []string{"r", "p", "e", "m"} {
		for _, key := range sorted(m[sec]) {
			if key != sec {
				refuse(key, "a second definition, which an EnforceContext can choose", "import each pair of definitions from an Enforcer of its own")
			}
		}
	}
	for _, key := range []string{"r", "p"} {
		if d := duplicate(m[key][key].Tokens); d != "" {
			refuse(key, fmt.Sprintf("the field %.40q stands twice", strings.TrimPrefix(d, key+"_")), "give each a name of its own")
		}
	}
	bad = append(bad, switches(e)...)
	s.columns, s.eft = len(m["p"]["p"].Tokens), slices.Index(m["p"]["p"].Tokens, "p_eft")
	for _, t := range m["r"]["r"].Tokens {
		s.request = append(s.request, strings.TrimPrefix(t, "r_"))
	}
	switch v := strings.Join(strings.Fields(m["e"]["e"].Value), ""); v {
	case "some(where(p_eft==allow))":
	case "some(where(p_eft==allow))&&!some(where(p_eft==deny))":
		s.denies = true
	case "!some(where(p_eft==deny))":
		refuse("e", "whatever no row denies is allowed to everybody", "write the allow rows that are meant")
	case "priority(p_eft)||deny", "subjectPriority(p_eft)||deny":
		refuse("e", "the first row decides, here a deny always wins", "keep the model as it is, with its policy.csv beside it, or rewrite the rows so that a deny may win")
	default:
		refuse("e", "an effect of its own", "keep the model as it is, with its policy.csv beside it")
	}
	return s, append(bad, s.readMatcher(m)...)
}

// switches are what an Enforcer was told in code and no file says.
func switches(e *casbin.Enforcer) (bad []string) {
	v := reflect.ValueOf(e).Elem()
	if f := v.FieldByName("enabled"); !f.IsValid() || !f.Bool() {
		bad = append(bad, finding("Enforcer", "switched off, so that it allows everything", "switch it on before it is imported"))
	}
	if f := v.FieldByName("acceptJsonRequest"); !f.IsValid() || f.Bool() {
		bad = append(bad, finding("Enforcer", "reads request fields as JSON", "switch it off before it is imported"))
	}
	if f := v.FieldByName("eft"); !f.IsValid() || f.IsNil() || f.Elem().Type() != reflect.TypeFor[*effector.DefaultEffector]() {
		bad = append(bad, finding("Enforcer", "an Effector of its own", "import what Casbin's own Effector decides"))
	}
	return bad
}

// readMatcher takes the matcher apart. It must be one conjunction in which
// every field of the request is compared with a field of the policy, once.
func (s *shape) readMatcher(m model.Model) (bad []string) {
	refuse := func(where, why, instead string) { bad = append(bad, finding(where, why, instead)) }
	rs, ps := m["r"]["r"].Tokens, m["p"]["p"].Tokens
	type term struct {
		pair
		by, dom string // the relation, "" for equality, and its third argument
	}
	var terms []term
	usedR, usedP := map[int]bool{}, map[int]bool{}
	for c := range strings.SplitSeq(m["m"]["m"].Value, "&&") {
		c = strings.TrimSpace(c)
		t := term{}
		var args []string
		if l, r, ok := strings.Cut(c, "=="); ok {
			args = []string{l, r}
		} else if f, in, ok := strings.Cut(c, "("); ok && strings.HasSuffix(in, ")") {
			t.by, args = strings.TrimSpace(f), strings.Split(strings.TrimSuffix(in, ")"), ",")
		}
		for i := range args {
			args[i] = strings.TrimSpace(args[i])
		}
		if t.by == "" && len(args) == 2 && strings.HasPrefix(args[0], "p_") {
			args[0], args[1] = args[1], args[0]
		}
		if len(args) < 2 || len(args) > 3 || t.by != "" && m["g"][t.by] == nil {
			refuse("m", fmt.Sprintf("%.80q is more than a comparison or a role", plainMatcher(c)), matcherAdvice(c))
			continue
		}
		t.r, t.p = slices.Index(rs, args[0]), slices.Index(ps, args[1])
		if t.r < 0 || t.p < 0 {
			refuse("m", fmt.Sprintf("%.80q does not compare a field of the request with one of the policy", plainMatcher(c)), matcherAdvice(c))
			continue
		}
		if usedR[t.r] || usedP[t.p] {
			refuse("m", fmt.Sprintf("%.80q compares a field that is compared already", plainMatcher(c)), "compare each once")
			continue
		}
		if len(args) == 3 {
			t.dom = args[2]
		}
		usedR[t.r], usedP[t.p] = true, true
		terms = append(terms, t)
	}
	if len(bad) > 0 {
		return bad
	}
	name := func(t term) string { return strings.ToLower(s.request[t.r]) }
	is := func(t term, names ...string) bool { return slices.Contains(names, name(t)) }
	slices.SortStableFunc(terms, func(a, b term) int { return a.r - b.r })
	who := slices.IndexFunc(terms, func(t term) bool { return is(t, "sub", "subject", "user", "principal", "who") })
	if who < 0 && !is(terms[0], "obj", "object", "resource", "thing", "act", "action", "dom", "domain", "tenant") {
		who = 0
	}
	if who < 0 {
		refuse("m", "nobody asks: no field of the request is a subject", "add the subject to request and policy")
		return bad
	}
	subject := terms[who]
	terms = slices.Delete(terms, who, who+1)
	what := slices.IndexFunc(terms, func(t term) bool { return is(t, "act", "action", "method", "permission", "verb") })
	if what < 0 {
		what = len(terms) - 1
	}
	if what < 0 {
		refuse("m", "nothing is asked for: no field of the request is an action", "add the action to request and policy")
		return bad
	}
	action := terms[what]
	terms = slices.Delete(terms, what, what+1)
	if action.by != "" {
		refuse("m", "actions are in groups by "+action.by, "write a row for each action")
	}
	s.sub, s.act, s.grouped, s.levels = subject.pair, action.pair, subject.by, maxTeamDepth
	if s.grouped != "" {
		bad = append(bad, s.readRelation(m, subject.by, subject.dom != "")...)
	}
	if subject.dom != "" {
		i := slices.IndexFunc(terms, func(t term) bool { return t.by == "" && (rs[t.r] == subject.dom || ps[t.p] == subject.dom) })
		if i < 0 {
			refuse("m", fmt.Sprintf("the domain %s of g is not compared with one of the policy", strings.Replace(subject.dom, "_", ".", 1)), "add r.dom == p.dom")
			return bad
		}
		s.domain = true
		s.path = append(s.path, terms[i].pair)
		terms = slices.Delete(terms, i, i+1)
	}
	for i, t := range terms {
		if t.by != "" {
			if i != len(terms)-1 || t.dom != "" || s.domain {
				refuse("m", "objects are in groups by "+t.by+", and per domain or before another field", "write a row for each object")
				continue
			}
			s.nested = t.by
			bad = append(bad, s.readRelation(m, t.by, false)...)
		}
		s.path = append(s.path, t.pair)
	}
	if len(s.path) >= MaxDepth {
		refuse("r", fmt.Sprintf("%d fields name the object", len(s.path)), "use fewer")
	}
	return bad
}

// readRelation refuses a g whose answers its rows do not give.
func (s *shape) readRelation(m model.Model, key string, domain bool) (bad []string) {
	refuse := func(why, instead string) { bad = append(bad, finding(key, why, instead)) }
	g := m["g"][key]
	want := 2
	if domain {
		want = 3
	}
	if len(g.ParamsTokens) > 0 || g.CondRM != nil {
		refuse("its rows hold under conditions that are set in code", "use From and Until of an Authorization")
		return bad
	}
	if len(g.Tokens) != want {
		refuse(fmt.Sprintf("defined with %d fields and asked with %d", len(g.Tokens), want), "define it as it is asked")
		return bad
	}
	level, err := plainManager(g.RM)
	if err != nil {
		refuse(err.Error(), "write the rows that it implies")
		return bad
	}
	s.levels = min(s.levels, level)
	return bad
}

// plainManager looks into a role manager for what its interface does not show:
// matching functions, and how far it follows roles.
func plainManager(rm any) (levels int, err error) {
	switch rm.(type) {
	case *defaultrolemanager.RoleManagerImpl, *defaultrolemanager.RoleManager, *defaultrolemanager.DomainManager:
	case nil:
		return 0, errors.New("its role links were never built")
	default:
		return 0, fmt.Errorf("a role manager of its own, %T", rm)
	}
	v := reflect.ValueOf(rm).Elem()
	for _, name := range []string{"matchingFunc", "domainMatchingFunc"} {
		if f := v.FieldByName(name); !f.IsValid() || !f.IsNil() {
			return 0, errors.New("its names are patterns, by a matching function")
		}
	}
	f := v.FieldByName("maxHierarchyLevel")
	if !f.IsValid() {
		return 0, errors.New("how far it follows roles is not known")
	}
	return int(f.Int()), nil
}

func plainMatcher(c string) string {
	return strings.NewReplacer("r_", "r.", "p_", "p.").Replace(c)
}

// matcherAdvice says what to do about a condition.
func matcherAdvice(c string) string {
	for _, x := range []struct{ has, instead string }{
		{"keyMatch", "a role on a resource holds below it too: write the rows for the nodes that the patterns mean"},
		{"globMatch", "a role on a resource holds below it too: write the rows for the nodes that the patterns mean"},
		{"regexMatch", "write a row for each action or object that the expression means"},
		{"keyGet", "write a row for each object that is meant"},
		{"ipMatch", "decide about addresses before asking"},
		{"eval(", "write the rows that the rule implies"},
	} {
		if strings.Contains(c, x.has) {
			return x.instead
		}
	}
	return "keep the model as it is, with its policy.csv beside it, or write the rows that the condition implies"
}

func duplicate(names []string) string {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return n
		}
	}
	return ""
}

// sorted returns the keys of a map in order, so that findings come in order.
func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
