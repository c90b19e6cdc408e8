package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// failing is the name of an invented contact that the CRM does not take.
const failing = "Reception Desk Level Three"

func TestPages(t *testing.T) {
	s := serving(t)
	t.Run("every persona sees what its roles allow and no name", func(t *testing.T) { personas(t, s) })
	t.Run("answers carry their guards", func(t *testing.T) { guards(t, s) })
	t.Run("reasons", func(t *testing.T) { reasons(t, s) })
	t.Run("an edit on either side arrives on the other", func(t *testing.T) { edits(t, s) })
	t.Run("a stale form saves nothing", func(t *testing.T) { staleForm(t, s) })
	t.Run("programs ask as the persona too", func(t *testing.T) { programs(t, s) })
	t.Run("sync now", func(t *testing.T) { syncNow(t, s) })
	assert.Zero(t, s.stop(), "a server that is asked to stop has done what it should")
	assert.NotContains(t, s.words.String(), "panic")
}

// evidence: P2
func personas(t *testing.T, s *served) {
	names := demo.New(seed, now()).Texts()
	for _, c := range []struct {
		persona           string
		mailboxes         int
		plan, list, names bool // of Ana's mailbox
		systems           bool
	}{
		{persona: "user", mailboxes: 1, plan: true, list: true, names: true, systems: true},
		{persona: "tenant-admin", mailboxes: 3, plan: true, list: true},
		{persona: "support", mailboxes: 3, list: true},
		{persona: "customer-success", mailboxes: 3, list: true},
		{persona: "sales", mailboxes: 3},
		{persona: "administration", mailboxes: 3},
	} {
		b := s.as(c.persona)
		status, overview := b.get("/")
		assert.Equal(t, http.StatusOK, status, c.persona)
		assert.Equal(t, c.mailboxes, strings.Count(overview, `<a href="/mailboxes/`), c.persona)
		assert.Equal(t, c.mailboxes < 3, strings.Contains(overview, "sync.status.read"), c.persona)

		_, mailbox := b.get("/mailboxes/ana")
		assert.Equal(t, !c.plan, strings.Contains(mailbox, "sync.plan.read</code> on"), c.persona)
		assert.Equal(t, !c.list, strings.Contains(mailbox, "sync.issues.read</code> on"), c.persona)
		assert.Equal(t, c.list, strings.Contains(mailbox, "LK-SERIES"), c.persona)
		assert.Equal(t, c.names, strings.Contains(mailbox, failing), c.persona)
		assert.Equal(t, c.list && !c.names, strings.Contains(mailbox, "name hidden from you"), c.persona)

		all := overview + mailbox
		for _, path := range []string{"/access", "/systems", "/systems/crm", "/systems/ana", "/systems/bo", "/mailboxes/bo", "/systems/crm/contacts/x"} {
			status, text := b.get(path)
			all += text
			switch path {
			case "/systems/crm", "/systems/ana":
				assert.Equal(t, c.systems, status == http.StatusOK, "%s %s %d", c.persona, path, status)
				assert.Equal(t, !c.systems, strings.Contains(text, "Hidden from you"), "%s %s", c.persona, path)
			case "/systems/bo":
				assert.Equal(t, http.StatusForbidden, status, "%s %s", c.persona, path)
			case "/mailboxes/bo":
				assert.Equal(t, c.mailboxes == 3, status == http.StatusOK, "%s %s %d", c.persona, path, status)
			}
		}
		if c.persona == "user" {
			continue
		}
		for _, n := range append(names, failing) {
			assert.NotContains(t, all, n, c.persona)
		}
	}
}

func guards(t *testing.T, s *served) {
	b := s.as("user")
	for _, path := range []string{"/", "/mailboxes/ana", "/access", "/credentials", "/healthz", "/systems", "/style.css", "/nowhere"} {
		req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
		require.NoError(t, err)
		resp, err := b.c.Do(req)
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, "no-store", resp.Header.Get("Cache-Control"), path)
		assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'", path)
		assert.NotContains(t, resp.Header.Get("Content-Security-Policy"), "unsafe", path)
		assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"), path)
	}
	for path, want := range map[string]int{"/nowhere": 404, "/mailboxes/nobody": 404, "/systems/nothing": 404, "/systems/crm/contacts/none": 404, "/style.css": 200, "/icon.svg": 200} {
		status, _ := b.get(path)
		assert.Equal(t, want, status, path)
	}
	status, _ := b.post("/access", nil)
	assert.Equal(t, http.StatusMethodNotAllowed, status)

	foreign := func(edit func(*http.Request)) int {
		req, err := http.NewRequest(http.MethodPost, s.url+"/mailboxes/ana/run", nil)
		require.NoError(t, err)
		edit(req)
		status, _ := b.do(req)
		return status
	}
	assert.Equal(t, http.StatusForbidden, foreign(func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }))
	assert.Equal(t, http.StatusForbidden, foreign(func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }))
	assert.Equal(t, http.StatusMisdirectedRequest, foreign(func(r *http.Request) { r.Host = "elsewhere.example" }))

	for _, back := range []string{"https://elsewhere.example/", "//elsewhere.example", `/\elsewhere.example`, ""} {
		b.c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			assert.Equal(t, "/", r.URL.Path)
			assert.Equal(t, s.url, "https://"+r.URL.Host)
			return nil
		}
		b.post("/persona", url.Values{"persona": {"user"}, "back": {back}})
	}
	b.c.CheckRedirect = nil
}

