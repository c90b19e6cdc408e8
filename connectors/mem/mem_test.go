package mem_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness offers a system of the given options to the conformance suite.
func harness(o mem.Options, a connectors.Area) connectortest.Harness {
	return connectortest.Harness{
		DuplicateKeys: !o.RefuseDups,
		New: func(t testing.TB) connectortest.System {
			s := mem.New(&o)
			p, err := s.Plugin("mem", a)
			require.NoError(t, err)
			var seen atomic.Int64
			return connectortest.System{
				Plugin:     p,
				Requests:   func() int64 { return seen.Add(int64(len(s.Ledger()))) },
				LoseAnswer: func() { s.Fail(mem.Fault{Verb: "", Write: true, After: true}) },
				Add:        func(r *connectors.Record) (string, error) { return s.Add(r), nil },
				Edit: func(k connectors.Kind, id string, f connectors.Field, text string) error {
					require.True(t, s.Edit(k, id, func(r *connectors.Record) { r.SetText(f, text) }))
					return nil
				},
				Remove: func(k connectors.Kind, id string) error { require.True(t, s.Remove(k, id)); return nil },
				Attach: func(k connectors.Kind, id, name, mediaType string, content []byte) error {
					require.NotEmpty(t, s.AddFile(k, id, name, mediaType, content))
					return nil
				},
				Expire: s.ExpireCursors,
			}
		},
	}
}

// Each verb needs its permission, one and no other; see the case "denied".
//
// evidence: P21
func TestConformance(t *testing.T) {
	narrow := map[connectors.Kind]map[connectors.Field]connectors.Limit{
		connectors.KindContact: {connectors.FieldGivenName: {Runes: 20}, connectors.FieldFamilyName: {Runes: 40, Required: true},
			connectors.FieldNote: {Runes: 300}, connectors.FieldCompany: {ReadOnly: true}},
		connectors.KindAppointment: {connectors.FieldSubject: {Runes: 40}, connectors.FieldTime: {Required: true}, connectors.FieldUID: {ReadOnly: true}},
	}
	for name, x := range map[string]struct {
		o    mem.Options
		area connectors.Area
	}{
		"able":   {mem.Options{RefuseDups: true}, connectors.Mailbox},
		"narrow": {mem.Options{Limits: narrow, NoTombs: true, Batch: 1}, connectors.CRM},
		"keeps":  {mem.Options{NoDelete: true, RefuseDups: true, Batch: 3}, connectors.CRM},
		"c4c":    {*mem.C4C(), connectors.CRM},
		"graph":  {*mem.Graph(), connectors.Mailbox},
		"ews":    {*mem.EWS(), connectors.Mailbox},
		"google": {*mem.Google(), connectors.Mailbox},
	} {
		t.Run(name, func(t *testing.T) { connectortest.Run(t, harness(x.o, x.area)) })
	}
}
