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

// BenchEnvelope returns how to seal and open an envelope under one tenant key.
func BenchEnvelope() (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
	k, at := testKey(1), testPlace()
	return func(p []byte) ([]byte, error) { return seal(nil, k, at, p) }, func(s []byte) ([]byte, error) { return openWhole(k, at, s) }
}

// BenchRewrap returns how to wrap the key of a record anew, and how to do without.
func BenchRewrap(size int) (again, whole func() error) {
	from, to, at := testKey(1), testKey(5), testPlace()
	sealed, err := seal(nil, from, at, make([]byte, size))
	if err != nil {
		panic(err)
	}
	wrap, _ := split(sealed)
	return func() error { _, err := rewrap(from, to, at, wrap); return err }, func() error {
		plain, err := openWhole(from, at, sealed)
		if err != nil {
			return err
		}
		_, err = seal(nil, to, at, plain)
		return err
	}
}
