package googletest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func lists() []string {
	return []string{"names", "nicknames", "organizations", "emailAddresses", "phoneNumbers", "addresses", "birthdays", "urls", "biographies", "clientData", "relations", "events"}
}

func (s *Server) people(r request, path string) (any, error) {
	mask := func(param string) ([]string, error) {
		fields := strings.Split(r.q.Get(param), ",")
		for _, f := range fields {
			if f != "metadata" && !slices.Contains(lists(), f) {
				return nil, bad("invalidMask")
			}
		}
		return fields, nil
	}
	switch {
	case path == "people/me/connections" && r.Method == http.MethodGet:
		if err := r.allow("personFields", "sources", "pageSize", "pageToken", "syncToken", "requestSyncToken", "sortOrder"); err != nil {
			return nil, err
		}
		fields, err := mask("personFields")
		if err != nil {
			return nil, err
		}
		rows, page, next, err := s.list(r, r.a.people, "pageSize", "EXPIRED_SYNC_TOKEN", http.StatusBadRequest, func(i *item) any { return i.person(fields) })
		if err != nil {
			return nil, err
		}
		out := map[string]any{"connections": rows}
		if page != "" {
			out["nextPageToken"] = page
		} else if r.q.Get("requestSyncToken") == "true" || r.q.Get("syncToken") != "" {
			out["nextSyncToken"] = next
		}
		return out, nil
	case path == "people:batchGet" && r.Method == http.MethodGet:
		if err := r.allow("personFields", "sources", "resourceNames"); err != nil {
			return nil, err
		}
		fields, err := mask("personFields")
		if err != nil || len(r.q["resourceNames"]) > 200 {
			return nil, bad("invalidMask")
		}
		out := []any{}
		for _, n := range r.q["resourceNames"] {
			i := r.a.people[strings.TrimPrefix(n, "people/")]
			if i == nil || i.gone {
				out = append(out, map[string]any{"requestedResourceName": n, "httpStatusCode": 404, "status": map[string]any{"code": 5}})
				continue
			}
			out = append(out, map[string]any{"requestedResourceName": n, "httpStatusCode": 200, "person": i.person(fields)})
		}
		return map[string]any{"responses": out}, nil
	case path == "people:createContact" && r.Method == http.MethodPost:
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		fields, err := mask("personFields")
		if err != nil {
			return nil, err
		}
		i := &item{id: s.newID("c"), props: map[string]any{}}
		for k, v := range in {
			if !slices.Contains(lists(), k) {
				return nil, bad("unknown")
			}
			i.props[k] = v
		}
		if err := personRules(i.props); err != nil {
			return nil, err
		}
		r.a.people[i.id] = i
		s.touch(i)
		return i.person(fields), nil
	}
	name, verb, _ := strings.Cut(path, ":")
	i := r.a.people[strings.TrimPrefix(name, "people/")]
	if !strings.HasPrefix(name, "people/c") {
		return nil, bad("unknown")
	}
	if i == nil || i.gone {
		return nil, notFound()
	}
	switch {
	case verb == "" && r.Method == http.MethodGet:
		fields, err := mask("personFields")
		if err != nil {
			return nil, err
		}
		return i.person(fields), nil
	case verb == "updateContact" && r.Method == http.MethodPatch:
		return s.updateContact(r, i, mask)
	case verb == "deleteContact" && r.Method == http.MethodDelete:
		i.gone = true
		s.touch(i)
		return map[string]any{}, r.allow()
	}
	return nil, bad("unknown")
}

func (s *Server) updateContact(r request, i *item, mask func(string) ([]string, error)) (any, error) {
	if err := r.allow("updatePersonFields", "personFields", "sources"); err != nil {
		return nil, err
	}
	in, err := r.body()
	if err != nil {
		return nil, err
	}
	fields, err := mask("updatePersonFields")
	if err != nil {
		return nil, err
	}
	answer, err := mask("personFields")
	if err != nil {
		return nil, err
	}
	meta, _ := in["metadata"].(map[string]any)
	sources, _ := meta["sources"].([]any)
	current := false
	for _, x := range sources {
		m, _ := x.(map[string]any)
		current = current || text(m["type"]) == "CONTACT" && text(m["etag"]) == i.etag()
	}
	if !current {
		return nil, &problem{http.StatusBadRequest, "failedPrecondition", "FAILED_PRECONDITION"}
	}
	props := clone(i.props)
	for _, f := range fields {
		if v, ok := in[f]; ok {
			props[f] = v
		} else {
			delete(props, f)
		}
	}
	if err := personRules(props); err != nil {
		return nil, err
	}
	i.props = props
	s.touch(i)
	return i.person(answer), nil
}

// personRules are what Google asks of a contact: one name, one note, one birthday,
// and no entry without a value.
func personRules(props map[string]any) error {
	for _, one := range []string{"names", "biographies", "birthdays"} {
		if l, ok := props[one].([]any); ok && len(l) > 1 {
			return bad("multipleSingletons")
		}
	}
	for _, l := range []string{"emailAddresses", "phoneNumbers", "urls", "nicknames"} {
		list, _ := props[l].([]any)
		for _, x := range list {
			if m, ok := x.(map[string]any); !ok || text(m["value"]) == "" {
				return bad("invalid")
			}
		}
	}
	return nil
}

// person is a contact as an answer has it, with the lists that were asked for.
func (i *item) person(fields []string) map[string]any {
	src := map[string]any{"type": "CONTACT", "id": i.id[1:], "etag": i.etag(), "updateTime": i.updated.Format(time.RFC3339Nano)}
	out := map[string]any{"resourceName": "people/" + i.id, "etag": "%" + i.id + strings.Join(fields, ".")}
	if i.gone {
		out["metadata"] = map[string]any{"deleted": true, "objectType": "PERSON", "sources": []any{src}}
		return out
	}
	for _, f := range fields {
		if f == "metadata" {
			out["metadata"] = map[string]any{"objectType": "PERSON", "sources": []any{src}}
		} else if v, ok := i.props[f]; ok {
			out[f] = v
		}
	}
	return out
}
