// Package local is a keyring in one file: the root key of a small installation,
// and the wrapped keys of its tenants. It is what a single machine has instead
// of HashiCorp Vault.
//
// Keep the file apart from the database whose secrets it opens, and keep a copy
// of it somewhere else: who loses it has lost the secrets.
package local

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/lockkeeper/lockkeeper/secrets"
)

var (
	// ErrPassphrase means that the keyring wants another passphrase, or one at
	// all, or none.
	ErrPassphrase = errors.New("local: wrong passphrase")
	// ErrDamaged means that the file is no keyring or was altered. Nothing was
	// written over it.
	ErrDamaged = errors.New("local: keyring is damaged or no keyring")
	// ErrBusy means that another keyring, or an older copy of this one, has
	// taken the place of the file since it was opened.
	ErrBusy = errors.New("local: keyring was replaced by another process")
)

var (
	_ secrets.Keeper      = (*Keyring)(nil)
	_ secrets.KeyStore    = (*Keyring)(nil)
	_ secrets.KeyImporter = (*Keyring)(nil)
	_ secrets.Rewrapper   = (*Keyring)(nil)
	_ secrets.Rotator     = (*Keyring)(nil)
)

// Keyring implements secrets.Keeper and secrets.KeyStore. Safe for concurrent
// use, and by several processes: changes wait for each other, and each process
// sees those of the others at its next look.
type Keyring struct {
	path string

	mu sync.Mutex
	in func() *content // a closure: reflection does not look inside
}

// content is what a Keyring knows.
type content struct {
	file  file
	seen  os.FileInfo // of the file when it was read
	lock  cipher.AEAD // of the passphrase, which seals the root; nil: none
	root  [32]byte    // the newest
	older map[uint32][32]byte
}

func newKeyring(path string, c *content) *Keyring {
	return &Keyring{path: path, in: func() *content { return c }}
}

// Format prints no content, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { fmt.Fprint(f, "keyring") }

// LogValue logs no content.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue("keyring") }

// MarshalText returns secrets.ErrSecret.
func (k *Keyring) MarshalText() ([]byte, error) { return nil, secrets.ErrSecret }

// file is the keyring as stored. Every key in it is sealed but the root of a
// keyring without passphrase, which only the file's permissions protect.
type file struct {
	Format     string              `json:"format"`
	Generation uint64              `json:"generation"` // counts writes
	KDF        *kdf                `json:"kdf,omitempty"`
	Root       []byte              `json:"root"`
	Version    uint32              `json:"version,omitempty"` // of the root; not there: 1
	Older      []older             `json:"older,omitempty"`   // roots that still open what they wrapped, sealed by the newest
	Keys       map[string][]stored `json:"keys,omitempty"`    // by tenant
	Check      []byte              `json:"check"`             // HMAC of all above under a key derived from the root
}

// encode writes the file in its one form, with the given check.
func (f file) encode(check []byte) ([]byte, error) {
	f.Check = check
	return json.Marshal(f)
}

// sum computes the check.
func (f file) sum(root *[32]byte) ([]byte, error) {
	b, err := f.encode(nil)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	key, err := hkdf.Expand(sha256.New, root[:], checkLabel, 32)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil), nil
}

// intact returns ErrDamaged unless the file is as someone with the root wrote it.
func (f file) intact(root *[32]byte) error {
	if want, err := f.sum(root); err != nil || !hmac.Equal(want, f.Check) {
		return ErrDamaged
	}
	return nil
}

type stored struct {
	ID      []byte `json:"id"`
	Version uint32 `json:"version"`
	Wrapped []byte `json:"wrapped"`
}

