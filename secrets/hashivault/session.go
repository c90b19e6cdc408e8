package hashivault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// session is being logged in. Whatever ends a token, the next one is got: by
// whoever needs it, or before by keep.
type session struct {
	c     *Client
	turn  chan struct{}      // held by whoever logs in
	fresh chan *api.Secret   // the newest token, for keep
	stop  context.CancelFunc // of keep
	ctx   context.Context
	done  sync.WaitGroup

	// Guarded by turn.
	gen     uint64 // counts logins; 0: never
	own     bool   // the token is ours to revoke
	failed  time.Time
	why     error
	refused time.Time // when a refusal last led to a login
}

func newSession(c *Client) *session {
	s := &session{c: c, turn: make(chan struct{}, 1), fresh: make(chan *api.Secret, 1)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.turn <- struct{}{}
	return s
}

func (s *session) lock(ctx context.Context, op string) error {
	wait, cancel := context.WithTimeout(ctx, s.c.cfg.Timeout)
	defer cancel()
	select {
	case <-s.turn:
		return nil
	case <-s.ctx.Done():
		return &Error{Op: op, State: secrets.Unreachable, Reason: "the client is closed"}
	case <-wait.Done():
		if ctx.Err() != nil {
			return &gaveUp{op, ctx.Err()}
		}
		return &Error{Op: op, State: secrets.Unreachable, Reason: whyLate}
	}
}

func (s *session) unlock() { s.turn <- struct{}{} }

// ensure returns which login is current, logging in if there was none.
func (s *session) ensure(ctx context.Context) (gen uint64, err error) {
	if err := s.lock(ctx, "login"); err != nil {
		return 0, err
	}
	defer s.unlock()
	if s.gen == 0 {
		err = s.login(ctx)
	}
	return s.gen, err
}

// again logs in once more because the token of login gen was refused, but not
// over and over. It reports whether there is another token now.
func (s *session) again(ctx context.Context, gen uint64) bool {
	if s.lock(ctx, "login") != nil {
		return false
	}
	defer s.unlock()
	if s.gen != gen {
		return true
	}
	if time.Since(s.refused) < cooldown {
		return false
	}
	s.refused = time.Now()
	return s.login(ctx) == nil
}

// login gets a token. The caller holds turn.
func (s *session) login(ctx context.Context) error {
	if s.why != nil && time.Since(s.failed) < pause { // a crowd must not become a storm of logins
		return s.why
	}
	a, err := newAPI(s.c.cfg, s.c.http)
	if err != nil {
		return err
	}
	sec, err := s.c.cfg.Auth.login(ctx, s.c, a)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			s.failed, s.why = time.Now(), e
		}
		return err
	}
	s.why = nil
	if s.own {
		s.revoke()
	}
	s.c.api.SetToken(sec.Auth.ClientToken)
	s.own = !s.c.cfg.Auth.lent
	if s.gen++; s.gen == 1 {
		s.done.Go(s.keep)
	}
	select { // keep wants only the newest
	case <-s.fresh:
	default:
	}
	s.fresh <- sec
	return nil
}

// revoke gives the current token up, if Vault hears it.
func (s *session) revoke() {
	ctx, cancel := context.WithTimeout(context.Background(), s.c.cfg.Timeout)
	defer cancel()
	_, _ = s.c.send(ctx, query{op: "revoke", method: http.MethodPut, path: "auth/token/revoke-self"})
}

// keep renews the newest token until it ends, in whatever way, and then logs in
// again.
func (s *session) keep() {
	var sec *api.Secret
	for {
		if sec == nil {
			select {
			case <-s.ctx.Done():
				return
			case sec = <-s.fresh:
			}
		}
		if sec.Auth.LeaseDuration <= 0 { // it never ends
			sec = nil
			continue
		}
		jitter := min(pause, time.Duration(sec.Auth.LeaseDuration)*time.Second/20) // less than what is left of the token
		next, ended := s.watch(sec)
		sec = next
		if !ended {
			continue
		}
		for wait := time.Duration(0); ; wait = min(max(2*wait, pause), 30*time.Second) {
			select {
			case <-s.ctx.Done():
				return
			case sec = <-s.fresh: // somebody did it already
			case <-time.After(wait + rand.N(jitter)): // so that a fleet does not come all at once
				ctx, cancel := context.WithTimeout(s.ctx, 2*s.c.cfg.Timeout)
				if s.lock(ctx, "login") == nil {
					_ = s.login(ctx) // its failure is told to whoever needs the token
					s.unlock()
				}
				cancel()
				select {
				case sec = <-s.fresh:
				default:
				}
			}
			if sec != nil {
				break
			}
		}
	}
}

// watch renews one token. It returns when that has ended, or when there is a
// newer one.
func (s *session) watch(sec *api.Secret) (newer *api.Secret, ended bool) {
	w, err := s.c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: sec})
	if err != nil {
		return nil, true
	}
	var started sync.WaitGroup
	started.Go(w.Start)
	defer started.Wait()
	defer w.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return nil, false
		case newer = <-s.fresh:
			return newer, false
		case <-w.RenewCh():
		case err := <-w.DoneCh():
			_ = err // or nil: it is over either way
			return nil, true
		}
	}
}

// close stops keep and revokes the token.
func (s *session) close() {
	s.stop()
	s.done.Wait()
	select {
	case <-s.turn: // for good
		if s.own {
			s.revoke()
		}
		s.c.api.ClearToken()
	case <-time.After(4 * s.c.cfg.Timeout): // a login that hangs
	}
}
