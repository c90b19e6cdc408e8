// Package pgtest runs a PostgreSQL server for tests: a real one, empty, thrown
// away afterwards. It wants the server's programs (Debian package postgresql)
// and a unix system.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ErrAbsent means that no server is installed.
var ErrAbsent = errors.New("PostgreSQL is not installed (Debian package postgresql)")

// Server is a running server. It listens on a socket in its directory, so that
// it needs no port and nobody else on the machine reaches it.
type Server struct {
	bin, dir   string
	credential *syscall.Credential // nil: as who runs the test
	cmd        *exec.Cmd
	leash      io.WriteCloser // the server ends when this is closed, also by the end of the process
	gone       chan struct{}
	out        *strings.Builder
	made       atomic.Int64
}

// Start starts a server that ends with the test. Without one installed the test
// is left out, or fails where LOCKKEEPER_REQUIRE is "servers". A server takes
// about two seconds: start one for many tests and give each its own Database.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Open(t.Context())
	if errors.Is(err, ErrAbsent) && os.Getenv("CI") != "true" && os.Getenv("LOCKKEEPER_REQUIRE") != "servers" {
		t.Skip("LEFT OUT: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Open starts a server, for a TestMain. Close it.
func Open(ctx context.Context) (_ *Server, err error) {
	s := &Server{out: &strings.Builder{}, gone: make(chan struct{})}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	// Short: the name of a socket has at most 107 bytes.
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if os.Geteuid() == 0 { // the server refuses to be root
		if s.credential, err = unprivileged(); err != nil {
			return nil, err
		}
		if err := os.Chown(s.dir, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			return nil, err
		}
	}
	if err := s.run(ctx, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"); err != nil {
		return nil, err
	}
	if err := s.serve(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(time.Minute); ; {
		err := s.run(ctx, "pg_isready", "-h", s.dir, "-q")
		if err == nil {
			return s, nil
		}
		select {
		case <-s.gone:
			return nil, fmt.Errorf("pgtest: the server ended: %s", s.out)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("pgtest: the server does not answer: %w", err)
		}
	}
}

// serve starts the server. A shell keeps it on a leash: when the test process
// ends, however it does, its end of the pipe closes, and the shell stops the
// server and removes the directory.
func (s *Server) serve() error {
	const script = `"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=200 </dev/null & pid=$!
cat >/dev/null
kill -INT $pid; wait $pid
rm -rf "$2"/*`
	s.cmd = s.command(context.Background(), "/bin/sh", "-c", script, "sh", s.bin, s.dir)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	var err error
	if s.leash, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		s.leash = nil
		return fmt.Errorf("pgtest: %w", err)
	}
	go func() { _ = s.cmd.Wait(); close(s.gone) }()
	return nil
}

// Database makes an empty database and returns how to connect to it, in the
// form that libpq and pgx read.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "t" + strconv.FormatInt(s.made.Add(1), 10)
	if err := s.run(t.Context(), "createdb", "-h", s.dir, "-U", "postgres", name); err != nil {
		t.Fatal(err)
	}
	return "host=" + s.dir + " user=postgres sslmode=disable dbname=" + name
}

// Close stops the server, with whoever is connected, and removes all it wrote.
func (s *Server) Close() error {
	if s.leash != nil {
		_ = s.leash.Close()
		select {
		case <-s.gone:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
			<-s.gone
		}
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
	return c
}

func (s *Server) run(ctx context.Context, name string, args ...string) error {
	if out, err := s.command(ctx, filepath.Join(s.bin, name), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: %s: %w: %s", name, err, out)
	}
	return nil
}

// programs finds the directory with initdb: Debian keeps it out of the path, one
// for each version.
func programs() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p), nil
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		return "", ErrAbsent
	}
	version := func(p string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(dirs, func(a, b string) int { return version(a) - version(b) })), nil
}

// unprivileged finds a user that is not root.
func unprivileged() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
