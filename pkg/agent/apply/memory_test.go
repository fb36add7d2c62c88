package apply

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

func TestMemoryOfWrites(t *testing.T) {
	applied := made(t, "Deployment", "web", "1")
	key := keyOf(applied)
	at := func(uid types.UID, version string) *record {
		return newRecord(&metav1.ObjectMeta{UID: uid, ResourceVersion: version})
	}
	for _, tt := range []struct {
		name, reason string
		after        time.Duration
		cached       *record
		newer        bool
	}{
		{"not shown", "the cache does not show the creation yet", 0, nil, true},
		{"older", "the cache shows the state before the write", 0, at("u", "99"), true},
		{"almost too late", "the cache may be that much behind", writtenTTL, at("u", "99"), true},
		{"too late", "a cache that does not show a write for so long is believed", writtenTTL + 1, at("u", "99"), false},
		{"not shown for long", "the object was deleted since", writtenTTL + 1, nil, false},
		{"shown", "the cache has caught up", 0, at("u", "100"), false},
		{"newer", "somebody wrote after us; numbers are compared, not strings", 0, at("u", "1000"), false},
		{"made again", "another object of that name", 0, at("other", "99"), false},
		{"no number", "what cannot be compared is believed", 0, at("u", "x"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(nil)
				m.wrote(applied, applied.Raw, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
					UID: "u", ResourceVersion: "100", Annotations: map[string]string{v1.AnnotationContentHash: "h", "secret": "x"},
				}})
				time.Sleep(tt.after)
				got := m.newer(key, tt.cached)
				if (got != nil) != tt.newer {
					t.Fatalf("%s: newer = %+v", tt.reason, got)
				}
				if tt.newer {
					if diff := cmp.Diff(map[string]string{v1.AnnotationContentHash: "h"}, got.metadata().Annotations); diff != "" {
						t.Errorf("only what is needed is kept:\n%s", diff)
					}
					m.removed(key)
				}
				if m.newer(key, at("u", "99")) != nil || len(m.written) != 0 {
					t.Error("a write that is removed, or that the cache has caught up with, is forgotten")
				}
			})
		})
	}
}

func TestMemoryOfFacts(t *testing.T) {
	m := newMemory(nil)
	key := objectKey{deploymentGVK.GroupKind(), types.NamespacedName{Name: "web"}}
	other := objectKey{deploymentGVK.GroupKind(), types.NamespacedName{Name: "api"}}
	for _, known := range []bool{false, true, true, false} {
		m.setForeign(key, known)
		if m.isForeign(key) != known {
			t.Errorf("set to %v, but remembered as %v", known, m.isForeign(key))
		}
		if m.isForeign(other) {
			t.Error("knows what it was not told")
		}
	}
}

