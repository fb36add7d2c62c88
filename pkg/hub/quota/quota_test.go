package quota

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

func allowed(hard map[corev1.ResourceName]string) []v1.PlacementQuota {
	q := v1.PlacementQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: v1.PlacementQuotaSpec{Hard: corev1.ResourceList{}}}
	for name, most := range hard {
		q.Spec.Hard[name] = resource.MustParse(most)
	}
	return []v1.PlacementQuota{q}
}

func on(clusters string, replicas, cpu, memory int64) Usage {
	u := Usage{Clusters: map[string]bool{}, Replicas: replicas, CPU: cpu, Memory: memory}
	for _, name := range strings.Fields(clusters) {
		u.Clusters[name] = true
	}
	return u
}

func TestExceeded(t *testing.T) {
	const mi = 1 << 20
	for name, tt := range map[string]struct {
		hard               map[corev1.ResourceName]string
		others, has, wants Usage
		says               string // empty: it is allowed
	}{
		"nothing is bounded":           {nil, on("a", 1, 0, 0), on("", 0, 0, 0), on("a b c", 100, 0, 0), ""},
		"exactly as many":              {map[corev1.ResourceName]string{"replicas": "5"}, on("a", 3, 0, 0), on("", 0, 0, 0), on("a", 2, 0, 0), ""},
		"one too many":                 {map[corev1.ResourceName]string{"replicas": "5"}, on("a", 3, 0, 0), on("", 0, 0, 0), on("a", 3, 0, 0), "replicas: with this app 6, 3 without it, of 5"},
		"a member that others have":    {map[corev1.ResourceName]string{"clusters": "1"}, on("a", 3, 0, 0), on("", 0, 0, 0), on("a", 2, 0, 0), ""},
		"a member more":                {map[corev1.ResourceName]string{"clusters": "1"}, on("a", 3, 0, 0), on("", 0, 0, 0), on("b", 2, 0, 0), "clusters: with this app 2, 1 without it, of 1"},
		"thousandths of a core":        {map[corev1.ResourceName]string{"requests.cpu": "1500m"}, on("a", 1, 1000, 0), on("", 0, 0, 0), on("a", 1, 501, 0), "requests.cpu: with this app 1501m, 1 without it, of 1500m"},
		"memory":                       {map[corev1.ResourceName]string{"requests.memory": "1Gi"}, on("a", 1, 0, 1000*mi), on("", 0, 0, 0), on("a", 1, 0, 25*mi), "requests.memory: with this app 1025Mi, 1000Mi without it, of 1Gi"},
		"more than allowed, but less":  {map[corev1.ResourceName]string{"replicas": "1"}, on("a", 3, 0, 0), on("a", 9, 0, 0), on("a", 8, 0, 0), ""},
		"the same as before":           {map[corev1.ResourceName]string{"replicas": "1"}, on("a", 3, 0, 0), on("a", 9, 0, 0), on("a", 9, 0, 0), ""},
		"less of one, more of another": {map[corev1.ResourceName]string{"replicas": "1", "clusters": "2"}, on("a", 3, 0, 0), on("a", 9, 0, 0), on("a b c", 3, 0, 0), "clusters"},
	} {
		got := Exceeded(allowed(tt.hard), tt.others, tt.has, tt.wants)
		if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) || got != "" && !strings.Contains(got, "PlacementQuota team") {
			t.Errorf("%s: %q, wanted %q", name, got, tt.says)
		}
	}
}

func TestOf(t *testing.T) {
	rows := []v1.PlacementRow{
		{Cluster: "a", Replicas: 2, State: v1.PlacementReady}, {Cluster: "b", Replicas: 3, State: v1.PlacementRemoving},
		{Cluster: "c", Replicas: 9, State: v1.PlacementStray},
	}
	requests := func(member string) Requests {
		return map[string]Requests{"a": {CPU: 100, Memory: 10}, "b": {CPU: 200, Memory: 20}}[member]
	}
	if got, want := fmt.Sprint(Of(rows, requests, 0)), fmt.Sprint(on("a b", 5, 800, 80)); got != want {
		t.Errorf("%s, wanted %s", got, want)
	}
	if got := Of(rows, requests, 4); got.Replicas != 8 {
		t.Errorf("with an autoscaler: %d pods", got.Replicas)
	}
}

// However many decide at once, together they never have more than the quota allows, and
// what it allows is used.
func TestLedgerIsExact(t *testing.T) {
	const most, apps = 50, 40
	quotas := allowed(map[corev1.ResourceName]string{"replicas": fmt.Sprint(most)})
	var ledger Ledger
	var all []App
	for i := range apps {
		all = append(all, App{UID: types.UID(fmt.Sprint(i)), Has: func() Usage { return Usage{} }})
	}
	var mu sync.Mutex
	has := map[types.UID]Usage{}
	var deciding sync.WaitGroup
	for i := range apps {
		deciding.Go(func() {
			uid := all[i].UID
			dice := rand.New(rand.NewPCG(uint64(i), 1))
			for range 50 {
				wants := on("a", dice.Int64N(5), 0, 0)
				others, version := ledger.Others("shop", uid, all)
				mu.Lock()
				mine := has[uid]
				mu.Unlock()
				if Exceeded(quotas, others, mine, wants) != "" || !ledger.Claim("shop", uid, wants, version) {
					continue
				}
				mu.Lock()
				has[uid] = wants
				mu.Unlock()
				if sum, _ := ledger.Others("shop", "", all); sum.Replicas > most {
					t.Errorf("%d pods of %d", sum.Replicas, most)
				}
			}
		})
	}
	deciding.Wait()
	sum, _ := ledger.Others("shop", "", all)
	if sum.Replicas > most || sum.Replicas < most/2 {
		t.Errorf("in the end there are %d pods of %d", sum.Replicas, most)
	}
	if rest, _ := ledger.Others("shop", "", all[:1]); rest.Replicas > 4 {
		t.Errorf("apps that are gone still have %d pods", rest.Replicas)
	}
}
