package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// config is what the command line says.
type config struct {
	data     string // absolute path of the data directory
	listen   string // host:port of the page, on loopback
	imports  string // directory with .vcf and .ics files, "" for invented ones
	once     bool
	json     bool
	interval time.Duration
	vault    *vault // that keeps the keys; nil: the keyring does
}

// wrongUse is an error of the person who typed the command: exit code 2.
type wrongUse struct{ text string }

func (e wrongUse) Error() string { return e.text }

func misuse(format string, args ...any) error { return wrongUse{fmt.Sprintf(format, args...)} }

const (
	shortestInterval = time.Second
	longestInterval  = time.Hour
)

// parse reads the command line. flag.ErrHelp means that help was asked for and
// given.
func parse(args []string, stdout io.Writer, getenv func(string) string) (config, error) {
	var c config
	var v vaultFlags
	var output string
	var demo bool
	f := flag.NewFlagSet("server", flag.ContinueOnError)
	f.StringVar(&c.data, "data", defaultData, "`directory` for everything that is kept; made if it is not there. Its keys are next to it, in DIRECTORY.key")
	f.StringVar(&c.listen, "listen", "localhost:8443", "`address` of the page, on loopback; port 0 takes a free one")
	f.StringVar(&c.imports, "import", "", "`directory` with .vcf and .ics files for the first mailbox, in place of invented people")
	f.BoolVar(&c.once, "once", false, "sync every mailbox until nothing is left to do, print a report and end")
	f.StringVar(&output, "o", "text", "`format` of the report of -once: text or json")
	f.DurationVar(&c.interval, "interval", 2*time.Second, "time between two rounds of a mailbox, 1s to 1h")
	f.BoolVar(&demo, "demo", true, "serve embedded systems and a page without sign-in; there is no other mode yet")
	v.add(f, getenv)
	if err := parseFlags(f, args, stdout, "[flags]\n       server doctor [flags]     says what is wrong with a Vault\n       server migrate [flags]    moves the keys from the keyring to Vault\n\nSyncs an embedded CRM with three embedded mailboxes and shows how, on a page.",
		"\nLOCKKEEPER_PASSPHRASE seals the keyring if it is set when the keyring is made, and opens it from then on.\n"); err != nil {
		return c, err
	}
	if !demo {
		return c, misuse("-demo=false: there is no other mode yet. Leave the flag out.")
	}
	switch output {
	case "text":
	case "json":
		c.json = true
	default:
		return c, misuse("-o %s: want text or json.", output)
	}
	if c.json && !c.once {
		return c, misuse("-o json goes with -once: without it there is no report, only a server.")
	}
	if c.interval < shortestInterval || c.interval > longestInterval {
		return c, misuse("-interval %s: want %s to %s.", c.interval, shortestInterval, longestInterval)
	}
	if err := loopbackOnly(c.listen); err != nil {
		return c, err
	}
	if c.data == "" {
		return c, misuse("-data: want a directory.")
	}
	var err error
	if c.data, err = filepath.Abs(c.data); err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	if c.vault, err = v.open(); err != nil {
		return c, err
	}
	if c.imports != "" {
		if st, err := os.Stat(c.imports); err != nil || !st.IsDir() {
			return c, misuse("-import %s: want a directory that can be read.", c.imports)
		}
	}
	return c, nil
}

const defaultData = "lockkeeper-data"

// parseFlags reads a command line on which everything is a flag. flag.ErrHelp
// means that help was asked for and given.
func parseFlags(f *flag.FlagSet, args []string, stdout io.Writer, usage, more string) error {
	f.SetOutput(io.Discard)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: server %s\n\n", usage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		fmt.Fprint(stdout, more)
		return flag.ErrHelp
	} else if err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
			return misuse("unknown flag %s%s. Run with -h for the flags there are.", name, nearest(f, name))
		}
		return misuse("%s. Run with -h for what each flag takes.", err)
	}
	if f.NArg() > 0 {
		return misuse("unexpected argument %q. Everything is given as a flag; run with -h to see them.", f.Arg(0))
	}
	return nil
}

// loopbackOnly refuses addresses that others could reach: the page of the
// demonstration lets everybody choose who to be.
func loopbackOnly(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return misuse("-listen %s: want host:port, as in localhost:8443.", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return misuse("-listen %s: port: want 0 to 65535, not %d or words.", listen, n)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return misuse("-listen %s: only localhost, 127.0.0.1 or [::1]: in demonstration mode the page has no sign-in, so nobody else may reach it.", listen)
	}
	return nil
}

// nearest proposes the flag that was probably meant.
func nearest(f *flag.FlagSet, typed string) string {
	typed, best := strings.TrimLeft(typed, "-"), ""
	if strings.HasPrefix(typed, "vault-") && (strings.Contains(typed, "token") || strings.Contains(typed, "secret") || strings.Contains(typed, "jwt")) {
		return ". Credentials are read from a file: -vault-credential-file"
	}
	f.VisitAll(func(x *flag.Flag) {
		if len(typed) > 1 && (strings.HasPrefix(x.Name, typed) || strings.HasPrefix(typed, x.Name)) && len(x.Name) > len(best) {
			best = x.Name
		}
	})
	if best == "" {
		return ""
	}
	return ", perhaps -" + best
}
