package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// statusPatch is the JSON patch that turns the status of base into next, with the
// rows that differ and not all thousand. It sets the resourceVersion to base's: an
// API server whose object has another answers with a conflict, as for an update. A
// merge patch of next would not do: it keeps fields that next no longer has, and
// replaces lists as a whole.
func statusPatch(base *v1.MyApp, next *v1.MyAppStatus) ([]byte, error) {
	// A test would be answered with 422, which is no conflict. So is a row that the
	// object does not have, if somebody else has written fewer; it is an error then,
	// and tried again with what the cache shows.
	ops := []operation{{"replace", "/metadata/resourceVersion", base.ResourceVersion}}
	if len(base.Status.Conditions) == 0 { // maybe there is no status to change
		ops = append(ops, operation{"add", "/status", next})
	} else {
		ops = append(ops, changes(&base.Status, next)...)
	}
	data, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	return data, nil
}

// sameStatus is true if there is nothing to write.
func sameStatus(old, next *v1.MyAppStatus) bool { return len(changes(old, next)) == 0 }

// changes are the operations that turn a status that was written into the next.
func changes(old, next *v1.MyAppStatus) (ops []operation) {
	field := func(name string, same, empty bool, value func() any) {
		switch path := "/status/" + name; {
		case same:
		case empty:
			ops = append(ops, operation{Op: "remove", Path: path})
		default:
			ops = append(ops, operation{"add", path, value()}) // which replaces
		}
	}
	field("observedGeneration", old.ObservedGeneration == next.ObservedGeneration, next.ObservedGeneration == 0, func() any { return next.ObservedGeneration })
	field("revision", old.Revision == next.Revision, next.Revision == "", func() any { return next.Revision })
	field("summary", sameSummary(old.Summary, next.Summary), next.Summary == nil, func() any { return next.Summary })
	field("replicas", old.Replicas == next.Replicas, false, func() any { return next.Replicas })
	field("selector", old.Selector == next.Selector, next.Selector == "", func() any { return next.Selector })
	field("rollout", rollout.SameStatus(old.Rollout, next.Rollout), next.Rollout == nil, func() any { return next.Rollout })
	field("departures", slices.EqualFunc(old.Departures, next.Departures, sameDeparture), len(next.Departures) == 0, func() any { return next.Departures })
	field("conditions", slices.EqualFunc(old.Conditions, next.Conditions, sameCondition), len(next.Conditions) == 0, func() any { return next.Conditions })

	rows, whole := changedRows(old.Placements, next.Placements)
	field("placements", !whole, len(next.Placements) == 0, func() any { return next.Placements })
	for _, i := range rows {
		ops = append(ops, operation{"replace", "/status/placements/" + strconv.Itoa(i), &next.Placements[i]})
	}
	return ops
}

// changedRows are the places of rows that differ. whole is true if the list is to
// be written as one: the rows are about other members, or most of them differ.
func changedRows(old, next []v1.PlacementRow) (rows []int, whole bool) {
	if len(old) != len(next) {
		return nil, true
	}
	if len(old) == 0 || &old[0] == &next[0] {
		return nil, false
	}
	for i := range next {
		if old[i].Cluster != next[i].Cluster {
			return nil, true
		}
		if !sameRow(&old[i], &next[i]) {
			rows = append(rows, i)
		}
	}
	if len(rows) > len(next)/2 {
		return nil, true
	}
	return rows, false
}

func sameRow(a, b *v1.PlacementRow) bool {
	if *a == *b {
		return true
	}
	// A time can be equal and yet look different.
	c := *a
	c.LastTransitionTime, c.LastReportTime, c.RevisionTime = b.LastTransitionTime, b.LastReportTime, b.RevisionTime
	return c == *b && a.LastTransitionTime.Equal(&b.LastTransitionTime) && a.LastReportTime.Equal(b.LastReportTime) && a.RevisionTime.Equal(b.RevisionTime)
}

func sameDeparture(a, b v1.Departure) bool { return a.Cluster == b.Cluster && a.Time.Equal(&b.Time) }

func sameCondition(a, b metav1.Condition) bool {
	same := a.LastTransitionTime.Equal(&b.LastTransitionTime)
	a.LastTransitionTime = b.LastTransitionTime
	return same && a == b
}

func sameSummary(a, b *v1.Summary) bool {
	return a == b || a != nil && b != nil && *a == *b
}
