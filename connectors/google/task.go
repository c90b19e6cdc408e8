package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

func taskCapability() connectors.Capability {
	return connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: 50, NoKey: true, Fields: map[connectors.Field]connectors.Limit{
		connectors.FieldSubject: {Runes: 1024}, connectors.FieldDescription: {Runes: 8192}, // "Resource: Task"
		connectors.FieldDue: {}, connectors.FieldStatus: {},
	}}
}

// tasks are one list of the Tasks API, v1. A task has no room for a key of ours, and
// no history but the time of its last change.
type tasks struct {
	service
	now func() time.Time
}

// task is a task as Google writes it (resource "Task"). Its due is a day, written as
// an instant whose time says nothing.
type task struct {
	ID      string    `json:"id"`
	ETag    string    `json:"etag"`
	Title   string    `json:"title"`
	Notes   string    `json:"notes"`
	Status  string    `json:"status"`
	Due     string    `json:"due"`
	Updated time.Time `json:"updated"`
	Deleted bool      `json:"deleted"`
}

// What a task can be.
const (
	todo = "needsAction"
	done = "completed"
)

func isTaskID(s string) bool {
	return word(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

// Reading by the time of the last change. What happens while pages are read, and
// what the service shows only a little later, is read again.
const (
	overlap   = time.Minute
	longest   = 14 * 24 * time.Hour // after that nobody says that deletions are still told
	tasksPage = 100
)

// taskToken is where a reading of tasks goes on.
type taskToken struct {
	Since time.Time `json:"u,omitzero"` // changes from here on
	Page  string    `json:"p,omitempty"`
	Next  time.Time `json:"n,omitzero"` // changes from here on are for the next reading
}

type taskList struct {
	Kind  string `json:"kind"`
	Items []task `json:"items"`
	Page  string `json:"nextPageToken"`
}

func (g tasks) changes(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	var t taskToken
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &t); err != nil || t.Since.IsZero() && (t.Next.IsZero() || t.Page == "") {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
		}
		if !t.Since.IsZero() && g.now().Sub(t.Since) > longest {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "too old for deletions to be told"}
		}
	}
	q := url.Values{"maxResults": {strconv.Itoa(min(limit, tasksPage))}, "showCompleted": {"true"}, "showHidden": {"true"}, "showDeleted": {strconv.FormatBool(!t.Since.IsZero())}}
	if !t.Since.IsZero() {
		q.Set("updatedMin", t.Since.Format(time.RFC3339))
	}
	if t.Page != "" {
		q.Set("pageToken", t.Page)
	}
	p, at, err := g.page(ctx, q)
	if err != nil {
		return connectors.Page{}, err
	}
	if t.Next.IsZero() {
		t.Next = at.Add(-overlap).UTC().Truncate(time.Second)
	}
	if t.Page = p.Page; t.Page == "" {
		t = taskToken{Since: t.Next}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "cursor"}
	}
	out := connectors.Page{Cursor: string(b), More: t.Page != ""}
	for _, v := range p.Items {
		switch {
		case v.ID == "" || v.ETag == "" && !v.Deleted:
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "task without id"}
		case v.Deleted:
			out.Changes = append(out.Changes, connectors.Change{ID: v.ID, Gone: true})
		default:
			out.Changes = append(out.Changes, connectors.Change{ID: v.ID, Rev: v.ETag, Modified: v.Updated, Record: v.record()})
		}
	}
	return out, nil
}

// page reads a page of the list, and what the service's clock says.
func (g tasks) page(ctx context.Context, q url.Values) (taskList, time.Time, error) {
	var p taskList
	h, err := g.exchange(ctx, http.MethodGet, "/tasks", q, "", nil, &p)
	if err == nil && p.Kind != "tasks#tasks" {
		err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	at, bad := http.ParseTime(h.Get("Date"))
	if bad != nil {
		at = g.now()
	}
	return p, at, err
}

func (g tasks) one(ctx context.Context, id string) (*task, error) {
	if !isTaskID(id) {
		return nil, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	var v task
	if err := g.do(ctx, http.MethodGet, "/tasks/"+id, nil, "", nil, &v); err != nil {
		return nil, named(err, id)
	}
	switch {
	case v.ID != id || v.ETag == "":
		return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "another task than asked for"}
	case v.Deleted: // Google goes on to know what was deleted
		return nil, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	return &v, nil
}

func (g tasks) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		v, err := g.one(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			out[i].Err = err
			continue
		}
		out[i].Record = v.record()
	}
	return out, nil
}

// find finds nothing: no task carries a key.
func (g tasks) find(context.Context, []string) (map[string][]connectors.Change, error) {
	return map[string][]connectors.Change{}, nil
}

