package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
)

// errFound means that doctor found something that is broken, and said so.
var errFound = errors.New("found something")

// checkup is what the command line of doctor says.
type checkup struct {
	data  string
	json  bool
	vault *vault
}

func parseDoctor(args []string, stdout io.Writer, getenv func(string) string) (c checkup, err error) {
	var v vaultFlags
	var output string
	f := flag.NewFlagSet("doctor", flag.ContinueOnError)
	f.StringVar(&c.data, "data", defaultData, "`directory` of the server, if there is one already: then it must be this Vault that has its keys")
	f.StringVar(&output, "o", "text", "`format`: text or json")
	v.add(f, getenv)
	if err := parseFlags(f, args, stdout, "doctor [flags]\n\nSays what is wrong with a HashiCorp Vault that is to keep the keys, and how to mend\nit, and prints the policy that is needed. It changes nothing.",
		"\nExit codes: 0 it works, 1 something is broken, 2 wrong use.\n"); err != nil {
		return c, err
	}
	switch output {
	case "text":
	case "json":
		c.json = true
	default:
		return c, misuse("-o %s: want text or json.", output)
	}
	if c.vault, err = v.open(); err == nil && c.vault == nil {
		err = misuse("-vault-address is missing: give the Vault to look at, as in -vault-address https://vault.example:8200.")
	}
	return c, err
}

// Codes of findings about the data directory, beside those of hashivault.
const (
	findPlace   = "another-place" // the keys of the directory are elsewhere in Vault
	findKeyring = "keyring-left"  // there is a keyring that opens what Vault does
)

// doctor looks at a Vault, as far as can be seen from here, and prints what it
// finds.
func doctor(ctx context.Context, c checkup, stdout io.Writer) error {
	cfg := c.vault.config
	kept, err := readKeeper(filepath.Join(c.data, keeperName))
	if err != nil {
		return err
	}
	var ours []hashivault.Finding
	if kept != nil && kept.Keeper == vaultName {
		if err := c.vault.flags.differs(*kept.Place); err != nil {
			ours = append(ours, hashivault.Finding{Code: findPlace, Broken: true, What: "the keys of " + c.data + " are at another place in Vault", Fix: err.Error()})
		} else {
			cfg.Expect = *kept.Identity
		}
		if _, err := os.Stat(c.data + keySuffix); err == nil {
			ours = append(ours, hashivault.Finding{Code: findKeyring, What: "the keyring " + c.data + keySuffix + " opens everything that Vault does",
				Fix: "remove it and its copies when no backup from before Vault counts, with: server migrate -remove-keyring"})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patienceForVault)
	defer cancel()
	r := hashivault.Doctor(ctx, cfg)
	r.Findings = append(ours, r.Findings...)
	if c.json {
		err = printJSON(stdout, r)
	} else {
		_, err = fmt.Fprintf(stdout, "%s\nThe policy that is needed; store it with: vault policy write lockkeeper -\n\n%s", r, r.Policy)
	}
	if err == nil && !r.Fit() {
		err = errFound
	}
	return err
}

// printJSON prints a report for programs.
func printJSON(w io.Writer, r hashivault.Report) error {
	type finding struct {
		Code   string `json:"code"`
		Broken bool   `json:"broken"`
		What   string `json:"what"`
		Fix    string `json:"fix"`
	}
	out := struct {
		Version  int       `json:"version"` // raised when a field changes its meaning or goes
		Fit      bool      `json:"fit"`
		Findings []finding `json:"findings"`
		Policy   string    `json:"policy"`
	}{1, r.Fit(), []finding{}, r.Policy}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, finding(f))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
