package authz

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxCondition bounds what evaluating one costs, in bytes.
const maxCondition = 1024

// wordKind is what a word of a condition is.
type wordKind uint8

const (
	wordEnd wordKind = iota
	wordName
	wordNumber
	wordText
	wordOperator
	wordOpen
	wordClose
	wordComma
)

// word is the smallest part of a condition that means something.
type word struct {
	kind wordKind
	text string // of a wordText without its quotes
	at   int    // byte of the condition
}

func (w word) String() string {
	if w.kind == wordEnd {
		return "the end"
	}
	return fmt.Sprintf("%.40q", w.text)
}

// grammar reads a condition and says where and how it is none. It reads less
// than Casbin's compiler does, so that nothing in it can have two meanings.
type grammar struct {
	words []word
	next  int
	mind  [2]bool
}

// parseCondition checks a condition against the grammar. The error says at which
// byte, which word, and what would do there.
func parseCondition(text string) (*grammar, error) {
	if len(text) > maxCondition {
		return nil, fmt.Errorf("%d bytes, %d at most", len(text), maxCondition)
	}
	g := &grammar{}
	if err := g.split(text); err != nil {
		return nil, err
	}
	if err := g.any(); err != nil {
		return nil, err
	}
	if w := g.peek(); w.kind != wordEnd {
		return nil, w.refuse("want && or || or the end")
	}
	return g, nil
}

func (w word) refuse(want string) error { return fmt.Errorf("byte %d: %s: %s", w.at+1, w, want) }

const allowedNames = "network, device, hour, minute, weekday and ipMatch"

// split makes words. It reads operators as Casbin's compiler does: as many
// signs as stand together.
func (g *grammar) split(s string) error {
	// Casbin's matchers alter whatever is not ASCII, backslashes and what follows a #.
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '\\' || b == '#' {
			return fmt.Errorf("byte %d: %q: want printable ASCII characters without backslashes or #", i+1, s[i:i+1])
		}
	}
	is := func(set string) func(byte) bool {
		return func(b byte) bool { return strings.IndexByte(set, b) >= 0 }
	}
	letter := func(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '_' }
	digit := is("0123456789")
	for i := 0; i < len(s); {
		from := i
		run := func(ok func(byte) bool) string {
			for i < len(s) && ok(s[i]) {
				i++
			}
			return s[from:i]
		}
		w := word{at: from}
		switch b := s[i]; {
		case b == ' ':
			i++
			continue
		case letter(b):
			w.kind, w.text = wordName, run(func(b byte) bool { return letter(b) || digit(b) || b == '.' })
		case digit(b):
			w.kind, w.text = wordNumber, run(digit)
			if len(w.text) > 4 {
				return w.refuse("want a number of four digits at most")
			}
		case b == '\'' || b == '"':
			end := strings.IndexAny(s[i+1:], `'"`)
			if end < 0 || s[i+1+end] != b {
				return fmt.Errorf("byte %d: text does not end with the quote that it begins with", from+1)
			}
			w.kind, w.text, i = wordText, s[i+1:i+1+end], i+end+2
		case b == '(':
			w.kind, w.text, i = wordOpen, "(", i+1
		case b == ')':
			w.kind, w.text, i = wordClose, ")", i+1
		case b == ',':
			w.kind, w.text, i = wordComma, ",", i+1
		default:
			w.kind, w.text = wordOperator, run(is("=!<>&|~+-*/%^?:.;"))
			if !slices.Contains([]string{"==", "!=", "<", "<=", ">", ">=", "&&", "||", "!"}, w.text) {
				w.text = s[from:max(i, from+1)]
				return w.refuse("want one of == != < <= > >= && || ! with a space behind it")
			}
		}
		g.words = append(g.words, w)
	}
	g.words = append(g.words, word{at: len(s)})
	return nil
}

func (g *grammar) peek() word { return g.words[g.next] }

func (g *grammar) take() word {
	w := g.words[g.next]
	if w.kind != wordEnd {
		g.next++
	}
	return w
}

func (g *grammar) takeIf(text string, kind wordKind) bool {
	if w := g.peek(); w.kind == kind && w.text == text {
		g.next++
		return true
	}
	return false
}

