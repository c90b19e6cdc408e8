package hashivault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// documents are JSON documents in a folder of a KV version 2 mount.
type documents struct {
	c            *Client
	mount, under string
	what         string       // what is in them, for errors
	fit          *atomic.Bool // the mount is of version 2
}

func newDocuments(c *Client, under, what string) documents {
	return documents{c, c.cfg.KV, under, what, new(atomic.Bool)}
}

// errRace means that another wrote the document meanwhile.
var errRace = errors.New("written by another")

func (d documents) path(kind, name string) string {
	return d.mount + "/" + kind + "/" + d.under + "/" + name
}

// versioned makes sure, once, that the mount is of version 2: one of version 1
// would take what is written, and keep no version of it. Whoever may use a mount
// may ask.
func (d documents) versioned(ctx context.Context) error {
	const op = "look at the mount"
	if d.fit.Load() {
		return nil
	}
	a, err := d.c.do(ctx, query{op: op, method: http.MethodGet, path: "sys/internal/ui/mounts/" + d.mount, again: true})
	if err != nil {
		return err
	}
	var m struct {
		Type    string
		Options struct{ Version string }
	}
	if err := a.into(op, &m); err != nil {
		return err
	}
	if m.Type != "kv" || m.Options.Version != "2" {
		return &Error{Op: op, State: secrets.Misused, Reason: "the KV engine at the mount is not of version 2"}
	}
	d.fit.Store(true)
	return nil
}

// kvAnswer is what KV version 2 answers to a read.
type kvAnswer struct {
	Data     json.RawMessage
	Metadata *struct {
		Version   uint64
		Deleted   string `json:"deletion_time"`
		Destroyed bool
	}
}

// read decodes a document into v and returns its version; 0 means that there is
// none and never was. One that was deleted answers without error and without
// data: it is damaged, because nothing of ours deletes.
func (d documents) read(ctx context.Context, name string, v any) (uint64, error) {
	op := "read " + d.what
	if err := d.versioned(ctx); err != nil {
		return 0, err
	}
	a, err := d.c.do(ctx, query{op: op, method: http.MethodGet, path: d.path("data", name), again: true})
	if err != nil {
		return 0, err
	}
	var in kvAnswer
	if err := a.into(op, &in); err != nil {
		return 0, err
	}
	switch {
	case a.status == http.StatusNotFound && in.Metadata == nil && len(a.errs) == 0:
		return 0, nil
	case a.status != http.StatusOK && in.Metadata == nil:
		return 0, &Error{Op: op, State: secrets.Misused, Reason: "there is no KV engine of version 2 at the mount"}
	case in.Metadata == nil || in.Metadata.Version == 0:
		return 0, &Error{Op: op, State: secrets.Misused, Reason: "the KV engine at the mount is not of version 2"}
	case in.Metadata.Deleted != "" && over(in.Metadata.Deleted), in.Metadata.Destroyed, len(in.Data) == 0, string(in.Data) == "null":
		return 0, fmt.Errorf("hashivault: %s: %s: version %d has no content, undelete it or restore a backup: %w", op, name, in.Metadata.Version, ErrDamaged)
	}
	if err := json.Unmarshal(in.Data, v); err != nil {
		return 0, fmt.Errorf("hashivault: %s: %s: %w", op, name, ErrDamaged)
	}
	return in.Metadata.Version, nil
}

// over reports whether a deletion time has come; with delete_version_after it
// lies ahead.
func over(s string) bool {
	t, err := time.Parse(time.RFC3339Nano, s)
	return err != nil || !time.Now().Before(t)
}

// write stores a document over a version, 0 for a new one, and returns the
// version that it has then. It is errRace when another was faster.
func (d documents) write(ctx context.Context, name string, v any, over uint64) (uint64, error) {
	op := "write " + d.what
	body := map[string]any{"options": map[string]uint64{"cas": over}, "data": v}
	a, err := d.c.do(ctx, query{op: op, method: http.MethodPut, path: d.path("data", name), body: body})
	if err != nil {
		return 0, err
	}
	if a.says("check-and-set parameter did not match") {
		return 0, errRace
	}
	var out struct{ Version uint64 }
	if a.status != http.StatusOK {
		return 0, &Error{Op: op, State: secrets.Misused, Reason: "it refused the document"}
	}
	if err := a.into(op, &out); err != nil {
		return 0, err
	}
	if out.Version != over+1 {
		return 0, &Error{Op: op, State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
	}
	return out.Version, nil
}

// list returns the names of the documents in a folder below, "" for the
// documents' own, and with a slash behind them those of the folders in it.
func (d documents) list(ctx context.Context, folder string) ([]string, error) {
	op := "list " + d.what
	a, err := d.c.do(ctx, query{op: op, method: "LIST", path: strings.TrimSuffix(d.path("metadata", folder), "/"), again: true})
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotFound && len(a.errs) == 0 {
		return nil, nil
	}
	var out struct{ Keys []string }
	if a.status != http.StatusOK {
		return nil, &Error{Op: op, State: secrets.Misused, Reason: "there is no KV engine of version 2 at the mount"}
	}
	if err := a.into(op, &out); err != nil {
		return nil, err
	}
	return out.Keys, nil
}

// destroyBefore destroys every version before the given one, for good.
func (d documents) destroyBefore(ctx context.Context, name string, version uint64) error {
	op := "destroy " + d.what
	a, err := d.c.do(ctx, query{op: op, method: http.MethodGet, path: d.path("metadata", name), again: true})
	if err != nil {
		return err
	}
	var meta struct {
		Versions map[string]struct{ Destroyed bool }
	}
	if a.status != http.StatusOK {
		return &Error{Op: op, State: secrets.Misused, Reason: "it does not tell the document's versions"}
	}
	if err := a.into(op, &meta); err != nil {
		return err
	}
	var gone []uint64
	for s, v := range meta.Versions {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return &Error{Op: op, State: secrets.Misused, Reason: "the answer is not what Vault's should be"}
		}
		if n < version && !v.Destroyed {
			gone = append(gone, n)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	a, err = d.c.do(ctx, query{op: op, method: http.MethodPut, path: d.path("destroy", name), body: map[string]any{"versions": gone}, again: true})
	if err != nil {
		return err
	}
	if a.status >= 300 {
		return &Error{Op: op, State: secrets.Misused, Reason: "it did not destroy earlier versions"}
	}
	return nil
}

// remove removes a document with all its versions, for good.
func (d documents) remove(ctx context.Context, name string) error {
	op := "remove " + d.what
	a, err := d.c.do(ctx, query{op: op, method: http.MethodDelete, path: d.path("metadata", name), again: true})
	if err == nil && a.status >= 300 && a.status != http.StatusNotFound {
		err = &Error{Op: op, State: secrets.Misused, Reason: "it did not remove a document"}
	}
	return err
}
