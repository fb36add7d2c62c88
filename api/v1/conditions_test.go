package v1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// constants are the string constants of this package by name.
func constants(t *testing.T) map[string]constant {
	t.Helper()
	found := map[string]constant{}
	for _, file := range parsePackage(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				return true
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				literal, ok := spec.Values[0].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					continue
				}
				value, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				c := constant{value: value, doc: spec.Doc.Text()}
				if ident, ok := spec.Type.(*ast.Ident); ok {
					c.typ = ident.Name
				}
				found[spec.Names[0].Name] = c
			}
			return false
		})
	}
	return found
}

type constant struct{ value, typ, doc string }

func parsePackage(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func TestConditionsAreComplete(t *testing.T) {
	var declared []string
	for name, c := range constants(t) {
		if strings.HasPrefix(name, "Condition") {
			if want := "Condition" + c.value; name != want {
				t.Errorf("constant %s has the value %q: name it %s", name, c.value, want)
			}
			declared = append(declared, c.value)
		}
	}
	listed := append(AppConditions(), MemberConditions()...)
	slices.Sort(declared)
	slices.Sort(listed)
	listed = slices.Compact(listed) // both have Ready
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("AppConditions() with MemberConditions() and the Condition constants differ (-declared +listed):\n%s", diff)
	}
}

func TestReasonsAreWellFormed(t *testing.T) {
	// A strict subset of what metav1.Condition.Reason admits.
	camelCase := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	owner := map[string]string{}
	for name, c := range constants(t) {
		if !strings.HasPrefix(name, "Reason") {
			continue
		}
		if !camelCase.MatchString(c.value) {
			t.Errorf("%s = %q: a reason is one CamelCase word", name, c.value)
		}
		if !strings.HasPrefix(c.doc, name+": ") {
			t.Errorf("%s: its comment must start with %q and say when it is given", name, name+": ")
		}
		if other, taken := owner[c.value]; taken {
			t.Errorf("%s and %s are both %q", name, other, c.value)
		}
		owner[c.value] = name
	}
	if len(owner) == 0 {
		t.Fatal("found no reasons")
	}
}

// TestReasonsInCode holds that the set of reasons is closed: the code uses no
// reason that is not a constant here.
func TestReasonsInCode(t *testing.T) {
	declared := constants(t)
	used := map[string]bool{}
	for _, root := range []string{"../../pkg", "../../cmd"} {
		for _, dir := range directories(t, root) {
			for _, file := range parsePackage(t, dir) {
				literals := reasonsIn(file, used)
				for _, literal := range literals {
					t.Errorf("%s: reason %s is a literal: make it a constant in conditions.go", dir, literal)
				}
			}
		}
	}
	for name := range used {
		if _, ok := declared[name]; !ok {
			t.Errorf("v1.%s is used as a reason but is not a string constant of conditions.go", name)
		}
	}
	if len(used) == 0 {
		t.Fatal("found no uses of reasons")
	}
}

// reasonsIn collects the v1.Reason names that a file uses, and returns string
// literals that are given to a field or variable called Reason.
func reasonsIn(file *ast.File, used map[string]bool) (literals []string) {
	check := func(name, value ast.Expr) {
		literal, ok := value.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING || literal.Value == `""` {
			return
		}
		switch name := name.(type) {
		case *ast.Ident:
			ok = name.Name == "Reason" || name.Name == "reason"
		case *ast.SelectorExpr:
			ok = name.Sel.Name == "Reason"
		default:
			ok = false
		}
		if ok {
			literals = append(literals, literal.Value)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "v1" && strings.HasPrefix(n.Sel.Name, "Reason") {
				used[n.Sel.Name] = true
			}
		case *ast.KeyValueExpr:
			check(n.Key, n.Value)
		case *ast.AssignStmt:
			if len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					check(n.Lhs[i], n.Rhs[i])
				}
			}
		}
		return true
	})
	return literals
}

func directories(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestEnumsMatchConstants holds that the values the API server admits are those
// the code knows.
func TestEnumsMatchConstants(t *testing.T) {
	const marker = "+kubebuilder:validation:Enum="
	enums, values := map[string][]string{}, map[string][]string{}
	for _, file := range parsePackage(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE || decl.Doc == nil {
				return true
			}
			for _, comment := range decl.Doc.List {
				if _, list, ok := strings.Cut(comment.Text, marker); ok {
					enums[decl.Specs[0].(*ast.TypeSpec).Name.Name] = strings.Split(list, ";")
				}
			}
			return true
		})
	}
	for _, c := range constants(t) {
		if enums[c.typ] != nil {
			values[c.typ] = append(values[c.typ], c.value)
		}
	}
	for _, list := range []map[string][]string{enums, values} {
		for typ := range maps.Keys(list) {
			slices.Sort(list[typ])
		}
	}
	if diff := cmp.Diff(enums, values); diff != "" {
		t.Errorf("enum markers and constants differ (-marker +constants):\n%s", diff)
	}
	if len(enums) < 5 {
		t.Errorf("found only the enums %v", enums)
	}
}
