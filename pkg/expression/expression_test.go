package expression

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apiserver/pkg/cel/library"
)

// testEnv is a language with a variable of any type and the functions that have bounds.
func testEnv(t *testing.T) *cel.Env {
	t.Helper()
	env, err := cel.NewEnv(cel.Variable("x", cel.DynType), library.Quantity())
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestCheck(t *testing.T) {
	env := testEnv(t)
	for _, tt := range []struct {
		text, reason string
		want         *cel.Type
		wrong        *CompileError
	}{
		{`x.a`, "the type is known only with x", cel.BoolType, nil},
		{`x.a == 1`, "bool as wanted", cel.BoolType, nil},
		{`"a" + string(x)`, "text as wanted", cel.StringType, nil},
		{`x.a = 1`, "where and what", cel.BoolType, &CompileError{Line: 1, Column: 5, Message: "Syntax error: token recognition error at: '= '"}},
		{"true &&\n  y", "the line counts", cel.BoolType, &CompileError{Line: 2, Column: 3, Message: "undeclared reference to 'y' (in container '')"}},
		{"\"ü\" == y", "columns are characters, not bytes", cel.BoolType, &CompileError{Line: 1, Column: 8, Message: "undeclared reference to 'y' (in container '')"}},
		{`"a"`, "text is no bool", cel.BoolType, &CompileError{Line: 1, Column: 1, Message: "gives a string and must give a bool", Got: cel.StringType}},
		{`1 + 2`, "a number is no text", cel.StringType, &CompileError{Line: 1, Column: 1, Message: "gives a int and must give a string", Got: cel.IntType}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			_, err := Check(env, tt.text, tt.want)
			var got *CompileError
			if errors.As(err, &got) != (tt.wrong != nil) || err != nil && got == nil {
				t.Fatalf("%s: %v", tt.reason, err)
			}
			if got == nil {
				return
			}
			if got.Line != tt.wrong.Line || got.Column != tt.wrong.Column || got.Message != tt.wrong.Message || (got.Got == nil) != (tt.wrong.Got == nil) || got.Got != nil && !got.Got.IsExactType(tt.wrong.Got) {
				t.Errorf("%s: got %+v, want %+v", tt.reason, got, tt.wrong)
			}
			if want := fmt.Sprintf("line %d, column %d: %s", got.Line, got.Column, got.Message); err.Error() != want {
				t.Errorf("%q, want %q", err, want)
			}
		})
	}
}

// evaluate compiles a text and evaluates it for x.
func evaluate(t *testing.T, text string, budget uint64, x any) (ref.Val, error) {
	t.Helper()
	env := testEnv(t)
	ast, err := Check(env, text, cel.BoolType)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Program(env, ast, budget)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	out, _, err := p.Eval(map[string]any{"x": x})
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	return out, err
}

