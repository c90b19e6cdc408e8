package c4c

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// metadata is what the description of a service ("$metadata", OData V2 CSDL) says
// about its entity sets: their properties and navigations.
type metadata map[string]map[string]bool

// parseMetadata reads a description.
func parseMetadata(b []byte) (metadata, error) {
	type named struct {
		Name string `xml:"Name,attr"`
	}
	var doc struct {
		Schemas []struct {
			Types []struct {
				Name        string  `xml:"Name,attr"`
				Properties  []named `xml:"Property"`
				Navigations []named `xml:"NavigationProperty"`
			} `xml:"EntityType"`
			Sets []struct {
				Name string `xml:"Name,attr"`
				Type string `xml:"EntityType,attr"`
			} `xml:"EntityContainer>EntitySet"`
			Namespace string `xml:"Namespace,attr"`
		} `xml:"DataServices>Schema"`
	}
	if err := xml.NewDecoder(bytes.NewReader(b)).Decode(&doc); err != nil {
		return nil, errShape
	}
	types := map[string]map[string]bool{}
	for _, s := range doc.Schemas {
		for _, t := range s.Types {
			has := map[string]bool{}
			for _, p := range slices.Concat(t.Properties, t.Navigations) {
				has[p.Name] = true
			}
			types[s.Namespace+"."+t.Name] = has
		}
	}
	m := metadata{}
	for _, s := range doc.Schemas {
		for _, set := range s.Sets {
			if has := types[set.Type]; has != nil {
				m[set.Name] = has
			}
		}
	}
	if len(m) == 0 {
		return nil, errShape
	}
	return m, nil
}

// lacks says what of a kind a service does not have, and the field that it is
// about, "" if it is about none in particular.
func (m metadata) lacks(s shape) (f connectors.Field, what string) {
	has := m[s.set]
	if has == nil {
		return "", "the tenant's service has no entity set " + s.set
	}
	for _, c := range s.columns {
		if !has[c.name] {
			return c.field, "the tenant's service has no property " + s.set + "/" + c.name
		}
	}
	for _, name := range slices.Concat(s.own(), s.expand(false)) {
		if !has[name] {
			return "", "the tenant's service has no property " + s.set + "/" + name
		}
	}
	below := []string{}
	for _, p := range s.people {
		below = append(below, p.set)
	}
	if s.text != nil {
		below = append(below, s.text.set)
	}
	if s.files != nil {
		below = append(below, s.files.set)
	}
	for _, set := range below {
		if m[set] == nil {
			return "", "the tenant's service has no entity set " + set
		}
	}
	return "", ""
}

// explain finds out, from the description of the service, what a tenant lacks
// that refuses to list a kind at all, and says so instead. A description that
// cannot be read leaves the refusal as it is.
func (s session) explain(ctx context.Context, sh shape, refusal error) error {
	switch {
	case errors.Is(refusal, connectors.ErrForbidden):
		return withDetail(refusal, "", "the connection's user has no right to read "+sh.set)
	case !errors.Is(refusal, connectors.ErrInvalid) && !errors.Is(refusal, connectors.ErrNotFound):
		return refusal
	}
	resp, err := s.do(ctx, remote.Request{Method: http.MethodGet, URL: s.url("$metadata"), Header: http.Header{"Accept": {"application/xml"}}, Repeat: true}, s.d.passes.get())
	if err != nil || resp.Err(false) != nil {
		return refusal
	}
	m, err := parseMetadata(resp.Body)
	if err != nil {
		return refusal
	}
	f, what := m.lacks(sh)
	if what == "" {
		return refusal
	}
	return withDetail(refusal, f, what)
}

func withDetail(err error, f connectors.Field, detail string) error {
	var e *connectors.Error
	if !errors.As(err, &e) {
		return err
	}
	v := *e
	v.Field, v.Detail = f, detail
	return &v
}
