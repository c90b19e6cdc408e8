package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
)

// vaultFlags say which Vault keeps the keys, and how to log in there. Each flag
// can also be given in the environment: -vault-address as LOCKKEEPER_VAULT_ADDRESS.
// Credentials come from files only: a command line is on record in too many
// places.
type vaultFlags struct {
	address, namespace, ca                    string
	auth, authMount, role, roleID, credential string
	transit, key, kv, path                    string
	given                                     map[string]string // flag by name, as it was given: "-vault-ca-file" or its variable
}

// vault is a Vault that was configured. The zero vault is none.
type vault struct {
	flags  vaultFlags
	config hashivault.Config
}

// envOf is the variable that stands for a flag.
func envOf(name string) string {
	return "LOCKKEEPER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Ways to log in.
const (
	authAppRole    = "approle"
	authWrapped    = "approle-wrapped"
	authKubernetes = "kubernetes"
	authJWT        = "jwt"
	authToken      = "token"
)

// add defines the flags. What the environment says is their default.
func (v *vaultFlags) add(f *flag.FlagSet, getenv func(string) string) {
	v.given = map[string]string{}
	def := func(p *string, name, usage string) {
		env := envOf(name)
		if *p = getenv(env); *p != "" {
			v.given[name] = env
		}
		f.Func(name, usage+" ("+env+")", func(s string) error {
			*p, v.given[name] = s, "-"+name
			return nil
		})
	}
	def(&v.address, "vault-address", "`URL` of a HashiCorp Vault that keeps the keys, in place of the keyring")
	def(&v.auth, "vault-auth", "`method` to log in: approle (if left out), approle-wrapped, kubernetes, jwt or token")
	def(&v.authMount, "vault-auth-mount", "`mount` of the method, if it is not its name")
	def(&v.role, "vault-role", "`name` of the role, for kubernetes, jwt and approle-wrapped")
	def(&v.roleID, "vault-role-id-file", "`file` with the role id, for approle and approle-wrapped")
	def(&v.credential, "vault-credential-file", "`file` with the secret id, wrapping token, JWT or token; kubernetes has a usual one")
	def(&v.namespace, "vault-namespace", "`namespace` of Vault Enterprise")
	def(&v.ca, "vault-ca-file", "`file` with the certificates, in PEM, of who may have issued Vault's; the system's if left out")
	def(&v.transit, "vault-transit", "`mount` of the Transit engine; transit if left out")
	def(&v.key, "vault-key", "`name` of its key; lockkeeper if left out")
	def(&v.kv, "vault-kv", "`mount` of the KV engine, version 2; secret if left out")
	def(&v.path, "vault-path", "`folder` in it; lockkeeper if left out. One for each installation")
}

// as is how a flag was given, or how it can be.
func (v *vaultFlags) as(name string) string {
	if s := v.given[name]; s != "" {
		return s
	}
	return "-" + name
}

// open checks what was given and makes a configuration of it; nil if no Vault was
// asked for. Errors name the flag and what to do, never what is in a file.
func (v *vaultFlags) open() (*vault, error) {
	if v.address == "" {
		for _, name := range []string{"vault-auth", "vault-auth-mount", "vault-role", "vault-role-id-file", "vault-credential-file", "vault-namespace",
			"vault-ca-file", "vault-transit", "vault-key", "vault-kv", "vault-path"} {
			if v.given[name] != "" {
				return nil, misuse("%s: there is no Vault that it could be about. Give -vault-address as well, as in -vault-address https://vault.example:8200, or leave it out.", v.as(name))
			}
		}
		return nil, nil
	}
	if _, err := hashivault.Policy(hashivault.Config{Address: v.address, Auth: hashivault.Token(nil)}); err != nil {
		return nil, v.named(err)
	}
	out := &vault{flags: *v}
	c := hashivault.Config{Address: v.address, Namespace: v.namespace, Transit: v.transit, Key: v.key, KV: v.kv, Path: v.path}
	if v.ca != "" {
		b, err := os.ReadFile(v.ca)
		if err != nil {
			return nil, misuse("%s %s cannot be read: %v. Give the file with the certificate of the authority that issued Vault's, in PEM.", v.as("vault-ca-file"), v.ca, plain(err))
		}
		if c.CA = b; !bytes.Contains(b, []byte("-----BEGIN CERTIFICATE-----")) {
			return nil, misuse("%s %s: there is no certificate in it. Give the file with the certificate of the authority that issued Vault's, in PEM.", v.as("vault-ca-file"), v.ca)
		}
	}
	var err error
	if c.Auth, err = v.login(); err != nil {
		return nil, err
	}
	if _, err := hashivault.Policy(c); err != nil {
		return nil, v.named(err)
	}
	out.config = c
	return out, nil
}

// login chooses the way to log in. Files are looked at now, so that a mistake is
// told at once, and read again whenever one logs in.
func (v *vaultFlags) login() (none hashivault.Auth, err error) {
	lacks := func(name, why string) (hashivault.Auth, error) {
		return none, misuse("%s is missing: %s", "-"+name, why)
	}
	switch v.auth {
	case "", authAppRole, authWrapped:
		if v.roleID == "" {
			return lacks("vault-role-id-file", "logging in by AppRole takes a file with the role id. Make it with: vault read -field=role_id auth/approle/role/NAME/role-id")
		}
		id, err := v.content("vault-role-id-file", v.roleID, false)
		if err != nil {
			return none, err
		}
		if v.credential == "" {
			return lacks("vault-credential-file", "logging in by AppRole takes a file with the secret id. Make it with: vault write -field=secret_id -f auth/approle/role/NAME/secret-id")
		}
		if _, err := v.content("vault-credential-file", v.credential, true); err != nil {
			return none, err
		}
		if v.auth != authWrapped {
			return hashivault.AppRole(v.authMount, id, hashivault.File(v.credential)), nil
		}
		if v.role == "" {
			return lacks("vault-role", "a wrapped secret id is taken only if it was made for the role that is named")
		}
		return hashivault.WrappedAppRole(v.authMount, v.role, id, hashivault.File(v.credential)), nil
	case authKubernetes, authJWT:
		if v.role == "" {
			return lacks("vault-role", "name the role of the auth method to log in as")
		}
		var token hashivault.Source
		switch {
		case v.credential != "":
			if _, err := v.content("vault-credential-file", v.credential, false); err != nil {
				return none, err
			}
			token = hashivault.File(v.credential)
		case v.auth == authJWT:
			return lacks("vault-credential-file", "logging in by JWT takes a file with one")
		}
		if v.auth == authJWT {
			return hashivault.JWT(v.authMount, v.role, token), nil
		}
		return hashivault.Kubernetes(v.authMount, v.role, token), nil
	case authToken:
		if v.credential == "" {
			return lacks("vault-credential-file", "logging in by token takes a file with one")
		}
		if _, err := v.content("vault-credential-file", v.credential, true); err != nil {
			return none, err
		}
		return hashivault.Token(hashivault.File(v.credential)), nil
	}
	return none, misuse("%s %s: want approle, approle-wrapped, kubernetes, jwt or token.", v.as("vault-auth"), v.auth)
}

// content reads a file with a credential. What was given in place of a path is
// not repeated: it may be the credential.
func (v *vaultFlags) content(name, path string, alone bool) (string, error) {
	st, err := os.Stat(path)
	if err == nil && alone && st.Mode().Perm()&0o077 != 0 {
		return "", misuse("%s: others can read the file. chmod 600 it, and replace the credential if they did.", v.as(name))
	}
	var b []byte
	if err == nil {
		b, err = hashivault.File(path)()
	}
	if err != nil {
		return "", misuse("%s: %v. Give the path of a file; a credential is never given itself.", v.as(name), plain(err))
	}
	defer clear(b)
	return string(b), nil
}

// named turns an error about a field of a Config into one about its flag.
func (v *vaultFlags) named(err error) error {
	text := strings.TrimPrefix(err.Error(), hashivault.ErrConfig.Error()+": ")
	field, want, _ := strings.Cut(text, ": ")
	name, ok := map[string]string{"Address": "vault-address", "Namespace": "vault-namespace", "CA": "vault-ca-file", "Transit": "vault-transit", "Key": "vault-key",
		"KV": "vault-kv", "Path": "vault-path", "Auth": "vault-auth"}[field]
	if !ok {
		return err
	}
	return misuse("%s: %s.", v.as(name), want)
}

// place is where the keys are in Vault, with what was left out filled in.
type place struct {
	Namespace string `json:"namespace,omitempty"`
	Transit   string `json:"transit"`
	Key       string `json:"key"`
	KV        string `json:"kv"`
	Path      string `json:"path"`
}

func (v *vaultFlags) place() place {
	or := func(s, def string) string {
		if s = strings.Trim(s, "/"); s == "" {
			return def
		}
		return s
	}
	return place{strings.Trim(v.namespace, "/"), or(v.transit, "transit"), or(v.key, "lockkeeper"), or(v.kv, "secret"), or(v.path, "lockkeeper")}
}

// differs says which flag names another place than the one where the keys are.
func (v *vaultFlags) differs(from place) error {
	is := v.place()
	for _, d := range []struct{ flag, is, want string }{{"vault-namespace", is.Namespace, from.Namespace}, {"vault-transit", is.Transit, from.Transit}, {"vault-key", is.Key, from.Key},
		{"vault-kv", is.KV, from.KV}, {"vault-path", is.Path, from.Path}} {
		if d.is != d.want {
			return misuse("%s %q: the keys of this data directory are at %q. Give that, or another data directory with -data.", v.as(d.flag), d.is, d.want)
		}
	}
	return nil
}

// trouble is a Vault that does not do its part, in words and with a code that
// stays the same.
type trouble struct {
	code, text string
	err        error
}

func (t *trouble) Error() string { return t.code + ": " + t.text }
func (t *trouble) Unwrap() error { return t.err }

// codeWrong is the code of a Vault that is not the one that was expected. Those
// of states are LK-VAULT- and the state: SEALED, UNREACHABLE, STANDBY, DENIED,
// MISUSED.
const codeWrong = "LK-VAULT-WRONG"

func codeOf(s secrets.State) string { return "LK-VAULT-" + strings.ToUpper(string(s)) }

// troubled puts an error of Vault into one line.
func troubled(address string, err error) error {
	var e *hashivault.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("Vault at %s: %w", address, err)
	}
	t := &trouble{code: codeOf(e.State), err: err}
	if errors.Is(err, hashivault.ErrWrongVault) {
		t.code = codeWrong
	}
	t.text = fmt.Sprintf("Vault at %s: %s. %s", address, e.Reason, remedy(t.code))
	t.text = strings.TrimSuffix(t.text, ".")
	return t
}

