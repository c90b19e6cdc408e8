//go:build unix

package peers

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed package.json package-lock.json server.mjs
var files embed.FS

// OIDC is a running oidc-provider whose person always consents. It wants PKCE,
// rotates refresh tokens and ends a consent when one is used twice.
type OIDC struct{ Issuer string }

// StartOIDC starts a server of its own on loopback for the given clients, with
// access tokens that live so many seconds, and stops it when the test ends.
func StartOIDC(t testing.TB, life int, clients ...map[string]any) *OIDC {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed")
	}
	lock, err := files.ReadFile("package-lock.json")
	if err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	dir := os.Getenv("LOCKKEEPER_PEERS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			missing(t, "no cache directory")
		}
		sum := sha256.Sum256(lock)
		dir = filepath.Join(cache, "lockkeeper", "peers-"+hex.EncodeToString(sum[:8]))
	}
	if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
		missing(t, "oidc-provider is not installed")
	}
	work := t.TempDir()
	program, err := files.ReadFile("server.mjs")
	if err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(work, "server.mjs"), program, 0o600),
		os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(work, "node_modules"))); err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	config, err := json.Marshal(map[string]any{"clients": clients, "life": life})
	if err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	cmd := exec.Command(node, "server.mjs")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "PEERS_CONFIG="+string(config), "NO_COLOR=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	issuer, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if s, ok := strings.CutPrefix(sc.Text(), "listening on "); ok {
				issuer <- s
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
		_ = cmd.Wait()
	})
	select {
	case s := <-issuer:
		return &OIDC{s}
	case <-done:
		t.Fatal("peers: oidc: server ended")
	case <-time.After(90 * time.Second):
		t.Fatal("peers: oidc: server did not start")
	}
	return nil
}

// Consent is a browser and a person who consents: it follows the provider's
// pages and returns the query with which the application is called back.
func (o *OIDC) Consent(t testing.TB, address, redirect string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatalf("peers: oidc: %v", err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	c := &http.Client{Transport: tr, Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for range 10 {
		resp, err := c.Get(address)
		if err != nil {
			t.Fatalf("peers: oidc: %v", err)
		}
		_ = resp.Body.Close()
		next, err := resp.Location()
		if err != nil {
			t.Fatalf("peers: oidc: %s answers %s", address, resp.Status)
		}
		if address = next.String(); strings.HasPrefix(address, redirect) {
			return next.Query()
		}
	}
	t.Fatal("peers: oidc: no end of redirects")
	return nil
}
