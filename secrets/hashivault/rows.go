package hashivault

import (
	"bytes"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// The documents of a Store. DESIGN.md tells why they are as they are.

const (
	tenantFormat = "lockkeeper tenant 1"
	secretFormat = "lockkeeper secret 1"
	pieceFormat  = "lockkeeper piece 1"

	inline   = 8 << 10   // bytes of a body that stays in the secret's document
	pieceMax = 300 << 10 // bytes of a piece of a longer one
	maxRoots = 64        // of a tenant
	changes  = 16        // that a document remembers by their ids
)

// tenantDoc is a tenant's row.
type tenantDoc struct {
	Format     string   `json:"format"`
	Name       string   `json:"name"`
	Generation uint32   `json:"generation"`
	HeadKey    []byte   `json:"head_key,omitempty"`
	Erased     int64    `json:"erased,omitempty"`
	Roots      []string `json:"roots,omitempty"` // of secrets that are elsewhere than under the tenant's own
}

func (d *tenantDoc) row() secrets.Tenant {
	return secrets.Tenant{Name: d.Name, Generation: d.Generation, HeadKey: d.HeadKey, Erased: when(d.Erased)}
}

// open reports whether secrets may be saved that are sealed at a generation.
func (d *tenantDoc) open(generation uint32) bool {
	return generation > 0 && d.Generation == generation && d.Erased == 0
}

// roots are where the tenant's secrets are, in order.
func (d *tenantDoc) roots(tenant string) []string {
	out := append([]string{"tenants/" + tenant}, d.Roots...)
	slices.SortFunc(out, func(a, b string) int { return bytes.Compare([]byte(a+"/"), []byte(b+"/")) })
	return slices.Compact(out)
}

// secretDoc is a secret with all its versions. What it is, is Now; Next is what it
// will be once somebody has seen that the tenant's generation still is the one
// that Next was made at.
type secretDoc struct {
	Format  string   `json:"format"`
	Name    string   `json:"name"`
	Now     *rows    `json:"now,omitempty"`
	Next    *change  `json:"next,omitempty"`
	Made    [][]byte `json:"made,omitempty"`    // ids of the changes that were made, newest last
	Unswept bool     `json:"unswept,omitempty"` // earlier versions of the document hold what must be gone
	Pieces  bool     `json:"pieces,omitempty"`  // there are, or were, pieces of bodies
}

type rows struct {
	Head     headRow      `json:"head"`
	Versions []versionRow `json:"versions,omitempty"` // oldest first
}

// change is a Save that is not decided yet.
type change struct {
	ID         []byte      `json:"id"`
	Generation uint32      `json:"generation"`
	Head       headRow     `json:"head"`
	Version    *versionRow `json:"version,omitempty"`
}

type headRow struct {
	Tenant   string `json:"tenant"`
	Revision uint64 `json:"revision,string"`
	Current  uint64 `json:"current,string"`
	Oldest   uint64 `json:"oldest,string"`
	Revoked  bool   `json:"revoked,omitempty"`
	Kind     string `json:"kind"`
	Scope    string `json:"scope,omitempty"`
	Created  int64  `json:"created"`
	Changed  int64  `json:"changed"`
	Expires  int64  `json:"expires,omitempty"`
	Due      int64  `json:"due,omitempty"`
	LastUse  int64  `json:"last_use,omitempty"`
	MAC      []byte `json:"mac"`
}

type versionRow struct {
	Number     uint64 `json:"number,string"`
	Kind       string `json:"kind"`
	Created    int64  `json:"created"`
	Expires    int64  `json:"expires,omitempty"`
	KeyVersion uint32 `json:"key_version"`
	Wrap       []byte `json:"wrap"`
	Body       []byte `json:"body,omitempty"`
	Pieces     pieces `json:"pieces,omitzero"` // of the body, which is not here then
}

// pieces name the documents of a long body.
type pieces struct {
	ID    string `json:"id"`
	Count int    `json:"count"`
}

// pieceDoc is one of them. It never changes.
type pieceDoc struct {
	Format string `json:"format"`
	Data   []byte `json:"data"`
}

func headOf(h secrets.Head) headRow {
	return headRow{Tenant: h.Tenant, Revision: h.Revision, Current: h.Current, Oldest: h.Oldest, Revoked: h.Revoked, Kind: string(h.Kind), Scope: h.Scope,
		Created: unix(h.Created), Changed: unix(h.Changed), Expires: unix(h.Expires), Due: unix(h.Due), MAC: h.MAC}
}

func (h headRow) row(name string) secrets.Head {
	return secrets.Head{Name: name, Tenant: h.Tenant, Revision: h.Revision, Current: h.Current, Oldest: h.Oldest, Revoked: h.Revoked, Kind: secrets.Kind(h.Kind), Scope: h.Scope,
		Created: when(h.Created), Changed: when(h.Changed), Expires: when(h.Expires), Due: when(h.Due), LastUse: when(h.LastUse), MAC: h.MAC}
}

func versionOf(v *secrets.Version) *versionRow {
	return &versionRow{Number: v.Number, Kind: string(v.Kind), Created: unix(v.Created), Expires: unix(v.Expires), KeyVersion: v.KeyVersion, Wrap: v.Wrap, Body: v.Body}
}

// row is without the body.
func (v versionRow) row(name, tenant string) secrets.Version {
	return secrets.Version{Name: name, Tenant: tenant, Number: v.Number, Kind: secrets.Kind(v.Kind), Created: when(v.Created), Expires: when(v.Expires), KeyVersion: v.KeyVersion, Wrap: v.Wrap}
}

// version returns where a number is, or belongs, among the versions.
func (r *rows) version(number uint64) (int, bool) {
	return slices.BinarySearchFunc(r.Versions, number, func(v versionRow, n uint64) int {
		switch {
		case v.Number < n:
			return -1
		case v.Number > n:
			return 1
		}
		return 0
	})
}

// of reports whether it is a tenant's secret, or will be.
func (d *secretDoc) of(tenant string) bool {
	return d.Now != nil && d.Now.Head.Tenant == tenant || d.Next != nil && d.Next.Head.Tenant == tenant
}

// follows reports whether a change may be made to what is there.
func (d *secretDoc) follows(h secrets.Head, v *secrets.Version) bool {
	if d.Now == nil {
		return h.Revision == 1
	}
	_, there := uint64(0), false
	if v != nil {
		_, there = d.Now.version(v.Number)
	}
	return h.Revision > 1 && d.Now.Head.Revision == h.Revision-1 && d.Now.Head.Tenant == h.Tenant && !there
}

// decide makes what is next what is now, or drops it, and returns the versions
// that are gone thereby.
func (d *secretDoc) decide(made bool) (gone []versionRow) {
	n := d.Next
	d.Next = nil
	if !made {
		if n.Version != nil {
			gone = append(gone, *n.Version)
		}
		return gone
	}
	next := rows{Head: n.Head}
	if d.Now != nil {
		next.Versions, next.Head.LastUse = d.Now.Versions, d.Now.Head.LastUse
	}
	if n.Version != nil {
		i, _ := next.version(n.Version.Number)
		next.Versions = slices.Insert(next.Versions, i, *n.Version)
	}
	next.Versions = slices.DeleteFunc(next.Versions, func(v versionRow) bool {
		old := v.Number < n.Head.Oldest
		if old {
			gone = append(gone, v)
		}
		return old
	})
	d.Now = &next
	d.Unswept = d.Unswept || len(gone) > 0
	d.Made = append(d.Made, n.ID)
	d.Made = d.Made[max(0, len(d.Made)-changes):]
	return gone
}

// made reports whether a change was made. It is not known of one that so many
// others followed that its id is forgotten.
func (d *secretDoc) made(c *change) (yes, known bool) {
	for _, id := range d.Made {
		if bytes.Equal(id, c.ID) {
			return true, true
		}
	}
	return false, d.Now == nil || d.Now.Head.Revision < c.Head.Revision+changes
}

// intact reports whether a document is of the right form and in its place.
func (d *secretDoc) intact(name string) bool {
	if d.Format != secretFormat || d.Name != name || d.Next != nil && len(d.Next.ID) != 16 {
		return false
	}
	if d.Now == nil {
		return true
	}
	for i, v := range d.Now.Versions {
		if i > 0 && v.Number <= d.Now.Versions[i-1].Number || v.Pieces.Count < 0 || v.Pieces.Count > 1<<10 || v.Pieces.Count > 0 && len(v.Pieces.ID) != 32 {
			return false
		}
	}
	return true
}

// size is about what the document takes when stored.
func (d *secretDoc) size() int {
	n := 400 + 2*len(d.Name) + 30*len(d.Made)
	add := func(h headRow, vs ...versionRow) {
		n += 400 + len(h.Tenant) + len(h.Scope) + len(h.MAC)*4/3
		for _, v := range vs {
			n += 250 + (len(v.Wrap)+len(v.Body))*4/3
		}
	}
	if d.Now != nil {
		add(d.Now.Head, d.Now.Versions...)
	}
	if d.Next != nil {
		add(d.Next.Head)
		if d.Next.Version != nil {
			add(headRow{}, *d.Next.Version)
		}
	}
	return n
}

// when reads seconds since 1970, 0 for none.
func when(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
