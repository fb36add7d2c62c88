package report

import "time"

// Floor and Hub are the names of the contenders: a bare loop, and the product.
const (
	Floor = "C0"
	Hub   = "hub"
)

// Results are all that one call of the benchmark found.
type Results struct {
	Started time.Time `json:"started"`
	// Commit that was measured, "" if it is not known.
	Commit  string  `json:"commit,omitempty"`
	Machine Machine `json:"machine"`
	// Notes are what a reader of the figures has to know first.
	Notes []string `json:"notes,omitempty"`
	// Scenarios in the order in which they ran.
	Scenarios []Scenario `json:"scenarios"`
}

// Machine is where the benchmark ran.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	// LoadBefore and LoadAfter are the load averages of one minute.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
	// Fsync99 is how long writing etcd's log through to the disk took, in seconds:
	// the 99th percentile of all runs; zero if nobody has measured it.
	Fsync99 float64 `json:"fsyncP99,omitempty"`
	// Go is the version of the toolchain.
	Go string `json:"go"`
}

// Scenario is what was done, and what each run of it measured.
type Scenario struct {
	// Name is short, such as S1; Title says what was done at what size.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Measures are the rows of the table.
	Measures []Measure `json:"measures"`
	// Runs in the order in which they were made.
	Runs []Run `json:"runs"`
}

// Run is one contender's run of a scenario.
type Run struct {
	Contender string `json:"contender"`
	// Values by the key of the measure.
	Values map[string]float64 `json:"values"`
	// Requests are the counts behind the values, in order.
	Requests []Requests `json:"requests"`
	// Processes are what each group of processes used.
	Processes []Usage `json:"processes"`
}

// Requests is how often something was asked of a server.
type Requests struct {
	// Server is hub or a member; members are counted together.
	Server string `json:"server"`
	// User is the contender's own or a helper of the benchmark.
	User     string `json:"user"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Count    int    `json:"count"`
}

// Usage is what a group of processes used in a run.
type Usage struct {
	Group      string  `json:"group"`
	CPUSeconds float64 `json:"cpuSeconds"`
	// PeakRSS and RSS at the end, in bytes, are sums over the group.
	PeakRSS int64 `json:"peakRSS"`
	RSS     int64 `json:"rss"`
}

// Measure is a figure of every run of a scenario, and what is asked of it.
type Measure struct {
	// Key is that of Run.Values, Name what people call it.
	Key  string `json:"key"`
	Name string `json:"name"`
	// Unit is "", s, ms, MiB.
	Unit string `json:"unit,omitempty"`
	Goal *Goal  `json:"goal,omitempty"`
	// Counted figures do not depend on how busy the machine is: a floor that
	// varies is then no reason to doubt them.
	Counted bool `json:"counted,omitempty"`
}

// Goal is the most that is allowed: of the ratio to the floor, or of the hub's
// own figure.
type Goal struct {
	Most     float64 `json:"most"`
	Absolute bool    `json:"absolute,omitempty"`
}

// AtMost is a goal for the ratio to the floor.
func AtMost(ratio float64) *Goal { return &Goal{Most: ratio} }

// Below is a goal for the hub's own figure.
func Below(value float64) *Goal { return &Goal{Most: value, Absolute: true} }

// values are a contender's figures of one measure, run by run.
func (s Scenario) values(contender, key string) []float64 {
	var values []float64
	for _, r := range s.Runs {
		if r.Contender != contender {
			continue
		}
		if v, ok := r.Values[key]; ok {
			values = append(values, v)
		}
	}
	return values
}
