package gormstore

import (
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// columns are those of an assignment, in the order of appendRow and parser.row.
// What most assignments have none of is in the last, which for those is empty:
// a column costs whoever loads a million rows more than it says.
func columns() []string {
	return []string{"id", "principal", "role", "resource", "effect", "granted_by", "terms"}
}

// appendRow appends the values of columns.
func appendRow(args []any, x authz.Authorization) []any {
	return append(args, x.ID.String(), x.Principal.String(), x.Role.String(), x.Resource.String(), int64(x.Effect), x.GrantedBy.String(), terms(x))
}

// terms writes when and under what an assignment holds and why it was made. No
// name holds a control character. Free text may: the first comes with its length.
func terms(x authz.Authorization) string {
	if x.From.IsZero() && x.Until.IsZero() && !x.Pending && x.ApprovedBy.IsZero() && x.Reason == "" && x.Condition == "" {
		return ""
	}
	const us = "\x1f"
	return strings.Join([]string{stamp(x.From), stamp(x.Until), flag(x.Pending), x.ApprovedBy.String(), strconv.Itoa(len(x.Reason)), x.Reason}, us) + x.Condition
}

// stamp writes a time to the nanosecond, which no type of both databases does;
// no time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
