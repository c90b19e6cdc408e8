package profile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Limits on expressions. Each part of one is looked at once, there are no loops,
// and no function makes a text longer than MaxText: the cost is at most that of
// MaxParts times MaxText characters.
const (
	MaxExpression = 2000     // bytes
	MaxParts      = 100      // operators, names, values
	MaxPattern    = 200      // bytes of a regular expression
	MaxText       = 64 << 10 // bytes of a text that an expression sees or makes
)

// ErrTooLong is what a computed field fails with whose text would be longer than
// MaxText.
var ErrTooLong = errors.New("profile: computed text is too long")

// expression is one that was checked and compiled.
type expression struct {
	program *vm.Program
	names   []string // what of the record it looks at
}

// names are the types of all names that an expression may use for a kind.
func names(k connectors.Kind) map[string]any {
	out := map[string]any{"kind": "", "folder": "", "categories": []string{}, "private": false, "attachments": 0}
	r := connectors.NewRecord(k)
	for _, f := range connectors.Fields(k) {
		if r.SetText(f, "") {
			out[string(f)] = ""
		}
	}
	switch k.Shape() {
	case connectors.ShapeAppointment:
		out["all_day"], out["series"], out["status"], out["availability"], out["organizer"] = false, false, "", "", ""
		out["attendees"], out["starts_in_days"], out["minutes"] = []string{}, 0.0, 0
	case connectors.ShapeTask:
		out["status"], out["percent"], out["priority"], out["due_in_days"] = "", 0, "", 0.0
	case connectors.ShapeMail:
		out["from"], out["to"], out["cc"], out["priority"], out["inbound"], out["outbound"] = "", []string{}, []string{}, "", false, false
	}
	return out
}

// value is what a name means for a record.
func value(name string, r *connectors.Record, now time.Time) any {
	in := func(t time.Time) float64 { return t.Sub(now).Hours() / 24 }
	switch name {
	case "kind":
		return r.Kind.String()
	case "folder":
		return cut(r.Folder())
	case "categories":
		return r.Categories()
	case "private":
		return r.Private()
	case "attachments":
		return len(r.Attachments)
	}
	switch a, t, m := r.Appointment, r.Task, r.Mail; {
	case a != nil:
		switch name {
		case "all_day":
			return a.AllDay
		case "series":
			return a.Recurrence != nil
		case "status":
			return word(int(a.Status), "confirmed", "unconfirmed", "cancelled")
		case "availability":
			return word(int(a.Availability), "busy", "free", "tentative", "out-of-office")
		case "organizer":
			return strings.ToLower(a.Organizer.Address)
		case "attendees":
			return addresses(a.Attendees)
		case "starts_in_days":
			return in(a.Start)
		case "minutes":
			return int(a.End.Sub(a.Start).Minutes())
		}
	case t != nil:
		switch name {
		case "status":
			return word(int(t.Status), "not-started", "in-progress", "completed", "waiting", "deferred", "dropped")
		case "percent":
			return t.Percent
		case "priority":
			return word(int(t.Priority), "normal", "high", "low")
		case "due_in_days":
			if d, ok := connectors.ParseDate(t.Due); ok {
				return in(d)
			}
			return 36500.0
		}
	case m != nil:
		switch name {
		case "from":
			return strings.ToLower(m.From.Address)
		case "to":
			return addresses(m.To)
		case "cc":
			return addresses(m.Cc)
		case "priority":
			return word(int(m.Priority), "normal", "high", "low")
		case "inbound":
			return m.Direction == connectors.Inbound
		case "outbound":
			return m.Direction == connectors.Outbound
		}
	}
	return cut(r.Text(connectors.Field(name)))
}

func word(i int, words ...string) string {
	if i < 0 || i >= len(words) {
		return ""
	}
	return words[i]
}

func addresses(ps []connectors.Party) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = strings.ToLower(p.Address)
	}
	return out
}

