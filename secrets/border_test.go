package secrets_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/lockkeeper/lockkeeper"

// allowed are the places where text or bytes come out of this package, or could,
// each with why that is no secret. Whoever adds one to the package adds it here,
// where it is read twice.
var allowed = map[string]string{
	// Names.
	"secrets.Ref.String":    "the path by which it is asked for",
	"secrets.Handle.String": "the same",
	"secrets.ParseRef":      "takes a name",

	// What was asked for and is made to leave: it proves the secret and does not contain it.
	"secrets.Handle.Sign":       "a signature, of a message the caller has",
	"secrets.Handle.SignDigest": "the same",
	"secrets.Handle.HMAC":       "a MAC, of a message the caller has",
	"secrets.Handle.MintJWT":    "a token of short life, signed, for the caller to send",
	"secrets.Safe.Generate":     "the certificate, which is public",
	"secrets.Safe.ConsentURL":   "an address for a browser: state and challenge, not verifier",

	// Connections, signed in. TestNoSecretLeaves looks at what they say and hold.
	"secrets.Handle.HTTPClient": "a client whose transport has no exported fields",
	"secrets.Handle.DialIMAP":   "a client of a connection that is past signing in",
	"secrets.SMTP.Send":         "reads the caller's message",

	// Taken in.
	"secrets.Safe.Put":          "consumes the value and clears it",
	"secrets.Safe.ExchangeCode": "reads the query that a browser brought",

	// What guards keys sees keys: that is its work.
	"secrets.Keeper.Wrap":           "a tenant's key, to be wrapped by whoever guards the root",
	"secrets.Keeper.Unwrap":         "the same",
	"secrets.KeyItem":               "wrapped",
	"secrets.KeyResult":             "a tenant's key between a Keeper and the Safe, or a wrap",
	"secrets.BatchKeeper.UnwrapAll": "the same as Unwrap",
	"secrets.BatchWrapper.WrapAll":  "the same as Wrap",
	"secrets.OpenKey":               "a tenant's key on its way from one Keeper to another, which MoveKeys clears",
	"secrets.Rewrapper.Rewrap":      "wrapped",
	"secrets.Prober.Probe":          "a verdict for operators",
	"secrets.Health":                "the same",
	"secrets.WrappedKey":            "wrapped",
	"secrets.TenantKeys":            "wrapped",
	"secrets.KeyStore.Keys":         "names and wrapped keys",
	"secrets.KeyStore.List":         "the same",
	"secrets.KeyStore.AddKey":       "the same",
	"secrets.KeyStore.ReplaceKey":   "the same",
	"secrets.KeyStore.RemoveKeys":   "the same",
	"secrets.KeyStore.Shred":        "the same",

	// What is stored is sealed.
	"secrets.Row": "sealed", "secrets.Record": "sealed", "secrets.Head": "names, dates and a MAC", "secrets.Version": "sealed", "secrets.Entry": "no Sealed",
	"secrets.Tenant": "names and numbers", "secrets.Rewrap": "sealed", "secrets.At": "names", "secrets.Store.Load": "sealed", "secrets.Store.Save": "sealed",
	"secrets.Store.List": "names", "secrets.Store.Scan": "sealed", "secrets.Store.Count": "names", "secrets.Store.Replace": "sealed", "secrets.HeadMAC": "names and MACs", "secrets.Store.ReplaceMACs": "names and MACs", "secrets.Store.Touch": "names",
	"secrets.Store.Tenants": "names", "secrets.Store.SaveTenant": "names", "secrets.Store.Erase": "names",
	"secrets.Memory.Load": "sealed", "secrets.Memory.Save": "sealed", "secrets.Memory.List": "sealed",

	// Data of the caller's own, given back.
	"secrets.Scheme": "how a secret is used; nothing in it is secret", "secrets.Recipe": "the same", "secrets.Legacy": "the same", "secrets.PutOptions": "the same",
	"secrets.ClientPolicy": "the caller's", "secrets.MailPolicy": "the caller's", "secrets.Options": "the caller's",
	"secrets.Kind": "one of the constants", "secrets.Algorithm": "one of the constants", "secrets.ClientAuth": "one of the constants", "secrets.State": "one of the constants",

	// What may be known.
	"secrets.Description": "what may be known of a secret", "secrets.Description.Owner": "a path",
	"secrets.VersionInfo": "the same of its versions", "secrets.CacheStats": "numbers", "secrets.Progress": "numbers and names", "secrets.Progress.String": "numbers",
	"secrets.Failure": "names and errors", "secrets.JobOptions": "the caller's", "secrets.Certificate": "digests of names and counts", "secrets.Certificate.Mark": "a digest of it",
	"secrets.Tombstone": "names", "secrets.Tombstones": "names", "secrets.Bury": "names", "secrets.Safe.ListAfter": "names",

	"secrets.Finding": "names, and what is wrong with them", "secrets.Finding.String": "the same",
	"secrets.Item": "the caller's own way to a value", "secrets.FromEnvironment": "a value of the process's own environment, before it is one of ours",
	"secrets.NewRecoveryKey":    "a new key for exports, for its holder to keep elsewhere; it opens nothing that is stored",
	"secrets.Safe.Export":       "takes a public key, and writes what is sealed to it",
	"secrets.Safe.ImportExport": "is given the private key by its holder, and reads with it",

	"connectors.Attacher.Attach": "the content of an attachment, which is the user's", "connectors.Conn.Attach": "the same, from the caller",
	"connectors.Call.Client": "the client of HTTPClient, until the verb returns",
	"connectors.Call.Dial":   "the connection of DialIMAP, until the verb returns",
}

