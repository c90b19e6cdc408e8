// Package authz decides. Software that acts on other people's data asks it
// before every access, its own workers and its makers' staff included, and
// gets either a reasoned refusal or a proof that it was allowed.
//
// A [Principal] (a user, a service, a team) holds a [Role] on a [Resource] by
// an [Authorization], allow or deny, perhaps for a limited time or under a
// condition. A role is a set of permissions, one for each thing that can be
// done; both are stated in policy files, in the form that Casbin reads, and more
// roles can be defined while running. Resources form a tree: what is held on a
// node is held on everything below it and on nothing else. Nothing is allowed
// that no Authorization allows, and a deny beats every allow.
//
// # Asking
//
// [Authorizer.Check] asks and returns a [Decision], which is plain data: good
// for greying out a button. [Authorizer.CheckBatch] asks many things at one
// revision, [Authorizer.CheckHandles] asks without looking names up again.
// [Authorizer.Resources] and [Authorizer.Principals] turn the question around:
// what somebody may use, and who may use something. [Authorizer.Explain] gives
// every reason, and for a refusal the least that would change it and who could.
//
// [Authorizer.Authorize] hands over: it records the decision, and only then
// returns a [Grant], which proves it. A Grant cannot be made by other means,
// covers one permission on one part of the tree, ends soon and ends at once when
// the Authorization behind it is revoked.
//
// # Changing
//
// Who may do what is changed through an [Editor], which needs a Grant itself.
// Nobody can give what they do not hold, for longer than they hold it, or to
// themselves what they may only hand out; what the policy keeps apart does not
// come together in one person; the last administrator stays. Each change is a
// revision with author, reason and difference: it can be previewed
// ([Editor.Preview]), demanded by a later question ([Request].AtLeast), listed
// ([Authorizer.History]) and turned around ([Editor.Rollback]). A right that is
// needed for an hour is asked for ([Authorizer.Ask]) and approved by a second
// person, or taken in an emergency ([Authorizer.BreakGlass]), at once, with an
// alarm and a review.
//
// # Keeping
//
// A [Store] keeps Authorizations and their history, a [Sink] the record of
// decisions, hash-chained so that what was altered or left out shows
// ([Verify]). Package gormstore is both in one database. Other processes follow
// by [Authorizer.Follow].
//
// # Policies
//
// [Lint] reads a policy as a reviewer would; package policytest and the command
// lkpolicy put it to tests written in YAML. [FromCasbin] brings an existing
// Casbin policy along, [Shadow] compares the two in production, and a policy with
// a model.conf that means something else is answered by Casbin as it is.
//
// Whoever owns the process can change anything in its memory; within Go's type
// system there is no way around.
package authz
