package authz

import (
	"context"
	"fmt"
)

// CheckBatch answers each request as Check does, all as of one revision, into
// the place of the same number in out. It records nothing, hands over nothing
// and does not allocate. A request that is no question gets the Code BadRequest.
// The error is for an out of another length, for the zero Authorizer, which is
// ErrDenied, and for a context that has ended; every Decision in out is then a
// refusal.
func (a *Authorizer) CheckBatch(ctx context.Context, reqs []Request, out []Decision) error {
	clear(out)
	if len(reqs) != len(out) {
		return fmt.Errorf("authz: check: %d requests and room for %d decisions", len(reqs), len(out))
	}
	if a == nil || a.ix == nil {
		return ErrDenied
	}
	a.ix.mu.RLock() // changes wait for it
	defer a.ix.mu.RUnlock()
	for i := range reqs {
		if i%256 == 0 {
			if err := ctx.Err(); err != nil {
				clear(out)
				return err
			}
		}
		out[i] = a.decide(a.ix, reqs[i])
	}
	return nil
}
