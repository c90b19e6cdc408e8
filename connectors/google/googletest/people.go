package googletest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func lists() []string {
	return []string{"names", "nicknames", "organizations", "emailAddresses", "phoneNumbers", "addresses", "birthdays", "urls", "biographies", "clientData", "relations", "events", "memberships"}
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
	case path == "contactGroups" || strings.HasPrefix(path, "contactGroups/"):
		return s.contactGroups(r, strings.TrimPrefix(strings.TrimPrefix(path, "contactGroups"), "/"))
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
		if i.props["memberships"] == nil {
			i.props["memberships"] = []any{membership("myContacts")}
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

func membership(group string) map[string]any {
	return map[string]any{"contactGroupMembership": map[string]any{"contactGroupId": group, "contactGroupResourceName": "contactGroups/" + group}}
}

// contactGroups answers for the groups of contacts.
func (s *Server) contactGroups(r request, rest string) (any, error) {
	group := func(id, name, kind string) map[string]any {
		return map[string]any{"resourceName": "contactGroups/" + id, "name": name, "formattedName": name, "groupType": kind}
	}
	id, verb, _ := strings.Cut(rest, "/")
	switch {
	case rest == "" && r.Method == http.MethodGet:
		list := []any{group("myContacts", "myContacts", "SYSTEM_CONTACT_GROUP"), group("starred", "starred", "SYSTEM_CONTACT_GROUP")}
		for id, n := range r.a.groups {
			list = append(list, group(id, n, "USER_CONTACT_GROUP"))
		}
		return map[string]any{"contactGroups": list, "totalItems": len(list)}, r.allow("pageSize", "pageToken", "syncToken", "groupFields")
	case rest == "" && r.Method == http.MethodPost:
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		g, _ := in["contactGroup"].(map[string]any)
		if text(g["name"]) == "" {
			return nil, bad("invalid")
		}
		id := s.newID("4b")
		r.a.groups[id] = text(g["name"])
		return group(id, text(g["name"]), "USER_CONTACT_GROUP"), r.allow("readGroupFields")
	case verb == "members:modify" && r.Method == http.MethodPost && r.a.groups[id] != "":
		in, err := r.body()
		if err != nil {
			return nil, err
		}
		for key, on := range map[string]bool{"resourceNamesToAdd": true, "resourceNamesToRemove": false} {
			names, _ := in[key].([]any)
			for _, n := range names {
				i := r.a.people[strings.TrimPrefix(text(n), "people/")]
				if i == nil || i.gone {
					return nil, notFound()
				}
				list, _ := i.props["memberships"].([]any)
				list = slices.DeleteFunc(slices.Clone(list), func(x any) bool {
					m, _ := x.(map[string]any)
					m, _ = m["contactGroupMembership"].(map[string]any)
					return text(m["contactGroupResourceName"]) == "contactGroups/"+id
				})
				if on {
					list = append(list, membership(id))
				}
				i.props["memberships"] = list
				s.touch(i)
			}
		}
		return map[string]any{}, r.allow()
	}
	return nil, bad("unknown")
}
