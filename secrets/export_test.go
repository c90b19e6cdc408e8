package secrets

import (
	"context"
	"time"
)

// SetExchangeTimes shortens what a test would wait for.
func (s *Safe) SetExchangeTimes(limit, pause time.Duration) {
	s.tokens.wait = exchangeTimes{limit: limit, pause: pause}
}

// Consented shows of a consent what is not secret.
func (s *Safe) Consented(ctx context.Context, ref Ref) (has, refused, leased bool, lost int, err error) {
	st, _, err := s.consent(ctx, ref)
	return st.Refresh != "", st.Refused, st.Lease != "", st.Lost, err
}
