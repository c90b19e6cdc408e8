package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A record in a log is the record: the chain can be verified from the log's
// text, and nothing but names, ids and hashes is in it.
func TestASlogSinkTellsTheWholeRecord(t *testing.T) {
	var b bytes.Buffer
	m := NewMemory(0)
	s := Tee(m, NewSlog(slog.NewJSONHandler(&b, nil)))
	chain(t, s, 7)
	var rs []AuditRecord
	for line := range strings.Lines(b.String()) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		require.Equal(t, map[bool]string{true: "INFO", false: "WARN"}[fields["allowed"] == true], fields["level"])
		var r AuditRecord
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		rs = append(rs, r)
		require.Len(t, fields, 15)
	}
	require.Equal(t, m.Records(), rs)
	seq, _, err := Verify(each(rs))
	require.NoError(t, err)
	require.Equal(t, uint64(7), seq)
}

// quietHandler takes n records, and those of a level.
type quietHandler struct {
	slog.Handler
	min  slog.Level
	left int
}

func (h *quietHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.min }

func (h *quietHandler) Handle(context.Context, slog.Record) error {
	if h.left--; h.left < 0 {
		return errors.New("full")
	}
	return nil
}

func TestASlogSinkThatDoesNotLogRefuses(t *testing.T) {
	require.ErrorContains(t, NewSlog(nil).Append(t.Context(), make([]AuditRecord, 1)), "no slog handler")
	a, req := audited(t, NewSlog(&quietHandler{min: slog.LevelWarn, left: 10}), 0)
	_, err := a.Authorize(t.Context(), req)
	require.ErrorIs(t, err, ErrAuditUnavailable)
	require.ErrorContains(t, err, "leaves out INFO")
	// A failure in the middle leaves what was logged, and the chain behind it.
	s := NewSlog(&quietHandler{left: 2})
	rs := []AuditRecord{{Sequence: 1, Hash: Hash{1}}, {Sequence: 2, Hash: Hash{2}}, {Sequence: 3, Hash: Hash{3}}}
	require.Error(t, s.Append(t.Context(), rs))
	seq, hash, err := s.Head(t.Context())
	require.NoError(t, err)
	require.True(t, seq == 2 && hash == Hash{2})
}

// Whatever fails for a while, and whether or not it kept what it said it did
// not: the first holds a whole chain, and so do the copies once they take
// records again. What was allowed is in all of them.
func TestTeeKeepsItsCopiesWhole(t *testing.T) {
	failed := errors.New("no")
	rapid.Check(t, func(rt *rapid.T) {
		sinks := []*tap{{Memory: NewMemory(0)}, {Memory: NewMemory(0)}, {Memory: NewMemory(0)}}
		a, req := audited(t, Tee(sinks[0], sinks[1], sinks[2]), time.Minute)
		allowed := map[[16]byte]bool{}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			for _, s := range sinks {
				s.before, s.after = nil, nil
				switch rapid.IntRange(0, 5).Draw(rt, "fault") {
				case 0:
					s.before = func(context.Context, []AuditRecord) error { return failed }
				case 1:
					s.after = func([]AuditRecord) error { return failed }
				case 2:
					s.before = func(context.Context, []AuditRecord) error { panic("sink") }
				}
			}
			g, err := a.Authorize(rt.Context(), req)
			if err == nil {
				allowed[g.Decision().ID] = true
			} else {
				require.ErrorIs(rt, err, ErrAuditUnavailable)
			}
		}
		for _, s := range sinks {
			s.before, s.after = nil, nil
		}
		for range 2 {
			_, err := a.Authorize(rt.Context(), req)
			require.NoError(rt, err)
		}
		for i, s := range sinks {
			rs := s.Records()
			_, _, err := Verify(each(rs))
			require.NoError(rt, err, "sink %d", i)
			require.Equal(rt, sinks[0].Records(), rs)
			there := map[[16]byte]bool{}
			for _, r := range rs {
				there[r.Decision] = true
			}
			for id := range allowed {
				require.True(rt, there[id])
			}
		}
	})
}

