package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Question asks whether somebody may do something.
type Question struct {
	Principal  string `json:"principal" maxLength:"4096" example:"user:demo/ana" doc:"Who"`
	OnBehalfOf string `json:"on_behalf_of,omitempty" maxLength:"4096" doc:"For whom; both must be allowed"`
	Permission string `json:"permission" maxLength:"256" example:"sync.run" doc:"May do what"`
	Resource   string `json:"resource" maxLength:"17000" example:"tenants/acme/users/ana/sync" doc:"On what"`
}

// Verdict is the answer to a Question.
type Verdict struct {
	Allowed  bool   `json:"allowed"`
	Code     string `json:"code" enum:"allowed-by,denied-by,nothing-held,model-failed,bad-request" doc:"The kind of reason"`
	Reason   string `json:"reason" doc:"One sentence"`
	Revision uint64 `json:"revision" doc:"Of the assignments that were looked at"`
}

// Why is a Verdict with its reasons.
type Why struct {
	Verdict
	Allows  []string `json:"allows" doc:"Every Authorization that allows it"`
	Denies  []string `json:"denies" doc:"Every Authorization that refuses it"`
	Nearest []string `json:"nearest" doc:"For a refusal: what is nearest to allowing it"`
	Givers  []string `json:"givers" doc:"For a refusal: who could give it, 20 at most"`
	Hidden  int      `json:"hidden" doc:"How many reasons stand above what you may see"`
}

// query is a Question in an address.
type query struct {
	Principal  string `query:"principal" required:"true" maxLength:"4096" example:"user:demo/ana" doc:"Who"`
	OnBehalfOf string `query:"on_behalf_of" maxLength:"4096" doc:"For whom; both must be allowed"`
	Permission string `query:"permission" required:"true" maxLength:"256" example:"sync.run" doc:"May do what"`
	Resource   string `query:"resource" required:"true" maxLength:"17000" example:"tenants/acme/users/ana/sync" doc:"On what"`
	AtLeast    uint64 `query:"at_least" doc:"The revision that must be known to whoever decides, as a change returned it"`
}

type checkOut struct {
	Revision uint64 `header:"X-Policy-Revision"`
	Body     Verdict
}

type explainOut struct {
	Revision uint64 `header:"X-Policy-Revision"`
	Body     Why
}

type batchIn struct {
	Body struct {
		On     string     `json:"on,omitempty" maxLength:"17000" doc:"What the resources of all checks are or are below; the root if it is missing"`
		Checks []Question `json:"checks" minItems:"1" maxItems:"1000" nullable:"false"`
	}
}

type batchOut struct {
	Revision uint64 `header:"X-Policy-Revision"`
	Body     struct {
		Results []Verdict `json:"results" doc:"In the order of the checks, all of one revision"`
	}
}

