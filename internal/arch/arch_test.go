package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers lists the packages, lowest first. A package may import packages of
// lower lines only; those of one line are siblings and never import each other.
const layers = `
base errs
clock vfs
wire config
wal revlog snap mvcc/keyindex dbfile obs
mvcc watch lease member alarm
state replica
server
rpc web
app ctl utl
`

// exceptions are edges against the layers, each with its reason.
var exceptions = map[string]string{
	"vfs/vfstest -> vfs": "the contract suite of vfs",
}

const module = "keelson/"

func TestImportsPointDown(t *testing.T) {
	level := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(layers), "\n") {
		for _, p := range strings.Fields(line) {
			level[p] = i
		}
	}
	walk(t, false, func(pkg, file string, f *ast.File) {
		from, known := level[pkg]
		if !known && pkg != "arch" && pkg != "vfs/vfstest" {
			t.Errorf("%s: package %s is in no layer: add it to the list in internal/arch", file, pkg)
			return
		}
		for _, im := range f.Imports {
			path, _ := strconv.Unquote(im.Path.Value)
			if path == "go.etcd.io/etcd/server/v3" || strings.HasPrefix(path, "go.etcd.io/etcd/server/v3/") {
				t.Errorf("%s imports %s: the product never does", file, path)
			}
			to, ours := strings.CutPrefix(path, module+"internal/")
			if !ours || exceptions[pkg+" -> "+to] != "" {
				continue
			}
			if l, ok := level[to]; !ok || l >= from {
				t.Errorf("%s: %s imports %s, which is not in a lower layer: move what both need down, "+
					"or let the upper one declare an interface", file, pkg, to)
			}
		}
	})
}

// banned are calls that only one package may make.
var banned = []struct {
	pkg, name string   // what is called
	in        []string // packages that may
	why       string
}{
	{"time", "Now", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"time", "Since", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"time", "Sleep", []string{"clock", "ctl"}, "wait for an event, or use a clock.Clock"},
	{"time", "After", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"time", "NewTimer", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"time", "NewTicker", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"time", "AfterFunc", []string{"clock", "ctl"}, "take a clock.Clock"},
	{"os", "Open", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "OpenFile", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "Create", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "ReadFile", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "WriteFile", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "Remove", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "Rename", []string{"vfs", "ctl"}, "take a vfs.FS"},
	{"os", "Exit", nil, "return an error: only cmd ends the process"},
}

func TestBannedCalls(t *testing.T) {
	walk(t, false, func(pkg, file string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok || x.Obj != nil {
				return true
			}
			for _, b := range banned {
				if x.Name == b.pkg && sel.Sel.Name == b.name && !slices.Contains(b.in, pkg) {
					t.Errorf("%s calls %s.%s: %s", file, b.pkg, b.name, b.why)
				}
			}
			return true
		})
	})
}

// TestPackageContracts: every package opens with its contract, in doc.go and
// nowhere else.
func TestPackageContracts(t *testing.T) {
	docs := map[string][]string{}
	walk(t, false, func(pkg, file string, f *ast.File) {
		docs[pkg] = append(docs[pkg], nil...)
		if f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package ") {
			docs[pkg] = append(docs[pkg], filepath.Base(file))
		}
	})
	for pkg, files := range docs {
		if len(files) != 1 || files[0] != "doc.go" {
			t.Errorf("package %s has its comment in %v: it belongs into doc.go, once", pkg, files)
		}
	}
}

// TestNoInit: everything arrives by constructor.
func TestNoInit(t *testing.T) {
	walk(t, false, func(_, file string, f *ast.File) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: hand things in through constructors", file)
			}
		}
	})
}

// TestNoSleepInTests: tests wait for events.
func TestNoSleepInTests(t *testing.T) {
	walk(t, true, func(_, file string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil {
					t.Errorf("%s sleeps: wait for an event or use the fake clock", file)
				}
			}
			return true
		})
	})
}

// walk parses every Go file below internal, test files or the others.
func walk(t *testing.T, tests bool, visit func(pkg, file string, f *ast.File)) {
	t.Helper()
	root := filepath.Join("..")
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") != tests {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel), path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
