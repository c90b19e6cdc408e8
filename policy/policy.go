// Package policy holds the policy that lockkeeper ships: the catalogue of
// permissions, the roles of users, tenant administrators, workers and the four
// internal teams, and the Casbin model that gives them their meaning. It is
// data; package authz reads it, or yours in its place.
package policy

import (
	"embed"
	"io/fs"
)

//go:embed model.conf permissions.csv roles.csv
var files embed.FS

// Files returns the shipped policy: model.conf, permissions.csv and roles.csv.
func Files() fs.FS { return files }
