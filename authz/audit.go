package authz

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Hash chains audit records.
type Hash [sha256.Size]byte

// MarshalText writes hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", h[:]), nil }

// UnmarshalText reads hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if _, err := hex.Decode(h[:], b[:min(len(b), 2*len(h))]); err != nil || len(b) != 2*len(h) {
		return errors.New("authz: hash: want 64 hexadecimal digits")
	}
	return nil
}

// AuditRecord is one recorded decision or change. Each holds the hash of the
// one before, so that a record can be neither altered nor left out unseen.
type AuditRecord struct {
	Sequence   uint64     `json:"seq"` // from 1, without gaps
	Time       time.Time  `json:"time"`
	Decision   uuid.UUID  `json:"decision"`
	Cause      uuid.UUID  `json:"cause"` // the decision that led to this one; zero if none
	Principal  Principal  `json:"principal"`
	OnBehalfOf Principal  `json:"on_behalf_of"`
	Permission Permission `json:"permission"`
	Resource   Resource   `json:"resource"`
	Allowed    bool       `json:"allowed"`
	Reason     string     `json:"reason"`
	Revision   uint64     `json:"revision"`
	Previous   Hash       `json:"previous"`
	Hash       Hash       `json:"hash"`
}

func record(now time.Time, req Request, d Decision) AuditRecord {
	return AuditRecord{Time: now.UTC().Truncate(time.Microsecond), Decision: d.ID, Cause: req.Cause, Principal: req.Principal, OnBehalfOf: req.OnBehalfOf,
		Permission: req.Permission, Resource: req.Resource, Allowed: d.Allowed, Reason: d.Reason(), Revision: d.Revision}
}

// sum hashes everything but Hash itself, every field with its length.
func (r AuditRecord) sum() Hash {
	h := sha256.New()
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	number := func(n uint64) { field(binary.BigEndian.AppendUint64(nil, n)) }
	number(r.Sequence)
	number(uint64(r.Time.UnixMicro()))
	field(r.Decision[:])
	field(r.Cause[:])
	for _, s := range []string{r.Principal.name, r.OnBehalfOf.name, r.Permission.name, r.Resource.path, r.Reason} {
		field([]byte(s))
	}
	if r.Allowed {
		number(1)
	} else {
		number(0)
	}
	number(r.Revision)
	field(r.Previous[:])
	return Hash(h.Sum(nil))
}

// Sink keeps audit records. It is never called by two goroutines at once.
type Sink interface {
	// Append makes records durable, all or none, in order, before it returns.
	Append(ctx context.Context, rs []AuditRecord) error
	// Head returns sequence and hash of the last record, zeros if there is none.
	Head(ctx context.Context) (uint64, Hash, error)
}

// Verify checks a chain of records from its beginning: every hash, every link,
// no gap. It returns the last sequence and hash, to be compared with a copy
// kept elsewhere: a chain cannot tell that its end was cut off.
func Verify(records iter.Seq2[AuditRecord, error]) (uint64, Hash, error) {
	return VerifyFrom(0, Hash{}, records)
}

// VerifyFrom is Verify for what follows a record that was verified before,
// whose sequence and hash it wants. It returns the last it could verify, which
// are those if there is none.
func VerifyFrom(seq uint64, prev Hash, records iter.Seq2[AuditRecord, error]) (uint64, Hash, error) {
	for r, err := range records {
		if err != nil {
			return seq, prev, err
		}
		switch {
		case r.Sequence != seq+1:
			return seq, prev, fmt.Errorf("authz: audit: record %d follows %d", r.Sequence, seq)
		case r.Previous != prev:
			return seq, prev, fmt.Errorf("authz: audit: record %d does not continue the one before", r.Sequence)
		case r.Hash != r.sum():
			return seq, prev, fmt.Errorf("authz: audit: record %d was altered", r.Sequence)
		}
		seq, prev = r.Sequence, r.Hash
	}
	return seq, prev, nil
}

// trail writes records to a sink in one chain. Records that arrive while the
// sink is busy go out together.
type trail struct {
	sink    Sink
	timeout time.Duration

	mu      sync.Mutex
	waiting []*entry
	running bool
	seq     uint64
	head    Hash
}

