package api

import (
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Problem is an error as programs get it (RFC 9457). It never holds what was
// sent, a stack, or the words of another system.
type Problem struct {
	Type      string  `json:"type" example:"urn:lockkeeper:problem:forbidden" doc:"What kind of problem it is, once more as a URN"`
	Title     string  `json:"title" example:"Forbidden" doc:"The status in words"`
	Status    int     `json:"status" example:"403" doc:"The HTTP status"`
	Code      string  `json:"code" example:"forbidden" doc:"What kind of problem it is, for programs; stays the same"`
	Detail    string  `json:"detail" example:"authz.authorizations.write is needed on tenants/acme." doc:"What is wrong, safe to show to whoever asked"`
	Hint      string  `json:"hint,omitempty" doc:"What to do about it"`
	RequestID string  `json:"request_id" doc:"Names this request in the server's log"`
	Errors    []Fault `json:"errors,omitempty" doc:"The fields that are wrong"`
}

// Fault is one field of a request that is wrong.
type Fault struct {
	In      string `json:"in" enum:"body,query,path,header" doc:"Where the field is"`
	Pointer string `json:"pointer" example:"/reason" doc:"The field: in a body a JSON Pointer (RFC 6901), else its name"`
	Detail  string `json:"detail" doc:"What is wrong with it"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail, hint string) *Problem {
	return &Problem{Type: "urn:lockkeeper:problem:" + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
}

// invalid is a parameter of the query that cannot be used.
func invalid(name, what string) *Problem {
	p := problem(http.StatusBadRequest, "invalid", "A parameter cannot be used.", "")
	p.Errors = []Fault{{In: "query", Pointer: name, Detail: what}}
	return p
}

// invalidBody is a field of the body that cannot be used.
func invalidBody(pointer, what string) *Problem {
	p := problem(http.StatusUnprocessableEntity, "invalid", "A field cannot be used.", "")
	p.Errors = []Fault{{In: "body", Pointer: pointer, Detail: what}}
	return p
}

// absent is what is not there, or looks so.
func absent() *Problem {
	return problem(http.StatusNotFound, "not-found", "There is no such thing, or none that you may see.", "")
}

// refused is the problem that an error of the authorizer is.
func refused(err error, hides bool) error {
	var p *Problem
	var denied *authz.DeniedError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, authz.ErrAuditUnavailable):
		return problem(http.StatusServiceUnavailable, "audit-unavailable", "The decision could not be recorded, so nothing was done.", "Try again later.")
	case errors.Is(err, authz.ErrStale):
		return problem(http.StatusPreconditionFailed, "stale", "The revision that was demanded is not known here yet.", "Try again in a moment.")
	case errors.Is(err, authz.ErrSeparation):
		return problem(http.StatusConflict, "separation-of-duties", "Nobody may hold both.", "Take the other role away first.")
	case errors.Is(err, authz.ErrLastAdministrator):
		return problem(http.StatusConflict, "last-administrator", "This would leave a resource without an administrator.", "Give the role to somebody else first.")
	case errors.Is(err, authz.ErrConflict):
		return problem(http.StatusPreconditionFailed, "changed-meanwhile", "It was changed by somebody else meanwhile, and nothing was done.", "Read it again.")
	case errors.Is(err, authz.ErrDenied) && hides:
		return absent()
	case errors.As(err, &denied):
		return problem(http.StatusForbidden, "forbidden", denied.Request.Permission.String()+" is needed on "+denied.Request.Resource.String()+".",
			"GET /v1/decisions:explain says why, and who could give it.")
	case errors.Is(err, authz.ErrDenied):
		return problem(http.StatusForbidden, "forbidden", "That is more than you hold there, or for longer.", "GET /v1/decisions:explain says why, and who could give it.")
	case errors.Is(err, authz.ErrUnknown):
		return problem(http.StatusUnprocessableEntity, "unknown", "It names something that does not exist.", "GET /v1/roles and /v1/permissions list what there is.")
	}
	return problem(http.StatusInternalServerError, "internal", "That did not work, and the server's log says why.", "")
}

// spell gives every problem its request id, and the library's own errors the form
// of ours, without the values that they repeat.
func spell(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *Problem:
		e.RequestID = askedBy(ctx.Context()).id
	case *huma.ErrorModel:
		p := problem(e.Status, codeOf(e.Status), "The request is not as /openapi.json says.", "")
		for _, f := range e.Errors {
			p.Errors = append(p.Errors, faultOf(f))
		}
		if len(e.Errors) == 0 {
			p.Detail = http.StatusText(e.Status) + "."
		}
		p.RequestID = askedBy(ctx.Context()).id
		return p, nil
	}
	return v, nil
}

func codeOf(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "too-large"
	case http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		return "media-type"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return "invalid"
	}
	return "internal"
}

// faultOf turns a place such as body.checks[3].who into a pointer. What the
// library says of it names what was expected; a text that quotes what was sent is
// left out.
func faultOf(d *huma.ErrorDetail) Fault {
	in, rest, _ := strings.Cut(d.Location, ".")
	said, _, _ := strings.Cut(d.Message, ": ") // what comes after it quotes
	f := Fault{In: in, Pointer: rest, Detail: said}
	if strings.ContainsAny(said, "\"'`") {
		f.Detail = "cannot be used"
	}
	if in == "body" || in == "" {
		f.In = "body"
		f.Pointer = ""
		for part := range strings.FieldsFuncSeq(strings.NewReplacer("~", "~0", "/", "~1").Replace(rest), func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
			f.Pointer += "/" + part
		}
	}
	return f
}

// describeProblems puts the form of our errors into the document in place of the
// library's.
func describeProblems(doc *huma.OpenAPI) {
	theirs := doc.Components.Schemas.Map()["ErrorModel"]
	if theirs == nil {
		return
	}
	ref := huma.SchemaFromType(doc.Components.Schemas, reflect.TypeFor[Problem]())
	*theirs = *ref
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
}
