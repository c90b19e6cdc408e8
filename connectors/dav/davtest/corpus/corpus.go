// Package corpus reads real documents of other people for tests. They are not
// part of this repository: LOCKKEEPER_CORPUS names the directory where they are.
package corpus

import (
	"os"
	"path/filepath"
	"testing"
)

// File is one document.
type File struct {
	Name string
	Data []byte
}

// Files returns the documents of a folder, contacts or events. Where there is
// no corpus the test is skipped and says so; under CI=true it fails.
func Files(t testing.TB, folder string) []File {
	t.Helper()
	dir := os.Getenv("LOCKKEEPER_CORPUS")
	if dir == "" {
		root, err := os.Getwd()
		for err == nil {
			if _, missing := os.Stat(filepath.Join(root, "go.mod")); missing == nil || root == filepath.Dir(root) {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "corpus")
	}
	names, err := filepath.Glob(filepath.Join(dir, folder, "*"))
	if err != nil || len(names) == 0 {
		const absent = "LEFT OUT: no corpus of real documents: set LOCKKEEPER_CORPUS"
		if os.Getenv("CI") == "true" {
			t.Fatal(absent)
		}
		t.Skip(absent)
	}
	var out []File
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, File{filepath.Base(n), b})
	}
	return out
}
