package authz

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// sampler says which allowed decisions are left out of the record, and counts
// them. Without a share for a permission all are recorded.
type sampler struct {
	kinds map[string]*sampled
	draw  func() float64 // from 0 to 1, 1 excluded
}

type sampled struct {
	share   float64
	leftOut atomic.Uint64 // since the last that was recorded
}

// newSampler refuses shares that would leave out what must be on record.
func newSampler(c *catalogue, shares map[Permission]float64) (*sampler, error) {
	s := &sampler{kinds: make(map[string]*sampled, len(shares)), draw: rand.Float64}
	for p, share := range shares {
		_, known := c.number[p.name]
		switch {
		case !known:
			return nil, fmt.Errorf("authz: sample: permission %q: %w to the policy", p.name, ErrUnknown)
		case c.personal[p.name]:
			return nil, fmt.Errorf("authz: sample: %s touches personal data: each of its decisions is recorded", p)
		case p.name == writeAuthorizations:
			return nil, fmt.Errorf("authz: sample: %s changes who may do what: each of its decisions is recorded", p)
		case !(share > 0 && share <= 1):
			return nil, fmt.Errorf("authz: sample: %s: share %v: want more than 0 and at most 1", p, share)
		}
		s.kinds[p.name] = &sampled{share: share}
	}
	return s, nil
}

// skip reports whether a decision stays out of the record.
func (s *sampler) skip(d Decision, p Permission) bool {
	k := s.kinds[p.name]
	if k == nil || !d.Allowed || s.draw() < k.share {
		return false
	}
	k.leftOut.Add(1)
	return true
}

// note says in the record of a decision how many of its kind were left out
// before it. settle is called when it is known whether the record was written:
// what could not be told is told by the next.
func (s *sampler) note(r *AuditRecord) (settle func(error)) {
	k := s.kinds[r.Permission.name]
	if k == nil || !r.Allowed {
		return func(error) {}
	}
	n := k.leftOut.Swap(0)
	if n > 0 {
		r.Reason += fmt.Sprintf("; and %d allowed of this kind not recorded", n)
	}
	return func(err error) {
		if err != nil {
			k.leftOut.Add(n)
		}
	}
}
