#!/usr/bin/env bash
# The story of a rollout on a terminal: a good revision goes from the canary to the others,
# a bad one never gets further than the canary and goes back by itself.
# Needs Go, git and make. The first run builds Kubernetes: see the progress.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=.fleet-rollout
bold() { if [[ -t 1 && -z ${NO_COLOR:-} ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
end() { go run ./test/fleet down --dir "$dir" >/dev/null; }
trap end EXIT

bold '1. A hub and four members: eu-1 is the canary'
go run ./test/fleet up --dir "$dir" --member eu-1=push --member eu-2=push --member us-1=pull --member us-2=pull
export KUBECONFIG=$PWD/$dir/hub.kubeconfig PATH=$PWD/bin:$PATH
if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/kubectl ]]; then PATH=$KUBEBUILDER_ASSETS:$PATH; fi
started=$SECONDS

run() { printf '$ %s\n' "$*"; "$@"; }
revisions() {
  kubectl get myapp web -o 'jsonpath={range .status.placements[*]}{"  "}{.cluster}{"\t"}{.revision}{"\t"}{.state}{"\n"}{end}'
}

bold '2. An app with steps: a canary that soaks for 3 s and is approved, then all others'
kubectl apply -f - <<'EOT'
apiVersion: example.com/v1
kind: MyApp
metadata: {name: web}
spec:
  image: registry.example.com/web:1
  replicas: 2
  rollout:
    type: Progressive
    onFailure: Rollback
    progressDeadlineSeconds: 8
    maxUnavailable: 2
    steps:
    - {name: canary, clusterNames: [eu-1], soakSeconds: 3, approval: Required}
EOT
kubectl wait --for=condition=Ready myapp/web --timeout=60s
revisions

bold '3. A good revision: web:2'
run kubectl patch myapp web --type=merge -p '{"spec":{"image":"registry.example.com/web:2"}}'
kubectl myapp rollout status web & watching=$!
kubectl wait myapp/web --for='jsonpath={.status.rollout.reason}'=AwaitingApproval --timeout=60s >/dev/null
revisions
run kubectl myapp rollout approve web
wait "$watching"
revisions

bold '4. A bad revision: web:broken never becomes ready'
run kubectl patch myapp web --type=merge -p '{"spec":{"image":"registry.example.com/web:broken"}}'
if kubectl myapp rollout status web; then
  echo 'a broken revision was rolled out' >&2
  exit 1
fi
kubectl wait myapp/web --for='jsonpath={.status.placements[0].state}'=Ready --timeout=60s >/dev/null
revisions
run kubectl myapp rollout history web

bold '5. Back to what works'
run kubectl myapp rollout undo web
run kubectl myapp rollout status web
printf '\nThat took %d s.\n' $((SECONDS - started))
