package policytest

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "x:1: the file is empty: want world, checks",
		"# only words\n":               "x:1: the file is empty",
		"\n- a\n":                      "x:2: file: want keys and values",
		"a: [\n":                       "x:",
		"\tchecks: []":                 "x:1: found character that cannot start any token",
		"check: []":                    `x:1: file: unknown key "check", perhaps checks`,
		"tests: []":                    `x:1: file: unknown key "tests", perhaps lists`,
		"something: []":                `x:1: file: unknown key "something", want policy, world, checks`,
		"checks: []\nchecks: []":       `x:2: file: "checks" stands in line 1 already: remove one`,
		"checks: []\n---\nlists: []\n": "x:2: a second document",
		"checks: {}":                   "x:1: checks: want a list",
		"checks: [a]":                  "x:1: check: want keys and values",
		"checks: &c []\nlists: *c":     "x:2: file: anchors, aliases",
		"policy: ../other":             `x:1: policy: "../other": want a folder within`,
		"policy: /etc":                 `x:1: policy: "/etc": want a folder within`,
		"policy: [a]":                  "x:1: policy: want text",
		"? [a]\n: b":                   "keys that are no text",
		"checks:\n  - {who: user:idp/a, can: a.b, on: t}":                                                              "x:2: expect is missing",
		"checks:\n  - {can: a.b, on: t, expect: deny}":                                                                 "x:2: who is missing",
		"checks:\n  - {who: [], can: a.b, on: t, expect: deny}":                                                        "x:2: who: want at least one",
		"checks:\n  - {who: , can: a.b, on: t, expect: deny}":                                                          "x:2: who: want",
		"checks:\n  - {who: ana, can: a.b, on: t, expect: deny}":                                                       `x:2: who: "ana": principal: want user:ISSUER/SUBJECT`,
		"checks:\n  - {who: team:a, can: a, on: t, expect: deny}":                                                      `x:2: can: "a": want a permission as in secrets.use`,
		"checks:\n  - {who: team:a, can: a*, on: t, expect: deny}":                                                     `x:2: can: "a*": want a permission`,
		"checks:\n  - {who: team:a, can: a.b, on: t//, expect: deny}":                                                  `x:2: on: "t//": resource: segment 2`,
		"checks:\n  - {who: team:a, can: a.b, on: /**, expect: deny}":                                                  `x:2: on: "/**": resource`,
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: no}":                                                      `x:2: expect: "no": want allow or deny`,
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: {}}":                                                      "x:2: expect: want text",
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny,\n     becaues: nothing}":                            `x:3: check: unknown key "becaues", perhaps because`,
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny, because: some reason}":                              `x:2: because: "some reason": want role:NAME`,
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny, because: role:a@t//}":                               "x:2: because",
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny, because: role:a via a}":                             "x:2: because",
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny, at: tomorrow}":                                      `x:2: at: "tomorrow": want a time as in 2030-01-31`,
		"checks:\n  - {who: team:a, can: a.b, on: t, expect: deny, onBehalfOf: ana}":                                   `x:2: onBehalfOf: "ana"`,
		"lists:\n  - {on: t, expect: []}":                                                                              "x:2: want one of who-can, what-can and roles-with",
		"lists:\n  - {who-can: a.b, what-can: team:a, on: t, expect: []}":                                              "x:2: want one of who-can",
		"lists:\n  - {who-can: a.b, expect: []}":                                                                       "x:2: on is missing",
		"lists:\n  - {who-can: a.b, on: t}":                                                                            "x:2: expect is missing: [] expects nobody",
		"lists:\n  - {who-can: a.b, on: t, expect: [role:a]}":                                                          `x:2: expect: "role:a": principal`,
		"lists:\n  - {what-can: role:a, on: t, expect: []}":                                                            "x:2: on and at have no meaning for roles",
		"lists:\n  - {what-can: role:A, expect: []}":                                                                   `x:2: what-can: "role:A"`,
		"lists:\n  - {what-can: [team:a], on: t, expect: []}":                                                          "x:2: what-can: want text",
		"lists:\n  - {roles-with: a.b, expect: [team:a]}":                                                              `x:2: expect: "team:a": role`,
		"permitted:\n  - {who: team:a, give: role:a, to: team:b, on: t, because: it}":                                  "x:2: because is for what is forbidden",
		"forbidden:\n  - {who: team:a, give: a, to: team:b, on: t}":                                                    `x:2: give: "a": role`,
		"forbidden:\n  - {who: team:a, to: team:b, on: t}":                                                             "x:2: give is missing",
		"forbidden:\n  - {who: team:a, give: role:a, to: team:b, on: t, expect: deny}":                                 `x:2: gift: unknown key "expect"`,
		"invariants: [nobody can fly]":                                                                                 "x:1: invariant: \"nobody can fly\": not understood, perhaps nobody in TEAM can PERMISSION+; want one of",
		"invariants: [nobody in sales can secrets.use]":                                                                `"sales": want a team as in team:sales`,
		"invariants: [role:a never a]":                                                                                 `"a": want a permission`,
		"invariants: [only sales can secrets.use]":                                                                     `"sales": role`,
		"invariants: [every t//x has someone who can a.b]":                                                             `"t//x": resource`,
		"invariants: [role:a gives role:b or role:c]":                                                                  "not understood, perhaps ROLE gives GIVEN; want one of",
		"invariants: [{a: b}]":                                                                                         "x:1: invariant: want text",
		"world: []":                                                                                                    "x:1: world: want keys and values",
		"world: {people: {}}":                                                                                          `x:1: world: unknown key "people"`,
		"world: {at: noon}":                                                                                            `x:1: at: "noon"`,
		"world:\n  principals: {ana: }":                                                                                `x:2: principals: "ana": principal`,
		"world:\n  principals: {team:a: {teams: team:b}}":                                                              `x:2: team:a: unknown key "teams", perhaps team`,
		"world:\n  principals: {team:a: {team: user:idp/b}}":                                                           "x:2: team: user:idp/b is no team",
		"world:\n  principals: {team:a: {team: b}}":                                                                    `x:2: team: "b": principal`,
		"world:\n  grants:\n    - {principal: team:a, role: role:a}":                                                   "x:3: resource is missing",
		"world:\n  grants:\n    - {principal: team:a, role: role:a, resource: t, effect: maybe}":                       `x:3: effect: "maybe": want allow or deny`,
		"world:\n  grants:\n    - {principal: team:a, role: role:a, resource: t, from: 2030-01-01, until: 2030-01-01}": "x:3: until: 2030-01-01T00:00:00Z is not after from",
		"world:\n  grants:\n    - {}":                                                                                  "",
	} {
		f, err := Read("x", []byte(text))
		require.ErrorContains(t, err, want, text)
		require.Nil(t, f)
	}
}

