package secrets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	// lostMost is how often a refresh token is sent without an answer.
	lostMost = 2
	// lostRest is how long it then rests: a provider's outage must not cost a
	// person's consent, and a loop must not become one.
	lostRest = 15 * time.Minute
	// staleRest is how old a token must be before its refusal is believed: who
	// answers 401 to a token just made does so to the next one.
	staleRest = 10 * time.Second
	// retryRest is how long a token that still lives serves after a failed
	// exchange, and failRest how long a failure without one is repeated instead
	// of the exchange.
	retryRest = 30 * time.Second
	failRest  = time.Second
	leasePoll = 100 * time.Millisecond
	saveTries = 5
)

// lease is how long others leave an exchange to whoever began it: longer than
// two lost answers and the pause between them take.
func (e exchangeTimes) lease() time.Duration { return 2*e.limit + e.pause + clockSkew }

// refresh returns an access token of a consent. One process at a time exchanges
// the refresh token, by a lease on the row; what the provider gives is in the
// store before it is used (RFC 6749 section 6, RFC 9700 section 4.14).
func (t *tokenSource) refresh(ctx context.Context, slot *tokenSlot, stale string) (token, error) {
	s, m, me := t.safe, t.cred.open(), rand.Text()
	times := s.tokens.wait.get()
	ctx, cancel := context.WithTimeout(ctx, 2*times.lease())
	defer cancel()
	if err := t.saveLeft(ctx, slot); err != nil {
		return token{}, err
	}
	for {
		st, version, err := s.consent(ctx, t.ref)
		if err != nil {
			return token{}, err
		}
		now := s.now()
		alive := st.Access != "" && "Bearer "+st.Access != stale && now.Before(st.end())
		switch {
		case st.Client != m.scheme.client():
			return token{}, fmt.Errorf("nobody consented: %w", ErrReauth)
		case alive && now.Before(st.From.Add(early(st.Until.Sub(st.From)))):
			return bearerToken(st.Access, st.From.Add(early(st.Until.Sub(st.From)))), nil
		case st.Refused:
			return token{}, fmt.Errorf("the consent was refused before: %w", ErrReauth)
		case st.Access != "" && "Bearer "+st.Access == stale && now.Before(st.From.Add(staleRest)):
			return token{}, errors.New("a token just made was refused")
		case st.Refresh == "" && alive:
			return bearerToken(st.Access, st.end()), nil
		case st.Refresh == "":
			return token{}, fmt.Errorf("the access token ended and there is no refresh token: %w", ErrReauth)
		}
		// spare is what serves while there is no new token.
		spare := func(why error) (token, error) {
			if alive {
				return bearerToken(st.Access, earlier(now.Add(retryRest), st.end())), nil
			}
			slot.failed, slot.failUntil = why, now.Add(failRest)
			return token{}, why
		}
		if slot.failed != nil && now.Before(slot.failUntil) && !alive {
			return token{}, slot.failed
		}
		if st.Lost >= lostMost && now.Before(st.LostAt.Add(lostRest)) {
			return spare(fmt.Errorf("answers were lost: %w", ErrReauth))
		}
		if st.Lease != "" && now.Before(st.LeaseUntil) {
			if alive {
				return spare(nil)
			}
			if err := pause(ctx, leasePoll); err != nil {
				return token{}, fmt.Errorf("waiting for another exchange: %w", err)
			}
			continue
		}
		if st.Lease != "" { // whoever had it died over it, perhaps after sending
			st.Lost, st.LostAt = st.Lost+1, now
		}
		if st.Lost >= lostMost {
			st.Lost = lostMost - 1 // rested: one more try
		}
		st.Lease, st.LeaseUntil = me, now.Add(times.lease())
		if err := s.setConsent(ctx, t.ref, st, version); errors.Is(err, ErrConflict) {
			continue
		} else if err != nil {
			return spare(err)
		}
		a, began, err := t.renew(ctx, m, &st)
		if err != nil {
			return t.failed(ctx, st, err, spare)
		}
		is := st
		is.Access, is.From, is.Until = a.access, began, began.Add(a.life)
		if a.refresh != "" {
			is.Refresh = a.refresh
		}
		is.Lost, is.LostAt, is.Lease, is.LeaseUntil = 0, time.Time{}, "", time.Time{}
		was := st
		slot.unsaved = func() (consentState, consentState) { return was, is }
		if err := t.saveLeft(ctx, slot); err != nil {
			return token{}, err
		}
	}
}

