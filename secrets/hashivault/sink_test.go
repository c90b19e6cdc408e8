package hashivault_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sink reads a pipe, or does not.
type sink struct {
	f    *os.File
	mu   sync.Mutex
	idle bool
	done sync.WaitGroup
}

func newSink(t *testing.T, path string) *sink {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // both ends, so that opening does not wait
	require.NoError(t, err)
	s := &sink{f: f}
	s.done.Go(func() {
		b := make([]byte, 1024)
		for {
			s.mu.Lock()
			idle := s.idle
			s.mu.Unlock()
			if idle {
				time.Sleep(5 * time.Millisecond)
				_ = f.SetReadDeadline(time.Time{})
			}
			if err := f.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				return
			}
			if idle {
				continue
			}
			if _, err := f.Read(b); err != nil && !os.IsTimeout(err) {
				return
			}
		}
	})
	t.Cleanup(func() { _ = f.Close(); s.done.Wait() })
	return s
}

func (s *sink) stop()  { s.set(true) }
func (s *sink) start() { s.set(false) }

func (s *sink) set(idle bool) {
	s.mu.Lock()
	s.idle = idle
	s.mu.Unlock()
}
