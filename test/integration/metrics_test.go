package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const chartFiles = "../../deploy/charts/hub/files/"

// Alerts and dashboard ask only for what the hub or an agent has, by labels and values
// that are there: an alert with a typing error would never be heard.
func TestMetricsOfAlertsAndDashboard(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	hub := scraper(t, f.Cluster(fleet.HubName), f.Hub().MetricsAddr)
	agent := scraper(t, f.Cluster("pull-1"), f.Agent("pull-1").MetricsAddr)
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)

	wanted := map[string][]query{}
	for where, expr := range expressions(t) {
		queries, err := queriesOf(expr)
		if err != nil || len(queries) == 0 {
			t.Errorf("%s: %q asks for %d metrics: %v", where, expr, len(queries), err)
		}
		wanted[where] = queries
	}
	fleet.Eventually(t, soon, "all metrics to be there", func(context.Context) error {
		samples := slices.Concat(hub(), agent())
		var missing []error
		for _, where := range slices.Sorted(maps.Keys(wanted)) {
			for _, q := range wanted[where] {
				if err := q.isIn(samples); err != nil {
					missing = append(missing, fmt.Errorf("%s: %w", where, err))
				}
			}
		}
		return errors.Join(missing...)
	})
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// The reading of expressions that the test above relies on.
func TestMetricsAreFoundInExpressions(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`absent(up)`, `up`},
		{`sum by (job, le) (rate(a_bucket{x="1",y=~"2|3"}[5m])) > 0.1`, `a_bucket(x=1 y) job le`},
		{`a / b > 1e3 and on (job) (c or d{z!=""}) unless on () e offset 5m`, `a b c d(z) e job`},
		{`no_function(a)`, `error`},
	} {
		queries, err := queriesOf(tt.expr)
		var got []string
		for _, q := range queries {
			got = append(got, q.String())
		}
		slices.Sort(got)
		if is := strings.Join(got, " "); (err != nil) != (tt.want == "error") || err == nil && is != tt.want {
			t.Errorf("%s: found %s (%v), want %s", tt.expr, is, err, tt.want)
		}
	}
}

// sample is a line of a /metrics page.
type sample struct {
	name   string
	labels map[string]string
}

// query is what an expression asks for: a metric with certain labels, or a label of any.
type query struct {
	metric string // empty: any
	equal  map[string]string
	labels []string
}

func (q query) String() string {
	if q.metric == "" {
		return strings.Join(q.labels, " ")
	}
	if len(q.labels) == 0 {
		return q.metric
	}
	var with []string
	for _, label := range q.labels {
		if value, ok := q.equal[label]; ok {
			label += "=" + value
		}
		with = append(with, label)
	}
	return q.metric + "(" + strings.Join(with, " ") + ")"
}

func (q query) isIn(samples []sample) error {
	ok := slices.ContainsFunc(samples, func(s sample) bool {
		if q.metric != "" && s.name != q.metric {
			return false
		}
		for _, label := range q.labels {
			value, has := s.labels[label]
			if !has && label != "job" && label != "instance" { // these are Prometheus's own
				return false
			}
			if wanted, equal := q.equal[label]; equal && value != wanted {
				return false
			}
		}
		return true
	})
	if !ok {
		return fmt.Errorf("neither hub nor agent has %s", q)
	}
	return nil
}

var (
	groupings = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]`)
	selectors = regexp.MustCompile(`\b([a-zA-Z_:][\w:]*)\s*(\{[^}]*\}|\()?`)
	matchers  = regexp.MustCompile(`(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"`)
	labels    = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

	operators = []string{"and", "or", "unless", "offset", "bool"}
	functions = []string{"absent", "avg", "changes", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum", "topk"}
)

// queriesOf finds the metrics and the labels in an expression. What is called like a
// function must be one.
func queriesOf(expr string) ([]query, error) {
	var found []query
	for _, grouping := range groupings.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.FieldsFunc(grouping[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			found = append(found, query{labels: []string{label}})
		}
	}
	rest := ranges.ReplaceAllString(groupings.ReplaceAllString(expr, " "), " ")
	for _, s := range selectors.FindAllStringSubmatch(rest, -1) {
		name, follows := s[1], s[2]
		switch {
		case slices.Contains(operators, name):
		case follows == "(":
			if !slices.Contains(functions, name) {
				return nil, fmt.Errorf("there is no function %s", name)
			}
		default:
			q := query{metric: name, equal: map[string]string{}}
			for _, m := range matchers.FindAllStringSubmatch(follows, -1) {
				q.labels = append(q.labels, m[1])
				if m[2] == "=" {
					q.equal[m[1]] = m[3]
				}
			}
			found = append(found, q)
		}
	}
	return found, nil
}

// expressions are those of the alerts and of the dashboard, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	type target struct{ Expr string }
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	var dashboard struct {
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
		Panels []struct {
			Title   string
			Targets []target
		}
	}
	for file, into := range map[string]any{"alerts.yaml": &rules, "dashboard.json": &dashboard} {
		text, err := os.ReadFile(chartFiles + file)
		if err != nil {
			t.Fatal(err)
		}
		unmarshal := json.Unmarshal
		if strings.HasSuffix(file, ".yaml") {
			unmarshal = func(text []byte, into any) error { return yaml.Unmarshal(text, into) }
		}
		if err := unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	found := map[string]string{}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			found["alert "+r.Alert] = r.Expr
		}
	}
	for _, panel := range dashboard.Panels {
		for i, target := range panel.Targets {
			found[fmt.Sprintf("panel %q, target %d", panel.Title, i)] = target.Expr
		}
	}
	for _, variable := range dashboard.Templating.List {
		if q, ok := variable.Query.(map[string]any); ok {
			expr, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(q["query"]), "label_values("), ", job)")
			found["variable "+variable.Name] = expr
		}
	}
	return found
}

// scraper reads the metrics of a process on a cluster, as somebody whom the cluster lets.
func scraper(t *testing.T, c *fleet.Cluster, address string) func() []sample {
	t.Helper()
	name := strings.ToLower(t.Name())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: name}}
	for _, o := range []client.Object{
		account,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: name}}},
	} {
		if err := c.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Client().Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	token, err := c.Token(t.Context(), account.Namespace, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// An agent without a certificate makes one that nobody has signed.
	config := &rest.Config{Host: "https://" + address, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	scrape := attack.Get("/metrics")
	scrape.Header = http.Header{"Authorization": {"Bearer " + token}}
	return func() (samples []sample) {
		t.Helper()
		status, page, err := scrape.Try(config)
		if err != nil || status != http.StatusOK {
			t.Logf("%s of %s: %d, %v", scrape.Path, address, status, err)
			return nil
		}
		for line := range strings.Lines(page) {
			series := selectors.FindString(line)
			if series == "" || line[0] == '#' {
				continue
			}
			name, of, _ := strings.Cut(series, "{")
			s := sample{name: strings.TrimSpace(name), labels: map[string]string{}}
			for _, label := range labels.FindAllStringSubmatch(of, -1) {
				s.labels[label[1]] = label[2]
			}
			samples = append(samples, s)
		}
		return samples
	}
}
