package secrets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Progress of a job. What is done is read from the rows themselves, so that a
// job that was killed and begun again counts on from where it was.
type Progress struct {
	Done   int // under the newest key, by whomever
	Total  int
	Failed int           // of this run, each was told to JobOptions.Failed
	Rate   float64       // a second, of this run
	Left   time.Duration // until the end at this rate; zero while it is not known
}

// String is one line for an operator.
func (p Progress) String() string {
	return fmt.Sprintf("%d of %d done, %d failed, %.0f a second, %v left", p.Done, p.Total, p.Failed, p.Rate, p.Left.Round(time.Second))
}

// JobOptions of a job over many rows. The nil JobOptions work.
type JobOptions struct {
	Batch    int            // rows of one transaction; zero: 500, 10,000 at most
	Reseal   bool           // Rewrap only: values are sealed anew too, under fresh data keys
	Progress func(Progress) // called after each batch; nil: nobody is told. It may block: that is a pause
	Failed   func(Failure)  // called for each row that failed; nil: they are only counted
}

// Failure is a row that a job could not do. The job goes on without it.
type Failure struct {
	Name    string // of the secret or, for tenants' keys, the tenant
	Version uint64
	Err     error
}

// job counts.
type job struct {
	JobOptions
	now   func() time.Time
	began time.Time
	first int // done before this run
	p     Progress
}

func (s *Safe) newJob(o *JobOptions) *job {
	j := &job{now: s.now, began: s.now()}
	if o != nil {
		j.JobOptions = *o
	}
	if j.Batch <= 0 {
		j.Batch = 500
	}
	j.Batch = min(j.Batch, 10_000)
	return j
}

func (j *job) fail(name string, version uint64, err error) {
	j.p.Failed++
	if j.Failed != nil {
		j.Failed(Failure{name, version, err})
	}
}

func (j *job) tell() {
	if t := j.now().Sub(j.began).Seconds(); t > 0 {
		j.p.Rate = float64(j.p.Done-j.first) / t
	}
	j.p.Left = 0
	if j.p.Rate > 0 {
		j.p.Left = time.Duration(float64(max(j.p.Total-j.p.Done, 0)) / j.p.Rate * float64(time.Second))
	}
	if j.Progress != nil {
		j.Progress(j.p)
	}
}

// Rewrap brings every version of a tenant's secrets under the tenant key that
// seals now, or with the node tenants those of all tenants, with a Grant of
// secrets.rotate that covers it. Only the key in each row is wrapped anew, 146
// bytes whatever the size of the value, unless JobOptions.Reseal wants the value
// sealed under a fresh data key as well.
//
// It may run while secrets are used and put, and twice at once. To pause it,
// cancel ctx or block in Progress; to resume, after a crash too, call it again:
// the rows that are left are those under an older key. Rows that fail do not
// stop it; the error is for what did.
func (s *Safe) Rewrap(ctx context.Context, g authz.Grant, owner authz.Resource, o *JobOptions) (Progress, error) {
	if err := s.must(ctx, g, "secrets.rotate", owner, "rewrap"); err != nil {
		return Progress{}, err
	}
	j := s.newJob(o)
	fail := func(err error) (Progress, error) { return j.p, fmt.Errorf("secrets: rewrap %s: %w", owner, err) }
	err := s.eachTenant(ctx, owner, func(t Tenant) error {
		all, err := s.store.Count(ctx, t.Name, AllKeys)
		if err != nil {
			return err
		}
		old, err := s.store.Count(ctx, t.Name, t.Generation)
		j.p.Total += all
		j.p.Done += all - old
		return err
	})
	if err != nil {
		return fail(err)
	}
	j.first = j.p.Done
	j.tell()
	err = s.eachTenant(ctx, owner, func(t Tenant) error {
		r, hk, err := s.row(ctx, t.Name, "", 0)
		switch {
		case errors.Is(err, ErrErased):
			return nil
		case errors.Is(err, ErrTampered), errors.Is(err, ErrFormat), err == nil && hk == nil:
			j.fail(t.Name, uint64(t.Generation), ErrTampered)
			return nil
		case err != nil:
			return err
		}
		return s.rewrapTenant(ctx, r.Tenant, j)
	})
	if err != nil {
		return fail(err)
	}
	return j.p, nil
}

