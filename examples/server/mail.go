package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// mailServer holds the mailboxes: a CardDAV and CalDAV server that keeps each
// card and each appointment in a file.
type mailServer struct{ *davtest.Server }

func openMailServer(dir string, passwords map[string]string) (*mailServer, error) {
	users := map[string]string{}
	for _, u := range demo.Users() {
		users[u.ID] = passwords[u.ID]
	}
	s, err := davtest.New(&davtest.Options{Users: users, Dir: dir, Clock: now})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, plain(err))
	}
	return &mailServer{s}, nil
}

// options name a user's collections for an endpoint.
func (m *mailServer) options(user string) map[string]string {
	return map[string]string{dav.OptContacts: davtest.Path(user, davtest.Contacts), dav.OptCalendar: davtest.Path(user, davtest.Calendar)}
}

func (m *mailServer) handler() http.Handler { return m.Handler() }

// seed puts records into a mailbox.
func (m *mailServer) seed(user string, rs []*connectors.Record) error {
	for i, r := range rs {
		name, data, err := demo.File(r, fmt.Sprintf("%s-%s-%04d", user, r.Kind, i+1))
		if err != nil {
			return err
		}
		c := davtest.Contacts
		if r.Kind == connectors.KindAppointment {
			c = davtest.Calendar
		}
		if err := m.Put(user, c, name, data); err != nil {
			return fmt.Errorf("mailbox %s: %w", user, err)
		}
	}
	return nil
}

// Limits of an import.
const (
	maxImportFiles = 20_000
	maxImportFile  = 32 << 20
)

// imported is what an import found.
type imported struct{ contacts, appointments, broken, other, files int }

func (n imported) String() string {
	return fmt.Sprintf("%d contacts and %d appointments from %d files; %d more cannot be read and will be shown as issues; %d are something else (tasks, for one) and were left out",
		n.contacts, n.appointments, n.files, n.broken, n.other)
}

// importDir puts the cards and appointments of a directory's files into a
// mailbox. One that cannot be read goes in as it is: whoever syncs it has to say
// so.
func (m *mailServer) importDir(dir, user string) (n imported, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return misuse("-import: %s cannot be read: %v", path, plain(err))
		}
		c, ext := davtest.Contacts, strings.ToLower(filepath.Ext(path))
		switch {
		case e.IsDir() || !e.Type().IsRegular() || ext != ".vcf" && ext != ".ics":
			return nil
		case ext == ".ics":
			c = davtest.Calendar
		}
		if n.files++; n.files > maxImportFiles {
			return misuse("-import %s: more than %d files. Import a part.", dir, maxImportFiles)
		}
		f, err := os.Open(path)
		if err != nil {
			return misuse("-import: %s cannot be read: %v", path, plain(err))
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxImportFile+1))
		switch {
		case err != nil:
			return misuse("-import: %s cannot be read: %v", path, plain(err))
		case len(data) > maxImportFile:
			return misuse("-import: %s is larger than %d MiB. Split it.", path, maxImportFile>>20)
		}
		objects := dav.SplitContacts(data)
		if c == davtest.Calendar {
			objects = dav.SplitAppointments(data, now())
		}
		for _, o := range objects {
			switch {
			case o.Err != nil && dav.IsNoAppointment(o.Err):
				n.other++
				continue
			case o.Err != nil:
				n.broken++
			case c == davtest.Contacts:
				n.contacts++
			default:
				n.appointments++
			}
			if o.Name == "" {
				sum := sha256.Sum256(o.Data)
				o.Name = hex.EncodeToString(sum[:16]) + ext
			}
			if err := m.Put(user, c, o.Name, o.Data); err != nil {
				return misuse("-import: %s: %v", path, err)
			}
		}
		return nil
	})
	if err == nil && n.files == 0 {
		err = misuse("-import %s: no .vcf or .ics file in it.", dir)
	}
	return n, err
}

// sampleMail returns the address of a contact to try things on, "" if there is
// none with a title on a line of its own.
func (s *systems) sampleMail(user string) string {
	for _, o := range s.mail.List(user, davtest.Contacts) {
		if bytes.Contains(o.Data, []byte("\r\nTITLE:")) {
			return s.mailURL + davtest.Path(user, davtest.Contacts) + o.Name
		}
	}
	return ""
}
