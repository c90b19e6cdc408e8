// Package authz decides. Software that acts on other people's data asks it
// before every access, its own workers and its makers' staff included, and
// gets either a reasoned refusal or a proof that it was allowed.
//
// A [Principal] (a user, a service, a team) holds a [Role] on a [Resource] by
// an [Authorization], allow or deny, perhaps for a limited time. A role is a
// set of permissions, one for each thing that can be done; both are stated in
// policy files, in the form that Casbin reads. Resources form a tree: what is
// held on a node is held on everything below it and on nothing else. Nothing
// is allowed that no Authorization allows, and a deny beats every allow.
//
// [Authorizer.Check] asks and returns a [Decision], which is plain data: good
// for greying out a button. [Authorizer.Authorize] hands over: it records the
// decision, and only then returns a [Grant], which proves it. A Grant cannot be
// made by other means, covers one permission on one part of the tree, ends soon
// and ends at once when the Authorization behind it is revoked.
//
// Whoever owns the process can change anything in its memory; within Go's type
// system there is no way around.
package authz
