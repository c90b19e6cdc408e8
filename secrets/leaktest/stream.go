package leaktest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	block    = 1 << 20  // bytes scanned at once
	overlap  = 16 << 10 // bytes of the last block scanned again, more than the longest needle under escapes
	header   = 512      // bytes that are enough to know a compressed part by
	layers   = 3        // of escapes
	packings = 4        // of compression
	feedings = 64       // compressed parts at once that go on behind a block
)

// Writer scans what is written to it, in whatever portions. Not for concurrent
// use. Close it.
type Writer struct {
	s      *Scanner
	job    *job
	in     string // what this is inside of
	packed int    // how deep it was packed
	origin int64  // where the outermost packed part begins
	buf    []byte
	base   int64 // offset of buf
	fed    int   // how much of buf the feeds have had
	looked int   // how much of buf was searched for compressed parts
	feeds  []*feed
	closed bool
	block  *[]byte // under buf, if it is borrowed
}

// blocks are buffers for Writers.
var blocks sync.Pool

var _ io.Writer = (*Writer)(nil)

// job is what one scan found, in all that was inside of what it scanned.
type job struct {
	mu       sync.Mutex
	found    map[Finding]int64
	inflated atomic.Int64
	short    atomic.Bool
}

func (w *Writer) record(n *needle, form string, at int64) {
	if w.packed > 0 {
		at = w.origin
	}
	w.job.mu.Lock()
	defer w.job.mu.Unlock()
	f := Finding{Canary: n.canary, Form: form}
	if first, again := w.job.found[f]; !again || at < first {
		w.job.found[f] = at
	}
}

// Writer begins a scan.
func (s *Scanner) Writer() *Writer { return &Writer{s: s, job: &job{found: map[Finding]int64{}}} }

// Write never fails.
func (w *Writer) Write(p []byte) (int, error) {
	if w.buf == nil && len(p) >= header {
		w.block, _ = blocks.Get().(*[]byte)
		if w.block == nil {
			b := make([]byte, 0, block+overlap)
			w.block = &b
		}
		w.buf = (*w.block)[:0]
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), block+overlap-len(w.buf))
		w.buf = append(w.buf, rest[:n]...)
		rest = rest[n:]
		if len(w.buf) == block+overlap {
			w.process(false)
		}
	}
	return len(p), nil
}

// Close ends the scan and returns what it found, or what could not be scanned.
func (w *Writer) Close() ([]Finding, error) {
	w.finish()
	var err error
	if w.job.short.Load() {
		err = ErrUnfinished
	}
	var found []Finding
	for f, at := range w.job.found {
		f.Offset = at
		found = append(found, f)
	}
	return whole(found), err
}

func (w *Writer) finish() {
	if w.closed {
		return
	}
	w.closed = true
	if len(w.buf) >= MinLength || len(w.feeds) > 0 {
		w.process(true)
	}
	for _, f := range w.feeds {
		_ = f.pipe.Close()
		<-f.done
	}
	if w.block != nil {
		blocks.Put(w.block)
	}
	w.buf, w.block = nil, nil
}

func (w *Writer) process(last bool) {
	b := w.buf
	w.feeds = slices.DeleteFunc(w.feeds, func(f *feed) bool { return !f.eat(b[w.fed:]) })
	end := len(b)
	if !last {
		end = max(len(b)-header, w.looked)
	}
	if w.packed < packings {
		packs(b, w.looked, end, w.base == 0, func(p pack, at int) {
			// Nearly always it is no compressed part after all, or it ends here.
			if more := p.inflate(bytes.NewReader(b[at:]), w.inside(p, w.in, w.base+int64(at)), w.job); !more || last {
				return
			}
			if len(w.feeds) == feedings {
				w.job.short.Store(true)
				return
			}
			if f := w.feed(p, w.base+int64(at)); f.eat(b[at:]) {
				w.feeds = append(w.feeds, f)
			}
		})
	}
	w.text(b, w.base, w.in, 0)
	if keep := min(len(b), overlap); !last {
		cut := len(b) - keep
		w.base += int64(cut)
		w.looked, w.fed = max(end-cut, 0), keep
		w.buf = append(b[:0], b[cut:]...)
	}
}

// text scans bytes as they are and with escapes undone: each kind of escape
// alone, for what looks like one of another kind may be the secret's own, and all
// kinds at once, as often as they are nested.
func (w *Writer) text(b []byte, base int64, in string, layer int) {
	w.plain(b, base, in, layer > 0)
	if layer >= layers {
		return
	}
	kinds := w.escaped(b, base, in, layer, 1)
	if kinds&(kinds-1) != 0 {
		for i := range views {
			if kinds&(1<<i) != 0 {
				views[i].regions(b, func(region []byte, at int) { w.plain(region, base+int64(at), " in "+views[i].name+in, true) })
			}
		}
	}
	w.runs(b, base, in, layer)
}

// escaped undoes all escapes and returns of which kinds there were.
func (w *Writer) escaped(b []byte, base int64, in string, layer, depth int) int {
	return allRegions(b, func(region []byte, at int) {
		at64, inside := base+int64(at), " in escapes"+in
		if layer > 0 || depth > 1 {
			at64 = base
		}
		w.plain(region, at64, inside, true)
		w.runs(region, at64, inside, layer+depth)
		if depth < layers {
			w.escaped(region, at64, inside, layer, depth+1)
		}
	})
}

