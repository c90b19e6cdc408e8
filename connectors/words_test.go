package connectors_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func TestHTMLToText(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain  text\n here":       "plain text here",
		"<p>One</p><p>Two</p>":     "One\n\nTwo",
		"a<br>b<br/><br>c":         "a\nb\n\nc",
		"<div>a</div><div>b</div>": "a\nb",
		"<ul><li>a</li><li>b <b>c</b></li></ul>d":                                  "- a\n- b c\n\nd",
		"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>":          "a b\nc",
		"a<script>x</script><style>y</style><!-- z -->b":                           "ab",
		"<html><head><title>t</title><style>s</style></head><body>b</body></html>": "b",
		"<head>h<body>b":                                    "b",
		"&lt;b&gt; &amp; &uuml;&#10;&nbsp;x":                "<b> & ü \u00a0x",
		"<pre>a\n  b\n\nc</pre>":                            "a\n  b\n\nc",
		`<a href="https://x.example/y">click</a>`:           "click <https://x.example/y>",
		`<a href="https://x.example">https://x.example</a>`: "https://x.example",
		`<a href="mailto:eva@x.example">Eva</a>`:            "Eva <eva@x.example>",
		`<a href="javascript:alert(1)">x</a>`:               "x",
		"a <b>bold</b>, <i>it</i>alic":                      "a bold, italic",
		"<p>unclosed <b>and":                                "unclosed and",
		"a < b":                                             "a < b",
		"\xff<p>\x00x":                                      "\ufffd\n\nx",
	} {
		got := connectors.HTMLToText(in)
		assert.Equal(t, want, got, in)
		assert.Equal(t, connectors.NormalizeText(connectors.FieldBody, got), got)
	}
	assert.LessOrEqual(t, len(connectors.HTMLToText(strings.Repeat("x", connectors.MaxHTML+10))), connectors.MaxHTML)
}

func FuzzHTMLToText(f *testing.F) {
	for _, s := range []string{"<p>a</p>", "<pre>\n<a href=x>", "<head><body>", "</pre></a></p>", "&#x;", "<a href=https://x>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := connectors.HTMLToText(s)
		require.Equal(t, connectors.NormalizeText(connectors.FieldBody, got), got)
	})
}

// What stands below the delimiter is nobody's words: it is neither compared nor
// copied, and a description can be taken apart and put together again.
//
// feature: F15
func TestSmartDescription(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "+", "++++++++++", connectors.SmartDelimiter, "\n", " ", "x\n", "1+1"}), 0, 8).Draw(t, label), "")
		}
		own, smart := connectors.CutSmart(connectors.NormalizeText(connectors.FieldDescription, draw("text")))
		again, _ := connectors.CutSmart(own)
		require.Equal(t, own, again, "what people wrote has no delimiter")
		joined := connectors.JoinSmart(own, smart)
		o, s := connectors.CutSmart(joined)
		require.Equal(t, own, o)
		require.Equal(t, smart, s)
		require.Equal(t, connectors.NormalizeText(connectors.FieldDescription, joined), joined)

		a, b := connectors.NewRecord(connectors.KindVisit), connectors.NewRecord(connectors.KindVisit)
		a.SetText(connectors.FieldDescription, draw("a"))
		b.SetText(connectors.FieldDescription, draw("b"))
		_, kept := connectors.CutSmart(b.Appointment.Description)
		connectors.CopyField(b, a, connectors.FieldDescription)
		require.True(t, connectors.Same(a, b, connectors.FieldDescription))
		_, still := connectors.CutSmart(b.Appointment.Description)
		require.Equal(t, kept, still, "what stood below was lost or came across")
	})
	for in, want := range map[string][2]string{
		"mine\n\n++++++++++++++++\ntheirs":               {"mine", "theirs"},
		"mine\n +++++++++++ \ntheirs\n+++++++++++\nmore": {"mine", "theirs\n+++++++++++\nmore"},
		"a ++++++++++++ b\nc":                            {"a ++++++++++++ b\nc", ""},
		"+++++++++\nnine":                                {"+++++++++\nnine", ""},
		"++++++++++":                                     {"", ""},
	} {
		own, smart := connectors.CutSmart(in)
		assert.Equal(t, want, [2]string{own, smart}, in)
	}
}

// feature: F16
func TestLocations(t *testing.T) {
	for _, x := range [][2]string{{"Room 1", "Main St 5"}, {"Room 1", ""}, {"", "Main St 5"}, {"", ""}} {
		a, b := connectors.CutLocation(connectors.JoinLocation(x[0], x[1]))
		assert.Equal(t, x, [2]string{a, b})
	}
}

func TestMailHeaders(t *testing.T) {
	for _, x := range []struct {
		m    connectors.Mail
		want string
	}{
		{connectors.Mail{}, ""}, {connectors.Mail{AutoSubmitted: "no", ContentType: "text/plain; charset=utf-8"}, ""},
		{connectors.Mail{AutoSubmitted: "auto-generated"}, "automatic reply"}, {connectors.Mail{ListID: "<x>"}, "list"},
		{connectors.Mail{ContentType: "multipart/report; report-type=delivery-status"}, "report"}, {connectors.Mail{ContentType: "Multipart/Report; broken=;"}, "report"},
		{connectors.Mail{ContentType: "text/calendar; method=request"}, "invitation"}, {connectors.Mail{ContentType: "multipart/alternative; method=reply"}, "invitation"},
	} {
		assert.Equal(t, x.want, x.m.Automatic(), x.m.ContentType)
	}
	m := connectors.Mail{InReplyTo: []string{"b"}, References: []string{"a", "b", "c", ""}, From: connectors.Party{Address: "f"},
		To: []connectors.Party{{Address: "t"}, {Name: "x"}}, Cc: []connectors.Party{{Address: "c"}}}
	assert.Equal(t, []string{"b", "c", "a"}, m.Thread())
	assert.Len(t, m.Correspondents(), 3)
}
