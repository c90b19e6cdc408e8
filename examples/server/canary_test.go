package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// spellings are the forms in which a text may hide.
func spellings(s string) [][]byte {
	var wide []byte
	for _, u := range utf16.Encode([]rune(s)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	out := [][]byte{[]byte(s), []byte(hex.EncodeToString([]byte(s))), wide, []byte(url.QueryEscape(s)), []byte(url.PathEscape(s))}
	// Base64 of a text inside another begins at one of three places; what is
	// the same wherever it begins is searched for.
	for shift := range 3 {
		e := base64.StdEncoding.EncodeToString(append(make([]byte, shift), s...))
		if from, to := (shift*8+5)/6, (shift+len(s))*8/6; to-from >= 8 {
			out = append(out, []byte(e[from:to]))
		}
	}
	return out
}

// leaks returns which of the texts stand in a content, in whatever spelling.
func leaks(content []byte, texts []string) (found []string) {
	for _, s := range texts {
		for i, form := range spellings(s) {
			if bytes.Contains(content, form) {
				found = append(found, fmt.Sprintf("%q as spelling %d", s, i))
				break
			}
		}
	}
	return found
}

func TestTheScannerFindsWhatIsThere(t *testing.T) {
	s := "Änne Müllenhöfer"
	for i, form := range spellings(s) {
		assert.Len(t, leaks(append([]byte("x\x00"), form...), []string{s}), 1, i)
	}
	for shift := range 6 {
		b := base64.StdEncoding.EncodeToString([]byte("zzzzzz"[:shift] + s + " and more"))
		assert.Len(t, leaks([]byte(b), []string{s}), 1, "base64 at %d", shift)
	}
	assert.Empty(t, leaks([]byte("nothing of the kind"), []string{s}))
}

// scanned reads every file below a directory except those of the embedded
// systems, which are not ours.
func scanned(t *testing.T, dir string) map[string][]byte {
	out := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == systemsDir:
			return filepath.SkipDir
		case e.IsDir():
			return nil
		}
		out[path], err = os.ReadFile(path)
		return err
	}))
	return out
}

// evidence: P2
// evidence: P30
func TestNothingOfARecordIsKeptOrSaid(t *testing.T) {
	s := serving(t)
	texts := demo.New(seed, now()).Texts()
	require.Greater(t, len(texts), 200)
	for _, name := range []string{"crm.netrc", "mailbox.netrc"} {
		p := regexp.MustCompile(`password (\S+)`).FindStringSubmatch(content(t, filepath.Join(s.data, systemsDir, name)))
		require.Len(t, p, 2)
		texts = append(texts, p[1])
	}
	b := s.as("user")
	crm, _ := linked(t, b)
	_, text := b.get(crm)
	f := form(text)
	f.Set("job_title", "Canary-4f1d-Keeper")
	b.post(crm, f)
	texts = append(texts, "Canary-4f1d-Keeper", failing)
	s.eventually("the edit on its way", func() bool { return bytes.Count([]byte(s.out.String()), []byte("records written")) > 4 })

	theirs := content(t, filepath.Join(s.data, systemsDir, crmFile))
	require.NotEmpty(t, leaks([]byte(theirs), texts), "the texts are those of the records")
	check := func(when string) {
		files := scanned(t, s.data)
		for _, name := range []string{mainDB, jobsDB} {
			require.NotEmpty(t, files[filepath.Join(s.data, name)], "%s was scanned", name)
		}
		files["the keyring"] = []byte(content(t, s.data+keySuffix))
		files["what it printed"] = []byte(s.out.String())
		files["what it logged"] = []byte(s.words.String())
		states := 0
		for name, b := range files {
			assert.Empty(t, leaks(b, texts), "%s, in %s", when, name)
			if filepath.Base(filepath.Dir(name)) == statesDir {
				states++
			}
		}
		assert.GreaterOrEqual(t, states, users(), "a state for each mailbox was scanned")
	}
	check("while it serves")
	assert.Zero(t, s.stop())
	check("afterwards")
}

// Nobody but the mailbox's own user sees a text of a record on any page, and she
// sees only names of what could not be synced, and only with her mailbox.
// evidence: P6
// evidence: T12
func TestNothingOfARecordIsOnAPageForOthers(t *testing.T) {
	s := serving(t)
	texts := demo.New(seed, now()).Texts()
	pages := []string{"/", "/?live=1", "/access", "/credentials", credential(anasRef), "/healthz", "/systems", "/systems/crm"}
	for _, u := range demo.Users() {
		pages = append(pages, "/mailboxes/"+u.ID, "/systems/"+u.ID, "/systems/"+u.ID+"/contacts/"+u.ID+"-contacts-0002.vcf")
	}
	for _, persona := range []string{"tenant-admin", "support", "sales", "customer-success", "administration", "custodian"} {
		b := s.as(persona)
		for _, p := range pages {
			_, text := b.get(p)
			require.NotEmpty(t, text)
			assert.Empty(t, leaks([]byte(text), texts), "%s sees it on %s", persona, p)
		}
	}
	b := s.as("user")
	for _, p := range []string{"/", "/access", "/credentials", "/systems", "/mailboxes/bo", "/systems/bo"} {
		_, text := b.get(p)
		assert.Empty(t, leaks([]byte(text), texts), "the user sees it on %s", p)
	}
	_, text := b.get("/mailboxes/" + demo.Users()[0].ID)
	assert.NotEmpty(t, leaks([]byte(text), texts), "the names of what could not be synced")
	assert.Less(t, len(leaks([]byte(text), texts)), 20)
	_, text = b.get("/systems/" + demo.Users()[0].ID)
	assert.Greater(t, len(leaks([]byte(text), texts)), 100, "the scan sees what is there")
	assert.Zero(t, s.stop())
}
