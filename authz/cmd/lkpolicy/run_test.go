package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tests = `world:
  principals: {user:idp/ana: {team: team:family}}
  grants:
    - {principal: team:family, role: role:host, resource: house}
checks:
  - {who: user:idp/ana, can: "*", on: house/**, expect: allow}
`
	failing = "  - {who: user:idp/ana, can: door.open, on: house, expect: deny}\n"
	roles   = "p, role:guest, door.open\ng, role:host, role:guest\np, role:host, door.lock\n"
)

// folderOf writes a policy to a folder; what is given replaces a file, "" removes it.
func folderOf(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	model, err := fs.ReadFile(policy.Files(), "model.conf")
	require.NoError(t, err)
	all := map[string]string{"model.conf": string(model), "permissions.csv": "door.open, open a door\ndoor.lock, lock a door\n", "roles.csv": roles, "doors_test.yaml": tests}
	for i := 0; i+1 < len(files); i += 2 {
		all[files[i]] = files[i+1]
	}
	for name, text := range all {
		if text != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
	}
	return dir
}

// say runs a command line and returns what it wrote, DIR standing for the folder.
func say(t *testing.T, dir string, args ...string) (int, string, string) {
	t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	var out, words bytes.Buffer
	code := run(args, &out, &words)
	if dir == "" {
		return code, out.String(), words.String()
	}
	return code, strings.ReplaceAll(out.String(), dir, "DIR"), strings.ReplaceAll(words.String(), dir, "DIR")
}

func TestAnswers(t *testing.T) {
	good := folderOf(t)
	bad := folderOf(t, "doors_test.yaml", tests+failing)
	for _, c := range []struct {
		dir  string
		args string
		code int
		want string
	}{
		{good, "lint DIR", 0, ""},
		{good, "lint --strict DIR", 0, ""},
		{folderOf(t, "roles.csv", roles+"p, role:host, door.open\n"), "lint DIR", 1,
			"DIR/roles.csv:4: warning: role:host has door.open already by line 2 (g, role:host, role:guest): remove this row [shadowed-row]\n"},
		{good, "test DIR", 0, "1 tests, 0 failed, 2 questions\n"},
		{good, "test -v DIR", 0, "DIR/doors_test.yaml:6: ok: user:idp/ana can * on house/**\n1 tests, 0 failed, 2 questions\n"},
		{bad, "test DIR", 1, "DIR/doors_test.yaml:7: expected=deny, got=allow: user:idp/ana door.open on house: user:idp/ana, through team:family, holds role:host on house, by roles.csv:1 (p, role:guest, door.open), roles.csv:2 (g, role:host, role:guest)\n2 tests, 1 failed, 3 questions\n"},
		{folderOf(t, "roles.csv", roles+"p, role:butler, door.lock\n"), "test --coverage DIR", 0,
			"1 tests, 0 failed, 2 questions\n3 of 4 rows used\nroles.csv:4: never used: p, role:butler, door.lock\nrole never used in a test: role:butler\n"},
		{good, "test --mutants DIR", 1, "1 tests, 0 failed, 2 questions\n4 changes of the policy, 1 that no test notices\nnot noticed: roles.csv: with p, role:guest, door.lock\n"},
		{folderOf(t, "roles.csv", roles+"q, role:a, b\n"), "test DIR", 1, "DIR/doors_test.yaml:1: authz: policy: roles.csv:4: first field \"q\": want p, g, d or x\n1 tests, 1 failed, 0 questions\n"},
		{good, "diff DIR DIR", 0, "0 gained, 0 lost, 0 rows added, 0 removed\n"},
		{good, "explain DIR user:idp/ana door.open house/hall --world DIR/doors_test.yaml", 0, "allowed: user:idp/ana, through team:family, holds role:host on house\n"},
		{good, "explain DIR user:idp/ana door.open garden --world DIR/doors_test.yaml", 1,
			"denied: user:idp/ana holds no role with this permission here or above\nnearest: role:host is held on house, not here\nnearest: carried by role:guest, role:host\n"},
		{good, "explain DIR user:idp/ana door.open house --on-behalf-of user:idp/bo --world DIR/doors_test.yaml", 1,
			"denied: user:idp/bo holds no role with this permission here or above\nnearest: carried by role:guest, role:host\n"},
	} {
		code, out, words := say(t, c.dir, strings.Fields(c.args)...)
		require.Empty(t, words, c.args)
		require.Equal(t, c.want, out, c.args)
		require.Equal(t, c.code, code, c.args)
	}
}

