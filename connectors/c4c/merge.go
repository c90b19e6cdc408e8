package c4c

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Two partners that are one person are merged in the CRM: one survives, the other
// becomes obsolete. Whoever knows the other by its id has not lost anybody, so it
// is no deletion: what is read under that id is the survivor, and what is written
// to it goes there. Nothing under that id is ever deleted.

const (
	setMerge  = "BusinessPartnerMergeCollection"
	maxMerges = 5 // one after the other
)

// mergedRev is the revision of a record that is read under the id of one that was
// merged into it.
func mergedRev(survivor, rev string) string { return "merged " + url.QueryEscape(survivor) + " " + rev }

// cutMerged reads what mergedRev wrote.
func cutMerged(rev string) (survivor, its string, ok bool) {
	rest, ok := strings.CutPrefix(rev, "merged ")
	if !ok {
		return "", "", false
	}
	id, its, ok := strings.Cut(rest, " ")
	survivor, err := url.QueryUnescape(id)
	return survivor, its, ok && err == nil && survivor != "" && its != ""
}

// as is a record under another id.
func (e entity) as(id string) (entity, error) {
	survivor, err := e.id()
	if err != nil {
		return nil, err
	}
	name, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(map[string]string{"etag": mergedRev(survivor, e.rev())})
	if err != nil {
		return nil, err
	}
	out := make(entity, len(e))
	for k, v := range e {
		out[k] = v
	}
	out[propID], out["__metadata"] = name, meta
	return out, nil
}

// survivors finds, for those of the obsolete partners that were merged, the
// records that they live on in, by the ids of the merged. It is one request if
// none was.
func (s session) survivors(ctx context.Context, sh shape, obsolete []entity) (map[string]entity, error) {
	out := map[string]entity{}
	if sh.number == "" {
		return out, nil
	}
	now := map[string][]string{} // number to the ids of those who are it by now
	for _, e := range obsolete {
		x := reader{e: e}
		if n, id := x.text(sh.number), x.text(propID); x.err == nil && n != "" {
			now[n] = append(now[n], id)
		}
	}
	for range maxMerges {
		if len(now) == 0 {
			return out, nil
		}
		into := map[string]string{}
		var looks []lookup
		for _, property := range []string{"FirstDuplicateBusinessPartnerID", "SecondDuplicateBusinessPartnerID"} {
			for _, chunk := range chunks(now) {
				looks = append(looks, lookup{setMerge + "?" + query("$filter", anyOf(property, chunk), "$orderby", propID,
					"$select", propID+",MasterBusinessPartnerID,"+property, "$format", "json"), func(e entity) error {
					x := reader{e: e}
					from, to := x.text(property), x.text("MasterBusinessPartnerID")
					if x.err != nil {
						return &connectors.Error{Class: connectors.ErrMalformed, Detail: "merge with a property of another type than its own"}
					}
					if to != "" && to != from {
						into[from] = to
					}
					return nil
				}})
			}
		}
		if err := s.look(ctx, looks); err != nil {
			return nil, err
		}
		next := map[string][]string{}
		for n, ids := range now {
			if to := into[n]; to != "" {
				next[to] = append(next[to], ids...)
			}
		}
		now = map[string][]string{}
		looks = nil
		for _, chunk := range chunks(next) {
			looks = append(looks, lookup{sh.set + "?" + query("$filter", anyOf(sh.number, chunk), "$orderby", propID, "$select", sh.light(), "$format", "json"), func(e entity) error {
				x := reader{e: e}
				n := x.text(sh.number)
				gone, err := sh.gone(e)
				if x.err != nil || err != nil {
					return &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without number or status"}
				}
				for _, id := range next[n] {
					if gone {
						now[n] = append(now[n], id)
					} else {
						out[id] = e
					}
				}
				return nil
			}})
		}
		if err := s.look(ctx, looks); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// chunks are the keys of a map in pieces that fit into a filter.
func chunks(m map[string][]string) [][]string {
	var out [][]string
	for k := range m {
		if n := len(out); n == 0 || len(out[n-1]) == findChunk {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], k)
	}
	return out
}

// follow reads the survivor of a partner that is obsolete, ErrNotFound if it has
// none.
func (s session) follow(ctx context.Context, sh shape, e entity) (entity, error) {
	gone := &connectors.Error{Class: connectors.ErrNotFound, Detail: "obsolete"}
	id, err := e.id()
	if err != nil {
		return nil, gone
	}
	found, err := s.survivors(ctx, sh, []entity{e})
	if err != nil {
		return nil, err
	}
	light := found[id]
	if light == nil {
		return nil, gone
	}
	survivor, err := light.id()
	if err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
	}
	full, err := s.one(ctx, sh, survivor, nil, 0)
	if err != nil {
		return nil, err
	}
	if again, err := sh.gone(full); err != nil || again {
		return nil, gone
	}
	if full, err = full.as(id); err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
	}
	return full, nil
}