// cut keeps what an expression may see of a text.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	s = s[:MaxText]
	for len(s) > 0 && !utf8.ValidString(s[max(len(s)-utf8.UTFMax, 0):]) {
		s = s[:len(s)-1]
	}
	return s
}

// function is one that expressions may call.
type function struct {
	name, form string
	call       func(args []string) (string, error)
	types      []any
}

func functions() []function {
	one := []any{func(string) string { return "" }}
	two := []any{func(string, string) string { return "" }}
	simple := func(f func(string) string) func([]string) (string, error) {
		return func(a []string) (string, error) { return f(a[0]), nil }
	}
	return []function{
		{"lower", "lower(text)", simple(strings.ToLower), one},
		{"upper", "upper(text)", simple(strings.ToUpper), one},
		{"trim", "trim(text)", simple(strings.TrimSpace), one},
		{"domain", "domain(address)", simple(func(s string) string { return domainOf(s) }), one},
		{"digits", "digits(text)", simple(digits), one},
		{"before", "before(text, separator)", func(a []string) (string, error) { s, _, _ := strings.Cut(a[0], a[1]); return s, nil }, two},
		{"after", "after(text, separator)", func(a []string) (string, error) { _, s, _ := strings.Cut(a[0], a[1]); return s, nil }, two},
		{"replace", "replace(text, old, new)", func(a []string) (string, error) {
			if a[1] == "" || len(a[0])+strings.Count(a[0], a[1])*(len(a[2])-len(a[1])) > MaxText {
				return "", ErrTooLong
			}
			return strings.ReplaceAll(a[0], a[1], a[2]), nil
		}, []any{func(string, string, string) string { return "" }}},
		{"join", "join(separator, text, …)", func(a []string) (string, error) {
			parts := slices.DeleteFunc(slices.Clone(a[1:]), func(s string) bool { return s == "" })
			return strings.Join(parts, a[0]), nil
		}, []any{func(string, ...string) string { return "" }}},
		{"first", "first(text, …)", func(a []string) (string, error) {
			for _, s := range a {
				if s != "" {
					return s, nil
				}
			}
			return "", nil
		}, []any{func(...string) string { return "" }}},
	}
}

func digits(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c == '+' {
			return c
		}
		return -1
	}, s)
}

// checker refuses what could cost more than a look at each part.
type checker struct {
	known map[string]any
	calls []string
	names []string
	errs  []error
	nodes int
}

// Visit implements ast.Visitor.
func (c *checker) Visit(node *ast.Node) {
	c.nodes++
	no := func(what string) { c.errs = append(c.errs, errors.New(what)) }
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode, *ast.ConditionalNode:
	case *ast.ArrayNode:
		if len(n.Nodes) > 50 {
			no("a list of more than 50 values")
		}
	case *ast.UnaryNode:
		if !slices.Contains([]string{"!", "not", "-", "+"}, n.Operator) {
			no("the operator " + n.Operator)
		}
	case *ast.BinaryNode:
		if !slices.Contains([]string{"==", "!=", "<", ">", "<=", ">=", "and", "or", "&&", "||", "+", "-", "*", "/", "in", "contains", "startsWith", "endsWith", "matches", "??"}, n.Operator) {
			no("the operator " + n.Operator)
		}
		if n.Operator == "matches" {
			p, ok := n.Right.(*ast.StringNode)
			if !ok || len(p.Value) > MaxPattern {
				no("a pattern that is no fixed text of at most 200 characters")
			} else if _, err := regexp.Compile(p.Value); err != nil {
				no("a pattern that cannot be understood")
			}
		}
	case *ast.IdentifierNode:
		switch _, ok := c.known[n.Value]; {
		case ok && !slices.Contains(c.names, n.Value):
			c.names = append(c.names, n.Value)
		case !ok && !slices.Contains(c.calls, n.Value):
			all := slices.Clone(c.calls)
			for name := range c.known {
				all = append(all, name)
			}
			slices.Sort(all)
			what := fmt.Sprintf("the unknown name %.40q", n.Value)
			if near := nearest(n.Value, all); near != "" {
				what += ", did you mean " + near + "?"
			}
			no(what)
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); !ok || !slices.Contains(c.calls, id.Value) {
			no("a call of something that is no function here")
		}
	default:
		no("a form that is not allowed here (loops, variables, members, ranges)")
	}
}

