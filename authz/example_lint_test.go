package authz_test

import (
	"fmt"
	"io/fs"
	"testing/fstest"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// Lint tells everything at once, also what New would accept.
func ExampleLint() {
	for _, f := range authz.Lint(fstest.MapFS{
		"model.conf":      shippedModel(),
		"permissions.csv": {Data: []byte("door.open, open it\ndoor.lock, lock it\n")},
		"roles.csv":       {Data: []byte("p, role:guest, door.open\ng, role:host, role:guest\np, role:host, door.open\np, role:host, door.lcok\n")},
	}) {
		fmt.Println(f)
	}
	// Output:
	// permissions.csv:2: error: permission door.lock is in no role: add it to one or remove it [unused-permission]
	// roles.csv:2: warning: role:host carries just what role:guest carries: keep one of them [same-roles]
	// roles.csv:3: warning: role:host has door.open already by line 2 (g, role:host, role:guest): remove this row [shadowed-row]
	// roles.csv:4: error: permission "door.lcok" is not in permissions.csv: add it there or correct it, perhaps door.lock [unknown]
}

// Rules returns the rows as they stand, here those that keep apart.
func ExampleRules() {
	for _, r := range must(authz.Rules(fstest.MapFS{
		"model.conf":      shippedModel(),
		"permissions.csv": {Data: []byte("bill.pay, pay it\nbill.write, write it\n")},
		"roles.csv":       {Data: []byte("p, role:clerk, bill.write\np, role:boss, bill.pay\nx, bill.pay, bill.write\n")},
	})) {
		if r.Kind == authz.Exclude {
			fmt.Printf("line %d: nobody may both %s and %s\n", r.Line, r.Left, r.Right)
		}
	}
	// Output:
	// line 3: nobody may both bill.pay and bill.write
}

// shippedModel is the one that ships; there is no other.
func shippedModel() *fstest.MapFile {
	return &fstest.MapFile{Data: must(fs.ReadFile(policy.Files(), "model.conf"))}
}