// harmless are foreign types from which no secret of ours comes.
var harmless = map[string]bool{
	"context.Context": true, "time.Time": true, "time.Duration": true, "time.Location": true, "error": true, "fmt.State": true, "log/slog.Value": true, "log/slog.Logger": true,
	"crypto/x509.CertPool": true, "iter.Seq": true, "iter.Seq2": true,
}

// opening is a way by which text may come out of a package.
type opening struct{ name, how string }

// openings lists them: results, what callbacks and implementations of interfaces
// are given, fields, and whatever else can be read from or written to.
func openings(pkg *types.Package, foreign func(path string) bool) (out []opening) {
	var yields func(t types.Type, in bool, seen map[types.Type]bool) string
	sig := func(s *types.Signature, in bool, seen map[types.Type]bool) string {
		for i := range s.Results().Len() {
			if how := yields(s.Results().At(i).Type(), in, seen); how != "" {
				return "gives " + how
			}
		}
		for i := range s.Params().Len() {
			if how := yields(s.Params().At(i).Type(), !in, seen); how != "" {
				return "hands " + how
			}
		}
		return ""
	}
	// in: the value goes into the package; what can be written to is then a way out.
	yields = func(t types.Type, in bool, seen map[types.Type]bool) string {
		if seen[t] {
			return ""
		}
		seen = maps.Clone(seen)
		if seen == nil {
			seen = map[types.Type]bool{}
		}
		seen[t] = true
		switch t := types.Unalias(t).(type) {
		case *types.Basic:
			if !in && t.Info()&types.IsString != 0 {
				return "string"
			}
		case *types.Slice:
			if b, ok := t.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Byte {
				return "[]byte" // going in, it can be filled
			}
			return yields(t.Elem(), in, seen)
		case *types.Array:
			return yields(types.NewSlice(t.Elem()), in, seen)
		case *types.Pointer:
			return yields(t.Elem(), in, seen)
		case *types.Map:
			if how := yields(t.Key(), in, seen); how != "" {
				return how
			}
			return yields(t.Elem(), in, seen)
		case *types.Chan:
			if how := yields(t.Elem(), in, seen); how != "" {
				return how
			}
			return yields(t.Elem(), !in, seen)
		case *types.Signature:
			return sig(t, in, seen)
		case *types.Struct:
			for i := range t.NumFields() {
				if t.Field(i).Exported() {
					if how := yields(t.Field(i).Type(), in, seen); how != "" {
						return how
					}
				}
			}
		case *types.Interface:
			if t.Empty() && !in {
				return "any"
			}
			for i := range t.NumMethods() {
				if how := sig(t.Method(i).Type().(*types.Signature), in, seen); how != "" {
					return how
				}
			}
		case *types.TypeParam:
			return yields(t.Constraint(), in, seen)
		case *types.Named:
			name := t.Obj().Name()
			if p := t.Obj().Pkg(); p != nil {
				if name = p.Path() + "." + name; !foreign(p.Path()) && t.Obj().Exported() {
					return "" // an opening by itself, if it is one
				}
			}
			if harmless[name] {
				for i := range t.TypeArgs().Len() {
					if how := yields(t.TypeArgs().At(i), in, seen); how != "" {
						return how
					}
				}
				return ""
			}
			if p := t.Obj().Pkg(); p == nil || foreign(p.Path()) {
				if in {
					if _, ok := t.Underlying().(*types.Interface); !ok && !writable(t) {
						return ""
					}
				}
				return name
			}
			for _, m := range methods(t) {
				if how := sig(m.Type().(*types.Signature), false, seen); how != "" && m.Exported() {
					return how
				}
			}
			return yields(t.Underlying(), in, seen)
		}
		return ""
	}
	short := pkg.Name()
	for _, name := range pkg.Scope().Names() {
		o := pkg.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		add := func(name, how string) {
			if how != "" {
				out = append(out, opening{short + "." + name, how})
			}
		}
		switch o := o.(type) {
		case *types.Func:
			add(name, sig(o.Type().(*types.Signature), false, nil))
		case *types.Var:
			add(name, yields(o.Type(), false, nil))
		case *types.TypeName:
			named, ok := o.Type().(*types.Named)
			if !ok {
				add(name, yields(o.Type(), false, nil))
				continue
			}
			if i, ok := named.Underlying().(*types.Interface); ok {
				for m := range i.Methods() { // given to whoever implements it, and got by whoever calls it
					how := sig(m.Type().(*types.Signature), false, nil)
					if how == "" {
						how = sig(m.Type().(*types.Signature), true, nil)
					}
					add(name+"."+m.Name(), how)
				}
				continue
			}
			add(name, yields(named.Underlying(), false, nil))
			for _, m := range methods(named) {
				if m.Exported() && !redacting[m.Name()] {
					add(name+"."+m.Name(), sig(m.Type().(*types.Signature), false, nil))
				}
			}
		}
	}
	return out
}

