package secrets

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Handle names one secret for the holder of one Grant. It may be used as long
// as the Grant lasts and never contains the secret. The zero Handle refuses.
type Handle struct{ h *handle }

type handle struct {
	safe    *Safe
	g       authz.Grant
	ref     Ref
	version uint64 // of the secret that may be used; 0: whichever there is
}

// covers is nil while the Handle may be used.
func (h Handle) covers() error {
	if h.h == nil {
		return fmt.Errorf("secrets: zero handle: %w", authz.ErrDenied)
	}
	return h.h.safe.may(h.h.g, "secrets.use", h.h.ref)
}

// begin is where each use begins: nothing is signed, sent or dialled before it
// agrees. It records who uses which secret, on whose behalf and for what, and
// refuses without the record. What is one word: http, sign, hmac, jwt, imap or
// smtp.
func (h Handle) begin(ctx context.Context, what string) error {
	if err := h.must(ctx, what); err != nil {
		return err
	}
	return h.h.safe.live(ctx, h.h.ref, h.h.version)
}

// must is begin for whoever opens the secret next, and thereby looks at it.
func (h Handle) must(ctx context.Context, what string) error {
	if h.h == nil {
		return fmt.Errorf("secrets: zero handle: %w", authz.ErrDenied)
	}
	return h.h.safe.must(ctx, h.h.g, "secrets.use", h.h.ref.Resource(), what)
}

// pinned is a Handle of the same secret in one version.
func (h Handle) pinned(version uint64) Handle {
	p := *h.h
	p.version = version
	return Handle{&p}
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
