package ews

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest/davmail"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// folderOf is a folder of files that vdirsyncer keeps in step with a collection
// behind DavMail.
type folderOf struct {
	t   *testing.T
	dir string
	run func(verb string)
}

func newFolder(t *testing.T, url, kind, ext string) *folderOf {
	dir := t.TempDir()
	f := &folderOf{t: t, dir: filepath.Join(dir, "files")}
	require.NoError(t, os.Mkdir(f.dir, 0o700))
	config := filepath.Join(dir, "config")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "[general]\nstatus_path = %q\n[pair p]\na = \"there\"\nb = \"here\"\ncollections = null\nconflict_resolution = \"a wins\"\n"+
		"[storage there]\ntype = %q\nurl = %q\nusername = \"ana\"\npassword = \"password of ana\"\n[storage here]\ntype = \"filesystem\"\npath = %q\nfileext = %q\n",
		filepath.Join(dir, "status"), kind, url, f.dir, ext), 0o600))
	f.run = func(verb string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "vdirsyncer", "-c", config, verb)
		cmd.Stdin = strings.NewReader("y\ny\ny\n")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	f.run("discover")
	return f
}

// files are the lines of each file, unfolded.
func (f *folderOf) files() map[string][]string {
	f.t.Helper()
	out := map[string][]string{}
	es, err := os.ReadDir(f.dir)
	require.NoError(f.t, err)
	for _, e := range es {
		b, err := os.ReadFile(filepath.Join(f.dir, e.Name()))
		require.NoError(f.t, err)
		s := strings.ReplaceAll(string(b), "\r\n", "\n")
		out[e.Name()] = strings.Split(strings.ReplaceAll(strings.ReplaceAll(s, "\n ", ""), "\n\t", ""), "\n")
	}
	return out
}

// newJudged is a world whose account is a person's own.
func newJudged(t testing.TB) *world {
	return newWorldOf(t, nil, ewstest.Options{User: "ana", Password: "password of ana", Mailboxes: []string{ana}}, func(string) secrets.Scheme { return secrets.Scheme{Kind: secrets.Basic, Username: "ana"} })
}

