package restore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

func configMap(data, annotations map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hub", Name: v1.HubIdentity, ResourceVersion: "7", Annotations: annotations},
		Data:       data,
	}
}

func TestParse(t *testing.T) {
	release := map[string]string{v1.AnnotationRelease: "true"}
	for _, tt := range []struct {
		reason            string
		data, annotations map[string]string
		want              identity
		fails             bool
	}{
		{"a first start", map[string]string{"hubID": "h"}, nil, identity{}, false},
		{"no data at all", nil, nil, identity{}, false},
		{"everything", map[string]string{"hubID": "h", "epoch": "3", "clusterUID": "c", "held": "why"}, release, identity{3, "c", "why", true}, false},
		{"only the word true releases", map[string]string{"held": "why"}, map[string]string{v1.AnnotationRelease: "yes"}, identity{held: "why"}, false},
		{"an epoch that is no number", map[string]string{"epoch": "x"}, nil, identity{}, true},
		{"an epoch that cannot be", map[string]string{"epoch": "-1"}, nil, identity{}, true},
		{"one that nobody released so often", map[string]string{"epoch": "9223372036854775807"}, nil, identity{}, true},
	} {
		got, err := parse(configMap(tt.data, tt.annotations))
		if (err != nil) != tt.fails || !tt.fails && got != tt.want {
			t.Errorf("%s: %+v, %v", tt.reason, got, err)
		}
		if tt.fails && !strings.Contains(err.Error(), "hub/"+v1.HubIdentity) {
			t.Errorf("%s: the error does not say where: %v", tt.reason, err)
		}
	}
}

func TestInto(t *testing.T) {
	old := configMap(map[string]string{"hubID": "h", "held": "why", "clusterUID": "c"}, map[string]string{v1.AnnotationRelease: "true", "other": "x"})
	given := old.DeepCopy()
	got := identity{epoch: 2, cluster: "d", release: true}.into(old)
	want := configMap(map[string]string{"hubID": "h", "epoch": "2", "clusterUID": "d"}, map[string]string{"other": "x"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is not ours stays, and the version with it (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(given, old); diff != "" {
		t.Errorf("what was read was changed:\n%s", diff)
	}
	if empty := (identity{cluster: "c"}).into(configMap(nil, nil)); !cmp.Equal(empty.Data, map[string]string{"clusterUID": "c"}) {
		t.Errorf("a first start writes %v", empty.Data)
	}
}

func TestStart(t *testing.T) {
	for _, tt := range []struct {
		reason string
		id     identity
		want   identity
		held   bool
	}{
		{"the first start", identity{}, identity{cluster: "here"}, false},
		{"the first start with what an earlier version left", identity{epoch: 1, held: "why"}, identity{epoch: 1, cluster: "here", held: "why"}, true},
		{"as ever", identity{cluster: "here", epoch: 2}, identity{cluster: "here", epoch: 2}, false},
		{"held before", identity{cluster: "here", held: "why"}, identity{cluster: "here", held: "why"}, true},
		{"another cluster, held before", identity{cluster: "there", held: "why"}, identity{cluster: "there", held: "why"}, true},
	} {
		if got := start(tt.id, "here", "hub"); got != tt.want || (got.held != "") != tt.held {
			t.Errorf("%s: %+v, want %+v", tt.reason, got, tt.want)
		}
	}
	moved := start(identity{cluster: "there", epoch: 2}, "here", "hub")
	for _, want := range []string{"another cluster", "there", "here", "kubectl -n hub annotate configmap hub-identity example.com/release=true"} {
		if !strings.Contains(moved.held, want) {
			t.Errorf("%q is not in %q", want, moved.held)
		}
	}
	if moved.cluster != "there" || moved.epoch != 2 {
		t.Errorf("only a release makes this cluster the hub's: %+v", moved)
	}
}

func TestStep(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		id       identity
		highest  int64
		want     identity
		released bool
	}{
		{"the hold is recorded", identity{cluster: "here"}, 0, identity{cluster: "here", held: "why"}, false},
		{"an annotation from before is about nothing", identity{cluster: "here", release: true}, 0, identity{cluster: "here", held: "why"}, false},
		{"nor is one about another hold", identity{cluster: "here", held: "other", release: true}, 0, identity{cluster: "here", held: "why"}, false},
		{"it is recorded, nobody came", identity{cluster: "here", held: "why", epoch: 4}, 0, identity{cluster: "here", held: "why", epoch: 4}, false},
		{"a person releases it", identity{cluster: "here", held: "why", epoch: 4, release: true}, 4, identity{cluster: "here", epoch: 5}, true},
		{"the hub lives here now", identity{cluster: "there", held: "why", release: true}, 0, identity{cluster: "here", epoch: 1}, true},
		{"members have seen later epochs than the backup", identity{cluster: "here", held: "why", epoch: 1, release: true}, 6, identity{cluster: "here", epoch: 7}, true},
	} {
		got, released := step(tt.id, "why", "here", tt.highest)
		if got != tt.want || released != tt.released {
			t.Errorf("%s: %+v, released %v, want %+v", tt.reason, got, released, tt.want)
		}
	}
}

func TestMessageFitsACondition(t *testing.T) {
	for _, evidence := range []string{"Deployment shop/web is newer", strings.Repeat("世", 2000)} {
		text := message("myapp-hub-system", evidence)
		if n := len([]rune(text)); n > 1024 || !strings.HasSuffix(text, "annotate configmap hub-identity "+v1.AnnotationRelease+"=true") {
			t.Errorf("%d characters, of which the last must say what to do: %s", n, text)
		}
	}
}
