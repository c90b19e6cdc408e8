package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// strict reads a body: one JSON value, no deeper than can be meant, in which no
// key stands twice. Which keys there may be is the schema's to say.
func strict(b []byte, v any) error {
	if err := malformed(b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// strange says of a character that no field has it in its name. Decoders take
// Name, and nａme perhaps, for name.
func strange(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }

// malformed says what is wrong with the form of a JSON text.
func malformed(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var open []map[string]bool // the keys of each object around, nil for a list
	key := false               // the next text is a key
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("is not JSON")
		}
		switch x := t.(type) {
		case json.Delim:
			switch x {
			case '{', '[':
				if len(open) == maxDepth {
					return fmt.Errorf("is nested deeper than %d", maxDepth)
				}
				var keys map[string]bool
				if x == '{' {
					keys = map[string]bool{}
				}
				open = append(open, keys)
			default:
				open = open[:len(open)-1]
			}
			key = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if key {
				keys := open[len(open)-1]
				if strings.ContainsFunc(x, strange) {
					return errors.New("has a key of other characters than a to z, 0 to 9 and _")
				}
				if keys[x] {
					return errors.New("has a key twice")
				}
				keys[x] = true
				key = false
				continue
			}
		}
		key = len(open) > 0 && open[len(open)-1] != nil
	}
}
