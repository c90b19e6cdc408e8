package secrets_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// BenchmarkRequest is one authenticated request over a kept TLS connection on
// loopback: by a Handle's client, by a plain one that sets a header and has the
// same limit of time, and by a plain one without any.
func BenchmarkRequest(b *testing.B) {
	w := newWorld(b)
	srv := newServer(b, nil)
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	run := func(b *testing.B, c *http.Client, header string) {
		b.ReportAllocs()
		for b.Loop() {
			benchRequest(b, c, srv.URL, header)
		}
	}
	ref := newRef(b, "tenants/acme", "crm")
	w.put(b, ref, "the-token", bearer())
	b.Run("impl=paired", func(b *testing.B) { // both in turn: what the machine does besides hits both
		tr := srv.Client().Transport.(*http.Transport).Clone()
		defer tr.CloseIdleConnections()
		plain, ours := &http.Client{Transport: tr, Timeout: time.Minute}, w.client(b, ref, srv.policy())
		const each = 20 // requests of a round, by each
		var ratios []float64
		round := func(c *http.Client, header string) time.Duration {
			began := time.Now()
			for range each {
				benchRequest(b, c, srv.URL, header)
			}
			return time.Since(began)
		}
		for b.Loop() {
			var x, y time.Duration
			if len(ratios)%2 == 0 {
				x, y = round(plain, "Bearer the-token"), round(ours, "")
			} else {
				y, x = round(ours, ""), round(plain, "Bearer the-token")
			}
			ratios = append(ratios, float64(y)/float64(x))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "ours/plain")
		b.ReportMetric(0, "ns/op")
	})
	for name, timeout := range map[string]time.Duration{"impl=plain": time.Minute, "impl=endless": 0} {
		b.Run(name, func(b *testing.B) {
			tr := srv.Client().Transport.(*http.Transport).Clone()
			defer tr.CloseIdleConnections()
			run(b, &http.Client{Transport: tr, Timeout: timeout}, "Bearer the-token")
		})
	}
	b.Run("impl=lockkeeper", func(b *testing.B) { run(b, w.client(b, ref, srv.policy()), "") })
}

// benchRequest sends one and reads the answer.
func benchRequest(b *testing.B, c *http.Client, url, header string) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	resp, err := c.Do(r)
	if err != nil || resp.StatusCode != 200 {
		b.Fatal(err, resp)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// BenchmarkSign is one signature inside, its Grant and revocation looked up.
func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	for _, alg := range []secrets.Algorithm{secrets.ES256, secrets.EdDSA, secrets.PS256} {
		ref := newRef(b, "tenants/acme", string(alg))
		w.generate(b, ref, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SigningKey, Algorithm: alg}})
		h := w.handle(b, ref)
		b.Run("algorithm="+string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := h.Sign(b.Context(), []byte("message"))
				require.NoError(b, err)
			}
		})
	}
}
