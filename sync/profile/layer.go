package profile

import (
	"bytes"
	_ "embed" // the template that comes before all layers
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on what Compile reads.
const (
	MaxLayers = 10
	MaxBytes  = 256 << 10 // of one layer
	MaxDepth  = 12        // of maps and lists in each other
	MaxNodes  = 20_000    // values in one layer
	MaxErrors = 50        // reported
)

// Layer is one text that a profile is made of. Its name stands in errors.
type Layer struct {
	Name string
	Data []byte
}

//go:embed default.yaml
var template []byte

// tree reads layers into one tree of nodes.
type tree struct {
	owner map[*yaml.Node]string
	errs  Errors
}

func (t *tree) layerOf(n *yaml.Node) string { return t.owner[n] }

func (t *tree) fail(layer string, n *yaml.Node, path, problem, fix string) {
	e := &Error{Layer: layer, Path: path, Problem: problem, Fix: fix}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	if len(t.errs) < MaxErrors {
		t.errs = append(t.errs, e)
	}
}

// parse reads one layer; nil if it cannot be read or says nothing.
func (t *tree) parse(l Layer) *yaml.Node {
	if len(l.Data) > MaxBytes {
		t.fail(l.Name, nil, "", "is larger than 256 KB", "shorten it")
		return nil
	}
	// Aliases could make a small text an endless one. They are no part of a
	// profile; the reader must not even begin to follow them.
	d := yaml.NewDecoder(bytes.NewReader(l.Data))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		t.fail(l.Name, nil, "", "is neither YAML nor JSON", "check brackets, quotes and the depth of lines"+lineOf(err))
		return nil
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		t.fail(l.Name, nil, "", "has several documents", "write one")
		return nil
	}
	if len(doc.Content) != 1 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	count := 0
	if !t.check(l.Name, root, "", 0, &count) {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		t.fail(l.Name, root, "", "is "+class(root)+", not a map", "begin with keys, as in kinds:")
		return nil
	}
	return root
}

// lineOf takes from a reader's error the line and nothing else.
func lineOf(err error) string {
	_, rest, ok := strings.Cut(err.Error(), "line ")
	if !ok {
		return ""
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	return " near line " + rest[:n]
}

// check refuses what no profile needs: anchors, aliases, tags, keys that are no
// text or stand twice, and too much of anything.
func (t *tree) check(layer string, n *yaml.Node, path string, depth int, count *int) bool {
	t.owner[n] = layer
	switch *count++; {
	case *count > MaxNodes:
		t.fail(layer, n, "", "has too many values", "shorten it")
		return false
	case depth > MaxDepth:
		t.fail(layer, n, path, "is too deep", "no key is that deep")
		return false
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		t.fail(layer, n, path, "is an anchor or an alias", "write the value itself")
		return false
	case n.Style&yaml.TaggedStyle != 0 || n.Kind == yaml.ScalarNode && !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}, n.Tag):
		t.fail(layer, n, path, "has a tag", "leave out what begins with an exclamation mark")
		return false
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		at := path
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				switch {
				case c.Kind != yaml.ScalarNode:
					t.fail(layer, c, path, "has a key that is "+class(c), "write a text as key")
					return false
				case seen[c.Value]:
					t.fail(layer, c, join(path, c.Value), "stands twice", "keep one")
					return false
				}
				seen[c.Value] = true
			} else {
				at = join(path, n.Content[i-1].Value)
			}
		}
		if !t.check(layer, c, at, depth+1, count) {
			return false
		}
	}
	return true
}

// unites reports whether the lists of a path add up over layers instead of
// replacing each other: whom one layer blocks no other can unblock.
func unites(path string) bool {
	return slices.Contains([]string{"blocklist.addresses", "blocklist.domains", "own.addresses", "own.domains", "locked"}, path) ||
		strings.HasPrefix(path, "kinds.") && strings.HasSuffix(path, ".attachments.refuse")
}

// merge lays one map over another, and returns what locks allow of it.
func (t *tree) merge(under, over *yaml.Node, path string, locks map[string]string) *yaml.Node {
	if len(locks) > 0 {
		if by, ok := locks[path]; ok {
			t.fail(t.layerOf(over), over, path, "is locked by "+by, "leave it out")
			return under
		}
	}
	switch {
	case under == nil, under.Kind != over.Kind:
		if over.Kind == yaml.MappingNode && len(locks) > 0 { // locks below
			for i := 0; i+1 < len(over.Content); i += 2 {
				t.merge(nil, over.Content[i+1], join(path, over.Content[i].Value), locks)
			}
		}
		return over
	case over.Kind == yaml.SequenceNode && unites(path):
		out := *under
		out.Content = append(slices.Clone(under.Content), over.Content...)
		t.owner[&out] = t.layerOf(over)
		return &out
	case over.Kind != yaml.MappingNode:
		return over
	}
	out := *under
	out.Content = slices.Clone(under.Content)
	t.owner[&out] = t.layerOf(over)
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		at := -1
		for j := 0; j+1 < len(out.Content); j += 2 {
			if out.Content[j].Value == key.Value {
				at = j + 1
			}
		}
		if at < 0 {
			out.Content = append(out.Content, key, t.merge(nil, value, join(path, key.Value), locks))
			continue
		}
		out.Content[at] = t.merge(out.Content[at], value, join(path, key.Value), locks)
	}
	return &out
}

// lockedBy adds what a layer locks against those after it.
func lockedBy(root *yaml.Node, layer string, locks map[string]string) {
	for i := 0; root != nil && i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "locked" && root.Content[i+1].Kind == yaml.SequenceNode {
			for _, n := range root.Content[i+1].Content {
				if _, taken := locks[n.Value]; !taken && n.Kind == yaml.ScalarNode {
					locks[n.Value] = layer
				}
			}
		}
	}
}
