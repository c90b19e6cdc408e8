package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// The envelope, version 1. FORMAT.md explains it byte by byte.
const (
	envelopeVersion = 1
	envelopeSuite   = 1 // HKDF-SHA256, AES-256-GCM, AES-256-GCM

	offKeyID      = 2
	offKeyVersion = offKeyID + 16
	offSalt       = offKeyVersion + 4
	offCommitment = offSalt + 32
	offWrapped    = offCommitment + 32
	offBody       = offWrapped + 12 + 32 + 16
	overhead      = offBody + 12 + 16

	envelopeLabel = "lockkeeper envelope v1"
)

// place is what an envelope is bound to: it opens nowhere else. Only what never
// changes for one sealed value is part of it.
type place struct {
	deployment, table, tenant, id string
	version                       uint64
	kind                          string
	created, expires              int64 // seconds since 1970, 0: none
}

// append encodes every field with its length, so that no two places share an
// encoding.
func (p *place) append(b []byte) []byte {
	b = appendText(b, p.deployment)
	b = appendText(b, p.table)
	b = appendText(b, p.tenant)
	b = appendText(b, p.id)
	b = appendNumber(b, p.version)
	b = appendText(b, p.kind)
	b = appendNumber(b, uint64(p.created))
	return appendNumber(b, uint64(p.expires))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendNumber(b []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), n)
}

// scratch is the memory of one seal or open. It is used again, since what goes
// to a cipher through an interface would otherwise be allocated each time.
type scratch struct {
	fresh [64]byte // salt and data key
	okm   [64]byte // wrapping key and commitment
	info  []byte
	about []byte // header and context: what is authenticated
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

func (s *scratch) release() {
	clear(s.fresh[:])
	clear(s.okm[:])
	if cap(s.about) <= 64<<10 {
		scratches.Put(s)
	}
}

// seal appends an envelope to dst. The plaintext is left to the caller to clear.
func seal(dst []byte, k *tenantKey, at place, plaintext []byte) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	if _, err := rand.Read(s.fresh[:]); err != nil { // both in one read
		return nil, fmt.Errorf("secrets: seal: %w", err)
	}
	dst = slices.Grow(dst, overhead+len(plaintext))
	out, err := s.wrap(dst, k, &at, s.fresh[32:])
	if err != nil {
		return nil, err
	}
	body, err := gcm(s.fresh[32:])
	if err != nil {
		return nil, err
	}
	return body.Seal(out, nil, plaintext, s.forBody()), nil
}

// wrap appends the first part of an envelope, up to the wrapped data key. The
// salt is in s.fresh.
func (s *scratch) wrap(dst []byte, k *tenantKey, at *place, dek []byte) ([]byte, error) {
	b := append(s.about[:0], envelopeVersion, envelopeSuite)
	b = append(b, k.id[:]...)
	b = binary.BigEndian.AppendUint32(b, k.version)
	b = append(b, s.fresh[:32]...)
	b = append(b, s.okm[32:]...) // room for the commitment
	s.about = at.append(b)
	s.derive(k)
	copy(s.about[offCommitment:], s.okm[32:])
	kw, err := gcm(s.okm[:32])
	if err != nil {
		return nil, err
	}
	return kw.Seal(append(dst, s.about[:offWrapped]...), nil, dek, s.about), nil
}

// forBody returns what the body authenticates: version, suite and context. It
// takes the place of the end of the header.
func (s *scratch) forBody() []byte {
	s.about[offWrapped-2], s.about[offWrapped-1] = envelopeVersion, envelopeSuite
	return s.about[offWrapped-2:]
}

// derive fills okm from the header and the context in about. One hash of both
// keeps what HMAC is over within one block.
func (s *scratch) derive(k *tenantKey) {
	s.info = append(append(s.info[:0], s.about[offKeyID:offCommitment]...), s.about[offWrapped:]...)
	sum := sha256.Sum256(s.info)
	s.info = append(append(s.info[:0], envelopeLabel...), sum[:]...)
	k.expand(s.okm[:], s.info)
}

// dataKey returns the data key of a wrap, in s.fresh, and leaves s ready to open
// the body.
func (s *scratch) dataKey(k *tenantKey, at *place, wrap []byte) ([]byte, error) {
	id, version, err := keyOf(wrap)
	if err != nil {
		return nil, err
	}
	if id != k.id || version != k.version || len(wrap) != offBody {
		return nil, ErrTampered
	}
	s.about = at.append(append(s.about[:0], wrap[:offWrapped]...))
	s.derive(k)
	if subtle.ConstantTimeCompare(s.okm[32:], wrap[offCommitment:offWrapped]) != 1 {
		return nil, ErrTampered
	}
	kw, err := gcm(s.okm[:32])
	if err != nil {
		return nil, err
	}
	dek, err := kw.Open(s.fresh[32:32], nil, wrap[offWrapped:], s.about)
	if err != nil {
		return nil, ErrTampered
	}
	return dek, nil
}

// open appends to dst what was sealed at the same place, given as the two parts
// of an envelope. Anything else is ErrTampered, without a hint what was wrong.
func open(dst []byte, k *tenantKey, at place, wrap, body []byte) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	dek, err := s.dataKey(k, &at, wrap)
	if err != nil {
		return nil, err
	}
	a, err := gcm(dek)
	if err != nil {
		return nil, err
	}
	out, err := a.Open(dst, nil, body, s.forBody())
	if err != nil {
		return nil, ErrTampered
	}
	return out, nil
}

// rewrap returns a wrap of the same data key under another tenant key.
func rewrap(from, to *tenantKey, at place, wrap []byte) ([]byte, error) {
	old, s := scratches.Get().(*scratch), scratches.Get().(*scratch)
	defer old.release()
	defer s.release()
	dek, err := old.dataKey(from, &at, wrap)
	if err != nil {
		return nil, err
	}
	if _, err := rand.Read(s.fresh[:32]); err != nil {
		return nil, fmt.Errorf("secrets: rewrap: %w", err)
	}
	return s.wrap(make([]byte, 0, offBody), to, &at, dek)
}

// split returns the two parts of an envelope.
func split(sealed []byte) (wrap, body []byte) {
	n := min(len(sealed), offBody)
	return sealed[:n:n], sealed[n:]
}

// keyOf reads which tenant key an envelope needs from its first part.
func keyOf(wrap []byte) (id [16]byte, version uint32, err error) {
	if len(wrap) == 0 {
		return id, 0, ErrTampered
	}
	if wrap[0] != envelopeVersion {
		return id, 0, fmt.Errorf("%w: version %d", ErrFormat, wrap[0])
	}
	if len(wrap) < offBody {
		return id, 0, ErrTampered
	}
	if wrap[1] != envelopeSuite {
		return id, 0, fmt.Errorf("%w: suite %d", ErrFormat, wrap[1])
	}
	copy(id[:], wrap[offKeyID:])
	return id, binary.BigEndian.Uint32(wrap[offKeyVersion:]), nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("secrets: cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(b)
}