// kdf are the parameters of Argon2id (RFC 9106).
type kdf struct {
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

// older is a root before the newest.
type older struct {
	Version uint32 `json:"version"`
	Root    []byte `json:"root"`
}

const (
	format     = "lockkeeper keyring 1"
	format2    = "lockkeeper keyring 2" // the root was rotated
	olderLabel = "lockkeeper keyring older v1"
	wrapLabel  = "lockkeeper keyring wrap v1"
	checkLabel = "lockkeeper keyring check v1"
	maxFile    = 64 << 20
)

// Create makes a new keyring file, readable by its owner only. A passphrase
// seals the root key; without one the file itself is the key. It is an error
// if the file exists.
func Create(path string, passphrase []byte) (_ *Keyring, err error) {
	c := &content{file: file{Format: format, Keys: map[string][]stored{}}}
	k := newKeyring(path, c)
	if _, err := rand.Read(c.root[:]); err != nil {
		return nil, fmt.Errorf("local: create: %w", err)
	}
	c.file.Root = append([]byte(nil), c.root[:]...)
	if len(passphrase) > 0 {
		p := &kdf{Salt: make([]byte, 16), Time: 3, Memory: 64 << 10, Threads: 4}
		if _, err := rand.Read(p.Salt); err != nil {
			return nil, fmt.Errorf("local: create: %w", err)
		}
		c.file.KDF = p
		if c.lock, err = p.aead(passphrase); err != nil {
			return nil, fmt.Errorf("local: create: %w", err)
		}
		c.file.Root = c.lock.Seal(nil, nil, c.root[:], []byte(format))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("local: create: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("local: create: %w", err)
	}
	c.file.Generation = 1
	if err := k.write(c.file, &c.root); err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	return k, nil
}

// Open reads a keyring file.
func Open(path string, passphrase []byte) (*Keyring, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("local: open: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("local: open: %s can be read by others: chmod 600 it, and replace its secrets if others had access", filepath.Base(path))
	}
	c := &content{}
	if c.file, c.seen, err = read(path); err != nil {
		return nil, err
	}
	if (c.file.KDF == nil) != (len(passphrase) == 0) {
		return nil, ErrPassphrase
	}
	if c.file.KDF != nil {
		if c.lock, err = c.file.KDF.aead(passphrase); err != nil {
			return nil, err
		}
	}
	if c.root, c.older, err = c.file.unlock(c.lock); err != nil {
		return nil, err
	}
	return newKeyring(path, c), nil
}

// OpenOrCreate opens the keyring or, if there is no file, makes one and reports
// that it did: say so aloud, it has to be kept.
func OpenOrCreate(path string, passphrase []byte) (k *Keyring, created bool, err error) {
	k, err = Open(path, passphrase)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = Create(path, passphrase)
		return k, err == nil, err
	}
	return k, false, err
}

// read parses a file. Only the one form that write gives it is accepted, so that
// nothing in it can change unseen; the check is left to the caller.
func read(path string) (file, os.FileInfo, error) {
	fail := func(err error) (file, os.FileInfo, error) { return file{}, nil, err }
	r, err := os.Open(path)
	if err != nil {
		return fail(fmt.Errorf("local: read: %w", err))
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return fail(fmt.Errorf("local: read: %w", err))
	}
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return fail(fmt.Errorf("local: read: %w", err))
	}
	defer clear(b)
	var f file
	if len(b) > maxFile || json.Unmarshal(b, &f) != nil || f.Generation == 0 {
		return fail(ErrDamaged)
	}
	if rotated := f.Version > 1; f.Format != format && f.Format != format2 || rotated != (f.Format == format2) || f.Version == 1 || !rotated && len(f.Older) > 0 {
		return fail(ErrDamaged)
	}
	for i, o := range f.Older {
		if o.Version == 0 || o.Version >= f.Version || i > 0 && o.Version != f.Older[i-1].Version+1 {
			return fail(ErrDamaged)
		}
	}
	again, err := f.encode(f.Check)
	if err != nil || !bytes.Equal(b, again) {
		return fail(ErrDamaged)
	}
	clear(again)
	for _, ks := range f.Keys {
		for i, s := range ks {
			if len(s.ID) != 16 || s.Version == 0 || s.Version != ks[0].Version+uint32(i) {
				return fail(ErrDamaged)
			}
		}
	}
	if f.Keys == nil {
		f.Keys = map[string][]stored{}
	}
	return f, st, nil
}

