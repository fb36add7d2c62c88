package app

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

// patched is what an API server makes of an app and a patch.
func patched(t interface{ Fatal(...any) }, app *v1.MyApp, next *v1.MyAppStatus) *v1.MyApp {
	data, err := statusPatch(app, next)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(app)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err = patch.Apply(stored); err != nil {
		t.Fatal(err, string(data))
	}
	is := &v1.MyApp{}
	if err := json.Unmarshal(stored, is); err != nil {
		t.Fatal(err)
	}
	return is
}

func genStatus(t *rapid.T, label string) v1.MyAppStatus {
	t.Helper()
	times := []metav1.Time{noon, metav1.NewTime(noon.Add(time.Hour)), {}}
	s := v1.MyAppStatus{
		ObservedGeneration: rapid.Int64Range(0, 2).Draw(t, label+" generation"),
		Revision:           rapid.SampledFrom([]string{"", "web-1", "web-2"}).Draw(t, label+" revision"),
		Replicas:           rapid.Int32Range(0, 2).Draw(t, label+" replicas"),
		Selector:           rapid.SampledFrom([]string{"", "app=web"}).Draw(t, label+" selector"),
	}
	if rapid.Bool().Draw(t, label+" summary") {
		s.Summary = &v1.Summary{Ready: rapid.Int32Range(0, 1).Draw(t, label+" ready")}
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if rapid.IntRange(0, 9).Draw(t, label+" has "+name) == 0 {
			continue
		}
		row := v1.PlacementRow{Cluster: name, State: v1.PlacementReady, LastTransitionTime: rapid.SampledFrom(times).Draw(t, label+" since")}
		if rapid.IntRange(0, 3).Draw(t, label+" differs at "+name) == 0 {
			row.State, row.LastReportTime, row.Message = v1.PlacementUnknown, &times[1], `it says "no"`
		}
		s.Placements = append(s.Placements, row)
	}
	for _, condition := range []string{v1.ConditionReady, v1.ConditionHeld} {
		if rapid.Bool().Draw(t, label+" has "+condition) {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: condition, Status: "True", Message: rapid.SampledFrom([]string{"x", "y"}).Draw(t, label+" says"), LastTransitionTime: noon})
		}
	}
	return s
}

// TestStatusPatch: whatever was stored, the patch makes it what was decided, fields
// that are gone included, and changes nothing else; without a difference there is
// none, and the other way round.
func TestStatusPatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		app := world().app
		app.ResourceVersion = "100"
		app.Status = genStatus(t, "old")
		next := genStatus(t, "next")
		if rapid.IntRange(0, 3).Draw(t, "same") == 0 {
			next = *app.Status.DeepCopy()
		}
		want := app.DeepCopy()
		want.Status = next
		is := patched(t, app, &next)
		if !apiequality.Semantic.DeepEqual(want, is) {
			t.Fatalf("-want +patched:\n%s", cmp.Diff(want, is))
		}
		if same := sameStatus(&app.Status, &next); same != apiequality.Semantic.DeepEqual(app.Status, next) {
			t.Fatalf("same = %v:\n%s", same, cmp.Diff(app.Status, next))
		}
	})
}

// TestEveryFieldIsWritten: a field that the status gains must not be forgotten.
func TestEveryFieldIsWritten(t *testing.T) {
	for i := range reflect.TypeFor[v1.MyAppStatus]().NumField() {
		field := reflect.TypeFor[v1.MyAppStatus]().Field(i)
		app := world().app
		app.ResourceVersion = "100"
		app.Status.Conditions = []metav1.Condition{{Type: v1.ConditionReady}}
		next := app.Status.DeepCopy()
		switch v := reflect.ValueOf(next).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString("new")
		case reflect.Int32, reflect.Int64:
			v.SetInt(7)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		default:
			t.Fatalf("%s is a %s, which this test does not know", field.Name, v.Kind())
		}
		if sameStatus(&app.Status, next) {
			t.Errorf("a change of %s is not noticed", field.Name)
		}
		if is := patched(t, app, next); !apiequality.Semantic.DeepEqual(next, &is.Status) {
			t.Errorf("%s is not written (-want +patched):\n%s", field.Name, cmp.Diff(next, &is.Status))
		}
	}
}

// TestPatchesAreSmall: one row of a thousand is written as one.
func TestPatchesAreSmall(t *testing.T) {
	app := world().app
	app.Status.Conditions = []metav1.Condition{{Type: v1.ConditionReady}}
	app.Status.Placements = make([]v1.PlacementRow, 1000)
	next := app.Status.DeepCopy()
	next.Placements[7].State = v1.PlacementReady
	data, err := statusPatch(app, next)
	if err != nil || len(data) > 500 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
