package hashivault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Transit is a secrets.Keeper whose root key is a derived key of Vault's Transit
// engine and never leaves Vault. Make one with Client.Transit.
type Transit struct{ c *Client }

var (
	_ secrets.Keeper       = (*Transit)(nil)
	_ secrets.BatchKeeper  = (*Transit)(nil)
	_ secrets.BatchWrapper = (*Transit)(nil)
	_ secrets.Rewrapper    = (*Transit)(nil)
	_ secrets.Rotator      = (*Transit)(nil)
	_ secrets.Prober       = (*Transit)(nil)
)

// Transit is the Keeper over the Config's Transit key.
func (c *Client) Transit() *Transit { return &Transit{c} }

// A wrapped key as Transit gives it to us: our format byte, the version of the
// Transit key, and the rest of Vault's ciphertext. FORMAT.md has every byte.
const (
	wrapFormat = 1
	keySize    = 32
	checkSize  = 16
	wrapSize   = 1 + 4 + 12 + keySize + checkSize + 16
	checkLabel = "lockkeeper transit wrap v1"

	chunk = 400 // items of one call
)

// check binds a key to what it belongs to, so that the key of another, however
// it came into the answer, is not taken for it.
func check(key, aad []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(checkLabel))
	h.Write(aad)
	return h.Sum(nil)[:checkSize]
}

// binding is the context of Transit's key derivation for a wrap.
func binding(aad []byte) string {
	sum := sha256.Sum256(aad)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// pack turns Vault's text into a wrap.
func pack(text string) ([]byte, error) {
	var version uint64
	f := strings.Split(text, ":")
	ok := len(f) == 3 && f[0] == "vault" && strings.HasPrefix(f[1], "v")
	if ok {
		var err error
		version, err = strconv.ParseUint(f[1][1:], 10, 32)
		ok = err == nil
	}
	if !ok {
		return nil, errAnswer
	}
	b, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil || len(b) != wrapSize-5 || version == 0 {
		return nil, errAnswer
	}
	return append(binary.BigEndian.AppendUint32([]byte{wrapFormat}, uint32(version)), b...), nil
}

// unpack is the inverse of pack. Each wrap has one text, and each text one wrap.
func unpack(wrap []byte) (text string, version uint32, err error) {
	if len(wrap) != wrapSize || wrap[0] != wrapFormat {
		return "", 0, secrets.ErrTampered
	}
	if version = binary.BigEndian.Uint32(wrap[1:]); version == 0 || version > 1<<31-1 {
		return "", 0, secrets.ErrTampered
	}
	return fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(wrap[5:])), version, nil
}

var errAnswer = errors.New("not what was asked for")

// item is one of a batch, in Vault's words; results have the same shape.
type item struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Context    string `json:"context,omitempty"`
	Reference  string `json:"reference,omitempty"`
	Error      string `json:"error,omitempty"`
}

type batch struct {
	Items   []item `json:"batch_input"`
	Partial int    `json:"partial_failure_response_code,omitempty"`
}

