package secrets

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory keeps sealed secrets as long as the process lives, for tests and
// demonstrations. The zero Memory is ready; do not copy it.
type Memory struct {
	mu       sync.Mutex
	tenants  map[string]Tenant
	heads    map[string]Head
	versions map[string][]Version // by name, oldest first
}

var _ Store = (*Memory)(nil)

// Load implements Store.
func (m *Memory) Load(ctx context.Context, tenant, name string, version uint64) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Record{Tenant: m.tenants[tenant].clone()}
	h, ok := m.heads[name]
	if !ok || h.Tenant != tenant {
		return r, nil
	}
	r.Head = h
	r.Head.MAC = bytes.Clone(h.MAC)
	if version == 0 {
		version = h.Current
	}
	vs := m.versions[name]
	if len(vs) > 0 {
		r.Newest = vs[len(vs)-1].Number
	}
	if i, ok := find(vs, version); ok {
		r.Version = vs[i].clone()
	}
	return r, nil
}

// Save implements Store.
func (m *Memory) Save(ctx context.Context, h Head, v *Version, generation uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t, old := m.tenants[h.Tenant], m.heads[h.Name]
	if generation == 0 || t.Generation != generation || !t.Erased.IsZero() || old.Revision+1 != h.Revision || h.Revision > 1 && old.Tenant != h.Tenant {
		return ErrConflict
	}
	vs := m.versions[h.Name]
	if v != nil {
		i, there := find(vs, v.Number)
		if there {
			return ErrConflict
		}
		vs = slices.Insert(slices.Clone(vs), i, v.clone())
	}
	vs = slices.DeleteFunc(slices.Clone(vs), func(v Version) bool { return v.Number < h.Oldest })
	m.init()
	h.MAC = bytes.Clone(h.MAC)
	h.LastUse = old.LastUse
	m.heads[h.Name], m.versions[h.Name] = h, vs
	return nil
}

func (m *Memory) init() {
	if m.tenants == nil {
		m.tenants, m.heads, m.versions = map[string]Tenant{}, map[string]Head{}, map[string][]Version{}
	}
}

// find returns where a number is, or belongs, among versions.
func find(vs []Version, number uint64) (int, bool) {
	return slices.BinarySearchFunc(vs, number, func(v Version, n uint64) int { return cmp.Compare(v.Number, n) })
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Entry
	for _, name := range page(m.heads, after, limit, func(n string) bool { return strings.HasPrefix(n, prefix) }) {
		e := Entry{Head: m.heads[name]}
		e.MAC = bytes.Clone(e.MAC)
		if i, ok := find(m.versions[name], e.Current); ok {
			e.KeyVersion = m.versions[name][i].KeyVersion
		}
		out = append(out, e)
	}
	return out, nil
}

// page returns up to limit sorted keys after the given one.
func page[V any](m map[string]V, after string, limit int, keep func(string) bool) []string {
	var out []string
	for k := range m {
		if k > after && keep(k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), max(limit, 0))]
}

// Scan implements Store.
func (m *Memory) Scan(ctx context.Context, tenant, name string, before uint32, after At, limit int) ([]Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Version
	for n, vs := range m.versions {
		if name != "" && n != name || n < after.Name {
			continue
		}
		for _, v := range vs {
			if v.Tenant == tenant && v.KeyVersion < before && (n > after.Name || v.Number > after.Number) {
				v = v.clone()
				v.Body = nil
				out = append(out, v)
			}
		}
	}
	slices.SortFunc(out, func(a, b Version) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Number, b.Number))
	})
	return out[:min(len(out), max(limit, 0))], nil
}

// Count implements Store.
func (m *Memory) Count(ctx context.Context, tenant string, before uint32) (int, error) {
	vs, err := m.Scan(ctx, tenant, "", before, At{}, 1<<62)
	return len(vs), err
}

// Replace implements Store.
func (m *Memory) Replace(ctx context.Context, tenant string, rs []Rewrap) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]error, len(rs))
	for n, r := range rs {
		vs := m.versions[r.Name]
		i, ok := find(vs, r.Number)
		if !ok || vs[i].Tenant != tenant || !bytes.Equal(vs[i].Wrap, r.Old) {
			out[n] = ErrConflict
			continue
		}
		vs[i].Wrap, vs[i].KeyVersion = bytes.Clone(r.Wrap), r.KeyVersion
		if r.Body != nil {
			vs[i].Body = bytes.Clone(r.Body)
		}
	}
	return out, nil
}

// ReplaceMACs implements Store.
func (m *Memory) ReplaceMACs(ctx context.Context, tenant string, ms []HeadMAC) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]error, len(ms))
	for i, n := range ms {
		h, ok := m.heads[n.Name]
		if !ok || h.Tenant != tenant || !bytes.Equal(h.MAC, n.Old) {
			out[i] = ErrConflict
			continue
		}
		h.MAC = bytes.Clone(n.MAC)
		m.heads[n.Name] = h
	}
	return out, nil
}

// Touch implements Store.
func (m *Memory) Touch(ctx context.Context, tenant string, names []string, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range names {
		if h, ok := m.heads[n]; ok && h.Tenant == tenant && at.After(h.LastUse) {
			h.LastUse = at
			m.heads[n] = h
		}
	}
	return nil
}

// Tenants implements Store.
func (m *Memory) Tenants(ctx context.Context, after string, limit int) ([]Tenant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Tenant
	for _, name := range page(m.tenants, after, limit, func(string) bool { return true }) {
		out = append(out, m.tenants[name].clone())
	}
	return out, nil
}

// SaveTenant implements Store.
func (m *Memory) SaveTenant(ctx context.Context, t Tenant, generation uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.tenants[t.Name]; old.Generation != generation || !old.Erased.IsZero() {
		return ErrConflict
	}
	m.init()
	m.tenants[t.Name] = t.clone()
	return nil
}

// Erase implements Store.
func (m *Memory) Erase(ctx context.Context, tenant string, at time.Time) (heads, versions int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	t := m.tenants[tenant]
	t.Name, t.HeadKey = tenant, nil
	if t.Erased.IsZero() {
		t.Erased = at
	}
	m.tenants[tenant] = t
	for n, h := range m.heads {
		if h.Tenant == tenant {
			heads++
			delete(m.heads, n)
		}
	}
	for n, vs := range m.versions {
		if len(vs) == 0 || vs[0].Tenant == tenant {
			versions += len(vs)
			delete(m.versions, n)
		}
	}
	return heads, versions, nil
}

func (t Tenant) clone() Tenant {
	t.HeadKey = bytes.Clone(t.HeadKey)
	return t
}

func (v Version) clone() Version {
	v.Wrap, v.Body = bytes.Clone(v.Wrap), bytes.Clone(v.Body)
	return v
}