// decisions registers the questions.
func (a *api) decisions() {
	const may = "authz.decisions.explain"
	on := func(q *query) (authz.Resource, error) { return a.place("resource", q.Resource) }
	handle(a, operation{id: "check", verb: http.MethodGet, path: "/v1/decisions:check", permission: may, errors: []int{http.StatusPreconditionFailed},
		summary: "Check a request", about: "Whether somebody may do something. Asked on the resource of the question."},
		on, func(ctx context.Context, _ authz.Grant, _ authz.Resource, q *query) (*checkOut, error) {
			req, err := a.request(Question{q.Principal, q.OnBehalfOf, q.Permission, q.Resource}, invalid)
			if err != nil {
				return nil, err
			}
			req.AtLeast = q.AtLeast
			d, err := a.Authorizer.Check(ctx, req)
			if err != nil {
				return nil, err
			}
			return &checkOut{d.Revision, verdictOf(d)}, nil
		})
	handle(a, operation{id: "explain", verb: http.MethodGet, path: "/v1/decisions:explain", permission: may, errors: []int{http.StatusPreconditionFailed},
		summary: "Explain a decision", about: "Every reason of a decision, and for a refusal what is nearest to allowing it and who could give it. What stands above what you may see is counted and not shown."},
		on, func(ctx context.Context, g authz.Grant, _ authz.Resource, q *query) (*explainOut, error) {
			req, err := a.request(Question{q.Principal, q.OnBehalfOf, q.Permission, q.Resource}, invalid)
			if err != nil {
				return nil, err
			}
			req.AtLeast = q.AtLeast
			x, err := a.Authorizer.ExplainFor(ctx, g, req)
			if err != nil {
				return nil, err
			}
			return &explainOut{x.Decision.Revision, whyOf(x)}, nil
		})
	handle(a, operation{id: "batchCheck", verb: http.MethodPost, path: "/v1/decisions:batchCheck", permission: may, errors: []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		summary: "Check many requests", about: "Up to 1,000 questions at one revision. Asked on what all of them are about."},
		func(in *batchIn) (authz.Resource, error) { return a.bodyPlace("/on", in.Body.On) },
		func(ctx context.Context, _ authz.Grant, on authz.Resource, in *batchIn) (*batchOut, error) {
			reqs := make([]authz.Request, len(in.Body.Checks))
			for i, c := range in.Body.Checks {
				at := "/checks/" + strconv.Itoa(i) + "/"
				var err error
				if reqs[i], err = a.request(c, func(name, what string) *Problem { return invalidBody(at+name, what) }); err != nil {
					return nil, err
				}
				if !on.Contains(reqs[i].Resource) {
					return nil, invalidBody(at+"resource", "is not on or below what the batch is on")
				}
			}
			answers := make([]authz.Decision, len(reqs))
			if err := a.Authorizer.CheckBatch(ctx, reqs, answers); err != nil {
				return nil, err
			}
			out := &batchOut{}
			for _, d := range answers {
				out.Revision = d.Revision
				out.Body.Results = append(out.Body.Results, verdictOf(d))
			}
			return out, nil
		})
	a.lists()
}

// request reads a Question. wrong makes the error of a field that cannot be used.
func (a *api) request(q Question, wrong func(name, what string) *Problem) (r authz.Request, err error) {
	if r.Principal, err = authz.ParsePrincipal(q.Principal); err != nil {
		return r, wrong("principal", wantPrincipal)
	}
	if q.OnBehalfOf != "" {
		if r.OnBehalfOf, err = authz.ParsePrincipal(q.OnBehalfOf); err != nil {
			return r, wrong("on_behalf_of", wantPrincipal)
		}
	}
	if r.Permission, err = a.permission(q.Permission); err != nil {
		return r, wrong("permission", wantPermission)
	}
	if r.Resource, err = authz.ParseResource(q.Resource); err != nil {
		return r, wrong("resource", wantResource)
	}
	return r, nil
}

func (a *api) bodyPlace(pointer, at string) (authz.Resource, error) {
	r, err := a.place("", at)
	if err != nil {
		return r, invalidBody(pointer, wantResource)
	}
	return r, nil
}

// codeWord is a kind of reason, for programs.
func codeWord(c authz.Code) string {
	switch c {
	case authz.AllowedBy:
		return "allowed-by"
	case authz.DeniedBy:
		return "denied-by"
	case authz.ModelFailed:
		return "model-failed"
	case authz.NothingHeld:
		return "nothing-held"
	}
	return "bad-request"
}

func verdictOf(d authz.Decision) Verdict {
	return Verdict{Allowed: d.Allowed, Code: codeWord(d.Code), Reason: d.Reason(), Revision: d.Revision}
}

func whyOf(x authz.Explanation) Why {
	w := Why{Verdict: verdictOf(x.Decision), Allows: []string{}, Denies: []string{}, Nearest: append([]string{}, x.Nearest...), Givers: []string{}, Hidden: x.Hidden}
	w.Reason = x.Reason
	for _, r := range x.Allows {
		w.Allows = append(w.Allows, r.String())
	}
	for _, r := range x.Denies {
		w.Denies = append(w.Denies, r.String())
	}
	for _, p := range x.Givers {
		w.Givers = append(w.Givers, p.String())
	}
	return w
}
