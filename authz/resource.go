package authz

import (
	"fmt"
	"strings"
)

// Resource is a node in the tree of everything that can be accessed, named by
// the path to it, as in tenants/acme/users/7f3a/mailbox. A resource contains
// itself and everything below it. Resources are comparable values; the zero
// Resource contains nothing and nobody is allowed anything on it.
type Resource struct{ path string }

// NewResource makes a resource from segments, which may hold any text but
// control and invisible characters.
func NewResource(segments ...string) (Resource, error) { return Resource{}.child(segments) }

// Child returns a resource below this one.
func (r Resource) Child(segments ...string) (Resource, error) {
	if r.path == "" {
		return Resource{}, fmt.Errorf("authz: resource: child of the zero resource")
	}
	return r.child(segments)
}

func (r Resource) child(segments []string) (Resource, error) {
	if len(segments) == 0 {
		return Resource{}, fmt.Errorf("authz: resource: no segments")
	}
	path := r.path
	for i, s := range segments {
		if err := checkSegment(s); err != nil {
			return Resource{}, fmt.Errorf("authz: resource: segment %d: %w", i+1, err)
		}
		if path != "" {
			path += "/"
		}
		path += escape(s)
	}
	return sized(path)
}

func sized(path string) (Resource, error) {
	if n := strings.Count(path, "/") + 1; n > MaxDepth {
		return Resource{}, fmt.Errorf("authz: resource: %d segments, %d at most", n, MaxDepth)
	}
	if len(path) > MaxName {
		return Resource{}, fmt.Errorf("authz: resource: %d bytes, %d at most", len(path), MaxName)
	}
	return Resource{path}, nil
}

// ParseResource is the inverse of String and accepts nothing else.
func ParseResource(s string) (Resource, error) {
	if len(s) > MaxName {
		return Resource{}, fmt.Errorf("authz: resource: %d bytes, %d at most", len(s), MaxName)
	}
	if n, err := checkEscaped(s); err != nil {
		return Resource{}, fmt.Errorf("authz: resource: segment %d: %w", n, err)
	}
	return sized(s)
}

// Contains reports whether o is this resource or below it.
func (r Resource) Contains(o Resource) bool {
	return r.path != "" && strings.HasPrefix(o.path, r.path) && (len(o.path) == len(r.path) || o.path[len(r.path)] == '/')
}

// Parent returns the resource above, false at the top.
func (r Resource) Parent() (Resource, bool) {
	i := strings.LastIndexByte(r.path, '/')
	if i < 0 {
		return Resource{}, false
	}
	return Resource{r.path[:i]}, true
}

// Segments returns the parts of the path, unescaped.
func (r Resource) Segments() []string {
	if r.path == "" {
		return nil
	}
	parts := strings.Split(r.path, "/")
	for i, p := range parts {
		parts[i], _ = unescape(p)
	}
	return parts
}

// String returns the path with escaped segments. Different resources have
// different paths.
func (r Resource) String() string { return r.path }

// IsZero reports whether this is the zero Resource.
func (r Resource) IsZero() bool { return r.path == "" }

// MarshalText writes the path.
func (r Resource) MarshalText() ([]byte, error) { return []byte(r.path), nil }

// UnmarshalText reads a path; empty text is the zero Resource.
func (r *Resource) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*r = Resource{}
		return nil
	}
	*r, err = ParseResource(string(b))
	return err
}
