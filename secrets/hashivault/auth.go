package hashivault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Auth is a way to log in. The zero Auth refuses. Nothing of it prints.
type Auth struct {
	// login gets a token. The client that it is given has none.
	login func(ctx context.Context, c *Client, a *api.Client) (*api.Secret, error)
	lent  bool // the token is not ours to revoke
	once  bool // the credential is good for one login

	kind, mount string // of the method, for Doctor
}

// Format prints no content, whatever the verb.
func (Auth) Format(f fmt.State, _ rune) { fmt.Fprint(f, "hashivault.Auth") }

// MarshalText returns secrets.ErrSecret.
func (Auth) MarshalText() ([]byte, error) { return nil, secrets.ErrSecret }

// Source gives a credential each time one logs in, so that one that was replaced
// is noticed. The caller may overwrite what it returns.
type Source func() ([]byte, error)

// Bytes is a Source that always gives the same. It keeps a copy.
func Bytes(b []byte) Source {
	b = bytes.Clone(b)
	return func() ([]byte, error) { return bytes.Clone(b), nil }
}

// File is a Source that reads a file of up to 64 KiB anew each time and drops
// white space around its content. systemd's LoadCredential, Kubernetes' service
// account tokens and Vault Agent leave such files.
func File(path string) Source {
	return func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, 64<<10+1))
		if err != nil {
			return nil, err
		}
		if b = bytes.TrimSpace(b); len(b) == 0 || len(b) > 64<<10 {
			return nil, errors.New("empty or too large")
		}
		return b, nil
	}
}

// Token logs in with a token that someone else made. It is renewed as long as
// Vault lets it be, and left as it is on Close.
func Token(token Source) Auth {
	return Auth{lent: true, kind: "token", mount: "token", login: func(ctx context.Context, c *Client, a *api.Client) (*api.Secret, error) {
		t, err := give(token)
		if err != nil {
			return nil, err
		}
		a.SetToken(t)
		ans, err := c.sendWith(ctx, a, query{op: "login", method: http.MethodGet, path: "auth/token/lookup-self"})
		var e *Error
		if errors.As(err, &e) && e.State == secrets.Denied {
			return nil, &Error{Op: "login", State: secrets.Denied, Reason: whyTokenOver}
		}
		if err != nil {
			return nil, err
		}
		var l struct {
			TTL       int
			Renewable bool
		}
		if err := ans.into("login", &l); err != nil {
			return nil, err
		}
		return &api.Secret{Auth: &api.SecretAuth{ClientToken: t, LeaseDuration: l.TTL, Renewable: l.Renewable}}, nil
	}}
}

// AppRole logs in with the AppRole method. The mount is "approle" if empty.
func AppRole(mount, roleID string, secretID Source) Auth {
	return approle(mount, roleID, func(context.Context, *Client, *api.Client) (string, error) { return give(secretID) })
}

// WrappedAppRole is AppRole with the secret id inside a response-wrapping token,
// which is opened at the first login. If somebody else opened it before, that
// fails: then somebody has the secret id, destroy it. role is the role's name;
// the token must have been made for it.
func WrappedAppRole(mount, role, roleID string, wrapping Source) Auth {
	if mount == "" {
		mount = "approle"
	}
	var (
		mu   sync.Mutex
		kept string
	)
	auth := approle(mount, roleID, func(ctx context.Context, c *Client, a *api.Client) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept != "" {
			return kept, nil
		}
		w, err := give(wrapping)
		if err != nil {
			return "", err
		}
		used := &Error{Op: "login", State: secrets.Denied, Reason: "the wrapping token is not valid, or was opened by someone else: destroy the secret id and make a new one"}
		ans, err := c.sendWith(ctx, a, query{op: "login", method: http.MethodPut, path: "sys/wrapping/lookup", body: map[string]string{"token": w}})
		if err != nil {
			return "", err
		}
		var from struct {
			Path string `json:"creation_path"`
		}
		if ans.status != http.StatusOK {
			return "", used
		}
		if err := ans.into("login", &from); err != nil {
			return "", err
		}
		if from.Path != "auth/"+mount+"/role/"+role+"/secret-id" {
			return "", &Error{Op: "login", State: secrets.Denied, Reason: "the wrapping token was not made for this role: somebody exchanged it"}
		}
		a.SetToken(w)
		ans, err = c.sendWith(ctx, a, query{op: "login", method: http.MethodPut, path: "sys/wrapping/unwrap"})
		a.ClearToken()
		if err != nil {
			return "", err
		}
		var in struct {
			ID string `json:"secret_id"`
		}
		if ans.status != http.StatusOK {
			return "", used
		}
		if err := ans.into("login", &in); err != nil {
			return "", err
		}
		kept = in.ID
		return kept, nil
	})
	auth.once = true
	return auth
}

