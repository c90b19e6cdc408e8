package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

var (
	kills = flag.Int("e2e.kills", 50, "how often the worker is killed")
	seed  = flag.Uint64("e2e.seed", 0, "of the moments; 0 draws one")
)

const childSite = "LOCKKEEPER_E2E_SITE"

// TestMain is also the worker that gets killed.
func TestMain(m *testing.M) {
	if s := os.Getenv(childSite); s != "" {
		if err := work(s); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// work syncs until a round writes nothing, and tells what it is doing.
func work(config string) error {
	var s site
	if err := json.Unmarshal([]byte(config), &s); err != nil {
		return err
	}
	ctx := context.Background()
	h, err := s.open(ctx, func(e lksync.Event) { fmt.Println(e.Phase) })
	if err != nil {
		return err
	}
	p, err := h.pair(ctx, "ana", false)
	if err != nil {
		return err
	}
	for {
		fmt.Println("round")
		h.ahead.Add(1)
		r, err := h.engine.Sync(ctx, h.worker, p)
		if err != nil {
			return err
		}
		if r.Writes() == 0 {
			return nil
		}
	}
}

// The worker is killed at random moments while people on both sides go on adding
// and editing. Afterwards everything is on both servers exactly once, and the
// last edit of each record stands.
func TestKilledWorkersLoseAndDoubleNothing(t *testing.T) {
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	t.Logf("moments of -e2e.seed=%d", from)
	rnd := rand.New(rand.NewPCG(from, 0))
	w := start(t, site{Settle: 2 * time.Second}, "ana")
	config, err := json.Marshal(w.site)
	require.NoError(t, err)

	title := map[string]string{} // by family name: the job title that was set last
	subject := map[string]bool{}
	phases := map[string]int{}
	ended := 0
	for i := range *kills {
		for j := range 4 {
			name := fmt.Sprintf("Mail%dx%d", i, j)
			w.put("ana", name+".vcf", card(name, "M", name, ""))
			title[name] = ""
			name = fmt.Sprintf("Crm%dx%d", i, j)
			w.crm("POST", contacts, map[string]any{"FirstName": "C", "LastName": name})
			title[name] = ""
		}
		name := fmt.Sprintf("Meeting %d", i)
		w.put("ana", fmt.Sprintf("m%d.ics", i), appointment(fmt.Sprintf("m%d", i), name, "20270401", ""))
		subject[name] = true
		if i > 0 { // edit a record that the killed worker may just have been busy with
			name := fmt.Sprintf("Mail%dx%d", i-1, rnd.IntN(4))
			title[name] = fmt.Sprint("title ", i)
			w.put("ana", name+".vcf", card(name, "M", name, "TITLE:"+title[name]+"\r\n"))
		}

		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childSite+"="+string(config))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		// Every other moment is counted from the start of the work, every other
		// from the start of the writing.
		from, moment := "", (*time.Timer)(nil)
		if i%2 == 1 {
			from = string(lksync.Writing)
		}
		delay := time.Duration(rnd.Int64N(int64(300 * time.Millisecond)))
		last := "starting"
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = lines.Text()
			require.NotContains(t, last, "failed")
			if moment == nil && (from == "" || from == last) {
				moment = time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
			}
		}
		if cmd.Wait() == nil {
			ended++
		} else {
			phases[last]++
		}
		if moment != nil {
			moment.Stop()
		}
	}
	t.Logf("killed while: %v; ended before: %d", phases, ended)
	require.Greater(t, phases[string(lksync.Writing)], *kills/10, "some of the moments are among writes")

	w.ahead.Add(3600) // whatever waits, waits no longer
	time.Sleep(w.Settle)
	w.settle("ana")
	require.Empty(t, w.issues("ana"))
	for side, c := range map[string]*connectors.Conn{"CRM": w.pairs["ana"].Left, "mailbox": w.pairs["ana"].Right} {
		seen := map[string]int{}
		for _, r := range all(t, c, connectors.KindContact) {
			require.NotNil(t, r)
			seen[r.Contact.FamilyName]++
			require.Equal(t, title[r.Contact.FamilyName], r.Contact.JobTitle, "%s of the %s", r.Contact.FamilyName, side)
		}
		for name := range title {
			require.Equal(t, 1, seen[name], "%s in the %s", name, side)
		}
		require.Len(t, seen, len(title))
		seen = map[string]int{}
		for _, r := range all(t, c, connectors.KindAppointment) {
			require.NotNil(t, r)
			seen[r.Appointment.Subject]++
		}
		for name := range subject {
			require.Equal(t, 1, seen[name], "%s in the %s", name, side)
		}
		require.Len(t, seen, len(subject))
	}
}
