package trust

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// lie changes the answer to a request for Deployments.
type lie func(answer *http.Response)

// liar is the API server of a Push member that belongs to somebody hostile: a real one,
// whose answers about Deployments are changed on the way.
type liar struct {
	*httptest.Server
	lie atomic.Pointer[lie]
}

// newLiar makes the newcomer's cluster a Push member by the way of a liar.
func newLiar(t *testing.T, f *fleet.Fleet, name string) *liar {
	t.Helper()
	behind := f.Cluster(newcomer)
	target, err := url.Parse(behind.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(behind.Admin())
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{}
	proxy := httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization") // the admin's certificate goes with it
			if strings.HasSuffix(r.In.URL.Path, "/deployments") {
				r.Out.Header.Set("Accept", "application/json")
			}
		},
		ModifyResponse: func(answer *http.Response) error {
			told := l.lie.Load()
			if told != nil && answer.Request.Method == http.MethodGet && strings.HasSuffix(answer.Request.URL.Path, "/deployments") {
				(*told)(answer)
			}
			return nil
		},
	}
	l.Server = httptest.NewUnstartedServer(&proxy)
	l.EnableHTTP2 = true
	l.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that the hub ends
	l.StartTLS()
	t.Cleanup(l.Close)

	leave(t, f, name)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: l.URL, CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw})}
	config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: "any"}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	config.CurrentContext = "c"
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	hub := f.Cluster(fleet.HubName).Client()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: name + "-kubeconfig"},
		Data:       map[string][]byte{"kubeconfig": kubeconfig},
	}
	member := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{expect.NameLabel: name}},
		Spec:       v1.MemberClusterSpec{Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: secret.Name}},
	}
	for _, o := range []client.Object{secret, member} {
		if err := hub.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = hub.Delete(context.Background(), secret) }) // it may have left with its member
	isMember(t, f, name, v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	return l
}

// tell changes the answers from now on, to those who ask anew.
func (l *liar) tell(what lie) {
	l.lie.Store(&what)
	l.CloseClientConnections()
}

// events puts what write writes before the events of a watch, and makes the answer to a
// list one that is none.
func events(write func(w io.Writer) error) lie {
	return func(answer *http.Response) {
		genuine := answer.Body
		r, w := io.Pipe()
		go func() {
			err := write(w)
			if err == nil {
				_, err = io.Copy(w, genuine)
			}
			_ = genuine.Close()
			_ = w.CloseWithError(err)
		}()
		answer.Body = r
		answer.ContentLength = -1
		answer.Header.Del("Content-Length")
	}
}

// rewritten changes every event of a watch.
func rewritten(change func(line []byte) []byte) lie {
	return func(answer *http.Response) {
		lines := bufio.NewReader(answer.Body)
		events(func(w io.Writer) error {
			for {
				line, err := lines.ReadBytes('\n')
				if err != nil {
					return err
				}
				if _, err := w.Write(change(line)); err != nil {
					return err
				}
			}
		})(answer)
	}
}

// A member that sends more than any member may is no longer listened to, which is said,
// and neither the hub nor apps on other members suffer.
func TestHostileMember(t *testing.T) {
	f := sharedFleet(t)
	expect.Namespace(t, f, "hostile")
	status := events(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `{"type":"ADDED","object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","namespace":"hostile"},"status":{"conditions":[{"type":"Available","message":"`)
		for block := bytes.Repeat([]byte("x"), 1<<20); err == nil; {
			_, err = w.Write(block)
		}
		return err
	})
	var sent atomic.Int64
	identity := &corev1.ConfigMap{}
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), client.ObjectKey{Namespace: fleet.HubNamespace, Name: "hub-identity"}, identity); err != nil {
		t.Fatal(err)
	}
	id := identity.Data["hubID"]
	flood := events(func(w io.Writer) error {
		out := bufio.NewWriter(w)
		for {
			n := sent.Add(1)
			_, err := fmt.Fprintf(out, `{"type":"ADDED","object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x-%d","namespace":"hostile","uid":"u-%d","resourceVersion":"%d","labels":{%q:"liar-1",%q:%q,%q:"x-%d",%q:"u-%d"}}}}`+"\n",
				n, n, n, v1.LabelMember, v1.LabelHubID, id, v1.LabelApp, n, v1.LabelAppUID, n)
			if err != nil {
				return err
			}
		}
	})
	pid := f.Hub().Pid()
	before, err := meter.UsageOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name string
		lie  lie
	}{{"a status of 100 MB and more", status}, {"events without end", flood}} {
		name := fmt.Sprintf("liar-%d", i)
		l := newLiar(t, f, name)
		if err := meter.ResetPeak(pid); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		l.tell(c.lie)
		app := types.NamespacedName{Namespace: "hostile", Name: fmt.Sprintf("app-%d", i)}
		create(t, f, app, push)
		isAppliedOn(t, f, app, push)
		applied := time.Since(begun)
		isMember(t, f, name, v1.ConditionReady, metav1.ConditionFalse, v1.ReasonTooMuchSent)
		refused := time.Since(begun)
		after, err := meter.UsageOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		more := (after.PeakRSS - before.RSS) >> 20
		t.Logf("%s: refused after %v, an app on another member was there after %v, the hub's memory grew by at most %d MiB (%d events sent)",
			c.name, refused.Round(time.Millisecond), applied.Round(time.Millisecond), more, sent.Load())
		if applied > 5*time.Second || more > 256 {
			t.Errorf("%s: others suffer", c.name)
		}
	}
}

