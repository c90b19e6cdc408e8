package authz

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRulesAreTheRowsOfTheFile(t *testing.T) {
	rules, err := Rules(files(t, map[string]string{"permissions.csv": fewPermissions,
		"roles.csv": "# who\n" + fewRoles + "\nd,role:all,  role:reader\nx, a.*, b.read\n"}))
	require.NoError(t, err)
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprintf("%s:%d %s", r.File, r.Line, r))
	}
	require.Equal(t, []string{"roles.csv:2 p, role:reader, a.read", "roles.csv:3 p, role:writer, a.write", "roles.csv:4 g, role:writer, role:reader",
		"roles.csv:5 p, role:all, b.*", "roles.csv:7 d, role:all, role:reader", "roles.csv:8 x, a.*, b.read"}, got)
	require.Equal(t, []RuleKind{Carry, Carry, Include, Carry, HandOut, Exclude}, []RuleKind{rules[0].Kind, rules[1].Kind, rules[2].Kind, rules[3].Kind, rules[4].Kind, rules[5].Kind})

	_, err = Rules(files(t, map[string]string{"roles.csv": "p, role:x, a.b\n"}))
	require.ErrorContains(t, err, "roles.csv:1")
	_, err = Rules(nil)
	require.Error(t, err)
}

func TestPermissionMatches(t *testing.T) {
	p := Permission{"sync.issues.read"}
	for pattern, want := range map[string]bool{
		"sync.issues.read": true, "sync.issues.*": true, "sync.*": true,
		"": false, "*": false, ".*": false, "sync": false, "sync.issues": false, "sync.issues.read.*": false, "sync.iss*": false, "syn.*": false, "audit.*": false,
	} {
		require.Equal(t, want, p.Matches(pattern), pattern)
	}
	require.False(t, Permission{}.Matches(""), "the zero Permission is none")
}

// The forms of names, said a second time by expressions.
func TestNamesAreAsTheirExpressionsSay(t *testing.T) {
	permission := regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,4}$`)
	role := regexp.MustCompile(`^role:[a-z][a-z0-9-]{0,63}$`)
	pieces := []string{"", "a", "z9", "_", "a_b", "-", "a-b", ".", "..", "A", "9", "é", "role:", "\n", strings.Repeat("a", 63), strings.Repeat("b", 64)}
	for _, a := range pieces {
		for _, b := range pieces {
			for _, c := range pieces {
				for _, s := range []string{a + b + c, a + "." + b + "." + c, "role:" + a + b + c, a + "." + b + "." + c + ".d.e", a + "." + b + "." + c + ".d.e.f"} {
					_, err := ParsePermission(s)
					require.Equal(t, len(s) <= 128 && permission.MatchString(s), err == nil, "%q", s)
					_, err = ParseRole(s)
					require.Equal(t, role.MatchString(s), err == nil, "%q", s)
				}
			}
		}
	}
}
