package delivery

import (
	"sync"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// Reports holds the last report of every app on every member, in memory: after
// a restart the members say everything again. It is safe for concurrent use. Most
// members say the same: each word is kept once.
type Reports struct {
	mu     sync.Mutex
	byApp  map[types.UID]map[string]unique.Handle[aggregate.Report]
	notify func(app types.NamespacedName, news aggregate.News)
}

// NewReports makes an empty store.
func NewReports() *Reports {
	return &Reports{byApp: map[types.UID]map[string]unique.Handle[aggregate.Report]{}}
}

// OnChange sets who is told when a report of an app changes.
func (r *Reports) OnChange(notify func(app types.NamespacedName, news aggregate.News)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify = notify
}

// Of gives the reports of an app by member.
func (r *Reports) Of(app types.UID) map[string]aggregate.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	reports := make(map[string]aggregate.Report, len(r.byApp[app]))
	for member, report := range r.byApp[app] {
		reports[member] = report.Value()
	}
	return reports
}

// Forget drops the reports of an app that has left every member.
func (r *Reports) Forget(app types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byApp, app)
}

// ForgetMember drops one report, once its row is gone.
func (r *Reports) ForgetMember(app types.UID, member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byApp[app], member)
	if len(r.byApp[app]) == 0 {
		delete(r.byApp, app)
	}
}

// silence drops what a member has said, but for removals that it has confirmed:
// its rows keep what is recorded until it speaks again.
func (r *Reports) silence(member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for app, reports := range r.byApp {
		if report, ok := reports[member]; !ok || report.Value().State == v1.FeedbackRemoved {
			continue
		}
		delete(reports, member)
		if len(reports) == 0 {
			delete(r.byApp, app)
		}
	}
}

func (r *Reports) get(app types.UID, member string) (aggregate.Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report, ok := r.byApp[app][member]
	if !ok {
		return aggregate.Report{}, false
	}
	return report.Value(), true
}

// put stores a report about a row, if there is one, and tells about it if it is news.
func (r *Reports) put(app types.UID, key types.NamespacedName, member string, row *v1.PlacementRow, report aggregate.Report) {
	before, kept := r.store(app, member, report)
	if !kept {
		return
	}
	if notify := r.listener(); notify != nil {
		notify(key, aggregate.NewsOf(report, before, row))
	}
}

func (r *Reports) listener() func(types.NamespacedName, aggregate.News) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notify
}

// store keeps a report unless it is late or says what is known. It returns what was
// said before, nil if that is nothing.
func (r *Reports) store(app types.UID, member string, report aggregate.Report) (before *aggregate.Report, kept bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byApp[app] == nil {
		r.byApp[app] = map[string]unique.Handle[aggregate.Report]{}
	}
	if last, ok := r.byApp[app][member]; ok {
		old := last.Value()
		late := old.Decision == report.Decision && old.Work == report.Work && report.Sequence < old.Sequence
		if late || old == report {
			return &old, false
		}
		before = &old
	}
	r.byApp[app][member] = unique.Make(report)
	return before, true
}
