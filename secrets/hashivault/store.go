package hashivault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Store is a secrets.Store in a KV version 2 mount, below Config.Secrets: a
// document for each tenant and one for each secret with all its versions, each
// changed with check-and-set. What has to be right between the two, that no
// secret is saved at a generation that is no longer the tenant's, is done by
// saving in two steps; DESIGN.md tells how. It needs the duty Storing.
//
// Every use of a secret reads two documents. A tenant may have some ten thousand
// secrets; for more there is a database. Values are stored in pieces below the
// size that Vault's storages take, names of which a part is longer than 120 bytes
// as Vault gets it are refused.
//
// Vault then holds all three: root key, tenants' keys and sealed secrets. A copy
// of its storage opens to whoever can unseal it, and erasing a tenant is complete
// when the last such copy is gone.
type Store struct {
	c    *Client
	docs documents

	mu   sync.Mutex
	seen map[string]uint64 // version of each tenant's document when it was last read
}

var _ secrets.Store = (*Store)(nil)

const abreast = 16 // requests of one call at the same time

// Store is the secrets.Store over the Config's KV mount.
func (c *Client) Store() *Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		c.store = &Store{c: c, docs: newDocuments(c, c.cfg.Secrets, "secrets"), seen: map[string]uint64{}}
	}
	return c.store
}

// failed says where an error is from. Conflicts are for the caller alone.
func failed(what string, err error) error {
	if err == nil || errors.Is(err, secrets.ErrConflict) {
		return err
	}
	if strings.HasPrefix(err.Error(), "hashivault: ") {
		return err
	}
	return fmt.Errorf("hashivault: %s: %w", what, err)
}

// tries calls f until it is no race that was lost, waiting a little longer each
// time.
func (s *Store) tries(ctx context.Context, what string, f func() error) error {
	for try := range conflicts {
		if try > 0 {
			select {
			case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)): // jitter is no secret
			case <-ctx.Done():
				return failed(what, ctx.Err())
			}
		}
		if err := f(); !errors.Is(err, errRace) {
			return failed(what, err)
		}
	}
	return fmt.Errorf("hashivault: %s: others were faster, time and again: %w", what, secrets.ErrConflict)
}

// tenant reads a tenant's document. Version 0 means that there is none.
func (s *Store) tenant(ctx context.Context, tenant string) (*tenantDoc, uint64, error) {
	path, err := inFolder(tenantsFolder, tenant)
	if err != nil {
		return nil, 0, err
	}
	d := &tenantDoc{}
	version, err := s.docs.read(ctx, path, d)
	if err != nil {
		return nil, 0, err
	}
	if version > 0 && (d.Format != tenantFormat || d.Name != tenant) {
		return nil, 0, fmt.Errorf("hashivault: read secrets: %s: %w", path, ErrDamaged)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.seen, tenant); version > 0 {
		s.seen[tenant] = version
	}
	return d, version, nil
}

func (s *Store) writeTenant(ctx context.Context, d *tenantDoc, version uint64) (uint64, error) {
	path, err := inFolder(tenantsFolder, d.Name)
	if err != nil {
		return 0, err
	}
	d.Format = tenantFormat
	return s.docs.write(ctx, path, d, version)
}

// read reads a secret's document. Version 0 means that there is none.
func (s *Store) read(ctx context.Context, name string) (*secretDoc, uint64, error) {
	path, err := inFolder(rowsFolder, name)
	if err != nil {
		return nil, 0, err
	}
	d := &secretDoc{}
	version, err := s.docs.read(ctx, path, d)
	if err != nil {
		return nil, 0, err
	}
	if version == 0 {
		return &secretDoc{Format: secretFormat, Name: name}, 0, nil
	}
	if !d.intact(name) {
		return nil, 0, fmt.Errorf("hashivault: read secrets: %s: %w", path, ErrDamaged)
	}
	return d, version, nil
}

