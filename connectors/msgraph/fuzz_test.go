package msgraph

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

func sane(t *testing.T, r *connectors.Record, err error) {
	if err != nil {
		require.ErrorIs(t, err, connectors.ErrMalformed)
		return
	}
	for _, f := range connectors.Fields(r.Kind) {
		require.Equal(t, connectors.NormalizeText(f, r.Text(f)), r.Text(f), f)
	}
	require.LessOrEqual(t, len(r.Categories()), connectors.MaxCategories)
}

func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"1\"","title":"t","body":{"content":"b","contentType":"text"},"importance":"high","status":"completed",` +
		`"isReminderOn":true,"reminderDateTime":{"dateTime":"2026-03-12T00:00:00.0000000","timeZone":"UTC"},"dueDateTime":{"dateTime":"2026-03-12T00:00:00","timeZone":"UTC"},` +
		`"categories":["a"],"extensions":[{"extensionName":"com.lockkeeper.key","key":"k"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readTask(b)
		sane(t, r, err)
		if err != nil {
			return
		}
		out, err := writeTask(r, connectors.Fields(connectors.KindTask), nil)
		if err != nil {
			require.ErrorIs(t, err, connectors.ErrInvalid)
			return
		}
		again, err := readTask(marshal(out))
		require.NoError(t, err)
		require.Empty(t, connectors.Diff(r, again, []connectors.Field{connectors.FieldSubject, connectors.FieldDescription, connectors.FieldDue, connectors.FieldStart,
			connectors.FieldStatus, connectors.FieldPriority, connectors.FieldReminder, connectors.FieldCategories}))
	})
}

func FuzzMail(f *testing.F) {
	f.Add([]byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"1\"","subject":"s","from":{"emailAddress":{"name":"A","address":"a@x.example"}},"toRecipients":[],` +
		`"internetMessageId":"<m@x>","sentDateTime":"2026-03-12T00:00:00Z","body":{"contentType":"html","content":"<p>x"},"internetMessageHeaders":[{"name":"References","value":"<a@x> <b@x>"},` +
		`{"name":"Content-Type","value":"multipart/report; report-type=x"},{"name":"Auto-Submitted","value":"no"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readMail(b, ana, found{all: []folder{{id: "x", name: "Inbox"}}})
		sane(t, r, err)
		if err == nil {
			require.LessOrEqual(t, len(r.Mail.References), maxIDs)
			_ = r.Mail.Automatic()
		}
	})
}

func FuzzEvent(f *testing.F) {
	zones := &zone.Book{}
	f.Add([]byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"1\"","subject":"s","isReminderOn":true,"reminderMinutesBeforeStart":5,"categories":["a"],` +
		`"start":{"dateTime":"2026-07-01T07:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T08:00:00","timeZone":"UTC"},"recurrence":{"pattern":{"type":"weekly","daysOfWeek":["monday"]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readEvent(b, zones)
		sane(t, r, err)
	})
}

// A page of the service becomes items or an error.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@removed":{"reason":"deleted"}}],"@odata.nextLink":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p page
		if decode(b, &p) != nil {
			return
		}
		items, err := p.items()
		if err != nil {
			require.ErrorIs(t, err, connectors.ErrMalformed)
		}
		for _, v := range items {
			require.NotEmpty(t, v.ID)
		}
	})
}
