package profile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Values that are checked as they are read. Each says what it wants in words.
type (
	zoneName  string
	kindName  string
	domain    string
	address   string
	extension string
	clockAt   string
	size      int64 // bytes
	days      int   // open is less than zero
)

const openDays days = -1

// scalar is a value that checks its own text. It returns what it wants, "" if
// the text is that.
type scalar interface {
	set(text string) (want string)
}

func (z *zoneName) set(s string) string {
	if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
		if iana := connectors.IANAZone(s); iana != "" {
			*z = zoneName(iana)
			return ""
		}
		return "write the name of a time zone, as in Europe/Berlin"
	}
	*z = zoneName(s)
	return ""
}

func (k *kindName) set(s string) string {
	if _, err := connectors.ParseKind(s); err != nil {
		return oneOf(s, kindNames())
	}
	*k = kindName(s)
	return ""
}

func kindNames() []string {
	var out []string
	for _, k := range connectors.Kinds() {
		out = append(out, k.String())
	}
	return out
}

func (d *domain) set(s string) string {
	v := normalDomain(s)
	if v == "" {
		return "write a domain without @, as in example.com"
	}
	*d = domain(v)
	return ""
}

func (a *address) set(s string) string {
	v := normalAddress(s)
	if v == "" {
		return "write an e-mail address, as in eva@example.com"
	}
	*a = address(v)
	return ""
}

func (e *extension) set(s string) string {
	v := strings.ToLower(strings.TrimSpace(s))
	if !strings.HasPrefix(v, ".") {
		v = "." + v
	}
	if len(v) < 2 || len(v) > 20 || strings.ContainsAny(v[1:], "./\\* \t\n") {
		return "write the end of a file name, as in .pdf"
	}
	*e = extension(v)
	return ""
}

func (c *clockAt) set(s string) string {
	if _, err := time.Parse("15:04", s); err != nil {
		return `write hours and minutes in quotes, as in "09:00"`
	}
	*c = clockAt(s)
	return ""
}

func (z *size) set(s string) string {
	const want = "write a number of bytes, or one with KB, MB or GB, as in 25 MB"
	number, unit := strings.TrimSpace(s), int64(1)
	for name, n := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if v, ok := strings.CutSuffix(strings.ToUpper(number), name); ok {
			number, unit = strings.TrimSpace(v), n
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil || n < 0:
		return want
	case n > connectors.MaxAttachmentSize/unit:
		return fmt.Sprintf("write at most %d MB", connectors.MaxAttachmentSize>>20)
	}
	*z = size(n * unit)
	return ""
}

func (d *days) set(s string) string {
	if s == "open" {
		*d = openDays
		return ""
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 36500 {
		return "write a number of days from 0 to 36500, or open"
	}
	*d = days(n)
	return ""
}

// chooser is a text that is one of a few.
type chooser interface{ choices() []string }

// decoder turns nodes into values and collects what is wrong.
type decoder struct {
	layerOf func(*yaml.Node) string
	errs    Errors
}

func (d *decoder) fail(n *yaml.Node, path, problem, fix string) {
	if len(d.errs) < MaxErrors {
		d.errs = append(d.errs, &Error{Layer: d.layerOf(n), Line: n.Line, Column: n.Column, Path: path, Problem: problem, Fix: fix})
	}
}

// class names the sort of value that a node is.
func class(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}

func (d *decoder) want(n *yaml.Node, path, want string, fix string) {
	d.fail(n, path, "is "+class(n)+", not "+want, fix)
}

func join(path, key string) string {
	if len(key) > 40 {
		key = key[:40]
	}
	key = strconv.QuoteToGraphic(key)
	key = key[1 : len(key)-1]
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			d.want(n, path, "one value", s.set(""))
		} else if want := s.set(n.Value); want != "" {
			d.fail(n, path, "is "+class(n)+" that does not fit", want)
		}
		return
	}
	if c, ok := v.Interface().(chooser); ok {
		switch {
		case n.Kind != yaml.ScalarNode || class(n) != "a text":
			d.want(n, path, "a text", oneOf("", c.choices()))
		case !slices.Contains(c.choices(), n.Value):
			d.fail(n, path, "is a text that means nothing here", oneOf(n.Value, c.choices()))
		default:
			v.SetString(n.Value)
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if class(n) != "true or false" {
			d.want(n, path, "true or false", "write true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		least, _ := strconv.Atoi(tag.Get("min"))
		most, _ := strconv.Atoi(tag.Get("max"))
		i, err := strconv.Atoi(n.Value)
		fix := fmt.Sprintf("write a whole number from %d to %d", least, most)
		switch {
		case n.Kind != yaml.ScalarNode || n.Tag != "!!int":
			d.want(n, path, "a whole number", fix)
		case err != nil || i < least || i > most:
			d.fail(n, path, "is a number that does not fit", fix)
		default:
			v.SetInt(int64(i))
		}
	case reflect.String:
		if n.Kind != yaml.ScalarNode || class(n) != "a text" {
			d.want(n, path, "a text", "put it in quotes if it is meant as a text")
			return
		}
		v.SetString(n.Value)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.want(n, path, "a list", "write a list, as in [a, b]")
			return
		}
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			d.decode(c, out.Index(i), fmt.Sprintf("%s[%d]", path, i), "")
		}
		v.Set(out)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.want(n, path, "a map", "write keys and values")
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i < len(n.Content); i += 2 {
			key := reflect.New(v.Type().Key()).Elem()
			at := join(path, n.Content[i].Value)
			if s, ok := key.Addr().Interface().(scalar); ok {
				if want := s.set(n.Content[i].Value); want != "" {
					d.fail(n.Content[i], at, "is no key here", want)
					continue
				}
			} else {
				key.SetString(n.Content[i].Value)
			}
			value := reflect.New(v.Type().Elem()).Elem()
			d.decode(n.Content[i+1], value, at, "")
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		d.decodeStruct(n, v, path)
	}
}

func (d *decoder) decodeStruct(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.want(n, path, "a map", "write keys and values")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		k := v.Type().Field(i).Tag.Get("key")
		fields[k] = i
		names = append(names, k)
	}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i].Value
		at, ok := fields[key]
		if !ok {
			d.fail(n.Content[i], join(path, key), "is no key here", oneOf(key, names))
			continue
		}
		d.decode(n.Content[i+1], v.Field(at), join(path, key), v.Type().Field(at).Tag)
	}
}
