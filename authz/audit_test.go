package authz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func each(rs []AuditRecord) iter.Seq2[AuditRecord, error] {
	return func(yield func(AuditRecord, error) bool) {
		for _, r := range rs {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// chain writes n records of many shapes to a sink.
func chain(t require.TestingT, s Sink, n int) {
	tr, err := newTrail(context.Background(), s, time.Minute)
	require.NoError(t, err)
	for i := range n {
		req := Request{Principal: Principal{"user:idp/ana"}, Permission: Permission{"a.read"}, Resource: Resource{fmt.Sprintf("t/%d", i)}}
		d := Decision{ID: newID(), Allowed: i%2 == 0, Code: AllowedBy, Principal: req.Principal, Through: req.Principal, Role: Role{"role:r"}, On: Resource{"t"}, Revision: uint64(i)}
		switch i % 5 {
		case 1:
			req, d = Request{}, Decision{Code: BadRequest} // a question that was none is recorded too
		case 2:
			req.OnBehalfOf, req.Cause = Principal{"user:%D0%B8/%3C%26"}, uuid.New()
		}
		require.NoError(t, tr.write(context.Background(), record(time.Unix(int64(i), int64(i)*1001), req, d)))
	}
}

func TestVerifyFindsWhatWasDoneToAChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(0)
		n := rapid.IntRange(2, 12).Draw(t, "records")
		chain(t, m, n)
		rs := m.Records()
		seq, head, err := Verify(each(rs))
		require.NoError(t, err)
		require.Equal(t, uint64(n), seq)
		require.Equal(t, rs[n-1].Hash, head)

		i := rapid.IntRange(0, n-1).Draw(t, "at")
		bad := slices.Clone(rs)
		what := rapid.SampledFrom([]string{"alter", "remove", "swap", "repeat", "cut", "insert", "rehash"}).Draw(t, "what")
		switch what {
		case "alter", "rehash":
			r := &bad[i]
			switch rapid.IntRange(0, 12).Draw(t, "field") {
			case 0:
				r.Sequence++
			case 1:
				r.Time = r.Time.Add(time.Microsecond)
			case 2:
				r.Decision[3] ^= 1
			case 3:
				r.Cause[15] ^= 1
			case 4:
				r.Principal.name += "x"
			case 5:
				r.OnBehalfOf.name += "x"
			case 6:
				r.Permission.name += "x"
			case 7:
				r.Resource.path += "x"
			case 8:
				r.Allowed = !r.Allowed
			case 9:
				r.Reason += " "
			case 10:
				r.Revision++
			case 11:
				r.Previous[0] ^= 1
			case 12:
				// A boundary moved: all letters are there, in another field.
				if all := r.Principal.name + r.OnBehalfOf.name; all != "" {
					at := (len(r.Principal.name) + 1) % (len(all) + 1)
					r.Principal.name, r.OnBehalfOf.name = all[:at], all[at:]
				} else {
					r.Reason = ""
				}
			}
			if what == "rehash" && i < n-1 {
				r.Hash = r.sum() // who alters one must alter all that follow
			}
		case "remove":
			if i == n-1 {
				i = 0 // the end is "cut"
			}
			bad = slices.Delete(bad, i, i+1)
		case "swap":
			j := (i + 1) % n
			bad[i], bad[j] = bad[j], bad[i]
		case "repeat":
			bad = slices.Insert(bad, i, bad[i])
		case "insert":
			x := bad[i]
			x.Sequence++
			x.Previous = bad[i].Hash
			x.Hash = x.sum()
			bad = slices.Insert(bad, i+1, x)
			if i == n-1 {
				bad = bad[:n] // a longer chain is a good chain
			}
		case "cut":
			bad = bad[:i]
		}
		s, h, err := Verify(each(bad))
		if what == "cut" {
			require.NoError(t, err, "a chain does not know its end")
			require.True(t, s != seq && h != head, "a copy of the head does")
			return
		}
		if what == "insert" && i == n-1 {
			return
		}
		require.ErrorContains(t, err, "authz: audit: record", what)
	})
	// A gap, even where whoever left it hashed it in.
	m := NewMemory(0)
	chain(t, m, 3)
	gap := m.Records()
	gap[2].Sequence = 4
	gap[2].Hash = gap[2].sum()
	_, _, err := Verify(each(gap))
	require.ErrorContains(t, err, "record 4 follows 2")

	seq, head, err := Verify(each(nil))
	require.NoError(t, err)
	require.Zero(t, seq)
	require.Zero(t, head)
	broken := errors.New("broken")
	_, _, err = Verify(func(yield func(AuditRecord, error) bool) { yield(AuditRecord{}, broken) })
	require.ErrorIs(t, err, broken)
}

