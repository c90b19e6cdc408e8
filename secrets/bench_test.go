package secrets_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// implementation seals and opens one value with what stays the same for many
// already made: the tenant's key here, the key encryption key there.
type implementation struct {
	name string
	make func(b *testing.B) (seal func(plain []byte) ([]byte, error), open func(sealed []byte) ([]byte, error))
}

// about is what every implementation binds a value to.
const about = "default secrets acme tenants/acme/secrets/crm 3 basic"

func implementations() []implementation {
	return []implementation{
		{"lockkeeper", func(b *testing.B) (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
			return secrets.BenchEnvelope()
		}},
		// One key for all values, made ready once: no envelope.
		{"raw", func(b *testing.B) (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
			block, err := aes.NewCipher(make([]byte, 32))
			require.NoError(b, err)
			a, err := cipher.NewGCMWithRandomNonce(block)
			require.NoError(b, err)
			return func(p []byte) ([]byte, error) { return a.Seal(nil, nil, p, []byte(about)), nil },
				func(s []byte) ([]byte, error) { return a.Open(nil, nil, s, []byte(about)) }
		}},
		// The data keys of Tink's own Go example of a KMS envelope (tink-go-gcpkms), and
		// those that are as long as ours and of the same cipher.
		{"tink", tink(aead.AES128CTRHMACSHA256KeyTemplate())},
		{"tink-aes256gcm", tink(aead.AES256GCMKeyTemplate())},
		{"transit", transit},
	}
}

// tink is Tink's KMS envelope with data keys of a kind, its KMS in this process.
func tink(dek *tinkpb.KeyTemplate) func(b *testing.B) (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
	return func(b *testing.B) (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		require.NoError(b, err)
		kms, err := aead.New(handle)
		require.NoError(b, err)
		e := aead.NewKMSEnvelopeAEAD2(dek, kms)
		return func(p []byte) ([]byte, error) { return e.Encrypt(p, []byte(about)) },
			func(s []byte) ([]byte, error) { return e.Decrypt(s, []byte(about)) }
	}
}

func sizes() []int { return []int{100, 1 << 10, 16 << 10, 1 << 20} }

// Ratios to look at: lockkeeper against tink, and at 1 MiB against raw.
func BenchmarkSeal(b *testing.B) {
	for _, n := range sizes() {
		for _, im := range implementations() {
			b.Run(fmt.Sprintf("size=%d/impl=%s", n, im.name), func(b *testing.B) {
				seal, _ := im.make(b)
				if im.name == "transit" {
					skipTooLarge(b, seal, n)
				}
				plain := make([]byte, n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := seal(plain); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range sizes() {
		for _, im := range implementations() {
			b.Run(fmt.Sprintf("size=%d/impl=%s", n, im.name), func(b *testing.B) {
				seal, open := im.make(b)
				if im.name == "transit" {
					skipTooLarge(b, seal, n)
				}
				sealed, err := seal(make([]byte, n))
				require.NoError(b, err)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := open(sealed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A new wrap of a record of 1 MiB, against opening and sealing it again.
func BenchmarkRewrap(b *testing.B) {
	rewrap, again := secrets.BenchRewrap(1 << 20)
	for name, f := range map[string]func() error{"rewrap": rewrap, "reencrypt": again} {
		b.Run(fmt.Sprintf("size=%d/impl=%s", 1<<20, name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
