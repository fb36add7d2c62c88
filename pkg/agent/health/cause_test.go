package health

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

const podUID = "0f6a3c1e-1111-2222-3333-444455556666"

// pod is a pod that runs and is not ready, changed.
func pod(suffix string, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-7d4b9c-" + suffix, Namespace: "shop", UID: types.UID(podUID)}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func has(s corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s.Name = "web"
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, s)
	}
}

func hasInit(s corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s.Name = "migrate"
		p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, s)
	}
}

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func ended(code int32, reason string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: "password=hunter2"}
}

func crashing(suffix string, code int32, reason, backoff string) corev1.Pod {
	s := waiting("CrashLoopBackOff", "back-off "+backoff+" restarting failed container=web pod=web-7d4b9c-"+suffix+"_shop("+podUID+")")
	s.LastTerminationState.Terminated = ended(code, reason)
	return pod(suffix, has(s))
}

func withCondition(status corev1.ConditionStatus, of corev1.PodConditionType, reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: of, Status: status, Reason: reason, Message: message})
	}
}

func phase(ph corev1.PodPhase, reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason, p.Status.Message = ph, reason, message }
}

func warning(suffix, reason, message string, minute int) corev1.Event {
	return corev1.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: message,
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-7d4b9c-" + suffix, UID: types.UID(podUID)},
		LastTimestamp:  metav1.NewTime(time.Date(2026, 5, 4, 12, minute, 0, 0, time.UTC))}
}

