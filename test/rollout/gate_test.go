package rollout

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

// prometheus says how many errors there are.
type prometheus struct {
	errors, asked atomic.Int64
	*httptest.Server
}

func newPrometheus() *prometheus {
	p := &prometheus{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("query") != "sum(errors)" {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		p.asked.Add(1)
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"%d"]}]}}`, p.errors.Load())
	}))
	return p
}

// A gate that asks Prometheus keeps the others from a revision with errors, which goes back;
// without errors it lets it pass, after as many good answers as it asks for.
func TestPrometheusGate(t *testing.T) {
	f := sharedFleet(t)
	rollout := threeSteps()
	rollout.Steps = rollout.Steps[:1]
	rollout.Steps[0].SoakSeconds = nil
	rollout.Steps[0].Gates = []v1.RolloutGate{{
		Name: "errors", Expression: "value < 1.0", Prometheus: &v1.PrometheusQuery{Address: metrics.URL, Query: "sum(errors)"},
		IntervalSeconds: ptr.To[int32](1), Count: ptr.To[int32](2), TimeoutSeconds: ptr.To[int32](5),
	}}
	app := created(t, f, "gated", rollout)
	metrics.errors.Store(5)
	w := watchOrder(t, f, app)
	expect.Edit(t, f, app, image("2"))
	expect.That(t, f, soon, app, "went back", func(a *v1.MyApp) error {
		r := a.Status.Rollout
		if r == nil || r.Phase != v1.RolloutRolledBack || r.Reason != v1.ReasonGateFailed || !strings.Contains(r.Message, "gate errors of step canary has not passed in 5s: it does not hold") {
			return fmt.Errorf("the rollout is %+v", r)
		}
		return nil
	})
	asked := metrics.asked.Load()
	if asked < 2 {
		t.Errorf("Prometheus was asked %d times", asked)
	}
	metrics.errors.Store(0)
	expect.Edit(t, f, app, image("3"))
	expect.Ready(t, f, soon, app, members...)
	if n := metrics.asked.Load() - asked; n < 2 {
		t.Errorf("it passed after %d answers", n)
	}
	if order := w.end(t); len(order) != 1+len(members) {
		t.Errorf("the revisions went %v", order)
	}
	removed(t, f, app)
}