// renew sends the refresh token; if no answer comes, once more after a pause.
func (t *tokenSource) renew(ctx context.Context, m *material, st *consentState) (answer, time.Time, error) {
	times := t.safe.tokens.wait.get()
	for {
		began := t.safe.now()
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {st.Refresh}}
		a, err := t.safe.ask(ctx, m, m.scheme.TokenURL, t.roots, form)
		if l := (*lost)(nil); !errors.As(err, &l) {
			return a, began, err
		}
		if st.Lost, st.LostAt = st.Lost+1, began; st.Lost >= lostMost {
			return answer{}, began, fmt.Errorf("%w: %w", err, ErrReauth)
		}
		if perr := pause(ctx, times.pause); perr != nil {
			return answer{}, began, err
		}
	}
}

// failed writes down what became of an exchange and gives the lease back.
func (t *tokenSource) failed(ctx context.Context, st consentState, why error, spare func(error) (token, error)) (token, error) {
	var no *refusal
	st.Refused = errors.As(why, &no) && no.code == "invalid_grant"
	err := t.safe.changeConsent(ctx, t.ref, func(now *consentState) error {
		if now.Refresh != st.Refresh || now.Lease != st.Lease {
			return ErrConflict // someone consented anew, or took over
		}
		now.Refused, now.Lost, now.LostAt, now.Lease, now.LeaseUntil = st.Refused, st.Lost, st.LostAt, "", time.Time{}
		return nil
	})
	switch {
	case errors.Is(err, ErrConflict):
		return spare(errors.New("another exchange took over"))
	case err != nil:
		why = errors.Join(why, err)
	}
	if st.Refused {
		return token{}, why
	}
	return spare(why)
}

// saveLeft stores tokens that a provider gave and the store has not: nothing
// else has them. Whoever has meanwhile taken the lease sent a refresh token that
// was used up, so that ours are written over their claim; a person who has
// consented anew, or taken the secret back, is left alone.
func (t *tokenSource) saveLeft(ctx context.Context, slot *tokenSlot) error {
	if slot.unsaved == nil {
		return nil
	}
	was, is := slot.unsaved()
	var err error
	for n := range saveTries {
		if n > 0 {
			if perr := pause(ctx, leasePoll<<n); perr != nil {
				break
			}
		}
		err = t.safe.changeConsent(ctx, t.ref, func(st *consentState) error {
			if st.Client != was.Client || st.Refresh != was.Refresh {
				return errOver
			}
			is.State, is.Verifier, is.AskUntil = st.State, st.Verifier, st.AskUntil
			*st = is
			return nil
		})
		if err == nil {
			slot.unsaved = nil
			return nil
		}
		if errors.Is(err, errOver) { // nobody will ever use them
			slot.unsaved = nil
			if m := t.cred.open(); m.scheme.RevokeURL != "" && is.Refresh != was.Refresh {
				_ = t.safe.giveBack(ctx, m, t.roots, is.Refresh, "refresh_token")
			}
			return nil
		}
	}
	return fmt.Errorf("new tokens are not stored yet and not used: %w", err)
}

var errOver = errors.New("secrets: consent was replaced")

// end is when the access token is over, a little early for clocks that differ.
func (st consentState) end() time.Time {
	return st.Until.Add(-min(clockSkew, st.Until.Sub(st.From)/10))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
