package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// session is what one verb works with: the mailbox, the kind and the client of
// its Call.
type session struct {
	d    *driver
	s    shape
	kind connectors.Kind
	hc   *http.Client
}

// maxBatch is how many requests go in one ("Combine multiple HTTP requests
// using JSON batching"). Graph sends Outlook four of them at a time.
const maxBatch = 20

// part is one request below the service, alone or in a batch.
type part struct {
	method string
	path   string // below the service, with its query
	match  string // If-Match
	body   map[string]any
}

// prefer asks for ids that stay, times in UTC and bodies as plain text.
const prefer = `IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text"`

func (p part) header() map[string]string {
	h := map[string]string{"Prefer": prefer}
	if p.match != "" {
		h["If-Match"] = p.match
	}
	if p.body != nil {
		h["Content-Type"] = "application/json"
	}
	return h
}

// do sends requests, in batches where there are several, and returns an answer
// for each. Reads are repeated where that is safe; a write is sent once. The
// error means that nothing is known of any of them.
func (s session) do(ctx context.Context, ps []part) ([]remote.Response, error) {
	out := make([]remote.Response, len(ps))
	open := make([]int, len(ps))
	for i := range ps {
		open[i] = i
	}
	for try := 0; len(open) > 0; try++ {
		var wait time.Duration
		var again []int
		for chunk := range slices.Chunk(open, maxBatch) {
			if err := s.send(ctx, ps, chunk, out); err != nil {
				return nil, err
			}
			for _, i := range chunk {
				if r := out[i]; ps[i].method == http.MethodGet && busy(r.Status) && try < 3 {
					w := pause(r)
					if w > longestPause {
						continue
					}
					wait, again = max(wait, w), append(again, i)
				}
			}
		}
		if open = again; len(open) == 0 {
			break
		}
		select {
		case <-time.After(max(wait, 50*time.Millisecond<<try)):
		case <-ctx.Done():
			return nil, &connectors.Error{Class: connectors.ErrUnavailable, Cause: ctx.Err()}
		}
	}
	return out, nil
}

// longestPause is the longest wait that one request inside a batch may ask for
// here; longer ones are the caller's.
const longestPause = 5 * time.Second

func busy(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable ||
		status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// pause is how long the service asks to wait, in seconds or until a date.
func pause(r remote.Response) time.Duration {
	var e *connectors.Error
	if errors.As(r.Err(false), &e) {
		return e.RetryAfter
	}
	return 0
}

// lane waits until fewer requests are under way than the service serves at a
// time. Whoever gets one gives it back.
func (s session) lane(ctx context.Context) (back func(), err error) {
	select {
	case s.d.lanes <- struct{}{}:
		return func() { <-s.d.lanes }, nil
	case <-ctx.Done():
		return nil, &connectors.Error{Class: connectors.ErrUnavailable, Detail: "cancelled", Cause: ctx.Err()}
	}
}

// exchange sends one request when there is a lane for it.
func (s session) exchange(ctx context.Context, r remote.Request) (remote.Response, error) {
	back, err := s.lane(ctx)
	if err != nil {
		return remote.Response{}, err
	}
	defer back()
	return remote.Do(ctx, s.hc, r)
}

// send puts the answers to some of the parts into their places.
func (s session) send(ctx context.Context, ps []part, chosen []int, out []remote.Response) error {
	if len(chosen) == 1 {
		r, err := s.single(ctx, ps[chosen[0]])
		out[chosen[0]] = r
		return err
	}
	type request struct {
		ID      string            `json:"id"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    map[string]any    `json:"body,omitempty"`
	}
	var batch struct {
		Requests []request `json:"requests"`
	}
	reading := true
	for _, i := range chosen {
		p := ps[i]
		reading = reading && p.method == http.MethodGet
		batch.Requests = append(batch.Requests, request{strconv.Itoa(i), p.method, p.path, p.header(), p.body})
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return &connectors.Error{Class: connectors.ErrInvalid, Detail: "request cannot be written"}
	}
	resp, err := s.exchange(ctx, remote.Request{Method: http.MethodPost, URL: s.d.root.String() + "/$batch", Body: body, Repeat: reading,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}})
	if err != nil {
		return err
	}
	if err := classify(resp, !reading); err != nil {
		return err
	}
	lost := connectors.ErrMalformed
	if !reading {
		lost = connectors.ErrUnknownOutcome
	}
	var answer struct {
		Responses []struct {
			ID      string            `json:"id"`
			Status  int               `json:"status"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil || len(answer.Responses) > len(chosen) {
		return &connectors.Error{Class: lost, Detail: "answer to a batch"}
	}
	seen := 0
	for _, r := range answer.Responses {
		i, err := strconv.Atoi(r.ID)
		if err != nil || !slices.Contains(chosen, i) || r.Status < 100 || r.Status > 999 {
			return &connectors.Error{Class: lost, Detail: "answer to a batch"}
		}
		h := http.Header{}
		for k, v := range r.Headers {
			h.Set(k, v)
		}
		if out[i].Status == 0 || ps[i].method == http.MethodGet {
			seen++
		}
		out[i] = remote.Response{Status: r.Status, Header: h, Body: r.Body}
	}
	if seen != len(chosen) {
		return &connectors.Error{Class: lost, Detail: "a batch with other answers than requests"}
	}
	return nil
}

func (s session) single(ctx context.Context, p part) (remote.Response, error) {
	h := http.Header{"Accept": {"application/json"}}
	for k, v := range p.header() {
		h.Set(k, v)
	}
	r := remote.Request{Method: p.method, URL: s.d.root.String() + p.path, Header: h, Repeat: p.method == http.MethodGet}
	if p.body != nil {
		var err error
		if r.Body, err = json.Marshal(p.body); err != nil {
			return remote.Response{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "request cannot be written"}
		}
	}
	return s.exchange(ctx, r)
}

// classify is what an answer means, nil for a success. Of what the service says
// only its error code counts, and only if it is one of those known here.
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
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &body)
	switch strings.ToLower(body.Error.Code) {
	case "erroritemnotfound", "errorinvalididmalformed", "erroriditemismissing", "resourcenotfound", "itemnotfound":
		e.Class = connectors.ErrNotFound
	case "errorinvaliduser", "errornonexistentmailbox", "mailboxnotenabledforrestapi", "mailboxnotsupportedforrestapi", "errormailboxmoveinprogress", "errormailboxstoreunavailable",
		"request_resourcenotfound", "resourcenotfoundinmailbox":
		// Nothing is known of any record in it.
		e.Class, e.Detail = connectors.ErrForbidden, "there is no mailbox at this address, or none with a licence"
		if e.Status >= http.StatusInternalServerError || strings.HasPrefix(strings.ToLower(body.Error.Code), "errormailbox") {
			e.Class, e.Detail = connectors.ErrUnavailable, "the mailbox is being moved or is not open"
			if wrote {
				e.Class = connectors.ErrUnknownOutcome
			}
		}
	case "errorirresolvableconflict", "errorchangekeyrequired":
		e.Class = connectors.ErrPrecondition
	case "syncstatenotfound", "syncstateinvalid", "resyncrequired", "resync_required":
		e.Class = connectors.ErrCursorExpired
	case "erroraccessdenied", "authorization_requestdenied":
		e.Class, e.Detail = connectors.ErrForbidden, "the application has no access to this mailbox"
	case "errorduplicatetransactionid":
		e.Class = connectors.ErrExists
	case "":
		if e.Class == connectors.ErrNotFound { // of what, nobody said: it may be the whole mailbox, or another server
			e.Class, e.Detail = connectors.ErrMalformed, "an answer 404 without a reason"
		}
	}
	return e
}

