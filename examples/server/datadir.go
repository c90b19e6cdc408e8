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
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	"github.com/lockkeeper/lockkeeper/sync/gormstate"
)

// dataDir is the directory of one installation, held by this process alone, and
// the keeper of its keys: a keyring beside it, or a Vault.
type dataDir struct {
	path    string
	keyPath string // of the keyring, outside the directory
	fresh   bool   // made just now
	lock    *os.File

	kept   *keeperFile // who keeps the keys; nil: made before that was written down, so the keyring
	keyed  bool        // there is a keyring file beside the directory
	keeper secrets.Keeper
	store  secrets.KeyStore
	files  gormstate.Wrapper  // of the keys of the files
	client *hashivault.Client // nil without Vault
	vault  *vault
}

// Names in the directory. What ends in .key holds a key that is wrapped; what is below systemsDir belongs to the embedded systems.
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

// openDataDir opens or makes a data directory, with the keyring beside it or with
// the Vault that is given. Nothing is changed in one that cannot be used.
func openDataDir(ctx context.Context, path string, passphrase []byte, v *vault) (_ *dataDir, err error) {
	d := &dataDir{path: path, keyPath: path + keySuffix, vault: v}
	kept, err := d.look()
	if err != nil {
		return nil, err
	}
	if v != nil { // before anything is made: a Vault that is away must not leave a directory behind
		if err := d.connect(ctx, kept); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
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
	if err := d.hold(); err != nil {
		return nil, err
	}
	again, err := readKeeper(d.file(keeperName))
	if err == nil && !again.same(kept) {
		err = fmt.Errorf("the keeper of data directory %s was changed this moment by another process. Start again", path)
	}
	if err != nil {
		return nil, err
	}
	if v == nil {
		d.kept = kept
	}
	return d, d.open(ctx, passphrase)
}

// look finds out whose the keys are, and whether that is who was asked for.
func (d *dataDir) look() (*keeperFile, error) {
	kept, err := readKeeper(d.file(keeperName))
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(d.file(mainDB))
	d.fresh = errors.Is(err, fs.ErrNotExist)
	_, err = os.Stat(d.keyPath)
	d.keyed = err == nil
	switch {
	case kept != nil && kept.Keeper == vaultName && d.vault == nil:
		return nil, misuse("the keys of data directory %s are in Vault, at %s. Give -vault-address and how to log in there, or another directory with -data.", d.path, kept.Address)
	case kept != nil && kept.Keeper == vaultName:
		return kept, d.vault.flags.differs(*kept.Place)
	case d.vault != nil && (kept != nil || !d.fresh):
		return nil, misuse("%s: the keys of data directory %s are in the keyring %s. Move them first, with the same flags: server migrate -data %s …; or start without Vault.",
			d.vault.flags.as("vault-address"), d.path, d.keyPath, d.path)
	}
	return kept, nil
}

// connect logs in to Vault and makes sure that it is the one that has the keys.
func (d *dataDir) connect(ctx context.Context, kept *keeperFile) error {
	var expect hashivault.Identity
	if kept != nil && kept.Identity != nil {
		expect = *kept.Identity
	}
	client, id, err := d.vault.connect(ctx, expect)
	if err != nil {
		return err
	}
	at := d.vault.flags.place()
	d.client, d.keeper, d.store = client, client.Transit(), client.KV()
	d.kept = &keeperFile{Format: keeperFormat, Keeper: vaultName, Address: d.vault.flags.address, Place: &at, Identity: &id}
	if kept != nil {
		d.kept.Key = kept.Key
	}
	return nil
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

func (d *dataDir) open(ctx context.Context, passphrase []byte) error {
	if d.vault == nil {
		if err := d.openKeyring(passphrase, d.fresh && d.kept == nil); err != nil {
			return err
		}
		if d.kept == nil && !d.fresh { // made before there was a key of the files: the keyring wraps each
			d.files = d.keeper
			return nil
		}
		if d.kept == nil {
			d.kept = &keeperFile{Format: keeperFormat, Keeper: keyringName}
		}
	}
	key, err := d.fileKey(ctx)
	if err != nil {
		return err
	}
	defer clear(key)
	if d.files, err = newFileKey(key); err != nil {
		return d.wrongKey(keeperName)
	}
	if d.vault != nil {
		return d.kept.write(d.file(keeperName)) // the newest state of Vault is what it must at least be from now on
	}
	return nil
}

// openKeyring opens the keyring beside the directory, or makes it.
func (d *dataDir) openKeyring(passphrase []byte, create bool) error {
	if !d.keyed && !create {
		return fmt.Errorf("keyring %s is missing, and what is in %s cannot be opened without it. Put it back from your copy; nothing was changed", d.keyPath, d.path)
	}
	keys, _, err := local.Use(d.keyPath, &local.Options{Passphrase: passphrase, Data: []string{d.path}})
	switch {
	case errors.Is(err, local.ErrPassphrase):
		return fmt.Errorf("keyring %s does not open: %s is wrong or missing, or set where none is wanted. Nothing was changed", d.keyPath, passphraseV)
	case err != nil:
		return fmt.Errorf("keyring %s: %w. Nothing was changed", d.keyPath, err)
	}
	d.keeper, d.store, d.keyed = keys, keys, true
	return nil
}

// fileKey opens the key of the files, or makes it.
func (d *dataDir) fileKey(ctx context.Context) ([]byte, error) {
	if len(d.kept.Key) == 0 {
		key, err := drawFileKey()
		if err == nil {
			d.kept.Key, err = d.keeper.Wrap(ctx, key, fileKeyAAD)
		}
		if err == nil {
			err = d.kept.write(d.file(keeperName))
		}
		return key, d.troubled(err)
	}
	key, err := d.keeper.Unwrap(ctx, d.kept.Key, fileKeyAAD)
	if errors.Is(err, secrets.ErrTampered) {
		return nil, d.wrongKey(keeperName)
	}
	return key, d.troubled(err)
}

// troubled puts an error of the keeper into one line.
func (d *dataDir) troubled(err error) error {
	switch {
	case err == nil:
		return nil
	case d.vault != nil:
		return troubled(d.vault.flags.address, err)
	}
	return fmt.Errorf("keyring %s: %w", d.keyPath, err)
}

// keeperIs names who keeps the keys.
func (d *dataDir) keeperIs() string {
	if d.vault != nil {
		at := d.vault.flags.place()
		return fmt.Sprintf("HashiCorp Vault at %s, key %s/%s", d.vault.flags.address, at.Transit, at.Key)
	}
	return "keyring " + d.keyPath
}

// kind is the kind of keeper.
func (d *dataDir) kind() string {
	if d.vault != nil {
		return vaultName
	}
	return keyringName
}

// close gives the token of Vault back, and lets others have the directory.
func (d *dataDir) close() (err error) {
	if d.client != nil {
		err = d.client.Close()
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// database opens an encrypted database of the directory. Its key is random,
// made with it, and stands beside it wrapped by the key of the files.
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
	if d.vault != nil {
		return fmt.Errorf("the key in Vault does not open %s: it belongs to another data directory, or the file is damaged. Put the right file back; nothing was changed", d.file(name))
	}
	return fmt.Errorf("keyring %s does not open %s: it belongs to another data directory, or one of the two is damaged. Put the right keyring back; nothing was changed", d.keyPath, d.file(name))
}

func (d *dataDir) key(ctx context.Context, name string) ([]byte, error) {
	path, aad := d.file(name+keySuffix), []byte("database "+name)
	wrapped, err := os.ReadFile(path)
	if err == nil {
		key, err := d.files.Unwrap(ctx, wrapped, aad)
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
	if wrapped, err = d.files.Wrap(ctx, key, aad); err != nil {
		return nil, d.troubled(err)
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
