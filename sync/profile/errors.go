package profile

import (
	"fmt"
	"strings"
)

// Error is one mistake in a layer: where it is, what sort of value stands there,
// and what to write instead. It never shows the value.
type Error struct {
	Layer        string
	Line, Column int    // 1-based; zero if the mistake has no place
	Path         string // keys joined by dots, as in kinds.contacts.direction
	Problem      string
	Fix          string
}

// Error reads "profile: tenant:3:14: kinds.contacts.direction: is a number, not a text: write one of both, to-crm, to-mailbox".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("profile: " + e.Layer)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Problem)
	if e.Fix != "" {
		b.WriteString(": " + e.Fix)
	}
	return b.String()
}

// Errors are all the mistakes that were found, MaxErrors at most, in the order of
// layers and lines.
type Errors []*Error

// Error reads one mistake a line.
func (es Errors) Error() string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = e.Error()
	}
	return strings.Join(out, "\n")
}

// Unwrap makes errors.As find each.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// nearest returns the name that is most like another, "" if none is like it.
func nearest(s string, names []string) string {
	best, least := "", len(s)/3+2
	for _, n := range names {
		if d := distance(strings.ToLower(s), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 60 || len(y) > 60 {
		return 60
	}
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}

// oneOf reads "write one of a, b, c", and names the one that was perhaps meant.
func oneOf(s string, names []string) string {
	if n := nearest(s, names); n != "" && s != "" {
		return fmt.Sprintf("did you mean %s? (one of %s)", n, strings.Join(names, ", "))
	}
	return "write one of " + strings.Join(names, ", ")
}
