package authz

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/casbin/casbin/v2/model"
)

// nameDomain collects, for each field of a request, every name that the policy
// has there, and one that it does not have.
func (im *Import) nameDomain(m model.Model) {
	names := make([]map[string]bool, len(im.s.request))
	for i := range names {
		names[i] = map[string]bool{}
	}
	add := func(field int, name string) {
		if checkSegment(name) == nil {
			names[field][name] = true
		}
	}
	for _, row := range m["p"]["p"].Policy {
		add(im.s.sub.r, row[im.s.sub.p])
		add(im.s.act.r, row[im.s.act.p])
		for _, p := range im.s.path {
			add(p.r, row[p.p])
		}
	}
	if im.s.grouped != "" {
		for _, row := range m["g"][im.s.grouped].Policy {
			add(im.s.sub.r, row[0])
			add(im.s.sub.r, row[1])
			if im.s.domain {
				add(im.s.path[0].r, row[2])
			}
		}
	}
	if im.s.nested != "" {
		for _, row := range m["g"][im.s.nested].Policy {
			add(im.s.path[len(im.s.path)-1].r, row[0])
			add(im.s.path[len(im.s.path)-1].r, row[1])
		}
	}
	im.domain = make([][]string, len(names))
	for i, set := range names {
		if len(set) == 0 { // the matcher does not ask this field
			im.domain[i] = []string{""}
			continue
		}
		stranger := "stranger"
		for set[stranger] {
			stranger += "~"
		}
		im.domain[i] = append(sorted(set), stranger)
	}
}

// Prove asks Casbin and the Authorizer the same questions and returns how many
// it asked and where they differ: every combination of the names that the
// policy knows, and of one name of each kind that it does not know. If those
// are more than limit, so many are drawn from all of them, always the same.
//
// A nil difference over all questions says that both agree now, not that they
// will after either is changed. The Enforcer must not be written meanwhile.
func (im *Import) Prove(ctx context.Context, a *Authorizer, limit int) (asked int, differ []string, err error) {
	if im == nil || im.e == nil {
		return 0, nil, fmt.Errorf("authz: prove: nothing was imported: %w", ErrUnsupported)
	}
	if a == nil || limit <= 0 {
		return 0, nil, errors.New("authz: prove: want an Authorizer and a limit")
	}
	total, whole := uint64(1), true
	for _, names := range im.domain {
		hi, lo := bits.Mul64(total, uint64(len(names)))
		total, whole = lo, whole && hi == 0
	}
	whole = whole && total <= uint64(limit)
	draw := rand.New(rand.NewPCG(1, 1))
	at := make([]int, len(im.domain))
	values := make([]string, len(at))
	for asked < limit {
		if err := ctx.Err(); err != nil {
			return asked, differ, err
		}
		for i := range at {
			if !whole {
				at[i] = draw.IntN(len(im.domain[i]))
			}
			values[i] = im.domain[i][at[i]]
		}
		why, err := im.compare(ctx, a, values)
		if err != nil {
			return asked, differ, err
		}
		if why != "" {
			differ = append(differ, why)
		}
		asked++
		if whole && !next(at, im.domain) {
			break
		}
	}
	return asked, differ, nil
}

// next counts one on, the last field first, and is false at the end.
func next(at []int, domain [][]string) bool {
	for i := range slices.Backward(at) {
		if at[i]++; at[i] < len(domain[i]) {
			return true
		}
		at[i] = 0
	}
	return false
}

// compare asks one question and says how the answers differ.
func (im *Import) compare(ctx context.Context, a *Authorizer, values []string) (string, error) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	want, err := im.e.Enforce(args...)
	question := strings.Join(values, ", ")
	if err != nil {
		return fmt.Sprintf("%q: Casbin fails: %s", question, firstLine(err)), nil
	}
	req, err := im.Request(values...)
	if err != nil {
		return fmt.Sprintf("%q: Casbin says %v, it cannot be asked here: %v", question, want, err), nil
	}
	d, _ := a.Check(ctx, req) // what is no question is no permission either
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if d.Allowed != want {
		return fmt.Sprintf("%q: Casbin says %v, here it is %v: %s", question, want, d.Allowed, d.Reason()), nil
	}
	return "", nil
}

// firstLine keeps the stack that Casbin puts into an error out of messages.
func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "")
	}
	return s
}
