package policytest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	permissions = `doc.read, read
doc.write, write
bill.pay, pay
bill.write, write one
authz.authorizations.write, give
`
	roles = `p, role:reader, doc.read
g, role:writer, role:reader
p, role:writer, doc.write
p, role:clerk, bill.write
p, role:payer, bill.pay
p, role:admin, authz.authorizations.write
d, role:admin, role:reader
x, bill.pay, bill.write
`
	world = `world:
  principals:
    user:idp/ana: {team: team:a}
    team:a: {team: [team:b]}
    user:idp/root: {}
  grants:
    - {principal: team:b, role: role:writer, resource: t/docs}
    - {principal: user:idp/root, role: role:admin, resource: t}
    - {principal: user:idp/cle, role: role:clerk, resource: t, from: 2029-01-01, until: 2031-01-01}
    - {principal: user:idp/ana, role: role:writer, resource: t/docs/secret, effect: deny, reason: not hers}
`
)

// files is a policy with one test file.
func files(t testing.TB, test string, replace ...string) fstest.MapFS {
	model, err := fs.ReadFile(policy.Files(), "model.conf")
	require.NoError(t, err)
	return fstest.MapFS{"model.conf": {Data: model}, "permissions.csv": {Data: []byte(permissions)},
		"roles.csv": {Data: []byte(strings.NewReplacer(replace...).Replace(roles))}, "x_test.yaml": {Data: []byte(test)}}
}

// line runs one entry of a section, in the usual world, and returns what failed.
func line(t *testing.T, section, entry string, replace ...string) string {
	t.Helper()
	rep, err := Run(t.Context(), files(t, world+section+":\n  - "+entry+"\n", replace...), nil)
	require.NoError(t, err, entry)
	require.Len(t, rep.Results, 1)
	r := rep.Results[0]
	require.Equal(t, r.Passed, len(r.Failures) == 0)
	require.NotEmpty(t, r.Name)
	if r.Kind != OfWorld && r.Kind != OfPolicy {
		require.Equal(t, 12, r.Line)
	}
	return strings.Join(r.Lines(), "\n")
}

type entry struct{ section, text, want string }

