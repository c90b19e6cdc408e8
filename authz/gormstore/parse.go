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
	last  authz.Principal // whose assignment was read
	texts strings.Builder
	key   map[string][]byte // of the last row that next read, by column
}

func newParser() *parser { return &parser{key: map[string][]byte{}} }

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
type fields [7][]byte

// next reads the first row of a packed text and returns what follows it.
func (p *parser) next(text []byte) (x authz.Authorization, rest []byte, err error) {
	var f fields
	text, ok := split(f[:], text)
	if !ok {
		return x, nil, errRow
	}
	size, err := strconv.ParseUint(string(f[6]), 10, 31)
	if err != nil || uint64(len(text)) < size {
		return x, nil, f.fail(errRow)
	}
	f[6] = text[:size]
	switch text = text[size:]; {
	case len(text) > 1 && text[0] == 30:
		rest = text[1:]
	case len(text) > 0:
		return x, nil, f.fail(errRow)
	}
	p.key["id"], p.key["principal"] = f[0], f[1]
	return x, rest, p.row(&f, &x)
}

// split cuts what ends with a separator off a text, as many as there is room for,
// and returns what follows.
func split(into [][]byte, text []byte) (rest []byte, ok bool) {
	for i := range into {
		if into[i], text, ok = bytes.Cut(text, []byte{31}); !ok {
			return nil, false
		}
	}
	return text, true
}

func (f *fields) fail(err error) error { return fmt.Errorf("authorization %.40q: %w", f[0], err) }

// row reads an assignment.
func (p *parser) row(f *fields, x *authz.Authorization) (err error) {
	if x.ID, err = id(f[0]); err != nil {
		return f.fail(err)
	}
	if x.Principal, err = p.holder(f[1]); err != nil {
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
	if x.GrantedBy, err = p.perhaps(f[5]); err != nil {
		return f.fail(err)
	}
	if len(f[6]) > 0 {
		if err := p.terms(f[6], x); err != nil {
			return f.fail(err)
		}
	}
	return nil
}

// terms reads what function terms writes.
func (p *parser) terms(text []byte, x *authz.Authorization) (err error) {
	var f [5][]byte
	text, ok := split(f[:], text)
	if !ok {
		return fmt.Errorf("terms: %w", errRow)
	}
	if x.From, err = unstamp(f[0]); err != nil {
		return fmt.Errorf("starts: %w", err)
	}
	if x.Until, err = unstamp(f[1]); err != nil {
		return fmt.Errorf("ends: %w", err)
	}
	switch string(f[2]) {
	case "0":
	case "1":
		x.Pending = true
	default:
		return errors.New("pending: want 0 or 1")
	}
	if x.ApprovedBy, err = p.perhaps(f[3]); err != nil {
		return fmt.Errorf("approved by: %w", err)
	}
	size, err := strconv.ParseUint(string(f[4]), 10, 31)
	if err != nil || uint64(len(text)) < size {
		return fmt.Errorf("reason: %w", errRow)
	}
	x.Reason, x.Condition = p.text(text[:size]), p.text(text[size:])
	return nil
}

// holder reads the principal of an assignment. Those of one may come together.
func (p *parser) holder(b []byte) (authz.Principal, error) {
	if len(b) > 0 && string(b) == p.last.String() {
		return p.last, nil
	}
	who, err := authz.ParsePrincipal(p.text(b))
	if err == nil {
		p.last = who
	}
	return who, err
}

// id reads the form in which an id is written here, and none of the others that
// an id may have.
func id(b []byte) (x uuid.UUID, err error) {
	if len(b) != 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return x, errRow
	}
	bad := byte(0)
	pair := func(to, at int) {
		hi, lo := hexDigits[b[at]], hexDigits[b[at+1]]
		x[to], bad = hi<<4|lo&15, bad|hi|lo
	}
	pair(0, 0)
	pair(1, 2)
	pair(2, 4)
	pair(3, 6)
	pair(4, 9)
	pair(5, 11)
	pair(6, 14)
	pair(7, 16)
	pair(8, 19)
	pair(9, 21)
	for i := range 6 {
		pair(10+i, 24+2*i)
	}
	if bad > 15 {
		return uuid.UUID{}, errRow
	}
	return x, nil
}

// hexDigits says what each byte stands for, more than 15 if it is no digit.
const hexDigits = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
	"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

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
