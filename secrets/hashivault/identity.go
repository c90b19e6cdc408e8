package hashivault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Identity tells one Vault, and one state of it, from another. It holds no
// secret. Keep the newest one with the database, and give it back as
// Config.Expect: then a Vault that is another one, or was restored from a copy
// that is older than it, is refused as ErrWrongVault.
type Identity struct {
	Cluster string    `json:"cluster"` // Vault's own id of the cluster
	Version uint32    `json:"version"` // newest version of the Transit key
	Made    time.Time `json:"made"`    // when that version was made
	Writes  uint64    `json:"writes"`  // to the key store so far
}

// IsZero reports whether nothing is expected.
func (i Identity) IsZero() bool { return i == Identity{} }

// known is what a Client has seen of its Vault.
type known struct {
	mu    sync.Mutex
	spell uint64 // when it was seen
	seen  bool
	id    Identity // without Writes
}

// transitKey is what Vault tells of a Transit key.
type transitKey struct {
	Type         string
	Derived      bool
	Exportable   bool
	Convergent   bool                       `json:"convergent_encryption"`
	Backup       bool                       `json:"allow_plaintext_backup"`
	Deletable    bool                       `json:"deletion_allowed"`
	Latest       uint32                     `json:"latest_version"`
	MinDecrypt   uint32                     `json:"min_decryption_version"`
	MinEncrypt   uint32                     `json:"min_encryption_version"`
	MinAvailable uint32                     `json:"min_available_version"`
	Keys         map[string]json.RawMessage // when each version was made, in seconds; of asymmetric keys, more
}

func (k transitKey) made(version uint32) (time.Time, bool) {
	var s int64
	raw, ok := k.Keys[strconv.FormatUint(uint64(version), 10)]
	ok = ok && json.Unmarshal(raw, &s) == nil
	return time.Unix(s, 0).UTC(), ok
}

// misuse is why a key is not fit to be a root key.
type misuse struct{ code, what, instead string }

// misuses is all that is wrong with a key.
func (k transitKey) misuses() (out []misuse) {
	for _, m := range []struct {
		is bool
		misuse
	}{
		{k.Type != "aes256-gcm96" && k.Type != "chacha20-poly1305", misuse{FindKeyType, "the Transit key is of a type that does not wrap keys", "make one of type aes256-gcm96"}},
		{!k.Derived, misuse{FindKeyDerived, "the Transit key is not derived, so that Vault would ignore what a wrapped key belongs to", "make a new one with derived=true"}},
		{k.Convergent, misuse{FindKeyType, "the Transit key encrypts convergently, so that equal keys show", "make a new one without"}},
		{k.Exportable || k.Backup, misuse{FindKeyExport, "the Transit key may leave Vault", "make a new one without exportable and allow_plaintext_backup"}},
	} {
		if m.is {
			out = append(out, m.misuse)
		}
	}
	return out
}

// readKey asks for the Transit key.
func (c *Client) readKey(ctx context.Context) (transitKey, error) {
	a, err := c.do(ctx, query{op: "read the key", method: http.MethodGet, path: c.cfg.Transit + "/keys/" + c.cfg.Key, again: true})
	if err != nil {
		return transitKey{}, err
	}
	if a.status != http.StatusOK {
		return transitKey{}, c.noKey("read the key")
	}
	var k transitKey
	if err := a.into("read the key", &k); err != nil {
		return transitKey{}, err
	}
	if ms := k.misuses(); len(ms) > 0 {
		return k, &Error{Op: "read the key", State: secrets.Misused, Reason: ms[0].what + ": " + ms[0].instead}
	}
	if _, ok := k.made(k.Latest); !ok || k.Latest == 0 {
		return transitKey{}, &Error{Op: "read the key", State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
	}
	return k, nil
}

// noKey is that there is no Transit key where there should be one.
func (c *Client) noKey(op string) error {
	e := &Error{Op: op, State: secrets.Misused, Reason: "there is no such Transit key: make it with derived=true"}
	if c.known.was() || c.cfg.Expect.Version > 0 {
		e.Reason, e.cause = "the Transit key is gone: restore Vault's newest backup, a new key opens nothing", ErrWrongVault
	}
	return e
}

func (k *known) was() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen
}

// cluster asks for the id of the cluster. It needs no token. That Vault is sealed
// or gone is remembered: whoever asks next need not wait for it.
func (c *Client) cluster(ctx context.Context) (string, error) {
	var h health
	_, err := c.breaker.Execute(func() (answer, error) {
		var err error
		if h, err = c.health(ctx); err != nil && ctx.Err() != nil {
			err = &gaveUp{"recognise Vault", ctx.Err()}
		}
		return answer{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return "", c.verdict("recognise Vault")
	}
	return h.Cluster, err
}

// verify makes sure that this is the Vault that was expected and seen before. It
// asks only when Vault may have been exchanged: at first, and after it was lost.
func (c *Client) verify(ctx context.Context) error {
	spell := c.spells.Load()
	c.known.mu.Lock()
	fine := c.known.seen && c.known.spell == spell
	c.known.mu.Unlock()
	if fine {
		return nil
	}
	if c.breaker.State() == gobreaker.StateOpen {
		return c.verdict("recognise Vault")
	}
	_, err := c.look(ctx)
	return err
}

// look reads cluster and key, compares them with what was known, and remembers
// them.
func (c *Client) look(ctx context.Context) (k transitKey, err error) {
	defer func() {
		if errors.Is(err, ErrWrongVault) { // nothing goes on until it is recognised again
			c.known.mu.Lock()
			c.known.spell--
			c.known.mu.Unlock()
		}
	}()
	cluster, err := c.cluster(ctx)
	if err != nil {
		return transitKey{}, err
	}
	spell := c.spells.Load() // before the answer that counts
	if k, err = c.readKey(ctx); err != nil {
		return transitKey{}, err
	}
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	for _, was := range []Identity{c.cfg.Expect, c.known.id} {
		if err := same(was, cluster, k); err != nil {
			return transitKey{}, err
		}
	}
	made, _ := k.made(k.Latest)
	if k.Latest >= c.known.id.Version { // another call may know a newer one already
		c.known.id = Identity{Cluster: cluster, Version: k.Latest, Made: made}
	}
	c.known.seen, c.known.spell = true, spell
	return k, nil
}

func same(was Identity, cluster string, k transitKey) error {
	wrong := func(reason string) error {
		return &Error{Op: "recognise Vault", State: secrets.Misused, Reason: reason, cause: ErrWrongVault}
	}
	if was.Cluster != "" && was.Cluster != cluster {
		return wrong("it is another cluster")
	}
	if was.Version == 0 {
		return nil
	}
	if k.Latest < was.Version {
		return wrong("versions of the Transit key are gone: it is an older copy, restore the newest backup")
	}
	if made, ok := k.made(was.Version); ok && !made.Equal(was.Made) {
		return wrong("its Transit key is another one of the same name: restore the newest backup")
	}
	return nil
}

// Identity asks who Vault is now, after making sure that it is whom it should be.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	if _, err := c.look(ctx); err != nil {
		return Identity{}, err
	}
	writes, err := c.KV().writes(ctx)
	if err != nil {
		return Identity{}, err
	}
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	id := c.known.id
	id.Writes = writes
	return id, nil
}

// Check makes sure, before anything is written, that Vault is there, lets us in,
// is the one that was expected, and is set up as it must be.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.Identity(ctx)
	return err
}