func TestEntriesThatPass(t *testing.T) {
	for _, e := range []entry{
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs, expect: allow}`, ""},
		{"checks", `{who: user:idp/ana, can: doc.*, on: t/docs/x, expect: allow, because: role:writer@t/docs via team:b}`, ""},
		{"checks", `{who: user:idp/ana, can: [doc.read, doc.write], on: [t/docs, t/docs/x], expect: allow, because: role:writer via team:b}`, ""},
		{"checks", `{who: team:b, can: doc.read, on: t/docs, expect: allow, because: role:writer}`, ""},
		{"checks", `{who: user:idp/ana, can: "*", on: t/docs/secret/**, expect: deny}`, ""},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs/secret, expect: deny, because: role:writer@t/docs/secret}`, ""},
		{"checks", `{who: [user:idp/cle, user:idp/no], can: doc.*, on: t/**, expect: deny, because: nothing}`, ""},
		{"checks", `{who: user:idp/cle, can: bill.write, on: t, at: 2030-12-31, expect: allow}`, ""},
		{"checks", `{who: user:idp/cle, can: bill.write, on: t, at: "2031-01-01T00:00:00Z", expect: deny, because: nothing}`, ""},
		{"checks", `{who: user:idp/cle, can: bill.write, on: t, at: "2028-12-31T23:00:00Z", expect: deny}`, ""},
		{"checks", `{who: team:b, onBehalfOf: user:idp/ana, can: doc.read, on: t/docs, expect: allow, because: role:writer@t/docs}`, ""},
		{"checks", `{who: team:b, onBehalfOf: user:idp/ana, can: doc.read, on: t/docs/secret, expect: deny, because: role:writer@t/docs/secret}`, ""},
		{"lists", `{who-can: doc.read, on: t/docs, expect: [user:idp/ana]}`, ""},
		{"lists", `{who-can: doc.read, on: t/docs, expect: [user:idp/ana, team:b, team:a]}`, ""},
		{"lists", `{who-can: bill.write, on: t, at: 2031-01-01, expect: []}`, ""},
		{"lists", `{what-can: user:idp/ana, on: t/docs, expect: [doc.*]}`, ""},
		{"lists", `{what-can: user:idp/ana, on: t, expect: []}`, ""},
		{"lists", `{what-can: role:writer, expect: [doc.write, doc.read]}`, ""},
		{"lists", `{roles-with: doc.read, expect: [role:writer, role:reader]}`, ""},
		{"permitted", `{who: user:idp/root, give: role:reader, to: user:idp/new, on: t/x}`, ""},
		{"forbidden", `{who: user:idp/root, give: role:reader, to: user:idp/root, on: t/x, because: does not hold doc.read}`, ""},
		{"forbidden", `{who: user:idp/root, give: role:writer, to: user:idp/new, on: t/x}`, ""},
		{"forbidden", `{who: user:idp/root, onBehalfOf: user:idp/ana, give: role:reader, to: user:idp/new, on: t/x}`, ""},
		{"forbidden", `{who: user:idp/ana, give: role:reader, to: user:idp/new, on: t/docs}`, ""},
		{"invariants", `nobody in team:a can bill.* or authz.authorizations.write`, ""},
		{"invariants", `nobody in team:b can bill.pay`, ""},
		{"invariants", `nobody outside team:b can doc.write`, ""},
		{"invariants", `no role can both bill.pay and bill.write`, ""},
		{"invariants", `no single principal can both bill.pay and bill.write`, ""},
		{"invariants", `no  role extends itself`, ""},
		{"invariants", `only role:reader, role:writer can doc.read`, ""},
		{"invariants", `role:writer always doc.read and doc.write`, ""},
		{"invariants", `role:reader never doc.write or bill.*`, ""},
		{"invariants", `role:admin gives role:reader`, ""},
		{"invariants", `role:admin never gives role:writer`, ""},
		{"invariants", `every t has someone who can authz.authorizations.write`, ""},
		{"invariants", `every t/* has someone who can doc.read`, ""},
	} {
		require.Empty(t, line(t, e.section, e.text), e.text)
	}
}

func TestEntriesThatFail(t *testing.T) {
	for _, e := range []entry{
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs, expect: deny}`,
			"x_test.yaml:12: expected=deny, got=allow: user:idp/ana doc.read on t/docs: user:idp/ana, through team:b, holds role:writer on t/docs, by roles.csv:1 (p, role:reader, doc.read), roles.csv:2 (g, role:writer, role:reader)"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t, expect: allow}`,
			"x_test.yaml:12: expected=allow, got=deny: user:idp/ana doc.read on t: user:idp/ana holds no role with this permission here or above; role:writer is held on t/docs, not here; carried by role:reader, role:writer"},
		{"checks", `{who: user:idp/ana, can: doc.write, on: t/docs/secret, expect: allow}`, "is denied role:writer on t/docs/secret; role:writer is denied on t/docs/secret; carried by role:writer, by roles.csv:3 (p, role:writer, doc.write)"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/**, expect: deny}`, "expected=deny, got=allow: user:idp/ana doc.read on t/docs"},
		{"checks", `{who: user:idp/cle, can: bill.write, on: t, at: 2031-01-01, expect: allow}`, "ended at 2031-01-01"},
		{"checks", `{who: team:b, onBehalfOf: user:idp/ana, can: doc.read, on: t/docs, expect: deny}`, "got=allow: team:b on behalf of user:idp/ana doc.read on t/docs"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs, expect: allow, because: role:reader}`, "expected because=role:reader, got because=role:writer@t/docs via team:b"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs, expect: allow, because: role:writer@t}`, "expected because=role:writer@t, got"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t/docs/secret, expect: deny, because: nothing}`, "expected because=nothing, got because=role:writer@t/docs/secret"},
		{"checks", `{who: user:idp/ana, can: doc.read, on: t, expect: deny, because: role:writer}`, "got because=nothing"},
		{"checks", `{who: user:idp/ana, can: doc.raed, on: t, expect: deny}`, "the policy has no permission doc.raed, perhaps doc.read"},
		{"checks", `{who: user:idp/ana, can: docs.*, on: t, expect: deny}`, "the policy has no permission docs.*"},
		{"lists", `{who-can: doc.read, on: t/docs, expect: [user:idp/root]}`, "x_test.yaml:12: missing: user:idp/root\nx_test.yaml:12: not expected: user:idp/ana"},
		{"lists", `{who-can: doc.raed, on: t/docs, expect: []}`, "has no permission doc.raed"},
		{"lists", `{what-can: user:idp/ana, on: t/docs, expect: [doc.read]}`, "not expected: doc.write"},
		{"lists", `{what-can: user:idp/ana, on: t/docs, expect: [doc.read, doc.wirte]}`, "has no permission doc.wirte, perhaps doc.write"},
		{"lists", `{what-can: role:writer, expect: [doc.*, bill.pay]}`, "missing: bill.pay"},
		{"lists", `{what-can: role:witer, expect: []}`, "the policy has no role:witer, perhaps role:writer"},
		{"lists", `{roles-with: doc.read, expect: [role:writer]}`, "not expected: role:reader"},
		{"lists", `{roles-with: doc.raed, expect: [role:writer]}`, "has no permission doc.raed"},
		{"permitted", `{who: user:idp/root, give: role:writer, to: user:idp/new, on: t/x}`, "expected=given, got=refused: authz: role:writer on t/x: user:idp/root does not hold"},
		{"permitted", `{who: user:idp/root, give: role:readre, to: user:idp/new, on: t/x}`, "has no role:readre, perhaps role:reader"},
		{"forbidden", `{who: user:idp/root, give: role:reader, to: user:idp/new, on: t/x}`, "expected=refused, got=given: user:idp/root cannot give role:reader to user:idp/new on t/x"},
		{"forbidden", `{who: user:idp/ana, give: role:reader, to: user:idp/new, on: t, because: some other reason}`, "expected because=some other reason, got because=authz: authz.authorizations.write on t: denied"},
		{"invariants", `nobody in team:a can doc.write`, "user:idp/ana can doc.write on t/docs: user:idp/ana, through team:b, holds role:writer on t/docs, by roles.csv:3"},
		{"invariants", `nobody in team:x can doc.write`, "the world has no team:x, perhaps team:a"},
		{"invariants", `nobody in team:a can doc.wirte`, "the policy has no permission doc.wirte"},
		{"invariants", `no role can both doc.raed and doc.read`, "the policy has no permission doc.raed"},
		{"invariants", `no role can both doc.read and doc.raed`, "the policy has no permission doc.raed"},
		{"invariants", `nobody outside team:b can bill.write`, "user:idp/cle can bill.write on t"},
		{"invariants", `no role can both doc.read and doc.write`, "role:writer can both doc.read, by roles.csv:1 (p, role:reader, doc.read), roles.csv:2 (g, role:writer, role:reader), and doc.write, by roles.csv:3"},
		{"invariants", `no single principal can both doc.read and doc.write`, "user:idp/ana can both doc.read and doc.write on t/docs"},
		{"invariants", `no single principal can both doc.read and bill.pay`, "role:payer give one person both doc.read and bill.pay, and nothing keeps them apart: add to roles.csv x, doc.read, bill.pay"},
		{"invariants", `only role:writer can doc.read`, "role:reader can doc.read, by roles.csv:1"},
		{"invariants", `only role:reader or role:writer can doc.write`, "role:reader can nothing of it"},
		{"invariants", `only role:nobody can doc.write`, "the policy has no role:nobody"},
		{"invariants", `role:writer never doc.read`, "role:writer can doc.read, by"},
		{"invariants", `role:reader always doc.*`, "role:reader cannot doc.write"},
		{"invariants", `role:admin gives role:writer`, "role:admin cannot give role:writer: authz: "},
		{"invariants", `role:admin never gives role:reader`, "role:admin gives role:reader to others"},
		{"invariants", `every t/* has someone who can bill.pay`, "nobody can bill.pay on t/docs"},
		{"invariants", `every q has someone who can bill.pay`, "the world has no q"},
	} {
		require.Contains(t, line(t, e.section, e.text), e.want, e.text)
	}
}

func TestInvariantsOnOtherPolicies(t *testing.T) {
	require.Contains(t, line(t, "invariants", "no single principal can both bill.pay and bill.write", "x, bill.pay, bill.write\n", ""), "nothing keeps them apart")
	require.Contains(t, line(t, "invariants", "no role extends itself", "x, bill", "p, role:boss, authz.authorizations.write\np, role:boss, doc.read\nd, role:boss, role:admin\nd, role:admin, role:boss\nx, bill"),
		"what is handed out comes back: role:admin > role:boss > role:admin")
	require.Contains(t, line(t, "invariants", "nobody in team:b can bill.write", "role:writer, doc.write", "role:writer, bill.write\np, role:reader, doc.write"), "user:idp/ana can bill.write on t/docs")
}

// A generated world shows what the file's does not: here the only member is
// denied everywhere, and the next one is not.
func TestInvariantsLookAtOtherWorlds(t *testing.T) {
	const test = `world:
  principals: {user:idp/ana: {team: team:a}}
  grants:
    - {principal: team:a, role: role:writer, resource: t, from: 2040-01-01}
    - {principal: user:idp/ana, role: role:writer, resource: t, effect: deny}
    - {principal: team:a, role: role:writer, resource: t, effect: deny, until: 2050-01-01}
invariants: [nobody in team:a can doc.write]
`
	one, err := Run(t.Context(), files(t, test), &Options{Worlds: -1})
	require.NoError(t, err)
	require.Contains(t, one.Results[0].Failures[0], "at 2050-01-01T00:00:00Z", "every moment is looked at")

	more := strings.Replace(test, ", until: 2050-01-01", "", 1)
	more = strings.Replace(more, "    - {principal: team:a, role: role:writer, resource: t, effect: deny}\n", "    - {principal: user:idp/eve, role: role:reader, resource: u}\n", 1)
	one, err = Run(t.Context(), files(t, more), &Options{Worlds: -1})
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(one.Results), "user:idp/ana can")
	many, err := Run(t.Context(), files(t, more), &Options{Seed: 7})
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(many.Results), "of seed 7")
	again, err := Run(t.Context(), files(t, more), &Options{Seed: 7})
	require.NoError(t, err)
	require.Equal(t, many, again)
}

func TestWhatIsWrongWithWorldOrPolicyIsAResult(t *testing.T) {
	rep, err := Run(t.Context(), files(t, strings.Replace(world, "role: role:clerk", "role: role:clrek", 1)), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"x_test.yaml:9: the policy has no role:clrek, perhaps role:clerk"}, rep.Results[0].Lines())
	rep, err = Run(t.Context(), files(t, strings.Replace(world, "team:a: {team: [team:b]}", "team:a: {team: [team:a]}", 1)), nil)
	require.NoError(t, err)
	require.Contains(t, rep.Results[0].Failures[0], "want a member and another team")
	rep, err = Run(t.Context(), files(t, world, "d, role:admin", "q, role:admin"), nil)
	require.NoError(t, err)
	require.Equal(t, OfPolicy, rep.Results[0].Kind)
	require.Contains(t, rep.Results[0].Failures[0], "roles.csv:7")
	rep, err = Run(t.Context(), files(t, "policy: elsewhere\n"), nil)
	require.NoError(t, err)
	require.False(t, rep.Passed())
	require.False(t, Report{}.Passed(), "a test of nothing")
}

func TestPoliciesInFolders(t *testing.T) {
	a := files(t, "checks: []")
	fsys := fstest.MapFS{}
	for n, f := range a {
		fsys["old/"+n] = f
	}
	delete(fsys, "old/x_test.yaml")
	fsys["tests/deep/x_test.yaml"] = &fstest.MapFile{Data: []byte("policy: old/\n" + world + "lists: [{what-can: role:clerk, expect: [bill.write]}]\n")}
	fsys[".hidden/y_test.yaml"] = &fstest.MapFile{Data: []byte("nonsense")}
	rep, err := Run(t.Context(), fsys, nil)
	require.NoError(t, err)
	require.True(t, rep.Passed(), rep.Results)
	require.Len(t, rep.Results, 1)

	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = Run(ctx, fsys, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestCoverage(t *testing.T) {
	rep, err := Run(t.Context(), files(t, world+`checks:
  - {who: user:idp/ana, can: doc.read, on: t/docs, expect: allow}
  - {who: user:idp/cle, can: bill.write, on: t, expect: deny} # fails: covers nothing
permitted:
  - {who: user:idp/root, give: role:reader, to: user:idp/new, on: t/x}
invariants:
  - no single principal can both bill.pay and bill.write
`), nil)
	require.NoError(t, err)
	var used []string
	for _, r := range rep.Coverage.Rules {
		if r.Used {
			used = append(used, r.String())
		}
	}
	require.Equal(t, []string{"p, role:reader, doc.read", "g, role:writer, role:reader", "d, role:admin, role:reader", "x, bill.pay, bill.write"}, used)
	require.Equal(t, 4, rep.Coverage.Used())
	require.Equal(t, []string{"authz.authorizations.write", "bill.pay", "bill.write", "doc.write"}, rep.Coverage.Permissions)
	require.Equal(t, []string{"role:admin", "role:clerk", "role:payer"}, rep.Coverage.Roles)
	all, passed := rep.Count(OfCheck)
	require.Equal(t, [2]int{2, 1}, [2]int{all, passed})
}

func TestMutantsThatSurviveAreTold(t *testing.T) {
	ms, err := Mutants(t.Context(), files(t, world+"lists:\n  - {what-can: role:writer, expect: [doc.*]}\n"), nil)
	require.NoError(t, err)
	require.Len(t, ms, 8+5*5-6)
	by := map[string]Mutant{}
	for _, m := range ms {
		by[m.Change] = m
	}
	require.Contains(t, by["roles.csv:2: without g, role:writer, role:reader"].KilledBy, "x_test.yaml:12: missing: doc.read")
	require.True(t, by["roles.csv:4: without p, role:clerk, bill.write"].Refused)
	require.Equal(t, Mutant{Change: "roles.csv:8: without x, bill.pay, bill.write"}, by["roles.csv:8: without x, bill.pay, bill.write"])
	require.Contains(t, by["roles.csv: with p, role:writer, bill.pay"].KilledBy, "not expected: bill.pay")
	require.Contains(t, by["roles.csv: with p, role:reader, bill.pay"].KilledBy, "not expected: bill.pay", "role:writer includes role:reader")
	require.Empty(t, by["roles.csv: with p, role:clerk, doc.read"].KilledBy)

	_, err = Mutants(t.Context(), fstest.MapFS{}, nil)
	require.Error(t, err)
	_, err = Mutants(t.Context(), files(t, "policy: nowhere"), nil)
	require.Error(t, err)
	_, err = Mutants(t.Context(), files(t, "checks: []", "d, role:admin", "q, role:admin"), nil)
	require.ErrorContains(t, err, "roles.csv:7")
}

// evidence: P22, P24
func TestNoRowOfTheShippedPolicyIsLostUnseen(t *testing.T) {
	ms, err := Mutants(t.Context(), policy.Files(), nil)
	require.NoError(t, err)
	removed := 0
	for _, m := range ms {
		require.NotEmpty(t, m.KilledBy, "%s: no test notices", m.Change)
		if strings.Contains(m.Change, "without") && !m.Refused {
			removed++
		}
	}
	require.Greater(t, removed, 60, "rows whose loss a test noticed and not the reader")
	t.Logf("%d mutants, none survived; of %d a test noticed the loss of a row", len(ms), removed)
}