func TestCause(t *testing.T) {
	isReady := withCondition(corev1.ConditionTrue, corev1.PodReady, "", "")
	notPulled := "failed to pull and unpack image \"docker.io/library/web:1\": not found"
	unschedulable := withCondition(corev1.ConditionFalse, corev1.PodScheduled, "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found.")
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	looping := func(state corev1.ContainerState) corev1.Pod {
		return pod("a", has(corev1.ContainerStatus{State: state, RestartCount: 7, LastTerminationState: corev1.ContainerState{Terminated: ended(137, "OOMKilled")}}))
	}
	series := warning("a", "Old", "old", 1)
	series.Series = &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(time.Date(2026, 5, 4, 13, 0, 0, 0, time.UTC))}
	micro := warning("a", "Micro", "micro", 0)
	micro.LastTimestamp, micro.EventTime = metav1.Time{}, metav1.NewMicroTime(time.Date(2026, 5, 4, 14, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name, reason string
		pods         []corev1.Pod
		events       []corev1.Event
		want         string
	}{
		{"none", "nothing is known", nil, []corev1.Event{warning("a", "X", "x", 1)}, ""},
		{"ready", "nothing is wrong, whatever was", []corev1.Pod{pod("a", isReady)}, []corev1.Event{warning("a", "X", "x", 1)}, ""},
		{"starting", "every container does", []corev1.Pod{pod("a", has(waiting("ContainerCreating", ""))), pod("b", hasInit(waiting("PodInitializing", "")))}, nil, ""},
		{"pull", "the two reasons are one, whichever the kubelet is at", []corev1.Pod{
			pod("a", has(waiting("ErrImagePull", notPulled))), pod("b", has(waiting("ImagePullBackOff", `Back-off pulling image "web:1": ErrImagePull: `+notPulled))), pod("c", isReady),
		}, nil, "2 of 3 pods: ImagePullBackOff: container web: " + notPulled},
		{"config", "the name of what is missing", []corev1.Pod{pod("a", has(waiting("CreateContainerConfigError", `secret "db" not found`)))}, nil, `1 of 1 pods: CreateContainerConfigError: container web: secret "db" not found`},
		{"no message", "the reason alone", []corev1.Pod{pod("a", has(waiting("InvalidImageName", "")))}, nil, "1 of 1 pods: InvalidImageName: container web"},
		{"run", "without the container's ID", []corev1.Pod{pod("a", has(waiting("RunContainerError", `failed to start container "`+strings.Repeat("ab", 32)+`": exec: "/x": no such file`)))}, nil,
			`1 of 1 pods: RunContainerError: container web: failed to start container "…": exec: "/x": no such file`},
		{"digest", "what was asked for is no random name", []corev1.Pod{pod("a", has(waiting("ErrImagePull", "web@sha256:"+strings.Repeat("ab", 32))))}, nil,
			"1 of 1 pods: ImagePullBackOff: container web: web@sha256:" + strings.Repeat("ab", 32)},
		{"credentials in an address", "law 10", []corev1.Pod{pod("a", has(waiting("ErrImagePull", `Head "https://me:pw@reg.example.org/v2/web?token=abc": 401`)))}, nil,
			`1 of 1 pods: ImagePullBackOff: container web: Head "https://reg.example.org/v2/web": 401`},
		{"crash", "how it ended, not what it printed", []corev1.Pod{crashing("a", 1, "Error", "5m0s"), crashing("b", 1, "Error", "10s")}, nil, "2 of 2 pods: CrashLoopBackOff: container web ended with exit code 1 (Error)"},
		{"crash, running", "the text stays while it runs again for a moment", []corev1.Pod{looping(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})}, nil, "1 of 1 pods: CrashLoopBackOff: container web ended with exit code 137 (OOMKilled)"},
		{"crash, ended", "and when it has just ended", []corev1.Pod{looping(corev1.ContainerState{Terminated: ended(137, "OOMKilled")})}, nil, "1 of 1 pods: CrashLoopBackOff: container web ended with exit code 137 (OOMKilled)"},
		{"first crash", "no loop yet", []corev1.Pod{pod("a", has(corev1.ContainerStatus{State: corev1.ContainerState{Terminated: ended(2, "Error")}}))}, nil, "1 of 1 pods: container web ended with exit code 2 (Error)"},
		{"init", "an init container is named as such", []corev1.Pod{pod("a", hasInit(waiting("ErrImagePull", "no")), has(waiting("PodInitializing", "")))}, nil, "1 of 1 pods: ImagePullBackOff: init container migrate: no"},
		{"unschedulable", "without what preemption tried", []corev1.Pod{pod("a", unschedulable), pod("b", isReady)}, nil, "1 of 2 pods: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."},
		{"evicted", "the first sentence says why", []corev1.Pod{pod("a", phase(corev1.PodFailed, "Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 88Mi.")), pod("b", isReady)}, nil,
			"1 of 2 pods: Evicted: The node was low on resource: memory"},
		{"priority", "what cannot start, before crashes, before scheduling; others' counts are not in it", []corev1.Pod{
			pod("a", unschedulable), pod("b", unschedulable), pod("c", phase(corev1.PodFailed, "Evicted", "low")), crashing("d", 1, "Error", "10s"), pod("e", has(waiting("ErrImagePull", "no"))),
		}, nil, "1 of 4 pods: ImagePullBackOff: container web: no"},
		{"most pods", "of causes of a kind the most frequent", []corev1.Pod{crashing("a", 1, "Error", "10s"), crashing("b", 2, "Error", "10s"), crashing("c", 2, "Error", "10s")}, nil, "2 of 3 pods: CrashLoopBackOff: container web ended with exit code 2 (Error)"},
		{"leaving", "a pod that is being deleted tells nothing", []corev1.Pod{crashing("a", 1, "Error", "10s"), pod("b", deleted, has(waiting("ErrImagePull", "no")))}, nil, "1 of 1 pods: CrashLoopBackOff: container web ended with exit code 1 (Error)"},
		{"warning", "the newest of these pods", []corev1.Pod{pod("a"), pod("b", isReady)}, []corev1.Event{
			warning("a", "FailedMount", "old", 1), warning("b", "X", "of a ready pod", 9), warning("z", "X", "of another", 9),
			warning("a", "Unhealthy", `Readiness probe failed: Get "http://10.1.2.3:8080/healthz": dial tcp 10.1.2.3:8080: connect: connection refused`, 2),
		}, `Unhealthy: Readiness probe failed: Get "http://IP:8080/healthz": dial tcp IP:8080: connect: connection refused`},
		{"normal event", "no warning", []corev1.Pod{pod("a")}, []corev1.Event{func() corev1.Event { e := warning("a", "Pulled", "x", 1); e.Type = corev1.EventTypeNormal; return e }()}, ""},
		{"event's pod", "the name is taken out", []corev1.Pod{pod("a")}, []corev1.Event{warning("a", "BackOff", "Back-off restarting failed container web in pod web-7d4b9c-a_shop("+podUID+")", 1)}, "BackOff: Back-off restarting failed container web"},
		{"series", "its last time counts", []corev1.Pod{pod("a")}, []corev1.Event{series, warning("a", "New", "new", 30)}, "Old: old"},
		{"event time", "of the new API", []corev1.Pod{pod("a")}, []corev1.Event{micro, series}, "Micro: micro"},
		{"same time", "by text", []corev1.Pod{pod("a")}, []corev1.Event{warning("a", "B", "b", 1), warning("a", "A", "a", 1)}, "A: a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Cause(tt.pods, tt.events); got != tt.want {
				t.Errorf("%s:\n got %q\nwant %q", tt.reason, got, tt.want)
			}
		})
	}
}

