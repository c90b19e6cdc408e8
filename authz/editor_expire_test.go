package authz_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

const boss = "user:idp/boss"

func TestExpire(t *testing.T) {
	for name, c := range map[string]struct {
		line  string
		until time.Duration // from now; negative: passed; 0: never
		ok    bool
	}{
		"an allow is shortened by who could not give it": {"allow " + ana + " role:payer office/x", time.Hour, true},
		"an allow ends now":                         {"allow " + ana + " role:clerk office/x", -time.Minute, true},
		"an allow is lengthened by who may give it": {"allow " + ana + " role:writer office/x until 1h", 2 * time.Hour, true},
		"and for ever":                              {"allow " + ana + " role:writer office/x until 1h", 0, true},
		"not by who does not hold it":               {"allow " + ana + " role:hidden office/x until 1h", 2 * time.Hour, false},
		"nor for ever":                              {"allow " + ana + " role:hidden office/x until 1h", 0, false},
		"but shortened":                             {"allow " + ana + " role:hidden office/x until 1h", time.Minute, true},
		"a deny is shortened by who may give":       {"deny " + ana + " role:writer office/x", time.Hour, true},
		"not by who does not hold it either":        {"deny " + ana + " role:hidden office/x", time.Hour, false},
		"nor lengthened":                            {"deny " + ana + " role:hidden office/x until 1h", 2 * time.Hour, false},
		"a deny of one's own":                       {"deny " + boss + " role:clerk office/x", time.Hour, false},
		"on another resource":                       {"allow " + ana + " role:writer yard", time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOfficeWith(t, authz.Options{}, "h.read, hidden\n", "p, role:hidden, h.read\n", "allow "+boss+" role:boss office", c.line)
			until := time.Time{}
			if c.until != 0 {
				until = start.Add(c.until)
			}
			e := w.as(boss, "office")
			before := w.Revision()
			err := e.Expire(t.Context(), w.ids[1], until, "because")
			if !c.ok {
				w.refused(err)
				require.Equal(t, before, w.Revision())
				return
			}
			require.NoError(t, err)
			require.Equal(t, before+1, w.Revision())
			require.Contains(t, w.last().Reason, "; alters ")
			list, err := w.Authorizations(grant(t, w.Authorizer, boss, read, "office"), w.line(c.line).Resource)
			require.NoError(t, err)
			for _, x := range list {
				if x.ID == w.ids[1] {
					require.True(t, until.Equal(x.Until))
				}
			}
		})
	}
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office")
	e := w.as(boss, "office")
	require.ErrorIs(t, e.Expire(t.Context(), uuid.New(), start, ""), authz.ErrUnknown)
	g := grant(t, w.Authorizer, ana, "a.write", "office")
	require.NoError(t, e.Expire(t.Context(), w.ids[1], start.Add(time.Minute), ""))
	require.NoError(t, covers(t, g, "a.write", "office"))
	w.clock.add(time.Minute)
	require.ErrorIs(t, covers(t, g, "a.write", "office"), authz.ErrDenied)
	_, err := e.Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{w.ids[1]}, Expire: []authz.Expiry{{ID: w.ids[1]}}}, "")
	require.ErrorContains(t, err, "named twice")
	x := w.line("allow " + ana + " role:clerk office")
	x.From = start.Add(time.Hour)
	id, err := e.Assign(t.Context(), x)
	require.NoError(t, err)
	require.ErrorContains(t, e.Expire(t.Context(), id, start.Add(time.Minute), ""), "until: not after from")
	require.ErrorContains(t, e.Expire(t.Context(), id, time.Time{}, string(make([]byte, 1025))), "1024 at most")
}

// Who holds something for an hour, or under a condition, gives it on no better
// terms.
func TestNobodyGivesForLongerThanTheyHold(t *testing.T) {
	for name, c := range map[string]struct {
		held, given []string // line, condition
		ok          bool
	}{
		"for as long":               {[]string{"allow " + boss + " role:boss office until 1h", ""}, []string{"allow " + ana + " role:clerk office until 1h", ""}, true},
		"for longer":                {[]string{"allow " + boss + " role:boss office until 1h", ""}, []string{"allow " + ana + " role:clerk office until 61m", ""}, false},
		"for ever":                  {[]string{"allow " + boss + " role:boss office until 1h", ""}, []string{"allow " + ana + " role:clerk office", ""}, false},
		"handed out, for as long":   {[]string{"allow " + boss + " role:admin office until 1h", ""}, []string{"allow " + ana + " role:payer office until 1h", ""}, true},
		"handed out, for longer":    {[]string{"allow " + boss + " role:admin office until 1h", ""}, []string{"allow " + ana + " role:payer office", ""}, false},
		"a deny for longer":         {[]string{"allow " + boss + " role:boss office until 1h", ""}, []string{"deny " + ana + " role:clerk office", ""}, true},
		"handed out, deny for long": {[]string{"allow " + boss + " role:admin office until 1h", ""}, []string{"deny " + ana + " role:payer office", ""}, true},
	} {
		w := newOffice(t, c.held[0])
		_, err := w.as(boss, "office").Assign(t.Context(), w.line(c.given[0]))
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
	// To end a deny for ever takes who holds it for ever.
	w := newOffice(t, "allow "+boss+" role:boss office until 1h", "deny "+ana+" role:clerk office", "deny "+ana+" role:clerk office until 30m")
	w.refused(w.as(boss, "office").Revoke(t.Context(), w.ids[1], ""))
	w.refused(w.as(boss, "office").Expire(t.Context(), w.ids[1], start.Add(time.Minute), ""))
	require.NoError(t, w.as(boss, "office").Revoke(t.Context(), w.ids[2], ""))
	// So does a role.
	w.refused(w.as(boss, "office").Define(t.Context(), define("role:mine", "b.read"), ""))
}
