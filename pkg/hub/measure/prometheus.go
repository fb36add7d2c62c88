// Package measure asks Prometheus what the gates of rollouts want to know.
package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/example/myapp-hub/pkg/hub/rollout"
)

const (
	// answerTime bounds a question, answerBytes the answer to it.
	answerTime  = 10 * time.Second
	answerBytes = 1 << 20
	// atOnce is how many questions are asked at one time by the apps of a namespace: slow ones
	// of one tenant do not keep those of others waiting.
	atOnce = 4
	// longestProblem is how many characters of a problem are shown.
	longestProblem = 256
)

// Prometheus asks the questions of the apps' gates again and again, for as long as they are
// wanted, and remembers the last answers. What was answered is lost with the process: the
// next one asks anew. It is safe for concurrent use.
type Prometheus struct {
	client    *http.Client
	addresses []string

	mu sync.Mutex
	// slots are those of the namespaces that ask or have asked.
	slots    map[string]chan struct{}
	ctx      context.Context //nolint:containedctx // questions end with the manager, not with the pass that asks them
	answered func(app types.NamespacedName)
	apps     map[types.NamespacedName]map[rollout.Question]*asked
}

// asked is a question that is asked again and again.
type asked struct {
	cancel context.CancelFunc
	// values are the last answers, the latest last.
	values  []float64
	problem string
}

// New asks at these addresses and at no others: gates are written by people who may not
// reach everything that the hub does.
func New(addresses []string) (*Prometheus, error) {
	p := &Prometheus{
		client: &http.Client{Timeout: answerTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		slots:  map[string]chan struct{}{}, apps: map[types.NamespacedName]map[rollout.Question]*asked{},
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return nil, fmt.Errorf("--prometheus=%s is no address such as http://prometheus.monitoring:9090, without a user, query or fragment", address)
		}
		p.addresses = append(p.addresses, strings.TrimSuffix(address, "/"))
	}
	return p, nil
}

// Start lets questions be asked until the context ends; answered is called after each answer
// that is new.
func (p *Prometheus) Start(ctx context.Context, answered func(app types.NamespacedName)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx, p.answered = ctx, answered
}

// Want makes these the questions of an app.
func (p *Prometheus) Want(app types.NamespacedName, questions []rollout.Question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for question, is := range p.apps[app] {
		if !slices.Contains(questions, question) {
			is.cancel()
			delete(p.apps[app], question)
		}
	}
	if len(questions) == 0 {
		delete(p.apps, app)
	}
	for _, question := range questions {
		if p.apps[app][question] != nil || p.ctx == nil || p.refuse(question) != "" {
			continue
		}
		if p.apps[app] == nil {
			p.apps[app] = map[rollout.Question]*asked{}
		}
		ctx, cancel := context.WithCancel(p.ctx)
		is := &asked{cancel: cancel}
		p.apps[app][question] = is
		if p.slots[app.Namespace] == nil {
			p.slots[app.Namespace] = make(chan struct{}, atOnce)
		}
		go p.keepAsking(ctx, app, question, is, p.slots[app.Namespace])
	}
}

// Of gives the answers to the questions of an app, as they are now.
func (p *Prometheus) Of(app types.NamespacedName) func(rollout.Question) rollout.Measured {
	p.mu.Lock()
	defer p.mu.Unlock()
	answers := make(map[rollout.Question]rollout.Measured, len(p.apps[app]))
	for question, is := range p.apps[app] {
		answers[question] = rollout.Measured{Values: slices.Clone(is.values), Problem: is.problem}
	}
	return func(question rollout.Question) rollout.Measured {
		if problem := p.refuse(question); problem != "" {
			return rollout.Measured{Problem: problem}
		}
		return answers[question]
	}
}

// refuse says why a question may not be asked; empty if it may.
func (p *Prometheus) refuse(question rollout.Question) string {
	if slices.Contains(p.addresses, strings.TrimSuffix(question.Address, "/")) {
		return ""
	}
	return question.Address + " is not one of the addresses that the hub may ask, see its flag --prometheus"
}

func (p *Prometheus) keepAsking(ctx context.Context, app types.NamespacedName, question rollout.Question, is *asked, slots chan struct{}) {
	ticker := time.NewTicker(question.Interval)
	defer ticker.Stop()
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		value, err := p.ask(ctx, question)
		<-slots
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		if err != nil {
			is.problem, is.values = short(err.Error()), nil
		} else {
			is.problem, is.values = "", append(is.values, value)
			is.values = is.values[max(0, len(is.values)-question.Count):]
		}
		p.mu.Unlock()
		p.answered(app)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// answer is that of Prometheus' HTTP API to an instant query.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// ask asks one question once.
func (p *Prometheus) ask(ctx context.Context, question rollout.Question) (float64, error) {
	address := strings.TrimSuffix(question.Address, "/") + "/api/v1/query"
	form := url.Values{"query": {question.Query}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) && failed.Timeout() {
			return 0, fmt.Errorf("%s does not answer in %s", question.Address, answerTime)
		}
		return 0, fmt.Errorf("%s cannot be asked", question.Address) // the error itself names ports, which change
	}
	defer func() { _ = resp.Body.Close() }()
	var is answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerBytes)).Decode(&is); err != nil {
		return 0, fmt.Errorf("%s answers with status %d, and with nothing that a Prometheus would", question.Address, resp.StatusCode)
	}
	if is.Status != "success" {
		return 0, fmt.Errorf("%s answers: %s", question.Address, is.Error)
	}
	return valueOf(is)
}

// valueOf is the one value of an answer.
func valueOf(is answer) (float64, error) {
	type sample [2]json.RawMessage // a time, and the value as text
	var one sample
	switch is.Data.ResultType {
	case "scalar":
		if err := json.Unmarshal(is.Data.Result, &one); err != nil {
			return 0, fmt.Errorf("the answer is not understood: %w", err)
		}
	case "vector":
		var all []struct {
			Value sample `json:"value"`
		}
		if err := json.Unmarshal(is.Data.Result, &all); err != nil {
			return 0, fmt.Errorf("the answer is not understood: %w", err)
		}
		if len(all) != 1 {
			return 0, errors.New("the query gives no value, or several, and must give one: aggregate them, as by sum(...)")
		}
		one = all[0].Value
	default:
		return 0, fmt.Errorf("the query gives a %s and must give one value", is.Data.ResultType)
	}
	var text string
	if err := json.Unmarshal(one[1], &text); err != nil {
		return 0, fmt.Errorf("the answer is not understood: %w", err)
	}
	return strconv.ParseFloat(text, 64)
}

func short(text string) string {
	if runes := []rune(text); len(runes) > longestProblem {
		return string(runes[:longestProblem-1]) + "…"
	}
	return text
}