// call sends a batch of at most chunk items and returns the result of each in
// its place. An item's Error is one that Vault has found in the item itself.
func (t *Transit) call(ctx context.Context, verb string, in []item) ([]item, error) {
	for i := range in {
		in[i].Reference = strconv.Itoa(i)
	}
	a, err := t.c.do(ctx, query{op: verb, method: http.MethodPut, path: t.c.cfg.Transit + "/" + verb + "/" + t.c.cfg.Key, body: batch{in, http.StatusOK}, again: true})
	if err != nil {
		return nil, err
	}
	defer clear(a.body)
	if a.says("encryption key not found") {
		return nil, t.c.noKey(verb)
	}
	var out struct {
		Results []item `json:"batch_results"`
	}
	if err := a.into(verb, &out); err != nil {
		return nil, err
	}
	if len(out.Results) != len(in) { // also: the request as a whole was refused
		return nil, &Error{Op: verb, State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
	}
	for i, r := range out.Results {
		if r.Reference != in[i].Reference {
			return nil, &Error{Op: verb, State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
		}
	}
	return out.Results, nil
}

// Wrap implements secrets.Keeper.
func (t *Transit) Wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	out, err := t.WrapAll(ctx, []secrets.OpenKey{{Key: key, AAD: aad}})
	if err != nil {
		return nil, err
	}
	return out[0].Key, out[0].Err
}

// WrapAll implements secrets.BatchWrapper, with two calls for each 400 keys: it
// opens each wrap again before it returns it. And it makes sure that Vault has not
// made a new key in the place of a deleted one.
func (t *Transit) WrapAll(ctx context.Context, keys []secrets.OpenKey) ([]secrets.KeyResult, error) {
	for _, k := range keys {
		if len(k.Key) != keySize {
			return nil, fmt.Errorf("hashivault: encrypt: key: want %d bytes", keySize)
		}
	}
	if err := t.c.verify(ctx); err != nil {
		return nil, err
	}
	return chunks(keys, chunk, func(part []secrets.OpenKey) ([]secrets.KeyResult, error) { return t.wrap(ctx, part) })
}

// wrap wraps one chunk.
func (t *Transit) wrap(ctx context.Context, part []secrets.OpenKey) ([]secrets.KeyResult, error) {
	in := make([]item, len(part))
	for i, k := range part {
		plain := append(bytes.Clone(k.Key), check(k.Key, k.AAD)...)
		in[i] = item{Plaintext: base64.StdEncoding.EncodeToString(plain), Context: binding(k.AAD)}
		clear(plain)
	}
	out, err := t.call(ctx, "encrypt", in)
	if err != nil {
		return nil, err
	}
	wraps := make([]secrets.KeyItem, len(out))
	newest := uint32(0)
	for i, r := range out {
		w, err := pack(r.Ciphertext)
		if err != nil || r.Error != "" {
			return nil, &Error{Op: "encrypt", State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
		}
		wraps[i], newest = secrets.KeyItem{Wrapped: w, AAD: part[i].AAD}, max(newest, binary.BigEndian.Uint32(w[1:]))
	}
	// encrypt on a deleted key makes a new one, if the policy lets it: look
	// whether the key is the one that it was.
	k, err := t.c.look(ctx)
	if err != nil {
		return nil, err
	}
	if newest > k.Latest {
		return nil, &Error{Op: "encrypt", State: secrets.Misused, Reason: "it encrypted under a version of the key that it does not have", cause: ErrWrongVault}
	}
	again, err := t.open(ctx, wraps)
	if err != nil {
		return nil, err
	}
	results := make([]secrets.KeyResult, len(part))
	same := true
	for i, r := range again {
		same = same && r.Err == nil && hmac.Equal(r.Key, part[i].Key)
		clear(r.Key)
		results[i].Key = wraps[i].Wrapped
	}
	if !same {
		return nil, &Error{Op: "encrypt", State: secrets.Misused, Reason: "what it encrypted does not open: nothing was kept"}
	}
	return results, nil
}

// Unwrap implements secrets.Keeper.
func (t *Transit) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	if _, _, err := unpack(wrapped); err != nil {
		return nil, err
	}
	out, err := t.UnwrapAll(ctx, []secrets.KeyItem{{Wrapped: wrapped, AAD: aad}})
	if err != nil {
		return nil, err
	}
	return out[0].Key, out[0].Err
}

// UnwrapAll implements secrets.BatchKeeper, with a call for each 400 keys.
func (t *Transit) UnwrapAll(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	if err := t.c.verify(ctx); err != nil {
		return nil, err
	}
	return t.open(ctx, items)
}

// open unwraps chunk by chunk.
func (t *Transit) open(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	return chunks(items, chunk, func(part []secrets.KeyItem) ([]secrets.KeyResult, error) {
		out := make([]secrets.KeyResult, len(part))
		texts, at := texts(part, out)
		if len(texts) == 0 {
			return out, nil
		}
		got, err := t.call(ctx, "decrypt", texts)
		if err != nil {
			return nil, err
		}
		for i, r := range got {
			out[at[i]] = opened(r, part[at[i]].AAD)
			got[i].Plaintext = ""
		}
		return out, nil
	})
}

// texts turns wraps into Vault's items. What is no wrap gets its error at once;
// at says where the others belong.
func texts(part []secrets.KeyItem, out []secrets.KeyResult) (in []item, at []int) {
	for i, k := range part {
		text, _, err := unpack(k.Wrapped)
		if err != nil {
			out[i].Err = err
			continue
		}
		in, at = append(in, item{Ciphertext: text, Context: binding(k.AAD)}), append(at, i)
	}
	return in, at
}

// opened checks one plaintext.
func opened(r item, aad []byte) secrets.KeyResult {
	if r.Error != "" {
		return secrets.KeyResult{Err: ofItem("decrypt", r)}
	}
	b, err := base64.StdEncoding.DecodeString(r.Plaintext)
	defer clear(b)
	if err != nil || len(b) != keySize+checkSize || !hmac.Equal(b[keySize:], check(b[:keySize], aad)) {
		return secrets.KeyResult{Err: secrets.ErrTampered}
	}
	return secrets.KeyResult{Key: bytes.Clone(b[:keySize])}
}

// ofItem says what an item's error means: what does not open, or a failure
// inside Vault that says nothing about the item.
func ofItem(op string, r item) error {
	for _, phrase := range []string{"invalid ciphertext", "authentication failed", "too old", "too new"} {
		if strings.Contains(r.Error, phrase) {
			return secrets.ErrTampered
		}
	}
	return &Error{Op: op, State: secrets.Unreachable, Reason: whyInside}
}

// Rewrap implements secrets.Rewrapper. Vault does it without showing the keys;
// then each new wrap is opened beside its old one, because a wrap that does not
// open would be stored in place of one that does.
func (t *Transit) Rewrap(ctx context.Context, items []secrets.KeyItem) ([]secrets.KeyResult, error) {
	if err := t.c.verify(ctx); err != nil {
		return nil, err
	}
	return chunks(items, chunk/2, func(part []secrets.KeyItem) ([]secrets.KeyResult, error) {
		out := make([]secrets.KeyResult, len(part))
		texts, at := texts(part, out)
		if len(texts) == 0 {
			return out, nil
		}
		got, err := t.call(ctx, "rewrap", texts)
		if err != nil {
			return nil, err
		}
		var both []secrets.KeyItem // old and new in turn
		var where []int
		for i, r := range got {
			p := &out[at[i]]
			if r.Error != "" {
				p.Err = ofItem("rewrap", r)
			} else if p.Key, err = pack(r.Ciphertext); err != nil {
				p.Key, p.Err = nil, &Error{Op: "rewrap", State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
			} else {
				aad := part[at[i]].AAD
				both, where = append(both, secrets.KeyItem{Wrapped: part[at[i]].Wrapped, AAD: aad}, secrets.KeyItem{Wrapped: p.Key, AAD: aad}), append(where, at[i])
			}
		}
		plain, err := t.open(ctx, both)
		if err != nil {
			return nil, err
		}
		for i, w := range where {
			was, now := plain[2*i], plain[2*i+1]
			switch {
			case was.Err != nil:
				out[w] = secrets.KeyResult{Err: was.Err}
			case now.Err != nil || !hmac.Equal(was.Key, now.Key):
				out[w] = secrets.KeyResult{Err: &Error{Op: "rewrap", State: secrets.Misused, Reason: "what it encrypted does not open: nothing was kept"}}
			}
			clear(was.Key)
			clear(now.Key)
		}
		return out, nil
	})
}

// chunks applies f to parts of at most n items.
func chunks[T any](items []T, n int, f func([]T) ([]secrets.KeyResult, error)) ([]secrets.KeyResult, error) {
	out := make([]secrets.KeyResult, 0, len(items))
	for from := 0; from < len(items); from += n {
		part, err := f(items[from:min(from+n, len(items))])
		if err != nil {
			for _, r := range out {
				clear(r.Key)
			}
			return nil, err
		}
		out = append(out, part...)
	}
	return out, nil
}

// Rotate implements secrets.Rotator. Its policy is a part of its own, see Rotating.
func (t *Transit) Rotate(ctx context.Context) (uint32, error) {
	if err := t.c.verify(ctx); err != nil {
		return 0, err
	}
	a, err := t.c.do(ctx, query{op: "rotate", method: http.MethodPut, path: t.c.cfg.Transit + "/keys/" + t.c.cfg.Key + "/rotate"})
	if err != nil {
		return 0, err
	}
	if a.status >= 300 {
		return 0, t.c.noKey("rotate")
	}
	k, err := t.c.look(ctx)
	return k.Latest, err
}

// Retire implements secrets.Rotator: it raises min_decryption_version, and then
// trims, because what is only raised can be lowered again. The newest version
// cannot be retired.
func (t *Transit) Retire(ctx context.Context, before uint32) error {
	k, err := t.c.look(ctx)
	if err != nil {
		return err
	}
	if before > k.Latest {
		return fmt.Errorf("hashivault: retire: before: want at most %d, the newest version", k.Latest)
	}
	if before <= max(1, k.MinAvailable) {
		return nil
	}
	path := t.c.cfg.Transit + "/keys/" + t.c.cfg.Key
	if k.MinDecrypt < before || k.MinEncrypt < before {
		a, err := t.c.do(ctx, query{op: "retire", method: http.MethodPut, path: path + "/config", again: true,
			body: map[string]uint32{"min_decryption_version": max(before, k.MinDecrypt), "min_encryption_version": max(before, k.MinEncrypt)}})
		if err == nil && a.status >= 300 {
			err = &Error{Op: "retire", State: secrets.Misused, Reason: "it did not raise the least version"}
		}
		if err != nil {
			return err
		}
	}
	a, err := t.c.do(ctx, query{op: "retire", method: http.MethodPut, path: path + "/trim", again: true, body: map[string]uint32{"min_available_version": before}})
	if err != nil {
		return err
	}
	if a.status >= 300 {
		return &Error{Op: "retire", State: secrets.Misused, Reason: "it did not trim the older versions"}
	}
	return nil
}

func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