type entry struct {
	r    AuditRecord
	c    *Change // to be made durable together with the record
	done chan error
}

// maxWaiting bounds what may pile up before a slow sink.
const maxWaiting = 10_000

// maxTries bounds how often records are handed over while other processes write
// to the same sink.
const maxTries = 3

func newTrail(ctx context.Context, s Sink, timeout time.Duration) (*trail, error) {
	seq, head, err := s.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("authz: audit: %w", err)
	}
	return &trail{sink: s, timeout: timeout, seq: seq, head: head}, nil
}

// write returns nil once the record is durable. The record may still be written
// after an error: refusing too much is safe.
func (t *trail) write(ctx context.Context, r AuditRecord) error { return t.enter(ctx, r, nil) }

// commit is write for a record and the change it is of, both or neither. For a
// sink that is a Committer.
func (t *trail) commit(ctx context.Context, r AuditRecord, c Change) error {
	return t.enter(ctx, r, &c)
}

func (t *trail) enter(ctx context.Context, r AuditRecord, c *Change) error {
	e := &entry{r, c, make(chan error, 1)}
	t.mu.Lock()
	if len(t.waiting) >= maxWaiting {
		t.mu.Unlock()
		return fmt.Errorf("authz: %w", ErrAuditUnavailable)
	}
	t.waiting = append(t.waiting, e)
	if !t.running {
		t.running = true
		go t.drain()
	}
	t.mu.Unlock()
	select {
	case err := <-e.done:
		switch {
		case err == nil:
			return nil
		case c != nil && errors.Is(err, ErrConflict):
			return err
		}
		return fmt.Errorf("authz: %w: %w", ErrAuditUnavailable, err)
	case <-time.After(t.timeout):
		t.forget(e)
		return fmt.Errorf("authz: %w in %v", ErrAuditUnavailable, t.timeout)
	case <-ctx.Done():
		t.forget(e)
		return fmt.Errorf("authz: %w: %w", ErrAuditUnavailable, ctx.Err())
	}
}

func (t *trail) forget(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.DeleteFunc(t.waiting, func(x *entry) bool { return x == e })
}

func (t *trail) drain() {
	for {
		t.mu.Lock()
		batch := t.waiting
		t.waiting = nil
		if len(batch) == 0 {
			t.running = false
			t.mu.Unlock()
			return
		}
		// A change goes out with its record and what waited before it.
		for i, e := range batch {
			if e.c != nil {
				batch, t.waiting = batch[:i+1], append(batch[i+1:len(batch):len(batch)], t.waiting...)
				break
			}
		}
		seq, head := t.seq, t.head
		t.mu.Unlock()
		var err error
		for range maxTries {
			if seq, head, err = t.chain(batch, seq, head); err == nil {
				break
			}
			// The sink may have kept the records although it failed, or
			// another process may have written: go on from what it holds.
			// What was refused stays refused; what was only in the way of
			// another is tried again.
			seq, head = t.resume()
			if !errors.Is(err, ErrConflict) {
				break
			}
		}
		t.mu.Lock()
		t.seq, t.head = seq, head
		t.mu.Unlock()
		for _, e := range batch {
			e.done <- err
		}
	}
}

// chain links entries to the record before them and hands them to the sink.
func (t *trail) chain(batch []*entry, seq uint64, head Hash) (uint64, Hash, error) {
	rs := make([]AuditRecord, len(batch))
	for i, e := range batch {
		seq++
		e.r.Sequence, e.r.Previous = seq, head
		e.r.Hash = e.r.sum()
		head = e.r.Hash
		rs[i] = e.r
	}
	return seq, head, t.append(rs, batch[len(batch)-1].c)
}

// append calls the sink and turns a panic into an error.
func (t *trail) append(rs []AuditRecord, c *Change) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("audit sink failed")
		}
	}()
	if c != nil {
		return t.sink.(Committer).Commit(context.Background(), rs, *c)
	}
	return t.sink.Append(context.Background(), rs)
}

