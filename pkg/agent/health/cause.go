package health

import (
	"fmt"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pullBackOff is how the kubelet calls an image that it cannot pull and tries
// again.
const pullBackOff = "ImagePullBackOff"

// The kinds of causes, the most useful first.
const (
	causeWaiting = iota // a container cannot start
	causeCrash          // a container starts and ends
	causeUnscheduled
	causeFailed // the cluster has ended the pod
	causeNone
)

// crashLoop is how often a container has been started again when it counts as
// looping although it runs at this moment.
const crashLoop = 3

// finding is why one pod is not ready.
type finding struct {
	kind int
	text string
}

// Cause is one sentence for a person why pods are not ready: what keeps most of
// them from it, the most useful kind of cause first, and else the newest warning
// about one of them. Empty if nothing is known or all are ready.
//
// The sentence stays the same while the cause does, so it names no pod, and it
// has nothing that a container printed: "2 of 3 pods: ImagePullBackOff:
// container web: ...". Pods being deleted and finished ones are not looked at.
func Cause(pods []corev1.Pod, events []corev1.Event) string {
	count := map[finding]int{}
	var running, ended int
	var unready []*corev1.Pod
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if pod.Status.Phase == corev1.PodFailed {
			ended++
		} else {
			running++
		}
		if isReady(pod) {
			continue
		}
		unready = append(unready, pod)
		if f := findingOf(pod); f.kind != causeNone {
			count[f]++
		}
	}
	if len(count) > 0 {
		f := mostUseful(count)
		of := running
		if f.kind == causeFailed {
			of += ended
		}
		return short(fmt.Sprintf("%d of %d pods: %s", count[f], of, f.text), causeRunes)
	}
	if e := newestWarning(unready, events); e != nil {
		return short(strings.TrimSuffix(e.Reason+": "+stable(withoutName(quotable(e), e.InvolvedObject.Name)), ": "), causeRunes)
	}
	return ""
}

// quotable is what may be said of an event: of a probe or a hook that failed the
// message goes on with what the container printed, unless the kubelet asked itself.
func quotable(e *corev1.Event) string {
	switch e.Reason {
	case "Unhealthy", "ProbeWarning", "FailedPostStartHook", "FailedPreStopHook":
		for _, end := range []string{"probe failed", "probe errored", "probe warning", "Hook failed", "hook failed"} {
			i := strings.Index(e.Message, end)
			if i < 0 {
				continue
			}
			i += len(end)
			for _, kubelet := range []string{`: Get "`, ": HTTP probe failed with statuscode: ", ": dial tcp "} {
				if strings.HasPrefix(e.Message[i:], kubelet) {
					return e.Message
				}
			}
			return e.Message[:i]
		}
		return ""
	}
	return e.Message
}

// mostUseful is by kind, then by the number of pods, then by text.
func mostUseful(count map[finding]int) finding {
	found := make([]finding, 0, len(count))
	for f := range count {
		found = append(found, f)
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i], found[j]
		if a.kind != b.kind {
			return a.kind < b.kind
		}
		if count[a] != count[b] {
			return count[a] > count[b]
		}
		return a.text < b.text
	})
	return found[0]
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// findingOf is the most useful cause that one pod has.
func findingOf(pod *corev1.Pod) finding {
	best := finding{kind: causeNone}
	// A failed pod has nothing to wait for; its containers say how it ended.
	consider := func(f finding) {
		if f.kind < best.kind {
			best = f
		}
	}
	for i := range pod.Status.InitContainerStatuses {
		consider(findingOfContainer(pod, "init container ", &pod.Status.InitContainerStatuses[i]))
	}
	for i := range pod.Status.ContainerStatuses {
		consider(findingOfContainer(pod, "container ", &pod.Status.ContainerStatuses[i]))
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "" {
			// What preemption could not do says nothing about what is missing.
			message, _, _ := strings.Cut(c.Message, " preemption:")
			consider(finding{causeUnscheduled, said(pod, c.Reason, message)})
		}
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		// The first sentence says why; those after it how much was used.
		message, _, _ := strings.Cut(pod.Status.Message, ". ")
		consider(finding{causeFailed, said(pod, pod.Status.Reason, message)})
	}
	return best
}

