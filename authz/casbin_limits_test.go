package authz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An import is bounded in what it lists and in what it takes over of a row, and
// what is the same twice is there once.
func TestAnImportHasBounds(t *testing.T) {
	rows := [][]string{{"p", "ana", "box", "read"}}
	for i := range maxFindings + 7 {
		rows = append(rows, []string{"p", "ana", fmt.Sprint("box", i), "read", "deny"})
	}
	withEft := strings.Replace(plainOwnModel, "p = sub, obj, act", "p = sub, obj, act, eft", 1)
	rows[0] = append(rows[0], "allow")
	im, err := FromCasbin(enforcer(t, withEft, rows...))
	require.NoError(t, err)
	require.Len(t, im.Inert, maxFindings+1)
	require.Equal(t, "and 7 more", im.Inert[maxFindings])
	im, err = FromCasbin(enforcer(t, withEft, rows[:maxFindings+1]...))
	require.NoError(t, err)
	require.Len(t, im.Inert, maxFindings)

	long := strings.Repeat("é", 400)
	im, err = FromCasbin(enforcer(t, plainOwnModel, []string{"p", "ana", long, "read"}))
	require.NoError(t, err)
	require.LessOrEqual(t, len(im.Authorizations[0].Reason), 512)
	require.NotContains(t, im.Authorizations[0].Reason, "\ufffd")

	// One thing wrong is said, of several how many there are beside it.
	_, err = FromCasbin(enforcer(t, plainOwnModel, []string{"p", "ana", "a\nb", "read"}))
	require.ErrorIs(t, err, ErrUnsupported)
	require.NotContains(t, err.Error(), "more)")
	_, err = FromCasbin(enforcer(t, plainOwnModel, []string{"p", "ana", "a\nb", "read"}, []string{"p", "ana", "a\nc", "read"}, []string{"p", "ana", "a", "re\nad"}))
	require.ErrorContains(t, err, "(and 2 more)")

	const nested = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[role_definition]\ng = _, _\ng2 = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act\n"
	p := []string{"p", "ana", "house", "read"}
	for want, rows := range map[string][][]string{
		"no names":         {p, {"g2", "a\nb", "house"}},
		"no names: ":       {p, {"g2", "room", "a\nb"}},
		"in another group": {p, {"g2", "room", "house"}, {"g2", "room", "shed"}},
		"circle":           {p, {"g", "a", "b"}, {"g", "b", "a"}},
		"in a circle":      {p, {"g2", "a", "b"}, {"g2", "b", "a"}},
		"field 2":          {p, {"g", "a", "a\nb"}},
	} {
		im, err := FromCasbin(enforcer(t, nested, rows...))
		require.ErrorIs(t, err, ErrUnsupported, want)
		require.Contains(t, strings.Join(im.NotExpressed, "\n"), want)
	}
	im, err = FromCasbin(enforcer(t, nested, p, []string{"g", "ben", "ana"}, []string{"g", "cara", "ben"}, []string{"g", "cara", "ana"}, []string{"g", "ana", "ana"}, []string{"g2", "room", "house"}, []string{"g2", "house", "house"}))
	require.NoError(t, err)
	require.Len(t, im.Members, 3)
	require.Len(t, im.Inert, 2)
	a, err := im.authorizer(t.Context())
	require.NoError(t, err)
	_, differ, err := im.Prove(t.Context(), a, 10_000)
	require.NoError(t, err)
	require.Empty(t, differ)
}

// How actions are called here, to the letter.
func TestHowActionsAreCalled(t *testing.T) {
	for act, want := range map[string][2]string{
		"read":                  {imported + ".read", "role:" + imported + "-read"},
		"a1":                    {imported + ".a1", "role:" + imported + "-a1"},
		"1a":                    {imported + ".act.x1a", "role:act-x1a"},
		"Read":                  {imported + ".act.x_52ead", "role:act-x-52ead"},
		"a b":                   {imported + ".act.xa_20b", "role:act-xa-20b"},
		strings.Repeat("a", 56): {imported + "." + strings.Repeat("a", 56), "role:" + imported + "-" + strings.Repeat("a", 56)},
		strings.Repeat("a", 96): {imported + "." + strings.Repeat("a", 96), "role:digest-"},
		strings.Repeat("a", 97): {imported + ".digest.x", "role:digest-"},
	} {
		perm, role, err := actNames(act)
		require.NoError(t, err)
		require.True(t, perm == want[0] || strings.HasSuffix(want[0], ".x") && strings.HasPrefix(perm, want[0]), "%s: %s", act, perm)
		require.True(t, role == want[1] || strings.HasSuffix(want[1], "digest-") && strings.HasPrefix(role, want[1]), "%s: %s", act, role)
		_, err = ParsePermission(perm)
		require.NoError(t, err)
		_, err = ParseRole(role)
		require.NoError(t, err)
	}
	_, _, err := actNames("a\n")
	require.Error(t, err)
	_, err = roleTeam([]string{"a\n"}, "r")
	require.Error(t, err)
	_, err = roleTeam(nil, "")
	require.Error(t, err)
}