// resume returns where the chain in the sink ends, or what was known of it if
// the sink does not say.
func (t *trail) resume() (seq uint64, head Hash) {
	seq, head = t.seq, t.head
	defer func() { _ = recover() }()
	if s, h, err := t.sink.Head(context.Background()); err == nil {
		seq, head = s, h
	}
	return seq, head
}

// Memory keeps the newest audit records as long as the process lives. Safe for
// concurrent use.
type Memory struct {
	mu   sync.Mutex
	max  int
	list []AuditRecord
}

// NewMemory keeps up to max records; zero means 100,000.
func NewMemory(max int) *Memory {
	if max <= 0 {
		max = 100_000
	}
	return &Memory{max: max}
}

// Append implements Sink.
func (m *Memory) Append(_ context.Context, rs []AuditRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, rs...)
	if over := len(m.list) - m.max; over > m.max/4 {
		m.list = slices.Clone(m.list[over:])
	}
	return nil
}

// Head implements Sink.
func (m *Memory) Head(context.Context) (uint64, Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		return 0, Hash{}, nil
	}
	last := m.list[len(m.list)-1]
	return last.Sequence, last.Hash, nil
}

// Records returns a copy of what is kept, oldest first.
func (m *Memory) Records() []AuditRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list[max(0, len(m.list)-m.max):])
}

// JSONLines keeps audit records in a file, one JSON object a line, on disk
// before Append returns.
type JSONLines struct {
	f    *os.File
	size int64
	seq  uint64
	head Hash
	torn error // set when the end of the file is not known; nothing is appended to it
}

// OpenJSONLines opens or creates the file, readable by its owner only, and goes
// on after its last record. A half-written last line, left by a crash before it
// was acknowledged, is cut off.
func OpenJSONLines(path string) (*JSONLines, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("authz: audit: %w", err)
	}
	j := &JSONLines{f: f}
	for r, err := range ReadJSONLines(f) {
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		j.seq, j.head = r.Sequence, r.Hash
	}
	if j.size, err = completeLines(f); err == nil {
		if err = f.Truncate(j.size); err == nil {
			_, err = f.Seek(j.size, io.SeekStart)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("authz: audit: %w", err)
	}
	return j, nil
}

// completeLines returns where the last line end is.
func completeLines(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end := st.Size(); end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// Append implements Sink.
func (j *JSONLines) Append(_ context.Context, rs []AuditRecord) error {
	if j.torn != nil || len(rs) == 0 {
		return j.torn
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, r := range rs {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	n, err := j.f.Write(b.Bytes())
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// Take back what may have arrived, so that no later record follows a torn one.
		j.torn = j.f.Truncate(j.size)
		if j.torn == nil {
			_, j.torn = j.f.Seek(j.size, io.SeekStart)
		}
		return err
	}
	j.size += int64(n)
	j.seq, j.head = rs[len(rs)-1].Sequence, rs[len(rs)-1].Hash
	return nil
}

// Head implements Sink.
func (j *JSONLines) Head(context.Context) (uint64, Hash, error) { return j.seq, j.head, nil }

// Close closes the file.
func (j *JSONLines) Close() error { return j.f.Close() }

// ReadJSONLines reads the records that a JSONLines wrote, for Verify. A last
// line without its end is not a record. A line must be, byte for byte, as it
// was written: JSON has many spellings, and only one was hashed.
func ReadJSONLines(r io.Reader) iter.Seq2[AuditRecord, error] {
	return func(yield func(AuditRecord, error) bool) {
		br := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			line, err := br.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(AuditRecord{}, fmt.Errorf("authz: audit: line %d: %w", n, err))
				return
			}
			var rec AuditRecord
			if err := json.Unmarshal(line, &rec); err != nil {
				yield(AuditRecord{}, fmt.Errorf("authz: audit: line %d: not a record", n))
				return
			}
			var b bytes.Buffer
			_ = json.NewEncoder(&b).Encode(rec) // what it cannot write is not what was written
			if !bytes.Equal(b.Bytes(), line) {
				yield(AuditRecord{}, fmt.Errorf("authz: audit: line %d: not as it was written", n))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}
