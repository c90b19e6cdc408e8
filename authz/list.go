package authz

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Resources streams the resources under one of them, itself included, on which
// a principal may use a permission: those that an Authorization or a handle
// names, and their ancestors, parents before children. What is below one that
// is listed is allowed too unless it is denied there, known or not. To go on
// after a pause see ResourcesAfter.
//
// A list never ends early without an error. It is read in pages, and each page
// is true at one revision. Context of a request is none here: an allow with a
// condition does not count and a deny with one does.
func (a *Authorizer) Resources(ctx context.Context, p Principal, perm Permission, under Resource) iter.Seq2[Resource, error] {
	return a.ResourcesAfter(ctx, p, perm, under, Resource{})
}

// ResourcesAfter goes on after a resource that Resources listed, in this
// process. If that one may not be used any more the error is ErrConflict: the
// list has to be begun again.
func (a *Authorizer) ResourcesAfter(ctx context.Context, p Principal, perm Permission, under, after Resource) iter.Seq2[Resource, error] {
	return func(yield func(Resource, error) bool) {
		if a == nil || a.ix == nil || p.IsZero() || under.IsZero() {
			yield(Resource{}, fmt.Errorf("authz: resources: principal or resource is missing: %w", ErrDenied))
			return
		}
		if err := a.editable(); err != nil {
			yield(Resource{}, err)
			return
		}
		bit, ok := a.cat.number[perm.name]
		if !ok {
			yield(Resource{}, fmt.Errorf("authz: resources: permission %s: %w to the policy", perm, ErrUnknown))
			return
		}
		w := walk{ix: a.ix, p: p, bit: bit, under: under}
		page := make([]Resource, 0, 256)
		for {
			var err error
			page, err = w.page(page[:0], after)
			if err != nil {
				yield(Resource{}, err)
				return
			}
			for _, r := range page {
				if err := ctx.Err(); err != nil {
					yield(Resource{}, err)
					return
				}
				if !yield(r, nil) {
					return
				}
			}
			if len(page) < cap(page) {
				return
			}
			after = page[len(page)-1]
		}
	}
}

// walk lists what one principal may use. Every visited node is allowed: it
// begins where something is allowed and goes around what is denied.
type walk struct {
	ix     *index
	p      Principal
	bit    int
	under  Resource
	begins []uint32 // tops of what is allowed, ascending
	denied map[uint32]bool
}

// page fills a page with what comes after a resource.
func (w *walk) page(page []Resource, after Resource) ([]Resource, error) {
	w.ix.mu.RLock()
	defer w.ix.mu.RUnlock()
	t := w.ix.tree
	n := t.lookup(w.under.path)
	if n == 0 { // nothing is known of it or below it, so it is as its nearest ancestor
		if after.IsZero() && w.ix.decide(w.p, w.bit, w.under).Allowed {
			page = append(page, w.under)
		}
		return page, nil
	}
	w.mark(n)
	top := 0
	var next uint32
	if after.IsZero() {
		if len(w.begins) == 0 {
			return page, nil
		}
		next = w.begins[0]
	} else {
		last := t.lookup(after.path)
		if top = w.beginOf(last); top < 0 {
			return page, fmt.Errorf("authz: resources: %s may not be used any more: %w", after, ErrConflict)
		}
		next = w.next(last, w.begins[top])
	}
	var buf []byte
	for len(page) < cap(page) {
		if next == 0 {
			if top++; top >= len(w.begins) {
				break
			}
			next = w.begins[top]
		}
		buf = t.appendPath(buf[:0], next)
		page = append(page, Resource{string(buf)})
		next = w.next(next, w.begins[top])
	}
	return page, nil
}

// next returns the node after one, within what is below a top, 0 at its end.
func (w *walk) next(n, top uint32) uint32 {
	t := w.ix.tree
	to := t.below[n].first
	for {
		for to == 0 { // up, to the next one beside
			if n == top {
				return 0
			}
			to, n = t.below[n].next, t.nodes.at(n).parent
		}
		if !w.denied[to] {
			return to
		}
		n, to = t.nodes.at(to).parent, t.below[to].next
	}
}

// beginOf returns which top a node is below, or is; -1 if none.
func (w *walk) beginOf(n uint32) int {
	for ; n != 0 && !w.denied[n]; n = w.ix.tree.nodes.at(n).parent {
		if i, ok := slices.BinarySearch(w.begins, n); ok {
			return i
		}
	}
	return -1
}

