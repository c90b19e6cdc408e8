package zone

import (
	"sync"
	"time"
)

// Book remembers zones by the names they were found under: finding one reads a
// file. The zero Book is empty and ready. Safe for concurrent use.
type Book struct {
	mu sync.Mutex
	m  map[string]*time.Location
}

// maxNames is how many names a Book remembers; what comes after is looked up
// each time.
const maxNames = 1000

// Location is what the function of that name finds.
func (b *Book) Location(name string) *time.Location {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.m[name]
	if ok {
		return l
	}
	l = Location(name)
	if b.m == nil {
		b.m = map[string]*time.Location{}
	}
	if len(b.m) < maxNames && len(name) < 256 {
		b.m[name] = l
	}
	return l
}
