package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
)

// watch knows how the keeper of the keys is. While it is away no round begins:
// each would fail in its middle, at whichever mailbox needs a key first. Safe for
// concurrent use.
type watch struct {
	probe secrets.Prober              // nil: there is nothing that could be away
	check func(context.Context) error // nil, or why the keeper is not the one it should be; set before run
	told  func(keeperState)           // hears from run of each change; set before that

	mu sync.Mutex
	is keeperState
}

// keeperState is how the keeper is.
type keeperState struct {
	State  secrets.State
	Code   string // of what is wrong; empty: nothing is
	Detail string // one sentence for an operator
	Since  time.Time
	Seen   time.Time // when it was last looked at
}

// Ready reports whether keys can be had.
func (s keeperState) Ready() bool { return s.State == secrets.Ready }

const (
	watchEvery = 2 * time.Second // while it is ready
	watchAway  = time.Second     // while it is not
	watchTime  = 5 * time.Second // one look
)

func newWatch(k secrets.Keeper) *watch {
	w := &watch{told: func(keeperState) {}, is: keeperState{State: secrets.Ready, Detail: "a file on this machine", Since: now(), Seen: now()}}
	w.probe, _ = k.(secrets.Prober)
	return w
}

func (w *watch) read() keeperState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.is
}

// look asks the keeper and returns how it is.
func (w *watch) look(ctx context.Context) keeperState {
	if w.probe == nil {
		return w.read()
	}
	try, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	h, err := w.probe.Probe(try)
	if ctx.Err() != nil { // we are ending, which says nothing of it
		return w.read()
	}
	is := keeperState{State: h.State, Detail: h.Detail, Seen: now()}
	if err != nil || is.State == "" {
		is.State = secrets.Unreachable
	}
	if !is.Ready() {
		is.Code = codeOf(is.State)
		if w.check != nil && errors.Is(w.check(try), hashivault.ErrWrongVault) {
			is.Code = codeWrong
		}
	}
	w.mu.Lock()
	was := w.is
	if is.Since = was.Since; is.State != was.State {
		is.Since = is.Seen
	}
	w.is = is
	w.mu.Unlock()
	return is
}

// run looks until the context ends.
func (w *watch) run(ctx context.Context) {
	if w.probe == nil {
		return
	}
	for was := w.read().State; ; {
		wait, is := watchEvery, w.look(ctx)
		if !is.Ready() {
			wait = watchAway
		}
		if is.State != was {
			was = is.State
			w.told(is)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// health answers what a machine asks: whether the server does its work and, if
// not, why. It says nothing of anybody's mailbox, and so asks for no permission.
func (p *page) health(w http.ResponseWriter, _ *http.Request) {
	is := p.h.watch.read()
	out := struct {
		Status string `json:"status"` // "ok", or "paused" while there are no keys
		Keeper struct {
			Kind   string        `json:"kind"`
			State  secrets.State `json:"state"`
			Code   string        `json:"code,omitempty"`
			Detail string        `json:"detail,omitempty"`
			Since  time.Time     `json:"since"`
		} `json:"keeper"`
	}{Status: "ok"}
	status := http.StatusOK
	if !is.Ready() {
		out.Status, status = "paused", http.StatusServiceUnavailable
	}
	out.Keeper.Kind = p.h.dir.kind()
	out.Keeper.State, out.Keeper.Code, out.Keeper.Detail, out.Keeper.Since = is.State, is.Code, is.Detail, is.Since.UTC().Truncate(time.Second)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(out)
}
