package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// terminal tells the person who started the server what goes on: counts and
// addresses, never a record. Safe for concurrent use.
type terminal struct {
	w     io.Writer
	began time.Time

	mu    sync.Mutex
	told  map[string]bool // what was said of the first rounds
	first map[string]bool // mailboxes whose first round has ended
}

func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print(format, args...)
}

func (t *terminal) print(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

// welcome says where everything is and how to change something on either side.
func (t *terminal) welcome(h *house, s *systems, page net.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, port, _ := net.SplitHostPort(page.String())
	ca, first := h.dir.file(authority), demo.Users()[0].ID
	t.print("Page:      https://localhost:%s   (its certificate is from %s)", port, ca)
	t.print("Data:      %s", h.dir.path)
	switch {
	case h.dir.vault != nil:
		t.print("Keys:      %s", h.dir.keeperIs())
		if h.dir.keyed {
			t.print("           %s opens them as well: remove it, and its copies, when no backup from before Vault counts any more", h.dir.keyPath)
		}
	case h.dir.fresh:
		t.print("Keyring:   %s   (new: without it the data cannot be opened; keep a copy)", h.dir.keyPath)
	default:
		t.print("Keyring:   %s", h.dir.keyPath)
	}
	crm := fmt.Sprintf("curl -s --cacert %s --netrc-file %s", quote(ca), quote(filepath.Join(s.dir, "crm.netrc")))
	mail := fmt.Sprintf("curl -s --cacert %s --netrc-file %s", quote(ca), quote(filepath.Join(s.dir, "mailbox.netrc")))
	if id := s.sampleCRM(); id != "" {
		entity := s.crmURL + contactSet + "('" + id + "')"
		t.print("\nThe CRM, an emulator of SAP Cloud for Customer: read a contact, and give it another job title:")
		t.print("  %s -H 'Accept: application/json' %s", crm, quote(entity))
		t.print("  %s -X PATCH -H 'Content-Type: application/json' -d '{\"JobTitle\":\"Astronaut\"}' %s", crm, quote(entity))
	}
	if url := s.sampleMail(first); url != "" {
		t.print("The mailbox of %s, a CardDAV and CalDAV server: read a contact, and give it another title:", first)
		t.print("  %s %s", mail, quote(url))
		t.print("  %s %s | sed 's/^TITLE.*/TITLE:Astronaut\\r/' | %s -H 'Content-Type: text/vcard' -T - %s", mail, quote(url), mail, quote(url))
	}
	t.print("\nThe first sync of %d mailboxes:", users())
}

// quote makes one word of a path or address for a shell.
func quote(s string) string {
	if strings.Contains(s, "'") {
		return `"` + s + `"`
	}
	return "'" + s + "'"
}

// event reports the phases of the first round of each mailbox.
func (t *terminal) event(e lksync.Event) {
	if e.Phase != lksync.Reading && e.Phase != lksync.Writing {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := fmt.Sprint(e.Pair, e.Kind, e.Phase)
	if t.told[key] || t.first[string(e.Pair)] {
		return
	}
	if t.told == nil {
		t.told = map[string]bool{}
	}
	t.told[key] = true
	if e.Total > 0 {
		t.print("  %s: %s %d %s", e.Pair, e.Phase, e.Total, e.Kind)
	} else {
		t.print("  %s: %s %s", e.Pair, e.Phase, e.Kind)
	}
}

// round reports the first round of each mailbox, and later ones that did
// something.
func (t *terminal) round(user string, l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := string(pairID(user))
	if t.first == nil {
		t.first = map[string]bool{}
	}
	new := !t.first[id]
	if n := l.Report.Writes(); new || n > 0 {
		t.print("  %s: %s; %d records written, %d contacts and %d appointments kept alike, %d issues (%s)", id, l.State, n,
			kind(l.Report, connectors.KindContact).Links, kind(l.Report, connectors.KindAppointment).Links, issues(l.Report), l.Report.Wall.Round(time.Millisecond))
	}
	t.first[id] = true
	if new && len(t.first) == users() {
		t.print("First complete sync after %s. Syncing on; stop with Ctrl-C.", now().Sub(t.began).Round(10*time.Millisecond))
	}
}

// keeper reports that the keeper of the keys went away or is back.
func (t *terminal) keeper(is keeperState) {
	if is.Ready() {
		t.say("%s  The keys are back; sync goes on.", is.Seen.Format(time.TimeOnly))
		return
	}
	t.say("%s  %s: there are no keys, Vault is %s: %s. Sync pauses until they are back.", is.Seen.Format(time.TimeOnly), is.Code, is.State, is.Detail)
}

func kind(r lksync.Report, k connectors.Kind) lksync.KindReport {
	if v := r.Kinds[k]; v != nil {
		return *v
	}
	return lksync.KindReport{}
}

func issues(r lksync.Report) (n int) {
	for _, k := range r.Kinds {
		n += k.Issues
	}
	return n
}

// sampleCRM returns the id of a contact to try things on, "" if there is none.
func (s *systems) sampleCRM() string {
	for _, p := range s.crm.All(contactSet) {
		if id, ok := p["ObjectID"].(string); ok {
			return id
		}
	}
	return ""
}
