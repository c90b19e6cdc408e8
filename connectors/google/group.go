package google

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// group is the one group of contacts that an endpoint is about, where it says so. To
// Google a group is a label, and a contact may have several; here it is the folder.
type group struct {
	name string // "" is all contacts

	mu sync.Mutex
	id string // resource name, "" if it was not looked up yet
}

// in is the resource name of the group, "" for all contacts.
func (g people) in(ctx context.Context) (string, error) {
	if g.group == nil || g.group.name == "" {
		return "", nil
	}
	g.group.mu.Lock()
	defer g.group.mu.Unlock()
	if g.group.id != "" {
		return g.group.id, nil
	}
	q := url.Values{"pageSize": {"1000"}}
	for range maxPages {
		var p struct {
			Groups []struct {
				Resource string `json:"resourceName"`
				Name     string `json:"name"`
			} `json:"contactGroups"`
			Page string `json:"nextPageToken"`
		}
		if err := g.do(ctx, http.MethodGet, "/contactGroups", q, "", nil, &p); err != nil {
			return "", err
		}
		if len(p.Groups) == 0 { // there are always those of the system
			return "", &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
		}
		for _, x := range p.Groups {
			if strings.EqualFold(x.Name, g.group.name) && strings.HasPrefix(x.Resource, "contactGroups/") {
				g.group.id = x.Resource
				return x.Resource, nil
			}
		}
		if p.Page == "" {
			break
		}
		q.Set("pageToken", p.Page)
	}
	return "", &connectors.Error{Class: connectors.ErrInvalid, Detail: "there is no group of contacts of that name"}
}

// fields are what is read of a person.
func (g people) fields(of string) string {
	if g.group != nil && g.group.name != "" {
		of += ",memberships"
	}
	return of
}

// member reports whether a person is in a group; everybody is in "".
func (p *person) member(group string) bool {
	if group == "" {
		return true
	}
	for _, m := range p.Memberships {
		if x, ok := m["contactGroupMembership"].(map[string]any); ok && entry(x).text("contactGroupResourceName") == group {
			return true
		}
	}
	return false
}

// joined is the membership of somebody who is to be in a group.
func joined(group string) []entry {
	if group == "" {
		return nil
	}
	return []entry{{"contactGroupMembership": map[string]any{"contactGroupResourceName": group}}}
}
