// Package policy holds the policy that lockkeeper ships: the catalogue of
// permissions, the roles of users, tenant administrators, workers and the four
// internal teams, the Casbin model that gives them their meaning, and the tests
// that say what it is for. It is data; package authz reads it, or yours in its
// place.
package policy

import (
	"embed"
	"io/fs"
)

//go:embed model.conf permissions.csv roles.csv *_test.yaml
var files embed.FS

// Files returns the shipped policy, model.conf, permissions.csv and roles.csv,
// and its tests, *_test.yaml. A changed copy can be put to the same tests with
// authztest.Run or lkpolicy.
func Files() fs.FS { return files }