// Any bit of the file, flipped, is found: in a value, in the spelling of one, in
// a line end. The last line end makes of the last record none, as a cut does.
func TestEveryFlippedBitInAFileIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	j, err := OpenJSONLines(path)
	require.NoError(t, err)
	chain(t, j, 5)
	require.NoError(t, j.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	seq, head, err := Verify(ReadJSONLines(bytes.NewReader(text)))
	require.NoError(t, err)
	require.Equal(t, uint64(5), seq)
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			s, h, err := Verify(ReadJSONLines(bytes.NewReader(text)))
			require.True(t, err != nil || s != seq && h != head, "byte %d, bit %d: %q", i, bit, text[max(0, i-20):min(len(text), i+20)])
			if i < len(text)-1 {
				require.Error(t, err)
			}
			text[i] ^= 1 << bit
		}
	}
	_, _, err = Verify(ReadJSONLines(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(text)))))
	require.ErrorIs(t, err, iotest.ErrTimeout, "a file that cannot be read is not a short file")
}

func TestJSONLinesGoOnAfterACrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit")
	j, err := OpenJSONLines(path)
	require.NoError(t, err)
	seq, head, err := j.Head(t.Context())
	require.NoError(t, err)
	require.True(t, seq == 0 && head == Hash{})
	require.NoError(t, j.Append(t.Context(), nil))
	chain(t, j, 3)
	require.NoError(t, j.Close())
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1

	// Wherever the crash cut the last line: what was before stays, and the
	// chain goes on from it.
	for cut := last; cut <= len(whole); cut++ {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		j, err := OpenJSONLines(path)
		require.NoError(t, err)
		seq, _, err := j.Head(t.Context())
		require.NoError(t, err)
		want := uint64(2)
		if cut == len(whole) {
			want = 3
		}
		require.Equal(t, want, seq, "cut at %d of %d", cut, len(whole))
		chain(t, j, 2)
		require.NoError(t, j.Close())
		f, err := os.Open(path)
		require.NoError(t, err)
		seq, _, err = Verify(ReadJSONLines(f))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, want+2, seq)
	}

	// A torn line longer than what is read at once, and one that is alone.
	for _, before := range [][]byte{whole, nil} {
		require.NoError(t, os.WriteFile(path, append(slices.Clone(before), bytes.Repeat([]byte("x"), 200_000)...), 0o600))
		j, err = OpenJSONLines(path)
		require.NoError(t, err)
		require.NoError(t, j.Close())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(before, after))
	}

	// Damage in the middle is not a crash: refuse to go on, and touch nothing.
	bad := slices.Clone(whole)
	bad[10] ^= 1
	require.NoError(t, os.WriteFile(path, bad, 0o600))
	_, err = OpenJSONLines(path)
	require.ErrorContains(t, err, "line 1")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, bad, after)

	_, err = OpenJSONLines(filepath.Join(dir, "missing", "audit"))
	require.Error(t, err)

	// A file that cannot be written refuses, and goes on refusing.
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	j, err = OpenJSONLines(path)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	for range 2 {
		require.Error(t, j.Append(t.Context(), []AuditRecord{{}}))
	}
	require.Error(t, j.Close())
}

func TestMemoryKeepsTheNewest(t *testing.T) {
	m := NewMemory(8)
	chain(t, m, 50)
	rs := m.Records()
	require.Len(t, rs, 8)
	require.Equal(t, uint64(43), rs[0].Sequence)
	require.LessOrEqual(t, len(m.list), 10)
	seq, head, err := m.Head(t.Context())
	require.NoError(t, err)
	require.True(t, seq == 50 && head == rs[7].Hash)
}

// tap is a sink of functions over one in memory.
type tap struct {
	*Memory
	before func(ctx context.Context, rs []AuditRecord) error
	after  func(rs []AuditRecord) error
	head   func() error
}

func (s *tap) Append(ctx context.Context, rs []AuditRecord) error {
	if s.before != nil {
		if err := s.before(ctx, rs); err != nil {
			return err
		}
	}
	if err := s.Memory.Append(ctx, rs); err != nil || s.after == nil {
		return err
	}
	return s.after(rs)
}

func (s *tap) Head(ctx context.Context) (uint64, Hash, error) {
	if s.head != nil {
		if err := s.head(); err != nil {
			return 0, Hash{}, err
		}
	}
	return s.Memory.Head(ctx)
}

func audited(t testing.TB, s Sink, timeout time.Duration) (*Authorizer, Request) {
	who, at := Principal{"user:idp/ana"}, Resource{"t"}
	a, err := New(t.Context(), files(t, nil), &Options{Audit: s, AuditTimeout: timeout, Seed: []Authorization{{Principal: who, Role: Role{"role:user"}, Resource: at, Effect: Allow}}})
	require.NoError(t, err)
	return a, Request{Principal: who, Permission: Permission{"mailbox.items.read"}, Resource: at}
}

// evidence: I8
func TestTheRecordIsThereBeforeTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { <-release; return nil }}
		a, req := audited(t, s, time.Minute)
		var g Grant
		var err error
		done := false
		go func() { g, err = a.Authorize(t.Context(), req); done = true }()
		synctest.Wait()
		require.False(t, done, "handed over while the record was being written")
		close(release)
		synctest.Wait()
		require.True(t, done)
		require.NoError(t, err)
		rs := s.Records()
		require.Len(t, rs, 1)
		r := rs[0]
		require.Equal(t, g.Decision().ID, r.Decision)
		require.True(t, r.Allowed && r.Principal == req.Principal && r.Permission == req.Permission && r.Resource == req.Resource)
		require.Equal(t, "user:idp/ana holds role:user on t", r.Reason)

		// A refusal leaves a record too.
		req.Permission = Permission{"audit.read"}
		_, err = a.Authorize(t.Context(), req)
		var denied *DeniedError
		require.ErrorAs(t, err, &denied)
		require.ErrorIs(t, err, ErrDenied)
		require.Contains(t, err.Error(), "audit.read on t: denied: user:idp/ana holds no role")
		rs = s.Records()
		require.Len(t, rs, 2)
		require.False(t, rs[1].Allowed)
		require.Equal(t, denied.Decision.ID, rs[1].Decision)
	})
}

func TestAHangingSinkRefusesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { <-release; return nil }}
		a, req := audited(t, s, 5*time.Second)
		begin := time.Now()
		for range 3 {
			g, err := a.Authorize(t.Context(), req)
			require.ErrorIs(t, err, ErrAuditUnavailable)
			require.ErrorIs(t, err, ErrDenied)
			require.ErrorIs(t, g.Covers(req.Permission, req.Resource), ErrDenied)
		}
		require.Equal(t, 15*time.Second, time.Since(begin), "of the bubble's clock")

		// Who does not wait that long is refused sooner.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.Authorize(ctx, req)
		require.ErrorIs(t, err, ErrAuditUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 16*time.Second, time.Since(begin))
		require.Empty(t, a.trail.waiting, "what was given up does not pile up")

		close(release)
		synctest.Wait()
		_, err = a.Authorize(t.Context(), req)
		require.NoError(t, err)
		_, _, err = Verify(each(s.Records()))
		require.NoError(t, err)
	})
}

func TestTooManyWaitingAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { <-release; return nil }}
		a, req := audited(t, s, time.Hour)
		var wg sync.WaitGroup
		for range maxWaiting + 1 { // one of them is with the sink
			wg.Go(func() {
				if _, err := a.Authorize(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
			if len(s.Records()) == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		begin := time.Now()
		_, err := a.Authorize(t.Context(), req)
		require.ErrorIs(t, err, ErrAuditUnavailable)
		require.Zero(t, time.Since(begin))
		close(release)
		wg.Wait()
		require.Len(t, s.Records(), maxWaiting+1)
	})
}

func TestAFailingSinkRefusesAndHeals(t *testing.T) {
	failed := errors.New("disk full")
	for name, c := range map[string]func(s *tap){
		"before":            func(s *tap) { s.before = func(context.Context, []AuditRecord) error { return failed } },
		"after it was kept": func(s *tap) { s.after = func([]AuditRecord) error { return failed } },
		"with a panic":      func(s *tap) { s.before = func(context.Context, []AuditRecord) error { panic("sink") } },
		"and its head too": func(s *tap) {
			s.before = func(context.Context, []AuditRecord) error { return failed }
			s.head = func() error { return failed }
		},
		"and its head panic": func(s *tap) {
			s.before = func(context.Context, []AuditRecord) error { return failed }
			s.head = func() error { panic("head") }
		},
		"since another process wrote": func(s *tap) {
			s.before = func(context.Context, []AuditRecord) error {
				s.before = nil
				chain(t, s, 2)
				return failed
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &tap{Memory: NewMemory(0)}
			a, req := audited(t, s, time.Minute)
			_, err := a.Authorize(t.Context(), req)
			require.NoError(t, err)
			c(s)
			g, err := a.Authorize(t.Context(), req)
			require.ErrorIs(t, err, ErrAuditUnavailable)
			require.ErrorIs(t, err, ErrDenied)
			require.Equal(t, Grant{}, g)
			s.before, s.after, s.head = nil, nil, nil
			for range 2 {
				_, err = a.Authorize(t.Context(), req)
				require.NoError(t, err)
			}
			_, _, err = Verify(each(s.Records()))
			require.NoError(t, err, "one chain, whatever failed")
		})
	}
	_, err := New(t.Context(), files(t, nil), &Options{Audit: &tap{Memory: NewMemory(0), head: func() error { return failed }}})
	require.ErrorIs(t, err, failed)
}

// Records that come while the sink is busy go out together, in one chain.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches []int
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0), before: func(_ context.Context, rs []AuditRecord) error {
			batches = append(batches, len(rs))
			<-release
			return nil
		}}
		a, req := audited(t, s, time.Minute)
		var wg sync.WaitGroup
		ids := make([]uuid.UUID, 101)
		authorize := func(i int) {
			g, err := a.Authorize(t.Context(), req)
			if err != nil {
				t.Error(err)
			}
			ids[i] = g.Decision().ID
		}
		wg.Go(func() { authorize(0) })
		synctest.Wait()
		for i := range 100 {
			wg.Go(func() { authorize(i + 1) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		require.Equal(t, []int{1, 100}, batches)
		rs := s.Records()
		seq, _, err := Verify(each(rs))
		require.NoError(t, err)
		require.Equal(t, uint64(101), seq)
		for _, id := range ids {
			require.True(t, slices.ContainsFunc(rs, func(r AuditRecord) bool { return r.Decision == id }))
		}
	})
}
