package davtest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Collection is one of the two collections that each user has.
type Collection string

// The collections.
const (
	Contacts Collection = "contacts"
	Calendar Collection = "calendars"
)

// MaxObject is the size of the largest object that is taken, in bytes.
const MaxObject = 8 << 20

// Object is a member of a collection.
type Object struct {
	Name    string // last segment of its path, as in 7f3a.vcf
	Data    []byte
	ETag    string // with its quotes
	ModTime time.Time
}

// entry is a member as it is kept, or what is left of one.
type entry struct {
	Object
	uid  string
	seq  int64 // of its last change
	gone bool
}

// box is one collection of one user.
type box struct {
	dir     string // "" keeps everything in memory
	members map[string]*entry
	seq     int64
}

// change is a line of the file that remembers the order of changes. Objects
// stand in files of their own.
type change struct {
	Seq  int64  `json:"seq"`
	Name string `json:"name"`
	ETag string `json:"etag,omitempty"` // none: deleted
}

func tag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// openBox reads what a directory holds. Files that were put there, changed or
// removed by hand count as changes.
func openBox(dir string, now time.Time) (*box, error) {
	b := &box{dir: dir, members: map[string]*entry{}}
	if dir == "" {
		return b, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	known := map[string]change{}
	f, err := os.Open(dir + ".changes")
	if err == nil {
		s := bufio.NewScanner(f)
		for s.Scan() {
			var c change
			if json.Unmarshal(s.Bytes(), &c) != nil {
				continue // the line that a kill cut off: its file tells
			}
			known[c.Name] = c
			b.seq = max(b.seq, c.Seq)
		}
		err = errors.Join(s.Err(), f.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name, err := url.PathUnescape(file.Name())
		if err != nil || file.IsDir() || strings.HasPrefix(file.Name(), ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		e := &entry{Object: Object{Name: name, Data: data, ETag: tag(data), ModTime: now}, uid: uid(data)}
		if i, err := file.Info(); err == nil {
			e.ModTime = i.ModTime()
		}
		if c, ok := known[name]; ok && c.ETag == e.ETag {
			e.seq = c.Seq
			b.members[name] = e
		} else if err := b.record(e); err != nil {
			return nil, err
		}
	}
	for name, c := range known {
		if b.members[name] != nil {
			continue
		}
		e := &entry{Object: Object{Name: name, ModTime: now}, gone: true, seq: c.Seq}
		if c.ETag == "" {
			b.members[name] = e
		} else if err := b.record(e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// record makes an entry the newest change.
func (b *box) record(e *entry) error {
	e.seq = b.seq + 1
	if b.dir != "" {
		c := change{Seq: e.seq, Name: e.Name}
		if !e.gone {
			c.ETag = e.ETag
		}
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(b.dir+".changes", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		// The newline in front ends a line that a kill cut off.
		_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	b.seq++
	b.members[e.Name] = e
	return nil
}

func (b *box) get(name string) *entry {
	if e := b.members[name]; e != nil && !e.gone {
		return e
	}
	return nil
}

// put keeps an object: file first, then the line about it.
func (b *box) put(name string, data []byte, now time.Time) (*entry, error) {
	e := &entry{Object: Object{Name: name, Data: slices.Clone(data), ETag: tag(data), ModTime: now}, uid: uid(data)}
	if old := b.get(name); old != nil && old.ETag == e.ETag {
		return old, nil // the same bytes are no change
	}
	if b.dir != "" {
		path := filepath.Join(b.dir, url.PathEscape(name))
		tmp := filepath.Join(b.dir, ".new")
		if err := os.WriteFile(tmp, data, 0o600); err != nil {
			return nil, err
		}
		if err := os.Rename(tmp, path); err != nil {
			return nil, err
		}
	}
	return e, b.record(e)
}

func (b *box) remove(name string, now time.Time) error {
	if b.dir != "" {
		if err := os.Remove(filepath.Join(b.dir, url.PathEscape(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return b.record(&entry{Object: Object{Name: name, ModTime: now}, gone: true})
}

// list returns the members in the order of their names.
func (b *box) list() []*entry {
	var out []*entry
	for _, e := range b.members {
		if !e.gone {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(x, y *entry) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// since returns what changed after a number, oldest first.
func (b *box) since(seq int64) []*entry {
	var out []*entry
	for _, e := range b.members {
		if e.seq > seq {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(x, y *entry) int { return int(x.seq - y.seq) })
	return out
}

// uid returns the first UID in an object, for the rule that no two objects of a
// collection have the same (RFC 4791 section 5.3.2.1).
func uid(data []byte) string {
	for line := range strings.SplitSeq(strings.ReplaceAll(string(data), "\r\n ", ""), "\n") {
		if len(line) > 4 && strings.EqualFold(line[:4], "UID:") {
			return strings.TrimSpace(line[4:])
		}
	}
	return ""
}

// valid refuses names that are no single, visible file.
func valid(name string) error {
	switch {
	case name == "", len(url.PathEscape(name)) > 240:
		return fmt.Errorf("davtest: name: want 1 to 240 bytes")
	case strings.HasPrefix(name, "."), strings.ContainsAny(name, "/\\\x00"):
		return fmt.Errorf("davtest: name: want one segment of a path that starts with no dot")
	}
	return nil
}
