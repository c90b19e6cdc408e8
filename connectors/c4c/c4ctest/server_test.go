package c4ctest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a plain HTTP client of the emulator.
type client struct {
	t     *testing.T
	s     *c4ctest.Server
	hc    *http.Client
	token string
}

func start(t *testing.T, o c4ctest.Options) *client {
	t.Helper()
	o.Users = map[string]c4ctest.User{"eva": {Password: "pw"}, "tech": {Password: "pw", Communication: true}}
	s := c4ctest.New(&o)
	s.Start()
	t.Cleanup(s.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, s: s, hc: &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (c *client) do(method, rel, body string, header ...string) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.s.URL()+rel, strings.NewReader(body))
	require.NoError(c.t, err)
	req.SetBasicAuth("eva", "pw")
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("X-Csrf-Token", c.token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "user" {
			req.SetBasicAuth(header[i+1], "pw")
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.hc.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(b), resp.Header
}

func (c *client) signIn() {
	_, _, h := c.do("GET", "ContactCollection?$top=1", "", "X-Csrf-Token", "fetch")
	c.token = h.Get("X-Csrf-Token")
	require.NotEmpty(c.t, c.token)
}

func enc(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func TestReading(t *testing.T) {
	c := start(t, c4ctest.Options{})
	id, err := c.s.Seed("ContactCollection", c4ctest.Props{"LastName": "O'Neil", "ExternalID": "x1", "ContactTextCollection": []c4ctest.Props{{"Text": "n"}}})
	require.NoError(t, err)
	for rel, want := range map[string]int{
		"":                                200,
		"ContactCollection('" + id + "')": 200,
		"ContactCollection('nope')":       404,
		"ContactCollection('" + id + "')/ContactTextCollection":                   200,
		"ContactCollection/$count":                                                200,
		"Nope":                                                                    404,
		"ContactCollection?$top=-1":                                               400,
		"ContactCollection?$search=x":                                             400,
		"ContactCollection?$select=Nope":                                          400,
		"ContactCollection?$expand=LastName":                                      400,
		"ContactCollection?$orderby=Nope":                                         400,
		"ContactCollection?$orderby=LastName%20desc,ObjectID":                     200,
		"ContactCollection?$format=atom":                                          400,
		"ContactCollection?$inlinecount=allpages":                                 200,
		"ContactCollection?$filter=" + enc("LastName eq 'O''Neil'"):               200,
		"ContactCollection?$filter=" + enc("LastName eq 'a' or LastName eq 'b'"):  200,
		"ContactCollection?$filter=" + enc("LastName eq 'a' or FirstName eq 'b'"): 400,
		"ContactCollection?$filter=" + enc("(LastName eq 'a' and FirstName eq 'b') or LastName eq 'c'"):   400,
		"ContactCollection?$filter=" + enc("LastName eq 'a' and FirstName eq 'b'"):                        200,
		"ContactCollection?$filter=" + enc("substringof('a',LastName)"):                                   400,
		"ContactCollection?$filter=" + enc("startswith(LastName,'O')"):                                    200,
		"ContactCollection?$filter=" + enc("LastName ne 'a'"):                                             400,
		"ContactCollection?$filter=" + enc("LastName eq 5"):                                               400,
		"ContactCollection?$filter=" + enc("LastName eq 'open"):                                           400,
		"ContactCollection?$filter=" + enc("ETag ge datetimeoffset'2020-01-01T00:00:00Z'"):                400,
		"ContactCollection?$filter=" + enc("EntityLastChangedOn ge datetimeoffset'2020-01-01T00:00:00Z'"): 200,
		"ContactCollection?$filter=" + enc("EntityLastChangedOn ge '2020'"):                               400,
	} {
		status, body, _ := c.do("GET", rel, "")
		assert.Equal(t, want, status, "%s: %s", rel, body)
		if want >= 400 {
			var e struct {
				Error struct{ Code string }
			}
			require.NoError(t, json.Unmarshal([]byte(body), &e))
			assert.NotEmpty(t, e.Error.Code)
		}
	}
	status, _, _ := c.do("GET", "ContactCollection", "", "Accept", "application/atom+xml")
	assert.Equal(t, 406, status)
	status, _, _ = c.do("GET", "", "", "user", "mallory")
	assert.Equal(t, 401, status)
	resp, err := c.hc.Get(strings.TrimSuffix(c.s.URL(), "/"))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 307, resp.StatusCode)
}

func TestPaging(t *testing.T) {
	c := start(t, c4ctest.Options{PageSize: 4})
	for i := range 10 {
		_, err := c.s.Seed("ContactCollection", c4ctest.Props{"LastName": fmt.Sprint("n", i)})
		require.NoError(t, err)
	}
	seen, rel := 0, "ContactCollection?$select=LastName&$inlinecount=allpages"
	for page := 0; rel != ""; page++ {
		status, body, _ := c.do("GET", rel, "")
		require.Equal(t, 200, status)
		var p struct {
			D struct {
				Results []map[string]any
				Next    string `json:"__next"`
				Count   string `json:"__count"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &p))
		assert.Equal(t, "10", p.D.Count)
		seen += len(p.D.Results)
		if page == 0 {
			assert.Contains(t, p.D.Next, "%24skiptoken=5", "positions count from one")
		}
		rel = strings.TrimPrefix(p.D.Next, c.s.URL())
	}
	assert.Equal(t, 10, seen)
}

func TestWriting(t *testing.T) {
	c := start(t, c4ctest.Options{})
	status, _, h := c.do("POST", "ContactCollection", `{"LastName":"x"}`)
	assert.Equal(t, 403, status)
	assert.Equal(t, "Required", h.Get("X-Csrf-Token"))
	status, _, _ = c.do("POST", "ContactCollection", `{"LastName":"x"}`, "user", "tech")
	assert.Equal(t, 201, status, "technical users need no token")
	c.signIn()
	for body, want := range map[string]int{
		`{"LastName":"x"}`: 201,
		`{"LastName":"x","ContactTextCollection":[{"Text":"a"}]}`: 201,
		`{"FirstName":"x"}`:                                       400,
		`{"LastName":"x","Nope":"y"}`:                             400,
		`{"LastName":7}`:                                          400,
		`{"LastName":"` + strings.Repeat("x", 41) + `"}`:          400,
		`{"LastName":"x","ETag":"/Date(0)/"}`:                     400,
		`{"LastName":"x","BirthDate":"yesterday"}`:                400,
		`{"LastName":"x","BirthDate":"1970-01-02T00:00:00"}`:      201,
		`{"LastName":"x","AccountID":"17"}`:                       400,
		`{"LastName":"x","ContactTextCollection":[{"Nope":"a"}]}`: 400,
		`{"LastName":"x"} {}`:                                     400,
		`[`:                                                       400,
	} {
		status, answer, _ := c.do("POST", "ContactCollection", body)
		assert.Equal(t, want, status, "%s: %s", body, answer)
	}
	assert.Len(t, c.s.All("ContactCollection"), 4, "what failed has left nothing")
	assert.Len(t, c.s.All("ContactTextCollectionCollection"), 1)

	_, body, _ := c.do("GET", "ContactCollection?$top=1", "")
	var p struct {
		D struct {
			Results []struct {
				ObjectID string
				Meta     struct{ ETag string } `json:"__metadata"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &p))
	rel, tag := "ContactCollection('"+p.D.Results[0].ObjectID+"')", p.D.Results[0].Meta.ETag
	for _, x := range []struct {
		method, body, match string
		want                int
	}{
		{"PATCH", `{"LastName":"y"}`, "", 428}, {"PATCH", `{"LastName":"y"}`, "*", 400}, {"PATCH", `{"LastName":"y"}`, `W/"old"`, 412},
		{"PATCH", `{"LastName":"y"}`, tag, 204}, {"PATCH", `{"LastName":"z"}`, tag, 412}, {"DELETE", "", "", 428},
	} {
		status, _, _ := c.do(x.method, rel, x.body, "If-Match", x.match)
		assert.Equal(t, x.want, status, "%s %s", x.method, x.match)
	}
	_, _, h = c.do("GET", rel, "")
	status, _, _ = c.do("DELETE", rel, "", "If-Match", h.Get("Etag"))
	assert.Equal(t, 405, status, "contacts are not deleted")
	status, _, _ = c.do("POST", rel, `{"LastName":"merged"}`, "If-Match", h.Get("Etag"), "X-Http-Method", "MERGE")
	assert.Equal(t, 204, status)
}

func TestBatchGrammar(t *testing.T) {
	c := start(t, c4ctest.Options{})
	c.signIn()
	const get = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET ContactCollection?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n"
	for name, x := range map[string]struct {
		body string
		want int
	}{
		"fine":             {get + "--b--\r\n", 202},
		"one empty line":   {strings.Replace(get, "json\r\n\r\n\r\n", "json\r\n\r\n", 1) + "--b--\r\n", 400},
		"no end":           {get, 400},
		"absolute address": {strings.Replace(get, "GET Contact", "GET /Contact", 1) + "--b--\r\n", 400},
		"change outside":   {strings.Replace(get, "GET", "DELETE", 1) + "--b--\r\n", 400},
		"empty":            {"--b--\r\n", 400},
		"no encoding":      {strings.Replace(get, "binary", "base64", 1) + "--b--\r\n", 400},
	} {
		status, answer, _ := c.do("POST", "$batch", x.body, "Content-Type", "multipart/mixed; boundary=b")
		assert.Equal(t, x.want, status, "%s: %s", name, answer)
	}
	// A change set is one transaction.
	op := func(body string) string {
		return fmt.Sprintf("--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPOST ContactCollection HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s\r\n", len(body), body)
	}
	status, answer, _ := c.do("POST", "$batch", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"+op(`{"LastName":"a"}`)+op(`{"LastName":""}`)+"--c--\r\n\r\n--b--\r\n", "Content-Type", "multipart/mixed; boundary=b")
	assert.Equal(t, 202, status)
	assert.Contains(t, answer, "HTTP/1.1 400")
	assert.Empty(t, c.s.All("ContactCollection"))
}

func TestDumpLoad(t *testing.T) {
	c := start(t, c4ctest.Options{})
	id, err := c.s.Seed("AppointmentCollection", c4ctest.Props{"Subject": "x", "StartDate": time.Unix(0, 0), "EndDate": time.Unix(60, 0),
		"AppointmentInvolvedParties": []c4ctest.Props{{"RoleCode": "36", "EMail": "a@example.com"}}})
	require.NoError(t, err)
	b, err := c.s.Dump()
	require.NoError(t, err)
	other := c4ctest.New(nil)
	require.NoError(t, other.Load(b))
	want, _ := c.s.Get("AppointmentCollection", id)
	got, ok := other.Get("AppointmentCollection", id)
	require.True(t, ok)
	assert.Equal(t, want, got)
	next, err := other.Seed("ContactCollection", c4ctest.Props{"LastName": "x"})
	require.NoError(t, err)
	assert.NotEqual(t, id, next)
	assert.Error(t, other.Load([]byte("{}")))
}

func TestEditsAreAtomic(t *testing.T) {
	s := c4ctest.New(nil)
	id, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": "x"})
	require.NoError(t, err)
	before, _ := s.Get("ContactCollection", id)
	assert.Error(t, s.Edit("ContactCollection", id, c4ctest.Props{"FirstName": "y", "LastName": ""}))
	after, _ := s.Get("ContactCollection", id)
	assert.Equal(t, before, after)
	assert.Error(t, s.Edit("ContactCollection", "nope", nil))
	assert.Error(t, s.Remove("Nope", id))
	require.NoError(t, s.Remove("ContactCollection", id))
	_, ok := s.Get("ContactCollection", id)
	assert.False(t, ok)
}

func Example() {
	s := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{"eva": {Password: "secret"}}})
	s.StartTLS()
	defer s.Close()
	id, err := s.Seed("ContactCollection", c4ctest.Props{"FirstName": "Ana", "LastName": "Silva"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Edit("ContactCollection", id, c4ctest.Props{"Mobile": "+351 910000000"}); err != nil {
		fmt.Println(err)
		return
	}
	p, _ := s.Get("ContactCollection", id)
	fmt.Println(p["Name"], p["Mobile"], s.RequestCount())
	// Output: Ana Silva +351 910000000 0
}
