package secrets_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// canaries are the secrets that must never show, in one world: a password, a
// token, a client secret, and the access token that comes for it.
type canaries struct{ *leaktest.Scanner }

// watch looks for values, each once.
func watch(values ...string) canaries {
	slices.Sort(values)
	s, err := leaktest.New(slices.Compact(values))
	if err != nil {
		panic(err)
	}
	return canaries{s}
}

// in returns which form of a canary a text has, or "".
func (c canaries) in(text []byte) string {
	found, err := c.Bytes(text)
	if err != nil {
		return err.Error()
	}
	if len(found) > 0 {
		return found[0].String()
	}
	return ""
}

func (c canaries) check(t *testing.T, what string, text []byte) {
	t.Helper()
	c.Check(t, what, text)
}

const (
	password    = "Canary-pw/7Kq+Zr=4 \u00fc!&x"
	apiToken    = "Canary.token_9fXw~3+Lm/Tz="
	clientKey   = "Canary client;key<>1Qv8"
	accessToken = "Canary-access-5Hn2Wd0Pb"
)

// filled is a world with secrets of each kind in use: opened, cached, sent.
type filled struct {
	*world
	canaries
	values map[string]any // all that a caller can hold
	errs   []error
	dir    string
	close  func()
}

func fill(t *testing.T) *filled {
	t.Helper()
	w := newWorld(t)
	b := newBank(t)
	b.answer = func(w http.ResponseWriter) bool {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 3600})
		return true
	}
	f := &filled{world: w, values: map[string]any{}, dir: t.TempDir()}
	key, keyText, cert := signingKey(t)
	f.canaries = watch(password, apiToken, clientKey, accessToken, string(key.D.Bytes()[100:160]), string(key.Primes[0].Bytes()[20:80]))

	// The database without its own encryption: what is in it is sealed by the Safe alone.
	db, err := sqlite.Open(t.Context(), filepath.Join(f.dir, "plain.db"), nil)
	require.NoError(t, err)
	f.close = func() { _ = db.Close() }
	t.Cleanup(f.close)
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	store, err := gormstore.New(t.Context(), g)
	require.NoError(t, err)
	k, err := local.Create(filepath.Join(f.dir, "keyring"), nil)
	require.NoError(t, err)
	w.safe = w.open(t, k, k, store)

	samlOptions := b.options(func(s *secrets.Scheme) { s.Certificate = cert })
	for name, put := range map[string]struct {
		value string
		o     secrets.PutOptions
	}{
		"basic": {password, basic("ana")}, "bearer": {apiToken, bearer()},
		"saml": {keyText + string(pem.EncodeToMemory(&pem.Block{Type: "CLIENT SECRET", Bytes: []byte(clientKey)})), samlOptions},
	} {
		ref := newRef(t, "tenants/acme", name)
		w.put(t, ref, put.value, put.o)
		h := w.handle(t, ref)
		for _, http2 := range []string{"", " http1"} {
			p := b.policy()
			origin := b.URL
			if http2 != "" {
				one := newServer(t, nil)
				one.Config.Handler = b.Config.Handler
				p, origin = one.policy(), one.URL
				if name == "saml" {
					continue
				}
			}
			client, err := h.HTTPClient(t.Context(), p)
			require.NoError(t, err)
			resp, err := client.Get(origin + "/api")
			require.NoError(t, err)
			f.values[name+http2+" client"], f.values[name+http2+" transport"] = client, client.Transport
			f.values[name+http2+" response"], f.values[name+http2+" request"], f.values[name+http2+" body"] = resp, resp.Request, resp.Body
			f.values[name+http2+" policy"] = p
			t.Cleanup(func() { _ = resp.Body.Close() })
			_, err = get(t, client, "https://other.example/")
			f.errs = append(f.errs, err)
		}
		f.values[name+" handle"], f.values[name+" ref"], f.values[name+" options"] = h, ref, put.o
		d, err := w.safe.Describe(t.Context(), w.grant(t, "user:idp/admin", "secrets.describe", ref.Resource()), ref)
		require.NoError(t, err)
		f.values[name+" description"] = d
		r, err := store.Load(t.Context(), "acme", ref.String(), 0)
		require.NoError(t, err)
		f.values[name+" row"] = r
		// The same values where they do not fit, and over a store that is down.
		for _, o := range []secrets.PutOptions{{}, samlOptions, {Scheme: secrets.Scheme{Kind: "digest"}}, basic("a:b")} {
			v := put.value + "\n"
			f.errs = append(f.errs, w.safe.Put(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), newRef(t, "tenants/acme", "other"), []byte(v), o),
				w.safe.Put(t.Context(), authz.Grant{}, ref, []byte(v), o))
		}
		f.errs = append(f.errs, w.open(t, w.keys, w.keys, &outage{Store: w.store, err: errors.New("down")}).Put(t.Context(), w.grant(t, "user:idp/admin", "secrets.write", ref.Resource()), ref, []byte(put.value), put.o))
	}
	f.values["safe"], f.values["keyring"], f.values["store"], f.values["scheme"] = w.safe, k, store, samlOptions.Scheme
	return f
}

