package authz

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/casbin/v2/util"
	"github.com/stretchr/testify/require"
)

// casbinExamples is the folder of models and policies that Casbin ships.
func casbinExamples(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/casbin/casbin/v2").Output()
	require.NoError(t, err)
	dir := filepath.Join(strings.TrimSpace(string(out)), "examples")
	_, err = os.Stat(dir)
	require.NoError(t, err)
	return dir
}

// enforcer makes an Enforcer of a model and rows, as adapters hand them over:
// the name of the definition, then the fields.
func enforcer(t testing.TB, conf string, rows ...[]string) *casbin.Enforcer {
	t.Helper()
	m, err := model.NewModelFromString(conf)
	require.NoError(t, err)
	e, err := casbin.NewEnforcer(m, &foreignLoader{rows})
	require.NoError(t, err)
	e.EnableAutoSave(false)
	return e
}

// imports makes an Authorizer of an Import.
func (im *Import) authorizer(ctx context.Context) (*Authorizer, error) {
	return New(ctx, im.Policy, &Options{Seed: im.Authorizations, SeedMembers: im.Members, Audit: NewMemory(1)})
}

// outcome imports an Enforcer and says in a line what came of it.
func outcome(t testing.TB, e *casbin.Enforcer, limit int) string {
	t.Helper()
	im, err := FromCasbin(e)
	if err != nil {
		require.ErrorIs(t, err, ErrUnsupported)
		require.NotEmpty(t, im.NotExpressed)
		require.Nil(t, im.Policy)
		require.Empty(t, im.Authorizations)
		require.Empty(t, im.Members)
		return "refused: " + im.NotExpressed[0]
	}
	require.Empty(t, im.NotExpressed)
	a, err := im.authorizer(t.Context())
	require.NoError(t, err)
	asked, differ, err := im.Prove(t.Context(), a, limit)
	require.NoError(t, err)
	require.Positive(t, asked)
	return fmt.Sprintf("imported: %d questions, %d differences, %d inert", asked, len(differ), len(im.Inert))
}