func approle(mount, roleID string, secretID func(context.Context, *Client, *api.Client) (string, error)) Auth {
	if mount == "" {
		mount = "approle"
	}
	path := "auth/" + mount + "/login"
	return Auth{kind: "approle", mount: mount, login: func(ctx context.Context, c *Client, a *api.Client) (*api.Secret, error) {
		id, err := secretID(ctx, c, a)
		if err != nil {
			return nil, err
		}
		return logIn(ctx, c, a, path, map[string]string{"role_id": roleID, "secret_id": id})
	}}
}

// Kubernetes logs in with the token of a pod's service account; see the page
// "Kubernetes auth method" of Vault's documentation. The mount is "kubernetes" if
// empty, the token's file /var/run/secrets/kubernetes.io/serviceaccount/token if
// token is nil.
func Kubernetes(mount, role string, token Source) Auth {
	if mount == "" {
		mount = "kubernetes"
	}
	if token == nil {
		token = File("/var/run/secrets/kubernetes.io/serviceaccount/token")
	}
	auth := JWT(mount, role, token)
	auth.kind = "kubernetes"
	return auth
}

// JWT logs in with a signed token of an identity provider that Vault trusts; see
// the page "JWT/OIDC auth method" of Vault's documentation. The mount is "jwt" if
// empty.
func JWT(mount, role string, token Source) Auth {
	if mount == "" {
		mount = "jwt"
	}
	path := "auth/" + mount + "/login"
	return Auth{kind: "jwt", mount: mount, login: func(ctx context.Context, c *Client, a *api.Client) (*api.Secret, error) {
		t, err := give(token)
		if err != nil {
			return nil, err
		}
		return logIn(ctx, c, a, path, map[string]string{"role": role, "jwt": t})
	}}
}

// give asks a Source. Why it has nothing may contain a path, not a credential;
// it is dropped all the same.
func give(s Source) (string, error) {
	if s == nil {
		return "", &Error{Op: "login", State: secrets.Denied, Reason: "there is no source of a credential"}
	}
	b, err := s()
	if err != nil {
		return "", &Error{Op: "login", State: secrets.Denied, Reason: "the credential cannot be read where it should be"}
	}
	defer clear(b)
	t := string(b)
	if t == "" || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &Error{Op: "login", State: secrets.Denied, Reason: "the credential is empty, or has characters that none has"}
	}
	return t, nil
}

// logIn exchanges a credential for a token.
func logIn(ctx context.Context, c *Client, a *api.Client, path string, body map[string]string) (*api.Secret, error) {
	ans, err := c.sendWith(ctx, a, query{op: "login", method: http.MethodPut, path: path, body: body})
	var e *Error
	switch {
	case errors.As(err, &e) && ans.status >= http.StatusBadRequest && (e.State == secrets.Denied || ans.says("alias name")):
		return nil, &Error{Op: "login", State: secrets.Denied, Reason: ofLogin(ans)}
	case err != nil:
		return nil, err
	}
	var out struct {
		Auth *api.SecretAuth
	}
	if ans.status != http.StatusOK {
		return nil, &Error{Op: "login", State: secrets.Denied, Reason: ofLogin(ans)}
	}
	if json.Unmarshal(ans.body, &out) != nil || out.Auth == nil || out.Auth.ClientToken == "" {
		return nil, &Error{Op: "login", State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
	}
	return &api.Secret{Auth: out.Auth}, nil
}

// ofLogin says why nobody is logged in. Vault answers a mount that it does not
// have as it answers what is forbidden; a credential that it refuses, otherwise.
func ofLogin(a answer) string {
	switch {
	case a.says("alias name"), a.says("could not load configuration"), a.says("could not load backend configuration"), a.says("not configured"):
		return whyUnconfigured
	case a.says("invalid role name"), a.says("role") && a.says("could not be found"):
		return whyNoRole
	case a.status == http.StatusForbidden && a.says("permission denied") && !a.says("service account"):
		return whyNoMethod
	case a.status == http.StatusNotFound:
		return whyNoMethod
	}
	return whyRefusedCred
}

// remedy says what to do about a credential that is refused.
func (a Auth) remedy(also string) string {
	switch a.kind {
	case "approle":
		return "vault read auth/" + a.mount + "/role/NAME/role-id shows the role id; vault write -f auth/" + a.mount + "/role/NAME/secret-id makes a new secret id. It may have ended, been used up, or be bound to other addresses" + also
	case "kubernetes":
		return "see bound_service_account_names and bound_service_account_namespaces of the role, and whether Vault reaches the cluster's API" + also
	}
	return "see bound_audiences, bound_subject and bound_claims of the role, the token's times, and the keys that Vault trusts" + also
}