func findingOfContainer(pod *corev1.Pod, what string, s *corev1.ContainerStatus) finding {
	none := finding{kind: causeNone}
	what += s.Name
	waiting, ended := s.State.Waiting, s.State.Terminated
	if ended == nil {
		ended = s.LastTerminationState.Terminated
	}
	switch {
	case s.Ready:
		return none
	case waiting != nil && !starting(waiting.Reason) && waiting.Reason != "CrashLoopBackOff":
		reason, message := waiting.Reason, waiting.Message
		// The kubelet goes to and fro between the two.
		if reason == "ErrImagePull" {
			reason = pullBackOff
		}
		if _, pull, ok := strings.Cut(message, ": ErrImagePull: "); ok {
			message = pull
		}
		return finding{causeWaiting, said(pod, reason+": "+what, message)}
	case waiting != nil && waiting.Reason == "CrashLoopBackOff", s.RestartCount >= crashLoop && ended != nil:
		if ended == nil {
			return finding{causeCrash, "CrashLoopBackOff: " + what}
		}
		return finding{causeCrash, "CrashLoopBackOff: " + what + howEnded(ended)}
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		kind := causeCrash
		if pod.Status.Phase == corev1.PodFailed {
			kind = causeFailed
		}
		return finding{kind, what + howEnded(s.State.Terminated)}
	}
	return none
}

// starting: waiting as every container does for a while.
func starting(reason string) bool {
	return reason == "" || reason == "ContainerCreating" || reason == "PodInitializing"
}

// howEnded leaves out the termination message: it is what the container wrote.
func howEnded(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Signal != 0:
		return fmt.Sprintf(" ended with signal %d (%s)", t.Signal, orElse(t.Reason, "Error"))
	default:
		return fmt.Sprintf(" ended with exit code %d (%s)", t.ExitCode, orElse(t.Reason, "Error"))
	}
}

func said(pod *corev1.Pod, what, message string) string {
	message = strings.TrimSpace(stable(withoutName(message, pod.Name)))
	if message == "" {
		return what
	}
	return what + ": " + message
}

// withoutName takes the random name of a pod out of a message.
func withoutName(message, pod string) string {
	if pod == "" {
		return message
	}
	// A name that is followed by its namespace is taken out by stable.
	return strings.ReplaceAll(strings.ReplaceAll(message, `"`+pod+`"`, "the pod"), pod+" ", "the pod ")
}

// newestWarning is the newest warning about one of the pods; of several at the
// same time the first by text.
func newestWarning(pods []*corev1.Pod, events []corev1.Event) *corev1.Event {
	var newest *corev1.Event
	for i := range events {
		e := &events[i]
		if e.Type != corev1.EventTypeWarning || !concerns(e, pods) {
			continue
		}
		if newest == nil || timeOf(e).After(timeOf(newest)) ||
			timeOf(e).Equal(timeOf(newest)) && e.Reason+e.Message < newest.Reason+newest.Message {
			newest = e
		}
	}
	return newest
}

func concerns(e *corev1.Event, pods []*corev1.Pod) bool {
	o := e.InvolvedObject
	if o.Kind != "Pod" {
		return false
	}
	for _, p := range pods {
		if o.Name == p.Name && o.Namespace == p.Namespace && (o.UID == "" || o.UID == p.UID) {
			return true
		}
	}
	return false
}

// timeOf is when an event was last seen. Which of its times is set depends on
// the version of the API and of the client that wrote it.
func timeOf(e *corev1.Event) time.Time {
	if e.Series != nil && !e.Series.LastObservedTime.IsZero() {
		return e.Series.LastObservedTime.Time
	}
	for _, t := range []metav1.Time{e.LastTimestamp, metav1.Time(e.EventTime), e.FirstTimestamp, e.CreationTimestamp} {
		if !t.IsZero() {
			return t.Time
		}
	}
	return time.Time{}
}
