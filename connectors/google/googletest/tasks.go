package googletest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// tasks answers below /tasks/v1: lists, and the tasks of one. Deleted tasks stay
// known. Whether If-Match counts is not documented: here it does not. A time that is
// before Expire was called is refused as the Calendar API refuses it.
func (s *Server) tasks(r request, parts []string) (any, error) {
	switch {
	case len(parts) == 3 && parts[0] == "users" && parts[1] == "@me" && parts[2] == "lists":
		if r.Method != http.MethodGet {
			return nil, bad("unknown")
		}
		return map[string]any{"kind": "tasks#taskLists", "items": []any{map[string]any{"kind": "tasks#taskList", "id": defaultList, "title": "My Tasks"}}}, r.allow("maxResults", "pageToken")
	case len(parts) < 3 || parts[0] != "lists" || parts[2] != "tasks":
		return nil, bad("unknown")
	case parts[1] != "@default" && parts[1] != defaultList:
		return nil, notFound()
	}
	switch {
	case len(parts) == 3 && r.Method == http.MethodGet:
		return s.listTasks(r)
	case len(parts) == 3 && r.Method == http.MethodPost:
		if err := r.allow("parent", "previous"); err != nil {
			return nil, err
		}
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		s.serial++
		i := &item{id: fmt.Sprintf("MDk%dA_b-", 1_000_000+s.serial), props: map[string]any{"status": "needsAction", "position": fmt.Sprintf("%020d", s.serial)}, born: s.serial}
		if err := s.mergeTask(i.props, in); err != nil {
			return nil, err
		}
		r.a.tasks[i.id] = i
		s.touch(i)
		return i.task(), nil
	case len(parts) != 4:
		return nil, bad("unknown")
	}
	i := r.a.tasks[parts[3]]
	if i == nil {
		return nil, notFound()
	}
	if err := r.allow(); err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		return i.task(), nil
	case http.MethodPatch, http.MethodPut:
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		props := clone(i.props)
		if r.Method == http.MethodPut {
			props = map[string]any{"status": "needsAction", "position": props["position"]}
		}
		if err := s.mergeTask(props, in); err != nil {
			return nil, err
		}
		i.props = props
		s.touch(i)
		return i.task(), nil
	case http.MethodDelete:
		if i.gone {
			return nil, notFound()
		}
		i.gone = true
		s.touch(i)
		return nil, nil
	}
	return nil, bad("unknown")
}

const defaultList = "MDYwMDAwMDAwMDAwMDAwMDAwMDA6MDow"

func (i *item) task() map[string]any {
	out := clone(i.props)
	out["kind"], out["id"], out["etag"], out["updated"] = "tasks#task", i.id, i.etag(), i.updated.Format("2006-01-02T15:04:05.000Z")
	if i.gone {
		out["deleted"] = true
	}
	return out
}

func (s *Server) listTasks(r request) (any, error) {
	if err := r.allow("maxResults", "pageToken", "updatedMin", "showDeleted", "showHidden", "showCompleted", "dueMin", "dueMax", "completedMin", "completedMax", "showAssigned"); err != nil {
		return nil, err
	}
	var since time.Time
	if v := r.q.Get("updatedMin"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			return nil, bad("invalid")
		}
		if since.Before(s.forgot) {
			return nil, &problem{http.StatusGone, "updatedMinTooLongAgo", "FAILED_PRECONDITION"}
		}
	}
	from := 0
	if t := r.q.Get("pageToken"); t != "" {
		var err error
		if from, err = strconv.Atoi(t); err != nil {
			return nil, bad("invalidPageToken")
		}
	}
	var rows []*item
	for _, i := range r.a.tasks {
		switch {
		case i.born <= from || i.updated.Before(since):
		case i.gone && r.q.Get("showDeleted") != "true":
		case i.props["status"] == "completed" && r.q.Get("showCompleted") == "false":
		case i.props["hidden"] == true && r.q.Get("showHidden") != "true":
		default:
			rows = append(rows, i)
		}
	}
	slices.SortFunc(rows, func(a, b *item) int { return a.born - b.born })
	n := s.most(r.q.Get("maxResults"), 100)
	out := map[string]any{"kind": "tasks#tasks", "etag": strconv.Quote(strconv.Itoa(s.serial))}
	var list []any
	for _, i := range rows[:min(n, len(rows))] {
		list = append(list, i.task())
	}
	if list != nil {
		out["items"] = list
	}
	if len(rows) > n {
		out["nextPageToken"] = strconv.Itoa(rows[n-1].born)
	}
	return out, nil
}

// mergeTask applies a patch. Of a due date the time is thrown away.
func (s *Server) mergeTask(props, in map[string]any) error {
	known := []string{"id", "kind", "etag", "title", "notes", "status", "due", "completed", "hidden", "updated", "selfLink", "position", "parent", "links", "webViewLink", "deleted"}
	for k, v := range in {
		switch {
		case !slices.Contains(known, k):
			return bad("unknown")
		case slices.Contains([]string{"id", "kind", "etag", "updated", "selfLink", "position", "webViewLink"}, k): // written by the service only
		case v == nil || v == "":
			delete(props, k)
		default:
			props[k] = v
		}
	}
	if d := text(props["due"]); d != "" {
		t, err := time.Parse(time.RFC3339, d)
		if err != nil {
			return bad("invalid")
		}
		props["due"] = t.UTC().Format(time.DateOnly) + "T00:00:00.000Z"
	}
	switch props["status"] {
	case "completed":
		if props["completed"] == nil {
			props["completed"] = s.o.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		}
	case "needsAction", nil:
		props["status"] = "needsAction"
		delete(props, "completed")
		delete(props, "hidden")
	default:
		return bad("invalid")
	}
	if len([]rune(text(props["title"]))) > 1024 || len([]rune(text(props["notes"]))) > 8192 {
		return bad("invalid")
	}
	return nil
}
