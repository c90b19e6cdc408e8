package connectors

import "time"

// Task is something to do. Its start and due are days, not instants: a task
// that is due on a Friday is due on that Friday everywhere.
type Task struct {
	Subject     string
	Description string // plain text, lines end in LF
	Start       string // YYYY-MM-DD, "" if unknown
	Due         string // YYYY-MM-DD, "" if it has none
	Status      TaskStatus
	Percent     int // done, 0 to 100
	Priority    Priority
	Sensitivity Sensitivity
	Remind      time.Time // when to remind of it; zero: never
}

// TaskStatus is how far a task is. The zero value is not started.
type TaskStatus uint8

// Statuses of tasks.
const (
	NotStarted TaskStatus = iota
	InProgress
	Completed
	WaitingOnOthers
	Deferred
	Dropped // will not be done
)

// Priority is how urgent a task or a mail is. The zero value is normal.
type Priority uint8

// Priorities.
const (
	Normal Priority = iota
	High
	Low
)

// ParseDate reads a date-only text, YYYY-MM-DD, as midnight UTC of that day.
func ParseDate(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil
}

// FormatDate is the inverse of ParseDate; the zero time is "".
func FormatDate(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
