// Package profile says what of a mailbox and a CRM is synchronised, and how:
// which kinds in which direction, what has to be marked, what a window or a
// filter leaves out, which fields cross and what they become, which mails are
// saved, who is never touched.
//
// A profile is written in layers, each YAML or JSON: the template of the
// installation, what a tenant changes in it, what a user changes in that. Compile
// merges them, checks everything, and returns a Profile: a value that asks
// nobody, keeps nothing and answers the same question the same way.
//
//	p, err := profile.Compile(profile.Layer{Name: "tenant", Data: tenant}, profile.Layer{Name: "user", Data: user})
//	contacts := p.Rule(connectors.KindContact)
//	if v := contacts.Wants(connectors.Mailbox, record, now); !v.Wanted { … v.Reason … }
//
// What is not wanted any more is never deleted for that: whoever applies a
// profile stops following the record and leaves both copies where they are.
//
// Expressions are those of github.com/expr-lang/expr, without loops, variables of
// their own, or functions that make a text grow: the time and memory that one
// takes is bounded by its length and that of the record.
package profile
