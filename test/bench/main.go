package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// fullRuns are enough pairs for a median of times on a machine that does other
// things as well.
const (
	fullRuns    = 5
	fullRepeats = 3
	fullCrowd   = 1000
	fullIdle    = 5 * time.Minute
	fullChurn   = 2 * time.Minute
)

// The sizes that the goals are for.
const (
	defaultApps    = 100
	defaultMembers = 10
	defaultTenants = 100
	defaultCrowd   = 100
)

// options are what the command line says.
type options struct {
	only          []string
	runs          int
	repeats       int
	strict        bool
	out           string
	apps, members int
	tenants       int
	large         bool
	hubMemory     string
	profile       time.Duration
	crowd, few    int
	further       int
	idle, churn   time.Duration
}

// picked says whether a scenario was asked for.
func (o options) picked(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

func main() { os.Exit(run()) }

// run is the exit code: 0 also if goals are missed, unless that is asked for.
func run() int {
	o, err := parse(os.Args[1:])
	if err != nil {
		return 2 // the flags have said why
	}
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := bench(ctx, o)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	case o.strict && report.AnyMissed(results):
		return 3
	}
	return 0
}

func parse(args []string) (o options, err error) {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := set.String("only", "", "scenarios to report, separated by commas; default: all of "+strings.Join(names(), ", "))
	set.IntVar(&o.runs, "runs", 3, "pairs of runs of each scenario")
	set.IntVar(&o.repeats, "repeats", 1, "runs of each scenario that the hub runs alone")
	full := set.Bool("full", false, fmt.Sprintf("at least %d pairs of runs and %d of the hub alone, and long times", fullRuns, fullRepeats))
	set.BoolVar(&o.strict, "strict", false, "end with 3 if a goal is missed")
	set.StringVar(&o.out, "out", "", "directory of the results; default: .bench/TIME")
	set.IntVar(&o.apps, "apps", defaultApps, "apps of S1, S3 and S4")
	set.IntVar(&o.members, "members", defaultMembers, "members, each an API server")
	set.IntVar(&o.tenants, "tenants", defaultTenants, "namespaced members, spread over the API servers (1x100, S1x100)")
	set.BoolVar(&o.large, "large", false, "S2 and S5 on the namespaced members")
	set.StringVar(&o.hubMemory, "hub-memory", "", "GOMEMLIMIT of the hub, such as 340MiB; empty: none")
	set.DurationVar(&o.profile, "profile", 0, "how long CPU profiles of the hub are, one of each step of a pair and of each start; written beside the results, and it costs time; 0: none")
	set.DurationVar(&o.idle, "idle", time.Minute, "time in which nothing happens (S2, S7-idle)")
	set.IntVar(&o.crowd, "crowd", defaultCrowd, "apps of S2, S5 and margin")
	set.IntVar(&o.few, "few", 30, "apps of S6 and S7")
	set.DurationVar(&o.churn, "churn", 20*time.Second, "how long readiness flips (S6)")
	set.IntVar(&o.further, "further", 30, "empty members that are added to see what one costs (margin)")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		err = fmt.Errorf("%s is no flag; scenarios are picked with -only", set.Arg(0))
	}
	if *full {
		o.runs, o.repeats = max(o.runs, fullRuns), max(o.repeats, fullRepeats)
		o.crowd, o.few = max(o.crowd, fullCrowd), max(o.few, o.apps)
		o.large = true
		o.idle, o.churn = max(o.idle, fullIdle), max(o.churn, fullChurn)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			err = fmt.Errorf("there is no scenario %s, but %s", name, strings.Join(names(), ", "))
		}
	}
	if min(o.runs, o.repeats, o.further, o.apps, o.crowd, o.few, o.members, o.tenants) < 1 {
		err = fmt.Errorf("-runs, -repeats, -further, -apps, -crowd, -few, -members and -tenants are at least 1")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	return o, err
}

// bench runs the scenarios, writes the results and prints the table; where one
// fails, or somebody ends it, of what was measured until then.
func bench(ctx context.Context, o options) (results report.Results, err error) {
	results = report.Results{Started: time.Now(), Commit: commit(ctx), Machine: report.Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version(), LoadBefore: meter.LoadAverage(),
	}}
	root, err := fleet.FindRoot(".")
	if err != nil {
		if root, err = os.Getwd(); err != nil {
			return results, err
		}
	}
	if o.out == "" {
		o.out = filepath.Join(root, ".bench", results.Started.UTC().Format("20060102-150405"))
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return results, err
	}
	scenarios, etcd, err := runAll(ctx, o)
	results.Scenarios, results.Notes = scenarios, o.notes()
	if err != nil {
		results.Notes = append(results.Notes, "It was ended before all was measured.")
	}
	results.Machine.LoadAfter = meter.LoadAverage()
	results.Machine.Fsync99 = etcd.Quantile(fsyncs, 0.99)
	if len(results.Scenarios) == 0 {
		return results, err
	}
	return results, errors.Join(err, write(os.Stdout, o.out, results))
}

// notes warn of a run that is smaller than what the goals are for.
func (o options) notes() []string {
	if o.apps >= defaultApps && o.members >= defaultMembers && o.tenants >= defaultTenants && o.crowd >= defaultCrowd {
		return nil
	}
	return []string{fmt.Sprintf("The goals are for %d apps × %d members (S2, S5: %d; 1x100, S1x100: %d members): with less, what an app costs once weighs more, and a verdict says little.",
		defaultApps, defaultMembers, defaultCrowd, defaultTenants)}
}

// commit is the short name of what is measured, "" where git cannot tell.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func write(table io.Writer, dir string, results report.Results) error {
	b, err := report.JSON(results)
	if err != nil {
		return err
	}
	text := report.Table(results)
	for name, content := range map[string]string{"results.json": string(b), "table.txt": text, "chart.svg": report.Chart(results)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(table, "%s\nresults.json, table.txt and chart.svg are in %s\n", text, dir)
	return err
}
