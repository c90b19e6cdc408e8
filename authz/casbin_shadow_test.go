package authz

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oracle is an Enforcer made of a function.
type oracle func(values ...any) (bool, error)

func (o oracle) Enforce(values ...any) (bool, error) { return o(values...) }

func subjectOnly(r Request) ([]any, bool) { return []any{r.Principal.String()}, true }

func asking(name string) Request {
	return Request{Principal: Principal{"service:" + name}, Permission: Permission{"a.read"}, Resource: Resource{"t"}}
}

func TestShadowReports(t *testing.T) {
	for _, c := range []struct {
		name      string
		e         oracle
		translate func(Request) ([]any, bool)
		report    func(Disagreement)
		decision  Decision
		want      ShadowCounts
		says      string
	}{
		{"agrees", func(...any) (bool, error) { return true, nil }, subjectOnly, nil, Decision{Allowed: true}, ShadowCounts{Offered: 1, Compared: 1}, ""},
		{"Casbin allows more", func(...any) (bool, error) { return true, nil }, subjectOnly, nil, Decision{}, ShadowCounts{Offered: 1, Compared: 1, Differed: 1},
			"service:x, a.read on t: here false, Casbin true"},
		{"Casbin allows less", func(...any) (bool, error) { return false, nil }, subjectOnly, nil, Decision{Allowed: true}, ShadowCounts{Offered: 1, Compared: 1, Differed: 1},
			"service:x, a.read on t: here true, Casbin false"},
		{"Casbin fails", func(...any) (bool, error) { return true, errors.New("no\nstack") }, subjectOnly, nil, Decision{}, ShadowCounts{Offered: 1, Compared: 1, Failed: 1},
			"service:x, a.read on t: here false, Casbin fails: no"},
		{"Casbin panics", func(...any) (bool, error) { panic("boom") }, subjectOnly, nil, Decision{}, ShadowCounts{Offered: 1, Compared: 1, Failed: 1},
			"service:x, a.read on t: here false, Casbin fails: authz: Casbin panics: boom"},
		{"translate panics", func(...any) (bool, error) { return true, nil }, func(Request) ([]any, bool) { panic("boom") }, nil, Decision{}, ShadowCounts{Offered: 1, Compared: 1, Failed: 1},
			"service:x, a.read on t: here false, Casbin fails: authz: shadow: translate panics: boom"},
		{"report panics", func(...any) (bool, error) { return true, nil }, subjectOnly, func(Disagreement) { panic("boom") }, Decision{}, ShadowCounts{Offered: 1, Compared: 1, Differed: 1, Failed: 1}, ""},
		{"Casbin does not know it", func(...any) (bool, error) { panic("not asked") }, func(Request) ([]any, bool) { return nil, false }, nil, Decision{}, ShadowCounts{Offered: 1, Foreign: 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := ""
			report := c.report
			if report == nil {
				report = func(d Disagreement) { said += d.String() }
			}
			s, err := NewShadow(c.e, 1, c.translate, report)
			require.NoError(t, err)
			s.Compare(asking("x"), c.decision)
			require.NoError(t, s.Close(t.Context()))
			require.Equal(t, c.want, s.Counts())
			require.Equal(t, c.says, said)
		})
	}
}

// Whoever decides is never kept waiting: while Casbin hangs, what does not fit
// is dropped and counted.
func TestShadowNeverWaits(t *testing.T) {
	hang, at := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s, err := NewShadow(oracle(func(...any) (bool, error) {
		first.Do(func() { close(at) })
		<-hang
		return true, nil
	}), 1, subjectOnly, func(Disagreement) {})
	require.NoError(t, err)
	s.Compare(asking("x"), Decision{})
	<-at
	const many = 10 * shadowQueue
	begin := time.Now()
	for range many {
		s.Compare(asking("x"), Decision{})
	}
	require.Less(t, time.Since(begin), 5*time.Second)
	require.EqualValues(t, many-shadowQueue, s.Counts().Dropped)
	req := asking("x")
	require.Zero(t, testing.AllocsPerRun(100, func() { s.Compare(req, Decision{}) }))

	dropped := s.Counts().Dropped
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
	close(hang)
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 1, s.Counts().Compared, "what was queued when Close gave up is dropped")
	require.EqualValues(t, dropped+shadowQueue, s.Counts().Dropped)
	s.Compare(asking("x"), Decision{})
	require.EqualValues(t, dropped+shadowQueue+1, s.Counts().Dropped, "a closed Shadow takes nothing")
}

func TestShadowLooksAtAShare(t *testing.T) {
	var asked atomic.Int64
	s, err := NewShadow(oracle(func(...any) (bool, error) { asked.Add(1); return false, nil }), 0.1, subjectOnly, func(Disagreement) {})
	require.NoError(t, err)
	for i := range 20000 {
		s.Compare(asking("x"), Decision{})
		if i%500 == 0 { // so that nothing is dropped
			for c := s.Counts(); len(s.queue) > 0; c = s.Counts() {
				require.Zero(t, c.Dropped)
				time.Sleep(time.Millisecond)
			}
		}
	}
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 20000, s.Counts().Offered)
	require.InDelta(t, 2000, asked.Load(), 400)
}

func TestShadowRefusesNonsense(t *testing.T) {
	e := oracle(func(...any) (bool, error) { return false, nil })
	report := func(Disagreement) {}
	for _, share := range []float64{0, -1, 1.01, nan()} {
		_, err := NewShadow(e, share, subjectOnly, report)
		require.Error(t, err)
	}
	_, err := NewShadow(nil, 1, subjectOnly, report)
	require.Error(t, err)
	_, err = NewShadow(e, 1, nil, report)
	require.Error(t, err)
	_, err = NewShadow(e, 1, subjectOnly, nil)
	require.Error(t, err)
	var s *Shadow
	s.Compare(asking("x"), Decision{})
	require.NoError(t, s.Close(t.Context()))
	require.Zero(t, s.Counts())
	new(Shadow).Compare(asking("x"), Decision{})
	require.NoError(t, new(Shadow).Close(t.Context()))
}

func nan() float64 { var zero float64; return zero / zero }

// Many ask while it closes: it ends, and every question is accounted for.
func TestShadowCloses(t *testing.T) {
	s, err := NewShadow(oracle(func(...any) (bool, error) { return false, nil }), 1, subjectOnly, func(Disagreement) {})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				s.Compare(asking("x"), Decision{})
			}
		})
	}
	wg.Go(func() { _ = s.Close(context.Background()) })
	wg.Go(func() { _ = s.Close(context.Background()) })
	wg.Wait()
	c := s.Counts()
	require.EqualValues(t, 8000, c.Offered)
	require.EqualValues(t, c.Offered, c.Compared+c.Dropped+uint64(len(s.queue)))
}
