// Package policytest runs tests of a policy that are written as text, for those
// who decide what a policy should say and not only for those who program.
//
// A test file is YAML, named *_test.yaml, and stands beside the policy. It
// describes a small world, asks questions about it, and states what must hold
// in this and in every other world:
//
//	policy: .                 # folder of the policy within the file system; the default
//	world:
//	  at: 2030-01-01          # when it is; the default
//	  principals:
//	    user:idp/ana: {team: team:support}
//	    user:idp/bo:
//	  grants:
//	    - {principal: team:support, role: role:support, resource: tenants}
//	    - {principal: user:idp/bo, role: role:user, resource: tenants/t1/users/bo, until: 2031-01-01}
//	    - {principal: user:idp/bo, role: role:user, resource: tenants/t1/users/bo/hr, effect: deny}
//	checks:
//	  - {who: user:idp/ana, can: sync.status.read, on: tenants/t1, expect: allow, because: role:support@tenants via team:support}
//	  - {who: user:idp/ana, can: [mailbox.*, secrets.*], on: tenants/**, expect: deny}
//	  - {who: user:idp/bo, can: mailbox.items.read, on: tenants/t1/users/bo, at: 2031-01-01, expect: deny}
//	lists:
//	  - {who-can: sync.status.read, on: tenants/t1, expect: [user:idp/ana]}
//	  - {what-can: role:sales, expect: [tenants.read, sync.status.read]}
//	  - {roles-with: secrets.use, expect: [role:connection]}
//	permitted:
//	  - {who: user:idp/admin, give: role:user, to: user:idp/bo, on: tenants/t1/users/bo}
//	forbidden:
//	  - {who: user:idp/admin, give: role:user, to: user:idp/admin, on: tenants/t1/users/bo}
//	invariants:
//	  - nobody in team:sales can secrets.*
//
// All names are written as authz prints them. Permissions may be patterns,
// "secrets.*" or "*". A resource that ends in /** stands for itself and for
// everything below, whatever it is called. Where one name is wanted a list
// does, and each of its names is asked about. A check may ask on behalf of
// another (onBehalfOf) and say by which role, where and through which team the
// answer came about (because; "nothing" for a refusal that no deny makes).
//
// What an invariant can say:
//
//	nobody in TEAM can PERMISSION [or PERMISSION ...]
//	nobody outside TEAM can PERMISSION [or PERMISSION ...]
//	no role can both PERMISSION and PERMISSION
//	no single principal can both PERMISSION and PERMISSION
//	only ROLE [or ROLE ...] can PERMISSION
//	ROLE never PERMISSION [or PERMISSION ...]
//	ROLE always PERMISSION [and PERMISSION ...]
//	ROLE gives ROLE
//	ROLE never gives ROLE
//	no role extends itself
//	every RESOURCE has someone who can PERMISSION    (* stands for one segment)
//
// Those about people are looked at in the world of the file, at every moment at
// which something begins or ends, and in worlds generated from it: other people
// in the teams, what is held moved to other places. Those about roles are looked
// at with inclusions and patterns expanded. What one person can do together is
// looked at for every pair of roles: two that break it must be kept apart by an
// x row of the policy.
//
// Nothing is guessed: an unknown key, an alias, a name that does not parse, a
// permission or role that the policy does not have is a failure at its line.
package policytest
