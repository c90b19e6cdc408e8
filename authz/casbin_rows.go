package authz

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/casbin/v2/persist"
)

// foreignRows reads policy.csv. Casbin's own loader takes a missing file for an
// empty policy and leaves rows out without a word.
func foreignRows(fsys fs.FS, m model.Model) (*foreignLoader, error) {
	b, err := fs.ReadFile(fsys, foreignFile)
	if err != nil {
		return nil, fmt.Errorf("authz: policy: %w", err)
	}
	if len(b) > maxForeignFile {
		return nil, fmt.Errorf("authz: policy: %s: %d bytes, %d at most", foreignFile, len(b), maxForeignFile)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("authz: policy: %s: not valid UTF-8", foreignFile)
	}
	l := &foreignLoader{}
	seen := map[string]int{}
	sc := bufio.NewScanner(strings.NewReader(string(b)))
	sc.Buffer(nil, maxPolicyFile)
	n := 1
	for ; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		at := row{file: foreignFile, line: n}
		r := csv.NewReader(strings.NewReader(line))
		r.TrimLeadingSpace = true
		fields, err := r.Read()
		if err != nil {
			return nil, at.errorf("%v: a field with a quote or comma is written in quotes", err)
		}
		if fields[0] == "" {
			return nil, at.errorf("first field: empty, want the name of a definition")
		}
		def := m[fields[0][:1]][fields[0]]
		if def == nil || fields[0][0] != 'p' && fields[0][0] != 'g' {
			return nil, at.errorf("first field %.16q: model.conf does not define it", fields[0])
		}
		want := len(def.Tokens)
		if fields[0][0] == 'g' {
			want += len(def.ParamsTokens)
		}
		if len(fields)-1 != want {
			return nil, at.errorf("%d fields after %s, model.conf defines %d", len(fields)-1, fields[0], want)
		}
		for i, v := range fields {
			if strings.TrimSpace(v) != v {
				return nil, at.errorf("field %d: white space around it, which Casbin takes for part of the name", i+1)
			}
			if strings.ContainsFunc(v, func(c rune) bool { return checkSegment(string(c)) != nil && c != '.' }) {
				return nil, at.errorf("field %d: control or invisible character", i+1)
			}
		}
		if eft := slices.Index(def.Tokens, fields[0]+"_eft"); eft >= 0 && fields[0][0] == 'p' && !slices.Contains([]string{"allow", "deny", "indeterminate"}, fields[1+eft]) {
			return nil, at.errorf("effect %.16q: want allow, deny or indeterminate: Casbin ignores rows with any other", fields[1+eft])
		}
		// Casbin tells rows apart by their fields joined with commas.
		key := fields[0] + "," + strings.Join(fields[1:], ",")
		if old, dup := seen[key]; dup {
			return nil, at.errorf("Casbin takes it for line %d: remove one, or the comma within a field", old)
		}
		seen[key] = n
		l.rows = append(l.rows, fields)
	}
	if err := sc.Err(); err != nil {
		return nil, row{file: foreignFile, line: n}.errorf("%v: shorten the line", err)
	}
	if !slices.ContainsFunc(l.rows, func(r []string) bool { return r[0][0] == 'p' }) {
		return nil, fmt.Errorf("authz: policy: %s: no p row: Casbin would start with an empty policy", foreignFile)
	}
	return l, nil
}

// foreignLoader hands rows that were read and checked to Casbin.
type foreignLoader struct{ rows [][]string }

var _ persist.Adapter = (*foreignLoader)(nil)

// LoadPolicy adds all rows.
func (l *foreignLoader) LoadPolicy(m model.Model) error {
	for _, r := range l.rows {
		if err := m.AddPolicy(r[0][:1], r[0], r[1:]); err != nil {
			return err
		}
	}
	return nil
}

// SavePolicy and what follows: the files are the policy and nothing here
// writes them.
func (*foreignLoader) SavePolicy(model.Model) error                { return ErrUnsupported }
func (*foreignLoader) AddPolicy(string, string, []string) error    { return ErrUnsupported }
func (*foreignLoader) RemovePolicy(string, string, []string) error { return ErrUnsupported }
func (*foreignLoader) RemoveFilteredPolicy(string, string, int, ...string) error {
	return ErrUnsupported
}