func TestDiff(t *testing.T) {
	old := folderOf(t)
	next := folderOf(t, "roles.csv", "p, role:guest, door.open\np, role:host, door.lock\np, role:keeper, door.lock\nx, door.open, door.lock\n")
	code, out, words := say(t, "", "diff", old, next)
	require.Empty(t, words)
	require.Equal(t, 1, code)
	require.Equal(t, "+ role:keeper door.lock\n- role:host door.open\n+ row x, door.open, door.lock\n- row g, role:host, role:guest\n1 gained, 1 lost, 1 rows added, 1 removed\n", out)
	code, out, _ = say(t, "", "diff", "-o", "json", old, next)
	require.Equal(t, 1, code)
	require.JSONEq(t, `{"version":1,"gained":[{"role":"role:keeper","permission":"door.lock"}],"lost":[{"role":"role:host","permission":"door.open"}],
		"added":["x, door.open, door.lock"],"removed":["g, role:host, role:guest"]}`, out)
}

func TestJSON(t *testing.T) {
	good, bad := folderOf(t), folderOf(t, "doors_test.yaml", tests+failing, "roles.csv", roles+"p, role:host, door.open\n")
	for args, want := range map[string]string{
		"lint -o json GOOD": `{"version":1,"findings":[],"count":0}`,
		"lint -o json BAD":  `{"version":1,"count":1,"findings":[{"file":"roles.csv","line":4,"rule":"shadowed-row","severity":"warning","text":"role:host has door.open already by line 2 (g, role:host, role:guest): remove this row"}]}`,
		"test -o json GOOD": `{"version":1,"passed":true,"results":[{"file":"doors_test.yaml","line":6,"kind":"check","name":"user:idp/ana can * on house/**","questions":2,"passed":true}]}`,
		"explain -o json GOOD user:idp/ana door.open house --world GOOD/doors_test.yaml": `{"version":1,"allowed":true,"reason":"user:idp/ana, through team:family, holds role:host on house","nearest":[]}`,
	} {
		args = strings.NewReplacer("GOOD", good, "BAD", bad).Replace(args)
		_, out, words := say(t, "", strings.Fields(args)...)
		require.Empty(t, words)
		require.JSONEq(t, want, out, args)
	}
	_, out, _ := say(t, "", "test", "-o", "json", "--coverage", bad)
	var a struct {
		Passed   bool
		Coverage struct {
			Rules []struct {
				File, Kind, Left, Right string
				Line                    int
				Used                    bool
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	require.False(t, a.Passed)
	require.Len(t, a.Coverage.Rules, 4)
	require.Equal(t, "role:guest", a.Coverage.Rules[0].Left)
}

// The JUnit report is well-formed whatever stands in names, and its counts are
// those of its elements.
func TestJUnitIsValid(t *testing.T) {
	text := tests + failing + "  - {who: user:idp/%3Cana%3E, can: door.open, on: house, expect: allow}\ninvariants:\n  - nobody in team:family can door.lock\nforbidden:\n  - {who: user:idp/ana, give: role:host, to: user:idp/bo, on: house, because: \"<&>]]> \\u0007\"}\n"
	dir := folderOf(t, "doors_test.yaml", text, "more_test.yaml", "lists: [{what-can: role:guest, expect: [door.open]}]\n")
	code, out, words := say(t, dir, "test", "-o", "junit", "DIR")
	require.Equal(t, 1, code)
	require.Empty(t, words)
	require.True(t, strings.HasPrefix(out, xml.Header))
	dec := xml.NewDecoder(strings.NewReader(out))
	count := map[string]int{}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	require.Equal(t, map[string]int{"testsuites": 1, "testsuite": 2, "testcase": 6, "failure": 4}, count)
	var all junitSuites
	require.NoError(t, xml.Unmarshal([]byte(out), &all))
	require.Equal(t, [2]int{6, 4}, [2]int{all.Tests, all.Failures})
	for _, s := range all.Suites {
		require.Len(t, s.Cases, s.Tests)
		for _, c := range s.Cases {
			require.NotEmpty(t, c.Name)
			require.Equal(t, s.Name, c.File)
			require.Positive(t, c.Line)
			if c.Failure != nil {
				require.Contains(t, c.Failure.Text, c.File)
			}
		}
	}
	code, out, _ = say(t, folderOf(t), "test", "-o", "junit", "--mutants", "DIR")
	require.Equal(t, 1, code)
	require.Contains(t, out, `<testcase classname="mutant" name="roles.csv: with p, role:guest, door.lock"`)
}

func TestWrongUse(t *testing.T) {
	dir := folderOf(t)
	for args, want := range map[string]string{
		"":                     `expected one of "lint", "test", "diff", "explain"; lkpolicy --help`,
		"lnit":                 "unexpected argument lnit",
		"lint --stric DIR":     "unknown flag --stric, did you mean \"--strict\"?",
		"lint -o xml DIR":      `--output must be one of "text","json" but got "xml"`,
		"lint DIR/nowhere":     "DIR/nowhere: no roles.csv there: name the folder of a policy",
		"test DIR/nowhere":     "DIR/nowhere: no such folder: name one that holds *_test.yaml",
		"diff DIR":             `expected "<new>"`,
		"diff DIR DIR/nowhere": "no roles.csv there",
		"diff DIR/nowhere DIR": "no roles.csv there",
		"explain DIR":          "missing flags: --world",
		"explain DIR/no user:idp/ana door.open house --world DIR/doors_test.yaml":                "no roles.csv there",
		"explain DIR user:idp/ana door.open house":                                               "missing flags: --world=STRING",
		"explain DIR user:idp/ana door.open house --world DIR/none":                              "no such file",
		"explain DIR user:idp/ana door.open house --world DIR/roles.csv":                         "DIR/roles.csv:1: ",
		"explain DIR ana door.open house --world DIR/doors_test.yaml":                            "want user:ISSUER/SUBJECT",
		"explain DIR user:idp/ana open house --world DIR/doors_test.yaml":                        "want two to five dotted",
		"explain DIR user:idp/ana door.open /house --world DIR/doors_test.yaml":                  "resource: segment 1",
		"explain DIR user:idp/ana door.oepn house --world DIR/doors_test.yaml":                   "the policy has no permission door.oepn",
		"explain DIR user:idp/ana door.open house --on-behalf-of bo --world DIR/doors_test.yaml": "want user:ISSUER/SUBJECT",
	} {
		code, out, words := say(t, dir, strings.Fields(args)...)
		require.Equal(t, exitUse, code, args)
		require.Empty(t, out, args)
		require.Contains(t, words, want, args)
		require.True(t, strings.HasPrefix(words, "lkpolicy: "), args)
	}
	broken := folderOf(t, "roles.csv", "q\n")
	code, _, words := say(t, broken, "diff", "DIR", dir)
	require.Equal(t, exitUse, code)
	require.Contains(t, words, "DIR: authz: policy: roles.csv:1")
	code, _, _ = say(t, broken, "explain", "DIR", "user:idp/ana", "door.open", "house", "--world", filepath.Join(dir, "doors_test.yaml"))
	require.Equal(t, exitUse, code)
	code, _, words = say(t, folderOf(t, "doors_test.yaml", "check: []"), "test", "DIR")
	require.Equal(t, exitUse, code)
	require.Contains(t, words, `doors_test.yaml:1: file: unknown key "check", perhaps checks`)
	code, _, words = say(t, folderOf(t, "doors_test.yaml", ""), "test", "DIR")
	require.Equal(t, exitUse, code)
	require.Contains(t, words, "a test of nothing would pass")
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"test", "--help"}, {"explain", "--help"}} {
		code, out, words := say(t, "", args...)
		require.Equal(t, exitOK, code)
		require.Empty(t, words)
		require.Contains(t, out, "Usage: lkpolicy")
	}
}

// What ships is as the commands want it.
//
// evidence: P24
func TestTheShippedPolicy(t *testing.T) {
	for _, args := range [][]string{{"lint", "../../../policy"}, {"test", "--coverage", "../../../policy"}} {
		code, out, words := say(t, "", args...)
		require.Equal(t, exitOK, code, out)
		require.Empty(t, words)
	}
}
