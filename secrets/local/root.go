package local

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// newest is the version of the root that wraps.
func (f file) newest() uint32 { return max(f.Version, 1) }

// unlock opens the root, and what it seals, with the AEAD of the passphrase.
func (f file) unlock(lock cipher.AEAD) (root [32]byte, roots map[uint32][32]byte, err error) {
	plain := f.Root
	if lock != nil {
		if plain, err = lock.Open(nil, nil, f.Root, []byte(f.Format)); err != nil {
			return root, nil, ErrPassphrase
		}
		defer clear(plain)
	}
	if len(plain) != 32 {
		return root, nil, ErrDamaged
	}
	root = [32]byte(plain)
	if err := f.intact(&root); err != nil {
		return root, nil, err
	}
	roots = map[uint32][32]byte{}
	if len(f.Older) == 0 {
		return root, roots, nil
	}
	a, err := derived(&root, olderLabel)
	if err != nil {
		return root, nil, err
	}
	for _, o := range f.Older {
		b, err := a.Open(nil, nil, o.Root, binary.BigEndian.AppendUint32(nil, o.Version))
		if err != nil || len(b) != 32 {
			return root, nil, ErrDamaged
		}
		roots[o.Version] = [32]byte(b)
		clear(b)
	}
	return root, roots, nil
}

// kept is which of some roots are still in the file.
func (f file) kept(roots map[uint32][32]byte) map[uint32][32]byte {
	out := map[uint32][32]byte{}
	for _, o := range f.Older {
		out[o.Version] = roots[o.Version]
	}
	return out
}

func derived(root *[32]byte, label string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, root[:], label, 32)
	if err != nil {
		return nil, fmt.Errorf("local: derive: %w", err)
	}
	defer clear(key)
	return gcm(key)
}

// A wrap by the first root is nonce, ciphertext and tag; by a later one, its
// version in 4 bytes stands before.
const bare = 12 + 32 + 16

// versionOf tells which root made a wrap of a key, and what it made.
func versionOf(wrapped []byte) (version uint32, sealed []byte) {
	if len(wrapped) == bare+4 {
		if v := binary.BigEndian.Uint32(wrapped); v > 1 {
			return v, wrapped[4:]
		}
		return 0, nil
	}
	return 1, wrapped
}

// Wrap implements secrets.Keeper.
func (k *Keyring) Wrap(_ context.Context, key, aad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(); err != nil {
		return nil, err
	}
	return k.wrap(key, aad)
}

func (k *Keyring) wrap(key, aad []byte) ([]byte, error) {
	c := k.in()
	a, err := derived(&c.root, wrapLabel)
	if err != nil {
		return nil, err
	}
	var b []byte
	if v := c.file.newest(); v > 1 {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return a.Seal(b, nil, key, aad), nil
}

// Unwrap implements secrets.Keeper.
func (k *Keyring) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unwrap(wrapped, aad)
}

func (k *Keyring) unwrap(wrapped, aad []byte) ([]byte, error) {
	version, sealed := versionOf(wrapped)
	c := k.in()
	if version > c.file.newest() { // another process rotated
		if err := k.look(); err != nil {
			return nil, err
		}
	}
	root, ok := c.older[version]
	if version == c.file.newest() {
		root, ok = c.root, true
	}
	if !ok {
		return nil, secrets.ErrTampered
	}
	a, err := derived(&root, wrapLabel)
	clear(root[:])
	if err != nil {
		return nil, err
	}
	out, err := a.Open(nil, nil, sealed, aad)
	if err != nil {
		return nil, secrets.ErrTampered
	}
	return out, nil
}

// Rewrap implements secrets.Rewrapper.
func (k *Keyring) Rewrap(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(); err != nil {
		return nil, err
	}
	out := make([]secrets.KeyResult, len(items))
	for i, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		key, err := k.unwrap(it.Wrapped, it.AAD)
		if err == nil {
			out[i].Key, err = k.wrap(key, it.AAD)
			clear(key)
		}
		out[i].Err = err
	}
	return out, nil
}

// Rotate implements secrets.Rotator, with one write of the file: it makes a new
// root key, under the same passphrase, and seals the older ones by it. A release
// that knows no rotation refuses the file from then on.
func (k *Keyring) Rotate(context.Context) (uint32, error) {
	var root [32]byte
	if _, err := rand.Read(root[:]); err != nil {
		return 0, fmt.Errorf("local: rotate: %w", err)
	}
	defer clear(root[:])
	err := k.reroot(func(f *file, c *content) (*[32]byte, map[uint32][32]byte, error) {
		if f.newest() == 1<<32-1 {
			return nil, nil, fmt.Errorf("local: rotate: no version is left")
		}
		roots := maps.Clone(c.older)
		if roots == nil {
			roots = map[uint32][32]byte{}
		}
		roots[f.newest()] = c.root
		f.Version, f.Format, f.Root = f.newest()+1, format2, bytes.Clone(root[:])
		if c.lock != nil {
			f.Root = c.lock.Seal(nil, nil, root[:], []byte(f.Format))
		}
		return &root, roots, nil
	})
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.in().file.newest(), nil
}

// Retire implements secrets.Rotator. While a tenant's key in this file is wrapped
// by a version that would go, it is secrets.ErrInUse and nothing goes. Copies of
// the file keep the root keys that they have. A process that has not looked at
// the file since Rotate finds ErrBusy, and must open it again.
func (k *Keyring) Retire(_ context.Context, before uint32) error {
	return k.reroot(func(f *file, c *content) (*[32]byte, map[uint32][32]byte, error) {
		if before > f.newest() {
			return nil, nil, fmt.Errorf("local: retire: before: want at most %d, the newest version", f.newest())
		}
		for tenant, ks := range f.Keys {
			for _, s := range ks {
				if v, _ := versionOf(s.Wrapped); v < before {
					return nil, nil, fmt.Errorf("local: retire: the key of %s is wrapped by version %d, rewrap it: %w", tenant, v, secrets.ErrInUse)
				}
			}
		}
		roots := maps.Clone(c.older)
		maps.DeleteFunc(roots, func(v uint32, _ [32]byte) bool { return v < before })
		if len(roots) == len(c.older) {
			return nil, nil, errNothing
		}
		return &c.root, roots, nil
	})
}

// reroot changes what roots there are.
func (k *Keyring) reroot(edit func(*file, *content) (*[32]byte, map[uint32][32]byte, error)) error {
	c := k.in()
	var root *[32]byte
	var roots map[uint32][32]byte
	err := k.changeUnder(func(f *file) (*[32]byte, error) {
		var err error
		if root, roots, err = edit(f, c); err != nil {
			return nil, err
		}
		a, err := derived(root, olderLabel)
		if err != nil {
			return nil, err
		}
		f.Older = nil
		for _, v := range slices.Sorted(maps.Keys(roots)) {
			r := roots[v]
			f.Older = append(f.Older, older{v, a.Seal(nil, nil, r[:], binary.BigEndian.AppendUint32(nil, v))})
		}
		return root, nil
	}, func() { c.root, c.older = *root, roots })
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}
