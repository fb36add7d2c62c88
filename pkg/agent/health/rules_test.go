package health

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestCheckRule(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		rule         v1.HealthRule
		want         []string
	}{
		{"fields", "their types are known only with the object", v1.HealthRule{Ready: "object.status.ready", Failed: "object.status.failed", Message: "object.status.message"}, nil},
		{"typed", "as they must be", v1.HealthRule{Ready: "object.a == 1", Failed: "has(object.b)", Message: `"waits for " + string(object.n)`}, nil},
		{"syntax", "where and what", v1.HealthRule{Ready: `object.status.phase = "Running"`}, []string{"health rule for Database.example.org: ready, line 1, column 21: Syntax error", `correct the CEL expression "object.status.phase = \"Running\"", which sees the object as`}},
		{"second line", "the line counts", v1.HealthRule{Ready: "true &&\n  x"}, []string{"ready, line 2, column 3: undeclared reference to 'x'"}},
		{"empty", "admission may be asked first", v1.HealthRule{}, []string{"ready, line 1, column 1: Syntax error"}},
		{"ready is text", "ready must be bool", v1.HealthRule{Ready: `"Running"`}, []string{`ready, line 1, column 1: the CEL expression "\"Running\"" gives a string and must give a bool; write one such as object.status.phase`}},
		{"failed is a number", "failed must be bool", v1.HealthRule{Ready: "true", Failed: "1 + 2"}, []string{"failed, line 1", "gives a int and must give a bool"}},
		{"message is bool", "message must be text", v1.HealthRule{Ready: "true", Message: "1 == 2"}, []string{"message, line 1", "gives a bool and must give a string; write one such as object.status.message"}},
		{"unknown function", "what can grow without bounds is not in the language", v1.HealthRule{Ready: `object.a.replace("", "x") == ""`}, []string{"undeclared reference to 'replace'"}},
		{"unknown range", "neither is this", v1.HealthRule{Ready: `size(lists.range(1000000000)) > 0`}, []string{"undeclared reference to"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Group, tt.rule.Kind = "example.org", "Database"
			err := CheckRule(tt.rule)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("%s: %v", tt.reason, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: got %q, want %q in it", tt.reason, err, w)
				}
			}
		})
	}
	if err := CheckRule(v1.HealthRule{Kind: "Secret", Ready: "true", Message: "object.data.password"}); err == nil || !strings.Contains(err.Error(), "must not reach a status") {
		t.Errorf("a rule for Secrets: %v", err)
	}
	for group, kind := range map[string]string{"apps": "Deployment", "": "ConfigMap", "policy": "PodDisruptionBudget"} {
		if err := CheckRule(v1.HealthRule{Group: group, Kind: kind, Ready: "true"}); err == nil || !strings.Contains(err.Error(), "is known without a rule") {
			t.Errorf("a rule for %s, which would have no effect: %v", kind, err)
		}
	}
	if err := CheckRule(v1.HealthRule{Group: "example.org", Kind: "Secret", Ready: "true"}); err != nil {
		t.Errorf("a kind of another group: %v", err)
	}
}

func TestCompile(t *testing.T) {
	a, b := v1.HealthRule{Group: "g", Kind: "A", Ready: "true"}, v1.HealthRule{Kind: "B", Ready: "false"}
	rules, err := Compile([]v1.HealthRule{a, b})
	if err != nil {
		t.Fatal(err)
	}
	for gk, want := range map[schema.GroupKind]bool{{Group: "g", Kind: "A"}: true, {Kind: "B"}: true, {Kind: "A"}: false, {Group: "g", Kind: "B"}: false} {
		if got := rules.For(gk) != nil; got != want {
			t.Errorf("a rule for %s: %t", gk, got)
		}
	}
	if (*Rules)(nil).For(schema.GroupKind{Kind: "A"}) != nil {
		t.Error("no rules have a rule")
	}
	if _, err := Compile([]v1.HealthRule{a, b, a}); err == nil || !strings.Contains(err.Error(), "two rules for A.g; join them") {
		t.Errorf("two rules for one kind: %v", err)
	}
}

