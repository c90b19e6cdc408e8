package authztest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/policy"
)

// noting is a test that goes on after an error and has no subtests.
type noting struct {
	testing.TB
	said []string
}

func (n *noting) Helper()                  {}
func (n *noting) Context() context.Context { return nil }
func (n *noting) Error(args ...any)        { n.said = append(n.said, fmt.Sprint(args...)) }
func (n *noting) Fatal(args ...any)        { n.Error(args...); runtime.Goexit() }

func run(t *testing.T, change string, files ...string) string {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, name := range append(files, "model.conf", "permissions.csv", "roles.csv") {
		b, err := policy.Files().(interface{ ReadFile(string) ([]byte, error) }).ReadFile(name)
		require.NoError(t, err)
		if name == "roles.csv" {
			b = append(b, change...)
		}
		fsys[name] = &fstest.MapFile{Data: b}
	}
	n := &noting{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(n, fsys)
	}()
	<-done
	return strings.Join(n.said, "\n")
}

// A policy is put to the tests that ship with it: unchanged it passes, and what
// was changed is told with its line.
func TestRun(t *testing.T) {
	Run(t, policy.Files())
	require.Empty(t, run(t, "", "people_test.yaml", "teams_test.yaml", "roles_test.yaml", "one_person_test.yaml"))
	said := run(t, "p, role:sales, mailbox.items.read\n", "teams_test.yaml")
	require.Regexp(t, `teams_test\.yaml:\d+: expected=deny, got=allow: user:staff/sam mailbox\.items\.read on tenants/acme: user:staff/sam, through team:sales, holds role:sales on tenants, by roles\.csv:\d+ \(p, role:sales, mailbox\.items\.read\)`, said)
	require.Contains(t, run(t, "p, role:sales, no.such\n", "teams_test.yaml"), "roles.csv:")
	require.Contains(t, run(t, ""), "no file *_test.yaml")
}
