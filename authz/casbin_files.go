package authz

import (
	"io/fs"
	"strings"
	"time"
)

// textFiles is a file system of a few texts, enough to hand a policy on.
type textFiles map[string]string

var (
	_ fs.ReadFileFS = textFiles(nil)
	_ fs.File       = (*textFile)(nil)
	_ fs.FileInfo   = (*textFile)(nil)
)

// Open returns one of the files; there is no folder to list.
func (t textFiles) Open(name string) (fs.File, error) {
	s, ok := t[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &textFile{strings.NewReader(s), name, int64(len(s))}, nil
}

// ReadFile returns the text of a file.
func (t textFiles) ReadFile(name string) ([]byte, error) {
	s, ok := t[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(s), nil
}

type textFile struct {
	r    *strings.Reader
	name string
	size int64
}

func (f *textFile) Read(b []byte) (int, error) { return f.r.Read(b) }
func (f *textFile) Close() error               { return nil }
func (f *textFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *textFile) Name() string               { return f.name }
func (f *textFile) Size() int64                { return f.size }
func (f *textFile) Mode() fs.FileMode          { return 0o444 }
func (f *textFile) ModTime() time.Time         { return time.Time{} }
func (f *textFile) IsDir() bool                { return false }
func (f *textFile) Sys() any                   { return nil }
