package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// point is a place that can be changed: a condition or a statement.
type point struct {
	ID             int
	Kind           string // condition, clause, result, return, jump, call, assign
	File, Fn, Text string
	Line           int
	Modes          []string // true, false: what a condition becomes; skip: the statement is left out
}

func (p point) String() string { return p.File + " " + p.Fn + " " + p.Kind + " `" + p.Text + "`" }

// helper is what the changed files call. A run that looks for coverage maps a
// file of two bytes a point: seen true (or seen at all), seen false.
const helper = `package %s

import ("os"; "strconv"; "strings"; "syscall")

var mutID, mutValue, mutSeen = mutStart()

func mutStart() (int, bool, []byte) {
	if f, ok := strings.CutPrefix(os.Getenv("MUT"), "cover:"); ok {
		h, err := os.OpenFile(f, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil { panic(err) }
		if err = h.Truncate(2*%d); err != nil { panic(err) }
		b, err := syscall.Mmap(int(h.Fd()), 0, 2*%[2]d, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil { panic(err) }
		return -1, false, b
	}
	n, to, _ := strings.Cut(os.Getenv("MUT"), ":")
	id, err := strconv.Atoi(n)
	if err != nil { id = -1 }
	return id, to == "true", nil
}

func mutC(id int, v bool) bool {
	if id == mutID { return mutValue }
	if mutSeen != nil { mutSee(id, v) }
	return v
}

func mutS(id int) bool { return mutC(id, true) }

func mutSee(id int, v bool) {
	if v { mutSeen[2*id] = 1 } else { mutSeen[2*id+1] = 1 }
}
`

// instrument rewrites the files of one package in place, by insertions only, so
// that lines stay where they are.
func instrument(dir string) ([]point, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var all []point
	pkg := ""
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		pkg = f.Name.Name
		w := &writer{fset: fset, src: src, file: filepath.Base(name), points: all, needed: map[ast.Stmt]bool{}}
		w.visit(f)
		all = w.points
		if err := os.WriteFile(name, w.written(), 0o600); err != nil {
			return nil, err
		}
	}
	return all, os.WriteFile(filepath.Join(dir, "zz_mutants.go"), fmt.Appendf(nil, helper, pkg, len(all)), 0o600)
}

type writer struct {
	fset    *token.FileSet
	src     []byte
	file    string
	fn      string
	results []bool // of the function: which are of type bool
	needed  map[ast.Stmt]bool
	points  []point
	edits   []edit
}

type edit struct {
	at   int
	open bool
	text string
}

func (w *writer) offset(p token.Pos) int { return w.fset.Position(p).Offset }

func (w *writer) text(n ast.Node) string {
	return strings.Join(strings.Fields(string(w.src[w.offset(n.Pos()):w.offset(n.End())])), " ")
}

func (w *writer) open(n ast.Node, s string) {
	w.edits = append(w.edits, edit{w.offset(n.Pos()), true, s})
}
func (w *writer) shut(n ast.Node, s string) {
	w.edits = append(w.edits, edit{w.offset(n.End()), false, s})
}

func (w *writer) point(kind string, n ast.Node, text string, modes ...string) int {
	id := len(w.points)
	w.points = append(w.points, point{id, kind, w.file, w.fn, text, w.fset.Position(n.Pos()).Line, modes})
	return id
}

func (w *writer) written() []byte {
	slices.SortStableFunc(w.edits, func(a, b edit) int {
		if a.at == b.at && a.open != b.open { // what ends here ends before something begins
			if a.open {
				return 1
			}
			return -1
		}
		return a.at - b.at
	})
	var b bytes.Buffer
	at := 0
	for _, e := range w.edits {
		b.Write(w.src[at:e.at])
		b.WriteString(e.text)
		at = e.at
	}
	b.Write(w.src[at:])
	return b.Bytes()
}

// cond makes a condition changeable, its operands too: for one of && only true
// is asked, for one of || only false, as the rest says what the whole says.
func (w *writer) cond(kind string, e ast.Expr, modes ...string) {
	switch x := e.(type) {
	case *ast.ParenExpr:
		w.cond(kind, x.X, modes...)
		return
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			var flipped []string
			for _, m := range modes {
				flipped = append(flipped, map[string]string{"true": "false", "false": "true"}[m])
			}
			w.cond(kind, x.X, flipped...)
			return
		}
	case *ast.Ident:
		switch x.Name {
		case "true":
			modes = []string{"false"}
		case "false":
			modes = []string{"true"}
		}
	}
	w.open(e, fmt.Sprintf("mutC(%d, ", w.point(kind, e, w.text(e), modes...)))
	if x, ok := e.(*ast.BinaryExpr); ok && (x.Op == token.LAND || x.Op == token.LOR) {
		part := map[token.Token]string{token.LAND: "true", token.LOR: "false"}[x.Op]
		w.cond(kind, x.X, part)
		w.cond(kind, x.Y, part)
	} else {
		w.parts(e)
	}
	w.shut(e, ")")
}

// parts visits what is inside a node.
func (w *writer) parts(n ast.Node) {
	ast.Inspect(n, func(c ast.Node) bool {
		if c == n || c == nil {
			return true
		}
		w.visit(c)
		return false
	})
}

