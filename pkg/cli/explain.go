package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/plan"
)

const explainLong = `Say why each member runs a MyApp or does not, and what would change that.

It is decided by the hub's own code on what you may read. Quotas are left out; what the
hub itself says of them is in the conditions of the MyApp.

With --cluster one member is looked at more closely: the changes that are named have been
tried out, all of them together make the member run the app.`

const explainExample = `  # Why is web where it is?
  kubectl myapp explain web -n shop
  # What would have to be so for it to run on us-1?
  kubectl myapp explain web -n shop --cluster us-1`

// explained is one member in the answer.
type explained struct {
	Cluster   string   `json:"cluster"`
	Outcome   string   `json:"outcome"`
	Reason    string   `json:"reason"`
	Message   string   `json:"message"`
	Replicas  int32    `json:"replicas,omitempty"`
	Share     string   `json:"share,omitempty"`
	Changes   []string `json:"changes,omitempty"`
	Otherwise string   `json:"otherwise,omitempty"`
}

// explanation is the answer.
type explanation struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Summary   string      `json:"summary"`
	Next      []string    `json:"next,omitempty"`
	Asks      string      `json:"asks,omitempty"`
	Members   []explained `json:"members"`
}

func explainCommand(hub *hubFlags) *cobra.Command {
	var cluster, output string
	cmd := &cobra.Command{
		Use: "explain NAME [--cluster MEMBER]", Short: "Say why members run a MyApp or not",
		Long: explainLong, Example: explainExample, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, _, err := hub.connect()
			if err != nil {
				return err
			}
			app := &v1.MyApp{}
			if err := c.Get(cmd.Context(), types.NamespacedName{Namespace: namespace, Name: args[0]}, app); err != nil {
				return err
			}
			state, err := stateOf(cmd.Context(), c, app)
			if err != nil {
				return err
			}
			e, err := explain(&state, cluster)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return e.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "member to look at more closely; default: all, in a line each")
	outputFlag(cmd, &output)
	return cmd
}

// outputFlag is -o of commands that print a table or JSON.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "format: json; default: for people")
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *output != "" && *output != "json" {
			return fmt.Errorf("-o %s is not known: use json, or leave it out", *output)
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// explain looks at all members, or closely at one.
func explain(s *plan.State, cluster string) (explanation, error) {
	in := s.Input()
	result := placement.Schedule(in)
	e := explanation{
		Namespace: s.App.Namespace, Name: s.App.Name, Summary: result.Message, Next: result.Next,
		Asks: result.Question.Message, Members: []explained{},
	}
	for _, v := range result.Verdicts {
		if cluster == "" {
			e.Members = append(e.Members, explainedOf(placement.Explanation{Verdict: v}))
		}
	}
	if cluster == "" {
		return e, nil
	}
	one, ok := placement.Explain(in, cluster)
	if !ok {
		return e, fmt.Errorf("there is no MemberCluster %s: see kubectl get memberclusters", cluster)
	}
	e.Members = append(e.Members, explainedOf(one))
	return e, nil
}

func explainedOf(e placement.Explanation) explained {
	return explained{
		Cluster: e.Cluster, Outcome: string(e.Outcome), Reason: e.Reason, Message: e.Message, Replicas: e.Replicas,
		Share: e.Share, Changes: e.Changes, Otherwise: e.Otherwise,
	}
}

func (e *explanation) print(out io.Writer) error {
	w := newTable(out)
	w.print("%s/%s: %s\n", e.Namespace, e.Name, e.Summary)
	if e.Asks != "" {
		w.print("%s\n", e.Asks)
	}
	w.print("\nMEMBER\tOUTCOME\tPODS\tREASON\tMESSAGE\n")
	for _, m := range e.Members {
		pods := "-"
		if m.Outcome == string(placement.Run) {
			pods = fmt.Sprint(m.Replicas)
		}
		said := m.Message
		if i := slices.Index(e.Next, m.Cluster); i >= 0 {
			said += fmt.Sprintf("; number %d of those that would be chosen next", i+1)
		}
		w.print("%s\t%s\t%s\t%s\t%s\n", m.Cluster, m.Outcome, pods, m.Reason, said)
	}
	if len(e.Members) == 1 {
		e.Members[0].printClosely(w)
	}
	return w.flush()
}

func (m *explained) printClosely(w *table) {
	if m.Share != "" {
		w.print("\nPods: %s\n", m.Share)
	}
	if len(m.Changes) > 0 {
		w.print("\n%s would run the app after:\n", m.Cluster)
		for i, change := range m.Changes {
			w.print("  %d. %s\n", i+1, change)
		}
	}
	if m.Otherwise != "" {
		w.print("\nNo single change is known that would make %s run it: %s\n", m.Cluster, m.Otherwise)
	}
}
