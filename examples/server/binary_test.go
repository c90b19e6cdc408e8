package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/examples/server/demo"
	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
)

var (
	records = flag.Int("binary.records", 300, "hostile records that the real program syncs")
	kills   = flag.Int("binary.kills", 6, "how often the real program is killed")
)

// program is the real program, built as a user builds it, with a data directory
// and hostile records to begin with.
type program struct {
	t             *testing.T
	path          string
	data, imports string
	marks         []string // one in every text of a record
	said          bytes.Buffer
}

// hostile are endings that something on the way might take for more than text.
func hostile() []string {
	return []string{"'; DROP TABLE link;--", "<script>alert(1)</script>", "%s%n%x", "\u202egnp", "=cmd|' /C calc'!A0", "${jndi:ldap://x.example/a}", "{{.}}", "\U0001f469\u200d\U0001f680", "\"\\\\", "0x00"}
}

func compiled(t *testing.T, n int) *program {
	dir := t.TempDir()
	p := &program{t: t, path: filepath.Join(dir, "server"), data: filepath.Join(dir, "data"), imports: filepath.Join(dir, "imports")}
	out, err := exec.Command("go", "build", "-o", p.path, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Mkdir(p.imports, 0o700))
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	ends := hostile()
	var cards strings.Builder
	for i := range n {
		m := fmt.Sprintf("Qz%014xVk", rnd.Uint64()>>8)
		p.marks = append(p.marks, m)
		end := strings.NewReplacer("\\", "\\\\", ";", "\\;", ",", "\\,").Replace(ends[i%len(ends)])
		name := end
		if len([]rune(name)) > 20 { // the CRM takes 40 characters
			name = ""
		}
		long := ""
		if i%20 == 7 { // does not fit, and becomes an issue with a name
			long = strings.Repeat("x", 300)
		}
		fmt.Fprintf(&cards, "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:u-%d\r\nFN:%s\r\nN:%s%s%s;G%s;;;\r\nTITLE:T%s\r\nEMAIL:%s@x.example\r\nNOTE:n %s\\n%s\r\nEND:VCARD\r\n",
			i, m, m, name, long, m, m, strings.ToLower(m), m, end)
	}
	require.NoError(t, os.WriteFile(filepath.Join(p.imports, "people.vcf"), []byte(cards.String()), 0o600))
	return p
}

// start starts a pass over all mailboxes.
func (p *program) start(out *bytes.Buffer) *exec.Cmd {
	args := []string{"-data", p.data, "-once", "-o", "json"}
	if _, err := os.Stat(filepath.Join(p.data, systemsDir, crmFile)); errors.Is(err, fs.ErrNotExist) {
		args = append(args, "-import", p.imports)
	}
	cmd := exec.Command(p.path, args...)
	cmd.Env = []string{"HOME=" + p.data, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(p.t, cmd.Start())
	return cmd
}

// once runs it to its end and returns what it said.
func (p *program) once() (code int, said string) {
	var out bytes.Buffer
	cmd := p.start(&out)
	_ = cmd.Wait()
	p.said.Write(out.Bytes())
	return cmd.ProcessState.ExitCode(), out.String()
}

// killed runs it until the systems have their records and a moment longer.
func (p *program) killed(moment time.Duration) {
	var out bytes.Buffer
	cmd := p.start(&out)
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(p.data, systemsDir, crmFile)); err == nil {
			break
		}
		require.True(p.t, time.Now().Before(end), "the systems are filled")
	}
	time.Sleep(moment)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	p.said.Write(out.Bytes())
}

// settle runs it until nothing waits for anything.
func (p *program) settle() {
	for range 4 {
		code, said := p.once()
		require.Equal(p.t, exitDone, code, said)
		var s summary
		require.NoError(p.t, json.Unmarshal([]byte(said), &s), said)
		if s.Quiet && s.Passes == 1 {
			return
		}
		time.Sleep(11 * time.Second) // a create whose answer was lost is waited for that long
	}
	p.t.Fatal("no end of writing")
}

// everythingOnce checks that each record that fits is in the CRM and in each
// mailbox, once.
func (p *program) everythingOnce() {
	var crm struct{ Sets map[string][]map[string]any }
	require.NoError(p.t, json.Unmarshal([]byte(content(p.t, filepath.Join(p.data, systemsDir, crmFile))), &crm))
	seen := map[string]map[string]int{"crm": {}}
	count := func(where, text string) {
		if i := strings.Index(text, "Qz"); i >= 0 && len(text) >= i+18 {
			if seen[where] == nil {
				seen[where] = map[string]int{}
			}
			seen[where][text[i:i+18]]++
		}
	}
	for _, r := range crm.Sets[contactSet] {
		name, _ := r["LastName"].(string)
		count("crm", name)
	}
	require.NoError(p.t, filepath.WalkDir(filepath.Join(p.data, systemsDir, "mail"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".vcf") {
			_, card, _ := strings.Cut(content(p.t, path), "\nN:")
			count(filepath.Dir(path), card)
		}
		return err
	}))
	require.Len(p.t, seen, 1+len(demo.Users()), "the CRM and each mailbox")
	fits := 0
	for i, m := range p.marks {
		if i%20 == 7 {
			continue
		}
		fits++
		for where, n := range seen {
			require.Equal(p.t, 1, n[m], "record %d in %s", i, where)
		}
	}
	require.Len(p.t, seen["crm"], fits, "and nothing else")
}

// silent checks that no text of a record stands in anything of ours: files, what
// is left of files, and what the program said.
func (p *program) silent(s *leaktest.Scanner) {
	es, err := os.ReadDir(p.data)
	require.NoError(p.t, err)
	scanned := 0
	for _, e := range es {
		found, err := s.Path(filepath.Join(p.data, e.Name()))
		require.NoError(p.t, err)
		if e.Name() == systemsDir { // theirs
			require.NotEmpty(p.t, found, "the scan sees what is there")
			continue
		}
		assert.Empty(p.t, found)
		scanned++
	}
	require.Greater(p.t, scanned, 3)
	found, err := s.Path(p.data + keySuffix)
	require.NoError(p.t, err)
	assert.Empty(p.t, found)
	found, err = s.Bytes(p.said.Bytes())
	require.NoError(p.t, err)
	assert.Empty(p.t, found)
}

// Hostile records go through the real program, which is killed on the way so that
// what it writes in between is looked at too. No byte of them is in a file or in a
// word of it.
//
// evidence: P2
// evidence: P30
func TestTheProgramKeepsNothingOfHostileRecords(t *testing.T) {
	p := compiled(t, *records)
	scanner, err := leaktest.New(p.marks)
	require.NoError(t, err)
	p.killed(time.Duration(*records) * 3 * time.Millisecond)
	p.silent(scanner)
	p.settle()
	p.silent(scanner)
	p.everythingOnce()
}

// The real program is killed again and again. In the end everything is everywhere,
// once.
//
// evidence: I3
func TestTheKilledProgramLosesAndDoublesNothing(t *testing.T) {
	p := compiled(t, *records)
	for range *kills {
		p.killed(time.Duration(rand.Int64N(int64(1500 * time.Millisecond))))
	}
	time.Sleep(11 * time.Second)
	p.settle()
	p.everythingOnce()
}