func (s *Store) write(ctx context.Context, d *secretDoc, version uint64) (uint64, error) {
	path, err := inFolder(rowsFolder, d.Name)
	if err != nil {
		return 0, err
	}
	if n := d.size(); n > maxDoc {
		return 0, fmt.Errorf("hashivault: write secrets: %s would have %d bytes, %d at most: keep fewer versions", path, n, maxDoc)
	}
	return s.docs.write(ctx, path, d, version)
}

// settled reads a secret's document in which nothing is left to be done.
func (s *Store) settled(ctx context.Context, name string) (d *secretDoc, version uint64, err error) {
	err = s.tries(ctx, "read secrets", func() error {
		if d, version, err = s.read(ctx, name); err != nil {
			return err
		}
		if d.Next == nil && !d.Unswept {
			return nil
		}
		if err := s.settle(ctx, d, version); err != nil {
			return err
		}
		return errRace // to read what it is now
	})
	return d, version, err
}

// settle decides about what is next in a document that was read, and destroys what
// must be gone. The tenant is read after the document: if the generation is still
// the one that the change was made at, it was so when the change was written.
func (s *Store) settle(ctx context.Context, d *secretDoc, version uint64) error {
	if d.Next != nil {
		t, _, err := s.tenant(ctx, d.Next.Head.Tenant)
		if err != nil {
			return err
		}
		gone := d.decide(t.open(d.Next.Generation))
		if d.Now == nil && t.Erased != 0 {
			if err := s.drop(ctx, d.Name, gone); err != nil {
				return err
			}
			return s.docs.remove(ctx, mustFolder(rowsFolder, d.Name))
		}
		if version, err = s.write(ctx, d, version); err != nil {
			return err
		}
		if err := s.drop(ctx, d.Name, gone); err != nil {
			return err
		}
	}
	if !d.Unswept {
		return nil
	}
	if err := s.docs.destroyBefore(ctx, mustFolder(rowsFolder, d.Name), version); err != nil {
		return err
	}
	d.Unswept = false
	_, err := s.write(ctx, d, version)
	return err
}

// mustFolder is inFolder for a name of which a document was read.
func mustFolder(folder, name string) string {
	path, err := inFolder(folder, name)
	if err != nil {
		panic(err)
	}
	return path
}

// Load implements secrets.Store. The tenant is read before and after the secret:
// if it did not change meanwhile, both are as of one moment.
func (s *Store) Load(ctx context.Context, tenant, name string, version uint64) (r secrets.Record, err error) {
	if err := ctx.Err(); err != nil {
		return r, failed("load", err)
	}
	if name == "" {
		t, _, err := s.tenant(ctx, tenant)
		if err != nil {
			return r, failed("load", err)
		}
		return secrets.Record{Tenant: t.row()}, nil
	}
	err = s.tries(ctx, "load", func() error {
		s.mu.Lock()
		before, ok := s.seen[tenant]
		s.mu.Unlock()
		if !ok {
			if _, before, err = s.tenant(ctx, tenant); err != nil {
				return err
			}
		}
		d, dv, err := s.read(ctx, name)
		if errors.Is(err, errLongName) {
			d, err = &secretDoc{Name: name}, nil
		}
		if err != nil {
			return err
		}
		t, after, err := s.tenant(ctx, tenant)
		if err != nil {
			return err
		}
		if after != before {
			return errRace
		}
		if n := d.Next; n != nil && n.Head.Tenant == tenant && !t.open(n.Generation) {
			if err := s.settle(ctx, d, dv); err != nil {
				return err
			}
			return errRace
		}
		r, err = s.record(ctx, t, tenant, d, dv, version)
		return err
	})
	return r, err
}

