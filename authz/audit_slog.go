package authz

import (
	"context"
	"errors"
	"log/slog"
)

// slogSink hands audit records to a handler of log/slog.
type slogSink struct {
	h    slog.Handler
	seq  uint64
	head Hash
}

// NewSlog returns a Sink that logs each record with the attributes of an
// AuditRecord: names and ids, and no content. What was refused is a warning, the
// rest is information; a handler that leaves out either, or fails, has not taken
// the record, and what it was for is refused.
//
// A log cannot be asked where it ends. Head is what this Sink has logged itself,
// so that each process begins a chain of its own with sequence 1, and whether
// the log is kept is the log's business. Where that is not enough, Tee it behind
// a Sink that can be resumed.
func NewSlog(h slog.Handler) Sink { return &slogSink{h: h} }

// Append implements Sink. Since a log takes nothing back, a failure leaves what
// was logged before it, and the chain goes on from there.
func (s *slogSink) Append(ctx context.Context, rs []AuditRecord) error {
	if s.h == nil {
		return errors.New("authz: audit: no slog handler")
	}
	for _, r := range rs {
		level := slog.LevelInfo
		if !r.Allowed {
			level = slog.LevelWarn
		}
		if !s.h.Enabled(ctx, level) {
			return errors.New("authz: audit: the slog handler leaves out " + level.String())
		}
		x := slog.NewRecord(r.Time, level, "authz decision", 0)
		x.AddAttrs(r.attributes()...)
		if err := s.h.Handle(ctx, x); err != nil {
			return err
		}
		s.seq, s.head = r.Sequence, r.Hash
	}
	return nil
}

// Head implements Sink.
func (s *slogSink) Head(context.Context) (uint64, Hash, error) { return s.seq, s.head, nil }

func (r AuditRecord) attributes() []slog.Attr {
	hex := func(h Hash) string { b, _ := h.MarshalText(); return string(b) }
	return []slog.Attr{
		slog.Uint64("seq", r.Sequence),
		slog.String("decision", r.Decision.String()),
		slog.String("cause", r.Cause.String()),
		slog.String("principal", r.Principal.name),
		slog.String("on_behalf_of", r.OnBehalfOf.name),
		slog.String("permission", r.Permission.name),
		slog.String("resource", r.Resource.path),
		slog.Bool("allowed", r.Allowed),
		slog.String("reason", r.Reason),
		slog.Uint64("revision", r.Revision),
		slog.String("previous", hex(r.Previous)),
		slog.String("hash", hex(r.Hash)),
	}
}