// follow makes a link of the service relative to it, if it leads to the same
// mailbox.
func (s session) follow(link string) (string, error) {
	bad := &connectors.Error{Class: connectors.ErrMalformed, Detail: "link leads out of the mailbox"}
	u, err := url.Parse(link)
	if err != nil || len(link) > 32<<10 || u.User != nil || u.Fragment != "" || u.Scheme != s.d.root.Scheme || !strings.EqualFold(u.Host, s.d.root.Host) {
		return "", bad
	}
	return s.below(strings.TrimPrefix(u.EscapedPath(), s.d.root.EscapedPath()), u.RawQuery)
}

// below checks a path of a link or a cursor. The service may spell the mailbox
// in its own way, as in /users('ana%40acme.example')/, and answers links of
// another mailbox with whatever the credential may see: so only what stands
// behind the mailbox is kept, and the endpoint's own mailbox put before it.
func (s session) below(path, query string) (string, error) {
	roots := []string{collection(s.kind)}
	if s.kind == connectors.KindAppointment {
		roots = append(roots, "/events", "/calendarView", "/calendar")
	}
	if s.kind == connectors.KindMail { // whose attachments are below the mailbox
		roots = append(roots, "/messages/")
	}
	for _, root := range roots {
		if i := strings.Index(path, root); i > 0 && i < 512 && !strings.Contains(path, "..") {
			p := s.d.user + path[i:]
			if query != "" {
				p += "?" + query
			}
			return p, nil
		}
	}
	return "", &connectors.Error{Class: connectors.ErrMalformed, Detail: "link leads out of the mailbox"}
}

// read sends one GET and decodes its answer.
func (s session) read(ctx context.Context, path, more string, into any) error {
	h := http.Header{"Accept": {"application/json"}, "Prefer": {prefer + more}}
	resp, err := s.exchange(ctx, remote.Request{Method: http.MethodGet, URL: s.d.root.String() + path, Header: h, Repeat: true})
	if err != nil {
		return err
	}
	if err := classify(resp, false); err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Body, into); err != nil {
		return &connectors.Error{Class: connectors.ErrMalformed, Detail: "not the JSON that was asked for"}
	}
	return nil
}

func query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%c%s=%s", "?&"[min(i, 1)], pairs[i], strings.ReplaceAll(url.QueryEscape(pairs[i+1]), "+", "%20"))
	}
	return b.String()
}