func TestReadTellsAllMistakesAtOnce(t *testing.T) {
	_, err := Read("x", []byte("checks:\n  - {who: ana, can: a.b, on: t, expect: deny}\n  - {who: team:a, can: a.b, on: t, expect: no}\nlist: []\n"))
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
	_, err = Read("x", []byte("checks:\n"+strings.Repeat("  - {}\n  - a\n", 1000)))
	require.Len(t, strings.Split(err.Error(), "\n"), maxErrors)
}

func TestReadHasLimits(t *testing.T) {
	_, err := Read("x", []byte(strings.Repeat("#", maxFile+1)))
	require.ErrorContains(t, err, "x:1: 1048577 bytes, 1048576 at most")
	_, err = Read("x", []byte("invariants: ["+strings.Repeat("a,", maxItems)+"a]"))
	require.ErrorContains(t, err, "20001 items, 20000 at most")
	_, err = Read("x", []byte(strings.Repeat("[", 100_000)))
	require.ErrorContains(t, err, "x:1: ")
	var b strings.Builder
	b.WriteString("world:\n  principals:\n")
	for i := range maxPrincipals + 1 {
		fmt.Fprintf(&b, "    user:idp/u%d:\n", i)
	}
	_, err = Read("x", []byte(b.String()))
	require.ErrorContains(t, err, "principals: 1001, 1000 at most")
	b.Reset()
	b.WriteString("world:\n  grants:\n")
	for range maxGrants + 1 {
		b.WriteString("    - {principal: team:a, role: role:a, resource: t}\n")
	}
	_, err = Read("x", []byte(b.String()))
	require.ErrorContains(t, err, "grants: 1001, 1000 at most")

	big := fstest.MapFS{}
	for i := range maxFiles + 1 {
		big[fmt.Sprintf("f%d_test.yaml", i)] = &fstest.MapFile{Data: []byte("checks: []")}
	}
	_, err = Load(big)
	require.ErrorContains(t, err, "more than 1000 test files")
	_, err = Load(fstest.MapFS{"a_test.yaml": {Data: make([]byte, maxFile+1)}, "b_test.yaml": {Data: []byte("a: b")}})
	require.ErrorContains(t, err, "a_test.yaml:1: 1048577 bytes")
	require.ErrorContains(t, err, "b_test.yaml:1: file: unknown key")
	_, err = Load(fstest.MapFS{"test.yaml": {}})
	require.ErrorContains(t, err, "no file *_test.yaml")

	// A check that asks too much stops and says so; a world too big to look
	// at from all sides is refused.
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprintf("user:idp/u%d", i)
	}
	places := make([]string, 200)
	for i := range places {
		places[i] = fmt.Sprintf("t/%d", i)
	}
	text := world + "checks:\n  - {who: [" + strings.Join(many, ",") + "], can: \"*\", on: [" + strings.Join(places, ",") + "], expect: deny}\n"
	rep, err := Run(t.Context(), files(t, text), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"stopped after 1000000 questions: ask fewer in one check"}, rep.Results[0].Failures)
	b.Reset()
	b.WriteString("world:\n  grants:\n")
	for i := range 400 {
		fmt.Fprintf(&b, "    - {principal: user:idp/u%d, role: role:reader, resource: t/%d}\n", i, i)
	}
	rep, err = Run(t.Context(), files(t, b.String()+"invariants: [nobody in team:a can doc.write]\n"), nil)
	require.NoError(t, err)
	require.Contains(t, rep.Results[0].Failures[0], "the world has no team:a")
	rep, err = Run(t.Context(), files(t, b.String()+"    - {principal: team:a, role: role:reader, resource: t}\ninvariants: [nobody in team:a can doc.write]\n"), nil)
	require.NoError(t, err)
	require.Contains(t, rep.Results[0].Failures[0], "too big to look at from all sides")
}

