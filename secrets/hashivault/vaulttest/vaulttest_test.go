package vaulttest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The server is one: it keeps, seals, opens, dies and comes back.
func TestServer(t *testing.T) {
	s := vaulttest.Start(t, &vaulttest.Options{Files: true})
	kv := s.Mount(t, "kv")
	read := func() (int, string) {
		status, b, err := s.Call(t.Context(), s.Root(), http.MethodGet, kv+"/data/a", nil)
		require.NoError(t, err)
		return status, string(b)
	}
	s.Do(t, http.MethodPost, kv+"/data/a", map[string]any{"data": map[string]string{"b": "before"}})
	old := s.Snapshot(t)
	s.Do(t, http.MethodPost, kv+"/data/a", map[string]any{"data": map[string]string{"b": "after"}})
	s.Seal(t)
	status, _ := read()
	require.Equal(t, http.StatusServiceUnavailable, status)
	s.Unseal(t)
	_, body := read()
	require.Contains(t, body, "after")

	url := s.URL()
	s.Kill()
	_, _, err := s.Call(t.Context(), s.Root(), http.MethodGet, "sys/health", nil)
	require.Error(t, err)
	s.Restart(t)
	require.Equal(t, url, s.URL())
	status, _ = read()
	require.Equal(t, http.StatusServiceUnavailable, status, "it starts sealed")
	s.Unseal(t)
	_, body = read()
	require.Contains(t, body, "after")
	s.Restore(t, old)
	_, body = read()
	require.Contains(t, body, "before")
	status, _, err = s.Call(t.Context(), s.Token(t, s.Policy(t, "# nothing"), nil), http.MethodGet, kv+"/data/a", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, status)
	for _, kind := range []string{"approle", "jwt", "kubernetes"} {
		s.Auth(t, kind)
	}
	s.Mount(t, "transit")
	require.FileExists(t, s.Audit(t))
}
