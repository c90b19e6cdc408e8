package msgraph

import (
	"context"
	"errors"
	"net/http"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Access is what a probe found out about the rights that an application was given.
type Access struct {
	// Missing are the kinds that cannot be read in the mailbox.
	Missing []connectors.Kind
	// Broad are the kinds that can be read in a mailbox that must be out of reach:
	// the application reaches more than the mailboxes that were meant.
	Broad []connectors.Kind
	// Unsure are the kinds for which nothing can be said, since the mailbox that
	// must be out of reach is not there.
	Unsure []connectors.Kind
}

// Probe finds out before anything is synchronised what an application reaches. It
// lists one item of each kind in the mailbox that is to be synchronised, and in one
// that must be out of reach, as that of somebody who does not take part; nil leaves
// that out. It reads ids and nothing else. Rights to write show only when something
// is written. An answer that tells neither is an error.
func Probe(ctx context.Context, mailbox, stranger *connectors.Conn, kinds ...connectors.Kind) (Access, error) {
	var out Access
	for _, k := range kinds {
		refused, _, err := refuses(ctx, mailbox, k)
		if err != nil {
			return Access{}, err
		}
		if refused {
			out.Missing = append(out.Missing, k)
		}
		if stranger == nil {
			continue
		}
		refused, there, err := refuses(ctx, stranger, k)
		switch {
		case err != nil:
			return Access{}, err
		case !there:
			out.Unsure = append(out.Unsure, k)
		case !refused:
			out.Broad = append(out.Broad, k)
		}
	}
	return out, nil
}

// refuses reports whether a mailbox is out of reach, and whether there is one.
func refuses(ctx context.Context, c *connectors.Conn, k connectors.Kind) (refused, there bool, err error) {
	_, err = c.List(ctx, k, "", 1)
	var e *connectors.Error
	if errors.Is(err, connectors.ErrForbidden) && errors.As(err, &e) {
		return true, e.Status != http.StatusNotFound, nil
	}
	return false, true, err
}
