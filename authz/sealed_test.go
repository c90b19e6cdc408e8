package authz_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/lockkeeper/lockkeeper"

// Nothing that stands for a permission can be made by hand: the attempts do not
// compile. Each stands beside its control, the same text without the forgery,
// so that an attempt that fails for another reason is noticed.
//
// evidence: P21
func TestForgeriesDoNotCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("asks the go command for export data")
	}
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", module+"/authz", module+"/secrets", module+"/connectors")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	exports := map[string]string{}
	for _, l := range strings.Fields(string(out)) {
		p, file, _ := strings.Cut(l, "=")
		exports[p] = file
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) { return os.Open(exports[p]) })
	compile := func(body string) error {
		var head strings.Builder
		head.WriteString("package forger\n")
		for _, p := range []string{"authz", "secrets", "connectors"} {
			if strings.Contains(body, p+".") {
				fmt.Fprintf(&head, "import %q\n", module+"/"+p)
			}
		}
		f, err := parser.ParseFile(fset, "forger.go", head.String()+body, parser.SkipObjectResolution)
		require.NoError(t, err, body)
		_, err = (&types.Config{Importer: imp}).Check("forger", fset, []*ast.File{f}, nil)
		return err
	}
	for _, c := range []struct{ control, forgery, want string }{
		{`var _ = authz.Grant{}`, `var _ = authz.Grant{g: nil}`, "unexported field g"},
		{`var _ = authz.Grant{}`, `var _ = authz.Grant{nil}`, "unexported field g"},
		{`var g authz.Grant; var _ = g.String()`, `var g authz.Grant; var _ = g.g`, "unexported field g"},
		{`var g struct{ g *int }; var _ = g`, `var g struct{ g *int }; var _ = authz.Grant(g)`, "cannot convert"},
		{`var d authz.Decision; var _ authz.Grant; var _ = d`, `var d authz.Decision; var _ authz.Grant = d`, "cannot use d"},
		{`var a *authz.Authorizer; var _ = a.Authorize`, `var a *authz.Authorizer; var _ = a.mint`, "a.mint undefined"},
		{`var a *authz.Authorizer; var _ = a.Check`, `var a *authz.Authorizer; var _ = a.decide`, "a.decide undefined"},
		{`var _ = authz.Authorizer{}`, `var _ = authz.Authorizer{ttl: 1}`, "unexported field ttl"},
		{`var _ = authz.Editor{}`, `var _ = authz.Editor{nil, authz.Grant{}}`, "unexported field"},
		{`var _ = authz.Principal{}`, `var _ = authz.Principal{"user:idp/ana"}`, "unexported field name"},
		{`var _ = authz.Resource{}`, `var _ = authz.Resource{"tenants"}`, "unexported field path"},
		{`var _ = authz.Permission{}`, `var _ = authz.Permission{"secrets.use"}`, "unexported field name"},
		{`var _ = authz.Role{}`, `var _ = authz.Role("role:user")`, "cannot convert"},
		{`var _ = connectors.Call{}`, `var _ = connectors.Call{s: nil}`, "unexported field s"},
		{`var _ = connectors.Call{}`, `var _ = connectors.Call{nil}`, "unexported field s"},
		{`var c connectors.Call; var _ = c`, `var c connectors.Call; var _ = c.s`, "unexported field s"},
		{`var _ = connectors.Conn{}`, `var _ = connectors.Conn{nil}`, "unexported field"},
		{`var c connectors.Conn; var _ = &c`, `var c connectors.Conn; var _ = c.driver`, "unexported field driver"},
		{`var _ = connectors.Plugin{}`, `var _ = connectors.Plugin{name: "x"}`, "unexported field name"},
		{`var _ = connectors.Plugin{}`, `var _ = connectors.Plugin{"x"}`, "unexported field"},
		{`var _ = secrets.Handle{}`, `var _ = secrets.Handle{h: nil}`, "unexported field h"},
		{`var _ = secrets.Handle{}`, `var _ = secrets.Handle{nil}`, "unexported field h"},
		{`var h secrets.Handle; var _ = h`, `var h secrets.Handle; var _ = h.h`, "unexported field h"},
	} {
		require.NoError(t, compile(c.control), c.control)
		err := compile(c.forgery)
		require.ErrorContains(t, err, c.want, c.forgery)
	}
}

// source is a parsed file of the module.
type source struct {
	path string // from the root of the module, with slashes
	ast  *ast.File
}

