package policytest_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing/fstest"

	"github.com/lockkeeper/lockkeeper/authz/policytest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// must keeps the examples short; programs handle errors.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A product puts its own policy to its own tests. What fails says where, and by
// which rows it came about.
func ExampleRun() {
	rep := must(policytest.Run(context.Background(), fstest.MapFS{
		"model.conf":      {Data: must(fs.ReadFile(policy.Files(), "model.conf"))},
		"permissions.csv": {Data: []byte("door.open, open a door\ndoor.lock, lock a door\n")},
		"roles.csv":       {Data: []byte("p, role:guest, door.open\ng, role:host, role:guest\np, role:host, door.lock\n")},
		"doors_test.yaml": {Data: []byte(`world:
  principals:
    user:idp/ana: {team: team:family}
  grants:
    - {principal: team:family, role: role:host, resource: house}
    - {principal: user:idp/bo, role: role:guest, resource: house/hall}
checks:
  - {who: user:idp/ana, can: "*", on: house/**, expect: allow, because: role:host@house via team:family}
  - {who: user:idp/bo, can: door.*, on: house/hall, expect: allow}
invariants:
  - nobody outside team:family can door.lock
  - no single principal can both door.open and door.lock
`)},
	}, nil))
	for _, r := range rep.Results {
		fmt.Println(r.Passed, r.Name)
		for _, l := range r.Lines()[:min(1, len(r.Failures))] {
			fmt.Println("  ", l)
		}
	}
	fmt.Println(rep.Coverage.Used(), "of", len(rep.Coverage.Rules), "rows used")
	// Output:
	// true user:idp/ana can * on house/**
	// false user:idp/bo can door.* on house/hall
	//    doors_test.yaml:9: expected=allow, got=deny: user:idp/bo door.lock on house/hall: user:idp/bo holds no role with this permission here or above; role:guest on house/hall does not carry it; carried by role:host
	// true nobody outside team:family can door.lock
	// false no single principal can both door.open and door.lock
	//    doors_test.yaml:12: user:idp/ana can both door.open and door.lock on house: user:idp/ana, through team:family, holds role:host on house; user:idp/ana, through team:family, holds role:host on house
	// 3 of 3 rows used
}

// A file with a mistake is refused, with the place and what was probably meant.
func ExampleRead() {
	_, err := policytest.Read("doors_test.yaml", []byte("checks:\n  - {who: user:idp/ana, can: door.open, on: house, expects: allow}\n"))
	fmt.Println(err)
	// Output:
	// doors_test.yaml:2: check: unknown key "expects", perhaps expect
	// doors_test.yaml:2: expect is missing
}

// Tests that notice nothing when a row is lost are no tests of it.
func ExampleMutants() {
	survived := 0
	for _, m := range must(policytest.Mutants(context.Background(), policy.Files(), nil)) {
		if m.KilledBy == "" {
			survived++
		}
	}
	fmt.Println(survived, "changes of the shipped policy go unnoticed")
	// Output:
	// 0 changes of the shipped policy go unnoticed
}