// eachTenant calls f for the tenants that a resource names, but for those that
// were erased.
func (s *Safe) eachTenant(ctx context.Context, owner authz.Resource, f func(Tenant) error) error {
	if owner != everyTenant() {
		name, err := tenantOf(owner)
		if err != nil {
			return err
		}
		r, err := s.store.Load(ctx, name, "", 0)
		if err != nil || r.Tenant.Generation == 0 || !r.Tenant.Erased.IsZero() {
			return err
		}
		return f(r.Tenant)
	}
	for after := ""; ; {
		ts, err := s.store.Tenants(ctx, after, 500)
		if err != nil || len(ts) == 0 {
			return err
		}
		for _, t := range ts {
			after = t.Name
			if t.Generation == 0 || !t.Erased.IsZero() {
				continue
			}
			if err := f(t); err != nil {
				return err
			}
		}
	}
}

func (s *Safe) rewrapTenant(ctx context.Context, t Tenant, j *job) error {
	to, _, err := s.keys.cache.get(ctx, cacheKey{t.Name, t.Generation}, 0)
	if err != nil {
		return err
	}
	for at := (At{}); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		vs, err := s.store.Scan(ctx, t.Name, "", t.Generation, at, j.Batch)
		if err != nil {
			return err
		}
		if len(vs) == 0 {
			return nil
		}
		batch := make([]Rewrap, 0, len(vs))
		for i := range vs {
			at = At{vs[i].Name, vs[i].Number}
			n, err := s.renew(ctx, to, &vs[i], j.Reseal)
			switch {
			case err == nil:
				batch = append(batch, n)
			case errors.Is(err, errGone):
				j.p.Total--
			case errors.Is(err, ErrTampered), errors.Is(err, ErrFormat):
				j.fail(vs[i].Name, vs[i].Number, err)
			default:
				return err
			}
		}
		errs, err := s.store.Replace(ctx, t.Name, batch)
		if err != nil {
			return err
		}
		for _, err := range errs {
			if err != nil && !errors.Is(err, ErrConflict) {
				return err
			}
			j.p.Done++ // in conflict: someone else did it, or it is gone
		}
		j.tell()
	}
}

// errGone means that a row went away meanwhile.
var errGone = errors.New("secrets: gone")

// renew makes the new wrap of a version and, with reseal, its new body.
func (s *Safe) renew(ctx context.Context, to *tenantKey, v *Version, reseal bool) (Rewrap, error) {
	id, version, err := keyOf(v.Wrap)
	if err != nil {
		return Rewrap{}, err
	}
	if version != v.KeyVersion {
		return Rewrap{}, ErrTampered
	}
	from, _, err := s.keys.cache.get(ctx, cacheKey{v.Tenant, version}, 0)
	if err != nil {
		return Rewrap{}, err
	}
	if from.id != id {
		return Rewrap{}, ErrTampered
	}
	n := Rewrap{Name: v.Name, Number: v.Number, Old: v.Wrap, KeyVersion: to.version}
	if !reseal {
		n.Wrap, err = rewrap(from, to, s.at(v), v.Wrap)
		return n, err
	}
	r, err := s.store.Load(ctx, v.Tenant, v.Name, v.Number)
	if err != nil {
		return Rewrap{}, err
	}
	if r.Version.Number == 0 {
		return Rewrap{}, errGone
	}
	plain, err := open(nil, from, s.at(v), v.Wrap, r.Version.Body)
	if err != nil {
		return Rewrap{}, err
	}
	defer clear(plain)
	sealed, err := seal(nil, to, s.at(v), plain)
	n.Wrap, n.Body = split(sealed)
	return n, err
}

