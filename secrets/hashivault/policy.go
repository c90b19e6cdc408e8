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
	docs := "keys-*"
	if cfg.Apart {
		docs = "*"
	}
	p := cfg.use() + cfg.store(docs) + rule("the documents that there are", cfg.KV+"/metadata/"+cfg.Path+"/", "list")
	for _, d := range duties {
		if d != Rotating {
			return "", fmt.Errorf("%w: duty: want Rotating", ErrConfig)
		}
		key := cfg.Transit + "/keys/" + cfg.Key
		p += rule("rotation: a new version, and an end to the old", key+"/rotate", "update") + rule("", key+"/config", "update") + rule("", key+"/trim", "update")
	}
	return p, nil
}

// TenantPolicy prints the policy of a worker that serves one tenant and must not
// reach the keys of another. It needs Config.Apart.
//
// What Vault enforces then: the wrapped keys of other tenants cannot be read or
// written. What it cannot enforce: which wrapped keys may be unwrapped. A worker
// that got hold of another tenant's wrapped key elsewhere, in a backup of the key
// store for one, could have it unwrapped; the database has none.
func TenantPolicy(cfg Config, tenant string) (string, error) {
	cfg, err := cfg.complete()
	switch {
	case err != nil:
		return "", err
	case !cfg.Apart:
		return "", fmt.Errorf("%w: Apart: want true, policies cannot tell tenants in one document apart", ErrConfig)
	case tenant == "":
		return "", fmt.Errorf("%w: tenant: want one", ErrConfig)
	}
	return cfg.use() + cfg.store(apartName(tenant)), nil
}

func (c Config) use() string {
	return rule("the root key: its state, and to use it; create is missing on purpose", c.Transit+"/keys/"+c.Key, "read") +
		rule("", c.Transit+"/encrypt/"+c.Key, "update") + rule("", c.Transit+"/decrypt/"+c.Key, "update") + rule("", c.Transit+"/rewrap/"+c.Key, "update") +
		rule("its own token", "auth/token/lookup-self", "read") + rule("", "auth/token/renew-self", "update") + rule("", "auth/token/revoke-self", "update") +
		rule("what it may, for whoever checks the set-up", "sys/capabilities-self", "update")
}

func (c Config) store(docs string) string {
	return rule("tenants' wrapped keys", c.KV+"/data/"+c.Path+"/"+docs, "create", "read", "update") +
		rule("and to destroy earlier versions of them", c.KV+"/metadata/"+c.Path+"/"+docs, "read") + rule("", c.KV+"/destroy/"+c.Path+"/"+docs, "update")
}

func rule(comment, path string, capabilities ...string) string {
	s := ""
	if comment != "" {
		s = "# " + comment + "\n"
	}
	return s + fmt.Sprintf("path %q {\n  capabilities = [\"%s\"]\n}\n", path, strings.Join(capabilities, `", "`))
}
