package authz

import (
	"testing"
	"time"

	"github.com/casbin/govaluate"
	"github.com/stretchr/testify/require"
)

// A word that Casbin's compiler would read otherwise than the grammar is refused,
// should the two ever part ways: each kind of word, and each value of it.
func TestTwoReadingsOfAWordMustAgree(t *testing.T) {
	type token = govaluate.ExpressionToken
	words := map[string]word{
		"name": {wordName, "device", 0}, "other name": {wordName, "network", 0}, "true": {wordName, "true", 0}, "false": {wordName, "false", 0}, "ipMatch": {wordName, "ipMatch", 0}, "in": {wordName, "in", 0},
		"text": {wordText, "device", 0}, "other text": {wordText, "x", 0}, "text true": {wordText, "true", 0}, "text ipMatch": {wordText, "ipMatch", 0}, "text 12": {wordText, "12", 0}, "text ==": {wordText, "==", 0}, "text !": {wordText, "!", 0}, "text &&": {wordText, "&&", 0}, "text in": {wordText, "in", 0},
		"12": {wordNumber, "12", 0}, "13": {wordNumber, "13", 0}, "==": {wordOperator, "==", 0}, "!=": {wordOperator, "!=", 0}, "&&": {wordOperator, "&&", 0}, "||": {wordOperator, "||", 0}, "!": {wordOperator, "!", 0},
		"(": {wordOpen, "(", 0}, ")": {wordClose, ")", 0}, ",": {wordComma, ",", 0}, "end": {},
	}
	tokens := map[string]token{
		"name": {Kind: govaluate.VARIABLE, Value: "device"}, "other name": {Kind: govaluate.VARIABLE, Value: "network"}, "text": {Kind: govaluate.STRING, Value: "device"}, "other text": {Kind: govaluate.STRING, Value: "x"},
		"true": {Kind: govaluate.BOOLEAN, Value: true}, "false": {Kind: govaluate.BOOLEAN, Value: false}, "ipMatch": {Kind: govaluate.FUNCTION}, "12": {Kind: govaluate.NUMERIC, Value: 12.0}, "13": {Kind: govaluate.NUMERIC, Value: 13.0},
		"==": {Kind: govaluate.COMPARATOR, Value: "=="}, "!=": {Kind: govaluate.COMPARATOR, Value: "!="}, "in": {Kind: govaluate.COMPARATOR, Value: "in"}, "&&": {Kind: govaluate.LOGICALOP, Value: "&&"}, "||": {Kind: govaluate.LOGICALOP, Value: "||"},
		"!": {Kind: govaluate.PREFIX, Value: "!"}, ",": {Kind: govaluate.SEPARATOR}, "(": {Kind: govaluate.CLAUSE}, ")": {Kind: govaluate.CLAUSE_CLOSE},
	}
	// Texts that spell a name, a sign or a number are read as texts.
	also := map[string]token{"text true": {Kind: govaluate.STRING, Value: "true"}, "text ipMatch": {Kind: govaluate.STRING, Value: "ipMatch"}, "text 12": {Kind: govaluate.STRING, Value: "12"}, "text ==": {Kind: govaluate.STRING, Value: "=="},
		"text !": {Kind: govaluate.STRING, Value: "!"}, "text &&": {Kind: govaluate.STRING, Value: "&&"}, "text in": {Kind: govaluate.STRING, Value: "in"}}
	for name, w := range words {
		for as, tk := range tokens {
			require.Equal(t, name == as, same(w, tk), "%s read as %s", name, as)
		}
		for as, tk := range also {
			require.Equal(t, name == as, same(w, tk), "%s read as the text %s", name, as)
		}
		for _, tk := range []token{{Kind: govaluate.UNKNOWN}, {Kind: govaluate.TIME}, {Kind: govaluate.PATTERN, Value: w.text}, {Kind: govaluate.MODIFIER, Value: w.text}, {Kind: govaluate.TERNARY, Value: w.text}, {Kind: govaluate.VARIABLE, Value: 1}} {
			require.False(t, same(w, tk), name)
		}
	}
}

// Where one reading has a word more, or another one, there is no condition.
func TestBothReadingsMustEndTogether(t *testing.T) {
	type token = govaluate.ExpressionToken
	words := []word{{wordName, "device", 0}, {wordOperator, "==", 7}, {wordText, "x", 10}, {wordEnd, "", 13}}
	tokens := []token{{Kind: govaluate.VARIABLE, Value: "device"}, {Kind: govaluate.COMPARATOR, Value: "=="}, {Kind: govaluate.STRING, Value: "x"}}
	require.NoError(t, readAlike(words, tokens))
	for name, c := range map[string]struct {
		words  []word
		tokens []token
		says   string
	}{
		"a word less compiled":  {words, tokens[:2], `byte 11: "x": write it in another way`},
		"a word more compiled":  {words, append(tokens[:3:3], token{Kind: govaluate.CLAUSE}), "byte 14: the end: write it in another way"},
		"another word compiled": {words, append(tokens[:2:2], token{Kind: govaluate.STRING, Value: "y"}), `byte 11: "x": write it in another way`},
		"a time compiled":       {words, append(tokens[:2:2], token{Kind: govaluate.TIME}), `byte 11: "x": reads as a point in time`},
		"no end read":           {words[:3], tokens, "cannot be compiled"},
		"nothing read":          {nil, nil, "cannot be compiled"},
	} {
		require.ErrorContains(t, readAlike(c.words, c.tokens), c.says, name)
	}
}