// RewrapTenantKeys wraps every tenant's keys under the newest root key, with a
// Grant of secrets.rotate on the node tenants. A Keeper that is a Rewrapper does
// so without showing them, many at once. What a key is wrapped under cannot be
// seen from outside: a run that was stopped begins again.
func (s *Safe) RewrapTenantKeys(ctx context.Context, g authz.Grant, o *JobOptions) (Progress, error) {
	if err := s.must(ctx, g, "secrets.rotate", everyTenant(), "rewrap-keys"); err != nil {
		return Progress{}, err
	}
	j := s.newJob(o)
	fail := func(err error) (Progress, error) { return j.p, fmt.Errorf("secrets: rewrap tenants' keys: %w", err) }
	for cursor := ""; ; {
		page, next, err := s.keys.store.List(ctx, cursor)
		if err != nil {
			return fail(err)
		}
		for _, t := range page {
			j.p.Total += len(t.Keys)
		}
		if cursor = next; next == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, next, err := s.keys.store.List(ctx, cursor)
		if err == nil {
			err = s.rewrapKeys(ctx, page, j)
		}
		if err != nil {
			return fail(err)
		}
		j.tell()
		if cursor = next; next == "" {
			return j.p, nil
		}
	}
}

// rewrapKeys does one page of tenants. A key that was changed meanwhile is read
// again and tried once more.
func (s *Safe) rewrapKeys(ctx context.Context, page []TenantKeys, j *job) error {
	type one struct {
		tenant string
		w      WrappedKey
	}
	var todo []one
	for _, t := range page {
		for _, w := range t.Keys {
			todo = append(todo, one{t.Tenant, w})
		}
	}
	for try := range 2 {
		items := make([]KeyItem, len(todo))
		for i, k := range todo {
			items[i] = KeyItem{k.w.Wrapped, s.keys.aad(k.tenant, k.w.ID, k.w.Version)}
		}
		results, err := s.keys.rewrapAll(ctx, items)
		if err != nil {
			return err
		}
		var again []one
		for i, k := range todo {
			if results[i].Err != nil {
				if !errors.Is(results[i].Err, ErrTampered) {
					return results[i].Err
				}
				j.fail(k.tenant, uint64(k.w.Version), results[i].Err)
				continue
			}
			n := WrappedKey{k.w.ID, k.w.Version, results[i].Key}
			switch err := s.keys.store.ReplaceKey(ctx, k.tenant, k.w.Wrapped, n); {
			case err == nil:
				j.p.Done++
			case !errors.Is(err, ErrConflict):
				return err
			case try == 1:
				j.fail(k.tenant, uint64(k.w.Version), err)
			default:
				ks, err := s.keys.store.Keys(ctx, k.tenant)
				if err != nil {
					return err
				}
				found := false
				for _, w := range ks {
					if w.Version == k.w.Version && w.ID == k.w.ID {
						again, found = append(again, one{k.tenant, w}), true
					}
				}
				if !found { // shredded or removed
					j.p.Total--
				}
			}
		}
		if todo = again; len(todo) == 0 {
			break
		}
	}
	return nil
}

// rewrapAll wraps keys anew, in bulk where the Keeper can.
func (t *tenantKeys) rewrapAll(ctx context.Context, items []KeyItem) ([]KeyResult, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if r, ok := t.keeper.(Rewrapper); ok {
		out, err := r.Rewrap(ctx, items)
		if err == nil && len(out) != len(items) {
			err = fmt.Errorf("secrets: rewrap answered %d of %d: %w", len(out), len(items), ErrKeeper)
		}
		return out, err
	}
	out := make([]KeyResult, len(items))
	for i, it := range items {
		key, err := t.keeper.Unwrap(ctx, it.Wrapped, it.AAD)
		if err == nil {
			out[i].Key, err = t.keeper.Wrap(ctx, key, it.AAD)
			clear(key)
		}
		if out[i].Err = err; err != nil && !errors.Is(err, ErrTampered) {
			return nil, err
		}
	}
	return out, nil
}