// TestBombs: an expression of an app's author must cost neither the time nor the
// memory of the process it is evaluated in.
func TestBombs(t *testing.T) {
	list := make([]any, 1000)
	for i := range list {
		list[i] = int64(i)
	}
	object := database(fields{"s": strings.Repeat("x", 1000), "big": strings.Repeat("x", 1_000_000), "list": list, "lists": []any{list, list, list, list, list, list, list, list, list, list, list}})
	nested := func(step, last string) string {
		expression := last
		for i := 60; i > 0; i-- {
			expression = fmt.Sprintf("[%s].all(v%d,%s)", strings.ReplaceAll(step, "v", fmt.Sprintf("v%d", i-1)), i, expression)
		}
		return strings.ReplaceAll(expression, "v0", "object.status.s")
	}
	for _, tt := range []struct{ name, expression, want string }{
		{"loops in loops", "object.status.list.all(a, object.status.list.all(b, object.status.list.all(c, a + b + c >= 0)))", "cost limit exceeded"},
		{"a string doubled", "[object.status.s]" + strings.Repeat(".map(x,x+x)", 60) + ".size() > 0", "cost limit exceeded"},
		{"a list doubled", "[object.status.list]" + strings.Repeat(".map(x,x+x)", 60) + ".size() > 0", "cost limit exceeded"},
		{"a list of itself", nested("[v,v]", "v60==v60"), "compares more than 10000 values"},
		{"a map of itself", nested("{1:v,2:v}", "v60!=v60"), "compares more than 10000 values"},
		{"searched for itself", nested("[v,v]", "v60 in v60"), "compares more than 10000 values"},
		{"a large comparison", "object.status.lists == object.status.lists", "compares more than 10000 values"},
		{"many comparisons", "object.status.list.all(x, object.status.list == object.status.list)", "cost limit exceeded"},
		{"many string comparisons", "object.status.list.all(x, object.status.big < object.status.big + 'y')", "cost limit exceeded"},
		{"many sizes", "object.status.list.all(x, size(object.status.big) > 0)", "cost limit exceeded"},
		{"a large text matched", `object.status.big.matches("x")`, "matches a text of more than 16384 bytes"},
		{"a slow regular expression", `object.status.list.all(x, !object.status.s.matches("(x?){1000}y"))`, "cost limit exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rule(t, v1.HealthRule{Ready: tt.expression})
			start := time.Now()
			f := Object(object, "h", r)
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
			if f.State != v1.FeedbackProgressing || !strings.Contains(f.Message, tt.want) {
				t.Errorf("got %+v, want %q", f, tt.want)
			}
		})
	}
}

// TestBudgetIsEnough: what a rule needs for a large object is far from the limits.
func TestBudgetIsEnough(t *testing.T) {
	var list []any
	for i := range 1000 {
		list = append(list, fields{"type": fmt.Sprint("T", i), "status": "True", "message": strings.Repeat("m", 100)})
	}
	object := database(fields{"conditions": list})
	r := rule(t, v1.HealthRule{
		Ready:   `object.status.conditions.filter(c, c.status != "True" && !(c.type in ["A", "B"])).map(c, c.type + ": " + c.message).size() > 0`,
		Failed:  `object.status.conditions.exists(c, c.type.matches("^F[0-9]+$"))`,
		Message: `object.status.conditions.map(c, c.type + ": " + c.message)[999]`,
	})
	if f := Object(object, "h", r); f.State != v1.FeedbackProgressing || !strings.HasPrefix(f.Message, "Database shop/db: T999: mmm") {
		t.Errorf("%+v", f)
	}
}

func TestCache(t *testing.T) {
	var c Cache
	compile := func(r v1.HealthRule) (*Rule, error) {
		rules, err := c.Compile([]v1.HealthRule{r})
		return rules.For(schema.GroupKind{Kind: r.Kind}), err
	}
	one, err := compile(v1.HealthRule{Kind: "A", Ready: "true"})
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := compile(v1.HealthRule{Kind: "B", Ready: "true"}); again != one {
		t.Error("the same expressions were compiled again")
	}
	if other, _ := compile(v1.HealthRule{Kind: "A", Ready: "true", Failed: "false"}); other == one {
		t.Error("other expressions, the same rule")
	}
	for range 2 {
		if _, err := compile(v1.HealthRule{Kind: "A", Ready: "tru"}); err == nil || !strings.Contains(err.Error(), "health rule for A: ready, line 1") {
			t.Errorf("a bad rule: %v", err)
		}
	}
	if n := len(c.compiled); n != 3 {
		t.Errorf("%d entries, want the bad one too", n)
	}
	for i := range maxCompiled {
		c.compiled[expressions{ready: fmt.Sprint(i)}] = compiled{}
	}
	if _, err := compile(v1.HealthRule{Kind: "A", Ready: "1 == 1"}); err != nil || len(c.compiled) != 1 {
		t.Errorf("a full cache is emptied: %d entries, %v", len(c.compiled), err)
	}
}

func TestCacheConcurrently(t *testing.T) {
	var c Cache
	var wg sync.WaitGroup
	object := database(fields{"n": int64(3)})
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				rules, err := c.Compile([]v1.HealthRule{{Group: "example.org", Kind: "Database", Ready: fmt.Sprintf("object.status.n == %d", (i+j)%5)}})
				if err != nil {
					t.Error(err)
					return
				}
				f := Object(object, "h", rules.For(schema.GroupKind{Group: "example.org", Kind: "Database"}))
				if ready := f.State == v1.FeedbackReady; ready != ((i+j)%5 == 3) {
					t.Errorf("%d: %+v", (i+j)%5, f)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkObject(b *testing.B) {
	object := database(condition("Ready", "True", ""))
	object.Object["status"].(fields)["phase"] = "Running"
	withRule := rule(b, v1.HealthRule{Ready: `object.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`, Failed: `object.status.phase == "Error"`})
	for name, r := range map[string]*Rule{"kstatus": nil, "rule": withRule} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Object(object, "h", r).State != v1.FeedbackReady {
					b.Fatal("not ready")
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules := []v1.HealthRule{{Kind: "A", Ready: `object.status.phase == "Running"`, Failed: `object.status.phase == "Error"`, Message: "object.status.message"}}
	b.Run("anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Compile(rules); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		var c Cache
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Compile(rules); err != nil {
				b.Fatal(err)
			}
		}
	})
}
