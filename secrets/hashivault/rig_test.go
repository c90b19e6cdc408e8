package hashivault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

// common is the Vault of all tests that do it no harm.
var common struct {
	once sync.Once
	s    *vaulttest.Server
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if common.s != nil {
		_ = common.s.Close()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func server(t testing.TB) *vaulttest.Server {
	t.Helper()
	common.once.Do(func() { common.s, common.err = vaulttest.Open(context.Background(), nil) })
	if errors.Is(common.err, vaulttest.ErrAbsent) {
		t.Skip("LEFT OUT: " + common.err.Error())
	}
	require.NoError(t, common.err)
	return common.s
}

// rig is a Vault set up for one test: mounts and a key of its own, and an
// AppRole with exactly the policy that Policy prints.
type rig struct {
	*vaulttest.Server
	cfg             hashivault.Config
	approle, roleID string
	policy          string
}

func newRig(t testing.TB, s *vaulttest.Server, more func(*hashivault.Config), duties ...hashivault.Duty) *rig {
	t.Helper()
	r := &rig{Server: s, approle: s.Auth(t, "approle")}
	r.cfg = hashivault.Config{Address: s.URL(), CA: s.CA(), Transit: s.Mount(t, "transit"), KV: s.Mount(t, "kv"), Auth: hashivault.Token(hashivault.Bytes([]byte("x")))}
	if more != nil {
		more(&r.cfg)
	}
	hcl, err := hashivault.Policy(r.cfg, duties...)
	require.NoError(t, err)
	r.policy = s.Policy(t, hcl)
	r.newKey(t)
	r.role(t, nil)
	return r
}

func (r *rig) newKey(t testing.TB) {
	t.Helper()
	r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper", map[string]any{"derived": true, "type": "aes256-gcm96"})
}

// role makes the AppRole anew and the Config log in with it.
func (r *rig) role(t testing.TB, extra map[string]any) {
	t.Helper()
	body := map[string]any{"token_policies": []string{r.policy}, "token_no_default_policy": true, "token_ttl": "1h"}
	for k, v := range extra {
		body[k] = v
	}
	path := "auth/" + r.approle + "/role/app"
	r.Do(t, http.MethodPost, path, body)
	r.roleID = r.Do(t, http.MethodGet, path+"/role-id", nil)["role_id"].(string)
	r.cfg.Auth = hashivault.AppRole(r.approle, r.roleID, hashivault.Bytes([]byte(r.secretID(t))))
}

func (r *rig) secretID(t testing.TB) string {
	t.Helper()
	return r.Do(t, http.MethodPost, "auth/"+r.approle+"/role/app/secret-id", nil)["secret_id"].(string)
}

func (r *rig) open(t testing.TB) *hashivault.Client {
	t.Helper()
	c, err := hashivault.New(r.cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// stateOf requires the error to be one of Vault's and returns its state.
func stateOf(t testing.TB, err error) secrets.State {
	t.Helper()
	var e *hashivault.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, secrets.ErrKeeper)
	return e.State
}

// eventually waits for something that must come by itself.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// count stands before a server and counts the calls.
func (r *rig) through(t testing.TB) *vaulttest.Proxy {
	t.Helper()
	p := r.Proxy(t)
	r.cfg.Address = p.URL()
	return p
}