func reasons(t *testing.T, s *served) {
	b := s.as("support")
	_, text := b.get("/access?who=sales&permission=secrets.use&on=ana-secret")
	assert.Contains(t, text, "is refused")
	assert.Contains(t, text, "carried by role:connection")
	_, text = b.get("/access?who=user&permission=mailbox.items.read&on=ana-mailbox")
	assert.Contains(t, text, "is allowed: user:demo/ana holds role:user on tenants/acme/users/ana")
	_, text = s.as("user").get("/access?who=user&permission=mailbox.items.read&on=bo-mailbox")
	assert.NotContains(t, text, `id="why"`, "Ana may not ask about Bo’s mailbox")
	assert.Contains(t, text, "Not yours to ask about Bo’s contacts")
}

// form reads the values of an edit form.
func form(text string) url.Values {
	out := url.Values{}
	for _, m := range regexp.MustCompile(`<input[^>]* name="([^"]+)"[^>]*value="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if m[1] != "back" {
			out.Set(m[1], unescape(m[2]))
		}
	}
	return out
}

func unescape(s string) string {
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#43;", "+", "&amp;", "&").Replace(s)
}

// linked returns the addresses of one person's forms in the CRM and in Ana's
// mailbox.
func linked(t *testing.T, b *browser) (crm, mail string) {
	row := regexp.MustCompile(`<a href="(/systems/[^"]+/contacts/[^"]+)">.*?</td><td>([^<]+@[^<]+)</td>`)
	byMail := map[string]string{}
	_, text := b.get("/systems/ana")
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		byMail[m[2]] = unescape(m[1])
	}
	_, text = b.get("/systems/crm")
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		if mail = byMail[m[2]]; mail != "" {
			return unescape(m[1]), mail
		}
	}
	t.Fatal("nobody is on both sides")
	return "", ""
}

func edits(t *testing.T, s *served) {
	b := s.as("user")
	crm, mail := linked(t, b)
	for _, c := range []struct{ from, to, title string }{{crm, mail, "Lock-keeper Αʹ"}, {mail, crm, "Keeper of 門 & <gates>"}} {
		_, text := b.get(c.from)
		f := form(text)
		f.Set("job_title", c.title)
		status, text := b.post(c.from, f)
		require.Equal(t, http.StatusOK, status, text)
		require.Contains(t, text, "Saved.")
		s.eventually("the edit on the other side", func() bool {
			_, text := b.get(c.to)
			return form(text).Get("job_title") == c.title
		})
	}
}

func staleForm(t *testing.T, s *served) {
	b := s.as("user")
	crm, _ := linked(t, b)
	_, text := b.get(crm)
	f := form(text)
	before := f.Get("job_title")
	f.Set("rev", "of yesterday")
	f.Set("job_title", "Overwriter")
	status, text := b.post(crm, f)
	assert.Equal(t, http.StatusConflict, status)
	assert.Contains(t, text, "nothing of yours was saved")
	_, text = b.get(crm)
	assert.Equal(t, before, form(text).Get("job_title"))

	f = form(text)
	f.Set("city", strings.Repeat("x", 200))
	status, text = b.post(crm, f)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	assert.Contains(t, text, "city 200 characters where 40 fit")
}

func syncNow(t *testing.T, s *served) {
	status, _ := s.as("tenant-admin").post("/mailboxes/bo/run", nil)
	assert.Equal(t, http.StatusOK, status)
	for _, p := range []string{"support", "sales", "customer-success", "administration"} {
		status, text := s.as(p).post("/mailboxes/bo/run", nil)
		assert.Equal(t, http.StatusForbidden, status, p)
		assert.Contains(t, text, "sync.run", p)
	}
	status, _ = s.as("user").post("/mailboxes/bo/run", nil)
	assert.Equal(t, http.StatusForbidden, status, "Ana may not start a round of Bo’s mailbox")
}

// evidence: P1
func programs(t *testing.T, s *served) {
	const check = "/v1/decisions:check?principal=user:demo/ana&permission=mailbox.items.read&resource=tenants/acme/users/ana/mailbox"
	status, text := s.as("tenant-admin").get(check)
	assert.Equal(t, http.StatusOK, status, text)
	assert.Contains(t, text, `"allowed":true`)
	status, text = s.as("sales").get(check)
	assert.Equal(t, http.StatusForbidden, status, text)
	assert.Contains(t, text, "authz.decisions.explain is needed on tenants/acme/users/ana/mailbox.")
	status, text = s.as("administration").get("/v1/audit-events?under=tenants/acme&limit=500")
	assert.Equal(t, http.StatusOK, status, text)
	assert.Contains(t, text, "user:demo/sales", "what was refused is on record")
	status, text = s.as("administration").get("/v1/audit-chain")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"whole":true`)
	status, text = s.as("sales").get("/openapi.json")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"x-permission":"authz.decisions.explain"`)
	req, err := http.NewRequest(http.MethodPost, s.url+"/v1/authorizations", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "https://elsewhere.example")
	status, _ = s.as("tenant-admin").do(req)
	assert.Equal(t, http.StatusForbidden, status, "another site cannot make a browser change anything")
}
