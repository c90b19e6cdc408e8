// Package peers starts servers that nobody here wrote, for tests of how secrets
// are used: Dovecot for mail and oidc-provider for OAuth. Where one is not
// installed, its tests are left out and say so, and fail where CI is true or
// LOCKKEEPER_REQUIRE is "servers".
package peers

import (
	"os"
	"testing"
)

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
		t.Fatalf("peers: %s: run make deps", what)
	}
	t.Skipf("peers: left out what needs it: %s: run make deps", what)
}
