package restore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

// memory is a store whose answers a test chooses.
type memory struct {
	mu      sync.Mutex
	stored  *corev1.ConfigMap
	cluster types.UID
	version string
	// requests counts, errs are given to the next writes.
	reads, writes, lists int
	errs                 []error
	// reading is called in each read, when what is returned has been chosen.
	reading func()
}

func newMemory(data map[string]string) *memory {
	return &memory{stored: configMap(data, nil), cluster: "here", version: "100"}
}

func (m *memory) Read(context.Context) (*corev1.ConfigMap, error) {
	m.mu.Lock()
	m.reads++
	stored, reading := m.stored.DeepCopy(), m.reading
	m.mu.Unlock()
	if reading != nil {
		reading()
	}
	return stored, nil
}

func (m *memory) Write(_ context.Context, c *corev1.ConfigMap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if len(m.errs) > 0 {
		err := m.errs[0]
		m.errs = m.errs[1:]
		return err
	}
	if c.ResourceVersion != m.stored.ResourceVersion {
		return conflict
	}
	m.store(func(is *corev1.ConfigMap) { is.Data, is.Annotations = c.Data, c.Annotations })
	return nil
}

func (m *memory) store(change func(*corev1.ConfigMap)) {
	m.stored = m.stored.DeepCopy()
	change(m.stored)
	version, _ := strconv.Atoi(m.stored.ResourceVersion)
	m.stored.ResourceVersion = strconv.Itoa(version + 1)
}

// annotate is a person who releases the hub.
func (m *memory) annotate() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(func(c *corev1.ConfigMap) { c.Annotations = map[string]string{v1.AnnotationRelease: "true"} })
}

func (m *memory) Cluster(context.Context) (types.UID, error) { return m.cluster, nil }

func (m *memory) Version(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	return m.version, nil
}

func (m *memory) data() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored.Data
}

var conflict = apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, v1.HubIdentity, errors.New("changed"))

// lead runs a guard as a leader does, until the test ends.
func lead(t *testing.T, m *memory) *Guard {
	t.Helper()
	g := New(m, "hub", logr.Discard())
	if err := g.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Start(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
	synctest.Wait()
	return g
}

func passes(n int) {
	for range n {
		time.Sleep(poll)
		synctest.Wait()
	}
}

// TestHoldAndRelease follows a hub through a hold.
func TestHoldAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(map[string]string{"hubID": "h", "clusterUID": "here", "epoch": "2"})
		g := lead(t, m)
		var told []bool
		g.OnChange(func() { _, held := g.Held(); told = append(told, held) })
		passes(5)
		if m.reads != 1 || m.writes != 0 {
			t.Errorf("a hub that is not held reads once and writes nothing: %d reads, %d writes", m.reads, m.writes)
		}

		m.errs = []error{conflict, errors.New("no route")}
		g.Hold(t.Context(), "Deployment shop/web is newer")
		if text, held := g.Held(); !held || text == "" || !slices.Equal(told, []bool{true}) {
			t.Errorf("held %v %q, told %v: a hold counts before it is recorded", held, text, told)
		}
		g.Hold(t.Context(), "another")
		first, _ := g.Held()
		passes(3)
		if m.data()["held"] != first || m.data()["epoch"] != "2" {
			t.Errorf("recorded after failures: %v", m.data())
		}
		if len(told) != 1 {
			t.Errorf("the second evidence changes nothing: told %v", told)
		}
		writes := m.writes
		passes(10)
		if m.writes != writes {
			t.Errorf("a hold that is recorded was written %d times more", m.writes-writes)
		}

		m.errs = []error{conflict}
		m.annotate()
		passes(2)
		if _, held := g.Held(); held || g.Epoch() != 3 || !slices.Equal(told, []bool{true, false}) {
			t.Errorf("released: held %v, epoch %d, told %v", held, g.Epoch(), told)
		}
		if data := m.data(); data["held"] != "" || data["epoch"] != "3" || data["hubID"] != "h" || m.stored.Annotations[v1.AnnotationRelease] != "" {
			t.Errorf("after the release: %v %v", data, m.stored.Annotations)
		}
		reads := m.reads
		passes(5)
		if m.reads != reads {
			t.Errorf("a released hub is read %d times more", m.reads-reads)
		}

		m.mu.Lock()
		m.store(func(c *corev1.ConfigMap) { c.Data["held"] = "by another leader" })
		m.mu.Unlock()
		if err := g.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text, _ := g.Held(); text != "by another leader" {
			t.Errorf("what was on record once does not hide what is now: %q", text)
		}
	})
}

func TestOldAnnotationReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(map[string]string{"clusterUID": "here"})
		g := lead(t, m)
		m.annotate()
		g.Hold(t.Context(), "evidence")
		passes(3)
		if _, held := g.Held(); !held || g.Epoch() != 0 {
			t.Error("an annotation that was there before the hold has released it")
		}
		m.annotate()
		passes(1)
		if _, held := g.Held(); held || g.Epoch() != 1 {
			t.Error("one that came after it has not")
		}
	})
}

func TestFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(map[string]string{"hubID": "h"})
		m.errs = []error{conflict}
		g := lead(t, m)
		if _, held := g.Held(); held || m.data()["clusterUID"] != "here" || g.Epoch() != 0 {
			t.Errorf("held %v, recorded %v", held, m.data())
		}
	})
}

// TestAnotherCluster: a hub that was restored into another cluster holds, and is
// at home there once it is released.
func TestAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(map[string]string{"clusterUID": "there", "epoch": "1"})
		g := lead(t, m)
		g.SawEpoch(3)
		if _, held := g.Held(); !held || m.data()["held"] == "" {
			t.Fatalf("held %v, recorded %v", held, m.data())
		}
		m.annotate()
		passes(1)
		if _, held := g.Held(); held || m.data()["clusterUID"] != "here" || g.Epoch() != 4 {
			t.Errorf("held %v, epoch %d, recorded %v", held, g.Epoch(), m.data())
		}
	})
}

// TestHoldOutlivesTheLeader: the next leader loads what this one recorded, also
// that it was released meanwhile.
func TestHoldOutlivesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(map[string]string{"clusterUID": "here"})
		first := lead(t, m)
		first.Hold(t.Context(), "evidence")
		passes(1)
		second := New(m, "hub", logr.Discard())
		for _, want := range []bool{true, false} {
			if err := second.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, held := second.Held(); held != want || second.Epoch() != first.Epoch() {
				t.Errorf("held %v, want %v; epoch %d", held, want, second.Epoch())
			}
			m.annotate()
			passes(1)
		}
	})
}

// TestLoadDoesNotForgetAHold: what is found while the identity is being read is
// not overwritten by what was read.
func TestLoadDoesNotForgetAHold(t *testing.T) {
	for _, recorded := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(map[string]string{"clusterUID": "here"})
			g := New(m, "hub", logr.Discard())
			if recorded {
				g = lead(t, m)
			}
			m.mu.Lock()
			m.reading = func() {
				m.mu.Lock()
				m.reading = nil
				m.mu.Unlock()
				g.Hold(t.Context(), "evidence")
				if recorded {
					passes(1)
				}
			}
			m.mu.Unlock()
			if err := g.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, held := g.Held(); !held {
				t.Errorf("a hold that began while the identity was read is lost (recorded meanwhile: %v)", recorded)
			}
		})
	}
}

func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		reason, seen, stamped, version string
		want                           bool
		lists                          int
	}{
		{"older than what was seen", "100", "99", "100", false, 0},
		{"what was seen", "100", "100", "100", false, 0},
		{"our cache is behind, the API server is not", "100", "150", "150", false, 1},
		{"numbers are compared, not strings", "1000", "999", "1000", false, 0},
		{"nothing was seen yet", "", "150", "200", false, 1},
		{"the API server has not got that far", "100", "151", "150", true, 1},
		{"no stamp says nothing", "100", "", "150", false, 0},
		{"nor does one that cannot be read", "100", "x", "150", false, 0},
	} {
		m := newMemory(nil)
		m.version = tt.version
		g := New(m, "hub", logr.Discard())
		g.Saw(tt.seen)
		got, err := g.Ahead(t.Context(), tt.stamped)
		if err != nil || got != tt.want || m.lists != tt.lists {
			t.Errorf("%s: ahead %v (%v) after %d requests, want %v after %d", tt.reason, got, err, m.lists, tt.want, tt.lists)
		}
		if again, _ := g.Ahead(t.Context(), tt.stamped); again != tt.want {
			t.Errorf("%s: the second answer is another", tt.reason)
		}
		if !tt.want && m.lists != tt.lists {
			t.Errorf("%s: what was learned is remembered", tt.reason)
		}
	}
	g := New(newMemory(nil), "hub", logr.Discard())
	g.Saw("200")
	g.Saw("30")
	g.Saw("garbage")
	if g.seen != "200" {
		t.Errorf("the highest version seen is %s", g.seen)
	}
}

// TestHistory: a replica whose API server goes back in time ends, and holds the
// hub first if it leads.
func TestHistory(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		leads   bool
		seen    string
		version string
		ends    bool
	}{
		{"it goes on as ever", true, "100", "101", false},
		{"nothing happens at all", true, "100", "100", false},
		{"it goes back", true, "100", "99", true},
		{"it goes back while another one leads", false, "100", "99", true},
		{"the cache had seen more than was asked for", true, "150", "120", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(map[string]string{"clusterUID": "here"})
			g := lead(t, m)
			h := &history{guard: g, elected: make(chan struct{})}
			if tt.leads {
				elected := make(chan struct{})
				close(elected)
				h.elected = elected
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- h.Start(ctx) }()
			synctest.Wait()
			g.Saw(tt.seen)
			m.mu.Lock()
			m.version = tt.version
			m.mu.Unlock()
			time.Sleep(historyPoll)
			synctest.Wait()
			_, held := g.Held()
			if recorded := m.data()["held"] != ""; held != (tt.ends && tt.leads) || recorded != held {
				t.Errorf("%s: held %v, recorded %v", tt.reason, held, recorded)
			}
			stop()
			if err := <-ended; errors.Is(err, errWentBack) != tt.ends {
				t.Errorf("%s: it ended with %v", tt.reason, err)
			}
		})
	}
}