// record is what a secret's document says of a version.
func (s *Store) record(ctx context.Context, t *tenantDoc, tenant string, d *secretDoc, dv, number uint64) (secrets.Record, error) {
	r := secrets.Record{Tenant: t.row()}
	if d.Now == nil || d.Now.Head.Tenant != tenant || t.Erased != 0 {
		return r, nil
	}
	r.Head = d.Now.Head.row(d.Name)
	vs := d.Now.Versions
	if len(vs) > 0 {
		r.Newest = vs[len(vs)-1].Number
	}
	if number == 0 {
		number = r.Head.Current
	}
	i, ok := d.Now.version(number)
	if !ok {
		return r, nil
	}
	r.Version = vs[i].row(d.Name, tenant)
	r.Version.Body = vs[i].Body
	if vs[i].Pieces.Count == 0 {
		return r, nil
	}
	var err error
	if r.Version.Body, err = s.body(ctx, d.Name, vs[i].Pieces); errors.Is(err, ErrDamaged) {
		// Gone by right if the version was dropped meanwhile.
		if _, again, err := s.read(ctx, d.Name); err == nil && again != dv {
			return secrets.Record{}, errRace
		}
	}
	return r, err
}

// Save implements secrets.Store. An error that is not ErrConflict leaves open
// whether it was done: what is under way then is decided by whoever comes next.
func (s *Store) Save(ctx context.Context, h secrets.Head, v *secrets.Version, generation uint32) error {
	if err := ctx.Err(); err != nil {
		return failed("save", err)
	}
	if v != nil && (v.Name != h.Name || v.Tenant != h.Tenant) {
		return errors.New("hashivault: save: the version is another secret's")
	}
	if _, err := inFolder(rowsFolder, h.Name); err != nil {
		return failed("save", err)
	}
	if strings.Count(h.Name, "/") < 2 {
		return errors.New("hashivault: save: a secret's name has three parts at least")
	}
	if err := s.c.verify(ctx); err != nil {
		return err
	}
	id := make([]byte, 16)
	fillRandom(id)
	n := &change{ID: id, Generation: generation, Head: headOf(h)}
	if v != nil {
		n.Version = versionOf(v)
	}
	written := false
	err := s.tries(ctx, "save", func() error {
		t, err := s.rooted(ctx, h.Tenant, h.Name, generation)
		if err != nil {
			return err
		}
		d, version, err := s.settled(ctx, h.Name)
		switch {
		case err != nil:
			return err
		case !t.open(generation), !d.follows(h, v):
			return secrets.ErrConflict
		}
		if n.Version != nil && len(n.Version.Body) > inline {
			if n.Version.Pieces, err = s.putBody(ctx, h.Name, n.Version.Body); err != nil {
				return err
			}
			n.Version.Body, written = nil, true
		}
		d.Next, d.Pieces = n, d.Pieces || written
		if version, err = s.write(ctx, d, version); err != nil {
			return err
		}
		return s.finish(context.WithoutCancel(ctx), n, d, version)
	})
	if written && errors.Is(err, secrets.ErrConflict) {
		_ = s.drop(context.WithoutCancel(ctx), h.Name, []versionRow{*n.Version}) // sealed, and its key is nowhere
	}
	return err
}

// finish has a change that was written decided.
func (s *Store) finish(ctx context.Context, n *change, d *secretDoc, version uint64) error {
	name := d.Name
	err := s.settle(ctx, d, version)
	if err != nil && !errors.Is(err, errRace) {
		return err
	}
	if err == nil && d.Now != nil && len(d.Made) > 0 && bytes.Equal(d.Made[len(d.Made)-1], n.ID) {
		return nil
	}
	// Dropped, or decided by another.
	if d, _, err = s.settled(ctx, name); err != nil {
		return err
	}
	switch yes, known := d.made(n); {
	case yes:
		return nil
	case known:
		return secrets.ErrConflict
	}
	return errors.New("hashivault: save: so many changes followed that it is not known whether this one was made")
}

