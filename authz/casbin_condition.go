package authz

import (
	"errors"
	"fmt"
	"time"

	"github.com/casbin/casbin/v2/util"
	"github.com/casbin/govaluate"
)

// expression is a condition as Casbin compiles its matchers. Evaluating changes
// nothing in it.
type expression struct {
	e *govaluate.EvaluableExpression
}

// compileCondition makes a condition ready to be asked. An error says at which
// byte it is none, and what would do. Whatever the grammar here and Casbin's
// compiler do not read alike, word by word, is refused.
func compileCondition(text string) (c *condition, err error) {
	defer func() {
		if recover() != nil {
			c, err = nil, errors.New("authz: condition: cannot be compiled")
		}
	}()
	g, err := parseCondition(text)
	if err != nil {
		return nil, fmt.Errorf("authz: condition: %w", err)
	}
	e, err := govaluate.NewEvaluableExpressionWithFunctions(text, map[string]govaluate.ExpressionFunction{"ipMatch": util.IPMatchFunc})
	if err != nil {
		return nil, fmt.Errorf("authz: condition: %w", err)
	}
	if err := readAlike(g.words, e.Tokens()); err != nil {
		return nil, fmt.Errorf("authz: condition: %w", err)
	}
	return &condition{text: text, expr: expression{e}, mind: g.mind}, nil
}

// readAlike compares both readings of a condition, word by word.
func readAlike(words []word, tokens []govaluate.ExpressionToken) error {
	for i, w := range words {
		if w.kind == wordEnd && i == len(tokens) {
			return nil
		}
		if i >= len(tokens) || !same(w, tokens[i]) {
			want := "write it in another way"
			if i < len(tokens) && tokens[i].Kind == govaluate.TIME {
				want = "reads as a point in time: compare hour, minute and weekday with numbers"
			}
			return w.refuse(want)
		}
	}
	return errors.New("cannot be compiled")
}

// same reports whether both readings of a word agree.
func same(w word, t govaluate.ExpressionToken) bool {
	switch t.Kind {
	case govaluate.VARIABLE, govaluate.STRING:
		return (w.kind == wordName) == (t.Kind == govaluate.VARIABLE) && (w.kind == wordText) == (t.Kind == govaluate.STRING) && t.Value == w.text
	case govaluate.BOOLEAN:
		return w.kind == wordName && (w.text == "true") == (t.Value == true) && (w.text == "false") == (t.Value == false)
	case govaluate.FUNCTION:
		return w.kind == wordName && w.text == "ipMatch"
	case govaluate.NUMERIC:
		n := 0.0
		for _, d := range w.text {
			n = 10*n + float64(d-'0')
		}
		return w.kind == wordNumber && t.Value == n
	case govaluate.COMPARATOR:
		return (w.kind == wordOperator || w.kind == wordName) && t.Value == w.text
	case govaluate.LOGICALOP, govaluate.PREFIX:
		return w.kind == wordOperator && t.Value == w.text
	case govaluate.SEPARATOR:
		return w.kind == wordComma
	case govaluate.CLAUSE:
		return w.kind == wordOpen
	case govaluate.CLAUSE_CLOSE:
		return w.kind == wordClose
	}
	return false
}

// satisfied asks. An error, and a panic turned into one, means that nobody knows.
func (c *condition) satisfied(ctx Context, now time.Time) (ok bool, err error) {
	if c == nil || c.expr.e == nil {
		return false, errors.New("authz: condition: none that can be evaluated")
	}
	defer func() {
		if recover() != nil {
			ok, err = false, errors.New("authz: condition: cannot be evaluated here")
		}
	}()
	v, err := c.expr.e.Eval(&facts{c, ctx, now})
	if err != nil {
		return false, fmt.Errorf("authz: condition: %w", err)
	}
	ok, is := v.(bool)
	if !is {
		return false, errors.New("authz: condition: neither true nor false")
	}
	return ok, nil
}

// facts are the names of one evaluation.
type facts struct {
	c   *condition
	ctx Context
	now time.Time
}

// Get implements govaluate.Parameters.
func (f *facts) Get(name string) (any, error) { return f.c.fact(name, f.ctx, f.now) }