// any and all are lists of conditions, by || and by &&; && binds closer.
func (g *grammar) any() error {
	for {
		if err := g.all(); err != nil {
			return err
		}
		if !g.takeIf("||", wordOperator) {
			return nil
		}
	}
}

func (g *grammar) all() error {
	for {
		if err := g.one(); err != nil {
			return err
		}
		if !g.takeIf("&&", wordOperator) {
			return nil
		}
	}
}

// one is a group, a negation, a question to ipMatch or a comparison.
func (g *grammar) one() error {
	negated := g.takeIf("!", wordOperator)
	switch w := g.peek(); {
	case g.takeIf("(", wordOpen):
		if err := g.any(); err != nil {
			return err
		}
		if w := g.take(); w.kind != wordClose {
			return w.refuse("want && or || or )")
		}
		return nil
	case g.takeIf("true", wordName), g.takeIf("false", wordName):
		return nil
	case g.takeIf("ipMatch", wordName):
		return g.ipMatch()
	case negated:
		return w.refuse("! stands before ( or ipMatch only")
	}
	return g.comparison()
}

func (g *grammar) ipMatch() error {
	for _, want := range []word{{kind: wordOpen, text: "("}, {kind: wordName, text: "network"}, {kind: wordComma, text: ","}} {
		if w := g.take(); w.kind != want.kind || w.text != want.text {
			return w.refuse("want ipMatch(network, 'ADDRESS') or ipMatch(network, 'ADDRESS/BITS')")
		}
	}
	w := g.take()
	_, err := netip.ParsePrefix(w.text)
	if a, single := netip.ParseAddr(w.text); single == nil && a.Zone() == "" {
		err = nil
	}
	if w.kind != wordText || err != nil {
		return w.refuse("want the text of an address or of a range, as in '10.0.0.0/8'")
	}
	if w := g.take(); w.kind != wordClose {
		return w.refuse("want )")
	}
	return nil
}

// comparison is a value, an operator and a value or, after in, a list.
func (g *grammar) comparison() error {
	left := g.take()
	kind, err := left.value()
	if err != nil {
		return err
	}
	op := g.take()
	switch {
	case op.kind == wordName && op.text == "in" && left.kind == wordName:
		return g.list(left, kind)
	case op.kind != wordOperator || op.text == "&&" || op.text == "||" || op.text == "!":
		return op.refuse("want a comparison: == != < <= > >= or, after a name, in")
	case kind == wordText && op.text != "==" && op.text != "!=":
		return op.refuse("text is compared by == and != only")
	}
	right := g.take()
	k, err := right.value()
	if err != nil {
		return err
	}
	if k != kind {
		return right.refuse("text and numbers are never equal")
	}
	g.minds(left, right)
	g.minds(right, left)
	return nil
}

func (g *grammar) list(left word, kind wordKind) error {
	if w := g.take(); w.kind != wordOpen {
		return w.refuse("want a list, as in hour in (8, 9)")
	}
	for {
		w := g.take()
		if w.kind != kind {
			return w.refuse("want a list of texts for a text and of numbers for a number")
		}
		g.minds(left, w)
		switch w := g.take(); w.kind {
		case wordComma:
		case wordClose:
			return nil
		default:
			return w.refuse("want , or )")
		}
	}
}

// minds notes that the condition says what an unknown text means.
func (g *grammar) minds(name, other word) {
	if name.kind == wordName && other.kind == wordText && other.text == "" {
		g.mind[0] = g.mind[0] || name.text == "network"
		g.mind[1] = g.mind[1] || name.text == "device"
	}
}

// value says whether a word stands for a text or for a number.
func (w word) value() (wordKind, error) {
	switch w.kind {
	case wordNumber, wordText:
		return w.kind, nil
	case wordName:
		switch w.text {
		case "network", "device":
			return wordText, nil
		case "hour", "minute", "weekday":
			return wordNumber, nil
		}
		return 0, w.refuse("unknown: the names are " + allowedNames)
	}
	return 0, w.refuse("want a name, a text in quotes or a number; the names are " + allowedNames)
}
