package policy_test

import (
	"testing"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// What the policy is for, in the words of those who decide it.
//
// evidence: P22, P24
func TestPolicyTests(t *testing.T) { authztest.Run(t, policy.Files()) }
