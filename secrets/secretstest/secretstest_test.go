package secretstest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFake(t *testing.T) {
	secretstest.RunKeeper(t, func(t *testing.T) secrets.Keeper { return secretstest.NewFake(t).Keeper })
	secretstest.RunKeeper(t, func(t *testing.T) secrets.Keeper { return secretstest.NewFake(t).Keeper.Bare() })
	secretstest.RunKeyStore(t, func(t *testing.T) secrets.KeyStore { return secretstest.NewFake(t).Keys })
}

// A Fake can be sealed, counts, and without NewFake refuses.
func TestFakeRefuses(t *testing.T) {
	f := secretstest.NewFake(t)
	f.Keeper.Seal(true)
	_, err := f.Keeper.Wrap(t.Context(), make([]byte, 32), nil)
	require.ErrorIs(t, err, secrets.ErrKeeper)
	h, err := f.Keeper.Probe(t.Context())
	require.NoError(t, err)
	require.Equal(t, secrets.Sealed, h.State)
	f.Keeper.Seal(false)
	_, err = f.Keeper.Wrap(t.Context(), make([]byte, 32), nil)
	require.NoError(t, err)
	require.Equal(t, 4, f.Keeper.Calls(), "the root, two wraps, a probe")
	var zero secretstest.FakeKeeper
	_, err = zero.Wrap(t.Context(), make([]byte, 32), nil)
	require.ErrorIs(t, err, secrets.ErrKeeper)
	_, err = zero.Rotate(t.Context())
	require.ErrorIs(t, err, secrets.ErrKeeper)
	require.ErrorIs(t, (&secretstest.FakeKeys{}).AddKey(t.Context(), "acme", secrets.WrappedKey{Version: 1}), secrets.ErrKeeper)
}

// A program that is no test gets no Fake, whatever it passes for a test.
func TestFakeOutsideOfTests(t *testing.T) {
	dir, err := os.MkdirTemp(".", "testdata-main-") // in the module, so that it builds
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import (
	"testing"

	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

type pretender struct{ testing.TB }

func (pretender) Helper() {}

func main() { secretstest.NewFake(pretender{}) }
`), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "run", "./"+dir).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "for tests only")
}
