package connectors

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// Watch asks a system to tell an address when something in a container changes.
// What it then says is a hint to look for changes and nothing else. Formatting one
// does not show its state.
type Watch struct {
	ID    string    // of the watch that is renewed, "" for a new one
	URL   string    // https, where notifications go
	State string    // what notifications carry so that they are believed, 16 to 128 bytes
	Until time.Time // when it ends; a system may end it earlier, and says so
}

// Format prints id and end.
func (w Watch) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "watch %q until %s", w.ID, w.Until) }

// Watched is a watch that is open.
type Watched struct {
	ID    string
	Until time.Time
}

// Watcher is what a Driver implements beside its other verbs when its system can
// tell of changes.
type Watcher interface {
	// Watch opens a watch, or renews the one with the given id: one that is gone is
	// ErrNotFound, and has to be opened anew.
	Watch(ctx context.Context, c Call, k Kind, w Watch) (Watched, error)

	// Unwatch ends a watch. One that is gone already is a success.
	Unwatch(ctx context.Context, c Call, k Kind, id string) error
}

// Watch opens or renews a watch; see Watcher. Needs items.read. A system that tells
// nobody is ErrUnsupported.
func (c *Conn) Watch(ctx context.Context, k Kind, w Watch) (Watched, error) {
	const op = "watch"
	call, err := c.begin(ctx, op, k, read)
	if err != nil {
		return Watched{}, err
	}
	defer call.end()
	d, ok := c.driver.(Watcher)
	if !ok {
		return Watched{}, &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnsupported}
	}
	if u, err := url.Parse(w.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(w.State) < 16 || len(w.State) > 128 || w.Until.IsZero() || len(w.ID) > MaxID {
		return Watched{}, c.invalid(op, k, "a watch needs an https address, a state that cannot be guessed and an end")
	}
	out, err := d.Watch(ctx, call, k, w)
	if err != nil {
		return Watched{}, c.wrap(op, k, err)
	}
	if out.ID == "" || len(out.ID) > MaxID || out.Until.IsZero() {
		return Watched{}, c.malformed(op, k, "watch without id or end")
	}
	return out, nil
}

// Unwatch ends a watch. Needs items.read. One that is gone already is a success.
func (c *Conn) Unwatch(ctx context.Context, k Kind, id string) error {
	const op = "unwatch"
	call, err := c.begin(ctx, op, k, read)
	if err != nil {
		return err
	}
	defer call.end()
	d, ok := c.driver.(Watcher)
	if !ok {
		return &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnsupported}
	}
	if err := named(id); err != nil {
		return c.wrap(op, k, err)
	}
	if err := d.Unwatch(ctx, call, k, id); err != nil {
		return c.wrap(op, k, err)
	}
	return nil
}