func TestTeeOfNothing(t *testing.T) {
	for _, s := range []Sink{Tee(), Tee(nil), Tee(NewMemory(0), nil)} {
		require.ErrorIs(t, s.Append(t.Context(), make([]AuditRecord, 1)), errNoSink)
		_, _, err := s.Head(t.Context())
		require.ErrorIs(t, err, errNoSink)
		_, err = New(t.Context(), files(t, nil), &Options{Audit: s})
		require.ErrorIs(t, err, errNoSink)
	}
	// What is kept for a copy that fails has a bound; then the copy has a gap.
	m := NewMemory(0)
	never := &tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { return errors.New("no") }}
	x := Tee(m, never).(*tee)
	for i := range 3 {
		require.Error(t, x.Append(t.Context(), make([]AuditRecord, maxOwed/2)), i)
		require.LessOrEqual(t, len(x.owed[1]), maxOwed)
	}
}

// By default whoever asks is told within two seconds that a sink does not
// answer, and that nothing was handed over, even if it does not say where it
// ends either.
//
// evidence: I8
func TestASinkThatHangsIsTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0)}
		a, req := audited(t, Tee(s, NewMemory(0)), 0)
		s.before = func(context.Context, []AuditRecord) error { <-release; return errors.New("no") }
		s.head = func() error { <-release; return errors.New("no") }
		for range 3 {
			begin := time.Now()
			g, err := a.Authorize(t.Context(), req)
			require.Equal(t, 2*time.Second, time.Since(begin))
			require.ErrorIs(t, err, ErrAuditUnavailable)
			require.ErrorIs(t, err, ErrDenied)
			require.ErrorContains(t, err, "authz: audit record not written: denied in 2s")
			require.Equal(t, Grant{}, g)
		}
		require.Empty(t, a.trail.waiting)
		close(release)
		synctest.Wait()
	})
}

// A chain that was verified once need not be read from its beginning again.
func TestVerifyFromGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(0)
		n := rapid.IntRange(1, 12).Draw(t, "records")
		chain(t, m, n)
		rs := m.Records()
		k := rapid.IntRange(0, n).Draw(t, "verified")
		seq, hash, err := Verify(each(rs[:k]))
		require.NoError(t, err)
		s, h, err := VerifyFrom(seq, hash, each(rs[k:]))
		require.NoError(t, err)
		require.True(t, s == uint64(n) && h == rs[n-1].Hash)
		if k == n {
			return
		}
		wrong := hash
		wrong[5] ^= 1
		s, h, err = VerifyFrom(seq, wrong, each(rs[k:]))
		require.ErrorContains(t, err, "does not continue")
		require.True(t, s == seq && h == wrong)
		_, _, err = VerifyFrom(seq+1, hash, each(rs[k:]))
		require.Error(t, err)
		_, _, err = VerifyFrom(seq, hash, each(rs[min(k+1, n-1):]))
		require.True(t, k+1 > n-1 || err != nil)
	})
}

