package secrets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Finding is something that is not as it should be, found by Verify.
type Finding struct {
	Ref    string // a secret, or a tenant
	Detail string // what is wrong, for an operator
	Store  uint64 // revision in the store, where that is the matter
	Trail  uint64 // and as it was recorded
}

// String is one line for an operator.
func (f Finding) String() string { return f.Ref + ": " + f.Detail }

// Verify looks at every secret below an owner, a tenant or the node tenants:
// whether its rows are whole, and whether they are those that the audit trail
// says were written last. That is what no MAC can say of rows that somebody put
// back whole. It needs a Grant of secrets.describe that covers the owner, and the
// records from a trail that authz.Verify found right; nil leaves the comparison
// out. It yields what it finds; an error is what kept it from looking.
//
// A change that was recorded and whose storing then failed without a clear
// answer, as in a crash between the two, is found as well: the next Put ends it.
func (s *Safe) Verify(ctx context.Context, g authz.Grant, owner authz.Resource, records iter.Seq2[authz.AuditRecord, error]) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		if s == nil {
			yield(Finding{}, fmt.Errorf("secrets: verify: %w", authz.ErrDenied))
			return
		}
		if err := g.Covers(authz.MustPermission("secrets.describe"), owner); err != nil {
			yield(Finding{}, err)
			return
		}
		fail := func(err error) { yield(Finding{}, fmt.Errorf("secrets: verify %s: %w", owner, err)) }
		written, erased, err := lastWritten(owner, records)
		if err != nil {
			fail(err)
			return
		}
		for after := ""; ; {
			es, err := s.store.List(ctx, owner.String()+"/", after, 200)
			if err != nil {
				fail(err)
				return
			}
			for _, e := range es {
				after = e.Name
				f, err := s.look(ctx, e, written[e.Name])
				if err != nil {
					fail(err)
					return
				}
				delete(written, e.Name)
				if f.Detail != "" && !yield(f, nil) {
					return
				}
			}
			if len(es) == 0 {
				break
			}
		}
		for name, n := range written {
			ref, err := ParseRef(name)
			if err != nil || erased[ref.tenant()] {
				continue
			}
			if !yield(Finding{name, "was written and is not there", 0, n}, nil) {
				return
			}
		}
	}
}

// look checks one secret. Errors are those of the store and the keys alone.
func (s *Safe) look(ctx context.Context, e Entry, recorded uint64) (Finding, error) {
	f := Finding{Ref: e.Name, Store: e.Revision, Trail: recorded}
	r, hk, err := s.loadNamed(ctx, e.Tenant, e.Name, 0)
	switch {
	case errors.Is(err, ErrTampered), errors.Is(err, ErrFormat):
		f.Detail = "rows were altered"
		return f, nil
	case errors.Is(err, ErrErased):
		f.Detail = "is there although its tenant was erased"
		return f, nil
	case err != nil:
		return f, err
	case !hk.agrees(s.deployment, e.Head, r.Head):
		f.Detail = "rows were altered"
		return f, nil
	}
	f.Store = r.Head.Revision
	if recorded > r.Head.Revision {
		f.Detail = fmt.Sprintf("is at revision %d, and %d was recorded: it was taken back", r.Head.Revision, recorded)
		return f, nil
	}
	if r.Head.Revoked {
		return f, nil
	}
	next := r.Head.Oldest
	for at := (At{}); ; {
		vs, err := s.store.Scan(ctx, e.Tenant, e.Name, AllKeys, at, 100)
		if err != nil {
			return f, err
		}
		for i := range vs {
			v := &vs[i]
			at = At{v.Name, v.Number}
			if v.Number != next {
				f.Detail = fmt.Sprintf("version %d is missing", next)
				return f, nil
			}
			next++
			_, version, err := keyOf(v.Wrap)
			if err == nil && version != v.KeyVersion {
				err = ErrTampered
			}
			if err == nil {
				var k *tenantKey
				if k, _, err = s.keys.cache.get(ctx, cacheKey{v.Tenant, version}, 0); err == nil {
					err = s.opens(k, v)
				}
			}
			switch {
			case errors.Is(err, ErrTampered), errors.Is(err, ErrFormat):
				f.Detail = fmt.Sprintf("version %d does not open", v.Number)
				return f, nil
			case err != nil:
				return f, err
			}
		}
		if len(vs) == 0 {
			break
		}
	}
	if next != r.Head.Current+1 && next > 0 {
		if again, err := s.store.Load(ctx, e.Tenant, e.Name, 0); err != nil || again.Head.Revision != r.Head.Revision {
			return f, err // changed meanwhile
		}
		f.Detail = fmt.Sprintf("version %d is missing", next)
	}
	return f, nil
}

// lastWritten reads from a trail the highest revision of each secret that was
// recorded and not said to have failed, and which tenants were erased.
func lastWritten(owner authz.Resource, records iter.Seq2[authz.AuditRecord, error]) (map[string]uint64, map[string]bool, error) {
	type attempts map[uint64]int // by revision
	seen := map[string]attempts{}
	erased := map[string]bool{}
	if records == nil {
		return map[string]uint64{}, erased, nil
	}
	for r, err := range records {
		if err != nil {
			return nil, nil, err
		}
		if !r.Allowed || !owner.Contains(r.Resource) && !r.Resource.Contains(owner) {
			continue
		}
		switch r.Permission.String() {
		case "secrets.erase":
			if name, err := tenantOf(r.Resource); err == nil && word(r) == "erase" {
				erased[name] = true
			}
			continue
		case "secrets.write", "secrets.revoke":
		default:
			continue
		}
		what, number, ok := strings.Cut(word(r), ":")
		n, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil {
			continue
		}
		name := r.Resource.String()
		if seen[name] == nil {
			seen[name] = attempts{}
		}
		if what == failedWord {
			seen[name][n]--
		} else {
			seen[name][n]++
		}
		for old := range seen[name] { // a few: who is behind by more does not write
			if old+8 < n {
				delete(seen[name], old)
			}
		}
	}
	out := map[string]uint64{}
	for name, as := range seen {
		for n, count := range as {
			if count > 0 {
				out[name] = max(out[name], n)
			}
		}
	}
	return out, erased, nil
}