// writable is what a foreign type that goes in can be used for.
func writable(t *types.Named) bool {
	for _, m := range methods(t) {
		if m.Name() == "Write" || m.Name() == "WriteString" || m.Name() == "Set" || m.Name() == "Add" {
			return true
		}
	}
	return false
}

func methods(t types.Type) (out []*types.Func) {
	if _, ok := t.Underlying().(*types.Interface); !ok {
		t = types.NewPointer(t)
	}
	for s := range types.NewMethodSet(t).Methods() {
		if f, ok := s.Obj().(*types.Func); ok {
			out = append(out, f)
		}
	}
	return out
}

// redacting are the methods by which values print and marshal themselves;
// TestNothingPrintsASecret and TestNoSecretLeaves see what they do.
var redacting = map[string]bool{"Format": true, "LogValue": true, "MarshalText": true, "GobEncode": true, "Error": true, "Unwrap": true}

// checked type-checks the files of a package as they are now.
type checked struct {
	fset *token.FileSet
	imp  types.Importer
}

func newChecked(t *testing.T) checked {
	if testing.Short() {
		t.Skip("asks the go command for export data")
	}
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", module+"/secrets", module+"/connectors", "net/smtp", "iter")
	cmd.Stderr = os.Stderr
	list, err := cmd.Output()
	require.NoError(t, err)
	exports := map[string]string{}
	for _, l := range strings.Fields(string(list)) {
		p, file, _ := strings.Cut(l, "=")
		exports[p] = file
	}
	c := checked{fset: token.NewFileSet()}
	c.imp = importer.ForCompiler(c.fset, "gc", func(p string) (io.ReadCloser, error) { return os.Open(exports[p]) })
	return c
}

