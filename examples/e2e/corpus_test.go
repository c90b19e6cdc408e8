package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/corpus"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

var kinds = []connectors.Kind{connectors.KindContact, connectors.KindAppointment}

// Every real document arrives in SAP's server, and from
// there in another mailbox, with all mapped fields equal, or is an issue that
// says why. A second round writes nothing on any of the servers.
//
// Radicale takes only what it understands itself; a server that takes every byte
// makes sure that broken documents stop no round and block no neighbour.
func TestRealDocumentsCross(t *testing.T) {
	t.Run("Radicale", func(t *testing.T) { realDocumentsCross(t, false) })
	t.Run("every byte", func(t *testing.T) { realDocumentsCross(t, true) })
}

func realDocumentsCross(t *testing.T, lax bool) {
	w := startWith(t, site{}, lax, "ana", "bo")
	put := map[connectors.Kind][]string{}
	refused := 0
	for _, folder := range []string{"contacts", "events"} {
		for _, f := range corpus.Files(t, folder) {
			k, objects := connectors.KindContact, dav.SplitContacts(f.Data)
			if folder == "events" {
				k, objects = connectors.KindAppointment, dav.SplitAppointments(f.Data, time.Unix(1_767_225_600, 0))
			}
			for _, o := range objects {
				if o.Err != nil && dav.IsNoAppointment(o.Err) {
					continue // a task or a journal
				}
				if o.Name == "" {
					sum := sha256.Sum256(o.Data)
					o.Name = hex.EncodeToString(sum[:8]) + filepath.Ext(f.Name)
				}
				if w.put("ana", o.Name, string(o.Data)) != http.StatusCreated {
					refused++
					continue
				}
				if !slices.Contains(put[k], o.Name) { // some events stand in several files
					put[k] = append(put[k], o.Name)
				}
			}
		}
	}
	w.settle("ana", "bo")

	issues, codes := w.issues("ana"), map[lksync.Code]int{}
	crossed := map[connectors.Kind]int{}
	for _, k := range kinds {
		fields := shared(w.pairs["ana"], k)
		ana, crm, bo := all(t, w.pairs["ana"].Right, k), all(t, w.pairs["ana"].Left, k), all(t, w.pairs["bo"].Right, k)
		for _, name := range put[k] {
			if i, ok := issues[name]; ok {
				require.Contains(t, lksync.Codes(), i.Code)
				require.NotEmpty(t, i.What, name)
				require.NotEmpty(t, i.Next, name)
				codes[i.Code]++
				continue
			}
			r := ana[name]
			require.NotNil(t, r, "%s is neither readable nor an issue", name)
			require.True(t, take(crm, r, fields), "%s did not arrive in the CRM as it is: the closest differs in %v", name, closest(crm, r, fields))
			if a := r.Appointment; a != nil && a.Organizer.Address != "" {
				require.False(t, take(bo, r, fields), "%s is organized by somebody else and came into the other mailbox", name)
			} else {
				require.True(t, take(bo, r, fields), "%s did not arrive in the other mailbox as it is: the closest differs in %v", name, closest(bo, r, fields))
			}
			crossed[k]++
		}
		require.Empty(t, crm, "%s in the CRM that nobody put there", k)
		require.Empty(t, bo, "%s in the other mailbox that nobody put there", k)
	}
	t.Logf("crossed: %v; issues: %v; refused by the server: %d", crossed, codes, refused)
	require.Greater(t, crossed[connectors.KindContact], 8)
	require.Greater(t, crossed[connectors.KindAppointment], 15)

	before := w.revisions()
	for _, u := range []string{"ana", "bo"} {
		require.Zero(t, w.sync(u).Writes())
	}
	require.Equal(t, before, w.revisions(), "nothing on any server has another revision")
}

// take removes one record that is equal in the fields, if there is one.
func take(from map[string]*connectors.Record, r *connectors.Record, fields []connectors.Field) bool {
	for _, id := range slices.Sorted(maps.Keys(from)) {
		if x := from[id]; x != nil && len(connectors.Diff(x, r, fields)) == 0 {
			delete(from, id)
			return true
		}
	}
	return false
}

// closest returns in what the record that differs least differs.
func closest(from map[string]*connectors.Record, r *connectors.Record, fields []connectors.Field) (least []connectors.Field) {
	least = fields
	for _, x := range from {
		if x != nil {
			if d := connectors.Diff(x, r, fields); len(d) < len(least) {
				least = d
			}
		}
	}
	return least
}

// revisions is what all servers say about all they have.
func (w *world) revisions() map[string]string {
	out := map[string]string{}
	for u, p := range w.pairs {
		for _, k := range kinds {
			for side, c := range map[string]*connectors.Conn{"crm": p.Left, "mailbox": p.Right} {
				for id, r := range all(w.t, c, k) {
					if r != nil {
						out[u+" "+side+" "+id] = r.Rev
					} else {
						out[u+" "+side+" "+id] = "unreadable"
					}
				}
			}
		}
	}
	return out
}
