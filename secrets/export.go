package secrets

import (
	"bufio"
	"context"
	"crypto/hpke"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// exportLabel begins an export and is bound in it.
const exportLabel = "lockkeeper export 1\n"

// maxExported is the longest record of an export: a value of the longest kind and
// what is said of it.
const maxExported = 2 * MaxValue

// exported is a record of an export, sealed. The value follows it.
type exported struct {
	Ref     string    `json:"ref,omitempty"`
	Scheme  Scheme    `json:"scheme,omitzero"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Due     time.Time `json:"due,omitzero"`
	Count   int       `json:"count,omitempty"` // of all before it, in the last
	Last    bool      `json:"last,omitempty"`
}

// NewRecoveryKey makes a recipient of exports: ML-KEM-768 with X25519, so that
// what is stored for years is safe from computers to come. Keep Bytes of the
// private key away from all machines that run; the public key goes to Export.
func NewRecoveryKey() (hpke.PrivateKey, error) { return hpke.MLKEM768X25519().GenerateKey() }

// Exported is what an export has.
type Exported struct {
	Secrets int
	Failed  []Failure // secrets that did not open and are not in it
}

// Export writes the current version of every secret below an owner, sealed to a
// recovery recipient by HPKE (RFC 9180), for the day when the key store is lost.
// Only the holder of the private key can read it; ImportExport does. It needs a
// Grant of secrets.export that covers the owner and, with Options.ExportByTwo, a
// second one of another principal. Revoked and expired secrets are left out, and
// the tokens of OAuth consents: people consent again.
func (s *Safe) Export(ctx context.Context, g, second authz.Grant, owner authz.Resource, to hpke.PublicKey, w io.Writer) (Exported, error) {
	if err := s.must(ctx, g, "secrets.export", owner, "export"); err != nil {
		return Exported{}, err
	}
	fail := func(err error) (Exported, error) {
		return Exported{}, fmt.Errorf("secrets: export %s: %w", owner, err)
	}
	if to == nil {
		return fail(errors.New("recipient: want the public key of NewRecoveryKey"))
	}
	if s.exportByTwo {
		if second.Principal() == g.Principal() {
			return fail(fmt.Errorf("two people are wanted: %w", authz.ErrDenied))
		}
		if err := s.must(ctx, second, "secrets.export", owner, "export-second"); err != nil {
			return fail(err)
		}
	}
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(exportLabel))
	if err != nil {
		return fail(err)
	}
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(exportLabel)
	head := binary.BigEndian.AppendUint16(nil, to.KEM().ID())
	_, _ = out.Write(binary.BigEndian.AppendUint16(head, uint16(len(enc))))
	_, _ = out.Write(enc)
	put := func(e exported, value []byte) error {
		meta, err := json.Marshal(e)
		if err != nil {
			return err
		}
		plain := packValue(meta, value)
		defer clear(plain)
		sealed, err := sender.Seal(nil, plain)
		if err != nil {
			return err
		}
		_, _ = out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))))
		_, err = out.Write(sealed)
		return err
	}
	var x Exported
	for e, err := range s.entries(ctx, g, "secrets.export", owner, "") {
		if err != nil {
			return fail(err)
		}
		if s.alive(e.Head) != nil {
			continue
		}
		err := s.exportOne(ctx, g, e, put)
		switch {
		case err == nil:
			x.Secrets++
		case errors.Is(err, ErrTampered), errors.Is(err, ErrFormat):
			x.Failed = append(x.Failed, Failure{e.Name, e.Current, err})
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrExpired): // went meanwhile
		default:
			return fail(err)
		}
	}
	if err := put(exported{Last: true, Count: x.Secrets}, nil); err != nil {
		return fail(err)
	}
	if err := out.Flush(); err != nil {
		return fail(err)
	}
	return x, nil
}

func (s *Safe) exportOne(ctx context.Context, g authz.Grant, e Entry, put func(exported, []byte) error) error {
	ref, err := ParseRef(e.Name)
	if err != nil {
		return ErrTampered
	}
	r, _, err := s.load(ctx, ref, 0)
	if err == nil {
		err = s.alive(r.Head)
	}
	if err == nil && !r.Version.of(r.Head) {
		err = ErrTampered
	}
	if err != nil {
		return err
	}
	if err := s.must(ctx, g, "secrets.export", ref.Resource(), "export"); err != nil {
		return err
	}
	scheme, plain, value, _, err := s.unseal(ctx, &r.Version)
	if err != nil {
		return err
	}
	defer clear(plain)
	return put(exported{Ref: ref.String(), Scheme: scheme, Created: r.Head.Changed, Expires: r.Head.Expires, Due: r.Head.Due}, value)
}

// ImportExport puts what Export wrote, with a Grant of secrets.write that covers
// it all. Secrets that are there already are left as they are and are failures
// of ErrConflict. An export that is not whole to its end is ErrTampered, after
// what came before was put: call it again with a whole one.
func (s *Safe) ImportExport(ctx context.Context, g authz.Grant, key hpke.PrivateKey, r io.Reader) (Imported, error) {
	fail := func(x Imported, err error) (Imported, error) { return x, fmt.Errorf("secrets: import export: %w", err) }
	in := bufio.NewReader(r)
	var x Imported
	head := make([]byte, len(exportLabel)+4)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(exportLabel)]) != exportLabel {
		return fail(x, ErrFormat)
	}
	if key == nil || binary.BigEndian.Uint16(head[len(exportLabel):]) != key.KEM().ID() {
		return fail(x, errors.New("key: want the private key that the export was sealed to"))
	}
	enc := make([]byte, binary.BigEndian.Uint16(head[len(exportLabel)+2:]))
	if _, err := io.ReadFull(in, enc); err != nil {
		return fail(x, ErrTampered)
	}
	from, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(exportLabel))
	if err != nil {
		return fail(x, ErrTampered)
	}
	for n := 0; ; n++ {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil || binary.BigEndian.Uint32(size[:]) > maxExported {
			return fail(x, ErrTampered)
		}
		sealed := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, sealed); err != nil {
			return fail(x, ErrTampered)
		}
		plain, err := from.Open(nil, sealed)
		if err != nil {
			return fail(x, ErrTampered)
		}
		last, err := s.importOne(ctx, g, plain, n, &x)
		clear(plain)
		if err != nil {
			return fail(x, err)
		}
		if last {
			return x, nil
		}
	}
}

// importOne puts the n-th record of an export, and reports whether it was the last.
func (s *Safe) importOne(ctx context.Context, g authz.Grant, plain []byte, n int, x *Imported) (bool, error) {
	meta, value, err := unpackValue(plain)
	if err != nil {
		return false, err
	}
	var e exported
	if err := json.Unmarshal(meta, &e); err != nil || e.Last && e.Count != n {
		return false, ErrTampered
	}
	if e.Last {
		return true, nil
	}
	ref, err := ParseRef(e.Ref)
	if err != nil {
		return false, ErrTampered
	}
	_, err = s.put(ctx, g, ref, "import", append([]byte(nil), value...), PutOptions{Scheme: e.Scheme, Expires: e.Expires, Due: e.Due}, absent)
	return false, x.count(ref, err)
}