// TestCauseIsStable: other names, backoffs and an other order are the same cause.
func TestCauseIsStable(t *testing.T) {
	name := rapid.StringMatching("[a-z0-9]{5}")
	backoff := rapid.SampledFrom([]string{"10s", "20s", "1m20s", "5m0s", "1h0m0s"})
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (string, string) {
			var pods []corev1.Pod
			var events []corev1.Event
			n := name.Draw(t, "name")
			b := backoff.Draw(t, "backoff")
			pods = append(pods, crashing(n, 1, "Error", b), crashing(n+"x", 2, "Error", b), pod(n+"y"))
			message := "Error: back-off " + b + ` restarting failed container=web pod=web-7d4b9c-` + n + "_shop(" + podUID + `), pods "web-7d4b9c-` + n + `" gone, read udp 10.0.0.` + rapid.StringMatching("[1-9]").Draw(t, "ip") + ":" + rapid.StringMatching("[1-9][0-9]{4}").Draw(t, "port") + "->10.96.0.10:53: i/o timeout"
			events = append(events, warning(n, "Sync", message, 1))
			pods = rapid.Permutation(pods).Draw(t, "order")
			return Cause(pods, events), Cause([]corev1.Pod{pod(n)}, events)
		}
		a1, a2 := draw()
		b1, b2 := draw()
		if a1 != b1 || a2 != b2 || a1 == "" || a2 == "" {
			t.Fatalf("the text changes although the cause does not:\n%s\n%s\n%s\n%s", a1, b1, a2, b2)
		}
	})
}

// TestAnyCause: whatever a cluster says fits into a status.
func TestAnyCause(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }), rapid.SampledFrom([]string{"ErrImagePull", "CrashLoopBackOff", strings.Repeat("é", 500)}))
	rapid.Check(t, func(t *rapid.T) {
		s := waiting(text.Draw(t, "reason"), text.Draw(t, "message"))
		s.RestartCount = rapid.Int32Range(0, 5).Draw(t, "restarts")
		if rapid.Bool().Draw(t, "ended") {
			s.LastTerminationState.Terminated = ended(rapid.Int32().Draw(t, "code"), text.Draw(t, "ended"))
		}
		p := pod("a", has(s), phase(rapid.SampledFrom([]corev1.PodPhase{corev1.PodFailed, corev1.PodPending, ""}).Draw(t, "phase"), text.Draw(t, "pod reason"), text.Draw(t, "pod message")))
		got := Cause([]corev1.Pod{p, {}}, []corev1.Event{warning("a", text.Draw(t, "event"), text.Draw(t, "says"), 1)})
		if utf8.RuneCountInString(got) > causeRunes || !utf8.ValidString(got) || strings.Contains(got, "hunter2") || strings.ContainsAny(got, "\n") {
			t.Fatalf("%q", got)
		}
	})
}

// TestCauseQuotesNoContainer: an exec probe and a hook print what they like.
func TestCauseQuotesNoContainer(t *testing.T) {
	const secret = "postgres://app:hunter2@db"
	for reason, message := range map[string]string{
		"Unhealthy":           "Readiness probe failed: cannot reach " + secret,
		"ProbeWarning":        "Liveness probe warning: " + secret,
		"FailedPostStartHook": `Exec lifecycle hook ([/start]) for Container "web" in Pod "a" failed - error: command exited with 1: , message: "` + secret + `"`,
	} {
		unready := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		event := corev1.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: message, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "a", UID: "1"}}
		got := Cause([]corev1.Pod{unready}, []corev1.Event{event})
		if strings.Contains(got, "hunter2") || strings.Contains(got, "postgres") {
			t.Errorf("%s: %q quotes what the container printed", reason, got)
		}
		if !strings.HasPrefix(got, reason) {
			t.Errorf("%s: the cause is %q, want at least the reason", reason, got)
		}
	}
}
