package hashivault

import (
	"fmt"
	"strings"
)

// Duty is what somebody may do beyond using the keys.
type Duty string

// Duties.
const (
	Rotating Duty = "rotating" // Transit.Rotate and Transit.Retire
	Storing  Duty = "storing"  // Client.Store
)

// Policy prints, in HCL, the least policy that a Config needs, with the given
// duties: to wrap, unwrap and rewrap keys, to keep tenants' keys and to shred
// them. With Apart the keys of every tenant; see TenantPolicy for one.
//
// Nothing in it lets encrypt make a key, read a key out of Vault, change one,
// or delete one. The error is that of New.
func Policy(cfg Config, duties ...Duty) (string, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return "", err
	}
	rules, err := cfg.rules(duties)
	if err != nil {
		return "", err
	}
	return hcl(rules), nil
}

// rules are what Policy prints.
func (c Config) rules(duties []Duty) ([]rule, error) {
	docs := "keys-*"
	if c.Apart {
		docs = "*"
	}
	out := append(c.use(), c.store(docs)...)
	out = append(out, rule{"the documents that there are", c.KV + "/metadata/" + c.Path + "/", []string{"list"}})
	for _, d := range duties {
		switch d {
		case Storing:
			out = append(out, c.secrets("*")...)
			continue
		case Rotating:
		default:
			return out, fmt.Errorf("%w: duty: want Rotating or Storing", ErrConfig)
		}
		key := c.Transit + "/keys/" + c.Key
		out = append(out, rule{"rotation: a new version, and an end to the old", key + "/rotate", []string{"update"}}, rule{"", key + "/config", []string{"update"}}, rule{"", key + "/trim", []string{"update"}})
	}
	return out, nil
}

// TenantPolicy prints the policy of a worker that serves one tenant and must not
// reach the keys of another, nor with Storing its sealed secrets. Storing is the
// only duty that it can have. It needs Config.Apart.
//
// What Vault enforces then: the wrapped keys of other tenants cannot be read or
// written. What it cannot enforce: which wrapped keys may be unwrapped. A worker
// that got hold of another tenant's wrapped key elsewhere, in a backup of the key
// store for one, could have it unwrapped; the database has none.
func TenantPolicy(cfg Config, tenant string, duties ...Duty) (string, error) {
	cfg, err := cfg.complete()
	switch {
	case err != nil:
		return "", err
	case !cfg.Apart:
		return "", fmt.Errorf("%w: Apart: want true, policies cannot tell tenants in one document apart", ErrConfig)
	case tenant == "":
		return "", fmt.Errorf("%w: tenant: want one", ErrConfig)
	}
	out := append(cfg.use(), cfg.store(apartName(tenant))...)
	for _, d := range duties {
		if d != Storing {
			return "", fmt.Errorf("%w: duty: want Storing", ErrConfig)
		}
		own := segmentName(tenant)
		out = append(out, cfg.secrets(tenantsFolder+"/"+own)...)
		for _, folder := range []string{rowsFolder, bodiesFolder} {
			out = append(out, cfg.secrets(folder+"/tenants/"+own+"/*")...)
		}
	}
	return hcl(out), nil
}

func (c Config) use() []rule {
	return []rule{
		{"the root key: its state, and to use it; create is missing on purpose", c.Transit + "/keys/" + c.Key, []string{"read"}},
		{"", c.Transit + "/encrypt/" + c.Key, []string{"update"}}, {"", c.Transit + "/decrypt/" + c.Key, []string{"update"}}, {"", c.Transit + "/rewrap/" + c.Key, []string{"update"}},
		{"its own token", "auth/token/lookup-self", []string{"read"}}, {"", "auth/token/renew-self", []string{"update"}}, {"", "auth/token/revoke-self", []string{"update"}},
		{"what it may, for whoever checks the set-up", "sys/capabilities-self", []string{"update"}},
	}
}

func (c Config) store(docs string) []rule {
	return []rule{
		{"tenants' wrapped keys", c.KV + "/data/" + c.Path + "/" + docs, []string{"create", "read", "update"}},
		{"and to destroy earlier versions of them", c.KV + "/metadata/" + c.Path + "/" + docs, []string{"read"}}, {"", c.KV + "/destroy/" + c.Path + "/" + docs, []string{"update"}},
	}
}

// secrets is for the documents of Store.
func (c Config) secrets(docs string) []rule {
	at := c.Secrets + "/" + docs
	return []rule{
		{"sealed secrets", c.KV + "/data/" + at, []string{"create", "read", "update"}},
		{"which there are, to destroy earlier versions of them, and to remove an erased tenant's", c.KV + "/metadata/" + at, []string{"list", "read", "delete"}},
		{"", c.KV + "/destroy/" + at, []string{"update"}},
	}
}

// rule lets a path be used in some ways.
type rule struct {
	comment, path string
	caps          []string
}

// hcl prints rules as Vault's policies have them.
func hcl(rules []rule) string {
	var b strings.Builder
	for _, r := range rules {
		if r.comment != "" {
			fmt.Fprintf(&b, "# %s\n", r.comment)
		}
		fmt.Fprintf(&b, "path %q {\n  capabilities = [\"%s\"]\n}\n", r.path, strings.Join(r.caps, `", "`))
	}
	return b.String()
}