func TestSampling(t *testing.T) {
	ctx, ana, at := t.Context(), Principal{"user:i/ana"}, Resource{"t"}
	read, run := Permission{"tenants.read"}, Permission{"sync.run"}
	for want, shares := range map[string]map[Permission]float64{
		"mailbox.items.read touches personal data":           {{"mailbox.items.read"}: 0.5},
		"sync.issues.names.read touches personal data":       {{"sync.issues.names.read"}: 1},
		`permission "no.such": unknown`:                      {{"no.such"}: 0.5},
		`permission "": unknown`:                             {{}: 0.5},
		"tenants.read: share 0: want":                        {read: 0},
		"share -1":                                           {read: -1},
		"share 1.5":                                          {read: 1.5},
		"authz.authorizations.write changes who may do what": {{writeAuthorizations}: 0.5},
	} {
		a, err := New(ctx, files(t, nil), &Options{SampleAllowed: shares})
		require.ErrorContains(t, err, want)
		require.Nil(t, a)
	}

	m := &tap{Memory: NewMemory(0)}
	a, err := New(ctx, files(t, nil), &Options{Audit: m, SampleAllowed: map[Permission]float64{read: 0.25}, Seed: []Authorization{
		{Principal: ana, Role: Role{"role:tenant-admin"}, Resource: at, Effect: Allow}}})
	require.NoError(t, err)
	next := 0.9
	a.sample.draw = func() float64 { return next }
	authorize := func(p Permission, who Principal) (Grant, error) {
		return a.Authorize(ctx, Request{Principal: who, Permission: p, Resource: at})
	}
	for range 3 {
		g, err := authorize(read, ana)
		require.NoError(t, err)
		require.NoError(t, g.Covers(read, at))
		require.Zero(t, g.Decision().ID, "there is no record to point to")
	}
	require.Empty(t, m.Records())
	// Everything else is on record: refusals, and other permissions.
	_, err = authorize(read, Principal{"user:i/ben"})
	require.ErrorIs(t, err, ErrDenied)
	_, err = authorize(run, ana)
	require.NoError(t, err)
	rs := m.Records()
	require.Len(t, rs, 2)
	require.NotContains(t, rs[0].Reason+rs[1].Reason, "not recorded", "they are of another kind")
	// One whose record fails is refused, and what was left out is told later.
	next = 0.2499
	m.before = func(context.Context, []AuditRecord) error { return errors.New("no") }
	_, err = authorize(read, ana)
	require.ErrorIs(t, err, ErrAuditUnavailable)
	next = 0.25
	g, err := authorize(read, ana)
	require.NoError(t, err, "what is left out asks nothing of the sink")
	require.NotEqual(t, Grant{}, g)
	m.before, next = nil, 0
	for range 2 {
		g, err = authorize(read, ana)
		require.NoError(t, err)
		require.NotZero(t, g.Decision().ID)
	}
	rs = m.Records()
	require.Equal(t, "user:i/ana holds role:tenant-admin on t; and 4 allowed of this kind not recorded", rs[2].Reason)
	require.Equal(t, "user:i/ana holds role:tenant-admin on t", rs[3].Reason)
	_, _, err = Verify(each(rs))
	require.NoError(t, err)

	// With real chance: as many are told as there were.
	a.sample, err = newSampler(a.cat, map[Permission]float64{read: 0.25})
	require.NoError(t, err)
	before := len(m.Records())
	for range 1000 {
		_, err := authorize(read, ana)
		require.NoError(t, err)
	}
	next = 0
	a.sample.draw = func() float64 { return next }
	_, err = authorize(read, ana)
	require.NoError(t, err)
	told := 0
	for _, r := range m.Records()[before:] {
		told++
		if _, n, ok := strings.Cut(r.Reason, "; and "); ok {
			var k int
			for _, c := range n[:strings.IndexByte(n, ' ')] {
				k = 10*k + int(c-'0')
			}
			told += k
		}
	}
	require.Equal(t, 1001, told)
	require.InDelta(t, 250, len(m.Records())-before, 100)
}

func TestThePolicyMarksPersonalData(t *testing.T) {
	c, err := readPolicy(files(t, map[string]string{"permissions.csv": "a.read, look, personal\na.write, change\nb.read, look\n", "roles.csv": fewRoles}))
	require.NoError(t, err)
	require.True(t, c.personal["a.read"])
	require.False(t, c.personal["a.write"])
	for _, text := range []string{"a.read, look, Personal\n", "a.read, look, personal, x\n", "a.read, , personal\n", "a.read, look,\n"} {
		_, err := readPolicy(files(t, map[string]string{"permissions.csv": text, "roles.csv": fewRoles}))
		require.ErrorContains(t, err, "permissions.csv:1: want a permission and one description without commas, then personal")
	}
	// The shipped policy marks what its names say.
	c, err = readPolicy(files(t, nil))
	require.NoError(t, err)
	for _, p := range c.permissions {
		kind, _, _ := strings.Cut(p, ".")
		want := strings.Contains(p, ".names.") || kind == "mailbox" || kind == "crm" || kind == "secrets" || kind == "users"
		require.Equal(t, want, c.personal[p], p)
	}
}
