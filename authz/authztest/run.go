package authztest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/lockkeeper/lockkeeper/authz/policytest"
)

// Run runs the policy tests of a file system, every *_test.yaml, against the
// policies that they name; package policytest says what they can hold. Each
// entry is a subtest where the test can have some, and each failure is a line
// with file and line number. No test file is a failure.
func Run(t testing.TB, fsys fs.FS) {
	t.Helper()
	rep, err := policytest.Run(contextOf(t), fsys, nil)
	if err != nil {
		t.Fatal(err)
		return
	}
	sub, nests := t.(interface {
		Run(string, func(*testing.T)) bool
	})
	for _, r := range rep.Results {
		text := strings.Join(r.Lines(), "\n")
		switch {
		case nests:
			sub.Run(fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Name), func(t *testing.T) {
				if !r.Passed {
					t.Error(text)
				}
			})
		case !r.Passed:
			t.Error(text)
		}
	}
}

func contextOf(t testing.TB) context.Context {
	if ctx := t.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}
