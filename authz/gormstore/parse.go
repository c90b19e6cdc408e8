package gormstore

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
)

var errRow = errors.New("a row cannot be read")

// parser reads assignments. Their texts it writes one after another into pieces
// of memory, so that there are few of those.
type parser struct {
	roles [16]authz.Role  // some met lately: to parse one takes long, and there are few
	giver authz.Principal // the last one: most are given by few
	texts strings.Builder
}

func newParser() *parser { return &parser{} }

// textPiece is in bytes. Whoever keeps one text keeps a piece.
const textPiece = 1 << 14

// text returns a text of its own.
func (p *parser) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if p.texts.Cap()-p.texts.Len() < len(b) {
		p.texts.Reset()
		p.texts.Grow(max(textPiece, len(b)))
	}
	at := p.texts.Len()
	p.texts.Write(b)
	return p.texts.String()[at:]
}

// fields are the columns of an assignment as texts.
type fields [12][]byte

// next reads the first row of a packed text and returns what follows it.
func (p *parser) next(text []byte) (x authz.Authorization, rest []byte, err error) {
	var f fields
	for i := range f {
		end := bytes.IndexByte(text, 31)
		if end < 0 {
			return x, nil, errRow
		}
		f[i], text = text[:end], text[end+1:]
	}
	reason, err1 := strconv.ParseUint(string(f[10]), 10, 31)
	condition, err2 := strconv.ParseUint(string(f[11]), 10, 31)
	size := reason + condition
	if err1 != nil || err2 != nil || uint64(len(text)) < size {
		return x, nil, f.fail(errRow)
	}
	f[10], f[11] = text[:reason], text[reason:size]
	switch text = text[size:]; {
	case len(text) > 1 && text[0] == 30:
		rest = text[1:]
	case len(text) > 0:
		return x, nil, f.fail(errRow)
	}
	return x, rest, p.row(&f, &x)
}

func (f *fields) fail(err error) error { return fmt.Errorf("authorization %.40q: %w", f[0], err) }

// row reads an assignment.
func (p *parser) row(f *fields, x *authz.Authorization) (err error) {
	x.Reason, x.Condition = p.text(f[10]), p.text(f[11])
	if x.ID, err = id(f[0]); err != nil {
		return f.fail(err)
	}
	if x.Principal, err = authz.ParsePrincipal(p.text(f[1])); err != nil {
		return f.fail(err)
	}
	if x.Role, err = p.role(f[2]); err != nil {
		return f.fail(err)
	}
	if x.Resource, err = authz.ParseResource(p.text(f[3])); err != nil {
		return f.fail(err)
	}
	switch string(f[4]) {
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
	if x.GrantedBy, err = p.perhaps(f[7]); err != nil {
		return f.fail(err)
	}
	switch string(f[8]) {
	case "0":
	case "1":
		x.Pending = true
	default:
		return f.fail(errors.New("pending: want 0 or 1"))
	}
	if x.ApprovedBy, err = p.perhaps(f[9]); err != nil {
		return f.fail(err)
	}
	return nil
}

// id reads the form in which an id is written here, and none of the others that
// an id may have.
func id(b []byte) (x uuid.UUID, err error) {
	if len(b) != 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return x, errRow
	}
	for i, at := range [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		hi, lo := hexDigit(b[at]), hexDigit(b[at+1])
		if hi|lo > 15 {
			return uuid.UUID{}, errRow
		}
		x[i] = hi<<4 | lo
	}
	return x, nil
}

// hexDigit returns what a digit stands for, more than 15 if it is none.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func (p *parser) role(b []byte) (authz.Role, error) {
	if len(b) == 0 {
		return authz.ParseRole("")
	}
	slot := &p.roles[(len(b)*7+int(b[len(b)-1]))%len(p.roles)]
	if slot.String() == string(b) {
		return *slot, nil
	}
	r, err := authz.ParseRole(string(b))
	if err == nil {
		*slot = r
	}
	return r, err
}

// perhaps reads a principal that may be nobody.
func (p *parser) perhaps(b []byte) (who authz.Principal, err error) {
	switch {
	case len(b) == 0:
		return who, nil
	case string(b) == p.giver.String():
		return p.giver, nil
	}
	if who, err = authz.ParsePrincipal(string(b)); err == nil {
		p.giver = who
	}
	return who, err
}

func unstamp(b []byte) (time.Time, error) {
	if len(b) == 0 {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	return t.UTC(), err
}
