package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// service is one of Google's services, for the length of a call.
type service struct {
	hc   *http.Client
	base string
	user string // end of base that says whose, absent from the address of batches
}

// do sends one request and decodes its answer into v, unless v is nil.
func (s service) do(ctx context.Context, method, path string, query url.Values, match string, body, v any) error {
	_, err := s.exchange(ctx, method, path, query, match, body, v)
	return err
}

// exchange is do that returns the header of the answer.
func (s service) exchange(ctx context.Context, method, path string, query url.Values, match string, body, v any) (http.Header, error) {
	h := http.Header{"Accept": {"application/json"}}
	if match != "" {
		h.Set("If-Match", match)
	}
	r := remote.Request{Method: method, URL: s.base + path, Header: h, Repeat: method == http.MethodGet}
	if len(query) > 0 {
		r.URL += "?" + query.Encode()
	}
	if body != nil {
		var err error
		if r.Body, err = json.Marshal(body); err != nil {
			return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "request cannot be written"}
		}
		h.Set("Content-Type", "application/json")
	}
	wrote := method != http.MethodGet
	var resp remote.Response
	for try := 1; ; try++ {
		var err error
		if resp, err = remote.Do(ctx, s.hc, r); err != nil {
			return nil, err
		}
		if err = classify(resp, wrote); err == nil {
			break
		}
		// With 429 that was done already; Google also says it with 403.
		wait, slow := told(err)
		if wrote || !slow || resp.Status != http.StatusForbidden || try >= tries || wait > longestWait {
			return nil, err
		}
		if err := pause(ctx, wait, try); err != nil {
			return nil, err
		}
	}
	if v == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(resp.Body, v); err != nil {
		lost := connectors.ErrMalformed
		if wrote {
			lost = connectors.ErrUnknownOutcome
		}
		return nil, &connectors.Error{Class: lost, Detail: "not the JSON that was asked for"}
	}
	return resp.Header, nil
}

// told reports whether an error asks to slow down, and for how long.
func told(err error) (time.Duration, bool) {
	var e *connectors.Error
	if errors.As(err, &e) && errors.Is(e.Class, connectors.ErrThrottled) {
		return e.RetryAfter, true
	}
	return 0, false
}

// Until what is counted by the day is counted anew, at midnight on the Pacific
// coast, it is asked once an hour.
const everyHour = time.Hour

// classify is what an answer means, nil for a success. Of what the service says
// only its reasons count, and only those known here.
func classify(r remote.Response, wrote bool) error {
	err := r.Err(wrote)
	if err == nil {
		return nil
	}
	var e *connectors.Error
	if !errors.As(err, &e) {
		return err
	}
	var body struct {
		Error struct {
			Status string `json:"status"`
			Errors []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &body)
	reasons := []string{body.Error.Status}
	for _, x := range body.Error.Errors {
		reasons = append(reasons, x.Reason)
	}
	for _, x := range body.Error.Details {
		reasons = append(reasons, x.Reason)
	}
	for _, reason := range reasons {
		switch reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "concurrentLimitExceeded":
			slow(e, r, 0)
		case "quotaExceeded", "dailyLimitExceeded", "DAILY_LIMIT_EXCEEDED":
			slow(e, r, everyHour)
		case "EXPIRED_SYNC_TOKEN", "fullSyncRequired", "updatedMinTooLongAgo":
			e.Class = connectors.ErrCursorExpired
		case "FAILED_PRECONDITION", "failedPrecondition", "conditionNotMet":
			e.Class = connectors.ErrPrecondition
		case "insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
			e.Class, e.Detail = connectors.ErrForbidden, "the credential has not the scope for this"
		}
	}
	return e
}

// slow makes of a refusal one that asks to wait: as long as the header says, whatever
// the status, else as long as it takes.
func slow(e *connectors.Error, r remote.Response, least time.Duration) {
	e.Class = connectors.ErrThrottled
	r.Status = http.StatusTooManyRequests
	var t *connectors.Error
	if errors.As(r.Err(false), &t) {
		e.RetryAfter = max(e.RetryAfter, t.RetryAfter, least)
	}
}

// named adds an id to an error.
func named(err error, id string) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		v := *e
		v.ID = id
		return &v
	}
	return err
}

// writable refuses an edit of what cannot be written, or of what does not fit.
func writable(can connectors.Capability, e connectors.Edit) error {
	for _, f := range e.Fields {
		if l, ok := can.Fields[f]; !ok || l.ReadOnly {
			return &connectors.Error{Class: connectors.ErrInvalid, ID: e.ID, Field: f, Detail: "cannot be written"}
		}
	}
	r := e.Record.Clone()
	r.ID = e.ID
	return can.Fit(r, e.Fields)
}

// seen refuses a write of what nobody has seen: without a revision it would not be
// conditional, and "*" is any (RFC 9110 section 13.1.1).
func seen(id, rev string) error {
	if len(rev) < 2 || rev[0] != '"' {
		return &connectors.Error{Class: connectors.ErrPrecondition, ID: id, Detail: "no revision"}
	}
	return nil
}

// token is where a reading goes on: a page of it, or the next one.
type token struct {
	Page string `json:"p,omitempty"`
	Sync string `json:"s,omitempty"`
}

func readToken(cursor string) (token, error) {
	var t token
	if cursor == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(cursor), &t); err != nil || t.Page == "" && t.Sync == "" {
		return t, &connectors.Error{Class: connectors.ErrCursorExpired, Detail: "not a cursor of this connector"}
	}
	return t, nil
}

// next is the cursor after a page.
func (t token) next(page, sync string) (cursor string, more bool, err error) {
	switch {
	case page != "":
		t.Page = page
	case sync != "":
		t = token{Sync: sync}
	default:
		return "", false, &connectors.Error{Class: connectors.ErrMalformed, Detail: "a page without a next one"}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "", false, &connectors.Error{Class: connectors.ErrMalformed, Detail: "cursor"}
	}
	return string(b), t.Page != "", nil
}

// word reports whether a text is one or more of the given runes.
func word(s, runes string) bool {
	return s != "" && len(s) <= connectors.MaxID && strings.Trim(s, runes) == ""
}

// response is an answer that was read by hand.
func response(r *http.Response, body []byte) remote.Response {
	return remote.Response{Status: r.StatusCode, Header: r.Header, Body: body}
}