// What a member says about its apps is believed of these apps alone, and is written down
// in a form that everybody can read, whatever it is.
func TestLyingMember(t *testing.T) {
	f := sharedFleet(t)
	expect.Namespace(t, f, "hostile")
	l := newLiar(t, f, "lying")
	honest := types.NamespacedName{Namespace: "hostile", Name: "honest"}
	create(t, f, honest, push)
	isAppliedOn(t, f, honest, push)
	l.tell(rewritten(func(line []byte) []byte {
		var e struct {
			Type   string         `json:"type"`
			Object map[string]any `json:"object"`
		}
		if json.Unmarshal(line, &e) != nil || e.Object["kind"] != "Deployment" {
			return line
		}
		about := e.Object["metadata"].(map[string]any)
		about["creationTimestamp"] = "2226-01-01T00:00:00Z"
		e.Object["status"] = map[string]any{
			"observedGeneration": about["generation"], "replicas": math.MaxInt32, "readyReplicas": math.MinInt32,
			"updatedReplicas": math.MaxInt32, "availableReplicas": -1, "unavailableReplicas": math.MaxInt32,
			"conditions": []any{map[string]any{
				"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
				"message": "NOT-UTF-8" + strings.Repeat("y", 100_000), "lastTransitionTime": "1826-01-01T00:00:00Z",
			}},
		}
		out, err := json.Marshal(e)
		if err != nil {
			return line
		}
		return append(bytes.ReplaceAll(out, []byte("NOT-UTF-8"), []byte("\xff\xfe\xc3(\x80")), '\n')
	}))
	key := types.NamespacedName{Namespace: "hostile", Name: "lied-about"}
	create(t, f, key, "lying", push)
	expect.That(t, f, soon, key, "has what both members say", func(app *v1.MyApp) error {
		if len(app.Status.Placements) != 2 {
			return fmt.Errorf("%d rows", len(app.Status.Placements))
		}
		for _, row := range app.Status.Placements {
			switch {
			case !row.Updated && row.Cluster == push:
				return fmt.Errorf("%s is not updated", push)
			case row.Cluster == "lying" && row.State != v1.PlacementFailed:
				return fmt.Errorf("the lie is not believed")
			}
		}
		return nil
	})
	app := expect.Get(t, f, key)
	for _, row := range app.Status.Placements {
		t.Logf("%s: %s %d of %d ready, %d bytes of message", row.Cluster, row.State, row.ReadyReplicas, row.Replicas, len(row.Message))
		if !utf8.ValidString(row.Message) || len(row.Message) > 1024 || row.ReadyReplicas < 0 || row.CurrentReplicas < 0 {
			t.Errorf("row %+v", row)
		}
	}
	l.lie.Store(nil)
	if other := expect.Get(t, f, honest); len(other.Status.Placements) != 1 || other.Status.Placements[0].Cluster != push || !other.Status.Placements[0].Updated {
		t.Errorf("another app: %+v", other.Status.Placements)
	}
}

// create makes an app that does not outlive the test.
func create(t *testing.T, f *fleet.Fleet, key types.NamespacedName, members ...string) {
	t.Helper()
	app := expect.App(key.Namespace, key.Name, expect.On(members...))
	expect.Create(t, f, app)
	t.Cleanup(func() {
		if err := f.Cluster(fleet.HubName).Client().Delete(context.Background(), app); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

func isAppliedOn(t *testing.T, f *fleet.Fleet, key types.NamespacedName, member string) {
	t.Helper()
	expect.That(t, f, soon, key, "is applied on "+member, func(app *v1.MyApp) error {
		for _, row := range app.Status.Placements {
			if row.Cluster == member && row.Updated {
				return nil
			}
		}
		return fmt.Errorf("no row of %s is updated", member)
	})
}