// compileExpr checks and compiles one. The error says what is wrong and never
// repeats the expression.
func compileExpr(text string, k connectors.Kind, want any) (*expression, error) {
	if len(text) > MaxExpression || !utf8.ValidString(text) {
		return nil, fmt.Errorf("is longer than %d bytes or no text", MaxExpression)
	}
	known := names(k)
	c := &checker{known: known, calls: []string{"has"}}
	opts := []expr.Option{expr.Env(known), expr.DisableAllBuiltins(), expr.MaxNodes(MaxParts), expr.Optimize(false)}
	for _, f := range functions() {
		c.calls = append(c.calls, f.name)
		opts = append(opts, expr.Function(f.name, func(params ...any) (any, error) {
			args := make([]string, len(params))
			total := 0
			for i, p := range params {
				s, ok := p.(string)
				if !ok {
					return nil, errors.New("profile: argument is no text")
				}
				args[i] = s
				total += len(s)
			}
			if total > MaxText {
				return nil, ErrTooLong
			}
			return f.call(args)
		}, f.types...))
	}
	opts = append(opts, expr.Function("has", func(params ...any) (any, error) {
		list, ok1 := params[0].([]string)
		s, ok2 := params[1].(string)
		return ok1 && ok2 && slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) }), nil
	}, func([]string, string) bool { return false }))
	switch want.(type) {
	case bool:
		opts = append(opts, expr.AsBool())
	default:
		opts = append(opts, expr.AsKind(stringKind))
	}
	tree, err := parse(text)
	if err != nil {
		return nil, err
	}
	ast.Walk(&tree, c)
	if len(c.errs) > 0 {
		return nil, fmt.Errorf("uses %w", c.errs[0])
	}
	if c.nodes > MaxParts {
		return nil, fmt.Errorf("has more than %d parts", MaxParts)
	}
	p, err := expr.Compile(text, opts...)
	if err != nil {
		return nil, plain(err)
	}
	slices.Sort(c.names)
	return &expression{program: p, names: c.names}, nil
}

// parse reads an expression without what the language offers beyond it.
func parse(text string) (ast.Node, error) {
	c := conf.CreateNew()
	c.MaxNodes = MaxParts
	for name := range c.Builtins {
		c.Disabled[name] = true
	}
	t, err := parser.ParseWithConfig(text, c)
	if err != nil {
		return nil, plain(err)
	}
	return t.Node, nil
}

// plain keeps of a compiler's error what it says and where.
func plain(err error) error {
	var e *file.Error
	if errors.As(err, &e) {
		msg, _, _ := strings.Cut(e.Message, "\n")
		if i := strings.IndexAny(msg, "\"'`"); i >= 0 { // what follows may be a value
			msg = strings.TrimSpace(msg[:i])
		}
		return fmt.Errorf("cannot be understood at character %d: %s", e.Column+1, msg)
	}
	return errors.New("cannot be understood")
}

func (e *expression) run(r *connectors.Record, now time.Time) (any, error) {
	env := make(map[string]any, len(e.names))
	for _, n := range e.names {
		env[n] = value(n, r, now)
	}
	out, err := expr.Run(e.program, env)
	if err != nil {
		if errors.Is(err, ErrTooLong) {
			return nil, ErrTooLong
		}
		return nil, errors.New("profile: expression failed") // the library's words may hold values
	}
	if s, ok := out.(string); ok && len(s) > MaxText {
		return nil, ErrTooLong
	}
	return out, nil
}