// Whatever a program does to print, log, encode or compare what it holds.
//
// evidence: P30
func TestNothingPrintsASecret(t *testing.T) {
	f := fill(t)
	for i, err := range f.errs {
		f.values[fmt.Sprint("error ", i)] = err
	}
	for what, v := range f.values {
		shapes := map[string]any{"": v, " in a slice": []any{v}, " in a map": map[string]any{"k": v}, " in a struct": struct{ V any }{v}, " in a hidden field": struct{ v any }{v},
			" behind a pointer": &v, " as a key": mapKey(v)}
		for how, x := range shapes {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T"} {
				f.check(t, what+how+" by "+verb, fmt.Appendf(nil, verb, x))
			}
			for encoding, encode := range encoders() {
				out, err := encode(x)
				f.check(t, what+how+" by "+encoding, out)
				if err != nil {
					f.check(t, what+how+" by the error of "+encoding, []byte(err.Error()))
				}
			}
		}
		// A failing comparison in someone's test prints both sides in depth.
		rec := &recorder{}
		if !strings.HasSuffix(what, "request") && !strings.HasSuffix(what, "response") { // the library walks these for ever
			assert.Equal(rec, v, 1)
			assert.Nil(rec, v)
		}
		f.check(t, what+" in a failed comparison", []byte(rec.text))
	}
	for _, name := range []string{"basic handle", "saml handle", "safe", "keyring"} {
		for encoding, encode := range encoders() {
			if encoding == "json" || encoding == "xml" || encoding == "gob" {
				_, err := encode(f.values[name])
				require.Error(t, err, "%s in %s", name, encoding)
			}
		}
	}
	require.Equal(t, "secret tenants/acme/secrets/basic", fmt.Sprintf("%+v", f.values["basic handle"]))
	require.Equal(t, "safe", fmt.Sprintf("%+v", f.values["safe"]), "and its insides, which may be changing, are left alone")
	require.Equal(t, "keyring", fmt.Sprintf("%+v", f.values["keyring"]))
}

func mapKey(v any) any {
	if v == nil || !reflect.TypeOf(v).Comparable() {
		return nil
	}
	defer func() { _ = recover() }()
	return map[any]int{v: 1}
}

func encoders() map[string]func(any) ([]byte, error) {
	type enc = func(any) ([]byte, error)
	into := func(f func(w io.Writer, v any) error) enc {
		return func(v any) (out []byte, err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("%v", p)
				}
			}()
			var b bytes.Buffer
			err = f(&b, v)
			return b.Bytes(), err
		}
	}
	logs := func(h func(io.Writer) slog.Handler) enc {
		return into(func(w io.Writer, v any) error {
			l := slog.New(h(w))
			l.With("with", v).WithGroup("g").Info(fmt.Sprint(v), "v", v, slog.Group("in", "v", v))
			return nil
		})
	}
	return map[string]enc{
		"json":      into(func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }),
		"gob":       into(func(w io.Writer, v any) error { return gob.NewEncoder(w).Encode(v) }),
		"xml":       into(func(w io.Writer, v any) error { return xml.NewEncoder(w).Encode(v) }),
		"slog text": logs(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }),
		"slog json": logs(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }),
		"log":       into(func(w io.Writer, v any) error { log.New(w, "", 0).Println(v); return nil }),
		"error":     into(func(w io.Writer, v any) error { _, err := fmt.Fprint(w, fmt.Errorf("wrapped: %v", v)); return err }),
	}
}

// recorder is a TestingT that keeps what a failed assertion says.
type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

// Reflection without unsafe follows every field, exported or not, of everything
// that a caller can hold, and does not reach a secret: what holds one is a
// closure. Printers and comparers of other libraries can do no more.
//
// evidence: P30
func TestReflectionDoesNotReachASecret(t *testing.T) {
	f := fill(t)
	// The walk finds what is there to be found.
	planted := struct{ a *struct{ b map[string][]any } }{&struct{ b map[string][]any }{map[string][]any{"x": {[]byte(password)}}}}
	require.NotEmpty(t, walk(f.canaries, planted))
	for what, v := range f.values {
		if strings.HasSuffix(what, " policy") {
			continue // trust roots only
		}
		if path := walk(f.canaries, v); path != "" {
			t.Errorf("%s: %s holds a secret", what, path)
		}
	}
}

// walk returns the path to a canary, or "".
func walk(c canaries, v any) string {
	return reach(v, func(_ string, text []byte) bool { return c.in(text) != "" })
}