func (s source) dir() string  { return path.Dir(s.path) }
func (s source) test() bool   { return strings.HasSuffix(s.path, "_test.go") }
func (s source) area() string { a, _, _ := strings.Cut(s.path, "/"); return a }

// suite: packages that exist to test others, by the name that says so.
func (s source) suite() bool {
	return slices.ContainsFunc(strings.Split(s.dir(), "/"), func(p string) bool { return strings.HasSuffix(p, "test") })
}

// imports returns the paths that a file imports.
func (s source) imports() []string {
	var out []string
	for _, i := range s.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			out = append(out, p)
		}
	}
	return out
}

// ours returns the imported packages of the module, from its root.
func (s source) ours() []string {
	var out []string
	for _, p := range s.imports() {
		if in, ok := strings.CutPrefix(p, module+"/"); ok {
			out = append(out, in)
		}
	}
	return out
}

// layer: what stands on what. policy and authz are the ground.
func layer(p string) int {
	a, _, _ := strings.Cut(p, "/")
	return slices.Index([]string{"policy", "authz", "secrets", "connectors", "sync", "examples"}, a)
}

// connector returns which connector a path belongs to, "" if to none.
func connector(p string) string {
	parts := strings.Split(p, "/")
	if len(parts) < 2 || parts[0] != "connectors" || parts[1] == "internal" || strings.HasSuffix(parts[1], "test") {
		return ""
	}
	return parts[1]
}

func within(p, top string) bool { return p == top || strings.HasPrefix(p, top+"/") }

// selects reports whether a file names a member of an imported package.
func (s source) selects(pkg string, names ...string) bool {
	local := ""
	for _, i := range s.ast.Imports {
		if i.Path.Value == strconv.Quote(pkg) {
			if local = path.Base(pkg); i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	found := false
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if x, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, x.Sel.Name) {
			if id, ok := x.X.(*ast.Ident); ok && local != "" && id.Name == local {
				found = true
			}
		}
		return true
	})
	return found || local == "." // a dot import hides what is used
}

// rule is a sentence about the tree that a test can refute.
type rule struct {
	name string
	why  string
	// broken says how a file breaks the rule, "" if it does not.
	broken func(s source) string
	// path and code break it: a rule that finds nothing is no rule.
	path, code string
}