func (w *Writer) plain(b []byte, base int64, in string, fixed bool) {
	w.s.index.scan(b, func(n *needle, at int, exact bool) {
		form := n.form
		if !exact {
			form += " in other case"
		}
		if fixed {
			at = 0
		}
		w.record(n, form+in, base+int64(at))
	})
}

// runs decodes what is base64 or hex.
func (w *Writer) runs(b []byte, base int64, in string, layer int) {
	if layer >= layers {
		return
	}
	runs(b, func(name string, text []byte, at int) {
		at64, inside := base+int64(at), " in "+name+in
		if layer > 0 {
			at64 = base
		}
		w.text(text, at64, inside, layer+1)
		if w.packed < packings && len(text) >= 32 {
			packs(text, 0, len(text), true, func(p pack, i int) {
				_ = p.inflate(bytes.NewReader(text[i:]), w.inside(p, inside, at64), w.job)
			})
		}
	})
}

// inside is a Writer for what comes out of a compressed part.
func (w *Writer) inside(p pack, in string, at int64) *Writer {
	if w.packed > 0 {
		at = w.origin
	}
	return &Writer{s: w.s, job: w.job, in: " in " + p.String() + in, packed: w.packed + 1, origin: at}
}

// pack is a way to compress.
type pack int

const (
	gz pack = iota
	zl
	raw
)

func (p pack) String() string { return [...]string{"gzip", "zlib", "deflate"}[p] }

// packs calls yield with what may be the begin of a compressed part.
func packs(b []byte, from, to int, start bool, yield func(p pack, at int)) {
	each := func(mark string, f func(at int)) {
		for i := from; i < to; {
			j := bytes.Index(b[i:], []byte(mark))
			if j < 0 || i+j >= to {
				return
			}
			f(i + j)
			i += j + 1
		}
	}
	each("\x1f\x8b\x08", func(at int) { yield(gz, at) })
	each("\x78", func(at int) {
		if at+1 < len(b) && bytes.IndexByte([]byte{0x01, 0x5e, 0x9c, 0xda}, b[at+1]) >= 0 {
			yield(zl, at)
		}
	})
	each("PK\x03\x04", func(at int) {
		if at+30 <= len(b) {
			h := b[at:]
			body := at + 30 + int(binary.LittleEndian.Uint16(h[26:])) + int(binary.LittleEndian.Uint16(h[28:]))
			if binary.LittleEndian.Uint16(h[8:]) == 8 && body < len(b) {
				yield(raw, body)
			}
		}
	})
	each("\r\n\r\n", func(at int) {
		if at+4 < len(b) {
			yield(raw, at+4)
		}
	})
	if start && from == 0 && len(b) > 0 {
		yield(raw, 0)
	}
}

// inflate scans what comes out of a compressed part, to its end or to where it
// turns out to be none. It reports whether there would have been more.
func (p pack) inflate(r io.Reader, w *Writer, j *job) (more bool) {
	t, ok := tools.Get().(*tool)
	if !ok {
		t = &tool{}
	}
	defer tools.Put(t)
	out, err := t.reader(p, r)
	for err == nil {
		var n int
		n, err = out.Read(t.buf[:])
		if j.inflated.Add(int64(n)) > MaxInflated {
			j.short.Store(true)
			break
		}
		_, _ = w.Write(t.buf[:n])
	}
	w.finish()
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// tool inflates one part after another: a decompressor is made of 40 KB.
type tool struct {
	gz  *gzip.Reader
	zl  io.ReadCloser
	raw io.ReadCloser
	buf [8 << 10]byte
}

var tools sync.Pool

func (t *tool) reader(p pack, r io.Reader) (_ io.Reader, err error) {
	switch p {
	case gz:
		if t.gz == nil {
			t.gz = new(gzip.Reader)
		}
		if err := t.gz.Reset(r); err != nil {
			return nil, err
		}
		t.gz.Multistream(false) // the next part has its own mark
		return t.gz, nil
	case zl:
		if z, ok := t.zl.(zlib.Resetter); ok {
			return t.zl, z.Reset(r, nil)
		}
		if t.zl, err = zlib.NewReader(r); err != nil {
			return nil, err
		}
		return t.zl, nil
	}
	if z, ok := t.raw.(flate.Resetter); ok {
		return t.raw, z.Reset(r, nil)
	}
	t.raw = flate.NewReader(r)
	return t.raw, nil
}

// feed is a compressed part that goes on behind the block where it began.
type feed struct {
	pipe *io.PipeWriter
	done chan struct{}
}

func (w *Writer) feed(p pack, at int64) *feed {
	r, pipe := io.Pipe()
	f := &feed{pipe, make(chan struct{})}
	inside := w.inside(p, w.in, at)
	go func() {
		defer close(f.done)
		defer r.Close()
		_ = p.inflate(r, inside, w.job)
	}()
	return f
}

// eat reports whether the part wants more.
func (f *feed) eat(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	_, err := f.pipe.Write(b)
	return err == nil
}
