# Needs go, git, make, bash and coreutils. Everything else is built from source.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TOOL := go tool -modfile=go.tools.mod
# What `make generate` writes. `make verify` fails if any of it is out of date.
GENERATED := api deploy/crds deploy/hub.yaml docs/reference/api.md
# Suites that are too long, or need more than Go, for `make test`.
LONG_SUITES := /test/(bench|multikind|chaos|placement|property|restore|fleet/fleet)(/|$$)
# What binaries and images say of themselves.
VERSION ?= $(shell git describe --tags --always --dirty)
# Of the chaos suite, what `make test-more` runs in its short form.
SHORT_CHAOS := ^(TestFaults|TestFlappingMember|TestGivenUpPullMember|TestKills|TestLedger|TestOneWrongAnswer)$$

# Benchmarks of the pure core, and the packages that have them.
CORE := ^Benchmark(Schedule|ScheduleChoice|Divide|Aggregate|Pass|StatusPatch|Render|Unchanged|Lost)$$
CORE_PACKAGES := ./pkg/hub/placement ./pkg/hub/aggregate ./pkg/hub/app ./pkg/hub/render ./pkg/agent/apply ./pkg/agent/fields
# The commit that bench-core compares with; empty: nothing.
BASE ?=
# How often bench-core measures each benchmark.
COUNT ?= 6

# Extra arguments for `go test`, as in: make test-unit ARGS='-run TestSchedule -v'
ARGS ?=
# Members of the local fleet: NAME=push|pull[,LABEL=VALUE...]
MEMBERS ?= eu-1=push,region=eu us-1=pull,region=us

##@ Everyday

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/hub, bin/agent and the kubectl plugin bin/kubectl-myapp.
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -X github.com/example/myapp-hub/pkg/version.version=$(VERSION)' -o bin/ ./cmd/hub ./cmd/agent ./cmd/kubectl-myapp

.PHONY: images
images: ## Build the images of hub and agent into dist/images; PUSH=REPOSITORY pushes them instead.
	go run ./hack/images -version=$(VERSION) $(if $(PUSH),-push=$(PUSH))

.PHONY: charts
charts: helm ## Package the charts of hub and agent into dist/charts, for the images of VERSION.
	bin/helm package deploy/charts/hub deploy/charts/agent --app-version=$(VERSION) $(if $(filter v%,$(VERSION)),--version=$(VERSION:v%=%)) --destination dist/charts

.PHONY: clean
clean: ## Remove what was built here, the control-plane binaries included.
	rm -rf bin dist cover.out

##@ Code

.PHONY: helm
helm: ## Build Helm into bin/helm.
	@mkdir -p bin
	go build -modfile=go.tools.mod -o bin/helm helm.sh/helm/v4/cmd/helm

.PHONY: generate
generate: helm ## Regenerate deepcopy code, CRDs, plain manifests and the API reference.
	$(TOOL) controller-gen object paths=./api/...
	@mkdir -p deploy/crds docs/reference
	$(TOOL) controller-gen crd paths=./api/... output:crd:artifacts:config=deploy/crds
	$(TOOL) crd-ref-docs --log-level=ERROR --renderer=markdown --source-path=./api/v1 \
		--config=docs/reference/config.yaml --output-path=docs/reference/api.md
	@mkdir -p dist
	bin/helm template myapp-hub deploy/charts/hub --namespace=myapp-hub-system \
		$(foreach t,deployment networkpolicy webhook monitoring,--show-only=templates/$(t).yaml) \
		2> >(grep -v 'symbolic link' >&2) >dist/hub.yaml
	{ echo '# Rendered from charts/hub by `make generate`.'; cat dist/hub.yaml; } >deploy/hub.yaml

.PHONY: fmt
fmt: ## Format all Go code (gofmt, goimports).
	$(TOOL) golangci-lint fmt

.PHONY: lint
lint: ## Check style and the direction of imports.
	$(TOOL) golangci-lint config verify
	$(TOOL) golangci-lint run ./...

.PHONY: tidy
tidy: ## Tidy go.mod.
	go mod tidy

.PHONY: verify
verify: generate fmt lint ## Regenerate, format, lint; fail if that or `go mod tidy` changes anything.
	go mod tidy -diff
	git diff --exit-code
	@untracked=$$(git ls-files --others --exclude-standard -- $(GENERATED)); \
	if [[ -n $$untracked ]]; then \
		printf 'generated, but not in git:\n%s\n' "$$untracked" >&2; exit 1; \
	fi

##@ Tests

.PHONY: test
test: test-unit test-integration ## Run all tests but the long suites.

.PHONY: test-unit
test-unit: ## Run the tests that need no cluster.
	go test -timeout 5m $(ARGS) $$(go list ./... | grep -Ev '/test(/|$$)') ./test/bench/...

# Fleets share the machine: one package at a time, and never an old result.
.PHONY: test-integration
test-integration: control-plane helm ## Run the tests of the product on a local fleet of real API servers.
	go test -short -count=1 -p 1 -timeout 20m $(ARGS) $$(go list ./test/... | grep -Ev '$(LONG_SUITES)')

