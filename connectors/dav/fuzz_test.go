package dav

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Whatever stands in a card: no panic, and a card that is read and written back
// whole reads the same.
func FuzzCard(f *testing.F) {
	f.Add([]byte("BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C3=84;B\r\nEMAIL;PREF:a@b.example\r\nEND:VCARD\r\n"))
	f.Add([]byte("BEGIN:VCARD\nVERSION:4.0\nFN:A B\nTEL;VALUE=uri;PREF=1:tel:+49-30\nBDAY:19690720\nADR;TYPE=work:;;x\\;y;z;;;\nEND:VCARD"))
	f.Add([]byte("BEGIN:VCARD\r\nVERSION:3.0\r\nitem1.ORG:a\\,b;c\r\nNOTE:x\\ny\r\n z\r\nNOTE:\r\nEND:VCARD\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range SplitContacts(data) {
			if o.Err == nil {
				_, err := parseCard(o.Data)
				require.NoError(t, err)
			}
		}
		k, err := parseCard(data)
		if err != nil {
			return
		}
		r := k.contact()
		k.apply(r, connectors.Fields(connectors.KindContact))
		again, err := parseCard(k.bytes())
		require.NoError(t, err)
		require.Empty(t, connectors.Diff(r, again.contact(), connectors.Fields(connectors.KindContact)))
		require.Equal(t, k.bytes(), again.bytes())
	})
}

// The same for a calendar object.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Europe/Berlin:20260329T023000\r\nDURATION:PT1H\r\nSUMMARY:a\\;b\r\nATTENDEE;CN=\"x;y\":mailto:a@b.example\r\nBEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	f.Add([]byte("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Z\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Z:20260101T000000\r\nDTEND;TZID=Z:20260102T000000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	f.Add([]byte("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:2\nDTSTART;VALUE=DATE:20260301\nCLASS:PRIVATE\nTRANSP:TRANSPARENT\nRRULE:FREQ=DAILY\nEND:VEVENT\nEND:VCALENDAR"))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1_767_225_600, 0)
		for _, o := range SplitAppointments(data, now) {
			if o.Err == nil {
				_, err := parseEvent(o.Data, time.UTC)
				require.NoError(t, err)
			}
		}
		e, err := parseEvent(data, time.UTC)
		if err != nil {
			return
		}
		r, err := e.appointment()
		if err != nil {
			return
		}
		if e.apply(r, connectors.Fields(connectors.KindAppointment), now) != nil {
			return
		}
		again, err := parseEvent(e.root.bytes(), time.UTC)
		require.NoError(t, err)
		r2, err := again.appointment()
		require.NoError(t, err)
		require.Empty(t, connectors.Diff(r, r2, connectors.Fields(connectors.KindAppointment)))
	})
}

// Lines that nobody changes come out as they went in, but for their folding.
func FuzzLines(f *testing.F) {
	f.Add([]byte("A;B=\"c:d\":e\r\n f\r\nG:h\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ls, err := parseLines(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, l := range ls {
			l.write(&b)
		}
		again, err := parseLines(b.Bytes())
		require.NoError(t, err)
		require.Equal(t, len(ls), len(again))
		for i := range ls {
			require.Equal(t, ls[i].value, again[i].value)
		}
	})
}

// An answer either is understood within its limits or is an error.
func FuzzMultistatus(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><multistatus xmlns="DAV:"><response><href>/a</href><status>HTTP/1.1 404 Not Found</status></response><sync-token>t</sync-token></multistatus>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMultistatus(data)
		if err != nil {
			return
		}
		for _, r := range m.Responses {
			_, _ = r.etag()
			_ = code(r.Status)
		}
	})
}
