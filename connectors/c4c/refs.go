package c4c

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// Records of the system refer to partners by number and not by id. A number is
// that of one partner for ever, so what was looked up once is kept.

// maxDirectory is how many partners a connection keeps in mind; more than that
// and it starts anew.
const maxDirectory = 20000

// directory keeps which partner has which number.
type directory struct {
	mu       sync.Mutex
	byNumber map[string]connectors.Ref // of role zero; of no kind where there is none
	numbers  map[connectors.Ref]string
}

func (d *directory) know(number string, r connectors.Ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byNumber == nil || len(d.byNumber) >= maxDirectory {
		d.byNumber, d.numbers = map[string]connectors.Ref{}, map[connectors.Ref]string{}
	}
	d.byNumber[number], d.numbers[r] = r, number
}

func (d *directory) partner(number string) (connectors.Ref, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.byNumber[number]
	return r, ok
}

func (d *directory) number(r connectors.Ref) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.numbers[connectors.Ref{Kind: r.Kind, ID: r.ID}]
	return n, ok
}

// lookup is a reading that completes what was read, and what to do with each
// record of its answer.
type lookup struct {
	rel  string
	take func(entity) error
}

// complete turns the numbers in references of records that were read into ids,
// and lists what is attached to them, in one request for all; without anything
// to look up there is none. A number of somebody who is no partner of a kind that
// is offered, or whom the user may not see, is no reference.
func (s session) complete(ctx context.Context, sh shape, rs []*connectors.Record) error {
	unknown := map[string]bool{}
	kinds := map[connectors.Kind]bool{}
	for _, r := range rs {
		for _, ref := range r.Refs {
			if _, ok := s.d.numbers.partner(ref.ID); !ok {
				unknown[ref.ID] = true
				for _, k := range sh.capability().Refs[ref.Role] {
					kinds[k] = true
				}
			}
		}
	}
	found := map[string]connectors.Ref{}
	var looks []lookup
	numbers := slices.Sorted(maps.Keys(unknown))
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		looks = append(looks, s.partners(s.d.shapes[k], numbers, found)...)
	}
	looks = append(looks, s.attached(sh, rs)...)
	if err := s.look(ctx, looks); err != nil {
		return err
	}
	for _, r := range rs {
		refs := r.Refs[:0]
		for _, ref := range r.Refs {
			p, ok := s.d.numbers.partner(ref.ID)
			if !ok {
				p = found[ref.ID]
			}
			if slices.Contains(sh.capability().Refs[ref.Role], p.Kind) {
				refs = append(refs, connectors.Ref{Role: ref.Role, Kind: p.Kind, ID: p.ID})
			}
		}
		if r.Refs = refs; len(refs) == 0 {
			r.Refs = nil
		}
	}
	return nil
}

