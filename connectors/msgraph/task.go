package msgraph

import (
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// A task holds its create key in an open extension of this name ("openTypeExtension
// resource type"): tasks have no extended properties, and of what can be put on
// one only extensions are documented as something to filter by.
const (
	keyExtension = "com.lockkeeper.key"
	openType     = "microsoft.graph.openTypeExtension"
	keyID        = openType + "." + keyExtension
)

func taskCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: maxBatch, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range []connectors.Field{connectors.FieldDescription, connectors.FieldStart, connectors.FieldDue, connectors.FieldStatus, connectors.FieldPriority,
		connectors.FieldReminder, connectors.FieldCategories} { // To Do has neither a percentage nor private tasks
		c.Fields[f] = connectors.Limit{}
	}
	c.Fields[connectors.FieldSubject] = connectors.Limit{Required: true, Runes: 255}
	return c
}

// task is a task as Graph writes it (resource type "todoTask").
type task struct {
	item
	Title      string      `json:"title"`
	Body       body        `json:"body"`
	Importance string      `json:"importance"`
	Status     string      `json:"status"`
	Reminds    bool        `json:"isReminderOn"`
	Reminder   *dateTime   `json:"reminderDateTime"`
	Due        *dateTime   `json:"dueDateTime"`
	Start      *dateTime   `json:"startDateTime"`
	Categories []string    `json:"categories"`
	Extensions []extension `json:"extensions"`
}

type extension struct {
	Type string `json:"@odata.type,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"extensionName"`
	Key  string `json:"key"`
}

// Values that both sides know, in the order of the constants.
func taskStatuses() []string {
	return []string{"notStarted", "inProgress", "completed", "waitingOnOthers", "deferred"}
}
func priorities() []string { return []string{"normal", "high", "low"} }

func readTask(b []byte) (*connectors.Record, error) {
	var v task
	bad := func(f connectors.Field, what string) (*connectors.Record, error) {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Field: f, Detail: what}
	}
	if err := decode(b, &v); err != nil {
		return bad("", "not a task")
	}
	r := connectors.NewRecord(connectors.KindTask)
	r.ID, r.Rev, r.Modified = v.ID, v.ETag, v.Modified
	r.Key = key(v.Extensions)
	r.SetCategories(categories(v.Categories))
	r.SetText(connectors.FieldSubject, v.Title)
	r.SetText(connectors.FieldDescription, plain(v.Body))
	x := r.Task
	for i, s := range taskStatuses() {
		if v.Status == s {
			x.Status = connectors.TaskStatus(i)
		}
	}
	for i, s := range priorities() {
		if v.Importance == s {
			x.Priority = connectors.Priority(i)
		}
	}
	for f, d := range map[connectors.Field]*dateTime{connectors.FieldDue: v.Due, connectors.FieldStart: v.Start} {
		if d == nil {
			continue
		}
		t, ok := d.instant(nil)
		if !ok {
			return bad(f, "not a day")
		}
		r.SetText(f, connectors.FormatDate(nearestDay(t)))
	}
	if v.Reminds && v.Reminder != nil {
		t, ok := v.Reminder.instant(nil)
		if !ok {
			return bad(connectors.FieldReminder, "not a time")
		}
		x.Remind = t
	}
	return r, nil
}

// nearestDay is the day that was meant by a midnight somewhere. To Do keeps days
// as instants, midnight in the zone of whoever wrote them, and does not say in
// which: from Hawaii (10 hours after) to New Zealand (13 before) the nearest day
// is the one that was meant.
func nearestDay(t time.Time) time.Time {
	t = t.UTC()
	if t.Hour() >= 11 {
		t = t.AddDate(0, 0, 1)
	}
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func key(es []extension) string {
	for _, e := range es {
		if e.Name == keyExtension {
			return e.Key
		}
	}
	return ""
}

// writeTask makes the body that gives fields their values.
func writeTask(r *connectors.Record, fields []connectors.Field, _ *item) (map[string]any, error) {
	x := r.Task
	out := map[string]any{}
	unknown := func(f connectors.Field) (map[string]any, error) {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not a value that To Do has"}
	}
	for _, f := range fields {
		switch f {
		case connectors.FieldSubject:
			out["title"] = x.Subject
		case connectors.FieldDescription:
			out["body"] = body{"text", x.Description}
		case connectors.FieldStatus:
			if int(x.Status) >= len(taskStatuses()) {
				return unknown(f)
			}
			out["status"] = taskStatuses()[x.Status]
		case connectors.FieldPriority:
			if int(x.Priority) >= len(priorities()) {
				return unknown(f)
			}
			out["importance"] = priorities()[x.Priority]
		case connectors.FieldCategories:
			out["categories"] = written(r.Categories())
		case connectors.FieldReminder:
			out["isReminderOn"], out["reminderDateTime"] = !x.Remind.IsZero(), nil
			if !x.Remind.IsZero() {
				if x.Remind.Year() > 4500 {
					return unknown(f)
				}
				out["reminderDateTime"] = dateTime{x.Remind.UTC().Format(layout), "UTC"}
			}
		case connectors.FieldDue, connectors.FieldStart:
			name, v := "dueDateTime", x.Due
			if f == connectors.FieldStart {
				name, v = "startDateTime", x.Start
			}
			if out[name] = nil; v == "" {
				continue
			}
			d, ok := connectors.ParseDate(v)
			if !ok || d.Year() > 4500 {
				return unknown(f)
			}
			out[name] = dateTime{d.Format(layout), "UTC"}
		}
	}
	return out, nil
}
