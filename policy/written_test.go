package policy_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/policytest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// What the policy is for, in the words of those who decide it.
//
// evidence: P22, P24
func TestPolicyTests(t *testing.T) { authztest.Run(t, policy.Files()) }

// Each check, list and gift fails when it expects the contrary.
func TestPolicyTestsCanFail(t *testing.T) {
	files, err := policytest.Load(policy.Files())
	require.NoError(t, err)
	for _, f := range files {
		for i := range f.Checks {
			f.Checks[i].Allow, f.Checks[i].Because = !f.Checks[i].Allow, ""
		}
		for i := range f.Lists {
			switch l := &f.Lists[i]; {
			case len(l.Expect) > 0:
				l.Expect = l.Expect[1:]
			case l.WhoCan != "":
				l.Expect = []string{"user:idp/ana"}
			default:
				l.Expect = []string{"sync.run"}
			}
		}
		for i := range f.Gifts {
			f.Gifts[i].Permitted, f.Gifts[i].Because = !f.Gifts[i].Permitted, ""
		}
	}
	rep, err := policytest.RunFiles(t.Context(), policy.Files(), files, &policytest.Options{Worlds: -1})
	require.NoError(t, err)
	for _, r := range rep.Results {
		if r.Kind != policytest.OfInvariant {
			require.False(t, r.Passed, "%s:%d %s", r.File, r.Line, r.Name)
		}
	}
}

// Each invariant fails under some policy in which one thing is changed.
func TestInvariantsCanFail(t *testing.T) {
	files, err := policytest.Load(policy.Files())
	require.NoError(t, err)
	for _, f := range files {
		f.Checks, f.Lists, f.Gifts = nil, nil, nil
	}
	s := load(t)
	rules, err := authz.Rules(policy.Files())
	require.NoError(t, err)
	try := func(text string) {
		m := fstest.MapFS{"roles.csv": {Data: []byte(text)}}
		for _, n := range []string{"model.conf", "permissions.csv"} {
			b, err := fs.ReadFile(policy.Files(), n)
			require.NoError(t, err)
			m[n] = &fstest.MapFile{Data: b}
		}
		rep, err := policytest.RunFiles(t.Context(), policy.Files(), files, &policytest.Options{Policy: m, Worlds: -1})
		require.NoError(t, err)
		for _, r := range rep.Results {
			for _, f := range files {
				f.Invariants = slices.DeleteFunc(f.Invariants, func(i policytest.Invariant) bool {
					return !r.Passed && r.Kind == policytest.OfInvariant && f.Name == r.File && i.Line == r.Line
				})
			}
		}
		files = slices.DeleteFunc(files, func(f *policytest.File) bool { return len(f.Invariants) == 0 })
	}
	// Without the rows that keep apart, else the reader refuses first.
	plain := ""
	for _, r := range rules {
		if r.Kind != authz.Exclude {
			plain += r.String() + "\n"
		}
	}
	try(plain)
	for _, role := range s.roles {
		for _, p := range s.perms {
			try(plain + "\np, " + role + ", " + p + "\n")
		}
		for _, other := range s.roles {
			try(plain + "\nd, " + role + ", " + other + "\n")
		}
	}
	for _, r := range rules {
		less := ""
		for _, o := range rules {
			if o != r && o.Kind != authz.Exclude {
				less += o.String() + "\n"
			}
		}
		try(less)
	}
	for _, f := range files {
		require.Empty(t, f.Invariants, f.Name)
	}
}

// The shipped policy has nothing that lint would warn of.
func TestPolicyIsLinted(t *testing.T) {
	for _, f := range authz.Lint(policy.Files()) {
		require.Equal(t, authz.Note, f.Severity, f)
	}
}
