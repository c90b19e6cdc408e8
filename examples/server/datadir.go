package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// dataDir is the directory of one installation, held by this process alone, and
// the keyring that belongs to it.
type dataDir struct {
	path    string
	keyPath string // of the keyring, outside the directory
	keys    *local.Keyring
	fresh   bool // made just now
	lock    *os.File
}

// Names in the directory. What ends in .key holds a key that the keyring has
// wrapped; what is below systemsDir belongs to the embedded systems.
const (
	lockName    = "lock"
	mainDB      = "lockkeeper.db"
	jobsDB      = "jobs.db"
	statesDir   = "states"
	systemsDir  = "demo-systems"
	authority   = "ca.pem"
	keySuffix   = ".key"
	passphraseV = "LOCKKEEPER_PASSPHRASE"
)

// openDataDir opens or makes a data directory and its keyring. Nothing is
// changed in one that cannot be used.
func openDataDir(path string, passphrase []byte) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be made: %w", path, plain(err))
	}
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("data directory %s cannot be read: %w", path, plain(err))
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("data directory %s can be entered by others: chmod 700 it, or choose another with -data. Nothing was changed", path)
	}
	d := &dataDir{path: path, keyPath: path + keySuffix}
	if err := d.hold(); err != nil {
		return nil, err
	}
	if err := d.open(passphrase); err != nil {
		_ = d.lock.Close()
		return nil, err
	}
	return d, nil
}

// hold takes the lock, so that a second server on the directory is refused.
func (d *dataDir) hold() error {
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", d.path, plain(err))
	}
	if err := flock(f); err != nil {
		b, _ := io.ReadAll(io.LimitReader(f, 200))
		_ = f.Close()
		return fmt.Errorf("data directory %s is in use by %s. Stop that server, or choose another directory with -data", d.path, strings.TrimSpace(string(b)))
	}
	d.lock = f
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", d.path, plain(err))
	}
	_, err = fmt.Fprintf(f, "process %d, since %s\n", os.Getpid(), time.Now().Format(time.DateTime))
	return err
}

func (d *dataDir) open(passphrase []byte) error {
	_, err := os.Stat(filepath.Join(d.path, mainDB))
	d.fresh = errors.Is(err, fs.ErrNotExist)
	if _, err := os.Stat(d.keyPath); errors.Is(err, fs.ErrNotExist) && !d.fresh {
		return fmt.Errorf("keyring %s is missing, and what is in %s cannot be opened without it. Put it back from your copy; nothing was changed", d.keyPath, d.path)
	}
	d.keys, _, err = local.OpenOrCreate(d.keyPath, passphrase)
	switch {
	case errors.Is(err, local.ErrPassphrase):
		return fmt.Errorf("keyring %s does not open: %s is wrong or missing, or set where none is wanted. Nothing was changed", d.keyPath, passphraseV)
	case err != nil:
		return fmt.Errorf("keyring %s: %w. Nothing was changed", d.keyPath, err)
	}
	return nil
}

// close lets others have the directory.
func (d *dataDir) close() error { return d.lock.Close() }

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// database opens an encrypted database of the directory. Its key is random,
// made with it, and stands beside it wrapped by the keyring.
func (d *dataDir) database(ctx context.Context, name string) (*sql.DB, error) {
	key, err := d.key(ctx, name)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	db, err := sqlite.Open(ctx, d.file(name), key)
	if errors.Is(err, sqlite.ErrWrongKey) {
		return nil, d.wrongKey(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file(name), err)
	}
	return db, nil
}

func (d *dataDir) wrongKey(name string) error {
	return fmt.Errorf("keyring %s does not open %s: it belongs to another data directory, or one of the two is damaged. Put the right keyring back; nothing was changed", d.keyPath, d.file(name))
}

func (d *dataDir) key(ctx context.Context, name string) ([]byte, error) {
	path, aad := d.file(name+keySuffix), []byte("database "+name)
	wrapped, err := os.ReadFile(path)
	if err == nil {
		key, err := d.keys.Unwrap(ctx, wrapped, aad)
		if errors.Is(err, secrets.ErrTampered) {
			return nil, d.wrongKey(name)
		}
		return key, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s cannot be read: %w", path, plain(err))
	}
	if _, err := os.Stat(d.file(name)); err == nil {
		return nil, fmt.Errorf("%s is missing, and %s cannot be opened without it. Put it back from your copy; nothing was changed", path, name)
	}
	key := make([]byte, sqlite.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if wrapped, err = d.keys.Wrap(ctx, key, aad); err != nil {
		return nil, fmt.Errorf("keyring %s: %w", d.keyPath, err)
	}
	return key, writeFile(path, wrapped)
}

// writeFile replaces a file as a whole and on disk, readable by its owner only:
// after a crash there is the old content or the new.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, plain(err))
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("%s cannot be written: %w", path, plain(err))
	}
	return nil
}

// plain drops the path that a file error repeats.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
