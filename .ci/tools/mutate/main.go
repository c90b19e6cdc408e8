// Command mutate removes every condition, refusal and effect of a package, one
// at a time, and says which of these mutants no test notices. It also says which
// conditions no test has seen true, or false.
//
//	cd .ci/tools && go run ./mutate -pkg authz -out /tmp/mutants [-equivalent mutate/authz.txt] [-- test flags]
//
// The package is copied and compiled once, with all mutants in it: the
// environment variable MUT chooses one (17:true, 17:false, 17:skip). Each test
// runs alone first, which shows what it reaches; a mutant then meets only those
// tests that can notice it, those first that reach little else. A test that never
// ends has noticed it.
//
// With -again it goes on where an earlier run with the same -out was ended, so
// that it can be run in pieces of a few minutes.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

type test struct {
	Name string
	Took time.Duration
	Seen []byte // see helper
}

type runner struct {
	dir, binary, out string
	flags            []string
	budget           time.Duration
	again            bool
	prepared
}

// prepared is what is kept for another run.
type prepared struct {
	Points []point
	Tests  []test
}

func main() {
	log.SetFlags(log.Ltime)
	root := flag.String("C", "../..", "root of the module")
	pkg := flag.String("pkg", "authz", "folder of the package, from the root")
	out := flag.String("out", "", "folder to write to: the copy, mutants.log, coverage.txt, survivors.txt")
	kinds := flag.String("kinds", "condition,clause,result,return,jump,call,assign", "what to remove")
	files := flag.String("files", "", "regular expression of the files to change; empty: all")
	only := flag.String("only", "", "file that names the mutants to try, such as an old survivors.txt")
	equivalent := flag.String("equivalent", "", "file that names mutants without effect; reasons after #")
	run := flag.String("run", "", "regular expression of tests to run; empty: all")
	skip := flag.String("skip", "", "regular expression of tests to leave out")
	budget := flag.Duration("budget", 0, "stop at so much time of tests for one mutant, for a first look; 0: run all that reach it")
	coverOnly := flag.Bool("cover", false, "coverage only")
	again := flag.Bool("again", false, "go on with what an earlier run left in -out: the copy, what tests reach, verdicts")
	flag.Parse()
	if *out == "" {
		log.Fatal("-out: name a folder to write to")
	}
	r := &runner{out: *out, binary: filepath.Join(*out, "mutants.test"), flags: flag.Args(), budget: *budget}
	r.dir, r.again = filepath.Join(*out, "module", *pkg), *again
	if err := r.prepare(*root); err != nil {
		log.Fatal(err)
	}
	if err := r.reach(*run, *skip); err != nil {
		log.Fatal(err)
	}
	if err := r.coverage(); err != nil {
		log.Fatal(err)
	}
	if *coverOnly {
		return
	}
	if err := r.mutants(strings.Split(*kinds, ","), regexp.MustCompile(*files), *only, *equivalent); err != nil {
		log.Fatal(err)
	}
}

// prepare copies the module, changes the package and compiles its tests.
func (r *runner) prepare(root string) error {
	if r.again {
		b, err := os.ReadFile(filepath.Join(r.out, "prepared.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &r.prepared)
	}
	module := filepath.Join(r.out, "module")
	if err := os.RemoveAll(module); err != nil {
		return err
	}
	if err := os.RemoveAll(r.journal()); err != nil {
		return err
	}
	if err := copyTree(root, module); err != nil {
		return err
	}
	var err error
	if r.Points, err = instrument(r.dir); err != nil {
		return err
	}
	build := exec.Command("go", "test", "-c", "-o", r.binary, ".")
	build.Dir, build.Stdout, build.Stderr = r.dir, os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return r.keep()
}

func (r *runner) journal() string { return filepath.Join(r.out, "mutants.log") }

// keep writes down what is prepared.
func (r *runner) keep() error {
	b, err := json.Marshal(r.prepared)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "prepared.json"), b, 0o600)
}

// reach runs each test alone.
func (r *runner) reach(run, skip string) error {
	list := exec.Command(r.binary, "-test.list", ".")
	list.Dir = r.dir
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	wanted, left := regexp.MustCompile(run), regexp.MustCompile(skip)
	for _, name := range strings.Fields(string(names)) {
		if strings.HasPrefix(name, "Benchmark") || !wanted.MatchString(name) || skip != "" && left.MatchString(name) {
			continue
		}
		if slices.ContainsFunc(r.Tests, func(t test) bool { return t.Name == name }) {
			continue
		}
		cover := filepath.Join(r.out, "seen")
		if err := os.RemoveAll(cover); err != nil {
			return err
		}
		began := time.Now()
		if output, err := r.run([]string{name}, "cover:"+cover, 10*time.Minute); err != nil {
			log.Printf("%s fails without a mutant and is left out: %v\n%.2000s", name, err, output)
			continue
		}
		t := test{Name: name, Took: time.Since(began)}
		if t.Seen, err = os.ReadFile(cover); err != nil {
			return err
		}
		r.Tests = append(r.Tests, t)
		if err := r.keep(); err != nil {
			return err
		}
	}
	// Those that reach the least are about it; those that take long come last.
	slices.SortFunc(r.Tests, func(a, b test) int {
		return cmp.Or(cmp.Compare(a.Took/time.Second, b.Took/time.Second), bytes.Count(a.Seen, []byte{1})-bytes.Count(b.Seen, []byte{1}))
	})
	log.Printf("%d points, %d tests", len(r.Points), len(r.Tests))
	return nil
}

// run runs tests with a mutant. Whatever runs away with time or memory is ended.
func (r *runner) run(names []string, mut string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []string{"-c", `ulimit -v 12000000; exec nice "$@"`, "sh", r.binary, "-test.failfast", "-test.run", "^(" + strings.Join(names, "|") + ")$"}
	cmd := exec.CommandContext(ctx, "sh", append(args, r.flags...)...)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "MUT="+mut)
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(b), err
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}

