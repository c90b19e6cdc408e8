package authztest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failing is a test whose failure is expected.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatal(args ...any) { f.said = fmt.Sprint(args...); runtime.Goexit() }

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestBadLinesFailTheTest(t *testing.T) {
	for line, want := range map[string]string{
		"":                                   "want allow|deny PRINCIPAL ROLE RESOURCE or member PRINCIPAL TEAM",
		"permit user:idp/ana role:user t":    "want allow|deny",
		"allow user:idp/ana role:user":       "want allow|deny",
		"member user:idp/ana":                "or member",
		"allow ana role:user t":              "principal",
		"allow user:idp/ana user t":          "role",
		"allow user:idp/ana role:user t//t":  "resource",
		"allow user:idp/ana role:emperor t":  "unknown",
		"member user:idp/ana user:idp/ben":   "want a member and another team",
		"member team:a team:a":               "want a member and another team",
		"deny user:idp/ana role:user t/../t": "resource",
	} {
		f := &failing{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(f, line)
			f.said = "nothing"
		}()
		<-done
		require.Contains(t, f.said, want, line)
	}
}

func TestNewAtUsesTheClock(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	w := NewAt(t, func() time.Time { return at }, "allow user:idp/ana role:user t", "deny user:idp/ana role:user t/x", "member user:idp/ben team:t", "allow team:t role:user t")
	for who, on := range map[string]string{"user:idp/ana": "t", "user:idp/ben": "t/x"} {
		_, err := w.Authorize(t.Context(), authz.Request{Principal: Principal(t, who), Permission: authz.MustPermission("sync.run"), Resource: Resource(t, on)})
		require.NoError(t, err)
	}
	_, err := w.Authorize(t.Context(), authz.Request{Principal: Principal(t, "user:idp/ana"), Permission: authz.MustPermission("sync.run"), Resource: Resource(t, "t/x")})
	require.ErrorIs(t, err, authz.ErrDenied)
	rs := w.Audit.Records()
	require.Len(t, rs, 3)
	require.Equal(t, at, rs[0].Time)
}
