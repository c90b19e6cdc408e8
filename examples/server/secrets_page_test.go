package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

const anasRef = "tenants/acme/users/ana/secrets/mailbox"

func credential(ref string) string { return "/credential?" + url.Values{"ref": {ref}}.Encode() }

// evidence: P30
func TestCredentials(t *testing.T) {
	s := serving(t, small(t)...)
	t.Run("only who may describe them sees them, and nobody a value", func(t *testing.T) {
		var values []string
		for _, name := range []string{"crm.netrc", "mailbox.netrc"} {
			values = append(values, regexp.MustCompile(`password (\S+)`).FindStringSubmatch(content(t, filepath.Join(s.data, systemsDir, name)))[1])
		}
		for _, c := range []struct {
			persona                       string
			sees, revoke, replace, rotate bool
		}{
			{persona: "user"}, {persona: "support"}, {persona: "sales"}, {persona: "customer-success"},
			{persona: "tenant-admin", sees: true, revoke: true, replace: true},
			{persona: "administration", sees: true, revoke: true},
			{persona: "custodian", sees: true, rotate: true},
		} {
			b := s.as(c.persona)
			status, list := b.get("/credentials")
			assert.Equal(t, c.sees, status == http.StatusOK, c.persona)
			status, one := b.get(credential(anasRef))
			assert.Equal(t, c.sees, status == http.StatusOK, c.persona)
			assert.Empty(t, leaks([]byte(list+one), values), c.persona)
			if !c.sees {
				assert.Contains(t, list, "secrets.describe", c.persona)
				assert.NotContains(t, list, "users/ana", c.persona)
			} else {
				assert.Equal(t, users()+1, strings.Count(list, `<a href="/credential?`), c.persona)
				assert.Contains(t, list, "keyring "+s.data+keySuffix, c.persona)
				assert.Contains(t, list, "in 89 days", c.persona)
			}
			assert.Contains(t, one, `name="back" value="`+strings.ReplaceAll(credential(anasRef), "&", "&amp;")+`"`, "whoever switches stays here")
			assert.Equal(t, c.revoke, strings.Contains(one, `action="/credential/revoke"`), c.persona)
			assert.Equal(t, c.replace, strings.Contains(one, `action="/credential/replace"`), c.persona)
			assert.Equal(t, c.rotate, strings.Contains(list, `action="/credentials/key"`), c.persona)

			// What has no button is refused all the same.
			ref := url.Values{"ref": {anasRef}, "sure": {"yes"}}
			for path, may := range map[string]bool{"/credential/revoke": c.revoke, "/credential/replace": c.replace, "/credentials/key": c.rotate} {
				if !may {
					status, _ := b.post(path, ref)
					assert.Equal(t, http.StatusForbidden, status, "%s %s", c.persona, path)
				}
			}
		}
	})
	admin, custodian := s.as("tenant-admin"), s.as("custodian")
	t.Run("no other tenant's, and none that is not there", func(t *testing.T) {
		for _, ref := range []string{"tenants/other/secrets/crm", "tenants/acme/secrets/none", "x", "", "tenants/acme/../other/secrets/crm"} {
			status, _ := admin.get(credential(ref))
			assert.Equal(t, http.StatusNotFound, status, ref)
			status, _ = admin.post("/credential/revoke", url.Values{"ref": {ref}, "sure": {"yes"}})
			assert.Equal(t, http.StatusNotFound, status, ref)
		}
	})
	t.Run("a replaced password is the only one, and sync goes on", func(t *testing.T) {
		netrc := filepath.Join(s.data, systemsDir, "mailbox.netrc")
		old := content(t, netrc)
		status, text := admin.post("/credential/replace", url.Values{"ref": {anasRef}})
		require.Equal(t, http.StatusOK, status, text)
		assert.Contains(t, text, "There is a new password.")
		assert.Contains(t, text, "<th scope=\"row\" class=\"n\">2</th>")
		login := func(line string) int {
			m := regexp.MustCompile(`login (\S+) password (\S+)`).FindStringSubmatch(line)
			mail := regexp.MustCompile(`'(https://127\.0\.0\.1:\d+)/[^']*\.vcf'`).FindStringSubmatch(s.out.String())
			req, err := http.NewRequest("PROPFIND", mail[1]+"/", nil)
			require.NoError(t, err)
			req.SetBasicAuth(m[1], m[2])
			status, _ := admin.do(req)
			return status
		}
		assert.Equal(t, http.StatusUnauthorized, login(old))
		assert.NotEqual(t, http.StatusUnauthorized, login(content(t, netrc)))
		edits(t, s)
	})
	t.Run("a new key seals what there is", func(t *testing.T) {
		status, text := custodian.post("/credentials/key", nil)
		require.Equal(t, http.StatusOK, status, text)
		assert.Contains(t, text, "every credential is sealed under it")
		assert.Equal(t, users()+1, strings.Count(text, `<td class="n">2</td></tr>`), "key version of each")
		edits(t, s)
	})
	t.Run("revoking is meant, ends the sync, and can be made good", func(t *testing.T) {
		status, text := admin.post("/credential/revoke", url.Values{"ref": {anasRef}})
		assert.Equal(t, http.StatusUnprocessableEntity, status)
		assert.Contains(t, text, "Nothing was revoked")
		status, text = admin.post("/credential/revoke", url.Values{"ref": {anasRef}, "sure": {"yes"}})
		require.Equal(t, http.StatusOK, status, text)
		assert.Contains(t, text, "No version of it is kept")
		assert.NotContains(t, text, `action="/credential/revoke"`)
		s.eventually("the mailbox to stop", func() bool {
			_, text := admin.get("/mailboxes/ana")
			return strings.Contains(text, `data-state="failed"`)
		})
		status, _ = admin.post("/credential/replace", url.Values{"ref": {anasRef}})
		require.Equal(t, http.StatusOK, status)
		status, _ = admin.post("/mailboxes/ana/run", nil)
		require.Equal(t, http.StatusOK, status)
		s.eventually("the mailbox to go on", func() bool {
			_, text := admin.get("/mailboxes/ana")
			return strings.Contains(text, `data-state="in sync"`)
		})
	})
	assert.Zero(t, s.stop())
}

