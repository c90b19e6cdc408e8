package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
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
	expires                       int64 // seconds since 1970, 0: never
}

// bytes encodes every field with its length, so that no two places share an
// encoding.
func (p place) bytes() []byte {
	var b []byte
	field := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	field(p.deployment)
	field(p.table)
	field(p.tenant)
	field(p.id)
	field(string(binary.BigEndian.AppendUint64(nil, p.version)))
	field(p.kind)
	field(string(binary.BigEndian.AppendUint64(nil, uint64(p.expires))))
	return b
}

// tenantKey is a tenant's key in the clear, in memory only and inside a closure,
// where reflection does not reach.
type tenantKey struct {
	id      [16]byte
	version uint32
	key     func() *[32]byte
}

func newTenantKey(id [16]byte, version uint32, key [32]byte) *tenantKey {
	return &tenantKey{id, version, func() *[32]byte { return &key }}
}

// seal makes an envelope. The plaintext is left to the caller to clear.
func seal(k *tenantKey, at place, plaintext []byte) ([]byte, error) {
	ctx := at.bytes()
	out := make([]byte, offWrapped, overhead+len(plaintext))
	out[0], out[1] = envelopeVersion, envelopeSuite
	copy(out[offKeyID:], k.id[:])
	binary.BigEndian.PutUint32(out[offKeyVersion:], k.version)
	var fresh [64]byte // salt and data key in one read
	defer clear(fresh[:])
	if _, err := rand.Read(fresh[:]); err != nil {
		return nil, fmt.Errorf("secrets: seal: %w", err)
	}
	salt, dek := fresh[:32], fresh[32:]
	copy(out[offSalt:], salt)
	wrap, err := derive(k, out[:offCommitment], ctx)
	if err != nil {
		return nil, err
	}
	defer clear(wrap)
	copy(out[offCommitment:], wrap[32:])
	kw, err := gcm(wrap[:32])
	if err != nil {
		return nil, err
	}
	out = kw.Seal(out, nil, dek, append(append([]byte(nil), out[:offWrapped]...), ctx...))
	body, err := gcm(dek)
	if err != nil {
		return nil, err
	}
	return body.Seal(out, nil, plaintext, append([]byte{envelopeVersion, envelopeSuite}, ctx...)), nil
}

// open is the inverse of seal at the same place. Anything else is ErrTampered,
// without a hint what was wrong.
func open(k *tenantKey, at place, sealed []byte) ([]byte, error) {
	id, version, err := keyOf(sealed)
	if err != nil {
		return nil, err
	}
	if id != k.id || version != k.version {
		return nil, ErrTampered
	}
	ctx := at.bytes()
	wrap, err := derive(k, sealed[:offCommitment], ctx)
	if err != nil {
		return nil, err
	}
	defer clear(wrap)
	if subtle.ConstantTimeCompare(wrap[32:], sealed[offCommitment:offWrapped]) != 1 {
		return nil, ErrTampered
	}
	kw, err := gcm(wrap[:32])
	if err != nil {
		return nil, err
	}
	dek, err := kw.Open(nil, nil, sealed[offWrapped:offBody], append(append([]byte(nil), sealed[:offWrapped]...), ctx...))
	if err != nil {
		return nil, ErrTampered
	}
	defer clear(dek)
	body, err := gcm(dek)
	if err != nil {
		return nil, err
	}
	out, err := body.Open(nil, nil, sealed[offBody:], append([]byte{envelopeVersion, envelopeSuite}, ctx...))
	if err != nil {
		return nil, ErrTampered
	}
	return out, nil
}

// keyOf reads which tenant key an envelope needs.
func keyOf(sealed []byte) (id [16]byte, version uint32, err error) {
	if len(sealed) == 0 {
		return id, 0, ErrTampered
	}
	if sealed[0] != envelopeVersion {
		return id, 0, fmt.Errorf("%w: version %d", ErrFormat, sealed[0])
	}
	if len(sealed) < overhead {
		return id, 0, ErrTampered
	}
	if sealed[1] != envelopeSuite {
		return id, 0, fmt.Errorf("%w: suite %d", ErrFormat, sealed[1])
	}
	copy(id[:], sealed[offKeyID:])
	return id, binary.BigEndian.Uint32(sealed[offKeyVersion:]), nil
}

// derive returns the wrapping key and the commitment, 32 bytes each.
func derive(k *tenantKey, header, ctx []byte) ([]byte, error) {
	sum := sha256.Sum256(ctx)
	info := append([]byte(envelopeLabel), header[offKeyID:offSalt]...)
	info = append(info, sum[:]...)
	info = append(info, header[offSalt:offCommitment]...)
	out, err := hkdf.Expand(sha256.New, k.key()[:], string(info), 64)
	if err != nil {
		return nil, fmt.Errorf("secrets: derive: %w", err)
	}
	return out, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("secrets: cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(b)
}
