package authz

import (
	"fmt"
	"strings"
	"time"
)

// Reason is an Authorization that counts for a request, and how it comes to
// count.
type Reason struct {
	Authorization Authorization // with its giver, its own reason, its time and its condition
	For           Principal     // whose request it counts for: who acts, or for whom
	// Teams is the way from For to the principal that the Authorization
	// names: the team that For is in, the team that one is in, to the last.
	// Empty if it names For itself.
	Teams []Principal
}

// String says it in a sentence.
func (r Reason) String() string {
	var b strings.Builder
	b.WriteString(r.For.name)
	for i, t := range r.Teams {
		b.WriteString([]string{", in ", " in "}[min(i, 1)] + t.name)
	}
	if len(r.Teams) > 0 {
		b.WriteString(",")
	}
	x := r.Authorization
	verb := "holds"
	if x.Effect == Deny {
		verb = "is denied"
	}
	fmt.Fprintf(&b, " %s %s on %s", verb, x.Role, x.Resource)
	if !x.From.IsZero() {
		fmt.Fprintf(&b, " from %s", clockText(x.From))
	}
	if !x.Until.IsZero() {
		fmt.Fprintf(&b, " until %s", clockText(x.Until))
	}
	if x.Condition != "" {
		fmt.Fprintf(&b, " if %s", x.Condition)
	}
	if !x.GrantedBy.IsZero() {
		fmt.Fprintf(&b, ", given by %s", x.GrantedBy)
	}
	if x.Reason != "" {
		fmt.Fprintf(&b, ": %s", x.Reason)
	}
	return b.String()
}

func clockText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// MissKind is how an Authorization misses a request.
type MissKind uint8

// Kinds of misses, the nearest first.
const (
	MissDenied    MissKind = iota + 1 // it denies
	MissCondition                     // its condition is not satisfied, or cannot be evaluated
	MissPending                       // it waits for a second person
	MissNotYet                        // it begins later
	MissEnded                         // it has ended
	MissRole                          // it stands here, with a role that does not carry the permission
	MissElsewhere                     // it stands on another resource
)

// Miss is an Authorization that does not allow a request and nearly would, or
// that denies it.
type Miss struct {
	Reason
	Kind MissKind
}

// String says it in a few words.
func (m Miss) String() string {
	x := m.Authorization
	on := fmt.Sprintf("%s on %s", x.Role, x.Resource)
	switch m.Kind {
	case MissDenied:
		return fmt.Sprintf("%s is denied on %s", x.Role, x.Resource)
	case MissCondition:
		return fmt.Sprintf("%s counts only if %s", on, x.Condition)
	case MissPending:
		return on + " waits for a second person"
	case MissNotYet:
		return fmt.Sprintf("%s begins at %s", on, clockText(x.From))
	case MissEnded:
		return fmt.Sprintf("%s ended at %s", on, clockText(x.Until))
	case MissRole:
		return on + " does not carry it"
	case MissElsewhere:
		return fmt.Sprintf("%s is held on %s, not here", x.Role, x.Resource)
	}
	return on
}
