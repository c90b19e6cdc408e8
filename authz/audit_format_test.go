package authz

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// spelled is what a record's hash is of, written down a second time: each field
// behind its length in eight bytes.
func spelled(r AuditRecord) Hash {
	var b []byte
	field := func(s string) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	number := func(n uint64) { field(string(binary.BigEndian.AppendUint64(nil, n))) }
	allowed := uint64(0)
	if r.Allowed {
		allowed = 1
	}
	number(r.Sequence)
	number(uint64(r.Time.UnixMicro()))
	field(string(r.Decision[:]))
	field(string(r.Cause[:]))
	field(r.Principal.String())
	field(r.OnBehalfOf.String())
	field(r.Permission.String())
	field(r.Resource.String())
	field(r.Reason)
	number(allowed)
	number(r.Revision)
	field(string(r.Previous[:]))
	return sha256.Sum256(b)
}

// Chains that are kept already must verify for good: what is hashed, and in
// which form, does not change.
func TestWhatARecordHashesStaysTheSame(t *testing.T) {
	r := AuditRecord{Sequence: 7, Time: time.Unix(1_900_000_000, 5000), Decision: uuid.UUID{1}, Cause: uuid.UUID{2}, Principal: Principal{"user:idp/ana"}, OnBehalfOf: Principal{"service:sync"},
		Permission: Permission{"a.read"}, Resource: Resource{"t/a"}, Allowed: true, Reason: "since", Revision: 9, Previous: Hash{3}}
	for range 2 {
		require.Equal(t, spelled(r), r.sum())
		r.Allowed = !r.Allowed
	}
	require.Equal(t, spelled(AuditRecord{}), AuditRecord{}.sum())
	text, err := r.sum().MarshalText()
	require.NoError(t, err)
	require.Equal(t, "1f555b516b76693be23fa95e9633ff4d1662244dd4a030bdc82722d3ffcb6b0f", string(text))
}

// One text stands for a hash, and nothing of a bad one is taken for a hash.
func TestAHashHasOneLength(t *testing.T) {
	for _, n := range []int{0, 1, 62, 63, 65, 66, 128} {
		require.Error(t, new(Hash).UnmarshalText([]byte(strings.Repeat("a", n))), n)
	}
	for at := range 64 {
		b := []byte(strings.Repeat("a", 64))
		b[at] = 'g'
		require.Error(t, new(Hash).UnmarshalText(b), at)
	}
}
