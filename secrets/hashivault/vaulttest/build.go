package vaulttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const nested = "secrets/hashivault/vaultserver"

// program returns the server's program, building it where it is required. It is
// kept for the machine's user, named by all it is made of, and built by one
// process at a time.
func program(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/lockkeeper/lockkeeper").Output()
	if err != nil {
		return "", fmt.Errorf("vaulttest: go list: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), nested)
	if _, err := os.Stat(filepath.Join(src, "go.mod")); err != nil {
		return "", fmt.Errorf("%w: its source comes with a checkout only", ErrAbsent)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	sum, err := sources(src)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "lockkeeper")
	path := filepath.Join(dir, "vaultserver-"+sum)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if os.Getenv("CI") != "true" && os.Getenv("LOCKKEEPER_REQUIRE") != "servers" {
		return "", ErrAbsent
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "vaultserver.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	if _, err := os.Stat(path); err == nil { // someone else built it meanwhile
		return path, nil
	}
	tmp := path + ".new"
	cmd := exec.CommandContext(ctx, "nice", "go", "build", "-ldflags", "-s -w", "-o", tmp, ".")
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("vaulttest: build: %w: %s", err, out)
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	return path, nil
}

// sources names what the program is made of.
func sources(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", fmt.Errorf("vaulttest: %w", err)
	}
	for _, f := range files {
		if e := filepath.Ext(f); e != ".go" && e != ".mod" && e != ".sum" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return "", fmt.Errorf("vaulttest: %w", err)
		}
		fmt.Fprintln(h, filepath.Base(f), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