// An expression that is neither true nor false, that is none, or that cannot be
// evaluated gives nothing, and a deny under it takes.
func TestWhatCannotBeEvaluatedGivesNothingAndTakes(t *testing.T) {
	number, err := govaluate.NewEvaluableExpression("hour")
	require.NoError(t, err)
	panics, err := govaluate.NewEvaluableExpressionWithFunctions("f()", map[string]govaluate.ExpressionFunction{"f": func(...any) (any, error) { panic("f") }})
	require.NoError(t, err)
	for name, c := range map[string]*condition{"none": nil, "empty": {}, "a number": {expr: expression{number}}, "panics": {expr: expression{panics}}} {
		ok, err := c.satisfied(Context{}, time.Now())
		require.Error(t, err, name)
		require.False(t, ok, name)
		require.False(t, c.counts(Allow, Context{}, time.Now()), name)
		require.True(t, c.counts(Deny, Context{}, time.Now()), name)
	}
}

// Which words may stand where.
func TestWhatAConditionMayBe(t *testing.T) {
	for text, ok := range map[string]bool{
		"device == '#'": false, "(foo)": false, "(hour == 8 foo)": false, "ipMatch('network', '::1')": false, "hour 'in' (8)": false, "hour at (8)": false, "hour == foo": false,
		"hour == 8": true, "hour && 8": false, "hour || 8": false, "hour ! 8": false, "hour": false, "hour ==": false, "hour == (": false, "hour == true": false, "hour == device": false, "hour == minute": true, "device == network": true,
		"device == 'a'": true, "device < 'a'": false, "device >= 'a'": false, "device != 'a'": true, "'a' == device": true, "8 == hour": true, "8 < hour": true, "8 in (8)": false, "'a' in ('a')": false, "hour in (8, 9)": true, "hour in (8 9)": false,
		"hour in ()": false, "hour in 8": false, "hour in ('a')": false, "device in ('a', 'b')": true, "device in (8)": false, "! hour == 8": false, "!(hour == 8)": true, "!!(hour == 8)": false, "!ipMatch(network, '10.0.0.1')": true,
		"true": true, "!true": true, "(true": false, "true)": false, "(true)": true, "hour == 8 && minute < 3 || device == ''": true, "hour == 8 &&": false, "&& hour == 8": false, "_hour == 8": false, "hour_ == 8": false, "h.our == 8": false,
		"hour == 12345": false, "hour == 1234": true, "hour == 1.5": false, "hour == -1": false, "device == \"a\"": true, "device == 'a": false, "device == 'a\"": false, "device == 'a' # x": false, "device == 'é'": false, "device == 'a\\'": false,
		"ipMatch(network, '10.0.0.0/8')": true, "ipMatch(network, 10)": false, "ipMatch(network, '10.0.0.0/33')": false, "ipMatch(network, 'fe80::1%eth0')": false, "ipMatch(network, '::1')": true, "ipMatch(device, '::1')": false,
		"ipMatch(network '::1')": false, "ipMatch network, '::1')": false, "ipMatch(network, '::1'": false, "ipMatch(network, '::1',": false, "device == '2030-01-02'": false, "": false, "day == 8": false, "hour == 8\n": false, "hour=8": false, "hour ==-8": false,
	} {
		_, err := compileCondition(text)
		require.Equal(t, ok, err == nil, "%q: %v", text, err)
		if !ok {
			require.ErrorContains(t, err, "authz: condition: ", text)
		}
	}
}

// Saying what to do when one thing is not known says nothing of another.
func TestOnlyWhatIsMindedMayBeUnknown(t *testing.T) {
	for text, want := range map[string][2]bool{ // satisfied, and known to be or not
		"device == ''":        {true, true},
		"'' == device":        {true, true},
		"device != ''":        {false, true},
		"device in ('', 'a')": {true, true},
		"network == ''":       {true, true},
		"network == '' && network != 'x' && 1 == 1": {true, true},
		"device == '' && device != 'x' && 1 == 1":   {true, true},
		"network == 'x'":                  {false, false},
		"device == 'x'":                   {false, false},
		"network == '' && device != 'x'":  {false, false},
		"device == '' && network != 'x'":  {false, false},
		"'device' == '' || device != 'x'": {false, false},
		"network == '' && device == ''":   {true, true},
		"device == '' && network == ''":   {true, true},
		"'' == '' && device != 'x'":       {false, false},
		"device == network":               {false, false},
		"device in ('a')":                 {false, false},
	} {
		c, err := compileCondition(text)
		require.NoError(t, err, text)
		ok, err := c.satisfied(Context{}, time.Now())
		require.Equal(t, want, [2]bool{ok, err == nil}, "%s: %v", text, err)
	}
}
