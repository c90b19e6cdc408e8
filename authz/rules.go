package authz

import "io/fs"

// Rule is a row of roles.csv: what a policy states, before wildcards and
// inclusions are expanded.
type Rule struct {
	File  string   `json:"file"`
	Line  int      `json:"line"`
	Kind  RuleKind `json:"kind"`
	Left  string   `json:"left"`  // a role; for Exclude a permission or a pattern
	Right string   `json:"right"` // for Carry and Exclude a permission or a pattern; else a role
}

// RuleKind is the first field of a row.
type RuleKind string

// Kinds of rows.
const (
	Carry   RuleKind = "p" // the role Left carries the permission Right
	Include RuleKind = "g" // the role Left carries all that Right carries
	HandOut RuleKind = "d" // who holds Left may give Right to others
	Exclude RuleKind = "x" // nobody may hold both on one resource
	AskFor  RuleKind = "e" // who holds Left may ask for Right, for a time, and another approves
	Seize   RuleKind = "b" // who holds Left may take Right at once, in an emergency
)

// String writes the row as it stands in the file, spaces normalised.
func (r Rule) String() string { return string(r.Kind) + ", " + r.Left + ", " + r.Right }

// Rules returns the rows of a policy that New would accept, in the order of the
// file. The error is the one that New would return.
func Rules(policy fs.FS) ([]Rule, error) {
	if _, err := readPolicy(policy); err != nil {
		return nil, err
	}
	rs, err := rows(policy, "roles.csv")
	if err != nil {
		return nil, err
	}
	out := make([]Rule, 0, len(rs))
	for _, r := range rs {
		out = append(out, Rule{File: r.file, Line: r.line, Kind: RuleKind(r.fields[0]), Left: r.fields[1], Right: r.fields[2]})
	}
	return out, nil
}

// Matches reports whether a permission is the one that a row names or is below
// its pattern, which ends in ".*".
func (p Permission) Matches(pattern string) bool {
	if n := len(pattern); n > 1 && pattern[n-2:] == ".*" {
		return len(p.name) >= n && p.name[:n-1] == pattern[:n-1]
	}
	return p.name != "" && p.name == pattern
}
