package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// once remembers the answers to changes that were asked for with an
// Idempotency-Key, for a day or until there are many, in this process.
type once struct {
	mu    *sync.Mutex
	known map[onceKey]*outcome
	order []kept // oldest first
}

// kept is an outcome under its key.
type kept struct {
	key onceKey
	*outcome
}

type onceKey struct {
	who       authz.Principal
	operation string
	key       string
}

type outcome struct {
	body [sha256.Size]byte
	at   time.Time
	done chan struct{} // closed when there is an answer
	out  any
}

const (
	onceFor  = 24 * time.Hour
	onceMany = 10_000
)

func newOnce() once { return once{mu: &sync.Mutex{}, known: map[onceKey]*outcome{}} }

// do makes a change unless it was made under the key before, and then answers the
// same. The key with another body is refused. What failed may be tried again.
func (o *once) do(ctx context.Context, key onceKey, body []byte, change func() (any, error)) (any, error) {
	if key.key == "" {
		return change()
	}
	sum := sha256.Sum256(body)
	for {
		o.mu.Lock()
		before := o.known[key]
		if before != nil && time.Since(before.at) > onceFor {
			before = nil
		}
		if before == nil {
			now := &outcome{body: sum, at: time.Now(), done: make(chan struct{})}
			o.keep(key, now)
			o.mu.Unlock()
			return o.first(key, now, change)
		}
		o.mu.Unlock()
		if before.body != sum {
			return nil, problem(http.StatusUnprocessableEntity, "idempotency-key", "This Idempotency-Key came with another body before.", "Use a new key for a new change.")
		}
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if before.out != nil {
			return before.out, nil
		}
	}
}

// first makes a change and keeps its answer, or forgets the key if it failed.
func (o *once) first(key onceKey, now *outcome, change func() (any, error)) (out any, err error) {
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil || out == nil {
			if o.known[key] == now {
				delete(o.known, key)
			}
		}
		now.out = out
		close(now.done)
	}()
	out, err = change()
	if err != nil {
		out = nil
	}
	return out, err
}

// keep notes a key, in place of the oldest where there are many. For whoever has
// the lock.
func (o *once) keep(key onceKey, x *outcome) {
	o.known[key] = x
	o.order = append(o.order, kept{key, x})
	for len(o.order) > onceMany {
		if old := o.order[0]; o.known[old.key] == old.outcome {
			delete(o.known, old.key)
		}
		o.order = o.order[1:]
	}
}
