// Package connectortest holds every connector to the contract of
// connectors.Driver. A connector's own test is a few lines:
//
//	connectortest.Run(t, connectortest.Harness{New: func(t testing.TB) connectortest.System {
//		return connectortest.System{
//			Plugin:  mysystem.Plugin(),
//			Handler: mysystemtest.New(),
//			Scheme:  secrets.Scheme{Kind: secrets.Basic, Username: "eva"},
//			Secret:  "correct horse",
//		}
//	}})
//
// Run serves the handler over TLS, puts the credential into a real safe, and
// does everything through a Hub with a real authorizer, as callers do. It reads
// what the connector can do from its capabilities, and it stands between the
// connector and its server: it counts, loses answers, hangs, redirects, and
// answers with words that must not show up in any error.
//
// A record that the suite writes is one that Records draws: every field that
// the capabilities list and do not call read-only may be set.
package connectortest

import (
	"net/http"
	"testing"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Harness is what Run needs of a connector.
type Harness struct {
	// New makes a fresh system without records. It is called for each case;
	// what it starts it ends with t.Cleanup.
	New func(t testing.TB) System

	// Shape changes a drawn record so that the system takes it, where the
	// system has rules that capabilities cannot say. Nil: there are none.
	Shape func(r *connectors.Record)

	// Repeats says that Changes may go on reporting what it has reported, as
	// a system does whose clock is its only history.
	Repeats bool

	// DuplicateKeys says that the system takes a second record with the same
	// create key, so that only Find protects from it.
	DuplicateKeys bool

	// Skip names cases that are known to fail, each with the reason.
	Skip map[string]string
}

// System is one remote system, made for one case.
type System struct {
	Plugin  connectors.Plugin
	Options map[string]string // of the endpoint

	// A system with a network is a handler that asks for the credential.
	Handler http.Handler
	Path    string         // of the endpoint's URL on the handler's server, as in /odata/v1/
	Scheme  secrets.Scheme // how the credential is used
	Secret  string         // the credential

	// Writes tells which requests may change something. Nil: all but those
	// with a method that reads.
	Writes func(r *http.Request) bool

	// A system without a network (Handler nil) counts by itself what reached
	// it, and loses the answer to the next write that it carries out.
	Requests   func() int64
	LoseAnswer func()

	// What somebody else does at the same time. Nil, or errors.ErrUnsupported
	// for a kind: a second connection under another name does it.
	Add    func(r *connectors.Record) (id string, err error)
	Edit   func(k connectors.Kind, id string, f connectors.Field, text string) error
	Remove func(k connectors.Kind, id string) error
	Attach func(k connectors.Kind, id, name, mediaType string, content []byte) error

	// Theirs are the kinds that these four are for, as mails where everything
	// else can be written by a second connection. Nil: all.
	Theirs []connectors.Kind

	// Expire makes the system forget its history: cursors it has given out
	// are worth nothing. Nil: that cannot be provoked.
	Expire func()
}

type testCase struct {
	name string
	run  func(c *kase)
}

// Run runs every case for every kind of record that the connector offers, each
// against a system of its own. The names of the subtests are the kind and the
// case, as in "contacts/stale update".
func Run(t *testing.T, h Harness) {
	cases := []testCase{
		{"capabilities", capabilitiesAreSane},
		{"round trip", roundTrip},
		{"list and get", listAndGet},
		{"missing", missing},
		{"hostile ids", hostileIDs},
		{"find", find},
		{"same key twice", sameKeyTwice},
		{"update names its fields", updateNamesItsFields},
		{"stale update", staleUpdate},
		{"stale delete", staleDelete},
		{"delete twice", deleteTwice},
		{"what cannot be done", whatCannotBeDone},
		{"limits", limits},
		{"one bad record", oneBadRecord},
		{"lost answers", lostAnswers},
		{"series", seriesAndExceptions},
		{"search", search},
		{"heads", heads},
		{"references", references},
		{"attachments", attachments},
		{"attachments that do not fit", attachmentsThatDoNotFit},
		{"attachments under way", attachmentsUnderWay},
		{"everything once", everythingOnce},
		{"delta", delta},
		{"cursor outlives the connection", cursorOutlives},
		{"worthless cursors", worthlessCursors},
		{"changes between pages", changesBetweenPages},
		{"concurrent", concurrent},
		{"cancelled before", cancelledBefore},
		{"cancelled under way", cancelledUnderWay},
		{"denied", denied},
		{"revoked under way", revokedUnderWay},
		{"remote words", remoteWords},
		{"answers that are none", answersThatAreNone},
		{"redirects", redirects},
	}
	names := map[string]bool{}
	for _, c := range cases {
		names[c.name] = true
	}
	for name := range h.Skip {
		if !names[name] {
			t.Fatalf("connectortest: there is no case %q to skip", name)
		}
	}
	offered := h.New(t).Plugin.Capabilities()
	for _, k := range connectors.Kinds() {
		if _, ok := offered.Kinds[k]; !ok {
			continue
		}
		t.Run(k.String(), func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					if why := h.Skip[c.name]; why != "" {
						t.Skip(why)
					}
					c.run(newCase(t, h, k, ""))
				})
			}
		})
	}
}
