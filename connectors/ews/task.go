package ews

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

func taskCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: batch, Fields: map[connectors.Field]connectors.Limit{}, Attachments: files()}
	for _, f := range connectors.Fields(connectors.KindTask) {
		c.Fields[f] = connectors.Limit{}
	}
	c.Fields[connectors.FieldSubject] = connectors.Limit{Runes: 255}
	return c
}

// A task that will not be done is a deferred one to the protocol. This says that
// it is more than that.
const (
	droppedName = "LockkeeperDropped"
	droppedURI  = `<t:ExtendedFieldURI PropertySetId="` + keySet + `" PropertyName="` + droppedName + `" PropertyType="String"/>`
	taskExtra   = `<t:FieldURI FieldURI="item:LastModifiedTime"/>` + filesURI
)

func taskStatuses() []string {
	return []string{"NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred", "Deferred"}
}

// taskProperties are the mapped properties in the order of the schema. The status
// comes after the percentage there, and what comes last wins ("Status").
func taskProperties() []property {
	day := func(f connectors.Field, path, name string) property {
		return property{field: f, path: path, value: func(r *connectors.Record) string {
			if r.Text(f) == "" {
				return ""
			}
			return tagged(name, r.Text(f)+"T00:00:00Z")
		}}
	}
	return []property{
		element(connectors.FieldSubject, "item:Subject", "Subject"),
		sensitivityProperty(func(r *connectors.Record) connectors.Sensitivity { return r.Task.Sensitivity }),
		bodyProperty(connectors.FieldDescription),
		categoriesProperty(),
		{field: connectors.FieldPriority, path: "item:Importance", value: func(r *connectors.Record) string {
			return tagged("Importance", pick(importances(), int(r.Task.Priority)))
		}},
		{field: connectors.FieldReminder, path: "item:ReminderDueBy", keep: true, value: func(r *connectors.Record) string {
			if r.Task.Remind.IsZero() {
				return ""
			}
			return tagged("ReminderDueBy", r.Task.Remind.UTC().Format(instant))
		}},
		{field: connectors.FieldReminder, path: "item:ReminderIsSet", value: func(r *connectors.Record) string {
			return tagged("ReminderIsSet", yes(!r.Task.Remind.IsZero()))
		}},
		extended(connectors.FieldStatus, droppedURI, func(r *connectors.Record) string {
			if r.Task.Status == connectors.Dropped {
				return "true"
			}
			return ""
		}),
		day(connectors.FieldDue, "task:DueDate", "DueDate"),
		{field: connectors.FieldPercent, path: "task:PercentComplete", value: func(r *connectors.Record) string {
			return tagged("PercentComplete", strconv.Itoa(min(max(r.Task.Percent, 0), 100)))
		}},
		day(connectors.FieldStart, "task:StartDate", "StartDate"),
		{field: connectors.FieldStatus, path: "task:Status", value: func(r *connectors.Record) string {
			return tagged("Status", pick(taskStatuses(), int(r.Task.Status)))
		}},
	}
}

type task struct {
	Due     string `xml:"DueDate"`
	Begin   string `xml:"StartDate"`
	Percent string `xml:"PercentComplete"`
	Status  string `xml:"Status"`
}

func readTask(it *item, _ *zone.Book) (*connectors.Record, error) {
	r := connectors.NewRecord(connectors.KindTask)
	t := r.Task
	r.SetText(connectors.FieldSubject, it.Subject)
	r.SetText(connectors.FieldDescription, it.plain())
	t.Start, t.Due = midnight(it.Begin), midnight(it.Due)
	t.Status = index[connectors.TaskStatus](taskStatuses(), it.Status)
	if t.Status == connectors.Deferred && it.own(droppedName) == "true" {
		t.Status = connectors.Dropped
	}
	if p, err := strconv.ParseFloat(strings.TrimSpace(it.Percent), 64); err == nil && p >= 0 && p <= 100 {
		t.Percent = int(math.Round(p))
	}
	t.Priority = index[connectors.Priority](importances(), it.Importance)
	t.Sensitivity = it.sensitivity()
	if at, err := time.Parse(time.RFC3339, it.ReminderDue); err == nil && it.ReminderSet {
		t.Remind = at.UTC()
	}
	r.SetCategories(it.categories())
	return r, nil
}

// midnight is the day that a task's date means: dates are kept as midnight of
// somewhere, and the nearest midnight is the one that was meant.
func midnight(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return ""
	}
	return t.UTC().Add(12 * time.Hour).Format(time.DateOnly)
}
