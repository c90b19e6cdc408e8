package hashivault

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// health is what sys/health tells; its status code says the same in short.
type health struct {
	Initialized bool
	Sealed      bool
	Standby     bool
	Enterprise  bool
	Version     string
	Cluster     string `json:"cluster_id"`
	Time        int64  `json:"server_time_utc"`
}

// health asks without a token and past the breaker: it is how one finds out.
func (c *Client) health(ctx context.Context) (health, error) {
	const op = "ask how it is"
	var h health
	if c.closed.Load() {
		return h, &Error{Op: op, State: secrets.Unreachable, Reason: "the client is closed"}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	a, err := raw(ctx, c.api, query{op: op, method: http.MethodGet, path: "sys/health"})
	if err != nil {
		return h, ofTransport(op, err)
	}
	if !a.vaults || json.Unmarshal(a.body, &h) != nil {
		if e := ofStatus(op, a); e != nil {
			return h, e
		}
		return h, &Error{Op: op, State: secrets.Misused, Reason: whyNotVault}
	}
	switch {
	case a.status == http.StatusNotImplemented:
		return h, &Error{Op: op, State: secrets.Sealed, Reason: whyUninit}
	case h.Sealed:
		return h, &Error{Op: op, State: secrets.Sealed, Reason: "an operator has to unseal it"}
	case a.status >= 500:
		return h, &Error{Op: op, State: secrets.Unreachable, Reason: whyInside}
	}
	return h, nil
}

// Probe implements secrets.Prober.
func (t *Transit) Probe(ctx context.Context) (secrets.Health, error) {
	h, err := t.c.health(ctx)
	if err == nil {
		var k transitKey
		if k, err = t.c.look(ctx); err == nil {
			out := secrets.Health{State: secrets.Ready, Detail: "it answers and its key is fit", Version: k.Latest}
			if h.Standby {
				out.Detail = "a standby node answers, and hands on to the active one; its key is fit"
			}
			return out, nil
		}
	}
	if e, ok := asError(err); ok {
		return secrets.Health{State: e.State, Detail: e.Reason}, nil
	}
	return secrets.Health{State: secrets.Unreachable}, err
}
