package connectors

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// MaxHTML is the most of an HTML text that HTMLToText reads, in bytes.
const MaxHTML = 4 << 20

// HTMLToText reads the text of an HTML body as a person sees it: blocks on lines
// of their own, lists with dashes, links followed by their address where the
// text does not say it, no scripts, styles or comments. Of more than MaxHTML the
// rest is left out. Text that is no HTML comes out with its white space
// collapsed.
func HTMLToText(s string) string {
	if len(s) > MaxHTML {
		s = s[:MaxHTML]
	}
	w := htmlWriter{}
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(MaxHTML)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return NormalizeText(FieldBody, w.b.String())
		case html.TextToken:
			w.text(string(z.Text()))
		case html.StartTagToken:
			w.start(z.Token())
		case html.SelfClosingTagToken:
			w.start(z.Token())
		case html.EndTagToken:
			w.end(z.Token().DataAtom)
		}
	}
}

type htmlWriter struct {
	b      strings.Builder
	hidden int  // within elements that nobody sees
	pre    int  // within elements whose white space counts
	space  bool // white space is due before the next word
	ends   int  // line ends since the last word, at the beginning as many as one likes
	begun  bool
	link   string
	from   int // where the text of the link begins
}

func (w *htmlWriter) line(n int) {
	w.space = false
	for w.begun && w.ends < n {
		w.b.WriteByte('\n')
		w.ends++
	}
}

func (w *htmlWriter) word(s string) {
	if w.space && w.ends == 0 && w.begun {
		w.b.WriteByte(' ')
	}
	w.b.WriteString(s)
	w.space, w.ends, w.begun = false, 0, true
}

func (w *htmlWriter) text(s string) {
	if w.hidden > 0 {
		return
	}
	if w.pre > 0 {
		for i, l := range strings.Split(s, "\n") {
			if i > 0 {
				w.ends = 0
				w.line(1)
			}
			if l != "" {
				w.word(l)
			}
		}
		return
	}
	const white = " \t\r\n\f"
	if strings.Trim(s, white) == "" {
		w.space = w.space || s != ""
		return
	}
	w.space = w.space || strings.ContainsRune(white, rune(s[0]))
	for f := range strings.FieldsFuncSeq(s, func(c rune) bool { return strings.ContainsRune(white, c) }) {
		w.word(f)
		w.space = true
	}
	w.space = strings.ContainsRune(white, rune(s[len(s)-1]))
}

func hiddenTag(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Object, atom.Iframe:
		return true
	}
	return false
}

// lines is how many line ends stand around an element.
func lines(a atom.Atom) int {
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Ul, atom.Ol, atom.Table, atom.Pre:
		return 2
	case atom.Div, atom.Tr, atom.Li, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Dt, atom.Dd, atom.Hr, atom.Body, atom.Center:
		return 1
	}
	return 0
}

func (w *htmlWriter) start(t html.Token) {
	a := t.DataAtom
	if hiddenTag(a) && t.Type == html.StartTagToken {
		w.hidden++
	}
	if w.hidden > 0 {
		if a == atom.Body { // a head that nobody closed
			w.hidden = 0
		}
		return
	}
	if n := lines(a); n > 0 {
		w.line(n)
	}
	switch a {
	case atom.Br:
		w.space = false
		if w.begun {
			w.b.WriteByte('\n')
			w.ends++
		}
	case atom.Li:
		w.word("-")
		w.space = true
	case atom.Td, atom.Th:
		w.space = true
	case atom.Pre:
		w.pre++
	case atom.A:
		w.link, w.from = "", w.b.Len()
		for _, x := range t.Attr {
			if x.Key == "href" {
				w.link = strings.TrimSpace(x.Val)
			}
		}
	}
}

func (w *htmlWriter) end(a atom.Atom) {
	if hiddenTag(a) && w.hidden > 0 {
		w.hidden--
		return
	}
	if w.hidden > 0 {
		return
	}
	switch a {
	case atom.Pre:
		w.pre = max(w.pre-1, 0)
	case atom.A:
		shown := strings.TrimSpace(w.b.String()[min(w.from, w.b.Len()):])
		address := strings.TrimPrefix(w.link, "mailto:")
		if (strings.HasPrefix(w.link, "http://") || strings.HasPrefix(w.link, "https://") || strings.HasPrefix(w.link, "mailto:")) &&
			shown != "" && !strings.Contains(shown, address) && !strings.Contains(address, shown) {
			w.space = true
			w.word("<" + address + ">")
		}
		w.link = ""
	}
	if n := lines(a); n > 0 {
		w.line(n)
	}
}
