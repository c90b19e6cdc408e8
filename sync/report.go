package sync

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Event is live progress of a round.
type Event struct {
	Pair  PairID
	Kind  connectors.Kind
	Phase Phase
	Done  int    // records so far
	Total int    // records in all, -1 while unknown
	Why   string // with Done: what the round waits for, "" if it did everything
}

// Phase is what a round is doing.
type Phase string

// Phases, in their order.
const (
	Recovering Phase = "recovering"
	Reading    Phase = "reading"
	Writing    Phase = "writing"
	Done       Phase = "done"
)

// Plan is what a round would do, or did.
type Plan struct {
	Pair    PairID   `json:"pair"`
	Actions []Action `json:"actions"`
	More    int      `json:"more,omitempty"` // how many more there are than the limit let in
}

// add lists what the steps of a kind do, as far as the limit goes.
func (p *Plan) add(kind connectors.Kind, us []*unit, steps []step, limit int) {
	for i, st := range steps {
		switch {
		case st.op == Nothing:
		case len(p.Actions) >= limit:
			p.More++
		default:
			p.Actions = append(p.Actions, Action{Op: st.op, Kind: kind, Left: us[i].views[0].id, Right: us[i].views[1].id, Side: st.side,
				ToLeft: st.write[0], ToRight: st.write[1], Code: st.code, Why: st.why})
		}
	}
}

// Words says what a plan does in a few sentences, like actions together, in the
// order in which they come first.
func (p Plan) Words() []string {
	var order []string
	n := map[string]int{}
	kinds := map[string]connectors.Kind{}
	for _, a := range p.Actions {
		where := map[Side]string{Left: " in the CRM", Right: " in the mailbox"}[a.Side]
		what := a.Op.String()
		if a.Op == Merge {
			switch l, r := len(a.ToLeft) > 0, len(a.ToRight) > 0; {
			case l && r:
				what, where = "update", " on both sides"
			case l:
				what, where = "update", " in the CRM"
			case r:
				what, where = "update", " in the mailbox"
			default:
				what = "link"
			}
		}
		if a.Code != "" {
			where += " (" + string(a.Code) + ")"
		}
		said := what + " %s" + where
		key := said + "\x00" + a.Kind.String()
		if n[key] == 0 {
			order = append(order, key)
			kinds[key] = a.Kind
		}
		n[key]++
	}
	var out []string
	for _, key := range order {
		said, _, _ := strings.Cut(key, "\x00")
		of := fmt.Sprintf("%d %s", n[key], kinds[key])
		if n[key] == 1 {
			of = "1 " + singular(kinds[key])
		}
		out = append(out, fmt.Sprintf(said, of))
	}
	if p.More > 0 {
		out = append(out, fmt.Sprintf("and %d more that are not listed", p.More))
	}
	if len(out) == 0 {
		return []string{"nothing to do"}
	}
	return out
}

// Action is one entry of a plan. It holds ids and never content.
type Action struct {
	Op      Op                 `json:"op"`
	Kind    connectors.Kind    `json:"kind"`
	Left    string             `json:"left,omitempty"`
	Right   string             `json:"right,omitempty"`
	Side    Side               `json:"side,omitempty"` // where a create or delete happens
	ToLeft  []connectors.Field `json:"to_left,omitempty"`
	ToRight []connectors.Field `json:"to_right,omitempty"`
	Code    Code               `json:"code,omitempty"`
	Why     string             `json:"why"`
}

// String says it in words.
func (a Action) String() string {
	where := map[Side]string{Left: "in the CRM", Right: "in the mailbox"}[a.Side]
	switch a.Op {
	case Create, Delete, Cancel:
		return fmt.Sprintf("%s %s %s: %s", a.Op, singular(a.Kind), where, a.Why)
	case Merge:
		switch {
		case len(a.ToLeft) > 0 && len(a.ToRight) > 0:
			return fmt.Sprintf("update %s on both sides %v %v: %s", singular(a.Kind), a.ToLeft, a.ToRight, a.Why)
		case len(a.ToLeft) > 0:
			return fmt.Sprintf("update %s in the CRM %v: %s", singular(a.Kind), a.ToLeft, a.Why)
		case len(a.ToRight) > 0:
			return fmt.Sprintf("update %s in the mailbox %v: %s", singular(a.Kind), a.ToRight, a.Why)
		}
		return fmt.Sprintf("link %s: %s", singular(a.Kind), a.Why)
	}
	return fmt.Sprintf("%s %s: %s", a.Op, singular(a.Kind), a.Why)
}

func singular(k connectors.Kind) string {
	s := k.String()
	return s[:len(s)-1]
}

// Report is what a round did.
type Report struct {
	Pair     PairID                          `json:"pair"`
	Started  time.Time                       `json:"started"`
	Wall     time.Duration                   `json:"wall_ns"`
	CPU      time.Duration                   `json:"cpu_ns"` // of the whole process, meanwhile
	Requests int64                           `json:"requests"`
	Kinds    map[connectors.Kind]*KindReport `json:"kinds"`
	Held     string                          `json:"held,omitempty"` // why something was not done, "" if all was
	Plan     Plan                            `json:"-"`              // the first actions, up to PlanLimit
}

// PlanLimit is how many actions a Report keeps.
const PlanLimit = 500

// DryRunLimit is how many actions a dry run lists.
const DryRunLimit = 10000

// KindReport counts what happened to one kind: on the left and on the right.
type KindReport struct {
	Read      [2]int `json:"read"`
	Created   [2]int `json:"created"`
	Updated   [2]int `json:"updated"`
	Deleted   [2]int `json:"deleted"`
	Files     [2]int `json:"files"`    // attached or detached
	Linked    int    `json:"linked"`   // joined without creating
	Unlinked  int    `json:"unlinked"` // partner gone, record left alone
	Conflicts int    `json:"conflicts"`
	Issues    int    `json:"issues"` // open after the round
	Links     int    `json:"links"`  // records kept alike after the round
}

// kind returns the counts of a kind.
func (r Report) kind(k connectors.Kind) *KindReport {
	if r.Kinds[k] == nil {
		r.Kinds[k] = &KindReport{}
	}
	return r.Kinds[k]
}

// Writes returns how many records and files were created, changed or deleted on
// either side.
func (r Report) Writes() (n int) {
	for _, k := range r.Kinds {
		for i := range 2 {
			n += k.Created[i] + k.Updated[i] + k.Deleted[i] + k.Files[i]
		}
	}
	return n
}
