package google

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
)

func taskOf(subject, due string, s connectors.TaskStatus) *connectors.Record {
	r := connectors.NewRecord(connectors.KindTask)
	r.Task.Subject, r.Task.Due, r.Task.Status = subject, due, s
	return r
}

// feature: F12, a day stays that day, and a status stays as near as Google has it.
func TestTasks(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	for s, want := range map[connectors.TaskStatus]connectors.TaskStatus{connectors.NotStarted: connectors.NotStarted, connectors.InProgress: connectors.NotStarted,
		connectors.WaitingOnOthers: connectors.NotStarted, connectors.Deferred: connectors.NotStarted, connectors.Completed: connectors.Completed, connectors.Dropped: connectors.Completed} {
		ws, err := w.conn.Create(t.Context(), connectors.KindTask, []connectors.Draft{{Record: taskOf("call", "2026-07-01", s), Key: "k"}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err)
		rs, err := w.conn.Get(t.Context(), connectors.KindTask, []string{ws[0].ID})
		require.NoError(t, err)
		assert.Equal(t, want, rs[0].Record.Task.Status)
		assert.Equal(t, "2026-07-01", rs[0].Record.Task.Due)
	}
	// Whatever a client writes beside the day.
	made := w.other("POST", "/tasks/v1/lists/@default/tasks", map[string]any{"title": "x", "due": "2026-07-01T23:30:00Z", "notes": "a\nb"})
	rs, err := w.conn.Get(t.Context(), connectors.KindTask, []string{made["id"].(string)})
	require.NoError(t, err)
	assert.Equal(t, connectors.Task{Subject: "x", Due: "2026-07-01", Description: "a\nb"}, *rs[0].Record.Task)
}

// What a task holds beyond what is mapped stays in it, and what is in progress here
// does not become done or undone by another field.
func TestTasksKeepWhatIsNotMapped(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	parent := w.other("POST", "/tasks/v1/lists/@default/tasks", map[string]any{"title": "whole"})["id"]
	made := w.other("POST", "/tasks/v1/lists/@default/tasks", map[string]any{"title": "x", "notes": "n", "parent": parent, "links": []any{map[string]any{"type": "email", "link": "https://x"}}, "due": "2026-07-01T00:00:00Z"})
	id := made["id"].(string)
	rs, err := w.conn.Get(t.Context(), connectors.KindTask, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	r.Task.Subject, r.Task.Due = "y", ""
	ws, err := w.conn.Update(t.Context(), connectors.KindTask, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldSubject, connectors.FieldDue, connectors.FieldStatus}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other("GET", "/tasks/v1/lists/@default/tasks/"+id, nil)
	assert.Equal(t, "y", got["title"])
	assert.Nil(t, got["due"])
	for _, k := range []string{"notes", "parent", "links", "status", "position"} {
		assert.Equal(t, made[k], got[k], k)
	}
}

// fault: F30, a create whose answer is lost cannot be found again: it has no key, and
// says that it is not known whether it happened.
func TestTasksHaveNoKey(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	c, _ := w.conn.Capability(connectors.KindTask)
	require.True(t, c.NoKey)
	w.meet(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.g.ServeHTTP(rw, r)
			panic(http.ErrAbortHandler)
		}
		return false
	})
	ws, err := w.conn.Create(t.Context(), connectors.KindTask, []connectors.Draft{{Record: taskOf("call", "", 0), Key: "k"}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrUnknownOutcome)
	w.meet(nil)
	ids, err := w.conn.List(t.Context(), connectors.KindTask, "", 0)
	require.NoError(t, err)
	require.Len(t, ids.IDs, 1)
	found, err := w.conn.Find(t.Context(), connectors.KindTask, []string{"k"})
	require.NoError(t, err)
	require.Empty(t, found)
}

// fault: F36, F38, a reading goes on by the service's clock, and one that is too old
// for deletions to be told begins anew.
func TestTasksByTime(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	g := tasks{now: func() time.Time { return at }}
	for _, bad := range []string{`{"u":"2026-06-01T00:00:00Z"}`, `{"n":"2026-06-30T00:00:00Z"}`, `{"p":"x"}`, `[]`} {
		_, err := g.changes(t.Context(), bad, 10)
		require.ErrorIs(t, err, connectors.ErrCursorExpired, bad)
	}
	w := newWorld(t, googletest.Options{Now: func() time.Time { return at }})
	w.other("POST", "/tasks/v1/lists/@default/tasks", map[string]any{"title": "x"})
	w.meet(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Date", at.Add(3*time.Hour).Format(http.TimeFormat))
		return false
	})
	cs, cursor := w.all(connectors.KindTask, "")
	require.Len(t, cs, 1)
	var token taskToken
	require.NoError(t, json.Unmarshal([]byte(cursor), &token))
	require.Equal(t, at.Add(3*time.Hour-overlap), token.Since)
	asks, _ := w.asked()
	require.NotContains(t, strings.Join(asks, " "), "updatedMin")
}

// fuzz: whatever a list holds, a task is read.
func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"id":"a","etag":"\"1\"","title":"t","notes":"n","status":"completed","due":"2026-07-01T00:00:00.000Z","updated":"2026-07-01T00:00:00.000Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v task
		if json.Unmarshal(b, &v) != nil {
			return
		}
		r := v.record()
		for _, field := range connectors.Fields(connectors.KindTask) {
			require.Equal(t, connectors.NormalizeText(field, r.Text(field)), r.Text(field), field)
		}
		if _, err := taskBody(r.Task, connectors.Fields(connectors.KindTask), nil); err != nil {
			t.Fatal(err)
		}
	})
}
