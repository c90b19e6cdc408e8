package main

import (
	"errors"
	"net/http"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// mailServer holds the mailboxes in memory, for as long as the process lives.
type mailServer struct{ boxes map[string]*mem.System }

func newMailServer(string, map[string][]byte) *mailServer {
	m := &mailServer{map[string]*mem.System{}}
	for _, u := range demo.Users() {
		m.boxes[u.ID] = mem.New(nil)
	}
	return m
}

// plugins offers each mailbox under a name of its own.
func (m *mailServer) plugins() (out []connectors.Plugin, err error) {
	for u, s := range m.boxes {
		p, err := s.Plugin("mem"+u, connectors.Mailbox)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (m *mailServer) seed(user string, rs []*connectors.Record) error {
	for _, r := range rs {
		m.boxes[user].Add(r)
	}
	return nil
}

func (m *mailServer) load() error {
	return errors.New("this data directory was used before, and its mailboxes were in memory: choose a new one")
}

func (m *mailServer) importDir(string, string) error {
	return misuse("-import: the mailboxes in memory take no files")
}
func (m *mailServer) save() error           { return nil }
func (m *mailServer) path() string          { return "/" }
func (m *mailServer) handler() http.Handler { return http.NotFoundHandler() }

func (s *systems) sampleMail(string) string { return "" }
