package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// create makes items that carry their keys.
func (s session) create(ctx context.Context, ds []connectors.Draft) ([]connectors.Written, error) {
	if s.s.write == nil {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "mails are only read"}
	}
	out := make([]connectors.Written, len(ds))
	in, err := s.followed(ctx)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	var ps []part
	var at []int
	for i, d := range ds {
		if err := s.s.can.Fit(d.Record, connectors.Fields(s.kind)); err != nil {
			out[i].Err = err
			continue
		}
		body, err := s.s.write(d.Record, connectors.Fields(s.kind), nil)
		if err != nil {
			out[i].Err = err
			continue
		}
		if s.kind == connectors.KindTask {
			body["extensions"] = []extension{{Type: openType, Name: keyExtension, Key: d.Key}}
		} else {
			properties, _ := body[extended].([]map[string]any)
			body[extended] = append(properties, map[string]any{"id": keyProperty, "value": d.Key})
		}
		if s.kind == connectors.KindAppointment {
			body["transactionId"] = d.Key
		}
		ps, at = append(ps, part{method: http.MethodPost, path: s.d.user + in.followed[0].list, body: body}), append(at, i)
	}
	return s.finish(ctx, ps, at, out)
}

const extended = "singleValueExtendedProperties"

// update changes fields of items as they were last seen.
func (s session) update(ctx context.Context, es []connectors.Edit) ([]connectors.Written, error) {
	if s.s.write == nil {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "mails are only read"}
	}
	out := make([]connectors.Written, len(es))
	ids := make([]string, len(es))
	for i, e := range es {
		ids[i] = e.ID
	}
	// Graph replaces lists as a whole, so that what is in them is read first.
	now, errs, err := s.items(ctx, ids)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	var ps []part
	var at []int
	for i, e := range es {
		if errs[i] == nil && now[i].ETag != e.Rev {
			errs[i] = &connectors.Error{Class: connectors.ErrPrecondition, ID: e.ID}
		}
		if errs[i] == nil {
			errs[i] = s.writable(e)
		}
		if errs[i] != nil {
			out[i].Err = errs[i]
			continue
		}
		body, err := s.s.write(e.Record, e.Fields, &now[i])
		if err != nil {
			out[i].Err = named(err, e.ID)
			continue
		}
		if len(body) == 0 { // nothing that can be written
			out[i] = connectors.Written{ID: e.ID, Rev: e.Rev, Modified: now[i].Modified}
			continue
		}
		ps, at = append(ps, part{method: http.MethodPatch, path: now[i].path, match: e.Rev, body: body}), append(at, i)
	}
	return s.finish(ctx, ps, at, out)
}

// writable refuses an edit of what cannot be written, or of what does not fit.
func (s session) writable(e connectors.Edit) error {
	for _, f := range e.Fields {
		if l, ok := s.s.can.Fields[f]; !ok || l.ReadOnly {
			return &connectors.Error{Class: connectors.ErrInvalid, ID: e.ID, Field: f, Detail: "cannot be written"}
		}
	}
	r := e.Record.Clone()
	r.ID = e.ID
	return s.s.can.Fit(r, e.Fields)
}

// remove deletes items as they were last seen, and no meeting.
func (s session) remove(ctx context.Context, ts []connectors.Target) ([]connectors.Written, error) {
	if s.s.write == nil {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "mails are only read"}
	}
	out := make([]connectors.Written, len(ts))
	ids := make([]string, len(ts))
	for i, t := range ts {
		ids[i] = t.ID
	}
	now, errs, err := s.items(ctx, ids)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	var ps []part
	var at []int
	for i, t := range ts {
		out[i].ID = t.ID
		switch {
		case errors.Is(errs[i], connectors.ErrNotFound):
			continue // gone already
		case errs[i] != nil:
			out[i].Err = errs[i]
			continue
		case now[i].ETag != t.Rev:
			out[i].Err = &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
			continue
		case s.kind == connectors.KindAppointment && meeting(now[i].raw):
			out[i].Err = &connectors.Error{Class: connectors.ErrInvalid, ID: t.ID, Field: connectors.FieldAttendees,
				Detail: "deleting a meeting sends cancellations: its organizer has to do it"}
			continue
		}
		ps, at = append(ps, part{method: http.MethodDelete, path: now[i].path, match: t.Rev}), append(at, i)
	}
	return s.finish(ctx, ps, at, out)
}

// finish sends writes batch by batch. Where the fate of one batch is unknown
// the others' is not.
func (s session) finish(ctx context.Context, ps []part, at []int, out []connectors.Written) ([]connectors.Written, error) {
	rs := make([]remote.Response, len(ps))
	for from := 0; from < len(ps); from += maxBatch {
		to := min(from+maxBatch, len(ps))
		chosen := make([]int, 0, to-from)
		for i := from; i < to; i++ {
			chosen = append(chosen, i)
		}
		err := s.send(ctx, ps, chosen, rs)
		if err != nil && from == 0 && to == len(ps) && len(ps) == len(out) {
			return nil, err
		}
		for i := from; i < to; i++ {
			w := &out[at[i]]
			if err != nil {
				w.Err = named(err, w.ID)
				continue
			}
			s.settle(w, ps[i], rs[i])
		}
	}
	return out, nil
}

// settle reads the answer to one write.
func (s session) settle(w *connectors.Written, p part, r remote.Response) {
	err := classify(r, true)
	if p.method == http.MethodDelete {
		if err != nil && !errors.Is(err, connectors.ErrNotFound) {
			w.Err = named(err, w.ID)
		}
		return
	}
	if err != nil {
		w.Err = named(err, w.ID)
		return
	}
	var v item
	if err := json.Unmarshal(r.Body, &v); err != nil || v.ID == "" || v.ETag == "" {
		w.Err = &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: w.ID, Detail: "answer to a write"}
		return
	}
	w.ID, w.Rev, w.Modified = v.ID, v.ETag, v.Modified
}
