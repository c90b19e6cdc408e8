package local_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

type ctx = context.Context

func key(version uint32) secrets.WrappedKey {
	return secrets.WrappedKey{ID: [16]byte(bytes.Repeat([]byte{byte(version)}, 16)), Version: version, Wrapped: bytes.Repeat([]byte{byte(version)}, 60)}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func is(err error, any ...error) bool {
	for _, e := range any {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
