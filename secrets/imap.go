package secrets

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// DialIMAP returns an IMAP client that is signed in (RFC 9051). It signs in on
// the bare connection, before there is a client: neither the client nor its
// debug writer ever sees the credential. The options may be nil; of them, those
// that concern the connection have no effect.
//
// The Grant is tested at each write and read, and the secret's revocation looked
// up once a second: the connection ends with the first that fails. Close the
// client.
func (h Handle) DialIMAP(ctx context.Context, p MailPolicy, o *imapclient.Options) (*imapclient.Client, error) {
	pinned, login, err := h.mail(ctx, p, "imap")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*imapclient.Client, error) {
		return nil, fmt.Errorf("secrets: imap %s: %w", h.h.ref, withhold(err, login.shown()...))
	}
	ctx, cancel := context.WithTimeout(plainContext{ctx}, p.timeout())
	defer cancel()
	conn, err := dialMail(ctx, p)
	if err != nil {
		return fail(err)
	}
	// The deadline also ends reads when the context is cancelled.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	conn, caps, err := signInIMAP(ctx, p, conn, login)
	if !stop() || err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fail(err)
	}
	greeting := "* PREAUTH [CAPABILITY " + strings.Join(caps, " ") + "] signed in\r\n"
	c := imapclient.New(newMailConn(pinned, conn, greeting), o)
	if err := c.WaitGreeting(); err != nil {
		_ = c.Close()
		return fail(err)
	}
	return c, nil
}

const (
	maxMailLine  = 64 << 10 // bytes
	maxMailLines = 100      // before a reply
)

var errNoStartTLS = said("server offers no STARTTLS")

// imapTalk speaks just enough to sign in.
type imapTalk struct {
	conn net.Conn
	r    *bufio.Reader
	n    int
	caps []string
}

func (t *imapTalk) line() (string, error) {
	var out []byte
	for {
		part, more, err := t.r.ReadLine()
		if err != nil {
			return "", fmt.Errorf("read: %w", err)
		}
		if out = append(out, part...); len(out) > maxMailLine {
			return "", ErrTooLarge
		}
		if !more {
			return string(out), nil
		}
	}
}

// note keeps the capabilities of a line that has them.
func (t *imapTalk) note(line string) {
	rest, ok := strings.CutPrefix(line, "* CAPABILITY ")
	if !ok {
		if _, rest, ok = strings.Cut(line, "[CAPABILITY "); ok {
			rest, _, ok = strings.Cut(rest, "]")
		}
	}
	if ok {
		t.caps = strings.Fields(strings.ToUpper(rest))
		t.caps = slices.DeleteFunc(t.caps, func(c string) bool {
			return strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()[]{}%*"\`, r) })
		})
	}
}

// command sends one and waits for OK. What it sends besides the tag may be
// secret, what it returns names only the server's verdict. Asked to go on, it
// sends the next of the rest, or nothing.
func (t *imapTalk) command(text string, rest ...string) error {
	t.n++
	tag := fmt.Sprintf("L%d", t.n)
	if _, err := io.WriteString(t.conn, tag+" "+text+"\r\n"); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	for range maxMailLines {
		line, err := t.line()
		if err != nil {
			return err
		}
		t.note(line)
		switch reply, ok := strings.CutPrefix(line, tag+" "); {
		case ok:
			verdict, _, _ := strings.Cut(strings.ToUpper(reply), " ")
			if verdict == "OK" {
				return nil
			}
			return &imapNo{verdict == "NO", strings.Contains(strings.ToUpper(reply), "[UNAVAILABLE]")}
		case strings.HasPrefix(line, "+"):
			next := ""
			if len(rest) > 0 {
				next, rest = rest[0], rest[1:]
			}
			if _, err := io.WriteString(t.conn, next+"\r\n"); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		case strings.HasPrefix(strings.ToUpper(line), "* BYE"):
			return said("server said goodbye")
		}
	}
	return ErrTooLarge
}

// imapNo is a server's refusal (RFC 5530 for what is only away).
type imapNo struct{ no, away bool }

func (e *imapNo) Error() string {
	if e.away {
		return "server is not able to now"
	}
	return "server refused"
}

