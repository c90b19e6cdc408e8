package gormstate

import (
	linked "container/list"
	"context"
	"database/sql"
	"errors"
	"os"
	gosync "sync"
)

// kept is an open file that no round uses.
type kept struct {
	base string
	db   *sql.DB
	statements
	files [2]os.FileInfo // state and key, as they were when it was opened
	ids   []byte         // key of the hashes of ids; nil until it is needed
}

// idle keeps the files that were used last open for their next round, up to a
// bound: opening one means unwrapping its key, reading its schema and a dozen
// system calls, and each that is open takes descriptors and memory.
type idle struct {
	mu    gosync.Mutex
	max   int
	by    map[string]*linked.Element
	order linked.List // of *kept, newest first
}

func newIdle(max int) *idle { return &idle{max: max, by: map[string]*linked.Element{}} }

// look returns what the files of a state are now.
func look(base string) (is [2]os.FileInfo, err error) {
	for i, ext := range []string{".state", ".key"} {
		if is[i], err = os.Stat(base + ext); err != nil {
			return is, err
		}
	}
	return is, nil
}

// take hands out the open file of a state, nil if there is none. One whose files
// were removed or replaced meanwhile is closed: what they were is no longer true.
func (c *idle) take(base string) *kept {
	c.mu.Lock()
	e := c.by[base]
	if e == nil {
		c.mu.Unlock()
		return nil
	}
	k := c.drop(e)
	c.mu.Unlock()
	now, err := look(base)
	if err != nil || !os.SameFile(now[0], k.files[0]) || !os.SameFile(now[1], k.files[1]) || !now[1].ModTime().Equal(k.files[1].ModTime()) {
		_ = k.db.Close() // nothing in it was uncommitted
		return nil
	}
	return k
}

// put takes back an open file, and closes what is too much.
func (c *idle) put(ctx context.Context, k *kept) error {
	if c.max <= 0 {
		return k.db.Close()
	}
	if _, err := k.db.ExecContext(ctx, "PRAGMA shrink_memory"); err != nil {
		return errors.Join(err, k.db.Close())
	}
	c.mu.Lock()
	var over []*kept
	if e := c.by[k.base]; e != nil { // two had it open
		over = append(over, c.drop(e))
	}
	c.by[k.base] = c.order.PushFront(k)
	for c.order.Len() > c.max {
		over = append(over, c.drop(c.order.Back()))
	}
	c.mu.Unlock()
	var errs []error
	for _, k := range over {
		errs = append(errs, k.db.Close())
	}
	return errors.Join(errs...)
}

func (c *idle) drop(e *linked.Element) *kept {
	k := c.order.Remove(e).(*kept)
	delete(c.by, k.base)
	return k
}

// close closes all of them.
func (c *idle) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for c.order.Len() > 0 {
		errs = append(errs, c.drop(c.order.Front()).db.Close())
	}
	return errors.Join(errs...)
}