func TestReadKeepsWhatIsWritten(t *testing.T) {
	f, err := Read("x", []byte("policy: ./p/\n"+world+`checks:
  - {who: [user:idp/a, service:s], can: ["*", a.*, a.b.c], on: [t/**, u], onBehalfOf: user:idp/b, at: 2030-02-03T04:05:06.5Z, expect: allow, because: role:r@t via team:x}
`))
	require.NoError(t, err)
	require.Equal(t, "p", f.Policy)
	c := f.Checks[0]
	require.Equal(t, 13, c.Line)
	require.Equal(t, "user:idp/a, service:s on behalf of user:idp/b can *, a.*, a.b.c on t/**, u at 2030-02-03T04:05:06Z", c.String())
	require.Equal(t, time.Date(2030, 2, 3, 4, 5, 6, 5e8, time.UTC), c.At)
	require.Len(t, f.World.Principals, 5)
	require.Equal(t, "not hers", f.World.Grants[3].Reason)
	require.Equal(t, 11, f.World.Grants[3].Line)
	require.Equal(t, defaultTime(), f.World.At)
}

// Whatever the text, Read answers with a file or with lines that name the place,
// and what it has read can be run.
func FuzzRead(f *testing.F) {
	f.Add(world + "checks:\n  - {who: user:idp/ana, can: doc.read, on: t/docs/**, expect: allow, because: role:writer}\n")
	f.Add("lists:\n  - {who-can: doc.read, on: t, expect: []}\ninvariants:\n  - nobody in team:a can doc.* or bill.pay\n  - every t/* has someone who can doc.read\n")
	f.Add("forbidden: [{who: team:a, give: role:reader, to: team:b, on: t}]\npolicy: .\n")
	f.Add("invariants: [role:a never gives 000, no role extends itself, only role:reader can doc.x]")
	f.Add("a: &a [*a]")
	f.Add("? {a: b}\n: - c\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4_000 {
			t.Skip("what is big is slow and no different")
		}
		file, err := Read("x_test.yaml", []byte(text))
		if err != nil {
			for l := range strings.SplitSeq(err.Error(), "\n") {
				require.Regexp(t, `^x_test\.yaml:\d+: .`, l)
			}
			return
		}
		rep, err := RunFiles(t.Context(), files(t, text), []*File{file}, &Options{Worlds: 1})
		require.NoError(t, err)
		for _, r := range rep.Results {
			require.Equal(t, r.Passed, len(r.Failures) == 0)
			require.Positive(t, r.Line)
		}
	})
}
