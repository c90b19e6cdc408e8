package sync

import (
	"context"
	"crypto/rand"
	gosync "sync"

	"github.com/lockkeeper/lockkeeper/authz"
)

// MemoryMeetings is a MeetingStore that lives as long as the process. The zero
// value is ready; do not copy it.
type MemoryMeetings struct {
	mu   gosync.Mutex
	crms map[string]*memoryTable
}

type memoryTable struct {
	key []byte
	by  map[string]Meeting
	of  map[string]string // record to hash
}

var _ MeetingStore = (*MemoryMeetings)(nil)

func (m *MemoryMeetings) at(crm authz.Resource) *memoryTable {
	t := m.crms[crm.String()]
	if t == nil {
		if m.crms == nil {
			m.crms = map[string]*memoryTable{}
		}
		t = &memoryTable{key: make([]byte, 32), by: map[string]Meeting{}, of: map[string]string{}}
		_, _ = rand.Read(t.key) // never fails, by its contract
		m.crms[crm.String()] = t
	}
	return t
}

// MeetingKey implements MeetingStore.
func (m *MemoryMeetings) MeetingKey(_ context.Context, crm authz.Resource) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(crm).key, nil
}

// Meeting implements MeetingStore.
func (m *MemoryMeetings) Meeting(_ context.Context, crm authz.Resource, hash string) (Meeting, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.at(crm).by[hash]
	return v, ok, nil
}

// MeetingOf implements MeetingStore.
func (m *MemoryMeetings) MeetingOf(_ context.Context, crm authz.Resource, record string) (Meeting, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(crm)
	h, ok := t.of[record]
	return t.by[h], ok, nil
}

// PutMeeting implements MeetingStore.
func (m *MemoryMeetings) PutMeeting(_ context.Context, crm authz.Resource, v Meeting) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(crm)
	old := t.by[v.Hash]
	if old.Version != v.Version {
		return false, nil
	}
	if t.of[old.Record] == v.Hash {
		delete(t.of, old.Record)
	}
	v.Version++
	t.by[v.Hash] = v
	if v.Record != "" {
		t.of[v.Record] = v.Hash
	}
	return true, nil
}

// ReleaseMeetings implements MeetingStore.
func (m *MemoryMeetings) ReleaseMeetings(_ context.Context, crm authz.Resource, lead PairID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(crm)
	for h, v := range t.by {
		if v.Lead == lead {
			v.Lead, v.Host = "", false
			v.Version++
			t.by[h] = v
		}
	}
	return nil
}