// reach shows yield every text that reflection reaches, until it returns true, and
// returns where that was.
func reach(v any, yield func(path string, text []byte) bool) string {
	type visit struct {
		p uintptr
		t reflect.Type
	}
	seen := map[visit]bool{}
	var step func(v reflect.Value, path string, depth int) string
	step = func(v reflect.Value, path string, depth int) string {
		if !v.IsValid() || depth > 60 {
			return ""
		}
		switch v.Kind() {
		case reflect.String:
			if yield(path, []byte(v.String())) {
				return path
			}
		case reflect.Pointer, reflect.Interface:
			if v.IsNil() {
				return ""
			}
			if v.Kind() == reflect.Pointer {
				k := visit{v.Pointer(), v.Type()}
				if seen[k] {
					return ""
				}
				seen[k] = true
			}
			return step(v.Elem(), path, depth+1)
		case reflect.Struct:
			for i := range v.NumField() {
				if p := step(v.Field(i), path+"."+v.Type().Field(i).Name, depth+1); p != "" {
					return p
				}
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if p := step(it.Key(), path+"[key]", depth+1); p != "" {
					return p
				}
				if p := step(it.Value(), path+"[]", depth+1); p != "" {
					return p
				}
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				if v.Kind() == reflect.Slice && v.Cap() <= 1<<20 {
					v = v.Slice(0, v.Cap()) // a buffer's rest too
				}
				n := min(v.Len(), 1<<20) // what is longer is the database's own memory
				var b []byte
				if v.Kind() == reflect.Slice {
					b = v.Bytes()[:n]
				} else {
					for i := range n {
						b = append(b, byte(v.Index(i).Uint()))
					}
				}
				if yield(path, b) {
					return path
				}
				return ""
			}
			for i := range v.Len() {
				if p := step(v.Index(i), path+"[]", depth+1); p != "" {
					return p
				}
			}
		}
		return ""
	}
	return step(reflect.ValueOf(v), fmt.Sprintf("%T", v), 0)
}

// What is on disk, with and without the process running, has no secret and no
// key to one in the database.
//
// evidence: P28, P29
func TestNothingOnDiskShowsASecret(t *testing.T) {
	f := fill(t)
	look := func() (names []string) {
		for _, dir := range []string{f.dir, filepath.Dir(f.path)} {
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			for _, e := range files {
				b, err := os.ReadFile(filepath.Join(dir, e.Name()))
				require.NoError(t, err)
				f.check(t, e.Name(), b)
				names = append(names, e.Name())
			}
		}
		return names
	}
	require.Contains(t, look(), "plain.db-wal")
	f.close()
	require.Contains(t, look(), "plain.db")
	// The tenant's key is nowhere in the database, wrapped or not.
	k, err := os.ReadFile(filepath.Join(f.dir, "keyring"))
	require.NoError(t, err)
	o := openKeyring(t, k, "")
	require.Len(t, o.Keys["acme"], 1)
	keys := watch(string(o.Root), string(o.Keys["acme"][0].Wrapped), string(o.tenantKey(t, "acme", o.Keys["acme"][0].ID, 1)))
	db, err := os.ReadFile(filepath.Join(f.dir, "plain.db"))
	require.NoError(t, err)
	require.Contains(t, string(db), "tenants/acme/secrets/basic", "this is the file that has the rows")
	keys.check(t, "database", db)
}

// A crash prints a trace and the value that it panicked with.
//
// evidence: P30
func TestAPanicShowsNoSecret(t *testing.T) {
	names := []string{"safe", "basic handle", "bearer client", "saml transport", "basic response"}
	if !isChild() {
		c := watch(password, apiToken, clientKey, accessToken)
		for _, name := range names {
			out, err := child(t, t.Name(), "SECRETS_TEST_PANIC="+name, "GOTRACEBACK=all")
			require.Error(t, err)
			require.Contains(t, out, "panic: ")
			require.Contains(t, out, "goroutine ")
			c.check(t, name, []byte(out))
		}
		return
	}
	f := fill(t)
	done := make(chan struct{})
	go func() { // not in the test's goroutine: nobody recovers
		defer close(done)
		panic(f.values[os.Getenv("SECRETS_TEST_PANIC")])
	}()
	<-done
}

// Audit records name permission and resource, and that is all.
//
// evidence: P30
func TestAuditShowsNoSecret(t *testing.T) {
	f := fill(t)
	b, err := json.Marshal(f.Audit.Records())
	require.NoError(t, err)
	require.Contains(t, string(b), "secrets.use")
	f.check(t, "audit", b)
}

func TestTheRequestOfAnAnswerShowsNoSecret(t *testing.T) {
	f := fill(t)
	for _, name := range []string{"basic request", "saml request"} {
		r, ok := f.values[name].(*http.Request)
		require.True(t, ok)
		require.Empty(t, r.Header)
		var out bytes.Buffer
		require.NoError(t, r.Clone(t.Context()).Write(&out))
		f.check(t, name, out.Bytes())
	}
}
