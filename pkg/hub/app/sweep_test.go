package app

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}}
}

// TestSweep: many events make one sweep, none is lost, and users go first. The
// bubble ends only if what the sweep has started does.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		q := priorityqueue.New[reconcile.Request]("sweep")
		defer q.ShutDown()
		var mu sync.Mutex // for what follows
		lists, failing := 0, false
		var during func()
		every := newSweep(func(context.Context) ([]reconcile.Request, error) {
			mu.Lock()
			defer mu.Unlock()
			lists++
			if during != nil {
				during()
				during = nil
			}
			if failing {
				return nil, errors.New("not now")
			}
			return []reconcile.Request{request("a"), request("b"), request("c")}, nil
		})
		every.ask() // before anybody listens
		if err := every.Start(ctx, q); err != nil {
			t.Fatal(err)
		}
		take := func() (names []string) {
			for q.Len() > 0 {
				item, priority, _ := q.GetWithPriority()
				if (item.Name == "edited") == (priority == handler.LowPriority) {
					t.Errorf("%s has priority %d", item.Name, priority)
				}
				names = append(names, item.Name)
				q.Done(item)
				q.Forget(item)
			}
			return names
		}
		after := func(d time.Duration, what string, wantLists int, first string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			names := take()
			mu.Lock()
			defer mu.Unlock()
			if lists != wantLists || (first == "") != (len(names) == 0) || first != "" && names[0] != first {
				t.Errorf("%s: %d lists, want %d; enqueued %v", what, lists, wantLists, names)
			}
			lists = 0
		}
		set := func(fail bool, while func()) {
			mu.Lock()
			defer mu.Unlock()
			failing, during = fail, while
		}
		for range 1000 {
			every.ask()
		}
		after(sweepDelay-1, "others may come", 0, "")
		after(1, "a thousand events are one sweep", 1, "a")
		after(time.Hour, "nothing happened since", 0, "")

		every.ask()
		time.Sleep(sweepDelay / 2)
		every.ask()
		after(time.Hour, "both came before the list", 1, "a")

		set(false, every.ask)
		every.ask()
		after(sweepDelay, "one comes while the list is made", 1, "a")
		after(sweepDelay, "which may not show it", 1, "a")

		set(true, nil)
		every.ask()
		after(2*sweepDelay, "a list that fails is made again", 2, "")
		set(false, nil)
		after(sweepDelay, "no event is lost", 1, "a")

		every.ask()
		time.Sleep(sweepDelay)
		synctest.Wait()
		q.Add(request("edited"))
		after(0, "what users do goes first", 1, "edited")
	})
}
