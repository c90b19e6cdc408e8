package remote

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func server(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestReadsAreRepeatedAndWritesAreNot(t *testing.T) {
	var n atomic.Int64
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			c, _, _ := w.(http.Hijacker).Hijack()
			_ = c.Close() // a lost connection
		default:
			fmt.Fprint(w, "ok")
		}
	})
	resp, err := Do(t.Context(), http.DefaultClient, Request{Method: "GET", URL: url, Repeat: true})
	require.NoError(t, err)
	require.Equal(t, "ok", string(resp.Body))
	require.EqualValues(t, 3, n.Load())

	n.Store(0)
	resp, err = Do(t.Context(), http.DefaultClient, Request{Method: "POST", URL: url, Body: []byte("x")})
	require.NoError(t, err)
	require.ErrorIs(t, resp.Err(true), connectors.ErrUnknownOutcome)
	_, err = Do(t.Context(), http.DefaultClient, Request{Method: "POST", URL: url, Body: []byte("x")})
	require.ErrorIs(t, err, connectors.ErrUnknownOutcome)
	require.EqualValues(t, 2, n.Load(), "a write is sent once")
}

func TestNothingSentIsNoUnknownOutcome(t *testing.T) {
	_, err := Do(t.Context(), http.DefaultClient, Request{Method: "POST", URL: "http://127.0.0.1:1/x?token=canary-5521"})
	require.ErrorIs(t, err, connectors.ErrUnavailable)
	require.NotErrorIs(t, err, connectors.ErrUnknownOutcome)
	require.NotContains(t, err.Error(), "canary")
}

func TestLimitsAndBodiesStayOut(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, strings.Repeat("canary-77 ", 1000))
	})
	_, err := Do(t.Context(), http.DefaultClient, Request{Method: "GET", URL: url, MaxBody: 100, Repeat: true})
	require.ErrorIs(t, err, connectors.ErrMalformed)
	require.NotContains(t, err.Error(), "canary")
	resp, err := Do(t.Context(), http.DefaultClient, Request{Method: "GET", URL: url})
	require.NoError(t, err)
	require.ErrorIs(t, resp.Err(false), connectors.ErrInvalid)
	require.NotContains(t, resp.Err(false).Error(), "canary")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "99999999999": 0, "1000000000": 24 * time.Hour, "soon": 0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		assert.Equal(t, want, retryAfter(http.Header{"Retry-After": {in}}, now), in)
	}
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	resp, err := Do(t.Context(), http.DefaultClient, Request{Method: "GET", URL: url, Repeat: true})
	require.NoError(t, err)
	var e *connectors.Error
	require.ErrorAs(t, resp.Err(false), &e)
	require.ErrorIs(t, e, connectors.ErrThrottled)
	require.Equal(t, time.Hour, e.RetryAfter)
}

func TestCancel(t *testing.T) {
	release := make(chan struct{})
	url := server(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := Do(ctx, http.DefaultClient, Request{Method: "PUT", URL: url})
	require.ErrorIs(t, err, connectors.ErrUnknownOutcome)
	require.ErrorIs(t, err, context.Canceled)
}

func TestStatusClasses(t *testing.T) {
	for status, want := range map[int]error{200: nil, 204: nil, 304: connectors.ErrMalformed, 401: connectors.ErrUnauthorized, 403: connectors.ErrForbidden,
		404: connectors.ErrNotFound, 409: connectors.ErrExists, 410: connectors.ErrCursorExpired, 412: connectors.ErrPrecondition,
		413: connectors.ErrInvalid, 429: connectors.ErrThrottled, 500: connectors.ErrUnavailable} {
		err := Response{Status: status}.Err(false)
		if want == nil {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, want, "%d", status)
		}
	}
}
