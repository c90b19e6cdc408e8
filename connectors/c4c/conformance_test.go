package c4c_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// The connector keeps the contract of every connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(testing.TB) connectortest.System {
			return connectortest.System{
				Plugin: c4c.Plugin(),
				// Pages shorter than most listings of the suite, longer than some.
				Handler: c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{user: {Password: password}}, PageSize: 3}).Handler(),
				Path:    c4ctest.Path,
				Scheme:  secrets.Scheme{Kind: secrets.Basic, Username: user},
				Secret:  password,
				Writes:  changes,
			}
		},
		Shape:   fit,
		Repeats: true, // it looks a few minutes back
	})
}

// changes reports whether a request may change something: a batch of readings is
// a POST as well.
func changes(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	b, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(b))
	return err != nil || bytes.Contains(b, []byte("changeset_"))
}

// fit changes what the CRM has no place for.
func fit(r *connectors.Record) {
	if a := r.Appointment; a != nil {
		if a.Status == connectors.Unconfirmed {
			a.Status = connectors.Confirmed
		}
		if r.Kind == connectors.KindPhoneCall {
			a.AllDay = false
		}
	}
	if x := r.Task; x != nil && (x.Status == connectors.WaitingOnOthers || x.Status == connectors.Deferred) {
		x.Status = connectors.InProgress
	}
}
