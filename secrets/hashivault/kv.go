package hashivault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// KV is a secrets.KeyStore on a KV version 2 mount of Vault. Make one with
// Client.KV.
//
// Up to 400 tenants share a document, keys-0001 and so on; a new tenant goes into
// the last one. With Config.Apart each tenant has its own. A change is written
// with check-and-set, so that several processes lose nothing of each other's.
// Shred and RemoveKeys also destroy every earlier version of the document, with
// everything in it: the keys of the other tenants are in the newest.
type KV struct {
	c    *Client
	docs documents

	mu    sync.Mutex
	seen  map[string]uint64 // version of each document when it was last read
	home  map[string]string // tenant to document
	last  int               // number of the first document that may still take tenants
	swept map[string]bool   // documents of which earlier versions must go with each write
	turn  chan struct{}     // held by whoever writes
}

var (
	_ secrets.KeyStore    = (*KV)(nil)
	_ secrets.KeyImporter = (*KV)(nil)
)

const (
	keysFormat = "lockkeeper keys 1"
	perDoc     = 400       // tenants
	roomy      = 200 << 10 // bytes of a document that takes one more tenant
	maxDoc     = 450 << 10 // bytes of any; Consul stores at most 512 KiB
	conflicts  = 16        // writes that may be lost to others before it is ErrConflict
	maxDocs    = 1 << 16
)

// KV is the KeyStore over the Config's KV mount and path. It remembers where
// each tenant's keys are: keep one.
func (c *Client) KV() *KV {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kv == nil {
		c.kv = &KV{c: c, docs: newDocuments(c, c.cfg.Path, "keys"), seen: map[string]uint64{}, home: map[string]string{}, swept: map[string]bool{}, last: 1, turn: make(chan struct{}, 1)}
	}
	return c.kv
}

// keysDoc is a document.
type keysDoc struct {
	Format  string              `json:"format"`
	Closed  bool                `json:"closed,omitempty"` // takes no new tenant; there is, or will be, a next one
	Sweep   bool                `json:"sweep,omitempty"`  // keys were destroyed here: no earlier version may stay
	Tenants map[string][]kvItem `json:"tenants"`
}

type kvItem struct {
	ID      []byte `json:"id"`
	Version uint32 `json:"version"`
	Wrapped []byte `json:"wrapped"`
}

func (d *keysDoc) intact() bool {
	if d.Format != keysFormat {
		return false
	}
	for _, ks := range d.Tenants {
		for i, k := range ks {
			if len(k.ID) != 16 || k.Version == 0 || k.Version != ks[0].Version+uint32(i) {
				return false
			}
		}
		if len(ks) == 0 {
			return false
		}
	}
	return true
}

func docName(n int) string { return fmt.Sprintf("keys-%04d", n) }

