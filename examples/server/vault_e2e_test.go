package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

const childArgs = "LOCKKEEPER_TEST_ARGS"

// TestMain is also the program, in a process that can be killed.
func TestMain(m *testing.M) {
	if s := os.Getenv(childArgs); s != "" {
		var args []string
		if err := json.Unmarshal([]byte(s), &args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(100)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := run(ctx, args, os.Stdout, os.Stderr, os.Getenv)
		stop()
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// process is the program in a process of its own.
type process struct {
	cmd        *exec.Cmd
	out, words *output
	lines      chan string // of its output, as they come
	code       func() int  // waits for the end
}

func launch(t *testing.T, args ...string) *process {
	t.Helper()
	b, err := json.Marshal(args)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{cmd: exec.Command(self), out: &output{}, words: &output{}, lines: make(chan string, 10_000)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), childArgs+"="+string(b)), p.words
	r, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.code = sync.OnceValue(func() int {
		for range p.lines { // to its end, before Wait closes the pipe
		}
		_ = p.cmd.Wait()
		return p.cmd.ProcessState.ExitCode()
	})
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(io.TeeReader(r, p.out))
		for s.Scan() {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) kill() int {
	_ = p.cmd.Process.Kill()
	return p.code()
}

func (p *process) interrupt() int {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	return p.code()
}

// server starts the program as a server in its own process.
func server(t *testing.T, data string, args ...string) *served {
	t.Helper()
	p := launch(t, append([]string{"-data", data, "-listen", "localhost:0", "-interval", "1s"}, args...)...)
	s := &served{t: t, data: data, out: p.out, words: p.words}
	s.stop = sync.OnceValue(func() int {
		for _, c := range s.clients {
			c.CloseIdleConnections()
		}
		return p.interrupt()
	})
	t.Cleanup(func() { s.stop() })
	s.eventually("the first complete sync", func() bool { return strings.Contains(p.out.String(), "First complete sync") })
	s.url = regexp.MustCompile(`https://localhost:\d+`).FindString(p.out.String())
	s.roots = x509.NewCertPool()
	require.True(t, s.roots.AppendCertsFromPEM([]byte(content(t, filepath.Join(data, authority)))))
	return s
}

// crosses makes sure that an edit on one side arrives on the other.
func crosses(t *testing.T, s *served, title string) {
	t.Helper()
	b := s.as("user")
	crm, mail := linked(t, b)
	_, text := b.get(crm)
	f := form(text)
	f.Set("job_title", title)
	status, text := b.post(crm, f)
	require.Equal(t, http.StatusOK, status, text)
	s.eventually("the edit on the other side", func() bool { _, text := b.get(mail); return form(text).Get("job_title") == title })
}

// withTenants gives the keyring of a data directory the keys of more tenants, so
// that there is something to move.
func withTenants(t *testing.T, data string, n int) {
	t.Helper()
	d, err := openDataDir(t.Context(), data, nil, nil)
	require.NoError(t, err)
	defer d.close()
	az := authztest.New(t, "allow user:idp/tara role:tenant-admin tenants")
	safe, err := secrets.New(d.keeper, d.store, &secrets.Memory{}, nil)
	require.NoError(t, err)
	defer safe.Close()
	for i := range n {
		owner := authztest.Resource(t, fmt.Sprintf("tenants/t%03d", i))
		ref, err := secrets.NewRef(owner, "crm")
		require.NoError(t, err)
		g, err := az.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "user:idp/tara"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
		require.NoError(t, err)
		require.NoError(t, safe.Put(t.Context(), g, ref, []byte("a password"), basic("somebody")))
	}
}

var progressLine = regexp.MustCompile(`^(\d+) of (\d+) done`)

// From the keyring to Vault with the whole program: killed in the middle, gone on
// with, and afterwards without Vault there is nothing to be had.
// evidence: P29
// fault: F20
func TestFromTheKeyringToVault(t *testing.T) {
	v := vaulttest.Start(t, nil)
	r := newVaultRig(t, v)
	data := newData(t)
	s := server(t, data, small(t)...)
	assert.Contains(t, s.out.String(), "Keyring:")
	require.Zero(t, s.stop(), s.words)
	const more = 150
	withTenants(t, data, more)
	migrate := func(more ...string) []string {
		return append(append([]string{"migrate", "-data", data}, r.flags()...), more...)
	}

	// Killed in its middle.
	p, killedAt := launch(t, migrate()...), 0
	for line := range p.lines {
		if m := progressLine.FindStringSubmatch(line); m != nil {
			done, _ := strconv.Atoi(m[1])
			total, _ := strconv.Atoi(m[2])
			require.Equal(t, more+1, total)
			if done > 0 && done < total {
				killedAt = done
				break
			}
		}
	}
	require.Equal(t, -1, p.kill(), "it was killed: %s%s", p.out, p.words)
	require.NotZero(t, killedAt)

	// The keyring is still in charge.
	code, out, words := runOnce(t, "-data", data, "-once")
	require.Equal(t, exitDone, code, words)
	assert.Contains(t, out, ". 0 records written")
	code, _, words = runOnce(t, append([]string{"-data", data, "-once"}, r.flags()...)...)
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, "Move them first")

	// It goes on from where it was, and again changes nothing.
	code, out, words = runOnce(t, migrate()...)
	require.Equal(t, exitDone, code, words)
	first := regexp.MustCompile(`(?m)` + progressLine.String()).FindStringSubmatch(out)
	require.NotNil(t, first, out)
	already, _ := strconv.Atoi(first[1])
	assert.GreaterOrEqual(t, already, killedAt, "what was moved stays moved")
	assert.Contains(t, out, fmt.Sprintf("Done: %d tenants' keys", more+1))
	assert.Contains(t, out, "is not used any more")
	keeper := content(t, filepath.Join(data, keeperName))
	code, out, words = runOnce(t, migrate("-remove-keyring")...)
	require.Equal(t, exitDone, code, words)
	assert.Contains(t, out, "Nothing was moved")
	assert.NoFileExists(t, data+keySuffix)
	var before, after keeperFile
	require.NoError(t, json.Unmarshal([]byte(keeper), &before))
	require.NoError(t, json.Unmarshal([]byte(content(t, filepath.Join(data, keeperName))), &after))
	assert.Equal(t, before.Key, after.Key)

	// With Vault sync goes on, stops while it is sealed, and goes on after.
	s = server(t, data, r.flags()...)
	assert.Contains(t, s.out.String(), "HashiCorp Vault at "+v.URL())
	assert.Contains(t, s.out.String(), "acme.ana: in sync; 0 records written", "the state of the mailbox opened")
	crosses(t, s, "Keeper of Vault")
	b := s.as("user")
	v.Seal(t)
	s.eventually("the health to say that Vault is sealed", func() bool {
		status, h := healthOf(t, b)
		return status == http.StatusServiceUnavailable && h.Keeper.State == string(secrets.Sealed) && h.Keeper.Code == "LK-VAULT-SEALED"
	})
	v.Unseal(t)
	s.eventually("the health to be well again", func() bool { status, _ := healthOf(t, b); return status == http.StatusOK })
	crosses(t, s, "Keeper after the seal")
	passwords := regexp.MustCompile(`password (\S+)`).FindStringSubmatch(content(t, filepath.Join(data, systemsDir, "mailbox.netrc")))[1:]
	require.Zero(t, s.stop(), s.words)

	// All files and no Vault: nothing.
	for name, b := range scanned(t, data) {
		assert.Empty(t, leaks(b, append(passwords, "Keeper of Vault", "Volta")), name)
	}
	v.Kill()
	for _, args := range [][]string{{"-data", data, "-once"}, append([]string{"-data", data, "-once"}, r.flags()...)} {
		code, out, words = runOnce(t, args...)
		assert.NotZero(t, code)
		assert.Empty(t, out)
	}
	assert.Contains(t, words, "LK-VAULT-UNREACHABLE")
	// Whoever makes a keyring, or another Vault, of their own gets no further,
	// also when they change what the directory says of its keeper.
	forged := before
	forged.Keeper, forged.Place, forged.Identity, forged.Address = keyringName, nil, nil, ""
	require.NoError(t, forged.write(filepath.Join(data, keeperName)))
	other := newData(t)
	d, err := openDataDir(t.Context(), other, nil, nil)
	require.NoError(t, err)
	require.NoError(t, d.close())
	require.NoError(t, os.Rename(other+keySuffix, data+keySuffix))
	code, _, words = runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "belongs to another data directory")

	another := newVaultRig(t, vaulttest.Start(t, nil))
	require.NoError(t, before.write(filepath.Join(data, keeperName)))
	flags := append(another.flags(), "-vault-transit", r.transit, "-vault-kv", r.kv)
	require.Equal(t, r.transit+r.kv, another.transit+another.kv, "each server counts from one, so that only who it is differs")
	code, _, words = runOnce(t, append([]string{"-data", data, "-once"}, flags...)...)
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, codeWrong)
	forged = before
	forged.Identity, forged.Place = &hashivault.Identity{}, &place{Transit: another.transit, Key: "lockkeeper", KV: another.kv, Path: "lockkeeper"}
	require.NoError(t, forged.write(filepath.Join(data, keeperName)))
	code, _, words = runOnce(t, append([]string{"-data", data, "-once"}, another.flags()...)...)
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "does not open")
}

