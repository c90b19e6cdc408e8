package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
)

// migration is what the command line of migrate says.
type migration struct {
	data   string
	vault  *vault
	remove bool // the keyring, once it is no longer needed
}

func parseMigrate(args []string, stdout io.Writer, getenv func(string) string) (m migration, err error) {
	var v vaultFlags
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	f.StringVar(&m.data, "data", defaultData, "`directory` of the server whose keys are moved; the server must not run")
	f.BoolVar(&m.remove, "remove-keyring", false, "remove the keyring when the keys are in Vault: backups from before cannot be opened then")
	v.add(f, getenv)
	if err := parseFlags(f, args, stdout, "migrate [flags]\n\nMoves the keys of a data directory from its keyring to HashiCorp Vault. It may be\nstopped at any time and run again; until it is done the keyring is in charge.", ""); err != nil {
		return m, err
	}
	if m.data == "" {
		return m, misuse("-data: want a directory.")
	}
	if m.data, err = filepath.Abs(m.data); err != nil {
		return m, fmt.Errorf("data directory: %w", err)
	}
	if m.vault, err = v.open(); err == nil && m.vault == nil {
		err = misuse("-vault-address is missing: give the Vault to move the keys to, as in -vault-address https://vault.example:8200.")
	}
	return m, err
}

// migrate moves the keys of a data directory from its keyring to Vault. Tenants'
// keys are copied and compared first. Then one file is replaced, and from then on
// the keys are in Vault: there is no state in between.
func migrate(ctx context.Context, m migration, stdout io.Writer, stderr io.Writer, getenv func(string) string) error {
	if _, err := os.Stat(filepath.Join(m.data, mainDB)); errors.Is(err, fs.ErrNotExist) {
		return misuse("-data %s: there is nothing to move in it. A new server can begin with Vault at once: start it with the same flags.", m.data)
	}
	kept, err := readKeeper(filepath.Join(m.data, keeperName))
	if err != nil {
		return err
	}
	if kept != nil && kept.Keeper == vaultName {
		d, err := openDataDir(ctx, m.data, nil, m.vault) // it must be this Vault, and open
		if err != nil {
			return err
		}
		defer d.close()
		fmt.Fprintf(stdout, "The keys are in %s already. Nothing was moved.\n", d.keeperIs())
		return m.after(d.keyPath, stdout)
	}
	d, err := openDataDir(ctx, m.data, []byte(getenv(passphraseV)), nil)
	if err != nil {
		return err
	}
	defer d.close()
	if d.kept == nil {
		return misuse("-data %s: made by a build from before keys could be moved. Start anew in another directory; the records are in the systems.", m.data)
	}
	client, _, err := m.vault.connect(ctx, hashivault.Identity{})
	if err != nil {
		return err
	}
	defer client.Close()
	h, err := build(ctx, d, newBoard(), slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer h.close()
	g, err := h.moving(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Moving the keys of %s from %s to Vault at %s.\n", m.data, d.keeperIs(), m.vault.flags.address)
	bar := newBar(stdout)
	var failures []secrets.Failure
	p, err := h.safe.MoveKeys(ctx, g, client.Transit(), client.KV(), &secrets.JobOptions{Batch: moveBatch, Progress: bar.show,
		Failed: func(f secrets.Failure) { failures = append(failures, f) }})
	bar.end()
	if err != nil {
		return fmt.Errorf("%w. The keyring is still in charge and nothing is lost; run migrate again to go on", m.vault.told(err))
	}
	for _, f := range failures {
		fmt.Fprintf(stderr, "tenant %s, key %d: %v\n", f.Name, f.Version, f.Err)
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d keys could not be moved. The keyring is still in charge and nothing is lost; if another installation has its keys there, choose a folder of its own with -vault-path", len(failures), p.Total)
	}
	key, err := d.fileKey(ctx)
	if err != nil {
		return err
	}
	defer clear(key)
	wrapped, err := client.Transit().Wrap(ctx, key, fileKeyAAD)
	if err != nil {
		return m.vault.told(err)
	}
	id, err := client.Identity(ctx) // with what was written just now
	if err != nil {
		return m.vault.told(err)
	}
	at := m.vault.flags.place()
	next := &keeperFile{Format: keeperFormat, Keeper: vaultName, Key: wrapped, Address: m.vault.flags.address, Place: &at, Identity: &id}
	if err := next.write(d.file(keeperName)); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Done: %d tenants' keys and the key of the files are in Vault. Start the server with the same flags.\n", p.Total)
	return m.after(d.keyPath, stdout)
}

// moveTime is how long the right to move keys lasts, if the process does.
const moveTime = time.Hour

// moving grants the move. Nobody holds the right to it: whoever runs the program
// with the keyring in hand has it in this process, and it ends with that. It is in
// no store, only in the trail.
func (h *house) moving(ctx context.Context) (authz.Grant, error) {
	az, err := authz.New(ctx, policy.Files(), &authz.Options{Audit: h.audit, Clock: now, Seed: []authz.Authorization{{Principal: h.mover,
		Role: authz.MustRole("role:custodian"), Resource: h.all, Effect: authz.Allow, Until: now().Add(moveTime), Reason: "migrate, run with the keyring in hand"}}})
	if err != nil {
		return authz.Grant{}, err
	}
	return az.Authorize(ctx, authz.Request{Principal: h.mover, Permission: authz.MustPermission("secrets.rotate"), Resource: h.all})
}

const moveBatch = 50 // keys between two words of progress

// after says what is left to do with the keyring, or does it.
func (m migration) after(keyring string, stdout io.Writer) error {
	if _, err := os.Stat(keyring); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !m.remove {
		fmt.Fprintf(stdout, "The keyring %s is not used any more, and opens everything that Vault does. Keep it as long as a backup\nfrom before counts; then remove it and its copies, or run this again with -remove-keyring.\n", keyring)
		return nil
	}
	for _, path := range []string{keyring, keyring + ".lock"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keyring %s cannot be removed: %w", path, plain(err))
		}
	}
	fmt.Fprintf(stdout, "The keyring %s is removed. Remove its copies as well.\n", keyring)
	return nil
}

// bar shows progress: a live bar where there is a terminal, and otherwise a line
// for each tenth.
type bar struct {
	w    io.Writer
	live *progressbar.ProgressBar
	tty  bool
	told int // tenths
}

func newBar(w io.Writer) *bar {
	f, ok := w.(*os.File)
	return &bar{w: w, tty: ok && term.IsTerminal(int(f.Fd())), told: -1}
}

func (b *bar) show(p secrets.Progress) {
	if b.tty {
		if b.live == nil {
			b.live = progressbar.NewOptions(p.Total, progressbar.OptionSetWriter(b.w), progressbar.OptionShowCount(), progressbar.OptionSetDescription("keys"),
				progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth())
		}
		_ = b.live.Set(p.Done)
		return
	}
	tenth := 10
	if p.Total > 0 {
		tenth = p.Done * 10 / p.Total
	}
	if tenth != b.told {
		b.told = tenth
		fmt.Fprintln(b.w, p)
	}
}

func (b *bar) end() {
	if b.live != nil {
		_ = b.live.Exit()
		fmt.Fprintln(b.w)
	}
}