// reaches says whether a test can notice a mutant: whether it came by, and for a
// condition, whether it was ever other than the mutant makes it.
func (t test) reaches(p point, mode string) bool {
	if mode == "true" {
		return t.Seen[2*p.ID+1] == 1
	}
	return t.Seen[2*p.ID] == 1
}

// coverage writes which conditions were not seen both true and false, and which
// statements were not reached.
func (r *runner) coverage() error {
	var out strings.Builder
	sides, seen := map[string]int{}, map[string]int{}
	for _, p := range r.Points {
		for _, mode := range []string{"true", "false"} {
			if p.Text == mode || mode == "true" && p.Modes[0] == "skip" {
				continue // a constant has one side
			}
			sides[p.File]++
			if slices.ContainsFunc(r.Tests, func(t test) bool { return t.reaches(p, mode) }) {
				seen[p.File]++
				continue
			}
			what := map[string]string{"true": "never false", "false": "never true"}[mode]
			if p.Modes[0] == "skip" {
				what = "never reached"
			}
			fmt.Fprintf(&out, "%s:%d: %s: %s\n", p.File, p.Line, what, p)
		}
	}
	all, total := 0, 0
	for _, f := range keys(sides) {
		fmt.Fprintf(&out, "%6.1f %% %5d of %5d  %s\n", 100*float64(seen[f])/float64(sides[f]), seen[f], sides[f], f)
		all, total = all+seen[f], total+sides[f]
	}
	fmt.Fprintf(&out, "%6.1f %% %5d of %5d  sides of conditions and statements seen\n", 100*float64(all)/float64(total), all, total)
	return os.WriteFile(filepath.Join(r.out, "coverage.txt"), []byte(out.String()), 0o600)
}

func keys(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// named reads the names of mutants, up to # where a line has one.
func named(file string) (map[string]bool, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, _, _ := strings.Cut(s.Text(), " # ")
		out[strings.TrimSpace(name)] = true
	}
	return out, nil
}

// mutants tries them all.
func (r *runner) mutants(kinds []string, files *regexp.Regexp, only, equivalent string) error {
	wanted, err := named(only)
	if err != nil {
		return err
	}
	same, err := named(equivalent)
	if err != nil {
		return err
	}
	tried := map[string]string{}
	if old, err := os.ReadFile(r.journal()); err == nil {
		for line := range strings.Lines(string(old)) {
			if f := strings.Split(line, "\t"); len(f) == 4 {
				tried[f[2]] = f[0]
			}
		}
	}
	journal, err := os.OpenFile(r.journal(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer journal.Close()
	var survivors []string
	count := map[string]map[string]int{}
	names := map[string]int{} // the same text in one function again gets a number
	for _, p := range r.Points {
		for _, mode := range p.Modes {
			name := p.String() + " " + mode
			if names[name]++; names[name] > 1 {
				name += fmt.Sprintf(" %d", names[name])
			}
			if !slices.Contains(kinds, p.Kind) || !files.MatchString(p.File) || wanted != nil && !wanted[name] {
				continue
			}
			verdict, by := tried[name], ""
			if verdict == "" {
				verdict, by = r.try(p, mode)
				fmt.Fprintf(journal, "%s\t%s:%d\t%s\t%s\n", verdict, p.File, p.Line, name, by)
			}
			if verdict == "survived" {
				survivors = append(survivors, name)
				if same[name] {
					verdict = "equivalent"
				}
			}
			for _, k := range []string{p.File, "kind " + p.Kind, "total"} {
				if count[k] == nil {
					count[k] = map[string]int{}
				}
				count[k][verdict]++
			}
		}
	}
	rows := map[string]int{}
	for k := range count {
		rows[k] = 0
	}
	fmt.Printf("%-28s %6s %8s %8s %10s %8s\n", "", "all", "killed", "survived", "equivalent", "killed %")
	for _, k := range keys(rows) {
		c := count[k]
		all := c["killed"] + c["survived"] + c["equivalent"]
		fmt.Printf("%-28s %6d %8d %8d %10d %8.1f\n", k, all, c["killed"], c["survived"], c["equivalent"], 100*float64(c["killed"])/float64(all))
	}
	return os.WriteFile(filepath.Join(r.out, "survivors.txt"), []byte(strings.Join(survivors, "\n")+"\n"), 0o600)
}

// try runs the tests that can notice a mutant until one does, in groups that take
// twice as long each time.
func (r *runner) try(p point, mode string) (verdict, by string) {
	var group []string
	var sum, spent time.Duration
	most := 200 * time.Millisecond
	flush := func() bool {
		if len(group) == 0 {
			return false
		}
		output, err := r.run(group, fmt.Sprintf("%d:%s", p.ID, mode), 4*sum+8*time.Second)
		if err != nil {
			by = err.Error()
			if m := regexp.MustCompile(`--- FAIL: (\S+)`).FindStringSubmatch(output); m != nil {
				by = m[1]
			} else if errors.Is(err, context.DeadlineExceeded) {
				by = "never ends"
			}
		}
		group, sum, most = nil, 0, 2*most
		return err != nil
	}
	reached := false
	for _, t := range r.Tests {
		if !t.reaches(p, mode) {
			continue
		}
		reached = true
		if spent += t.Took; r.budget > 0 && spent > r.budget {
			break
		}
		if len(group) > 0 && sum+t.Took > most && flush() {
			return "killed", by
		}
		group, sum = append(group, t.Name), sum+t.Took
	}
	if flush() {
		return "killed", by
	}
	if !reached {
		by = "not reached"
	}
	return "survived", by
}
