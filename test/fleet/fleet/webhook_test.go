package fleet

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The hub is played by a server that has its certificate and refuses everything.
func TestWebhookIsAsked(t *testing.T) {
	f := Start(t, WithoutControllers(), DeployDir("testdata/deploy"))
	hub := f.Cluster(HubName)
	dir, err := f.hubCertificate("hub-webhook")
	if err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Addr: loopback(ports[0]), Handler: refuse(t), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() {
		ended <- server.ListenAndServeTLS(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	}()

	if err := hub.installWebhook(t.Context(), server.Addr); err != nil {
		t.Fatal(err)
	}
	if err := hub.client.Create(t.Context(), myApp()); err == nil || !strings.Contains(err.Error(), "the hub refuses it") {
		t.Errorf("creating a MyApp: %v, want the hub's refusal", err)
	}
	if err := hub.client.Create(t.Context(), unstructuredOf("v1", "ConfigMap")); err != nil {
		t.Errorf("creating something else: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if err := hub.client.Create(t.Context(), myApp()); err != nil {
		t.Errorf("creating a MyApp while the hub is down: %v", err)
	}
}

func TestHubArgsOfAWebhook(t *testing.T) {
	flags := []string{"--webhook-bind-address=127.0.0.1:1", "--webhook-cert-dir=certs"}
	for addr, want := range map[string]bool{"": false, "127.0.0.1:1": true} {
		args := hubArgs(hubParams{webhookAddr: addr, webhookCerts: "certs"})
		for _, flag := range flags {
			if slices.Contains(args, flag) != want {
				t.Errorf("with the address %q: %s is there: %t", addr, flag, !want)
			}
		}
	}
}

func refuse(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /validate-example-com-v1-myapp", func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Errorf("reading a review: %v", err)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{
			UID: review.Request.UID, Result: &metav1.Status{Message: "the hub refuses it"},
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Errorf("answering a review: %v", err)
		}
	})
	return mux
}

func myApp() *unstructured.Unstructured { return unstructuredOf("example.com/v1", "MyApp") }

func unstructuredOf(apiVersion, kind string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	o.SetNamespace(metav1.NamespaceDefault)
	o.SetName("web")
	return o
}
