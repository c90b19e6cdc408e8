package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Event is one recorded decision or change.
type Event struct {
	Sequence   uint64    `json:"sequence" doc:"From 1, without gaps"`
	Time       time.Time `json:"time"`
	Decision   string    `json:"decision" format:"uuid"`
	Cause      string    `json:"cause,omitempty" format:"uuid" doc:"The decision that led to this one"`
	Principal  string    `json:"principal"`
	OnBehalfOf string    `json:"on_behalf_of,omitempty"`
	Permission string    `json:"permission"`
	Resource   string    `json:"resource"`
	Allowed    bool      `json:"allowed"`
	Reason     string    `json:"reason"`
	Revision   uint64    `json:"revision"`
	Hash       string    `json:"hash" doc:"Of this record and of the one before"`
}

type eventsIn struct {
	Paging
	Under string `query:"under" maxLength:"17000" example:"tenants/acme" doc:"What was decided on it or below; the root if it is missing"`
}

type eventsOut struct {
	Body struct {
		Items []Event `json:"items" doc:"May be fewer than a page holds, even none, while there is a next one"`
		Next  string  `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
	}
}

type chainOut struct {
	Body struct {
		Whole    bool   `json:"whole" doc:"No record was altered or left out"`
		Verified uint64 `json:"verified" doc:"How many records were followed, from the first"`
		Head     string `json:"head,omitempty" doc:"The hash of the last of them: note it elsewhere to see later that nothing was cut off"`
	}
}

type changesIn struct {
	Paging
	Under string `query:"under" maxLength:"17000" example:"tenants/acme" doc:"As far as this is concerned; the root if it is missing"`
}

// Revision is one change of who holds what.
type Revision struct {
	Revision uint64       `json:"revision"`
	Author   string       `json:"author,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Time     time.Time    `json:"time"`
	Removed  []Assignment `json:"removed"`
	Added    []Assignment `json:"added"`
	Left     []Member     `json:"left"`
	Joined   []Member     `json:"joined"`
}

// Member is in a team.
type Member struct {
	Member string `json:"member"`
	Team   string `json:"team"`
}

type changesOut struct {
	Body struct {
		Items []Revision `json:"items"`
		Next  string     `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
	}
}

// looked is how many records one page looks through.
const looked = 5000

// history registers what was decided and what was changed.
func (a *api) history() {
	handle(a, operation{id: "listAuditEvents", verb: http.MethodGet, path: "/v1/audit-events", permission: "audit.read",
		summary: "List recorded decisions", about: "Newest first. Asked on what was decided on."},
		func(in *eventsIn) (authz.Resource, error) { return a.place("under", in.Under) }, a.events)
	handle(a, operation{id: "verifyAuditChain", verb: http.MethodGet, path: "/v1/audit-chain", permission: "audit.read",
		summary: "Prove the record", about: "Follows the chain of hashes from the first record to the last. Asked on the root."},
		func(*nowhere) (authz.Resource, error) { return a.Root, nil },
		func(ctx context.Context, _ authz.Grant, _ authz.Resource, _ *nowhere) (*chainOut, error) {
			out := &chainOut{}
			n, head, err := authz.Verify(a.Records.Records(ctx, 0, false))
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			out.Body.Whole, out.Body.Verified = err == nil, n
			if n > 0 {
				b, err := head.MarshalText()
				if err != nil {
					return nil, err
				}
				out.Body.Head = string(b)
			}
			return out, nil
		})
	handle(a, operation{id: "listChanges", verb: http.MethodGet, path: "/v1/changes", permission: reading,
		summary: "List changes of who holds what", about: "Oldest first. Asked on what they concern; of a change of which something is left out the reason is too."},
		func(in *changesIn) (authz.Resource, error) { return a.place("under", in.Under) }, a.changes)
}

func (a *api) events(ctx context.Context, _ authz.Grant, under authz.Resource, in *eventsIn) (*eventsOut, error) {
	question := "audit-events\n" + under.String()
	before, err := a.number(ctx, question, in.Cursor)
	if err != nil {
		return nil, err
	}
	out, seen := &eventsOut{}, 0
	out.Body.Items = []Event{}
	var last uint64
	for r, err := range a.Records.Records(ctx, before, true) {
		if err != nil {
			return nil, err
		}
		if len(out.Body.Items) == in.Limit || seen == looked {
			out.Body.Next = a.cursors.seal(askedBy(ctx).who, question, strconv.FormatUint(last, 10))
			break
		}
		last = r.Sequence
		seen++
		if under.Contains(r.Resource) {
			e, err := eventOf(r)
			if err != nil {
				return nil, err
			}
			out.Body.Items = append(out.Body.Items, e)
		}
	}
	return out, nil
}

func (a *api) changes(ctx context.Context, g authz.Grant, under authz.Resource, in *changesIn) (*changesOut, error) {
	question := "changes\n" + under.String()
	after, err := a.number(ctx, question, in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &changesOut{}
	out.Body.Items = []Revision{}
	for c, err := range a.Authorizer.History(ctx, g, after) {
		if err != nil {
			return nil, err
		}
		if n := len(out.Body.Items); n == in.Limit {
			out.Body.Next = a.cursors.seal(askedBy(ctx).who, question, strconv.FormatUint(out.Body.Items[n-1].Revision, 10))
			break
		}
		out.Body.Items = append(out.Body.Items, revisionOf(c))
	}
	return out, nil
}

// number opens a cursor that is a number; none is 0.
func (a *api) number(ctx context.Context, question, cursor string) (uint64, error) {
	at, err := a.cursors.open(askedBy(ctx).who, question, cursor)
	if err != nil || at == "" {
		return 0, err
	}
	return strconv.ParseUint(at, 10, 64)
}

func eventOf(r authz.AuditRecord) (Event, error) {
	hash, err := r.Hash.MarshalText()
	e := Event{Sequence: r.Sequence, Time: r.Time, Decision: r.Decision.String(), Principal: r.Principal.String(), OnBehalfOf: r.OnBehalfOf.String(),
		Permission: r.Permission.String(), Resource: r.Resource.String(), Allowed: r.Allowed, Reason: r.Reason, Revision: r.Revision, Hash: string(hash)}
	if r.Cause != [16]byte{} {
		e.Cause = r.Cause.String()
	}
	return e, err
}

func revisionOf(c authz.Change) Revision {
	v := Revision{Revision: c.Revision, Author: c.Author.String(), Reason: c.Reason, Time: c.Time, Removed: []Assignment{}, Added: []Assignment{}, Left: []Member{}, Joined: []Member{}}
	for _, x := range c.Remove {
		v.Removed = append(v.Removed, assignmentOf(x))
	}
	for _, x := range c.Add {
		v.Added = append(v.Added, assignmentOf(x))
	}
	for _, m := range c.Leave {
		v.Left = append(v.Left, Member{m.Member.String(), m.Team.String()})
	}
	for _, m := range c.Join {
		v.Joined = append(v.Joined, Member{m.Member.String(), m.Team.String()})
	}
	return v
}
