package secrets

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// SMTP is a connection to a submission server that is signed in (RFC 6409). Safe
// for concurrent use; one message goes at a time. Close it.
type SMTP struct {
	h     Handle
	mu    sync.Mutex
	send  func(ctx context.Context, from string, to []string, message io.Reader) error
	close func() error
}

// DialSMTP returns an SMTP connection that is signed in. Close it.
func (h Handle) DialSMTP(ctx context.Context, p MailPolicy) (*SMTP, error) {
	pinned, login, err := h.mail(ctx, p, "smtp")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*SMTP, error) {
		return nil, fmt.Errorf("secrets: smtp %s: %w", h.h.ref, smtpError(err, login.shown()))
	}
	ctx, cancel := context.WithTimeout(plainContext{ctx}, p.timeout())
	defer cancel()
	conn, err := dialMail(ctx, p)
	if err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	host, _ := p.host()
	var c *smtp.Client
	if p.StartTLS {
		c, err = smtp.NewClientStartTLS(conn, p.tls(host))
	} else {
		c = smtp.NewClient(conn)
	}
	if err == nil {
		c.CommandTimeout = p.timeout()
		err = signInSMTP(c, p, login)
	}
	if !stop() || err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fail(err)
	}
	s := &SMTP{h: pinned, close: func() error {
		err := c.Quit()
		_ = conn.Close()
		return err
	}}
	s.send = func(ctx context.Context, from string, to []string, message io.Reader) error {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		err := c.SendMail(from, to, message)
		if err != nil {
			_ = c.Reset()
			return smtpError(err, nil)
		}
		return nil
	}
	return s, nil
}

func signInSMTP(c *smtp.Client, p MailPolicy, login mailLogin) error {
	name := p.LocalName
	if name == "" {
		name = "localhost"
	}
	if err := c.Hello(name); err != nil {
		return err
	}
	if t, ok := c.TLSConnectionState(); !ok || !t.HandshakeComplete {
		return said("no TLS")
	}
	_, params := c.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(params))
	mechanism := login.mechanism(func(m string) bool { return slices.Contains(offered, m) }, "LOGIN")
	if mechanism == "" {
		return said("server offers no mechanism for this secret")
	}
	var no *smtp.SMTPError
	err := c.Auth(&saslClient{login, mechanism, p.Address, 0})
	if errors.As(err, &no) && no.Code >= 500 {
		return fmt.Errorf("%w: %w", err, ErrReauth)
	}
	return err
}

// saslClient is a login in the form that the SMTP client asks for. It is gone
// before anybody gets the client.
type saslClient struct {
	login     mailLogin
	mechanism string
	address   string
	step      int
}

// Start implements sasl.Client.
func (s *saslClient) Start() (string, []byte, error) {
	if s.mechanism == "LOGIN" {
		return s.mechanism, nil, nil
	}
	return s.mechanism, []byte(s.login.message(s.mechanism, s.address)), nil
}

// Next implements sasl.Client.
func (s *saslClient) Next([]byte) ([]byte, error) {
	s.step++
	switch {
	case s.mechanism != "LOGIN":
		return base64.StdEncoding.DecodeString(giveUp(s.mechanism))
	case s.step == 1:
		return []byte(s.login.user), nil
	case s.step == 2:
		return []byte(s.login.secret()), nil
	}
	return nil, said("server asks for more than user and password")
}

// smtpError is an error without what the server wrote: its codes say enough.
func smtpError(err error, shown []string) error {
	var no *smtp.SMTPError
	if !errors.As(err, &no) {
		return withhold(err, shown...)
	}
	out := error(&smtp.SMTPError{Code: no.Code, EnhancedCode: no.EnhancedCode, Message: "refused"})
	if errors.Is(err, ErrReauth) {
		return fmt.Errorf("%w: %w", out, ErrReauth)
	}
	return out
}

// Send sends one message to all of the recipients. The Grant is tested and the
// secret's revocation looked up before. A server's refusal is a *smtp.SMTPError
// with its codes and without its text, and then nobody got the message; after any
// other error that is not known.
func (s *SMTP) Send(ctx context.Context, from string, to []string, message io.Reader) error {
	if s == nil || s.send == nil {
		return Handle{}.covers()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.h.begin(ctx, "smtp"); err != nil {
		_ = s.close()
		return err
	}
	if len(to) == 0 {
		return errors.New("secrets: smtp: to: want a recipient")
	}
	if err := s.send(ctx, from, to, message); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("secrets: smtp %s: %w", s.h.h.ref, err)
	}
	return nil
}

// Close says goodbye and closes the connection.
func (s *SMTP) Close() error {
	if s == nil || s.close == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.close(); err != nil {
		return errors.New("secrets: smtp: connection was closed already")
	}
	return nil
}

// Format prints no content.
func (s *SMTP) Format(f fmt.State, _ rune) { fmt.Fprint(f, "smtp connection") }

// LogValue logs no content.
func (s *SMTP) LogValue() slog.Value { return slog.StringValue("smtp connection") }

// MarshalText returns ErrSecret.
func (s *SMTP) MarshalText() ([]byte, error) { return nil, ErrSecret }
