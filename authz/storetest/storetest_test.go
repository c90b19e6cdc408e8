package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// right is the smallest store that keeps the contract: a history in JSON that
// is replayed by whoever loads. Each flaw, switched on, breaks it.
type right struct {
	flaw string
	mu   *sync.Mutex
	log  *[][]byte
	rs   *[]authz.AuditRecord
}

func newRight(flaw string) right {
	return right{flaw, &sync.Mutex{}, &[][]byte{}, &[]authz.AuditRecord{}}
}

func (s right) changes() (out []authz.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range *s.log {
		var c authz.Change
		if err := json.Unmarshal(b, &c); err != nil {
			panic(err)
		}
		out = append(out, c)
	}
	return out
}

func (s right) Load(ctx context.Context, each func(authz.Authorization) error) (authz.Assignments, error) {
	if err := ctx.Err(); err != nil {
		return authz.Assignments{}, err
	}
	st := empty()
	for _, c := range s.changes() {
		if s.flaw == "adds before it removes" {
			add := c
			add.Remove = nil
			c.Add = nil
			st = st.after(add)
		}
		st = st.after(c)
	}
	out := authz.Assignments{Revision: st.revision}
	for _, x := range st.held {
		switch s.flaw {
		case "cuts times":
			x.From, x.Until = x.From.Truncate(time.Microsecond), x.Until.Truncate(time.Microsecond)
		case "forgets a column":
			x.ApprovedBy = authz.Principal{}
		case "folds case":
			if p, err := authz.ParsePrincipal(strings.ToLower(x.Principal.String())); err == nil {
				x.Principal = p
			}
		case "ends a text at a separator":
			x.Reason, _, _ = strings.Cut(x.Reason, "\x1f")
		}
		if err := each(x); err != nil && s.flaw != "ignores errors of each" {
			return authz.Assignments{}, err
		}
	}
	for m := range st.members {
		out.Memberships = append(out.Memberships, m)
		if s.flaw == "joins twice" {
			out.Memberships = append(out.Memberships, m)
		}
	}
	for _, r := range st.roles {
		out.Roles = append(out.Roles, r)
	}
	if s.flaw == "reads the revision later" {
		time.Sleep(time.Millisecond)
		out.Revision = uint64(len(s.changes()))
	}
	return out, nil
}

func (s right) Apply(ctx context.Context, c authz.Change) error { return s.Commit(ctx, nil, c) }

func (s right) Commit(ctx context.Context, rs []authz.AuditRecord, c authz.Change) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaw == "records what is not done" {
		*s.rs = append(*s.rs, rs...)
		rs = nil
	}
	if ctx.Err() != nil {
		if s.flaw == "leaves half" && len(c.Add) > 2 {
			c.Add = c.Add[:1]
			b, _ = json.Marshal(c)
			*s.log = append(*s.log, b)
		}
		return ctx.Err()
	}
	if s.flaw == "checks before it locks" {
		n := uint64(len(*s.log))
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		if c.Revision != n+1 {
			return authz.ErrConflict
		}
	} else if c.Revision != uint64(len(*s.log))+1 && s.flaw != "never conflicts" {
		return authz.ErrConflict
	}
	*s.log = append(*s.log, b)
	*s.rs = append(*s.rs, rs...)
	return nil
}

func (s right) Changes(ctx context.Context, after uint64) iter.Seq2[authz.Change, error] {
	return func(yield func(authz.Change, error) bool) {
		if err := ctx.Err(); err != nil {
			if s.flaw != "ends its history early" {
				yield(authz.Change{}, err)
			}
			return
		}
		all := s.changes()
		switch {
		case s.flaw == "has a newest first history":
			slices.Reverse(all)
		case s.flaw == "has no history of removals":
			for i := range all {
				all[i].Remove = nil
			}
		case s.flaw == "has a short history" && len(all) > 100:
			all = all[:100]
		}
		if s.flaw == "counts from one" && after > 0 {
			after--
		}
		for _, c := range all[min(after, uint64(len(all))):] {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (s right) Append(ctx context.Context, rs []authz.AuditRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaw == "keeps half of a batch" && len(rs) > 100 && ctx.Err() != nil {
		rs = rs[:100]
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.flaw == "turns records round" {
		rs = slices.Clone(rs)
		slices.Reverse(rs)
	}
	*s.rs = append(*s.rs, rs...)
	return ctx.Err()
}

func (s right) Head(context.Context) (uint64, authz.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*s.rs) == 0 {
		return 0, authz.Hash{}, nil
	}
	r := (*s.rs)[len(*s.rs)-1]
	return r.Sequence, r.Hash, nil
}

func TestRight(t *testing.T) {
	RunCommitter(t, func(*testing.T) authz.Committer { return newRight(os.Getenv("STORETEST_FLAW")) })
}

func TestSinkOfTheModule(t *testing.T) {
	RunSink(t, func(t *testing.T) authz.Sink {
		s, err := authz.OpenJSONLines(t.TempDir() + "/audit")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	})
}

// The suite sees each of these mistakes, and says in which part.
func TestWrong(t *testing.T) {
	if os.Getenv("STORETEST_FLAW") != "" {
		t.SkipNow()
	}
	for flaw, part := range map[string]string{
		"adds before it removes":     "replace",
		"never conflicts":            "conflict",
		"checks before it locks":     "race",
		"cuts times":                 "times",
		"forgets a column":           "walk",
		"folds case":                 "names",
		"ends a text at a separator": "walk",
		"ignores errors of each":     "each",
		"joins twice":                "repeated",
		"reads the revision later":   "one-revision",
		"leaves half":                "cancelled",
		"has a newest first history": "history",
		"has no history of removals": "replace",
		"has a short history":        "history",
		"counts from one":            "history",
		"ends its history early":     "cancelled",
		"records what is not done":   "commit-conflict",
		"keeps half of a batch":      "sink/cancelled",
		"turns records round":        "sink/order",
	} {
		t.Run(strings.ReplaceAll(flaw, " ", "-"), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRight$/^"+strings.ReplaceAll(part, "/", "$/^")+"$")
			cmd.Env = append(os.Environ(), "STORETEST_FLAW="+flaw)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "not seen")
			require.Contains(t, string(out), "--- FAIL: TestRight/"+part)
		})
	}
}

func TestDrawingIsRepeatable(t *testing.T) {
	one := func() string {
		d := newDrawer(t, 7)
		x := d.authorization()
		x.ID = uuid.Nil
		x.From, x.Until = time.Time{}, time.Time{}
		return fmt.Sprint(x, d.definition())
	}
	require.Equal(t, one(), one())
}