func (w *writer) visit(n ast.Node) {
	if n == nil {
		return
	}
	switch x := n.(type) {
	case *ast.GenDecl:
		if x.Tok == token.CONST {
			return
		}
	case *ast.FuncDecl:
		w.fn = x.Name.Name
		if x.Recv != nil {
			w.fn = strings.TrimPrefix(w.text(x.Recv.List[0].Type), "*") + "." + w.fn
		}
		if x.Body != nil {
			w.function(x.Type, x.Body)
		}
		return
	case *ast.FuncLit:
		w.function(x.Type, x.Body)
		return
	case *ast.IfStmt:
		w.optional(x.Init)
		w.cond("condition", x.Cond, "true", "false")
		if len(x.Body.List) == 1 && x.Else == nil {
			w.needed[x.Body.List[0]] = true // its condition leaves it out
		}
		w.visit(x.Body)
		w.optional(x.Else)
		return
	case *ast.ForStmt:
		w.optional(x.Init)
		if x.Cond != nil {
			w.cond("condition", x.Cond, "true", "false")
		}
		w.optional(x.Post)
		w.visit(x.Body)
		return
	case *ast.SwitchStmt:
		w.choice(x)
		return
	case *ast.ReturnStmt:
		for i, r := range x.Results {
			if len(x.Results) == len(w.results) && w.results[i] {
				w.cond("result", r, "true", "false")
			} else {
				w.visit(r)
			}
		}
		return
	case *ast.BinaryExpr:
		switch x.Op {
		case token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
			w.cond("condition", x, "true", "false")
			return
		}
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			w.cond("condition", x, "true", "false")
			return
		}
	case *ast.BlockStmt:
		w.statements(x.List)
		return
	case *ast.CaseClause:
		for _, e := range x.List {
			w.visit(e)
		}
		w.statements(x.Body)
		return
	case *ast.CommClause:
		w.optional(x.Comm)
		w.statements(x.Body)
		return
	}
	w.parts(n)
}

func (w *writer) optional(s ast.Stmt) {
	if s != nil {
		w.visit(s)
	}
}

func (w *writer) function(t *ast.FuncType, body *ast.BlockStmt) {
	before := w.results
	w.results = nil
	if t.Results != nil {
		for _, f := range t.Results.List {
			id, ok := f.Type.(*ast.Ident)
			for range max(1, len(f.Names)) {
				w.results = append(w.results, ok && id.Name == "bool")
			}
		}
	}
	if t.Results != nil {
		w.ends(body)
	}
	w.visit(body)
	w.results = before
}

// ends marks the statements without which a function would not end: leaving one
// out would not compile.
func (w *writer) ends(s ast.Stmt) {
	last := func(list []ast.Stmt) {
		if len(list) > 0 {
			w.ends(list[len(list)-1])
		}
	}
	w.needed[s] = true
	switch x := s.(type) {
	case *ast.BlockStmt:
		last(x.List)
	case *ast.IfStmt:
		w.ends(x.Body)
		if x.Else != nil {
			w.ends(x.Else)
		}
	case *ast.SwitchStmt:
		w.ends(x.Body)
		w.clauses(x.Body, last)
	case *ast.TypeSwitchStmt:
		w.clauses(x.Body, last)
	case *ast.SelectStmt:
		w.clauses(x.Body, last)
	case *ast.LabeledStmt:
		w.ends(x.Stmt)
	}
}

func (w *writer) clauses(b *ast.BlockStmt, each func([]ast.Stmt)) {
	for _, c := range b.List {
		switch c := c.(type) {
		case *ast.CaseClause:
			each(c.Body)
		case *ast.CommClause:
			each(c.Body)
		}
	}
}

// choice makes the clauses of a switch changeable. One over a value becomes one
// over conditions.
func (w *writer) choice(x *ast.SwitchStmt) {
	tag := ""
	if x.Tag != nil && x.Init == nil {
		tag = fmt.Sprintf("mutT%d", len(w.points))
		w.open(x.Tag, tag+" := ")
		w.visit(x.Tag)
		w.shut(x.Tag, "; ")
	} else {
		w.optional(x.Init)
	}
	for _, c := range x.Body.List {
		c := c.(*ast.CaseClause)
		for _, e := range c.List {
			switch {
			case tag != "":
				w.open(e, fmt.Sprintf("mutC(%d, %s == ", w.point("clause", e, "case "+w.text(e), "true", "false"), tag))
				w.visit(e)
				w.shut(e, ")")
			case x.Tag == nil:
				w.cond("clause", e, "true", "false")
			}
		}
		w.statements(c.Body)
	}
}

// statements lets those be left out whose absence compiles.
func (w *writer) statements(list []ast.Stmt) {
	for _, s := range list {
		kind := ""
		switch x := s.(type) {
		case *ast.ReturnStmt:
			kind = "return"
		case *ast.BranchStmt:
			if kind = "jump"; x.Tok == token.FALLTHROUGH || x.Tok == token.GOTO {
				kind = ""
			}
		case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
			kind = "call"
		case *ast.IncDecStmt:
			kind = "assign"
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE && w.text(x.Lhs[0]) != "_" {
				kind = "assign"
			}
		}
		if kind == "" || w.needed[s] || len(list) == 1 && kind != "call" && kind != "assign" {
			w.visit(s)
			continue
		}
		w.open(s, fmt.Sprintf("if mutS(%d) { ", w.point(kind, s, w.text(s), "skip")))
		w.visit(s)
		w.shut(s, " }")
	}
}