// write replaces the file as a whole: a crash leaves the old or the new one.
func (k *Keyring) write(f file, root *[32]byte) error {
	check, err := f.sum(root)
	if err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	b, err := f.encode(check)
	if err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	defer clear(b)
	if len(b) > maxFile {
		return fmt.Errorf("local: write: %d bytes, %d at most", len(b), maxFile)
	}
	tmp, err := os.CreateTemp(filepath.Dir(k.path), ".keyring-*") // mode 0600
	if err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), k.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("local: write: %w", err)
	}
	d, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	return nil
}

func (p *kdf) aead(passphrase []byte) (cipher.AEAD, error) {
	if len(p.Salt) < 8 || len(p.Salt) > 64 || p.Time == 0 || p.Time > 64 || p.Memory < 8<<10 || p.Memory > 4<<20 || p.Threads == 0 {
		return nil, ErrDamaged
	}
	return gcm(argon2.IDKey(passphrase, p.Salt, p.Time, p.Memory, p.Threads, 32))
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("local: cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(b)
}

// Keys implements secrets.KeyStore.
func (k *Keyring) Keys(_ context.Context, tenant string) ([]secrets.WrappedKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(); err != nil {
		return nil, err
	}
	return keysOf(k.in().file.Keys[tenant]), nil
}

func keysOf(in []stored) []secrets.WrappedKey {
	var out []secrets.WrappedKey
	for _, s := range in {
		out = append(out, secrets.WrappedKey{ID: [16]byte(s.ID), Version: s.Version, Wrapped: bytes.Clone(s.Wrapped)})
	}
	return out
}

// page is how many tenants List returns at once.
const page = 500

// List implements secrets.KeyStore, in the order of names.
func (k *Keyring) List(_ context.Context, cursor string) ([]secrets.TenantKeys, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(); err != nil {
		return nil, "", err
	}
	keys := k.in().file.Keys
	names := slices.Sorted(maps.Keys(keys))
	from, found := slices.BinarySearch(names, cursor)
	if found {
		from++
	}
	var out []secrets.TenantKeys
	for _, n := range names[from:min(from+page, len(names))] {
		out = append(out, secrets.TenantKeys{Tenant: n, Keys: keysOf(keys[n])})
	}
	if from+page >= len(names) {
		return out, "", nil
	}
	return out, names[from+page-1], nil
}

// AddKey implements secrets.KeyStore.
func (k *Keyring) AddKey(_ context.Context, tenant string, w secrets.WrappedKey) error {
	return k.change(func(f *file) error {
		old := f.Keys[tenant]
		next := uint32(1)
		if len(old) > 0 {
			next = old[len(old)-1].Version + 1
		}
		if w.Version != next || next == 0 {
			return secrets.ErrConflict
		}
		f.Keys[tenant] = append(slices.Clip(old), stored{bytes.Clone(w.ID[:]), w.Version, bytes.Clone(w.Wrapped)})
		return nil
	})
}

// ImportKeys implements secrets.KeyImporter, with one write of the file.
func (k *Keyring) ImportKeys(_ context.Context, ts []secrets.TenantKeys) ([]error, error) {
	errs := make([]error, len(ts))
	err := k.change(func(f *file) error {
		taken := false
		for i, t := range ts {
			if errs[i] = importable(t, len(f.Keys[t.Tenant]) > 0); errs[i] != nil {
				continue
			}
			var ks []stored
			for _, w := range t.Keys {
				ks = append(ks, stored{bytes.Clone(w.ID[:]), w.Version, bytes.Clone(w.Wrapped)})
			}
			f.Keys[t.Tenant], taken = ks, true
		}
		if !taken {
			return errNothing
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNothing) {
		return nil, err
	}
	return errs, nil
}

// errNothing means that there is nothing to write.
var errNothing = errors.New("local: nothing to change")

func importable(t secrets.TenantKeys, taken bool) error {
	for i, w := range t.Keys {
		if w.Version == 0 || w.Version != t.Keys[0].Version+uint32(i) {
			return secrets.ErrConflict
		}
	}
	if taken || len(t.Keys) == 0 {
		return secrets.ErrConflict
	}
	return nil
}

// ReplaceKey implements secrets.KeyStore.
func (k *Keyring) ReplaceKey(_ context.Context, tenant string, old []byte, w secrets.WrappedKey) error {
	return k.change(func(f *file) error {
		ks := slices.Clone(f.Keys[tenant])
		for i, s := range ks {
			if s.Version == w.Version && bytes.Equal(s.ID, w.ID[:]) && bytes.Equal(s.Wrapped, old) {
				ks[i].Wrapped = bytes.Clone(w.Wrapped)
				f.Keys[tenant] = ks
				return nil
			}
		}
		return secrets.ErrConflict
	})
}

// RemoveKeys implements secrets.KeyStore. Copies of the file keep them.
func (k *Keyring) RemoveKeys(_ context.Context, tenant string, before uint32) error {
	return k.change(func(f *file) error {
		if ks := f.Keys[tenant]; len(ks) > 0 {
			from := 0
			for from < len(ks)-1 && ks[from].Version < before {
				from++
			}
			f.Keys[tenant] = slices.Clone(ks[from:])
		}
		return nil
	})
}

// Shred implements secrets.KeyStore. Copies of the file keep the keys: shredding
// is complete when the last backup of the keyring is gone.
func (k *Keyring) Shred(_ context.Context, tenant string) error {
	return k.change(func(f *file) error { delete(f.Keys, tenant); return nil })
}

// look reads the file again if it is not the one that was read last.
func (k *Keyring) look() error {
	c := k.in()
	st, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("local: read: %w", err)
	}
	if c.seen != nil && os.SameFile(st, c.seen) && st.ModTime().Equal(c.seen.ModTime()) && st.Size() == c.seen.Size() {
		return nil
	}
	f, st, err := read(k.path)
	switch {
	case err != nil:
		return err
	case f.Generation < c.file.Generation:
		return ErrBusy // an old copy took this one's place
	case string(f.Root) == string(c.file.Root):
		if err := f.intact(&c.root); err != nil {
			return err
		}
		c.file, c.seen, c.older = f, st, f.kept(c.older)
		return nil
	}
	root, roots, err := f.unlock(c.lock)
	if err != nil || roots[c.file.newest()] != c.root {
		return ErrBusy // another keyring, or this one has rotated since and given up the root that we know
	}
	c.file, c.seen, c.root, c.older = f, st, root, roots
	return nil
}

// change applies an edit to the newest file.
func (k *Keyring) change(edit func(*file) error) error {
	return k.changeUnder(func(f *file) (*[32]byte, error) { return &k.in().root, edit(f) }, func() {})
}

// changeUnder is change for an edit that says which root the file is under then,
// and what is to be done once it is written.
func (k *Keyring) changeUnder(edit func(*file) (*[32]byte, error), written func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := lock(k.path + ".lock")
	if err != nil {
		return fmt.Errorf("local: lock: %w", err)
	}
	defer unlock()
	c := k.in()
	c.seen = nil // whatever it looks like
	if err := k.look(); err != nil {
		return err
	}
	f := c.file
	f.Keys = maps.Clone(f.Keys)
	root, err := edit(&f)
	if err != nil {
		return err
	}
	f.Generation++
	if err := k.write(f, root); err != nil {
		return err
	}
	c.file, c.seen = f, nil
	written()
	return nil
}
