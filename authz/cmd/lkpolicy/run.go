package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK       = 0
	exitNegative = 1
	exitUse      = 2
)

// version of the JSON that is written.
const version = 1

// errNegative is an answer that is no, and was given already.
var errNegative = errors.New("negative answer")

// commands are what can be asked.
type commands struct {
	Lint    lintCmd    `cmd:"" help:"Tell what is wrong with a policy, and what probably is."`
	Test    testCmd    `cmd:"" help:"Run the tests of a policy, *_test.yaml."`
	Diff    diffCmd    `cmd:"" help:"Tell what each role gains and loses between two policies."`
	Explain explainCmd `cmd:"" help:"Say why somebody may or may not do something."`
}

// output is where answers go.
type output struct {
	w io.Writer
}

func (o output) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.w, format, args...)
}

func (o output) json(v any) error {
	enc := json.NewEncoder(o.w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// run is main without the process.
func run(args []string, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	k, err := kong.New(&c, kong.Name("lkpolicy"), kong.Description("Looks after policy files. Exit codes: 0 all is well, 1 a negative answer, 2 wrong use."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) {
			if exited < 0 {
				exited = code
			}
		}))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "lkpolicy:", err)
		return exitUse
	}
	ctx, err := k.Parse(args)
	if exited >= 0 { // help was asked for
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "lkpolicy: %v; lkpolicy --help says what there is\n", err)
		return exitUse
	}
	ctx.BindTo(context.Background(), (*context.Context)(nil))
	switch err := ctx.Run(output{stdout}); {
	case errors.Is(err, errNegative):
		return exitNegative
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "lkpolicy:", err)
		return exitUse
	}
	return exitOK
}

// folder opens a folder that must hold a policy.
func folder(dir string) (fs.FS, error) {
	fsys := os.DirFS(dir)
	if _, err := fs.Stat(fsys, "roles.csv"); err != nil {
		return nil, fmt.Errorf("%s: no roles.csv there: name the folder of a policy", dir)
	}
	return fsys, nil
}
