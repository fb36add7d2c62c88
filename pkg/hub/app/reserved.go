package app

import (
	"sync"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

const (
	// reservedFor is for how long pods count that a member was just given: by then what it
	// reports of its capacity has them in it. Members report every half minute at the most.
	reservedFor = 80 * time.Second
	// reservedSlot is how exact that is.
	reservedSlot  = 10 * time.Second
	reservedSlots = int(reservedFor/reservedSlot) + 1
)

// reserved is what members were just given and cannot have reported yet. Without it all
// apps that are placed at once would go where there is room for one of them. After a start
// nothing is reserved. The zero value is ready for use; it is safe for concurrent use.
type reserved struct {
	mu sync.Mutex
	// slots are the amounts of a time each, by member; the time of the newest is now.
	slots  [reservedSlots]map[string]v1.Amounts
	newest int64
	// sum is that of all slots; nil after a change. Passes share it: it is never changed.
	sum map[string]v1.Amounts
}

// add reserves what rows ask for more than those before.
func (r *reserved) add(before, after []v1.PlacementRow, pod placement.Pod, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := r.turn(now)
	for i := range after {
		row := &after[i]
		for len(before) > 0 && before[0].Cluster < row.Cluster {
			before = before[1:]
		}
		more := pods(row)
		if len(before) > 0 && before[0].Cluster == row.Cluster {
			more -= pods(&before[0])
		}
		if more <= 0 {
			continue
		}
		if *slot == nil {
			*slot = map[string]v1.Amounts{}
		}
		(*slot)[row.Cluster] = plus((*slot)[row.Cluster], v1.Amounts{CPUMillis: more * pod.CPUMillis, MemoryMiB: more * pod.MemoryMiB, Pods: more})
		r.sum = nil
	}
}

// of is what is reserved on each member.
func (r *reserved) of(now time.Time) map[string]v1.Amounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if r.sum == nil {
		r.sum = map[string]v1.Amounts{}
		for _, slot := range r.slots {
			for member, amounts := range slot {
				r.sum[member] = plus(r.sum[member], amounts)
			}
		}
	}
	return r.sum
}

// turn forgets what is too old, and gives the slot of now.
func (r *reserved) turn(now time.Time) *map[string]v1.Amounts {
	at := now.UnixNano() / int64(reservedSlot)
	for ; r.newest < at; r.newest++ {
		if at-r.newest > int64(reservedSlots) {
			r.newest = at - int64(reservedSlots)
		}
		oldest := &r.slots[(r.newest+1)%int64(reservedSlots)]
		if *oldest != nil {
			*oldest, r.sum = nil, nil
		}
	}
	return &r.slots[r.newest%int64(reservedSlots)]
}

// pods are those that the member of a row is to run.
func pods(r *v1.PlacementRow) int64 {
	if !r.IsPlaced() {
		return 0
	}
	return int64(r.Replicas)
}

func plus(a, b v1.Amounts) v1.Amounts {
	return v1.Amounts{CPUMillis: a.CPUMillis + b.CPUMillis, MemoryMiB: a.MemoryMiB + b.MemoryMiB, Pods: a.Pods + b.Pods}
}
