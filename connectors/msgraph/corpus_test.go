package msgraph

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/corpus"
)

// Cards and appointments of other people go to Graph and come back saying the same
// in every field that Graph can be given. What it cannot hold is listed here and in
// README.md, and is refused with the name of the field, never cut or dropped.
func TestTheCorpusComesBack(t *testing.T) {
	cannot := map[connectors.Kind][]connectors.Field{
		connectors.KindContact:     {},
		connectors.KindAppointment: {connectors.FieldRecurrence, connectors.FieldSubject, connectors.FieldTime, connectors.FieldReminder},
	}
	for k, folder := range map[connectors.Kind]string{connectors.KindContact: "contacts", connectors.KindAppointment: "events"} {
		t.Run(folder, func(t *testing.T) {
			var rs []*connectors.Record
			for _, f := range corpus.Files(t, folder) {
				objects := dav.SplitContacts(f.Data)
				if k == connectors.KindAppointment {
					objects = dav.SplitAppointments(f.Data, today())
				}
				for _, o := range objects {
					read := dav.Contact
					if k == connectors.KindAppointment {
						read = dav.Appointment
					}
					if o.Err != nil {
						continue
					}
					if r, err := read(o.Data); err == nil {
						rs = append(rs, r)
					}
				}
			}
			require.Greater(t, len(rs), 10, "records of the corpus")
			w := newWorld(t, nil)
			v, _ := w.conn.Capability(k)
			fields := slices.DeleteFunc(connectors.Fields(k), func(f connectors.Field) bool { l, ok := v.Fields[f]; return !ok || l.ReadOnly })
			refused := map[connectors.Field]int{}
			back := 0
			for some := range slices.Chunk(rs, 200) {
				var ds []connectors.Draft
				for i, r := range some {
					one := r.Clone()
					if k == connectors.KindContact {
						shaped(one) // gaps between addresses
					}
					ds = append(ds, connectors.Draft{Record: one, Key: fmt.Sprint(back, "-", len(refused), "-", i, "-", time.Now().UnixNano())})
				}
				ws, err := w.conn.Create(t.Context(), k, ds)
				require.NoError(t, err)
				var ids []string
				var want []*connectors.Record
				for i, x := range ws {
					if x.Err != nil {
						var e *connectors.Error
						require.ErrorAs(t, x.Err, &e)
						require.True(t, errors.Is(e, connectors.ErrInvalid), "%v", x.Err)
						require.NotEmpty(t, e.Field, "%v", x.Err)
						refused[e.Field]++
						continue
					}
					ids, want = append(ids, x.ID), append(want, ds[i].Record)
				}
				got, err := w.conn.Get(t.Context(), k, ids)
				require.NoError(t, err)
				for i, g := range got {
					require.NoError(t, g.Err)
					require.Empty(t, connectors.Diff(want[i], g.Record, fields))
					back++
				}
			}
			for f := range refused {
				require.Contains(t, cannot[k], f, "refused: %v", refused)
			}
			t.Logf("%d of %d came back; refused by field: %v", back, len(rs), refused)
			require.Greater(t, back, len(rs)/2)
		})
	}
}
