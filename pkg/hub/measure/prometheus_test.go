package measure

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/example/myapp-hub/pkg/hub/rollout"
)

var web = types.NamespacedName{Namespace: "shop", Name: "web"}

// prometheus answers with what it is told, and a number in it that counts.
func prometheus(t *testing.T, answer string) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" || r.FormValue("query") != "up" {
			http.Error(w, "what?", http.StatusNotFound)
			return
		}
		n := asked.Add(1)
		_, _ = fmt.Fprint(w, strings.ReplaceAll(answer, "COUNT", fmt.Sprint(n)))
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

func question(address string) rollout.Question {
	return rollout.Question{Step: "s", Gate: "g", Address: address, Query: "up", Interval: 10 * time.Millisecond, Count: 3}
}

// asking is a Prometheus client that asks, and a channel that has something after each answer.
func asking(t *testing.T, addresses ...string) (*Prometheus, chan types.NamespacedName) {
	t.Helper()
	p, err := New(addresses)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan types.NamespacedName, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	p.Start(ctx, func(app types.NamespacedName) { answers <- app })
	return p, answers
}

func TestTheLastAnswersAreKept(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server, asked := prometheus(t, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"COUNT"]}]}}`)
	defer server.Close()
	p, answers := asking(t, server.URL+"/")
	q := question(server.URL)
	p.Want(web, []rollout.Question{q})
	p.Want(web, []rollout.Question{q}) // which is asked already
	for range 5 {
		if app := <-answers; app != web {
			t.Fatalf("an answer for %s", app)
		}
	}
	got := p.Of(web)(q)
	if n := len(got.Values); n != 3 || got.Values[2] != got.Values[0]+2 || got.Problem != "" {
		t.Errorf("got %+v after %d questions", got, asked.Load())
	}
	p.Want(web, nil)
	if got := p.Of(web)(q); len(got.Values) != 0 {
		t.Errorf("nobody asks any more, and there is %+v", got)
	}
	p.client.CloseIdleConnections()
}

func TestWhatIsNoValue(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"nothing", `{"status":"success","data":{"resultType":"vector","result":[]}}`, "gives no value"},
		{"two", `{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}`, "must give one: aggregate"},
		{"a matrix", `{"status":"success","data":{"resultType":"matrix","result":[]}}`, "gives a matrix"},
		{"an error", `{"status":"error","error":"parse error"}`, "answers: parse error"},
		{"a page", `<html>`, "with nothing that a Prometheus would"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, _ := prometheus(t, tt.answer)
			p, answers := asking(t, server.URL)
			q := question(server.URL)
			p.Want(web, []rollout.Question{q})
			<-answers
			if got := p.Of(web)(q); !strings.Contains(got.Problem, tt.want) || len(got.Values) > 0 {
				t.Errorf("got %+v, want a problem with %q", got, tt.want)
			}
		})
	}
}

// TestOnlyAllowedAddresses: who writes an app cannot have the hub ask anything else.
func TestOnlyAllowedAddresses(t *testing.T) {
	server, asked := prometheus(t, `{}`)
	p, _ := asking(t, "http://prometheus.monitoring:9090")
	for _, address := range []string{server.URL, "http://prometheus.monitoring:9090@" + strings.TrimPrefix(server.URL, "http://"), "http://prometheus.monitoring:9090/../x", ""} {
		q := question(address)
		p.Want(web, []rollout.Question{q})
		if got := p.Of(web)(q); !strings.Contains(got.Problem, "--prometheus") {
			t.Errorf("%q: %+v", address, got)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
	for _, wrong := range []string{"prometheus:9090", "ftp://x", "http://", "http://x?y=z", "http://user:pass@x"} {
		if _, err := New([]string{wrong}); err == nil {
			t.Errorf("%q is no address", wrong)
		}
	}
}

// TestNoRedirect: an address that is allowed does not lead to one that is not.
func TestNoRedirect(t *testing.T) {
	other, asked := prometheus(t, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
	redirect := httptest.NewServer(http.RedirectHandler(other.URL+"/api/v1/query", http.StatusTemporaryRedirect))
	defer redirect.Close()
	p, answers := asking(t, redirect.URL)
	q := question(redirect.URL)
	p.Want(web, []rollout.Question{q})
	<-answers
	if got := p.Of(web)(q); got.Problem == "" || asked.Load() > 0 {
		t.Errorf("%+v, and the other was asked %d times", got, asked.Load())
	}
}
