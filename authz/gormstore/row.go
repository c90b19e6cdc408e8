package gormstore

import (
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// columns are those of an assignment, in the order of appendRow and parseRow:
// names and numbers first, then free text.
func columns() []string {
	return []string{"id", "principal", "role", "resource", "effect", "starts", "ends", "granted_by", "pending", "approved_by", "reason", "condition"}
}

// appendRow appends the values of columns.
func appendRow(args []any, x authz.Authorization) []any {
	return append(args, x.ID.String(), x.Principal.String(), x.Role.String(), x.Resource.String(), int64(x.Effect), stamp(x.From), stamp(x.Until),
		x.GrantedBy.String(), flag(x.Pending), x.ApprovedBy.String(), x.Reason, x.Condition)
}

// stamp writes a time to the nanosecond, which no type of both databases does;
// no time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
