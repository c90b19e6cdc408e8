package hashivault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// A wrap is what Vault said and nothing else: whatever bytes are in its place,
// they are refused, or are the one form of what they stand for.
func FuzzUnpack(f *testing.F) {
	good, err := pack("vault:v3:" + base64.StdEncoding.EncodeToString(make([]byte, wrapSize-5)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:wrapSize-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		text, version, err := unpack(b)
		if err != nil {
			if !errors.Is(err, secrets.ErrTampered) {
				t.Fatal(err)
			}
			return
		}
		again, err := pack(text)
		if err != nil || version == 0 || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x (%v)", b, again, err)
		}
	})
}

// Whatever Vault answers for a ciphertext is refused, or is a wrap that opens as
// the same version.
func FuzzPack(f *testing.F) {
	f.Add("vault:v1:" + base64.StdEncoding.EncodeToString(make([]byte, wrapSize-5)))
	f.Add("vault:v4294967295:" + base64.StdEncoding.EncodeToString(make([]byte, wrapSize-5)))
	f.Add("vault:v1:")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := pack(text)
		if err != nil {
			return
		}
		if len(w) != wrapSize {
			t.Fatalf("%d bytes", len(w))
		}
		if next, _, err := unpack(w); err == nil {
			if again, err := pack(next); err != nil || !bytes.Equal(again, w) {
				t.Fatalf("%q became %q", text, next)
			}
		}
	})
}

// A document of the key store is refused, or all of it can be read.
func FuzzKeysDocument(f *testing.F) {
	good, err := json.Marshal(keysDoc{Format: keysFormat, Tenants: map[string][]kvItem{"acme": {{ID: make([]byte, 16), Version: 2, Wrapped: []byte("w")}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":"lockkeeper keys 1","tenants":{"acme":[{"id":"AA==","version":1}]}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &keysDoc{}
		if json.Unmarshal(b, d) != nil || !d.intact() {
			return
		}
		for tenant, ks := range d.Tenants {
			if out := keysOf(ks); len(out) == 0 || out[0].Version == 0 {
				t.Fatalf("%q: %v", tenant, out)
			}
		}
		if d.size() <= 0 {
			t.Fatal("no size")
		}
	})
}

// What a name is in Vault's paths leads back to it, and no two are the same; what
// is no name of ours is not taken for one.
func FuzzSegmentName(f *testing.F) {
	for _, s := range []string{"", "acme", "_", "__5f", "a/b", "%2F", "é", ".."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if back, ok := segmentOf(segmentName(s)); !ok || back != s {
			t.Fatalf("%q became %q (%v)", s, back, ok)
		}
		if back, ok := segmentOf(s); ok && segmentName(back) != s {
			t.Fatalf("%q was taken for %q", s, back)
		}
	})
}
