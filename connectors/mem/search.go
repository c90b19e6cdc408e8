package mem

import (
	"context"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var _ connectors.Searcher = driver{}

// searchable are the fields by which records of a kind can be looked for.
func searchable(k connectors.Kind) []connectors.Field {
	switch k.Shape() {
	case connectors.ShapeAccount:
		return []connectors.Field{connectors.FieldName, connectors.FieldEmail}
	case connectors.ShapeContact:
		return slices.DeleteFunc([]connectors.Field{connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3},
			func(f connectors.Field) bool { return !slices.Contains(connectors.Fields(k), f) })
	case connectors.ShapeMail:
		return []connectors.Field{connectors.FieldMessageID}
	}
	return nil
}

// Search implements connectors.Searcher.
func (d driver) Search(ctx context.Context, c connectors.Call, k connectors.Kind, q connectors.Query, limit int) ([]connectors.Hit, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "search", k, nil)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, &connectors.Error{Class: f.Err}
	}
	want := plain(q.Text)
	var out []connectors.Hit
	for id, it := range d.s.kinds[k].items {
		if it.gone {
			continue
		}
		if s := it.rec.Text(q.Field); plain(s) == want || q.Part && strings.Contains(plain(s), want) {
			out = append(out, connectors.Hit{ID: id, Text: s, Created: it.born})
		}
	}
	slices.SortFunc(out, func(a, b connectors.Hit) int { return strings.Compare(a.ID, b.ID) })
	return out[:min(limit, len(out))], nil
}

func plain(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
