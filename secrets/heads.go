package secrets

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockkeeper/lockkeeper/authz"
)

// headPasses bounds how often RotateHeads goes through a tenant's heads while
// others change them.
const headPasses = 10

// RotateHeads makes the key of a tenant's heads new, which is under the MAC of
// every head, and brings them all under it, with a Grant of secrets.rotate on the
// tenant. It is for the day when somebody may have seen that key: RotateTenant
// seals it anew and does not change it.
//
// It may run while secrets are used and put, and twice at once; nothing stops, in
// no process. To pause it, cancel ctx or block in JobOptions.Progress; to resume,
// after a crash too, call it again: what is left are the heads under the old key,
// which counts until all are under the new one. A head that is under neither is a
// Failed, keeps the old key and is ErrTampered in the end; the others are done.
//
// The tenant key is made new twice on the way, in the beginning and in the end:
// it is the generation of the tenant's row that tells every process. Rewrap and
// RetireTenantKeys afterwards: the row of in between, put back, counts as long as
// the tenant key that sealed it is there.
func (s *Safe) RotateHeads(ctx context.Context, g authz.Grant, tenant authz.Resource, o *JobOptions) (Progress, error) {
	name, err := tenantOf(tenant)
	if err != nil {
		return Progress{}, err
	}
	if err := s.must(ctx, g, "secrets.rotate", tenant, "rotate-heads"); err != nil {
		return Progress{}, err
	}
	r := &headRun{job: s.newJob(o), s: s, tenant: name, told: map[string]bool{}}
	if err := r.run(ctx); err != nil {
		return r.p, fmt.Errorf("secrets: rotate heads of %s: %w", tenant, err)
	}
	return r.p, nil
}

// headRun is one run of RotateHeads.
type headRun struct {
	*job
	s      *Safe
	tenant string
	told   map[string]bool // heads that failed, each once
}

func (r *headRun) run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	for pass := range headPasses {
		t, hk, err := r.row(ctx)
		if err != nil {
			return err
		}
		if hk.before == nil { // another run has ended it
			return nil
		}
		if pass == 0 {
			if err := r.count(ctx, hk); err != nil {
				return err
			}
		}
		changed, bad, err := r.pass(ctx, hk)
		switch {
		case err != nil:
			return err
		case changed > 0:
			continue // and look whether it is so
		case bad > 0:
			return fmt.Errorf("%d heads are under neither key, and the old one stays: restore or remove them and call again: %w", bad, ErrTampered)
		}
		// Only from the row that was looked at: all are under its newer key.
		if _, err := r.s.promote(ctx, r.tenant, t.Generation, newHeadKey(*hk.key(), nil)); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("others were faster, time and again: %w", ErrConflict)
}

func (r *headRun) row(ctx context.Context) (Tenant, *headKey, error) {
	rec, hk, err := r.s.row(ctx, r.tenant, "", 0)
	if err != nil || hk == nil {
		return Tenant{}, nil, orNotFound(err)
	}
	return rec.Tenant, hk, nil
}

// begin makes a new key beside the old one, unless a run that did so has not
// ended. From then on every head that is saved is under the new one: a Save at
// the generation of before is in conflict.
func (r *headRun) begin(ctx context.Context) error {
	for range headPasses {
		t, hk, err := r.row(ctx)
		if err != nil || hk.before != nil {
			return err
		}
		fresh, err := freshHeadKey(hk)
		if err != nil {
			return err
		}
		if _, err := r.s.promote(ctx, r.tenant, t.Generation, fresh); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("others were faster, time and again: %w", ErrConflict)
}

// each calls f with pages of the tenant's heads.
func (r *headRun) each(ctx context.Context, f func([]Entry) error) error {
	for after := ""; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		es, err := r.s.store.List(ctx, everyTenant().String()+"/"+r.tenant+"/", after, r.Batch)
		if err != nil || len(es) == 0 {
			return err
		}
		if err := f(es); err != nil {
			return err
		}
		after = es[len(es)-1].Name
	}
}

func (r *headRun) count(ctx context.Context, hk *headKey) error {
	err := r.each(ctx, func(es []Entry) error {
		r.p.Total += len(es)
		for _, e := range es {
			if hk.made(r.s.deployment, e.Head) {
				r.p.Done++
			}
		}
		return nil
	})
	r.first = r.p.Done
	r.tell()
	return err
}

// pass brings heads under the newer key. It returns how many it found that were
// not, and how many are under none.
func (r *headRun) pass(ctx context.Context, hk *headKey) (changed, bad int, err error) {
	err = r.each(ctx, func(es []Entry) error {
		var batch []HeadMAC
		for _, e := range es {
			switch {
			case hk.made(r.s.deployment, e.Head):
			case hk.before.made(r.s.deployment, e.Head):
				batch = append(batch, HeadMAC{Name: e.Name, Old: e.MAC, MAC: hk.sum(r.s.deployment, e.Head)})
			default:
				err := ErrTampered
				if e.Tenant == r.tenant {
					_, _, err = r.s.again(ctx, e)
				}
				switch {
				case err == nil:
					changed++
				case !errors.Is(err, ErrTampered) && !errors.Is(err, ErrFormat):
					return err
				default:
					bad++
					if !r.told[e.Name] {
						r.told[e.Name] = true
						r.fail(e.Name, e.Current, ErrTampered)
					}
				}
			}
		}
		if len(batch) == 0 {
			return nil
		}
		changed += len(batch)
		errs, err := r.s.store.ReplaceMACs(ctx, r.tenant, batch)
		if err != nil {
			return err
		}
		for _, err := range errs {
			if err != nil && !errors.Is(err, ErrConflict) {
				return err
			}
			r.p.Done++ // in conflict: someone else did it
		}
		r.tell()
		return nil
	})
	return changed, bad, err
}