func (c checked) check(t *testing.T, path, dir string, more ...string) *types.Package {
	t.Helper()
	var files []*ast.File
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, n := range names {
		b, err := os.ReadFile(n)
		require.NoError(t, err)
		if strings.HasSuffix(n, "_test.go") || strings.Contains(string(b), "//go:build goexperiment.runtimesecret") {
			continue
		}
		f, err := parser.ParseFile(c.fset, n, b, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	for i, src := range more {
		f, err := parser.ParseFile(c.fset, fmt.Sprintf("more%d.go", i), src, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	pkg, err := (&types.Config{Importer: c.imp}).Check(path, c.fset, files, nil)
	require.NoError(t, err)
	return pkg
}

// No function, method, field, interface or callback gives a secret to whoever
// uses this package, but for those that are allowed by name and with a reason.
//
// evidence: P30
func TestNothingExportedYieldsASecret(t *testing.T) {
	c := newChecked(t)
	foreign := func(p string) bool { return !strings.HasPrefix(p, module+"/") }
	unknown := func(os []opening) (out []string) {
		for _, o := range os {
			typ := strings.Join(strings.SplitN(o.name, ".", 3)[:2], ".")
			if allowed[o.name] == "" && !(allowed[typ] != "" && typ == o.name) {
				out = append(out, o.name+" "+o.how)
			}
		}
		return out
	}
	pkg := c.check(t, module+"/secrets", ".")
	found := openings(pkg, foreign)
	require.Greater(t, len(found), 30, "the walk sees the package")
	require.Empty(t, unknown(found), "say in allowed why these show no secret, or take them out")

	// Of connectors, what has to do with credentials: its records are the users'.
	conn := c.check(t, module+"/connectors", "../connectors")
	for _, o := range openings(conn, foreign) {
		for _, bad := range []string{"secrets.", "net/http.", "golang.org/x/oauth2", "io.Reader", "net.Conn"} {
			if strings.Contains(o.how, bad) {
				require.NotEmpty(t, allowed[o.name], "%s %s", o.name, o.how)
			}
		}
	}

	// Each of these somebody could add one day, and is seen.
	for name, src := range map[string]string{
		"method":             `package secrets; func (h Handle) Token() string { return "" }`,
		"bytes":              `package secrets; func (h Handle) Value() ([]byte, error) { return nil, nil }`,
		"function":           `package secrets; func Reveal(h Handle) string { return "" }`,
		"callback":           `package secrets; func (h Handle) With(use func(secret []byte) error) error { return nil }`,
		"reader":             `package secrets; import "io"; func (h Handle) Open() io.Reader { return nil }`,
		"writer":             `package secrets; import "io"; func (h Handle) WriteTo(w io.Writer) (int64, error) { return 0, nil }`,
		"filled":             `package secrets; func (h Handle) Fill(b []byte) int { return 0 }`,
		"pointer":            `package secrets; func (h Handle) Ptr() *string { return nil }`,
		"array":              `package secrets; func (h Handle) Key() [32]byte { return [32]byte{} }`,
		"channel":            `package secrets; func (h Handle) Secrets() <-chan string { return nil }`,
		"iterator":           `package secrets; import "iter"; func (h Handle) All() iter.Seq[string] { return nil }`,
		"any":                `package secrets; func (h Handle) Any() any { return nil }`,
		"map":                `package secrets; func (s *Safe) Dump() map[string]int { return nil }`,
		"field":              `package secrets; type Opened struct{ Password string }`,
		"field of func":      `package secrets; type Opened struct{ Use func(func([]byte)) }`,
		"hidden type":        `package secrets; type opened struct{}; func (opened) Text() string { return "" }; func (h Handle) Opened() opened { return opened{} }`,
		"embedded":           `package secrets; type base struct{}; func (base) Text() string { return "" }; type Opened struct{ base }`,
		"interface":          `package secrets; type User interface{ Use(secret string) error }`,
		"variable":           `package secrets; var Last string`,
		"token source":       `package secrets; type TokenSource interface{ Token() (string, error) }`,
		"smtp.Auth":          `package secrets; import "net/smtp"; func (h Handle) Auth() smtp.Auth { return nil }`,
		"request":            `package secrets; import "net/http"; func (h Handle) Sign2(r *http.Request) *http.Request { return r }`,
		"caller's dialer":    `package secrets; import ("net"; "context"); func (h Handle) Via(dial func(context.Context) (net.Conn, error)) error { return nil }`,
		"caller's transport": `package secrets; import "net/http"; func (h Handle) Over(rt http.RoundTripper) error { return nil }`,
		"named string":       `package secrets; type Plain string; func (h Handle) Plain() Plain { return "" }`,
		"signer":             `package secrets; import "crypto"; func (h Handle) Signer() crypto.Signer { return nil }`,
	} {
		require.NotEmpty(t, unknown(openings(c.check(t, module+"/secrets", ".", src), foreign)), name)
	}
	// And these are fine.
	for name, src := range map[string]string{
		"verdict":  `package secrets; func (h Handle) Good() (bool, error) { return false, nil }`,
		"length":   `package secrets; func (h Handle) Size() int { return 0 }`,
		"constant": `package secrets; const Release = "1"`,
	} {
		require.Empty(t, unknown(openings(c.check(t, module+"/secrets", ".", src), foreign)), name)
	}
}

// plain are types of this package with text or bytes inside that need no printing
// form of their own: there is no secret in them.
var plain = map[string]string{
	"Row": "sealed", "KeyItem": "wrapped", "Health": "a verdict", "WrappedKey": "wrapped", "TenantKeys": "wrapped", "Memory": "sealed",
	"Record": "sealed", "Head": "names", "Version": "sealed", "Entry": "names", "Tenant": "names", "Rewrap": "sealed", "At": "names", "cacheKey": "names",
	"Scheme": "not secret", "Recipe": "not secret", "Legacy": "not secret", "PutOptions": "not secret", "Options": "not secret", "ClientPolicy": "not secret", "MailPolicy": "not secret",
	"Description": "what may be known", "VersionInfo": "what may be known", "Certificate": "digests", "Tombstone": "names", "Failure": "names", "Progress": "numbers", "job": "names",
	"place": "names", "Ref": "a name", "handle": "names", "wire": "names", "wires": "functions only", "line": "functions only", "tokenKey": "names",
	"Finding": "names", "HeadMAC": "names and MACs", "headRun": "names", "Item": "the caller's own function", "exported": "names",
	"refusal": "a code of the standards", "lost": "an error", "said": "our own words", "imapNo": "two verdicts", "plainContext": "deadlines",
}

// Each type that can hold a secret says so when it is printed, logged or
// marshalled: it is on neither list by accident.
//
// evidence: P30
func TestTypesThatHoldASecretRedactThemselves(t *testing.T) {
	c := newChecked(t)
	naked := func(pkg *types.Package) (out []string) {
		for _, name := range pkg.Scope().Names() {
			o, ok := pkg.Scope().Lookup(name).(*types.TypeName)
			if !ok || plain[name] != "" || !holds(o.Type(), map[types.Type]bool{}) {
				continue
			}
			has := map[string]bool{}
			for _, m := range methods(o.Type()) {
				has[m.Name()] = true
			}
			for _, m := range []string{"Format", "LogValue", "MarshalText", "GobEncode"} {
				if !has[m] && !(name == "consentState" && m == "MarshalText") { // it is sealed as JSON
					out = append(out, name+" has no "+m)
				}
			}
		}
		return out
	}
	pkg := c.check(t, module+"/secrets", ".")
	require.Empty(t, naked(pkg), "give the type its redacting methods, or say in plain why it holds no secret")
	require.NotEmpty(t, naked(c.check(t, module+"/secrets", ".", `package secrets; type opened struct{ password []byte }`)))
	require.NotEmpty(t, naked(c.check(t, module+"/secrets", ".", `package secrets; type opened struct{ get func() string }`)))
	require.NotEmpty(t, naked(c.check(t, module+"/secrets", ".", `package secrets; type opened struct{ m map[int]*struct{ key [32]byte } }`)))
}

// holds reports whether text or bytes, or a function that returns them, are in a type.
func holds(t types.Type, seen map[types.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return t.Info()&types.IsString != 0
	case *types.Slice:
		if b, ok := t.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Byte {
			return true
		}
		return holds(t.Elem(), seen)
	case *types.Array:
		return holds(types.NewSlice(t.Elem()), seen)
	case *types.Pointer:
		return holds(t.Elem(), seen)
	case *types.Map:
		return holds(t.Elem(), seen)
	case *types.Signature:
		for i := range t.Results().Len() {
			if holds(t.Results().At(i).Type(), seen) {
				return true
			}
		}
	case *types.Struct:
		return slices.ContainsFunc(slices.Collect(t.Fields()), func(f *types.Var) bool { return holds(f.Type(), seen) })
	case *types.Named:
		if p := t.Obj().Pkg(); p == nil || !strings.HasPrefix(p.Path(), module+"/secrets") {
			return t.Obj().Name() == "Signer" || t.Obj().Name() == "PrivateKey"
		}
		if u, ok := t.Underlying().(*types.Basic); ok && u.Info()&types.IsString != 0 {
			return false // Kind and such: constants
		}
		if plain[t.Obj().Name()] != "" {
			return false
		}
		return holds(t.Underlying(), seen)
	}
	return false
}
