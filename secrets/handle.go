package secrets

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Handle names one secret for the holder of one Grant. It may be used as long
// as the Grant lasts and never contains the secret. The zero Handle refuses.
type Handle struct{ h *handle }

type handle struct {
	safe *Safe
	g    authz.Grant
	ref  Ref
}

// covers is nil while the Handle may be used.
func (h Handle) covers() error {
	if h.h == nil {
		return fmt.Errorf("secrets: zero handle: %w", authz.ErrDenied)
	}
	return h.h.safe.may(h.h.g, "secrets.use", h.h.ref)
}

// begin is nil when a use may begin, and has recorded it: who, on whose behalf,
// which secret and what for. Every use of a secret goes through it.
func (h Handle) begin(ctx context.Context, what string) error {
	if h.h == nil {
		return fmt.Errorf("secrets: zero handle: %w", authz.ErrDenied)
	}
	return h.h.safe.must(ctx, h.h.g, "secrets.use", h.h.ref.Resource(), what)
}

// HTTPClient returns a client that adds the credential to requests to the
// origin of the policy. A request to another origin, by a redirect too, is
// ErrOrigin and is not sent. Before each request the Grant is tested again and
// the secret's revocation looked up. Neither the request that a response names
// nor any error contains the credential.
//
// The client is the caller's alone; connections below it are shared.
func (h Handle) HTTPClient(ctx context.Context, p ClientPolicy) (*http.Client, error) {
	if err := h.begin(ctx, "http"); err != nil {
		return nil, err
	}
	o, err := p.origin()
	if err != nil {
		return nil, err
	}
	c, version, err := h.h.safe.use(ctx, h.h.g, h.h.ref)
	if err != nil {
		return nil, err
	}
	t := &transport{h: h, cred: c, version: version, origin: o, limit: p.limit(), next: h.h.safe.wires.get(o, p.Roots)}
	if c.open().mint != nil {
		t.token = &tokenSource{h.h.safe, h.h.ref, version, c, p.Roots}
	}
	return &http.Client{Transport: t, Timeout: p.timeout(), CheckRedirect: t.redirect}, nil
}

// String names the secret.
func (h Handle) String() string {
	if h.h == nil {
		return "no secret"
	}
	return "secret " + h.h.ref.String()
}

// Format names the secret, whatever the verb.
func (h Handle) Format(f fmt.State, _ rune) { fmt.Fprint(f, h.String()) }

// LogValue names the secret.
func (h Handle) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText returns ErrSecret.
func (h Handle) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (h Handle) GobEncode() ([]byte, error) { return nil, ErrSecret }
