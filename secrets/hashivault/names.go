package hashivault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Folders of a Store.
const (
	tenantsFolder = "tenants" // a document for each tenant
	rowsFolder    = "secrets" // one for each secret, in folders as its path has them
	bodiesFolder  = "bodies"  // pieces of values that are too long for the secret's own
)

// longestSegment is in bytes, as Vault gets it. KV encrypts each part of a path,
// and file systems under it take 255 bytes of what comes out.
const longestSegment = 120

var errLongName = errors.New("a part of its name is too long for Vault")

// segmentName is a part of a path as Vault gets it: injective, and of characters
// that mean nothing to Vault's paths and policies.
func segmentName(s string) string {
	if s == "" {
		return "_"
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// segmentOf is the inverse of segmentName.
func segmentOf(name string) (string, bool) {
	if name == "_" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '_' {
			b.WriteByte(name[i])
			continue
		}
		if i+3 > len(name) {
			return "", false
		}
		c, err := hex.DecodeString(name[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), segmentName(b.String()) == name
}

// inFolder is the document of a name below a folder, each part of it a segment.
func inFolder(folder, name string) (string, error) {
	var b strings.Builder
	b.WriteString(folder)
	for s := range strings.SplitSeq(name, "/") {
		n := segmentName(s)
		if len(n) > longestSegment {
			return "", errLongName
		}
		b.WriteByte('/')
		b.WriteString(n)
	}
	return b.String(), nil
}

// rootOf is the first two parts of a name: those of a tenant's secrets are
// "tenants" and its own.
func rootOf(name string) string {
	if i := strings.IndexByte(name, '/'); i >= 0 {
		if j := strings.IndexByte(name[i+1:], '/'); j >= 0 {
			return name[:i+1+j]
		}
	}
	return name
}

// walk calls f, in the order of names, with those names of documents below a
// folder that begin with prefix and are not before from, until f returns false.
// It asks for no folder that cannot have one.
func (d documents) walk(ctx context.Context, folder, prefix, from string, f func(name string) (bool, error)) error {
	at := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		at = prefix[:i]
	}
	_, err := d.walkIn(ctx, folder, at, prefix, from, f)
	return err
}

func (d documents) walkIn(ctx context.Context, folder, at, prefix, from string, f func(name string) (bool, error)) (bool, error) {
	under := folder
	if at != "" {
		var err error
		switch under, err = inFolder(folder, at); {
		case errors.Is(err, errLongName): // nothing can be there
			return true, nil
		case err != nil:
			return false, err
		}
		at += "/"
	}
	entries, err := d.list(ctx, under)
	if err != nil {
		return false, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		s, isFolder := strings.CutSuffix(e, "/")
		name, ok := segmentOf(s)
		if !ok {
			return false, fmt.Errorf("hashivault: list %s: %s: %w", d.what, e, ErrDamaged)
		}
		if isFolder {
			name += "/"
		}
		names = append(names, at+name)
	}
	slices.Sort(names) // with the slash behind a folder this is the order of what is in it, too
	for _, n := range names {
		sub, isFolder := strings.CutSuffix(n, "/")
		switch {
		case isFolder && (strings.HasPrefix(n, prefix) || strings.HasPrefix(prefix, n)) && (n >= from || strings.HasPrefix(from, n)):
			if on, err := d.walkIn(ctx, folder, sub, prefix, from, f); err != nil || !on {
				return on, err
			}
		case !isFolder && strings.HasPrefix(n, prefix) && n >= from:
			if on, err := f(n); err != nil || !on {
				return on, err
			}
		}
	}
	return true, nil
}
