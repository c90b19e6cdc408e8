// Lkpolicy looks after policy files: model.conf, permissions.csv, roles.csv and
// their tests, *_test.yaml, in one folder.
//
//	lkpolicy lint [DIR]                   what is wrong with the policy, and what probably is
//	lkpolicy test [DIR]                   run the tests of the policy
//	lkpolicy diff OLD NEW                 what each role gains and loses between two policies
//	lkpolicy explain DIR WHO PERMISSION RESOURCE --world FILE
//	                                      why somebody may or may not do something
//
// DIR is ./policy unless another is named. Each command writes text or, with -o
// json, JSON whose "version" changes when its shape does. Test writes -o junit
// for CI servers too; --coverage adds the rows, permissions and roles that no
// test rests on, --mutants changes the policy row by row and tells the changes
// that no test notices. Lint counts errors and warnings; notes are told and
// count only with --strict. The world that explain looks at is that of a test
// file; package policytest says how one is written.
//
// The exit code is 0 when all is well, 1 for a negative answer (a test failed,
// something was found, the policies differ, the request is denied) and 2 for
// wrong use, such as a folder without a policy. What was asked for is on the
// standard output, what is wrong with the use on the standard error.
//
//	go run github.com/lockkeeper/lockkeeper/authz/cmd/lkpolicy test ./policy
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
