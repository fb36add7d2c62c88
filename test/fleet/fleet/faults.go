package fleet

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is what befalls a request on its way.
type Fault string

// Answers in the API server's place, which does not learn of the request.
const (
	FaultUnauthorized       Fault = "Unauthorized"       // 401
	FaultForbidden          Fault = "Forbidden"          // 403
	FaultNotFound           Fault = "NotFound"           // 404
	FaultConflict           Fault = "Conflict"           // 409, to a write
	FaultExpired            Fault = "Expired"            // 410, to a list; to a watch, an event that says so
	FaultTooManyRequests    Fault = "TooManyRequests"    // 429 with Retry-After
	FaultInternalError      Fault = "InternalError"      // 500
	FaultServiceUnavailable Fault = "ServiceUnavailable" // 503
)

// Faults of the way there and back.
const (
	// FaultTimeout leaves the request without an answer until the client gives up;
	// when the rule is replaced, the request goes on.
	FaultTimeout Fault = "Timeout"
	// FaultResetBefore resets the client's connection; the API server does not
	// learn of the request. Whatever else is under way on that connection breaks.
	FaultResetBefore Fault = "ResetBefore"
	// FaultResetAfter resets the client's connection when the API server has done
	// what it was asked. Never of a watch.
	FaultResetAfter Fault = "ResetAfter"
	// FaultEmptyList takes the items out of a list, or the first events out of a
	// watch that begins with all that exists. The resource version is the right one.
	FaultEmptyList Fault = "EmptyList"
	// FaultIncompleteList answers a list with one item and a continue token.
	FaultIncompleteList Fault = "IncompleteList"
	// FaultTruncated breaks the answer to a get or a list off in the middle.
	FaultTruncated Fault = "Truncated"
	// FaultCutWatch breaks a watch off after a while.
	FaultCutWatch Fault = "CutWatch"
)

// befalls says whether a fault makes sense for a request.
func (f Fault) befalls(r Request) bool {
	switch f {
	case FaultConflict:
		return r.Write()
	case FaultExpired:
		return r.Verb == "list" || r.Verb == "watch"
	case FaultResetAfter:
		return r.Verb != "watch"
	case FaultEmptyList:
		return r.Verb == "list" || r.InitialEvents
	case FaultIncompleteList:
		return r.Verb == "list"
	case FaultTruncated:
		return r.Verb == "list" || r.Verb == "get"
	case FaultCutWatch:
		return r.Verb == "watch"
	}
	return true
}

// Rule says which requests a fault befalls. Those that it makes no sense for
// pass: FaultCutWatch is for watches only.
type Rule struct {
	// Match chooses requests. It must not call the Faults. Default: all.
	Match func(Request) bool
	// Fault is what befalls them.
	Fault Fault
	// Count is how many requests suffer before the rule is used up. Default: all.
	Count int
	// Probability that a request suffers. Default: 1.
	Probability float64
	// RetryAfter is in the answer to a FaultTooManyRequests (default: one second)
	// and, if it is set, in other answers; whole seconds.
	RetryAfter time.Duration
	// After is when FaultCutWatch breaks a watch off. Default: within two seconds.
	After time.Duration
}

// rule is a Rule or the dice of Random, and how often it was asked.
type rule struct {
	Rule
	faults []Fault
	seed   uint64
	lifted chan struct{}
	used   int
	asked  map[string]int // by what was asked for
}

// Injection is a kind of fault and a kind of request that it befell.
type Injection struct {
	Fault          Fault
	Verb, Resource string
}

// Injected counts faults.
type Injected map[Injection]int

// Total of all faults.
func (i Injected) Total() int {
	sum := 0
	for _, n := range i {
		sum += n
	}
	return sum
}

// Of counts the faults of one kind.
func (i Injected) Of(fault Fault) int {
	sum := 0
	for injection, n := range i {
		if injection.Fault == fault {
			sum += n
		}
	}
	return sum
}

