package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// maxPasses bounds -once. The mailboxes share a CRM, so what the last one brings
// in reaches the first one in the second pass; the third finds nothing to do.
const maxPasses = 6

// summary is the report of -once. Its JSON shape carries a version, which is
// raised when a field changes its meaning or goes.
type summary struct {
	Version   int              `json:"version"`
	Started   time.Time        `json:"started"`
	Passes    int              `json:"passes"` // over all mailboxes
	Quiet     bool             `json:"quiet"`  // the last pass found nothing to write
	Writes    int              `json:"writes"` // records created, updated or deleted, on either side
	Requests  int64            `json:"requests"`
	WallMS    int64            `json:"wall_ms"`
	CPUMS     int64            `json:"cpu_ms"` // of the whole process, the embedded systems included
	Mailboxes []mailboxSummary `json:"mailboxes"`
}

type mailboxSummary struct {
	Mailbox  string                           `json:"mailbox"`
	Kinds    map[connectors.Kind]*kindSummary `json:"kinds"`
	Requests int64                            `json:"requests"`
	WallMS   int64                            `json:"wall_ms"`
	CPUMS    int64                            `json:"cpu_ms"`
	Held     string                           `json:"held,omitempty"` // why something was not done
	wall     time.Duration
	cpu      time.Duration
}

// kindSummary counts over all passes; issues and links are those at the end.
type kindSummary struct {
	Read      sides `json:"read"`
	Created   sides `json:"created"`
	Updated   sides `json:"updated"`
	Deleted   sides `json:"deleted"`
	Linked    int   `json:"linked"`
	Unlinked  int   `json:"unlinked"`
	Conflicts int   `json:"conflicts"`
	Issues    int   `json:"issues"`
	Links     int   `json:"links"`
}

type sides struct {
	CRM     int `json:"crm"`
	Mailbox int `json:"mailbox"`
}

func (s *sides) add(n [2]int) { s.CRM, s.Mailbox = s.CRM+n[0], s.Mailbox+n[1] }

func (m *mailboxSummary) add(r lksync.Report) {
	m.Requests, m.wall, m.cpu, m.Held = m.Requests+r.Requests, m.wall+r.Wall, m.cpu+r.CPU, r.Held
	m.WallMS, m.CPUMS = m.wall.Milliseconds(), m.cpu.Milliseconds()
	for k, v := range r.Kinds {
		s := m.Kinds[k]
		if s == nil {
			s = &kindSummary{}
			m.Kinds[k] = s
		}
		s.Read.add(v.Read)
		s.Created.add(v.Created)
		s.Updated.add(v.Updated)
		s.Deleted.add(v.Deleted)
		s.Linked, s.Unlinked, s.Conflicts = s.Linked+v.Linked, s.Unlinked+v.Unlinked, s.Conflicts+v.Conflicts
		s.Issues, s.Links = v.Issues, v.Links
	}
}

// once passes over all mailboxes until a pass writes nothing, and prints what
// was done, also when something failed on the way.
func once(ctx context.Context, h *house, asJSON bool, stdout io.Writer) error {
	out := summary{Version: 1, Started: now().UTC()}
	byID := map[string]*mailboxSummary{}
	for _, m := range h.mailboxes {
		byID[m.ID] = &mailboxSummary{Mailbox: m.ID, Kinds: map[connectors.Kind]*kindSummary{}}
	}
	var failed error
	for failed == nil && !out.Quiet && out.Passes < maxPasses {
		out.Passes++
		writes := 0
		for _, m := range h.mailboxes {
			r, err := h.round(ctx, m)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = errors.Join(failed, err)
			byID[m.ID].add(r)
			writes += r.Writes()
		}
		out.Writes += writes
		out.Quiet = writes == 0 && failed == nil
	}
	var wall, cpu time.Duration
	for _, m := range h.mailboxes {
		s := byID[m.ID]
		out.Requests, wall, cpu = out.Requests+s.Requests, wall+s.wall, cpu+s.cpu
		out.Mailboxes = append(out.Mailboxes, *s)
	}
	out.WallMS, out.CPUMS = wall.Milliseconds(), cpu.Milliseconds()
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return errors.Join(failed, e.Encode(out))
	}
	return errors.Join(failed, out.text(stdout))
}

// text prints the summary for people.
func (s summary) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "mailbox\tkind\tread\tcreated\tupdated\tdeleted\tlinked\tconflicts\tissues\t")
	for _, m := range s.Mailboxes {
		for _, k := range connectors.Kinds() {
			v := m.Kinds[k]
			if v == nil {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t\n", m.Mailbox, k, v.Read, v.Created, v.Updated, v.Deleted, v.Linked, v.Conflicts, v.Issues)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range s.Mailboxes {
		if m.Held != "" {
			fmt.Fprintf(w, "%s: held: %s\n", m.Mailbox, m.Held)
		}
	}
	_, err := fmt.Fprintf(w, "\nPairs of numbers are CRM+mailbox. %d records written in %d passes, %d requests, %d ms, %d ms of CPU.\n",
		s.Writes, s.Passes, s.Requests, s.WallMS, s.CPUMS)
	return err
}

// String prints both sides.
func (s sides) String() string { return fmt.Sprintf("%d+%d", s.CRM, s.Mailbox) }
