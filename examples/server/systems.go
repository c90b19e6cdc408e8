package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// systems are the two embedded systems: other people's, as far as lockkeeper is
// concerned. What they hold is in their own folder of the data directory, in the
// clear as theirs would be, and lockkeeper never reads it there.
type systems struct {
	dir   string
	roots *x509.CertPool

	crm             *c4ctest.Server
	crmUser         string
	crmPassword     []byte
	visitorPassword []byte // of the person at the terminal
	crmURL          string

	mail      *mailServer
	passwords map[string][]byte // of each mailbox
	mailURL   string
	imported  string // what an import found, in words

	servers []*http.Server
	done    sync.WaitGroup
}

const (
	crmFile  = "crm.json"
	crmLogin = "lockkeeper" // who lockkeeper is in the CRM
	visitor  = "visitor"    // who the person at the terminal is there
	seed     = 20261123     // of the invented world
)

// startSystems makes both systems, filled with what they held before or, the
// first time, with a new world, and serves them on free ports of loopback.
func startSystems(ctx context.Context, dir string, ca *issuer, imports string) (_ *systems, err error) {
	s := &systems{dir: dir, roots: ca.roots(), crmUser: crmLogin, passwords: map[string][]byte{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%s cannot be made: %w", dir, plain(err))
	}
	if s.crmPassword, err = password(); err != nil {
		return nil, err
	}
	if s.visitorPassword, err = password(); err != nil {
		return nil, err
	}
	for _, u := range demo.Users() {
		if s.passwords[u.ID], err = password(); err != nil {
			return nil, err
		}
	}
	s.crm = c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{
		s.crmUser: {Password: string(s.crmPassword)},
		visitor:   {Password: string(s.visitorPassword), Communication: true}, // no CSRF token, so that one curl line is enough
	}})
	if s.mail, err = openMailServer(filepath.Join(dir, "mail"), s.passwords); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	b, err := os.ReadFile(filepath.Join(dir, crmFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = s.fill(imports); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", filepath.Join(dir, crmFile), plain(err))
	case imports != "":
		return nil, misuse("-import %s: the data directory has been used before. Import into a new one, with -data.", imports)
	default:
		if err = s.crm.Load(b); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, crmFile), err)
		}
	}
	if s.crmURL, err = s.serve(ca, s.saving(s.crm.Handler(), s.saveCRM)); err != nil {
		return nil, err
	}
	s.crmURL += c4ctest.Path
	if s.mailURL, err = s.serve(ca, s.mail.handler()); err != nil {
		return nil, err
	}
	return s, s.netrc()
}

// fill puts a new world into both systems and saves it.
func (s *systems) fill(imports string) error {
	if imports != "" {
		n, err := s.mail.importDir(imports, demo.Users()[0].ID)
		if err != nil {
			return err
		}
		s.imported = "Imported into mailbox " + demo.Users()[0].ID + ": " + n.String() + "."
	} else {
		w := demo.New(seed, now())
		if err := seedCRM(s.crm, w.CRM); err != nil {
			return err
		}
		for _, u := range demo.Users() {
			if err := s.mail.seed(u.ID, w.Mailboxes[u.ID]); err != nil {
				return err
			}
		}
	}
	return s.saveCRM() // last: its file says that the filling was complete
}

func (s *systems) saveCRM() error {
	b, err := s.crm.Dump()
	if err != nil {
		return fmt.Errorf("CRM: %w", err)
	}
	return writeFile(filepath.Join(s.dir, crmFile), b)
}

// saving saves a system's content before the answer to a writing request is
// complete: what it said it has done must survive a kill.
func (s *systems) saving(h http.Handler, save func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions, "PROPFIND", "REPORT":
			return
		}
		if err := save(); err != nil {
			panic(http.ErrAbortHandler) // no answer, as from a system whose disk is full
		}
	})
}

// serve serves over TLS on a free port of loopback and returns the origin.
func (s *systems) serve(ca *issuer, h http.Handler) (string, error) {
	cert, err := ca.issue(now())
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("embedded system: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(discard{}, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}}
	s.servers = append(s.servers, srv)
	s.done.Go(func() { _ = srv.ServeTLS(l, "", "") })
	return "https://" + l.Addr().String(), nil
}

// stop ends both servers.
func (s *systems) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, srv := range s.servers {
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
	s.done.Wait()
}

// netrc writes the logins of a person in both systems where curl finds them, so
// that they need not be typed or shown.
func (s *systems) netrc() error {
	line := func(user string, password []byte) []byte {
		return fmt.Appendf(nil, "machine 127.0.0.1 login %s password %s\n", user, password)
	}
	if err := writeFile(filepath.Join(s.dir, "crm.netrc"), line(visitor, s.visitorPassword)); err != nil {
		return err
	}
	first := demo.Users()[0].ID
	return writeFile(filepath.Join(s.dir, "mailbox.netrc"), line(first, s.passwords[first]))
}

// discard swallows what a server says of broken connections.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