// number is the inverse of docName.
func number(name string) (int, bool) {
	s, ok := strings.CutPrefix(name, "keys-")
	if !ok || len(s) < 4 {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0 && docName(n) == name
}

// apartName names a tenant's own document: injective, and of characters that
// mean nothing to Vault's paths and policies.
func apartName(tenant string) string {
	var b strings.Builder
	for _, c := range []byte(tenant) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	if b.Len() > 120 {
		sum := sha256.Sum256([]byte(tenant))
		return "long-" + hex.EncodeToString(sum[:])
	}
	return "tenant-" + b.String()
}

// read reads a document. Version 0 means that it was never written. One that has
// less than was seen before is ErrWrongVault, one that is not whole ErrDamaged.
func (s *KV) read(ctx context.Context, name string) (*keysDoc, uint64, error) {
	d := &keysDoc{}
	version, err := s.docs.read(ctx, name, d)
	if err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if version < s.seen[name] {
		return nil, 0, &Error{Op: "read keys", State: secrets.Misused, Reason: "the key store went back: it is an older copy, restore the newest backup", cause: ErrWrongVault}
	}
	if version == 0 {
		return &keysDoc{Format: keysFormat, Tenants: map[string][]kvItem{}}, 0, nil
	}
	if !d.intact() {
		return nil, 0, fmt.Errorf("hashivault: read keys: %s: %w", name, ErrDamaged)
	}
	if d.Tenants == nil {
		d.Tenants = map[string][]kvItem{}
	}
	s.seen[name] = version
	if d.Sweep {
		s.swept[name] = true
	}
	if !s.c.cfg.Apart {
		for tenant := range d.Tenants {
			s.home[tenant] = name
		}
		if n, _ := number(name); d.Closed && n == s.last {
			s.last = n + 1
		}
	}
	return d, version, nil
}

// find returns the document that has, or would have, a tenant's keys.
func (s *KV) find(ctx context.Context, tenant string) (name string, d *keysDoc, version uint64, err error) {
	if s.c.cfg.Apart {
		name = apartName(tenant)
		d, version, err = s.read(ctx, name)
		return name, d, version, err
	}
	s.mu.Lock()
	name = s.home[tenant]
	s.mu.Unlock()
	if name != "" {
		if d, version, err = s.read(ctx, name); err != nil || len(d.Tenants[tenant]) > 0 {
			return name, d, version, err
		}
		s.mu.Lock() // shredded, by us or another; it may have begun again elsewhere
		if s.home[tenant] == name {
			delete(s.home, tenant)
		}
		s.mu.Unlock()
	}
	// A closed document takes no tenant, so that only those from the last known
	// one on can have what was not seen yet.
	for range maxDocs {
		s.mu.Lock()
		n := s.last
		s.mu.Unlock()
		name = docName(n)
		if d, version, err = s.read(ctx, name); err != nil || !d.Closed {
			return name, d, version, err
		}
		if len(d.Tenants[tenant]) > 0 {
			return name, d, version, nil
		}
		s.mu.Lock()
		home := s.home[tenant]
		s.mu.Unlock()
		if home != "" && home != name { // in a closed one that was read on the way
			d, version, err = s.read(ctx, home)
			return home, d, version, err
		}
	}
	return "", nil, 0, fmt.Errorf("hashivault: read keys: more than %d documents", maxDocs)
}

// Keys implements secrets.KeyStore.
func (s *KV) Keys(ctx context.Context, tenant string) ([]secrets.WrappedKey, error) {
	_, d, _, err := s.find(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return keysOf(d.Tenants[tenant]), nil
}

func keysOf(in []kvItem) []secrets.WrappedKey {
	var out []secrets.WrappedKey
	for _, k := range in {
		out = append(out, secrets.WrappedKey{ID: [16]byte(k.ID), Version: k.Version, Wrapped: bytes.Clone(k.Wrapped)})
	}
	return out
}

// List implements secrets.KeyStore, a document to a page; with Apart, 100.
func (s *KV) List(ctx context.Context, cursor string) ([]secrets.TenantKeys, string, error) {
	names, err := s.names(ctx)
	if err != nil {
		return nil, "", err
	}
	from, found := slices.BinarySearch(names, cursor)
	if found {
		from++
	}
	step := 1
	if s.c.cfg.Apart {
		step = 100
	}
	var out []secrets.TenantKeys
	for from < len(names) {
		part := names[from:min(from+step, len(names))]
		for _, name := range part {
			d, version, err := s.read(ctx, name)
			if err != nil {
				return nil, "", err
			}
			if version == 0 {
				return nil, "", fmt.Errorf("hashivault: read keys: %s: %w", name, ErrDamaged)
			}
			for tenant, ks := range d.Tenants {
				out = append(out, secrets.TenantKeys{Tenant: tenant, Keys: keysOf(ks)})
			}
		}
		if from += len(part); len(out) > 0 || from == len(names) {
			slices.SortFunc(out, func(a, b secrets.TenantKeys) int { return strings.Compare(a.Tenant, b.Tenant) })
			if from == len(names) {
				return out, "", nil
			}
			return out, names[from-1], nil
		}
	}
	return nil, "", nil
}

// names are the documents there are, in order. A gap in their numbers is damage:
// what was in it would pass for never written.
func (s *KV) names(ctx context.Context) ([]string, error) {
	all, err := s.docs.list(ctx, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		_, numbered := number(name)
		if apart := strings.HasPrefix(name, "tenant-") || strings.HasPrefix(name, "long-"); apart && s.c.cfg.Apart || numbered && !s.c.cfg.Apart {
			names = append(names, name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.seen {
		if !slices.Contains(names, name) {
			return nil, &Error{Op: "list keys", State: secrets.Misused, Reason: "documents of the key store are gone: it is an older copy, restore the newest backup", cause: ErrWrongVault}
		}
	}
	if !s.c.cfg.Apart {
		slices.SortFunc(names, func(a, b string) int { x, _ := number(a); y, _ := number(b); return x - y })
		for i, name := range names {
			if name != docName(i+1) {
				return nil, fmt.Errorf("hashivault: list keys: %s: %w", docName(i+1), ErrDamaged)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// change applies an edit to a tenant's keys and writes the document, anew for
// each time that another was faster. An edit that returns what it got writes
// nothing. destroys says that what it takes away must be nowhere any more.
func (s *KV) change(ctx context.Context, tenant string, destroys bool, edit func([]kvItem) ([]kvItem, error)) error {
	done, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	for try := range conflicts {
		if err := s.wait(ctx, try); err != nil {
			return err
		}
		name, d, version, err := s.find(ctx, tenant)
		if err != nil {
			return err
		}
		old := d.Tenants[tenant]
		now, err := edit(slices.Clone(old))
		if err != nil {
			return err
		}
		switch {
		case len(now) == len(old) && slices.EqualFunc(now, old, equal):
			if destroys { // perhaps an earlier call did it and did not get to the end
				return s.sweepAll(ctx)
			}
			return nil
		case len(now) == 0:
			delete(d.Tenants, tenant)
		default:
			d.Tenants[tenant] = now
		}
		if len(old) == 0 && !s.c.cfg.Apart && version > 0 && (len(d.Tenants) > perDoc || d.size() > roomy) {
			delete(d.Tenants, tenant) // full: close it, and take the next
			d.Closed = true
			if err := s.write(ctx, name, d, version); err != nil && !errors.Is(err, errRace) {
				return err
			}
			continue
		}
		if n := d.size(); n > maxDoc {
			return fmt.Errorf("hashivault: write keys: %s would have %d bytes, %d at most: remove old versions of its tenants' keys", name, n, maxDoc)
		}
		d.Sweep = d.Sweep || destroys
		if err := s.write(ctx, name, d, version); !errors.Is(err, errRace) {
			return err
		}
	}
	return fmt.Errorf("hashivault: write keys: %w", secrets.ErrConflict)
}

// take makes sure of Vault and waits for the turn to write.
func (s *KV) take(ctx context.Context) (done func(), err error) {
	if err := s.c.verify(ctx); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("hashivault: write keys: %w", ctx.Err())
	}
}

// wait waits a little after another was faster, longer each time.
func (s *KV) wait(ctx context.Context, try int) error {
	if try == 0 {
		return nil
	}
	select {
	case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hashivault: write keys: %w", ctx.Err())
	}
}

func equal(a, b kvItem) bool {
	return a.Version == b.Version && bytes.Equal(a.ID, b.ID) && bytes.Equal(a.Wrapped, b.Wrapped)
}

// size is about what a document takes when stored.
func (d *keysDoc) size() int {
	n := 100
	for tenant, ks := range d.Tenants {
		n += sizeOf(tenant, ks)
	}
	return n
}

func sizeOf(tenant string, ks []kvItem) int {
	n := len(tenant) + 10
	for _, k := range ks {
		n += 80 + len(k.Wrapped)*4/3
	}
	return n
}

// write stores a document over the version that was read, and then destroys the
// earlier ones if they must go.
func (s *KV) write(ctx context.Context, name string, d *keysDoc, version uint64) error {
	next, err := s.docs.write(ctx, name, d, version)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.seen[name] = max(s.seen[name], next)
	if d.Sweep {
		s.swept[name] = true
	}
	sweep := s.swept[name]
	for tenant := range d.Tenants {
		if !s.c.cfg.Apart {
			s.home[tenant] = name
		}
	}
	s.mu.Unlock()
	if sweep {
		return s.docs.destroyBefore(ctx, name, next)
	}
	return nil
}

// sweepAll finishes destruction wherever there was any.
func (s *KV) sweepAll(ctx context.Context) error {
	s.mu.Lock()
	var names []string
	for name := range s.swept {
		names = append(names, name)
	}
	s.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		_, version, err := s.read(ctx, name)
		if err == nil {
			err = s.docs.destroyBefore(ctx, name, version)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// AddKey implements secrets.KeyStore.
func (s *KV) AddKey(ctx context.Context, tenant string, k secrets.WrappedKey) error {
	add := kvItem{bytes.Clone(k.ID[:]), k.Version, bytes.Clone(k.Wrapped)}
	return s.change(ctx, tenant, false, func(ks []kvItem) ([]kvItem, error) {
		next := uint32(1)
		if len(ks) > 0 {
			next = ks[len(ks)-1].Version + 1
		}
		if k.Version != next || next == 0 {
			return nil, secrets.ErrConflict
		}
		return append(ks, add), nil
	})
}

// ReplaceKey implements secrets.KeyStore. The old wrap stays in the document's
// earlier versions until the Transit key's older versions are retired.
func (s *KV) ReplaceKey(ctx context.Context, tenant string, old []byte, k secrets.WrappedKey) error {
	return s.change(ctx, tenant, false, func(ks []kvItem) ([]kvItem, error) {
		for i, h := range ks {
			if h.Version == k.Version && bytes.Equal(h.ID, k.ID[:]) && bytes.Equal(h.Wrapped, old) {
				ks[i].Wrapped = bytes.Clone(k.Wrapped)
				return ks, nil
			}
		}
		return nil, secrets.ErrConflict
	})
}

// RemoveKeys implements secrets.KeyStore. Backups of Vault keep them.
func (s *KV) RemoveKeys(ctx context.Context, tenant string, before uint32) error {
	return s.change(ctx, tenant, true, func(ks []kvItem) ([]kvItem, error) {
		from := 0
		for from < len(ks)-1 && ks[from].Version < before {
			from++
		}
		return ks[from:], nil
	})
}

// Shred implements secrets.KeyStore. It is done when the document's earlier
// versions are destroyed too; after an error, call it again. Backups of Vault
// keep the keys: shredding is complete when the last of those is gone.
func (s *KV) Shred(ctx context.Context, tenant string) error {
	return s.change(ctx, tenant, true, func([]kvItem) ([]kvItem, error) { return nil, nil })
}

// writes counts all writes there were, and compares with what was expected.
func (s *KV) writes(ctx context.Context) (uint64, error) {
	names, err := s.names(ctx)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, name := range names {
		_, version, err := s.read(ctx, name)
		if err != nil {
			return 0, err
		}
		sum += version
	}
	if sum < s.c.cfg.Expect.Writes {
		return 0, &Error{Op: "recognise Vault", State: secrets.Misused, Reason: "the key store went back: it is an older copy, restore the newest backup", cause: ErrWrongVault}
	}
	return sum, nil
}