// Keys of another installation in the same folder of Vault are not overwritten,
// and not taken for one's own.
func TestMigrationFindsAnotherInstallation(t *testing.T) {
	r := newVaultRig(t, vaulttest.Start(t, nil))
	first, second := newData(t), newData(t)
	code, _, words := runOnce(t, append(append(small(t), "-data", first, "-once"), r.flags()...)...)
	require.Equal(t, exitDone, code, words)
	code, _, words = runOnce(t, append(small(t), "-data", second, "-once")...)
	require.Equal(t, exitDone, code, words)
	code, _, words = runOnce(t, append([]string{"migrate", "-data", second}, r.flags()...)...)
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "-vault-path")
	for _, args := range [][]string{append([]string{"-data", first, "-once"}, r.flags()...), {"-data", second, "-once"}} {
		code, _, words := runOnce(t, args...)
		assert.Equal(t, exitDone, code, words)
	}
}

func TestMigrationHasNothingToMove(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "id", "an-id")
	id := filepath.Join(dir, "id")
	code, _, words := runOnce(t, "migrate", "-data", newData(t), "-vault-address", "https://127.0.0.1:1", "-vault-role-id-file", id, "-vault-credential-file", id)
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, "there is nothing to move")
	code, _, words = runOnce(t, "migrate", "-data", newData(t))
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, "-vault-address is missing")
}
