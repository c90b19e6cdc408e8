package hashivault

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Config says where a Vault is, how to log in, and what to use there. It is all
// that there is: VAULT_* variables and proxies of the environment are not
// looked at.
type Config struct {
	Address   string // https://host:port; http only on loopback
	CA        []byte // PEM of the authorities that may have issued the server's certificate; nil: the system's
	Namespace string // of Vault Enterprise; empty: the root namespace
	Auth      Auth   // Token, AppRole, WrappedAppRole, Kubernetes or JWT

	Transit string // mount of the Transit engine; empty: "transit"
	Key     string // name of its key, made with derived=true; empty: "lockkeeper"
	KV      string // mount of a KV engine, version 2; empty: "secret"
	Path    string // folder for tenants' keys in it; empty: "lockkeeper"
	Secrets string // folder for sealed secrets in it, of Store; empty: "lockkeeper-secrets"

	// Apart keeps the keys of each tenant in a document of its own, so that
	// Vault's policies can tell tenants apart (see TenantPolicy). Otherwise 400
	// tenants share a document, and a cold start costs 1/400 of the calls.
	Apart bool

	// Expect is the Vault that it must be; the zero Identity takes any. Get it
	// from Client.Identity and keep it with the database.
	Expect Identity

	Timeout time.Duration // of one request; 0: 2s; at most 30s
	AtOnce  int           // requests at the same time; 0: 32; at most 1024
}

// Format prints no content: there may be more in a CA or an address than meant.
func (Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, "hashivault.Config") }

var (
	segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	folders = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$`)
)

// complete fills in what was left out, and refuses what cannot work.
func (c Config) complete() (Config, error) {
	bad := func(field, format string, a ...any) (Config, error) {
		return Config{}, fmt.Errorf("%w: %s: %s", ErrConfig, field, fmt.Sprintf(format, a...))
	}
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return bad("Address", "want https://host:port and nothing else")
	case u.Scheme == "http" && loopback(u.Hostname()), u.Scheme == "https":
	default:
		return bad("Address", "want https; http is for loopback only")
	}
	c.Address = u.Scheme + "://" + u.Host
	if c.Auth.login == nil {
		return bad("Auth", "want Token, AppRole, WrappedAppRole, Kubernetes or JWT")
	}
	for _, d := range []struct {
		field *string
		name  string
		def   string
	}{{&c.Transit, "Transit", "transit"}, {&c.KV, "KV", "secret"}, {&c.Path, "Path", "lockkeeper"}, {&c.Secrets, "Secrets", "lockkeeper-secrets"}, {&c.Key, "Key", "lockkeeper"}} {
		if *d.field == "" {
			*d.field = d.def
		}
		if *d.field = strings.TrimSuffix(*d.field, "/"); !folders.MatchString(*d.field) || d.name == "Key" && !segment.MatchString(*d.field) {
			return bad(d.name, "want letters, digits, dots, dashes and underscores, a letter or digit first")
		}
	}
	if a, b := c.Path+"/", c.Secrets+"/"; strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
		return bad("Secrets", "want a folder that is not in Path, nor around it")
	}
	if c.Namespace = strings.Trim(c.Namespace, "/"); c.Namespace != "" && !folders.MatchString(c.Namespace) {
		return bad("Namespace", "want names separated by slashes")
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Timeout < 0 || c.Timeout > 30*time.Second {
		return bad("Timeout", "want more than nothing and at most 30s")
	}
	if c.AtOnce == 0 {
		c.AtOnce = 32
	}
	if c.AtOnce < 0 || c.AtOnce > 1024 {
		return bad("AtOnce", "want 1 to 1024")
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls makes the client's side of TLS.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != nil {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, fmt.Errorf("%w: CA: want certificates as PEM", ErrConfig)
		}
	}
	return t, nil
}