func TestBounds(t *testing.T) {
	list := make([]any, 1000)
	for i := range list {
		list[i] = int64(i)
	}
	long := strings.Repeat("x", maxMatched+1)
	table := map[string]string{}
	for i := range maxCompared {
		table[fmt.Sprint(i)] = ""
	}
	for _, tt := range []struct {
		text, reason string
		budget       uint64
		x            any
		fails        string // empty if it is true
	}{
		{"x.all(a, a >= 0)", "a loop within its budget", 10_000, list, ""},
		{"x.all(a, a >= 0)", "the budget is the program's own", 1_000, list, "cost limit exceeded"},
		{"x.all(a, x.all(b, a + b >= 0))", "a loop in a loop", 1_000_000, list, "cost limit exceeded"},
		{"[x]" + strings.Repeat(".map(y,y+y)", 60) + ".size() > 0", "a text that is doubled", 1_000_000, "x", "cost limit exceeded"},
		{"[x]" + strings.Repeat(".map(y,y+y)", 60) + ".size() > 0", "a list that is doubled", 1_000_000, list, "cost limit exceeded"},
		{"[x, x, x, x, x, x, x, x, x, x] == x", "a large value is not compared", 1_000_000, list, "compares more than 10000 values"},
		{"[x, x, x, x, x, x, x, x, x, x] != x", "nor when it is to differ", 1_000_000, list, "compares more than 10000 values"},
		{"1 in [x, x, x, x, x, x, x, x, x, x]", "nor searched", 1_000_000, list, "compares more than 10000 values"},
		{"'1' in x", "nor a large table of text", 1_000_000, table, "compares more than 10000 values"},
		{"x == x && 999 in x && !(1000 in x)", "a smaller one is", 1_000_000, list, ""},
		{"'a' in x && !('b' in x) && x != {}", "a table of text", 100, map[string]string{"a": "1"}, ""},
		{"x.matches('x$')", "a long text is not matched", 1_000_000, long, "matches a text of more than 16384 bytes"},
		{"x.matches('x$')", "a shorter one is", 1_000_000, long[1:], ""},
		{"x.matches('x' + '$')", "with a computed pattern, too", 1_000_000, long, "matches a text of more than 16384 bytes"},
		{"x.matches('x' + '$')", "and of a shorter one", 1_000_000, long[1:], ""},
		{"x.matches('a+b') && !x.matches('^b')", "a pattern that is kept", 100, "aab", ""},
		{"x.matches('(x')", "a wrong pattern", 100, "x", "missing closing )"},
		{"x.matches('a')", "only text can be", 1_000_000, 3, "no such overload"},
		{"[1, 2, 3].all(i, !x.matches('(x?){1000}y'))", "a slow pattern costs", 100_000, long[1:], "cost limit exceeded"},
		{"[1, 2, 3].all(i, !x.matches('(x?){1000}' + 'y'))", "a computed one the same", 100_000, long[1:], "cost limit exceeded"},
		{"x.a == 1", "what has no value is an error as it is", 100, map[string]any{}, "no such key: a"},
		{"1 in x", "of what contains nothing", 100, 1, "no such overload"},
		{"quantity(x).isGreaterThan(quantity('1'))", "a quantity", 100, "1e99", ""},
		{"quantity(x).isLessThan(quantity('1E'))", "exa is no exponent", 100, "123456789", ""},
		{"quantity(x).isGreaterThan(quantity('1'))", "one of a billion digits", 100, "1e999999999", "at most 2 digits"},
		{"quantity(x).isLessThan(quantity('1'))", "or of a billion decimals", 100, "1.00000000000000000001E-999999999", "at most 2 digits"},
		{"isQuantity(x)", "asking is parsing", 100, "1.00000000000000000001e+999999999", "at most 2 digits"},
		{"isQuantity(x)", "a long one", 100, strings.Repeat("1", maxQuantity+1), "at most 64 bytes"},
		{"!isQuantity(x)", "what is none is not refused", 100, "elephant", ""},
		{"quantity(x.a).isLessThan(quantity('1'))", "an argument without a value", 100, map[string]any{}, "no such key: a"},
		{"quantity(x).isLessThan(quantity('1'))", "only text is parsed", 100, 1, "no such overload"},
	} {
		t.Run(tt.text[:min(len(tt.text), 50)], func(t *testing.T) {
			out, err := evaluate(t, tt.text, tt.budget, tt.x)
			if tt.fails == "" && (err != nil || out != types.True) || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("%s: got %v, %v, want %q", tt.reason, out, err, tt.fails)
			}
		})
	}
}

// TestWeight: a table of text weighs the same whichever way it is looked at.
func TestWeight(t *testing.T) {
	table, slow := map[string]string{}, map[string]any{}
	for i := range 100 {
		text := strings.Repeat("x", i)
		table[text], slow[text] = text, text
	}
	for _, most := range []uint64{1, 10, 500, maxCompared} {
		quick, all := weight(types.DefaultTypeAdapter.NativeToValue(table), most), weight(types.DefaultTypeAdapter.NativeToValue(slow), most)
		if quick != all || quick > most {
			t.Errorf("at most %d: %d and %d", most, quick, all)
		}
	}
	if w := weight(types.DefaultTypeAdapter.NativeToValue([]any{"0123456789", []any{int64(1), nil}, map[string]any{"a": true}}), maxCompared); w != 8 {
		t.Errorf("a value of 8 weighs %d", w)
	}
}

func TestCheckPatterns(t *testing.T) {
	env := testEnv(t)
	for _, tt := range []struct{ text, reason, want string }{
		{"x.a == 1", "no pattern", ""},
		{"x.matches('^a+$') && matches(x, 'b')", "literals", ""},
		{"true &&\n x.matches('(a')", "a wrong one", "line 2, column 12: error parsing regexp"},
		{"x.matches('a' + 'b')", "a computed one", "column 15: the regular expression is computed"},
		{"matches('a', x)", "whichever way it is called", "column 14: the regular expression is computed"},
		{"[x].exists(y, y.matches('(a?){1000}'))", "a large one, within a loop", "column 25: the regular expression is too large"},
		{"x.matches('a{300}') && x.matches('b{300}') && x.matches('a{300}')", "what is kept together", ""},
		{"x.matches('a{300}') && x.matches('b{300}') && x.matches('c{300}')", "many together", "column 57: the regular expression is too large"},
		{`x.matches('\\pL\\pL\\pL\\pL\\pL\\pL\\pL\\pL\\pL')`, "large classes of characters", "is too large"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			ast, err := Check(env, tt.text, cel.BoolType)
			if err != nil {
				t.Fatal(err)
			}
			err = CheckPatterns(ast)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", tt.reason, err, tt.want)
			}
		})
	}
}