func (g tasks) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	q := url.Values{"maxResults": {strconv.Itoa(min(limit, tasksPage))}, "showCompleted": {"true"}, "showHidden": {"true"}, "fields": {"kind,items(id,deleted),nextPageToken"}}
	if after != "" {
		q.Set("pageToken", after)
	}
	p, _, err := g.page(ctx, q)
	if err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{Next: p.Page}
	for _, v := range p.Items {
		if !v.Deleted {
			out.IDs = append(out.IDs, v.ID)
		}
	}
	return out, nil
}

func (g tasks) create(ctx context.Context, d connectors.Draft) connectors.Written {
	if err := taskCapability().Fit(d.Record, connectors.Fields(connectors.KindTask)); err != nil {
		return connectors.Written{Err: err}
	}
	body, err := taskBody(d.Record.Task, connectors.Fields(connectors.KindTask), nil)
	if err != nil {
		return connectors.Written{Err: err}
	}
	return g.send(ctx, http.MethodPost, "/tasks", "", "", body)
}

func (g tasks) send(ctx context.Context, method, path, id, match string, body map[string]any) connectors.Written {
	var v task
	if err := g.do(ctx, method, path, nil, match, body, &v); err != nil {
		return connectors.Written{ID: id, Err: named(err, id)}
	}
	if v.ID == "" || v.ETag == "" || id != "" && v.ID != id {
		return connectors.Written{ID: id, Err: &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: id, Detail: "answer to a write"}}
	}
	return connectors.Written{ID: v.ID, Rev: v.ETag, Modified: v.Updated}
}

// current reads a task as it was last seen, or says that it changed. Whether Google
// minds If-Match here is not documented: it is sent, and this is what holds.
func (g tasks) current(ctx context.Context, id, rev string) (*task, error) {
	v, err := g.one(ctx, id)
	switch {
	case err != nil:
		return nil, remote.Unsent(err)
	case v.ETag != rev:
		return nil, &connectors.Error{Class: connectors.ErrPrecondition, ID: id}
	}
	return v, nil
}

func (g tasks) update(ctx context.Context, e connectors.Edit) connectors.Written {
	if err := writable(taskCapability(), e); err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	now, err := g.current(ctx, e.ID, e.Rev)
	if err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	body, err := taskBody(e.Record.Task, e.Fields, now)
	if err != nil {
		return connectors.Written{ID: e.ID, Err: named(err, e.ID)}
	}
	return g.send(ctx, http.MethodPatch, "/tasks/"+e.ID, e.ID, e.Rev, body)
}

func (g tasks) remove(ctx context.Context, t connectors.Target) connectors.Written {
	w := connectors.Written{ID: t.ID}
	if _, err := g.current(ctx, t.ID, t.Rev); err != nil {
		if !errors.Is(err, connectors.ErrNotFound) {
			w.Err = err
		}
		return w
	}
	err := g.do(ctx, http.MethodDelete, "/tasks/"+t.ID, nil, t.Rev, nil, nil)
	if err != nil && !errors.Is(err, connectors.ErrNotFound) && !errors.Is(err, connectors.ErrCursorExpired) { // 410: deleted already
		w.Err = named(err, t.ID)
	}
	return w
}

// record reads a task.
func (v *task) record() *connectors.Record {
	r := connectors.NewRecord(connectors.KindTask)
	r.ID, r.Rev, r.Modified = v.ID, v.ETag, v.Updated
	r.SetText(connectors.FieldSubject, v.Title)
	r.SetText(connectors.FieldDescription, v.Notes)
	if len(v.Due) >= len(time.DateOnly) {
		if d, ok := connectors.ParseDate(v.Due[:len(time.DateOnly)]); ok { // whatever its time and zone say
			r.SetText(connectors.FieldDue, connectors.FormatDate(d))
		}
	}
	if v.Status == done {
		r.Task.Status = connectors.Completed
	}
	return r
}

// taskBody makes what gives fields their values. A task that is done is done and any
// other is not: in progress, waiting and deferred are all to be done here, and what
// was dropped is as good as done.
func taskBody(t *connectors.Task, fields []connectors.Field, now *task) (map[string]any, error) {
	out := map[string]any{}
	for _, f := range fields {
		switch f {
		case connectors.FieldSubject:
			out["title"] = t.Subject
		case connectors.FieldDescription:
			out["notes"] = t.Description
		case connectors.FieldDue:
			out["due"] = nil
			if t.Due != "" {
				d, ok := connectors.ParseDate(t.Due)
				if !ok {
					return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not a date"}
				}
				out["due"] = d.Format(time.RFC3339)
			}
		case connectors.FieldStatus:
			want := todo
			if t.Status == connectors.Completed || t.Status == connectors.Dropped {
				want = done
			}
			if now != nil && now.Status == want {
				continue
			}
			out["status"] = want
			if want == todo {
				out["completed"] = nil
			}
		}
	}
	return out, nil
}