// String is a line per fault, verb and resource.
func (i Injected) String() string {
	var lines []string
	for injection, n := range i {
		lines = append(lines, fmt.Sprintf("%-18s %-16s %-24s %d\n", injection.Fault, injection.Verb, injection.Resource, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Faults is a proxy of HTTP between the product and a cluster's API server that
// can answer in the API server's place. Until it is told otherwise it passes
// everything on, and leases always: a hub that loses its lease starts again, which
// is another test. What it did is in the log CLUSTER-faults.
type Faults struct {
	cluster string
	front   *front
	log     *log.Logger
	logFile io.Closer

	mu       sync.Mutex
	rules    []*rule
	exempt   func(Request) bool
	injected Injected
	watches  map[*http.Request]context.CancelFunc
}

// Set puts rules into force, and those of before out of it. The first that
// matches a request and strikes is the only one.
func (f *Faults) Set(rules ...Rule) {
	var all []*rule
	for _, r := range rules {
		all = append(all, &rule{Rule: r, faults: []Fault{r.Fault}})
	}
	f.replace(all)
}

// Random lets one of the faults befall each request with a probability, and puts
// the rules of before out of force. Whether the n-th request for something
// suffers, and what, depends on the seed alone, not on what else is going on.
func (f *Faults) Random(seed uint64, probability float64, faults ...Fault) {
	if probability <= 0 || len(faults) == 0 {
		f.Clear()
		return
	}
	f.replace([]*rule{{Rule: Rule{Probability: probability}, faults: faults, seed: seed}})
}

// Clear puts all rules out of force.
func (f *Faults) Clear() { f.replace(nil) }

func (f *Faults) replace(rules []*rule) {
	for _, r := range rules {
		r.lifted, r.asked = make(chan struct{}), map[string]int{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, old := range f.rules {
		close(old.lifted)
	}
	f.rules = rules
}

// Exempt says which requests pass whatever the rules say, in place of Leases;
// nil: none.
func (f *Faults) Exempt(match func(Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exempt = match
}

// CutWatches breaks off the watches that are under way, and returns how many
// there were; FaultCutWatch is for those to come.
func (f *Faults) CutWatches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r, cancel := range f.watches {
		f.injected[Injection{Fault: FaultCutWatch, Verb: "watch", Resource: parseRequest(r).Resource}]++
		f.log.Printf("%s: under way: %s (%s)", FaultCutWatch, r.URL.RequestURI(), r.UserAgent())
		cancel()
	}
	return len(f.watches)
}

// Injected counts the faults since the fleet was started.
func (f *Faults) Injected() Injected {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.injected)
}

// fate is what is to become of a request.
type fate struct {
	fault      Fault
	lifted     <-chan struct{}
	retryAfter time.Duration
	cutAfter   time.Duration
}

// decide returns the fate of a request; false: it passes.
func (f *Faults) decide(r Request) (fate, bool) {
	if f.exempts(r) {
		return fate{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		if out, ok := rule.strike(f.cluster, r); ok {
			f.injected[Injection{Fault: out.fault, Verb: r.Verb, Resource: r.Resource}]++
			f.log.Printf("%s: %s %s (%s)", out.fault, r.Verb, r.URL.RequestURI(), r.UserAgent())
			return out, true
		}
	}
	return fate{}, false
}

func (r *rule) strike(cluster string, req Request) (fate, bool) {
	if r.Count > 0 && r.used >= r.Count || r.Match != nil && !r.Match(req) {
		return fate{}, false
	}
	var faults []Fault
	for _, fault := range r.faults {
		if fault.befalls(req) {
			faults = append(faults, fault)
		}
	}
	if len(faults) == 0 {
		return fate{}, false
	}
	dice := r.dice(cluster, req)
	if dice.Float64() >= r.Probability && r.Probability > 0 {
		return fate{}, false
	}
	r.used++
	out := fate{fault: faults[dice.IntN(len(faults))], lifted: r.lifted, retryAfter: r.RetryAfter, cutAfter: r.After}
	if out.cutAfter == 0 {
		out.cutAfter = time.Duration(dice.Int64N(int64(2 * time.Second)))
	}
	return out, true
}

// dice fall the same for the n-th request of a client for the same thing.
func (r *rule) dice(cluster string, req Request) *rand.Rand {
	what := strings.Join([]string{cluster, req.UserAgent(), req.Verb, req.URL.Path}, " ")
	n := r.asked[what]
	r.asked[what]++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, what, " ", n) // a hash does not fail
	return rand.New(rand.NewPCG(r.seed, h.Sum64()))
}

// ServeHTTP answers a request or passes it on.
func (f *Faults) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	if !f.front.enter() {
		panic(http.ErrAbortHandler)
	}
	defer f.front.leave()
	r := parseRequest(in)
	if r.Verb == "watch" && !f.exempts(r) {
		var done func()
		in, done = f.watching(in)
		defer done()
	}
	fate, ok := f.decide(r)
	if !ok {
		f.front.forward(w, in, edit{})
		return
	}
	switch fate.fault {
	case FaultTimeout:
		select {
		case <-in.Context().Done():
		case <-f.front.closing:
		case <-fate.lifted:
			f.front.forward(w, in, edit{})
		}
	case FaultResetBefore:
		hangUp(in)
	default:
		if answer, ok := answers[fate.fault]; ok {
			writeStatus(w, r, answer(r), fate.retryAfter)
			return
		}
		f.front.forward(w, in, editFor(fate, r))
	}
}

// watching remembers a watch until done is called.
func (f *Faults) watching(in *http.Request) (out *http.Request, done func()) {
	ctx, cancel := context.WithCancel(in.Context())
	out = in.WithContext(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches[out] = cancel
	return out, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watches, out)
	}
}

func (f *Faults) exempts(r Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exempt != nil && f.exempt(r)
}

// Addr is the host:port the proxy listens on.
func (f *Faults) Addr() string { return f.front.listener.Addr().String() }

// Close ends all connections and waits for every goroutine of the proxy.
func (f *Faults) Close() error {
	err := f.front.close()
	_ = f.logFile.Close() // of the log of what is over
	return err
}