// rooted reads the tenant's document and makes sure that it tells where the secret
// is.
func (s *Store) rooted(ctx context.Context, tenant, name string, generation uint32) (*tenantDoc, error) {
	root := rootOf(name)
	t, version, err := s.tenant(ctx, tenant)
	if err != nil || !t.open(generation) || slices.Contains(t.roots(tenant), root) {
		return t, err
	}
	if len(t.Roots) >= maxRoots {
		return nil, fmt.Errorf("hashivault: save: the tenant has secrets in more than %d places that are not its own", maxRoots)
	}
	t.Roots = append(t.Roots, root)
	if _, err := s.writeTenant(ctx, t, version); err != nil {
		return nil, err
	}
	return t, nil
}

// fetched reads documents side by side, settled.
func (s *Store) fetched(ctx context.Context, names []string) ([]*secretDoc, error) {
	out := make([]*secretDoc, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for i, n := range names {
		g.Go(func() (err error) {
			out[i], _, err = s.settled(ctx, n)
			return err
		})
	}
	return out, g.Wait()
}

// each calls f, in order, with the settled documents of a walk, until f returns
// false. They are fetched in groups, of at least first.
func (s *Store) each(ctx context.Context, prefix, from string, first int, f func(*secretDoc) bool) error {
	group, most := make([]string, 0, 64), min(max(first, 1), 64)
	flush := func() (bool, error) {
		ds, err := s.fetched(ctx, group)
		if err != nil {
			return false, err
		}
		group, most = group[:0], 64
		for _, d := range ds {
			if !f(d) {
				return false, nil
			}
		}
		return true, nil
	}
	more := true
	err := s.docs.walk(ctx, rowsFolder, prefix, from, func(name string) (_ bool, err error) {
		if group = append(group, name); len(group) < most {
			return true, nil
		}
		more, err = flush()
		return more, err
	})
	if err == nil && more {
		_, err = flush()
	}
	return err
}

// List implements secrets.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (out []secrets.Entry, err error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, failed("list", err)
	}
	from := after
	if after != "" {
		from += "\x00" // the next name that can be
	}
	err = s.each(ctx, prefix, from, limit, func(d *secretDoc) bool {
		if d.Now == nil {
			return true
		}
		e := secrets.Entry{Head: d.Now.Head.row(d.Name)}
		if i, ok := d.Now.version(e.Current); ok {
			e.KeyVersion = d.Now.Versions[i].KeyVersion
		}
		out = append(out, e)
		return len(out) < limit
	})
	return out, failed("list", err)
}

// versions calls f, in order, with a tenant's versions, until it returns false.
func (s *Store) versions(ctx context.Context, tenant, name string, after secrets.At, limit int, f func(secrets.Version) bool) error {
	visit := func(d *secretDoc) bool {
		if d.Now == nil || d.Now.Head.Tenant != tenant {
			return true
		}
		for _, v := range d.Now.Versions {
			if (d.Name > after.Name || v.Number > after.Number) && !f(v.row(d.Name, tenant)) {
				return false
			}
		}
		return true
	}
	if name != "" {
		if name < after.Name {
			return nil
		}
		d, _, err := s.settled(ctx, name)
		if errors.Is(err, errLongName) {
			return nil
		}
		if err == nil {
			visit(d)
		}
		return err
	}
	t, _, err := s.tenant(ctx, tenant)
	if err != nil {
		return err
	}
	for _, root := range t.roots(tenant) {
		more := true
		if err := s.each(ctx, root+"/", after.Name, limit, func(d *secretDoc) bool {
			more = visit(d)
			return more
		}); err != nil || !more {
			return err
		}
	}
	return nil
}

// Scan implements secrets.Store.
func (s *Store) Scan(ctx context.Context, tenant, name string, before uint32, after secrets.At, limit int) (out []secrets.Version, err error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, failed("scan", err)
	}
	err = s.versions(ctx, tenant, name, after, limit, func(v secrets.Version) bool {
		if v.KeyVersion < before {
			out = append(out, v)
		}
		return len(out) < limit
	})
	return out, failed("scan", err)
}

// Count implements secrets.Store. It reads every secret of the tenant.
func (s *Store) Count(ctx context.Context, tenant string, before uint32) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, failed("count", err)
	}
	err = s.versions(ctx, tenant, "", secrets.At{}, 64, func(v secrets.Version) bool {
		if v.KeyVersion < before {
			n++
		}
		return true
	})
	return n, failed("count", err)
}

