package connectors

import (
	"context"
	"slices"
	"time"
)

// Query looks for records by what a text field says. Case, and how much white
// space there is, make no difference. Formatting one shows the field only.
type Query struct {
	Field Field
	Text  string
	Part  bool // the field has Text somewhere in it; else it says Text and nothing else
}

// Hit is a record that a Query found. Formatting one shows its id only.
type Hit struct {
	ID      string
	Text    string    // what the field says
	Created time.Time // zero if the system does not say
}

// MaxHits is how many records a Search gives at most.
const MaxHits = 50

// Searcher is what a Driver implements beside its other verbs when its
// capabilities list fields to search by.
type Searcher interface {
	// Search returns at most limit records, in any order.
	Search(ctx context.Context, c Call, k Kind, q Query, limit int) ([]Hit, error)
}

// Search looks for records by what a text field says; see Query. It gives at most
// MaxHits. Needs items.read. A field that the capability does not list is
// ErrUnsupported.
func (c *Conn) Search(ctx context.Context, k Kind, q Query) ([]Hit, error) {
	const op = "search"
	call, err := c.begin(ctx, op, k, read)
	if err != nil {
		return nil, err
	}
	defer call.end()
	v, _ := c.Capability(k)
	d, ok := c.driver.(Searcher)
	if !ok || !v.Searches(q.Field) {
		return nil, &Error{Plugin: c.plugin.name, Op: op, Kind: k, Field: q.Field, Class: ErrUnsupported}
	}
	if q.Text == "" || len(q.Text) > MaxQuery {
		return nil, c.invalid(op, k, "empty or over-long text")
	}
	hits, err := d.Search(ctx, call, k, q, MaxHits)
	if err != nil {
		return nil, c.wrap(op, k, err)
	}
	if len(hits) > MaxHits {
		return nil, c.malformed(op, k, "more records than asked for")
	}
	for _, h := range hits {
		if err := c.sane(op, k, h.ID, "", nil); err != nil {
			return nil, err
		}
	}
	return hits, nil
}

// MaxQuery is the longest text to search for, in bytes.
const MaxQuery = 4 << 10

// Searches reports whether records can be looked for by a field.
func (c Capability) Searches(f Field) bool { return slices.Contains(c.Search, f) }
