package ews

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// create makes items that carry their keys, and tells nobody.
func (s session) create(ctx context.Context, ds []connectors.Draft) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(ds))
	var bodies []string
	var at []int
	for i, d := range ds {
		err := s.s.can.Fit(d.Record, connectors.Fields(s.kind))
		if err == nil && connectors.NormalizeText("", d.Key) != d.Key {
			err = &connectors.Error{Class: connectors.ErrInvalid, Detail: "key that XML cannot hold"}
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		var b strings.Builder
		b.WriteString("<t:" + s.s.item() + ">")
		key := "<t:ExtendedProperty>" + keyURI + "<t:Value>" + esc(d.Key) + "</t:Value></t:ExtendedProperty>"
		b.WriteString(s.whole(d.Record, key))
		b.WriteString("</t:" + s.s.item() + ">")
		bodies, at = append(bodies, b.String()), append(at, i)
	}
	return s.finish(ctx, bodies, at, out, func(items string) string {
		quiet := ""
		if s.kind == connectors.KindAppointment {
			quiet = ` SendMeetingInvitations="SendToNone"`
		}
		return `<m:CreateItem` + quiet + `><m:SavedItemFolderId>` + s.folder() + `</m:SavedItemFolderId><m:Items>` + items + `</m:Items></m:CreateItem>`
	})
}

// update changes fields of items as they were last seen, and tells nobody.
func (s session) update(ctx context.Context, es []connectors.Edit) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(es))
	var bodies []string
	var at []int
	for i, e := range es {
		out[i].ID = e.ID
		if err := s.writable(e); err != nil {
			out[i].Err = err
			continue
		}
		var b strings.Builder
		b.WriteString(`<t:ItemChange><t:ItemId Id="` + esc(e.ID) + `" ChangeKey="` + esc(e.Rev) + `"/><t:Updates>`)
		for _, p := range s.s.fields {
			if p.field == "" || !slices.Contains(e.Fields, p.field) {
				continue
			}
			v := p.write(e.Record)
			if v == "" && p.keep {
				continue
			}
			if v == "" {
				b.WriteString("<t:DeleteItemField>" + p.uri() + "</t:DeleteItemField>")
				continue
			}
			b.WriteString("<t:SetItemField>" + p.uri() + "<t:" + s.s.item() + ">" + v + "</t:" + s.s.item() + "></t:SetItemField>")
		}
		b.WriteString(`</t:Updates></t:ItemChange>`)
		bodies, at = append(bodies, b.String()), append(at, i)
	}
	return s.finish(ctx, bodies, at, out, func(items string) string {
		quiet := ""
		if s.kind == connectors.KindAppointment {
			quiet = ` SendMeetingInvitationsOrCancellations="SendToNone"`
		}
		return `<m:UpdateItem MessageDisposition="SaveOnly" ConflictResolution="NeverOverwrite"` + quiet + `><m:ItemChanges>` + items + `</m:ItemChanges></m:UpdateItem>`
	})
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

// remove moves items as they were last seen to the deleted ones, and tells nobody.
func (s session) remove(ctx context.Context, ts []connectors.Target) ([]connectors.Written, error) {
	out := make([]connectors.Written, len(ts))
	ids := make([]string, len(ts))
	for i, t := range ts {
		ids[i], out[i].ID = t.ID, t.ID
	}
	found, errs, err := s.items(ctx, ids, bare)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	var bodies []string
	var at []int
	for i, t := range ts {
		switch {
		case errors.Is(errs[i], connectors.ErrNotFound): // gone already
		case errs[i] != nil:
			out[i].Err = errs[i]
		case found[i].ItemID.ChangeKey != t.Rev:
			out[i].Err = &connectors.Error{Class: connectors.ErrPrecondition, ID: t.ID}
		default:
			bodies, at = append(bodies, `<t:ItemId Id="`+esc(t.ID)+`" ChangeKey="`+esc(t.Rev)+`"/>`), append(at, i)
		}
	}
	return s.finish(ctx, bodies, at, out, func(items string) string {
		quiet := ""
		switch s.kind {
		case connectors.KindAppointment:
			quiet = ` SendMeetingCancellations="SendToNone"`
		case connectors.KindTask: // of a series of tasks, this one
			quiet = ` AffectedTaskOccurrences="SpecifiedOccurrenceOnly"`
		}
		return `<m:DeleteItem DeleteType="MoveToDeletedItems"` + quiet + `><m:ItemIds>` + items + `</m:ItemIds></m:DeleteItem>`
	})
}

// finish sends writes in one operation and reads the answer to each.
func (s session) finish(ctx context.Context, bodies []string, at []int, out []connectors.Written, operation func(string) string) ([]connectors.Written, error) {
	for from := 0; from < len(bodies); from += batch {
		to := min(from+batch, len(bodies))
		ms, err := s.do(ctx, operation(strings.Join(bodies[from:to], "")), true, to-from)
		if err != nil && len(bodies) == len(out) && from == 0 && to == len(bodies) {
			return nil, err
		}
		for i := from; i < to; i++ {
			w := &out[at[i]]
			if err != nil {
				w.Err = named(err, w.ID)
				continue
			}
			m := ms[i-from]
			gone := len(m.Items.List) == 0
			switch merr := m.err(); {
			case merr != nil && strings.HasPrefix(bodies[i], "<t:ItemId ") && errors.Is(merr, connectors.ErrNotFound): // deleted by somebody else
			case merr != nil:
				w.Err = named(merr, w.ID)
			case strings.HasPrefix(bodies[i], "<t:ItemId "): // a deletion answers with nothing
			case gone || m.Items.List[0].ItemID.ID == "":
				w.Err = &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: w.ID, Detail: "answer to a write"}
			default:
				w.ID, w.Rev = m.Items.List[0].ItemID.ID, m.Items.List[0].ItemID.ChangeKey
			}
		}
	}
	return out, nil
}