// look does readings in as few requests as possible. One that the user may not do
// finds nothing.
func (s session) look(ctx context.Context, looks []lookup) error {
	if len(looks) == 1 { // needs no batch
		es, err := s.all(ctx, looks[0].rel)
		if errors.Is(err, connectors.ErrForbidden) || errors.Is(err, connectors.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range es {
			if err := looks[0].take(e); err != nil {
				return err
			}
		}
		return nil
	}
	for chunk := range slices.Chunk(looks, batchSize) {
		steps := make([]step, len(chunk))
		for i, l := range chunk {
			steps[i].read = l.rel
		}
		answers, err := s.batch(ctx, steps)
		if err != nil {
			return err
		}
		for i, a := range answers {
			switch err := a.err(false); {
			case errors.Is(err, connectors.ErrForbidden) || errors.Is(err, connectors.ErrNotFound):
				continue
			case err != nil:
				return err
			}
			p, err := decode(a.body)
			if err != nil {
				return err
			}
			es := p.Entities
			if p.Next != "" {
				rest, err := s.d.link(chunk[i].rel, p.Next)
				if err != nil {
					return err
				}
				more, err := s.all(ctx, rest)
				if err != nil {
					return err
				}
				es = append(es, more...)
			}
			for _, e := range es {
				if err := chunk[i].take(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// partners are the readings that look numbers up among the records of a kind.
func (s session) partners(sh shape, numbers []string, found map[string]connectors.Ref) []lookup {
	var out []lookup
	for chunk := range slices.Chunk(numbers, findChunk) {
		rel := sh.set + "?" + query("$filter", anyOf(sh.number, chunk), "$orderby", propID, "$select", propID+","+sh.number, "$format", "json")
		out = append(out, lookup{rel, func(e entity) error {
			x := reader{e: e}
			number, id := x.text(sh.number), x.text(propID)
			if x.err != nil || number == "" || id == "" || len(id) > connectors.MaxID {
				return &connectors.Error{Class: connectors.ErrMalformed, Detail: "partner without number or id"}
			}
			found[number] = connectors.Ref{Kind: sh.kind, ID: id}
			s.d.numbers.know(number, found[number])
			return nil
		}})
	}
	return out
}

// attached are the readings that list what is attached to records.
func (s session) attached(sh shape, rs []*connectors.Record) []lookup {
	if sh.files == nil {
		return nil
	}
	byID := map[string]*connectors.Record{}
	ids := make([]string, 0, len(rs))
	for _, r := range rs {
		byID[r.ID] = r
		ids = append(ids, r.ID)
	}
	var out []lookup
	for chunk := range slices.Chunk(ids, findChunk) {
		rel := sh.files.set + "?" + query("$filter", anyOf("ParentObjectID", chunk), "$orderby", propID, "$select", fileProperties, "$format", "json")
		out = append(out, lookup{rel, func(e entity) error {
			parent, a, ok, err := file(e)
			if r := byID[parent]; err == nil && ok && r != nil {
				r.Attachments = append(r.Attachments, &a)
			}
			return err
		}})
	}
	return out
}

// refer finds the numbers of all that records about to be written refer to. One
// that refers to what is not there fails in its place of out. The error means
// that nothing was written for any.
func (s session) refer(ctx context.Context, rs iter.Seq2[int, *connectors.Record], out []connectors.Written) (map[connectors.Ref]string, error) {
	var ask []connectors.Ref
	users := map[connectors.Ref][]int{}
	numbers := map[connectors.Ref]string{}
	for i, r := range rs {
		for _, ref := range r.Refs {
			ref.Role = 0
			if n, ok := s.d.numbers.number(ref); ok {
				numbers[ref] = n
				continue
			}
			if users[ref] == nil {
				ask = append(ask, ref)
			}
			users[ref] = append(users[ref], i)
		}
	}
	for chunk := range slices.Chunk(ask, batchSize) {
		steps := make([]step, len(chunk))
		for i, ref := range chunk {
			sh := s.d.shapes[ref.Kind]
			steps[i].read = key(sh.set, ref.ID) + "?" + query("$select", propID+","+sh.number, "$format", "json")
		}
		answers, err := s.batch(ctx, steps)
		if err != nil {
			return nil, remote.Unsent(err)
		}
		for i, ref := range chunk {
			err := answers[i].err(false)
			number := ""
			if err == nil {
				number, err = answers[i].entity().text(s.d.shapes[ref.Kind].number)
			}
			switch {
			case err == nil && number != "":
				numbers[ref] = number
				s.d.numbers.know(number, ref)
				continue
			case err == nil || errors.Is(err, connectors.ErrNotFound) || errors.Is(err, connectors.ErrInvalid):
				err = &connectors.Error{Class: connectors.ErrInvalid, Detail: "refers to a record that is not there"}
			}
			for _, j := range users[ref] {
				out[j].Err = inField(remote.Unsent(err), connectors.FieldRefs)
			}
		}
	}
	return numbers, nil
}

// pointTo puts references into the properties that are sent. With all, roles
// that are not there are emptied.
func (s shape) pointTo(p properties, refs []connectors.Ref, numbers map[connectors.Ref]string, all bool) {
	for role, property := range map[connectors.Role]string{connectors.RoleAccount: s.account, connectors.RoleContact: s.contact} {
		if property == "" {
			continue
		}
		i := slices.IndexFunc(refs, func(r connectors.Ref) bool { return r.Role == role })
		switch {
		case i >= 0:
			p[property] = numbers[connectors.Ref{Kind: refs[i].Kind, ID: refs[i].ID}]
		case all:
			p[property] = ""
		}
	}
}