// The models and policies that Casbin ships, each model with the policies that
// are meant for it, and what comes of it.
func TestCasbinExamples(t *testing.T) {
	dir := casbinExamples(t)
	used := map[string]bool{}
	for _, c := range []struct{ model, policy, want string }{
		{"abac_model.conf", "", `refused: m: "r.sub == r.obj.Owner" does not compare a field of the request with one of the policy`},
		{"abac_not_using_policy_model.conf", "abac_rule_effect_policy.csv", `refused: m: "r.sub == r.obj.Owner" does not compare a field of the request with one of the policy`},
		{"abac_rule_model.conf", "abac_rule_policy.csv", `refused: m: "eval(p.sub_rule)" is more than a comparison or a role`},
		{"basic_model.conf", "basic_policy.csv", "imported: 27 questions, 0 differences, 0 inert"},
		{"basic_model.conf", "basic_inverse_policy.csv", "imported: 27 questions, 0 differences, 0 inert"},
		{"basic_model.conf", "", "refused: p: no row allows or denies anything"},
		{"basic_model_without_spaces.conf", "basic_policy.csv", "imported: 27 questions, 0 differences, 0 inert"},
		{"basic_with_root_model.conf", "basic_policy.csv", `refused: m: "r.act == p.act || r.sub == \"root\"" does not compare a field of the request with one of the policy`},
		{"basic_without_resources_model.conf", "basic_without_resources_policy.csv", "imported: 9 questions, 0 differences, 0 inert"},
		{"basic_without_users_model.conf", "basic_without_users_policy.csv", "refused: m: nobody asks: no field of the request is a subject"},
		{"biba_model.conf", "", `refused: m: "(r.act == \"read\"" does not compare a field of the request with one of the policy`},
		{"blp_model.conf", "", `refused: m: "(r.act == \"read\"" does not compare a field of the request with one of the policy`},
		{"comment_model.conf", "basic_policy.csv", "imported: 27 questions, 0 differences, 0 inert"},
		{"eval_operator_model.conf", "eval_operator_policy.csv", `refused: m: "eval(p.sub_rule)" is more than a comparison or a role`},
		{"glob_model.conf", "glob_policy.csv", `refused: m: "globMatch(r.obj, p.obj)" is more than a comparison or a role`},
		{"ipmatch_model.conf", "ipmatch_policy.csv", `refused: m: "ipMatch(r.sub, p.sub)" is more than a comparison or a role`},
		{"keyget2_model.conf", "keymatch2_policy.csv", `refused: m: "keyGet2(r.obj, p.obj, 'resource') in ('age', 'name')" is more than a comparison or a role`},
		{"keyget_model.conf", "keymatch_policy.csv", `refused: m: "(r.obj == p.obj || keyGet(r.obj, p.obj) in ('age','name'))" does not compare a field of the request with one of the policy`},
		{"keymatch2_model.conf", "keymatch2_policy.csv", `refused: m: "keyMatch2(r.obj, p.obj)" is more than a comparison or a role`},
		{"keymatch_custom_model.conf", "keymatch2_policy.csv", `refused: m: "keyMatchCustom(r.obj, p.obj)" is more than a comparison or a role`},
		{"keymatch_model.conf", "keymatch_policy.csv", `refused: m: "keyMatch(r.obj, p.obj)" is more than a comparison or a role`},
		{"keymatch_with_rbac_in_domain.conf", "keymatch_with_rbac_in_domain.csv", `refused: m: "keyMatch(r.dom, p.dom)" is more than a comparison or a role`},
		{"lbac_model.conf", "", `refused: m: "(r.act == \"read\"" does not compare a field of the request with one of the policy`},
		{"multiple_policy_definitions_model.conf", "multiple_policy_definitions_policy.csv", "refused: r2: a second definition, which an EnforceContext can choose"},
		{"object_conditions_model.conf", "object_conditions_policy.csv", `refused: m: "eval(p.sub_rule)" is more than a comparison or a role`},
		{"orbac_model.conf", "orbac_policy.csv", "refused: m: actions are in groups by g2"},
		{"pbac_model.conf", "pbac_policy.csv", `refused: m: "eval(p.sub_rule)" is more than a comparison or a role`},
		{"performance/rbac_with_pattern_large_scale_model.conf", "performance/rbac_with_pattern_large_scale_policy.csv", `refused: m: "keyMatch4(r.obj, p.obj)" is more than a comparison or a role`},
		{"priority_model.conf", "priority_policy.csv", "refused: e: the first row decides, here a deny always wins"},
		{"priority_model.conf", "priority_indeterminate_policy.csv", "refused: e: the first row decides, here a deny always wins"},
		{"priority_model_enforce_context.conf", "priority_policy_enforce_context.csv", "refused: r2: a second definition, which an EnforceContext can choose"},
		{"priority_model_explicit.conf", "priority_policy_explicit.csv", "refused: e: the first row decides, here a deny always wins"},
		{"priority_model_explicit_customized.conf", "priority_policy_explicit_customized.csv", "refused: e: the first row decides, here a deny always wins"},
		{"rbac_model.conf", "rbac_policy.csv", "imported: 36 questions, 0 differences, 0 inert"},
		{"rbac_model.conf", "rbac_with_hierarchy_policy.csv", "imported: 54 questions, 0 differences, 0 inert"},
		{"rbac_model_in_multi_line.conf", "rbac_policy.csv", "imported: 36 questions, 0 differences, 0 inert"},
		{"rbac_model_matcher_using_in_op.conf", "rbac_policy.csv", `refused: m: "r.act == p.act || r.obj in ('data2', 'data3')" does not compare a field of the request with one of the policy`},
		{"rbac_model_matcher_using_in_op_bracket.conf", "rbac_policy.csv", `refused: m: "r.act == p.act || r.obj in ('data2', 'data3')" does not compare a field of the request with one of the policy`},
		{"rbac_with_all_pattern_model.conf", "rbac_with_all_pattern_policy.csv", "refused: m: objects are in groups by g, and per domain or before another field"},
		{"rbac_with_deny_model.conf", "rbac_with_deny_policy.csv", "imported: 36 questions, 0 differences, 0 inert"},
		{"rbac_with_different_types_of_roles_model.conf", "rbac_with_different_types_of_roles_policy.csv", `refused: m: "regexMatch(r.act, p.act)" is more than a comparison or a role`},
		{"rbac_with_domain_pattern_model.conf", "rbac_with_domain_pattern_policy.csv", "refused: g: its names are patterns, by a matching function"},
		{"rbac_with_domain_temporal_roles_model.conf", "rbac_with_domain_temporal_roles_policy.csv", "refused: g: its rows hold under conditions that are set in code"},
		{"rbac_with_domains_conditional_model.conf", "rbac_with_domains_conditional_policy.csv", `refused: m: "(keyMatch(r.act, p.act) || keyMatch2(r.act, p.act) || keyMatch3(r.act, p.act) ||" is more than a comparison or a role`},
		{"rbac_with_domains_model.conf", "rbac_with_domains_policy.csv", "imported: 108 questions, 0 differences, 0 inert"},
		{"rbac_with_domains_model.conf", "rbac_with_domains_policy2.csv", "imported: 180 questions, 0 differences, 0 inert"},
		{"rbac_with_domains_model.conf", "rbac_with_hierarchy_with_domains_policy.csv", "imported: 135 questions, 0 differences, 0 inert"},
		{"rbac_with_multiple_policy_model.conf", "rbac_with_multiple_policy_policy.csv", "refused: p2: a second definition, which an EnforceContext can choose"},
		{"rbac_with_not_deny_model.conf", "rbac_with_deny_policy.csv", "refused: e: whatever no row denies is allowed to everybody"},
		{"rbac_with_pattern_model.conf", "rbac_with_pattern_policy.csv", `refused: m: "regexMatch(r.act, p.act)" is more than a comparison or a role`},
		{"rbac_with_resource_roles_model.conf", "rbac_with_resource_roles_policy.csv", "imported: 48 questions, 0 differences, 0 inert"},
		{"rbac_with_temporal_roles_model.conf", "rbac_with_temporal_roles_policy.csv", "refused: g: its rows hold under conditions that are set in code"},
		{"rebac_model.conf", "rebac_policy.csv", `refused: m: "g(r.sub, r.obj, p.role)" does not compare a field of the request with one of the policy`},
		{"subject_priority_model.conf", "subject_priority_policy.csv", "refused: e: the first row decides, here a deny always wins"},
		{"subject_priority_model_with_domain.conf", "subject_priority_policy_with_domain.csv", "refused: e: the first row decides, here a deny always wins"},
		{"syntax_matcher_model.conf", "", `refused: m: "r.sub == \"a.p.p.l.e\"" does not compare a field of the request with one of the policy`},
	} {
		used[c.model], used[c.policy] = true, true
		params := []any{filepath.Join(dir, c.model)}
		if c.policy != "" {
			params = append(params, filepath.Join(dir, c.policy))
		}
		e, err := casbin.NewEnforcer(params...)
		require.NoError(t, err, "%s %s", c.model, c.policy)
		if strings.Contains(c.model, "pattern") { // these are meant to be run so
			e.AddNamedMatchingFunc("g2", "keyMatch2", util.KeyMatch2)
			e.AddNamedDomainMatchingFunc("g", "keyMatch2", util.KeyMatch2)
		}
		got := outcome(t, e, 100000)
		t.Logf("%-50s %-50s %s", c.model, c.policy, got)
		require.NotEmpty(t, c.want)
		if got != c.want { // the advice that follows a reason may change
			require.True(t, strings.HasPrefix(got, c.want+": "), "%s with %s: want %s, got %s", c.model, c.policy, c.want, got)
		}
	}
	for _, pattern := range []string{"*", "performance/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, n := range names {
			rel, err := filepath.Rel(dir, n)
			require.NoError(t, err)
			if ext := filepath.Ext(n); ext == ".conf" || ext == ".csv" {
				require.True(t, used[filepath.ToSlash(rel)], "%s is not in the table", rel)
			}
		}
	}
}

// Every model with every policy that loads into it, meant for it or not.
func TestCasbinExamplesCrossed(t *testing.T) {
	dir := casbinExamples(t)
	models, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	require.NoError(t, err)
	policies, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	require.NoError(t, err)
	pairs, imported := 0, 0
	for _, m := range models {
		for _, p := range policies {
			e, err := casbin.NewEnforcer(m, p)
			if err != nil {
				continue
			}
			pairs++
			if got := outcome(t, e, 2000); !strings.HasPrefix(got, "refused: ") {
				require.Contains(t, got, " 0 differences", "%s %s", m, p)
				imported++
			}
		}
	}
	t.Logf("%d pairs that load, %d imported, all equal", pairs, imported)
	require.Greater(t, pairs, 100)
	require.Greater(t, imported, 20)
}