// mark finds where it is allowed and where it is denied, at a node and below.
func (w *walk) mark(root uint32) {
	allowed := map[uint32]bool{}
	w.denied = map[uint32]bool{}
	who := w.ix.find(w.p.name)
	c := w.ix.cat()
	q := question{bit: w.bit}
	note := func(h *holder) {
		v := w.ix.runOf(h)
		for i, e := range v.holdings {
			if c.carries(e.role(), w.bit) && (e.flags()&^isDeny == 0 || w.ix.counts(e, v.asides[i].detail, &q)) {
				if e.flags()&isDeny != 0 {
					w.denied[e.node()] = true
				} else {
					allowed[e.node()] = true
				}
			}
		}
	}
	w.begins = w.begins[:0]
	if who == nil {
		return
	}
	note(who)
	for _, t := range who.all() {
		note(t)
	}
	// What is allowed above the root is allowed at it; what is denied above or
	// at it is denied.
	nodes := &w.ix.tree.nodes
	for n := root; n != 0; n = nodes.at(n).parent {
		if w.denied[n] {
			w.begins = w.begins[:0]
			return
		}
		if allowed[n] {
			w.begins = append(w.begins[:0], root)
		}
	}
	if len(w.begins) > 0 {
		return
	}
	for n := range allowed {
		for up := n; up != 0 && !w.denied[up] && (up == n || !allowed[up]); up = nodes.at(up).parent {
			if up == root {
				w.begins = append(w.begins, n)
				break
			}
		}
	}
	slices.Sort(w.begins)
}

// Principals streams who may use a permission on a resource: users, services
// and teams that Authorizations or memberships name, each once, with the
// decision that says through what. It costs what stands on the resource and
// above it, members of teams included. Whoever is listed was allowed at the
// time of listing.
func (a *Authorizer) Principals(ctx context.Context, perm Permission, on Resource) iter.Seq2[Decision, error] {
	return func(yield func(Decision, error) bool) {
		if a == nil || a.ix == nil || on.IsZero() {
			yield(Decision{}, fmt.Errorf("authz: principals: resource is missing: %w", ErrDenied))
			return
		}
		if err := a.editable(); err != nil {
			yield(Decision{}, err)
			return
		}
		bit, ok := a.cat.number[perm.name]
		if !ok {
			yield(Decision{}, fmt.Errorf("authz: principals: permission %s: %w to the policy", perm, ErrUnknown))
			return
		}
		var at sighting
		for _, n := range a.ix.candidates(on) {
			if err := ctx.Err(); err != nil {
				yield(Decision{}, err)
				return
			}
			if d := a.ix.decideAt(n, bit, on, &at); d.Allowed && !yield(d, nil) {
				return
			}
		}
	}
}

// sighting is a place as it was at a revision; the zero one is none.
type sighting struct {
	place
	rev uint64
}

// decideAt answers for a principal by its number, and finds the place only if
// something was changed since it was found.
func (ix *index) decideAt(n uint32, bit int, r Resource, at *sighting) Decision {
	q := question{bit: bit}
	for {
		part := ix.partOf(n)
		turn, rev := ix.begin(part)
		if at.known == 0 || at.rev != rev {
			ix.tree.find(r.path, &at.place)
			at.rev = rev
		}
		f := ix.ask(n, &at.place, &q)
		if part.end(turn) {
			d := Decision{Principal: Principal{ix.principals.at(n).name}, Revision: rev}
			ix.spell(f, r.path, &d)
			return d
		}
	}
}

// candidates returns whom an Authorization on a resource or above it names, and
// all who are in the teams among them, each once.
func (ix *index) candidates(on Resource) []uint32 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	var at place
	ix.tree.find(on.path, &at)
	out := make([]uint32, 0, 32)
	for level := range at.known {
		for n := ix.tree.below[at.at[level]].auths; n != 0; n = ix.auths[n].next {
			out = append(out, ix.auths[n].principal)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(ix.inside) == 0 {
		return out
	}
	seen := make(map[uint32]bool, len(out))
	for _, p := range out {
		seen[p] = true
	}
	for i := 0; i < len(out); i++ {
		for _, m := range ix.inside[ix.principals.at(out[i])] {
			if !seen[m.number] {
				seen[m.number] = true
				out = append(out, m.number)
			}
		}
	}
	return out
}

// standingOver returns what stands on a resource and above it.
func (ix *index) standingOver(r Resource) []Authorization {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	var at place
	ix.tree.find(r.path, &at)
	var out []Authorization
	for level := range at.known {
		for n := ix.tree.below[at.at[level]].auths; n != 0; n = ix.auths[n].next {
			out = append(out, ix.numbered(n))
		}
	}
	return out
}