// Replace implements secrets.Store, with a write for each secret.
func (s *Store) Replace(ctx context.Context, tenant string, rs []secrets.Rewrap) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("replace", err)
	}
	if err := s.c.verify(ctx); err != nil {
		return nil, err
	}
	out := make([]error, len(rs))
	of := map[string][]int{}
	for i, r := range rs {
		of[r.Name] = append(of[r.Name], i)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for name, which := range of {
		g.Go(func() error {
			return s.tries(gctx, "replace", func() error { return s.replace(gctx, tenant, name, rs, which, out) })
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// replace is Replace for one secret.
func (s *Store) replace(ctx context.Context, tenant, name string, rs []secrets.Rewrap, which []int, out []error) error {
	d, version, err := s.settled(ctx, name)
	if errors.Is(err, errLongName) {
		d, err = &secretDoc{}, nil
	}
	if err != nil {
		return err
	}
	var old, put []versionRow
	for _, i := range which {
		out[i] = secrets.ErrConflict
		if d.Now == nil || d.Now.Head.Tenant != tenant {
			continue
		}
		r := rs[i]
		at, ok := d.Now.version(r.Number)
		if !ok || !bytes.Equal(d.Now.Versions[at].Wrap, r.Old) {
			continue
		}
		v := &d.Now.Versions[at]
		v.Wrap, v.KeyVersion, out[i] = r.Wrap, r.KeyVersion, nil
		if r.Body == nil {
			continue
		}
		old = append(old, *v)
		v.Body, v.Pieces = r.Body, pieces{}
		if len(r.Body) > inline {
			if v.Pieces, err = s.putBody(ctx, name, r.Body); err != nil {
				return err
			}
			v.Body, d.Pieces = nil, true
			put = append(put, *v)
		}
	}
	if !slices.ContainsFunc(which, func(i int) bool { return out[i] == nil }) {
		return nil
	}
	if _, err := s.write(ctx, d, version); err != nil {
		if errors.Is(err, errRace) {
			_ = s.drop(context.WithoutCancel(ctx), name, put) // written again in the next try
		}
		return err
	}
	return s.drop(ctx, name, old)
}

// ReplaceMACs implements secrets.Store, with a write for each secret.
func (s *Store) ReplaceMACs(ctx context.Context, tenant string, ms []secrets.HeadMAC) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("replace MACs", err)
	}
	if err := s.c.verify(ctx); err != nil {
		return nil, err
	}
	out := make([]error, len(ms))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for i, m := range ms {
		g.Go(func() error {
			return s.tries(gctx, "replace MACs", func() error {
				out[i] = secrets.ErrConflict
				d, version, err := s.settled(gctx, m.Name)
				if errors.Is(err, errLongName) {
					return nil
				}
				if err != nil || d.Now == nil || d.Now.Head.Tenant != tenant || !bytes.Equal(d.Now.Head.MAC, m.Old) {
					return err
				}
				d.Now.Head.MAC = m.MAC
				if _, err := s.write(gctx, d, version); err != nil {
					return err
				}
				out[i] = nil
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// Touch implements secrets.Store, with a write for each secret.
func (s *Store) Touch(ctx context.Context, tenant string, names []string, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return failed("touch", err)
	}
	if err := s.c.verify(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for _, name := range names {
		g.Go(func() error {
			return s.tries(ctx, "touch", func() error {
				d, version, err := s.settled(ctx, name)
				if errors.Is(err, errLongName) {
					return nil
				}
				if err != nil || d.Now == nil || d.Now.Head.Tenant != tenant || d.Now.Head.LastUse >= unix(at) {
					return err
				}
				d.Now.Head.LastUse = unix(at)
				_, err = s.write(ctx, d, version)
				return err
			})
		})
	}
	return g.Wait()
}
