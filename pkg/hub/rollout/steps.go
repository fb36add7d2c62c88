package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// member is one that is to run the app.
type member struct {
	name   string
	labels labels.Set
	// row is what is known of it; nil if nothing is on record.
	row *v1.PlacementRow
	// heard is true if it has reported about what it was told to this process.
	heard bool
	// step is the number of its step, from 0 on.
	step int
	// revision is what it is to have.
	revision string
	// waits says why it has to wait for other apps; empty if it has not.
	waits string
	// failed is true if the current revision has failed on it.
	failed bool
}

// has is true for a member that is told to have the app.
func (m *member) has() bool { return m.row != nil && m.row.IsPlaced() && m.row.Revision != "" }

// on is true for a member that is told to have a revision.
func (m *member) on(revision string) bool { return m.has() && m.row.Revision == revision }

// silent is true for a member that does not answer.
func (m *member) silent() bool { return m.has() && m.row.State == v1.PlacementUnknown }

// ready is true for a member that has confirmed what it was told, and whose app is ready.
func (m *member) ready() bool {
	return m.has() && m.heard && m.row.State == v1.PlacementReady && m.row.Updated
}

// down is true for a member that is known to have no ready app: an update cannot make that
// worse. One that is being scaled is not ready, and yet not down.
func (m *member) down() bool {
	return m.has() && m.heard && !m.silent() && !m.ready() && (m.row.State == v1.PlacementFailed || m.row.Replicas > 0 && m.row.ReadyReplicas == 0)
}

// step is one of the steps of a rollout.
type step struct {
	*rule
	// hash tells this step of this revision from every other.
	hash    string
	members []*member // in their order
}

// divide puts every member into a step. Steps keep their place when they have no members,
// but for that of the members that are left.
func (r *Rules) divide(members []member, revision string, generation int64) []step {
	const none = -1
	left := make([]*member, 0, len(members))
	for i := range members {
		members[i].step = none
		left = append(left, &members[i])
	}
	steps := make([]step, 0, len(r.steps)+1)
	add := func(rule *rule) {
		chosen := rule.choose(left, len(members))
		for _, m := range chosen {
			m.step = len(steps)
		}
		left = slices.DeleteFunc(left, func(m *member) bool { return m.step != none })
		steps = append(steps, step{rule, hash(revision, strconv.FormatInt(generation, 10), rule.definition), chosen})
	}
	for i := range r.steps {
		add(&r.steps[i])
	}
	if len(left) > 0 || len(steps) == 0 {
		add(&r.last)
	}
	return steps
}

// Turn is the step in which a member gets a new revision: its name, and its number from 1 on
// of so many.
type Turn struct {
	Step          string
	Number, Total int
}

// Turns says in which step each of some members gets a new revision; nil where all get it
// at once.
func (r *Rules) Turns(members map[string]labels.Set) map[string]Turn {
	if !r.progressive || r.err != nil {
		return nil
	}
	list := make([]member, 0, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		list = append(list, member{name: name, labels: members[name]})
	}
	turns := make(map[string]Turn, len(list))
	steps := r.divide(list, "", 0)
	for i, s := range steps {
		for _, m := range s.members {
			turns[m.name] = Turn{Step: s.name, Number: i + 1, Total: len(steps)}
		}
	}
	return turns
}

// choose gives those members of a step in the order in which they are updated.
func (r *rule) choose(left []*member, all int) []*member {
	var chosen []*member
	for _, m := range left {
		if len(r.names) > 0 {
			if _, listed := slices.BinarySearch(r.names, m.name); !listed {
				continue
			}
		}
		if r.selector.Matches(m.labels) {
			chosen = append(chosen, m)
		}
	}
	slices.SortStableFunc(chosen, func(a, b *member) int {
		return cmp.Or(compare(a.labels, b.labels, r.sortBy), cmp.Compare(a.name, b.name))
	})
	if r.share != nil {
		chosen = chosen[:min(len(chosen), of(r.share, all))]
	}
	return chosen
}

// compare orders by the value of a label: numbers by their size and before words, what has
// none last.
func compare(a, b labels.Set, label string) int {
	if label == "" {
		return 0
	}
	class := func(l labels.Set) (int, int64, string) {
		text, ok := l[label]
		if !ok {
			return 2, 0, ""
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return 0, n, ""
		}
		return 1, 0, text
	}
	ca, na, ta := class(a)
	cb, nb, tb := class(b)
	return cmp.Or(cmp.Compare(ca, cb), cmp.Compare(na, nb), cmp.Compare(ta, tb))
}

// hash is a short name for some texts.
func hash(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:10]
}
