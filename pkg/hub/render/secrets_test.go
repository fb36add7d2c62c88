package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestSecrets(t *testing.T) {
	got, err := secretsOf(input(t, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	var want []SecretCopy
	for _, source := range []string{"azure", "both", "csi", "from", "init", "key", "opt", "patched", "projected", "pull", "sidecar", "volume"} {
		want = append(want, SecretCopy{Source: source, Name: "web." + source, Optional: source == "opt"})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if none, err := secretsOf(input(t, "plain")); err != nil || len(none) != 0 {
		t.Errorf("%v (%v), the pods refer to none", none, err)
	}
}

// TestFrames: for each Secret that is copied there is a manifest with its name
// and no content, and the pods refer to nothing but those and the member's own.
func TestFrames(t *testing.T) {
	in := input(t, "secrets")
	secrets, err := secretsOf(in)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"local": true}
	for _, s := range secrets {
		known[s.Name] = true
	}
	frames := 0
	for _, m := range render(t, in) {
		if !m.IsSecret() {
			continue
		}
		frames++
		var s corev1.Secret
		if err := decodeStrictly(m.Raw, &s); err != nil {
			t.Fatal(err)
		}
		if !known[s.Name] || s.Data != nil || s.StringData != nil || s.Type != "" {
			t.Errorf("%s: %s", m, m.Raw)
		}
	}
	if frames != len(secrets) {
		t.Errorf("%d frames for %d Secrets", frames, len(secrets))
	}
	pods := decoded[appsv1.Deployment](t, in, "Deployment").Spec.Template.Spec
	refs := secretRefs(&pods)
	if len(refs) < 15 {
		t.Errorf("only %d references are found", len(refs))
	}
	for _, ref := range refs {
		if !known[*ref.name] {
			t.Errorf("the pods refer to %s, which is nowhere", *ref.name)
		}
	}
}

// TestEveryVolumeWithASecret: whatever kind of volume names a Secret, it is found.
func TestEveryVolumeWithASecret(t *testing.T) {
	ref := func(name string) *corev1.LocalObjectReference { return &corev1.LocalObjectReference{Name: name} }
	pod := corev1.PodSpec{}
	for _, source := range []corev1.VolumeSource{
		{Secret: &corev1.SecretVolumeSource{SecretName: "secret"}},
		{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: *ref("projected")}}}}},
		{CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: ref("csi")}},
		{AzureFile: &corev1.AzureFileVolumeSource{SecretName: "azure"}},
		{CephFS: &corev1.CephFSVolumeSource{SecretRef: ref("cephfs")}},
		{Cinder: &corev1.CinderVolumeSource{SecretRef: ref("cinder")}},
		{FlexVolume: &corev1.FlexVolumeSource{SecretRef: ref("flex")}},
		{RBD: &corev1.RBDVolumeSource{SecretRef: ref("rbd")}},
		{ScaleIO: &corev1.ScaleIOVolumeSource{SecretRef: ref("scaleio")}},
		{ISCSI: &corev1.ISCSIVolumeSource{SecretRef: ref("iscsi")}},
		{StorageOS: &corev1.StorageOSVolumeSource{SecretRef: ref("storageos")}},
		{CSI: &corev1.CSIVolumeSource{}}, {EmptyDir: &corev1.EmptyDirVolumeSource{}},
	} {
		pod.Volumes = append(pod.Volumes, corev1.Volume{VolumeSource: source})
	}
	var got []string
	for _, r := range secretRefs(&pod) {
		got = append(got, *r.name)
	}
	want := []string{"secret", "projected", "csi", "azure", "cephfs", "cinder", "flex", "rbd", "scaleio", "iscsi", "storageos"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func secretsOf(in Input) ([]SecretCopy, error) {
	out, err := Render(in)
	return out.Secrets, err
}
