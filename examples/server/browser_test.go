package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chromium finds the browser. Without it the test is left out, aloud, and where
// everything must run it fails.
func chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
		t.Fatal("no Chromium: install the package chromium")
	}
	t.Skip("no Chromium: the page was not looked at in a browser; install the package chromium")
	return ""
}

func TestPageInABrowser(t *testing.T) {
	path := chromium(t)
	s := serving(t)
	admin := s.as("tenant-admin")
	s.eventually("all mailboxes to be in sync", func() bool { // a round that ran out of time is repeated
		_, text := admin.get("/")
		return strings.Contains(text, "3 of 3 mailboxes in sync")
	})
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 8*time.Minute) // against a browser that hangs
	defer cancel()
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1200, 900)))

	var mu sync.Mutex
	var said []string
	messages := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			mu.Lock()
			said = append(said, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
			mu.Unlock()
		}
	})

	read := func(sel string) string {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(sel))
		require.NoError(t, err)
		return text
	}
	open := func(path string) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(s.url+path)))
	}
	open("/")
	assert.Contains(t, read(".lead"), "1 of 1 mailbox in sync")
	shot(t, ctx, "overview")

	t.Run("persona switch", func(t *testing.T) {
		require.NoError(t, chromedp.Do(ctx, chromedp.SetValue("#persona", "tenant-admin"), chromedp.Click(".persona button")))
		require.NoError(t, chromedp.Do(ctx, chromedp.WaitReady(`option[value="tenant-admin"][selected]`)))
		assert.Contains(t, read(".lead"), "3 of 3 mailboxes in sync")
		shot(t, ctx, "tenant-admin")
		open("/access?who=support&permission=secrets.use&on=crm")
		assert.Contains(t, read("#why"), "refused")
		shot(t, ctx, "access")
	})
	t.Run("credentials, light and dark", func(t *testing.T) {
		for _, scheme := range []string{"light", "dark"} {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			require.NoError(t, err)
			open("/credentials")
			assert.Contains(t, read("table"), "tenants/acme/users/ana")
			shot(t, ctx, "credentials-"+scheme)
			open(credential(anasRef))
			assert.Contains(t, read("#revoke"), "Revoke it")
			shot(t, ctx, "credential-"+scheme)
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(320, 640)))
			for _, path := range []string{"/credentials", credential(anasRef)} {
				open(path)
				wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
				require.NoError(t, err)
				assert.LessOrEqual(t, wide, int64(320), path)
			}
			shot(t, ctx, "small-credential-"+scheme)
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1200, 900)))
		}
	})
	t.Run("no page is wider than a small screen", func(t *testing.T) {
		for _, persona := range []string{"user", "support"} {
			require.NoError(t, chromedp.Do(ctx, chromedp.SetValue("#persona", persona), chromedp.Click(".persona button")))
			require.NoError(t, chromedp.Do(ctx, chromedp.WaitReady(`option[value="`+persona+`"][selected]`)))
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(320, 640)))
			for _, path := range []string{"/", "/mailboxes/ana", "/access", "/systems", "/systems/crm"} {
				open(path)
				wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
				require.NoError(t, err)
				assert.LessOrEqual(t, wide, int64(320), "%s as %s", path, persona)
				title, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.querySelectorAll('h1, main, header, footer, nav').length"))
				require.NoError(t, err)
				assert.Equal(t, int64(5), title, "landmarks of %s", path)
			}
			shot(t, ctx, "small-"+persona)
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1200, 900)))
		}
	})
	require.NoError(t, chromedp.Cancel(ctx))
	reading.Wait()
	mu.Lock()
	defer mu.Unlock()
	for _, m := range said {
		// The browser itself notes an answer 403, which is what Support gets
		// for the CRM's contacts.
		if !strings.Contains(m, fmt.Sprint(http.StatusForbidden)) {
			t.Errorf("console: %s", m)
		}
	}
}

// shot keeps a picture of the page where LOCKKEEPER_SHOTS names a directory.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	assert.NotEmpty(t, b)
	if dir := os.Getenv("LOCKKEEPER_SHOTS"); dir != "" {
		require.NoError(t, os.WriteFile(dir+"/"+name+".png", b, 0o600))
	}
}
