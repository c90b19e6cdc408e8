package gormstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
)

var errRow = errors.New("a row cannot be read")

// parser reads assignments. What it returns shares its texts with what it read.
type parser struct {
	roles map[string]authz.Role // to parse one takes long, and there are few
}

func newParser() *parser { return &parser{roles: map[string]authz.Role{}} }

// fields are the columns of an assignment as texts.
type fields [12]string

// next reads the first row of a packed text and returns what follows it.
func (p *parser) next(text string) (x authz.Authorization, rest string, err error) {
	var f fields
	for i := range f {
		end := strings.IndexByte(text, 31)
		if end < 0 {
			return x, "", errRow
		}
		f[i], text = text[:end], text[end+1:]
	}
	reason, err1 := strconv.ParseUint(f[10], 10, 31)
	condition, err2 := strconv.ParseUint(f[11], 10, 31)
	size := reason + condition
	if err1 != nil || err2 != nil || uint64(len(text)) < size {
		return x, "", f.fail(errRow)
	}
	f[10], f[11] = text[:reason], text[reason:size]
	switch text = text[size:]; {
	case len(text) > 1 && text[0] == 30:
		rest = text[1:]
	case text != "":
		return x, "", f.fail(errRow)
	}
	return x, rest, p.row(&f, &x)
}

func (f *fields) fail(err error) error { return fmt.Errorf("authorization %.40q: %w", f[0], err) }

// row reads an assignment.
func (p *parser) row(f *fields, x *authz.Authorization) (err error) {
	x.Reason, x.Condition = f[10], f[11]
	if len(f[0]) != 36 {
		return f.fail(errRow)
	}
	if x.ID, err = uuid.Parse(f[0]); err != nil {
		return f.fail(err)
	}
	if x.Principal, err = authz.ParsePrincipal(f[1]); err != nil {
		return f.fail(err)
	}
	if x.Role, err = p.role(f[2]); err != nil {
		return f.fail(err)
	}
	if x.Resource, err = authz.ParseResource(f[3]); err != nil {
		return f.fail(err)
	}
	switch f[4] {
	case "1":
		x.Effect = authz.Allow
	case "2":
		x.Effect = authz.Deny
	default:
		return f.fail(errors.New("effect: want 1 or 2"))
	}
	if x.From, err = unstamp(f[5]); err != nil {
		return f.fail(err)
	}
	if x.Until, err = unstamp(f[6]); err != nil {
		return f.fail(err)
	}
	if x.GrantedBy, err = perhaps(f[7]); err != nil {
		return f.fail(err)
	}
	switch f[8] {
	case "0":
	case "1":
		x.Pending = true
	default:
		return f.fail(errors.New("pending: want 0 or 1"))
	}
	if x.ApprovedBy, err = perhaps(f[9]); err != nil {
		return f.fail(err)
	}
	return nil
}

func (p *parser) role(s string) (authz.Role, error) {
	r, known := p.roles[s]
	if known {
		return r, nil
	}
	r, err := authz.ParseRole(strings.Clone(s))
	if err == nil {
		p.roles[r.String()] = r
	}
	return r, err
}

// perhaps reads a principal that may be nobody.
func perhaps(s string) (authz.Principal, error) {
	if s == "" {
		return authz.Principal{}, nil
	}
	return authz.ParsePrincipal(s)
}

func unstamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}