// signInIMAP takes a connection through STARTTLS, where the policy wants it, and
// through authentication.
func signInIMAP(ctx context.Context, p MailPolicy, conn net.Conn, login mailLogin) (net.Conn, []string, error) {
	t := &imapTalk{conn: conn, r: bufio.NewReader(conn)}
	greeting, err := t.line()
	if err != nil {
		return conn, nil, err
	}
	// PREAUTH would be someone else's mailbox, or a way around STARTTLS.
	if !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		return conn, nil, said("greeting is not OK")
	}
	t.note(greeting)
	if p.StartTLS {
		if err := t.command("CAPABILITY"); err != nil {
			return conn, nil, err
		}
		if !slices.Contains(t.caps, "STARTTLS") {
			return conn, nil, errNoStartTLS
		}
		if err := t.command("STARTTLS"); err != nil {
			return conn, nil, err
		}
		if t.r.Buffered() > 0 { // someone put words in front of the handshake
			return conn, nil, said("data before TLS")
		}
		if conn, err = startTLS(ctx, p, conn); err != nil {
			return nil, nil, err
		}
		t = &imapTalk{conn: conn, r: bufio.NewReader(conn)}
	}
	if t.caps == nil {
		if err := t.command("CAPABILITY"); err != nil {
			return conn, nil, err
		}
	}
	has := func(c string) bool { return slices.Contains(t.caps, c) }
	mechanism := login.mechanism(func(m string) bool { return has("AUTH=" + m) })
	before := t.caps
	t.caps = nil
	switch {
	case mechanism != "":
		text := base64.StdEncoding.EncodeToString([]byte(login.message(mechanism, p.Address)))
		if slices.Contains(before, "SASL-IR") {
			err = t.command("AUTHENTICATE "+mechanism+" "+text, giveUp(mechanism))
		} else {
			err = t.command("AUTHENTICATE "+mechanism, text, giveUp(mechanism))
		}
	case login.token || slices.Contains(before, "LOGINDISABLED"):
		return conn, nil, said("server offers no mechanism for this secret")
	default:
		user, password := login.user, login.secret()
		if !quotable(user) || !quotable(password) {
			err = t.command(fmt.Sprintf("LOGIN {%d}", len(user)), fmt.Sprintf("%s {%d}", user, len(password)), password)
		} else {
			err = t.command("LOGIN " + quote(user) + " " + quote(password))
		}
	}
	if no := (*imapNo)(nil); errors.As(err, &no) && no.no && !no.away {
		return conn, nil, fmt.Errorf("%w: %w", err, ErrReauth)
	}
	if err != nil {
		return conn, nil, err
	}
	if t.caps == nil {
		if err := t.command("CAPABILITY"); err != nil {
			return conn, nil, err
		}
	}
	if t.r.Buffered() > 0 {
		return conn, nil, said("data after signing in")
	}
	return conn, t.caps, nil
}

func quotable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// newMailConn wraps a signed-in connection so that it ends with what it rests
// on. It holds the connection by its methods alone, and says first what is in
// greeting.
func newMailConn(h Handle, c net.Conn, greeting string) net.Conn {
	return &mailConn{h: h, greeting: greeting, read: c.Read, write: c.Write, close: c.Close,
		local: c.LocalAddr, remote: c.RemoteAddr, deadline: c.SetDeadline, readDeadline: c.SetReadDeadline, writeDeadline: c.SetWriteDeadline}
}

type mailConn struct {
	h            Handle
	read, write  func([]byte) (int, error)
	close        func() error
	local        func() net.Addr
	remote       func() net.Addr
	deadline     func(time.Time) error
	readDeadline func(time.Time) error

	writeDeadline func(time.Time) error

	mu       sync.Mutex
	greeting string
	looked   time.Time
}

// lookEvery is how long a revocation may go unseen by a mail connection.
const lookEvery = time.Second

// check is nil while the connection may be used.
func (c *mailConn) check() error {
	err := c.h.covers()
	if err == nil {
		c.mu.Lock()
		now := c.h.h.safe.now()
		look := c.looked.IsZero() || now.Sub(c.looked) >= lookEvery
		c.mu.Unlock()
		if look {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err = c.h.h.safe.live(ctx, c.h.h.ref, c.h.h.version); err == nil {
				c.mu.Lock()
				c.looked = now
				c.mu.Unlock()
			}
		}
	}
	if err != nil {
		_ = c.close()
	}
	return err
}

// Read implements net.Conn.
func (c *mailConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.greeting != "" {
		n := copy(b, c.greeting)
		c.greeting = c.greeting[n:]
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	n, err := c.read(b)
	if err == nil {
		if err := c.check(); err != nil { // what came meanwhile is not handed over
			clear(b[:n])
			return 0, err
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *mailConn) Write(b []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	return c.write(b)
}

// Close implements net.Conn.
func (c *mailConn) Close() error { return c.close() }

// LocalAddr implements net.Conn.
func (c *mailConn) LocalAddr() net.Addr { return c.local() }

// RemoteAddr implements net.Conn.
func (c *mailConn) RemoteAddr() net.Addr { return c.remote() }

// SetDeadline implements net.Conn.
func (c *mailConn) SetDeadline(t time.Time) error { return c.deadline(t) }

// SetReadDeadline implements net.Conn.
func (c *mailConn) SetReadDeadline(t time.Time) error { return c.readDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *mailConn) SetWriteDeadline(t time.Time) error { return c.writeDeadline(t) }