// DavMail, which has spoken to many an Exchange, finds in the emulator what it
// finds there, reads what this connector wrote as it was meant, and writes what
// this connector reads as it was meant. It asks for nothing that the emulator does
// not know.
//
// feature: F5, F11, F12
// evidence: P15
func TestDavMailJudges(t *testing.T) {
	davmail.Missing(t, "davmail", "vdirsyncer")
	w := newJudged(t)
	c := w.open()
	defer func() {
		if t.Failed() {
			t.Logf("not known to the emulator: %q", w.x.Unknown())
		}
	}()
	url := davmail.Start(t, w.srv.URL+"/EWS/Exchange.asmx", w.srv.Certificate())
	create := func(r *connectors.Record) string {
		ws, err := c.Create(t.Context(), r.Kind, []connectors.Draft{{Record: r, Key: "k-" + r.Kind.String()}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err)
		return ws[0].ID
	}
	all := func(k connectors.Kind) map[string]*connectors.Record {
		l, err := c.List(t.Context(), k, "", 100)
		require.NoError(t, err)
		rs, err := c.Get(t.Context(), k, l.IDs)
		require.NoError(t, err)
		out := map[string]*connectors.Record{}
		for _, r := range rs {
			require.NoError(t, r.Err)
			out[r.Record.Text(connectors.FieldFamilyName)+r.Record.Text(connectors.FieldSubject)] = r.Record
		}
		return out
	}

	p := connectors.NewRecord(connectors.KindContact)
	*p.Contact = connectors.Contact{GivenName: "Ana", FamilyName: "Ito", MiddleName: "M", Company: "Acme & Söhne", Department: "Sales", JobTitle: "Chief", Email: "ana@acme.example", Email2: "a2@acme.example",
		Phone: "+49 6221 1", Mobile: "+49 170 2", HomePhone: "+49 30 3", Fax: "+49 6221 4", Street: "Hauptstraße 5", City: "Heidelberg", Region: "BW", PostalCode: "69117", Country: "Germany",
		Website: "https://acme.example/", Note: "line 1\nline 2"}
	create(p)
	people := newFolder(t, url+"/users/ana@acme.example/contacts/", "carddav", ".vcf")
	people.run("sync")
	cards := people.files()
	require.Len(t, cards, 1)
	for _, lines := range cards {
		for _, want := range []string{"N:Ito;Ana;M;;", "ORG:Acme & Söhne;Sales", "TITLE:Chief", "TEL;TYPE=work:+49 6221 1", "TEL;TYPE=cell:+49 170 2", "TEL;TYPE=home:+49 30 3",
			"ADR;TYPE=work:;;Hauptstraße 5;Heidelberg;BW;69117;Germany", "URL;TYPE=work:https://acme.example/", `NOTE:line 1\nline 2`} {
			assert.Contains(t, lines, want)
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(people.dir, "kim.vcf"), []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:kim\r\nN:Berg;Kim;;;\r\nFN:Kim Berg\r\nORG:Other;Lab\r\nEMAIL;TYPE=work:kim@other.example\r\n"+
		"TEL;TYPE=cell:+1 555 0100\r\nADR;TYPE=work:;;Main 1;Springfield;IL;62701;USA\r\nNOTE:a\\nb\\, c\r\nEND:VCARD\r\n"), 0o600))
	people.run("sync")
	kim := all(connectors.KindContact)["Berg"]
	require.NotNil(t, kim)
	assert.Equal(t, []string{"Kim", "Other", "Lab", "kim@other.example", "+1 555 0100", "Main 1", "Springfield", "IL", "62701", "a\nb, c"},
		[]string{kim.Contact.GivenName, kim.Contact.Company, kim.Contact.Department, kim.Contact.Email, kim.Contact.Mobile, kim.Contact.Street, kim.Contact.City, kim.Contact.Region, kim.Contact.PostalCode, kim.Contact.Note})

	a := connectors.NewRecord(connectors.KindAppointment)
	start := time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, 2)
	*a.Appointment = connectors.Appointment{Subject: "plan, part 1", Location: "Room 5 & Söhne", Description: "agenda", Start: start, End: start.Add(time.Hour), Reminder: connectors.Reminder{Set: true, Minutes: 30}}
	create(a)
	task := connectors.NewRecord(connectors.KindTask)
	*task.Task = connectors.Task{Subject: "call", Due: start.Format(time.DateOnly), Status: connectors.InProgress, Percent: 40}
	create(task)
	calendar := newFolder(t, url+"/users/ana@acme.example/calendar/", "caldav", ".ics")
	calendar.run("sync")
	var lines []string
	for _, l := range calendar.files() {
		lines = append(lines, l...)
	}
	// DavMail keeps no backslash before a comma.
	for _, want := range []string{"SUMMARY:plan, part 1", "LOCATION:Room 5 & Söhne", "TRIGGER:-PT30M", "SUMMARY:call", "PERCENT-COMPLETE:40", "STATUS:IN-PROCESS"} {
		assert.Contains(t, lines, want)
	}
	require.NoError(t, os.WriteFile(filepath.Join(calendar.dir, "meet.ics"), []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:meet-1\r\nDTSTAMP:20260301T080000Z\r\nDTSTART:"+start.Add(24*time.Hour).Format("20060102T150405Z")+
		"\r\nDTEND:"+start.Add(25*time.Hour).Format("20060102T150405Z")+"\r\nSUMMARY:review\\, all\r\nLOCATION:Hall\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"), 0o600))
	calendar.run("sync")
	review := all(connectors.KindAppointment)["review, all"]
	require.NotNil(t, review)
	require.Equal(t, start.Add(24*time.Hour), review.Appointment.Start)
	require.Equal(t, "Hall", review.Appointment.Location)
	require.Empty(t, w.x.Unknown())
	require.Empty(t, w.x.Ledger(), "somebody was told")
}
