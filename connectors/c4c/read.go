package c4c

import (
	"context"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// findChunk is how many keys one filter names.
const findChunk = 50

// lists reads several listings, each to its end. One is a plain reading;
// several go out together in a batch.
func (s session) lists(ctx context.Context, rels []string) ([]entity, error) {
	if len(rels) <= 1 {
		var out []entity
		for _, rel := range rels {
			es, err := s.all(ctx, rel)
			if err != nil {
				return nil, err
			}
			out = append(out, es...)
		}
		return out, nil
	}
	var out []entity
	for chunk := range slices.Chunk(rels, batchSize) {
		steps := make([]step, len(chunk))
		for i, rel := range chunk {
			steps[i].read = rel
		}
		answers, err := s.batch(ctx, steps)
		if err != nil {
			return nil, err
		}
		for i, a := range answers {
			if err := a.err(false); err != nil {
				return nil, err
			}
			p, err := decode(a.body)
			if err != nil {
				return nil, err
			}
			out = append(out, p.Entities...)
			if p.Next == "" {
				continue
			}
			rest, err := s.d.link(chunk[i], p.Next)
			if err != nil {
				return nil, err
			}
			more, err := s.all(ctx, rest)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// address is where a record is read with all that is mapped.
func (s shape) address(id string) string {
	return key(s.set, id) + "?" + query("$select", s.selection(false), "$expand", strings.Join(s.expand(false), ","), "$format", "json")
}

// entities reads records by id; one that is missing or obsolete is ErrNotFound.
func (s session) entities(ctx context.Context, sh shape, ids []string) ([]entity, []error, error) {
	out, errs := make([]entity, len(ids)), make([]error, len(ids))
	for start := 0; start < len(ids); start += batchSize {
		chunk := ids[start:min(start+batchSize, len(ids))]
		var answers []outcome
		if len(chunk) > 1 {
			steps := make([]step, len(chunk))
			for i, id := range chunk {
				steps[i].read = sh.address(id)
			}
			var err error
			if answers, err = s.batch(ctx, steps); err != nil {
				return nil, nil, err
			}
		}
		for i, id := range chunk {
			e, err := s.one(ctx, sh, id, answers, i)
			if err == nil {
				var gone bool
				if gone, err = sh.gone(e); gone {
					e, err = s.follow(ctx, sh, e)
				}
			}
			out[start+i], errs[start+i] = e, about(sh.kind, "get", id, err)
			if err != nil && answers == nil && !perRecord(err) {
				return nil, nil, err
			}
		}
	}
	return out, errs, nil
}

// one takes a record from the answers to a batch, or reads it alone.
func (s session) one(ctx context.Context, sh shape, id string, answers []outcome, i int) (entity, error) {
	if answers != nil {
		if err := answers[i].err(false); err != nil {
			return nil, err
		}
		if e := answers[i].entity(); e != nil {
			return e, nil
		}
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: errShape.Error()}
	}
	p, err := s.get(ctx, sh.address(id))
	if err != nil {
		return nil, err
	}
	if len(p.Entities) != 1 {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: errShape.Error()}
	}
	return p.Entities[0], nil
}

func (s session) records(ctx context.Context, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	es, errs, err := s.entities(ctx, sh, ids)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Result, len(ids))
	var linked []*connectors.Record
	for i, e := range es {
		if errs[i] != nil {
			out[i].Err = errs[i]
			continue
		}
		r, err := sh.record(e)
		if err == nil && r.ID != ids[i] {
			err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "another record than asked for"}
		}
		if err != nil {
			out[i].Err = about(k, "get", ids[i], err)
			continue
		}
		out[i].Record = r
		linked = append(linked, r)
	}
	if err := s.complete(ctx, sh, linked); err != nil {
		return nil, err
	}
	return out, nil
}

// find looks for create keys. The system reads * in a comparison as a wildcard,
// so what comes back is compared again.
func (s session) find(ctx context.Context, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	out := map[string][]connectors.Change{}
	if sh.key == "" {
		return out, nil
	}
	var rels, values []string
	for _, key := range keys {
		if len(key) <= connectors.MaxKey { // nothing carries a longer one
			values = append(values, sh.keyFilters(key)...)
		}
	}
	for chunk := range slices.Chunk(values, findChunk) {
		rels = append(rels, sh.set+"?"+query("$filter", anyOf(sh.key, chunk), "$orderby", propID,
			"$select", sh.light()+","+sh.keys(), "$format", "json"))
	}
	es, err := s.lists(ctx, rels)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	for _, e := range es {
		id, err := e.id()
		if err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
		}
		carried, err := sh.carried(e)
		if err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without key"}
		}
		ch, err := sh.change(e, id, false)
		if err != nil {
			return nil, err
		}
		known := slices.ContainsFunc(out[carried], func(c connectors.Change) bool { return c.ID == id })
		if !ch.Gone && wanted[carried] && !known {
			out[carried] = append(out[carried], ch)
		}
	}
	return out, nil
}

// about completes the error of one record.
func about(k connectors.Kind, op, id string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*connectors.Error); ok {
		v := *e
		v.Plugin, v.Op, v.Kind = Name, op, k
		if v.ID == "" {
			v.ID = id
		}
		return &v
	}
	return err
}
