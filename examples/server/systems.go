package main

import (
	"bytes"
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
	crmDoor         *door
	crmUser         string
	crmPassword     []byte // handed over to the safe, which clears it
	visitorPassword []byte // of the person at the terminal
	crmURL          string

	mail      *mailServer
	mailDoor  *door
	passwords map[string][]byte // of each mailbox, as crmPassword
	mailURL   string
	imported  string // what an import found, in words

	replacing sync.Mutex // one password is replaced at a time

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
func startSystems(dir string, ca *issuer, imports string) (_ *systems, err error) {
	s := &systems{dir: dir, roots: ca.roots(), crmUser: crmLogin, passwords: map[string][]byte{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%s cannot be made: %w", dir, plain(err))
	}
	inner := map[string]string{}
	for _, user := range s.logins() {
		p, err := password()
		if err != nil {
			return nil, err
		}
		inner[user] = string(p)
	}
	s.crm = c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{
		s.crmUser: {Password: inner[s.crmUser]},
		visitor:   {Password: inner[visitor], Communication: true}, // no CSRF token, so that one curl line is enough
	}})
	if s.mail, err = openMailServer(filepath.Join(dir, "mail"), inner); err != nil {
		return nil, err
	}
	s.crmDoor, s.mailDoor = newDoor(s.saving(s.crm.Handler(), s.saveCRM)), newDoor(s.mail.handler())
	for _, user := range s.logins() {
		p, err := password()
		if err != nil {
			return nil, err
		}
		s.door(user).know(user, inner[user], string(p))
		switch user {
		case s.crmUser:
			s.crmPassword = p
		case visitor:
			s.visitorPassword = p
		default:
			s.passwords[user] = p
		}
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
	if s.crmURL, err = s.serve(ca, s.crmDoor); err != nil {
		return nil, err
	}
	s.crmURL += c4ctest.Path
	if s.mailURL, err = s.serve(ca, s.mailDoor); err != nil {
		return nil, err
	}
	first := demo.Users()[0].ID
	return s, errors.Join(s.netrc("crm", visitor, s.visitorPassword), s.netrc("mailbox", first, s.passwords[first]))
}

// logins are all who log in to one of the systems.
func (s *systems) logins() []string {
	out := []string{s.crmUser, visitor}
	for _, u := range demo.Users() {
		out = append(out, u.ID)
	}
	return out
}

// door is the door of the system that a user logs in to.
func (s *systems) door(user string) *door {
	if user == s.crmUser || user == visitor {
		return s.crmDoor
	}
	return s.mailDoor
}

// replace gives a user of a system another password: put stores it, and the old
// one opens until that is done.
func (s *systems) replace(user string, put func(password []byte) error) error {
	s.replacing.Lock()
	defer s.replacing.Unlock()
	p, err := password()
	if err != nil {
		return err
	}
	d, line := s.door(user), bytes.Clone(p)
	defer clear(line)
	d.offer(user, string(p))
	err = put(p)
	d.settle(user, err == nil)
	if err == nil && user == demo.Users()[0].ID {
		err = s.netrc("mailbox", user, line)
	}
	return err
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

// netrc writes a person's login in a system where curl finds it, so that it need
// not be typed or shown.
func (s *systems) netrc(system, user string, password []byte) error {
	return writeFile(filepath.Join(s.dir, system+".netrc"), fmt.Appendf(nil, "machine 127.0.0.1 login %s password %s\n", user, password))
}

// discard swallows what a server says of broken connections.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