// A start gives the embedded systems new passwords, and leaves what was revoked
// as it is.
func TestARevokedCredentialStaysRevoked(t *testing.T) {
	data := newData(t)
	h := houseIn(t, data)
	ref := h.mailboxes[0].mail.Secret
	require.NoError(t, h.safe.Revoke(t.Context(), grantOf(t, h, "tenant-admin", "secrets.revoke", ref.Resource()), ref))
	h.end()
	h = houseIn(t, data)
	x, err := h.safe.Describe(t.Context(), grantOf(t, h, "tenant-admin", "secrets.describe", ref.Resource()), ref)
	require.NoError(t, err)
	assert.True(t, x.Revoked)
	h.end()
}

func TestCredentialsComeInPages(t *testing.T) {
	h := houseIn(t, newData(t))
	defer h.end()
	const more = 2*secretsPage + 7
	for i := range more {
		p, err := password()
		require.NoError(t, err)
		_, err = h.put(t.Context(), h.userNode(demo.Users()[1].ID), fmt.Sprintf("more-%03d", i), "nobody", p)
		require.NoError(t, err)
	}
	page, err := newPage(h.house, nil)
	require.NoError(t, err)
	seen, path, pages := map[string]bool{}, "/credentials", 0
	for path != "" && pages < 10 {
		req := httptest.NewRequest(http.MethodGet, "https://localhost"+path, nil)
		req.AddCookie(&http.Cookie{Name: personaCookie, Value: "tenant-admin"})
		w := httptest.NewRecorder()
		page.ServeHTTP(w, req)
		require.Equal(t, http.StatusOK, w.Code)
		for _, m := range regexp.MustCompile(`<a href="(/credential\?[^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			assert.False(t, seen[m[1]], "once each")
			seen[m[1]] = true
		}
		path, pages = "", pages+1
		if m := regexp.MustCompile(`<a href="([^"]*)" rel="next"`).FindStringSubmatch(w.Body.String()); m != nil {
			path = unescape(m[1])
		}
	}
	assert.Len(t, seen, more+users()+1)
	assert.Equal(t, 3, pages)
}

// built is a house over a data directory, without a server.
type built struct {
	*house
	end func()
}

func houseIn(t *testing.T, data string) built {
	t.Helper()
	d, err := openDataDir(t.Context(), data, nil, nil)
	require.NoError(t, err)
	h, err := build(t.Context(), d, newBoard(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s, err := startSystems(d.file(systemsDir), h.issuer, "")
	require.NoError(t, err)
	require.NoError(t, h.connect(t.Context(), s))
	return built{h, func() {
		s.stop()
		h.close()
		require.NoError(t, d.close())
	}}
}

func grantOf(t *testing.T, h built, persona, permission string, on authz.Resource) authz.Grant {
	t.Helper()
	g, err := h.az.Authorize(t.Context(), authz.Request{Principal: h.persona(persona).Principal, Permission: authz.MustPermission(permission), Resource: on})
	require.NoError(t, err)
	return g
}