func TestSlim(t *testing.T) {
	meta := metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", Generation: 3, Finalizers: []string{"f"},
		Labels:      map[string]string{v1.LabelApp: "web", v1.LabelMember: "eu-1", "tier": "front"},
		Annotations: map[string]string{v1.AnnotationContentHash: "h", "token": "secret"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "x", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
			{Manager: v1.FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(`{"f:data":{}}`)},
		},
		OwnerReferences: []metav1.OwnerReference{{Name: "x"}},
	}
	kept := metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", Generation: 3, Finalizers: []string{"f"},
		Labels:      map[string]string{v1.LabelApp: "web", v1.LabelMember: "eu-1"},
		Annotations: map[string]string{v1.AnnotationContentHash: "h", annotationFields: `{"f:data":{}}`},
	}
	copied := *kept.DeepCopy()
	copied.Annotations = map[string]string{annotationCopy: "true"}
	bare := metav1.ObjectMeta{Name: "bare"}
	tombstone := toolscache.DeletedFinalStateUnknown{Key: "shop/web"}
	status := appsv1.DeploymentStatus{
		ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 1, UnavailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: "False", Reason: "MinimumReplicasUnavailable", Message: "none"},
			{Type: appsv1.DeploymentReplicaFailure, Status: "True", Reason: "FailedCreate", Message: "quota"},
		},
	}

	for _, tt := range []struct {
		reason     string
		object     any
		metadata   metav1.ObjectMeta
		deployment *appsv1.Deployment
	}{
		{"what engine and health read stays", &metav1.PartialObjectMetadata{ObjectMeta: *meta.DeepCopy()}, kept, nil},
		{"of a Deployment the replicas and the status too, but no environment",
			&appsv1.Deployment{ObjectMeta: *meta.DeepCopy(), Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2), ProgressDeadlineSeconds: ptr.To[int32](60), Paused: true}, Status: status},
			kept, &appsv1.Deployment{ObjectMeta: kept, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2), ProgressDeadlineSeconds: ptr.To[int32](60)}, Status: status}},
		{"what a controller made of ours is a copy", &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", Generation: 3, Finalizers: []string{"f"},
			Labels: map[string]string{v1.LabelApp: "web", v1.LabelMember: "eu-1"}, OwnerReferences: []metav1.OwnerReference{{Name: "x"}}}}, copied, nil},
		{"nothing is made up", &metav1.PartialObjectMetadata{ObjectMeta: bare}, bare, nil},
	} {
		got, err := slim(tt.object)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := got.(*record)
		if !ok {
			t.Fatalf("%s: %T", tt.reason, got)
		}
		if diff := cmp.Diff(tt.metadata, *r.metadata(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		if tt.deployment != nil {
			if diff := cmp.Diff(tt.deployment, r.asDeployment()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		}
		if again, err := slim(r); err != nil || again != any(r) {
			t.Errorf("%s: a record changes to %+v, %v", tt.reason, again, err)
		}
		if r.GetObjectMeta().GetName() != r.name || r.GetObjectMeta().GetNamespace() != r.namespace || r.GetObjectMeta().GetResourceVersion() != r.version {
			t.Errorf("%s: an informer takes it for another object: %+v", tt.reason, r.GetObjectMeta())
		}
	}
	if got, err := slim(tombstone); err != nil || got != any(tombstone) {
		t.Errorf("a tombstone becomes %+v, %v", got, err)
	}
}

// TestMemoryIsBounded: what an app has no more is forgotten, with or without a
// removal that finds it, and so is the app.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(nil)
	service, deployment := made(t, "Service", "web", "1"), made(t, "Deployment", "web", "1")
	other := made(t, "Deployment", "api", "1")
	learn := func(app types.UID, manifests ...manifest.Manifest) {
		m.keep(app, manifests)
		m.setPatience(app, &patience{})
		for _, applied := range manifests {
			m.wrote(applied, applied.Raw, &metav1.PartialObjectMetadata{})
			m.setClean(applied, "tree")
			m.setDescribed(applied, "1", found{message: "changed"})
			m.corrected(applied, "changed", "", time.Now())
			m.setForeign(keyOf(applied), true)
			m.setTaking(keyOf(applied), &taking{})
			m.setCompared(applied, "1", []string{"/spec"}, time.Now())
		}
	}
	sizes := func() []int {
		return []int{len(m.written), len(m.clean), len(m.baseline), len(m.drift), len(m.fights), len(m.foreign), len(m.taking), len(m.compared)}
	}
	expect := func(reason string, objects, apps int) {
		t.Helper()
		if diff := cmp.Diff(slices.Repeat([]int{objects}, len(sizes())), sizes()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
		if len(m.patience) != apps || len(m.apps) != apps {
			t.Errorf("%s: patience with %d and objects of %d apps, want %d", reason, len(m.patience), len(m.apps), apps)
		}
	}
	learn("uid-1", service, deployment)
	learn("uid-2", other)
	expect("all are there", 3, 2)
	learn("uid-1", deployment)
	expect("the Service is no longer wanted", 2, 2)
	m.forget("uid-1")
	expect("the app is removed", 1, 1)
	m.forget("uid-2")
	expect("all are removed", 0, 0)
}

// Two things that differ are compared less and less often, until one changes.
func TestComparisonsBackOff(t *testing.T) {
	m, applied, now := newMemory(nil), made(t, "Deployment", "web", "1"), time.Now()
	var waits []time.Duration
	for range 7 {
		m.setCompared(applied, "7", []string{"/spec/x"}, now)
		c, again := m.comparisonOf(applied, "7", now)
		if !again || len(c.differing) != 1 {
			t.Fatalf("%+v, %v; want what differed", c, again)
		}
		waits, now = append(waits, c.next.Sub(now)), c.next
		if _, again := m.comparisonOf(applied, "7", now); again {
			t.Fatal("it is not compared again when that is due")
		}
	}
	minute := time.Minute
	if diff := cmp.Diff([]time.Duration{minute / 2, minute, 2 * minute, 4 * minute, 8 * minute, 10 * minute, 10 * minute}, waits); diff != "" {
		t.Errorf("the waits (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		reason, version string
		applied         manifest.Manifest
	}{
		{"the object has changed", "8", applied},
		{"other content is wanted", "7", made(t, "Deployment", "web", "2")},
	} {
		if _, again := m.comparisonOf(tt.applied, tt.version, now.Add(-time.Second)); again {
			t.Errorf("%s: it is not compared", tt.reason)
		}
	}
	m.setCompared(applied, "8", nil, now)
	if c, _ := m.comparisonOf(applied, "8", now); c.every != compareFirst {
		t.Errorf("after a change it waits for %s, want %s", c.every, compareFirst)
	}
}

// A manifest without all of the content that its hash is of says nothing about
// whether an object has it.
func TestPartialManifestIsNoProof(t *testing.T) {
	m := newMemory(nil)
	secret := made(t, "ConfigMap", "web", "1")
	secret.Partial = true
	m.setClean(secret, "tree")
	secret.Partial = false
	if m.isClean(secret, "tree") {
		t.Error("what was compared with a part of the content passes for all of it")
	}
	m.setClean(secret, "tree")
	secret.Partial = true
	if !m.isClean(secret, "tree") || m.isClean(secret, "other") {
		t.Error("an object that had all of the content has it as long as nothing of it changes")
	}
}