func rules() []rule {
	return []rule{
		{"arrows point one way: policy|authz <- secrets <- connectors <- sync <- examples",
			"what decides must not depend on what asks, or a change to a connector could change a decision; tests obey too, since a cycle through tests is a cycle to whoever reads",
			func(s source) string {
				for _, p := range s.ours() {
					if layer(s.path) >= 0 && layer(p) > layer(s.path) && !(s.area() == "policy" && s.test() && within(p, "authz")) {
						return "imports " + p
					}
				}
				return ""
			}, "secrets/x.go", `package secrets; import _ "` + module + `/connectors"`},
		{"every package has its place in the order",
			"a folder that the order does not know escapes every arrow",
			func(s source) string {
				if layer(s.path) < 0 && s.area() != "internal" {
					return s.area() + " is not in the order"
				}
				return ""
			}, "server/x.go", `package server`},
		{"policy imports nothing of ours",
			"it is data that a team may replace; code in it could decide past the model. Its tests ask authz what it means",
			func(s source) string {
				if s.area() == "policy" && !s.test() && len(s.ours()) > 0 {
					return "imports " + s.ours()[0]
				}
				return ""
			}, "policy/x.go", `package policy; import _ "` + module + `/authz"`},
		{"authz reads policy only through fs.FS",
			"else the shipped policy would creep into decisions under somebody else's",
			func(s source) string {
				if s.area() == "authz" && !s.test() && !s.suite() && slices.Contains(s.ours(), "policy") {
					return "imports policy"
				}
				return ""
			}, "authz/x.go", `package authz; import _ "` + module + `/policy"`},
		{"sync never imports secrets",
			"the engine moves records through connections that are open already; with no way to a credential it can leak none. A test may bring a keyring to encrypt a state with",
			func(s source) string {
				for _, p := range s.ours() {
					if s.area() == "sync" && within(p, "secrets") && !(s.test() && p == "secrets/local") {
						return "imports " + p
					}
				}
				return ""
			}, "sync/x_test.go", `package sync; import _ "` + module + `/secrets"`},
		{"a connector imports no other connector",
			"each is reviewed and switched off alone. Tests and suites import what they test",
			func(s source) string {
				for _, p := range s.ours() {
					if c := connector(s.path); c != "" && connector(p) != "" && connector(p) != c && !s.test() && !s.suite() {
						return "imports " + p
					}
				}
				return ""
			}, "connectors/dav/x.go", `package dav; import _ "` + module + `/connectors/mem"`},
		{"only authz/casbin*.go imports Casbin, tests apart",
			"an Enforcer elsewhere is a second opinion that nobody records; files that say so in their name can be read and replaced",
			func(s source) string {
				named, err := path.Match("authz/casbin*.go", s.path)
				for _, p := range s.imports() {
					if strings.HasPrefix(p, "github.com/casbin/") && (err != nil || !named) && !(s.test() && s.dir() == "authz") {
						return "imports " + p
					}
				}
				return ""
			}, "authz/index2.go", `package authz; import _ "github.com/casbin/casbin/v2/model"`},
		{"only tests of authz import another policy engine",
			"what judges the index must not become a part of it, nor of what users build",
			func(s source) string {
				for _, p := range s.imports() {
					if strings.HasPrefix(p, "github.com/cedar-policy/") && !(s.dir() == "authz" && s.test()) {
						return "imports " + p
					}
				}
				return ""
			}, "authz/index2.go", `package authz; import _ "github.com/cedar-policy/cedar-go"`},
		{"no caching or reloading Enforcer of Casbin",
			"after the only assignment of a user is revoked, both caching enforcers go on answering allow; automatic loading drops its error and the policy with it",
			func(s source) (found string) {
				ast.Inspect(s.ast, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok && (strings.Contains(id.Name, "CachedEnforcer") || id.Name == "StartAutoLoadPolicy" || id.Name == "EnableEnforce") {
						found = "names " + id.Name
					}
					return true
				})
				return found
			}, "authz/casbin.go", `package authz; import "github.com/casbin/casbin/v2"; var e, _ = casbin.NewSyncedCachedEnforcer()`},
		{"only secrets/hashivault imports Vault's client",
			"its tokens unwrap every key; they have one owner",
			func(s source) string {
				for _, p := range s.imports() {
					if strings.HasPrefix(p, "github.com/hashicorp/vault") && s.dir() != "secrets/hashivault" &&
						!strings.HasPrefix(s.dir(), "secrets/hashivault/vaultserver") { // a Vault for tests, in a module of its own
						return "imports " + p
					}
				}
				return ""
			}, "secrets/x.go", `package secrets; import _ "github.com/hashicorp/vault/api"`},
		{"no init function",
			"what runs before main cannot be given a clock, a policy or a refusal, and registers behind the reader's back",
			func(s source) string {
				for _, d := range s.ast.Decls {
					if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
						return "func init"
					}
				}
				return ""
			}, "sync/x.go", `package sync; func init() {}`},
		{"no package named after nothing",
			"util, common and helpers say what nobody could name, and everything ends up there",
			func(s source) string {
				for _, bad := range []string{"util", "utils", "common", "helper", "helpers", "misc"} {
					if s.ast.Name.Name == bad || path.Base(s.dir()) == bad {
						return "package " + bad
					}
				}
				return ""
			}, "internal/util/x.go", `package util`},
		{"connectors have no network of their own",
			"a driver that uses http.DefaultClient goes around the Call, its origin, its limits and the record of it",
			func(s source) string {
				if s.area() == "connectors" && s.dir() != "connectors" && !s.test() && s.selects("net/http", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm") {
					return "uses the default client of net/http"
				}
				return ""
			}, "connectors/dav/x.go", `package dav; import h "net/http"; var c = h.DefaultClient`},
	}
}

func tree(t *testing.T) []source {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	fset := token.NewFileSet()
	var out []source
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			n := d.Name()
			if p != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out = append(out, source{filepath.ToSlash(rel), f})
		return err
	})
	require.NoError(t, err)
	return out
}

func TestTheTreeKeepsItsRules(t *testing.T) {
	files := tree(t)
	seen := map[string]bool{}
	for _, s := range files {
		seen[s.dir()] = true
	}
	for _, p := range []string{"policy", "authz", "secrets", "connectors", "sync", "examples/server"} {
		require.True(t, seen[p], "%s was not looked at", p)
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, r.path, r.code, parser.SkipObjectResolution)
			require.NoError(t, err)
			require.NotEmpty(t, r.broken(source{r.path, f}), "the rule does not find its own counter-example")
			for _, s := range files {
				if how := r.broken(s); how != "" {
					t.Errorf("%s %s: %s, because %s", s.path, how, r.name, r.why)
				}
			}
		})
	}
}