// remedy says what to do.
func remedy(code string) string {
	switch code {
	case codeWrong:
		return "Nothing was written to it. Give the address of the Vault that the data directory was used with, or restore its newest backup"
	case codeOf(secrets.Sealed):
		return "Unseal it (vault operator unseal) and start again"
	case codeOf(secrets.Unreachable):
		return "Check -vault-address and -vault-ca-file, and that it runs"
	case codeOf(secrets.Denied):
		return "Check -vault-auth, the files of its credentials, and the policy of the role: doctor prints the one that is needed"
	case codeOf(secrets.Standby):
		return "Give the address of the active node, or of a balancer, as -vault-address"
	}
	return "Run doctor to see what its set-up lacks"
}

// told is troubled for what may also be ours.
func (v *vault) told(err error) error {
	var e *hashivault.Error
	if errors.As(err, &e) {
		return troubled(v.flags.address, err)
	}
	return err
}

// connect opens a client, for the Vault that is expected, and makes sure that it
// is there, lets us in, and is set up as it must be.
func (v *vault) connect(ctx context.Context, expect hashivault.Identity) (*hashivault.Client, hashivault.Identity, error) {
	c := v.config
	c.Expect = expect
	client, err := hashivault.New(c)
	if err != nil {
		return nil, hashivault.Identity{}, v.flags.named(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patienceForVault)
	defer cancel()
	id, err := client.Identity(ctx)
	if err != nil {
		_ = client.Close()
		return nil, hashivault.Identity{}, troubled(v.flags.address, err)
	}
	return client, id, nil
}

const patienceForVault = 30 * time.Second // of all that is asked at the start; one request may take 2 s