.PHONY: test-more
test-more: control-plane ## Run what else CI runs: restores, random apps and plans, fleets themselves, faults, kills and flaps in a short form.
	go test -short -count=1 -p 1 -timeout 20m $(ARGS) ./test/fleet/fleet ./test/placement ./test/property ./test/restore
	go test -short -count=1 -timeout 20m -run '$(SHORT_CHAOS)' $(ARGS) ./test/chaos

.PHONY: test-chaos
test-chaos: control-plane ## Run the chaos suite in full: 1,200 faults, 200 kills, 100 flaps, five minutes of fights.
	go test -count=1 -p 1 -timeout 60m $(ARGS) ./test/chaos/...

.PHONY: test-placement
test-placement: ## Place 10,000 random apps on random fleets of up to 2,000 members, for each property.
	go test -count=1 -timeout 60m -run 'Fleet|Apportion|Decision|Absence|Order' $(ARGS) ./pkg/hub/placement -rapid.checks=10000 -placement.members=2000

.PHONY: test-rollout
test-rollout: control-plane ## Tell every story of a rollout in 1,000 orders, and kill the hub 50 times during rollouts.
	go test -count=1 -timeout 30m -run 'Stories|Model' $(ARGS) ./pkg/hub/rollout -seeds=1000
	go test -count=1 -v -timeout 30m $(ARGS) ./test/rollout

.PHONY: test-plans
test-plans: control-plane ## Plan and make 200 random edits, and flap a member 200 times; SEED= repeats the edits of a run.
	go test -count=1 -v -timeout 60m $(ARGS) ./test/placement

.PHONY: test-property
test-property: control-plane ## Put 10,000 random apps on a real API server; SEED=, SPECS= and SPEC= repeat a run or a part of it.
	go test -count=1 -v -timeout 40m $(ARGS) ./test/property/...

# Fuzz targets: NAME PACKAGE.
FUZZ := FuzzParseKubeconfig:./pkg/hub/members FuzzWork:./pkg/manifest FuzzRules:./pkg/agent/health FuzzPatches:./pkg/hub/render FuzzExpression:./pkg/hub/placement
# How long each is fuzzed.
FUZZTIME ?= 10m

.PHONY: fuzz
fuzz: ## Fuzz what comes from people and members who are not trusted, each target for FUZZTIME.
	@for target in $(FUZZ); do \
		echo "== $$target"; go test -run '^$$' -fuzz "^$${target%%:*}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$${target#*:}" || exit 1; \
	done

.PHONY: test-race
test-race: ## Run the unit tests under the race detector (needs a C compiler).
	CGO_ENABLED=1 go test -race -timeout 10m $(ARGS) $$(go list ./... | grep -Ev '/test(/|$$)')

.PHONY: cover
cover: ## Show the unit tests' coverage per function.
	go test -timeout 5m -coverprofile=cover.out $$(go list ./... | grep -Ev '/test(/|$$)')
	go tool cover -func=cover.out

# The node image is KIND_NODE_IMAGE, or that of kind itself from a registry.
.PHONY: multikind
multikind: ## Run the suite on real kind clusters (needs Docker); ARGS='-run TestMultikind/Sample' makes it shorter.
	go test -count=1 -v -timeout 40m $(ARGS) ./test/multikind

##@ Benchmarks

.PHONY: bench
bench: control-plane ## Measure the hub against a bare loop on real API servers; ARGS='-only S1 -apps 20' makes it shorter.
	go run ./test/bench $(ARGS)

.PHONY: bench-full
bench-full: control-plane ## The same with more runs, more apps and longer times.
	go run ./test/bench -full $(ARGS)

.PHONY: bench-core
bench-core: ## Measure the pure core, time and allocations; BASE=COMMIT compares it with that commit.
	@BASE='$(BASE)' COUNT='$(COUNT)' CORE='$(CORE)' BENCHSTAT='$(TOOL) benchstat' bash hack/bench-core.sh $(CORE_PACKAGES)

##@ Local fleets

# About ten minutes on two cores the first time, seconds later.
.PHONY: control-plane
control-plane: ## Build etcd, the Kubernetes control plane, kubectl and kwok into bin/.
	go run ./test/fleet build

.PHONY: fleet-up
fleet-up: ## Start a local fleet of plain processes; MEMBERS says which members.
	go run ./test/fleet up $(foreach m,$(MEMBERS),--member $(m))

.PHONY: fleet-down
fleet-down: ## Stop the local fleet.
	go run ./test/fleet down

.PHONY: multikind-up
multikind-up: ## Start a fleet of kind clusters (needs Docker); MEMBERS says which members.
	go run ./test/multikind up $(foreach m,$(MEMBERS),--member $(m))

.PHONY: multikind-down
multikind-down: ## Delete the fleet of kind clusters.
	go run ./test/multikind down

.PHONY: demo
demo: build ## Start a fleet and put an app on it, with explanations.
	bash hack/demo.sh

.PHONY: demo-rollout
demo-rollout: build control-plane ## Tell the story of a good and of a bad rollout, on a fleet of its own.
	bash hack/demo-rollout.sh

.PHONY: demo-down
demo-down: fleet-down ## Stop what the demo started.
