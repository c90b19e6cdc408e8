package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
)

// keeperFile says who keeps the keys of a data directory, and holds the key of
// its files as that keeper has wrapped it. It is replaced as a whole: that is the
// moment in which a migration takes place.
type keeperFile struct {
	Format   string               `json:"format"`
	Keeper   string               `json:"keeper"` // keyringName or vaultName
	Key      []byte               `json:"key"`    // of the files in the directory, wrapped
	Address  string               `json:"address,omitempty"`
	Place    *place               `json:"place,omitempty"`    // of the keys in Vault
	Identity *hashivault.Identity `json:"identity,omitempty"` // the Vault that it must be
}

const (
	keeperFormat = "lockkeeper data directory 1"
	keeperName   = "keeper.json"
	keyringName  = "keyring"
	vaultName    = "vault"
)

// readKeeper reads the file of a directory; nil if there is none.
func readKeeper(path string) (*keeperFile, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, plain(err))
	}
	var k keeperFile
	if json.Unmarshal(b, &k) != nil || k.Format != keeperFormat || k.Keeper != keyringName && (k.Keeper != vaultName || k.Place == nil || k.Identity == nil) {
		return nil, fmt.Errorf("%s is damaged or from a later version: put it back from your copy. Nothing was changed", path)
	}
	return &k, nil
}

func (k *keeperFile) write(path string) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(path, append(b, '\n')); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path)) // that it was replaced must be on disk before the keyring goes
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, plain(err))
	}
	return nil
}

// same reports whether nothing but the newest state of the same Vault differs.
func (k *keeperFile) same(o *keeperFile) bool {
	if k == nil || o == nil {
		return k == o
	}
	return k.Keeper == o.Keeper && string(k.Key) == string(o.Key)
}

// fileKey wraps the keys of the files in a data directory: of its databases, and
// of the state of each mailbox. It is itself wrapped by the keeper, so that
// whoever has all files and not the keeper has nothing, and so that another
// keeper needs one wrap and not one for each file.
type fileKey struct{ aead func() cipher.AEAD }

const fileKeySize = 32

var fileKeyAAD = []byte("lockkeeper data directory 1")

func newFileKey(key []byte) (fileKey, error) {
	if len(key) != fileKeySize {
		return fileKey{}, secrets.ErrTampered
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return fileKey{}, err
	}
	a, err := cipher.NewGCMWithRandomNonce(b)
	return fileKey{func() cipher.AEAD { return a }}, err
}

// Wrap implements gormstate.Wrapper.
func (k fileKey) Wrap(_ context.Context, key, aad []byte) ([]byte, error) {
	return k.aead().Seal(nil, nil, key, aad), nil
}

// Unwrap implements gormstate.Wrapper.
func (k fileKey) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	out, err := k.aead().Open(nil, nil, wrapped, aad)
	if err != nil {
		return nil, secrets.ErrTampered
	}
	return out, nil
}

// drawFileKey makes the key of a new directory.
func drawFileKey() ([]byte, error) {
	key := make([]byte, fileKeySize)
	_, err := rand.Read(key)
	return key, err
}
