#!/usr/bin/env bash
# The demo: a fleet of three real control planes on this machine (a hub, a Push
# member, a Pull member), the hub controller and an agent, and an app on both.
# Needs Go, git and make. The first run builds Kubernetes: see the progress.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=.fleet
timeout_seconds=60
bold() { if [[ -t 1 && -z ${NO_COLOR:-} ]]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
hub() { "$kubectl" --kubeconfig "$dir/hub.kubeconfig" "$@"; }
on() { local member=$1; shift; "$kubectl" --kubeconfig "$dir/$member.kubeconfig" "$@"; }

bold '1. A hub and two members'
go run ./test/fleet up --dir "$dir" --member eu-1=push,region=eu --member us-1=pull,region=us
kubectl=bin/kubectl
if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/kubectl ]]; then kubectl=$KUBEBUILDER_ASSETS/kubectl; fi

echo
bold '2. kubectl apply -f deploy/samples/web.yaml'
hub apply -f deploy/samples/web.yaml

table() {
  hub get myapp web -o wide
  echo
  hub get myapp web -o 'jsonpath={range .status.placements[*]}{"  "}{.cluster}{"\t"}{.state}{"\t"}{.readyReplicas}{" of "}{.replicas}{" pods ready\t"}{.message}{"\n"}{end}'
}

# Live on a terminal; elsewhere each state once.
watch_until_ready() {
  local shown='' now lines=0
  while ((SECONDS < deadline)); do
    now=$(table)
    if [[ $now != "$shown" ]]; then
      if [[ -t 1 ]] && ((lines > 0)); then printf '\033[%dA\033[J' "$lines"; fi
      printf '%s\n' "$now"
      lines=$(wc -l <<<"$now")
      shown=$now
    fi
    if [[ $(hub get myapp web -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; then return 0; fi
    read -rt 0.2 <> <(:) || true
  done
  echo "web is not Ready after $timeout_seconds s; see: kubectl --kubeconfig $dir/hub.kubeconfig get myapp web -o yaml" >&2
  echo "The logs are in $dir/logs. To start over: make demo-down demo" >&2
  return 1
}
deadline=$((SECONDS + timeout_seconds))
watch_until_ready

echo
bold '3. What there is now'
echo '$ kubectl get memberclusters   # on the hub'
hub get memberclusters
for member in eu-1 us-1; do
  echo
  echo "\$ kubectl get deployments,services,pods   # on $member"
  on "$member" get deployments,services,pods -l example.com/app=web
done

echo
bold '4. Go on by hand'
cat <<EOT
  export KUBECONFIG=\$PWD/$dir/hub.kubeconfig PATH=\$PWD/bin:\$PATH
  kubectl get myapps -o wide
  kubectl scale myapp web --replicas=5
  kubectl wait --for=condition=Ready myapp/web
  kubectl apply -f deploy/samples/selected.yaml        # only where region=eu
  go run ./test/fleet partition us-1                   # cut a member off: Unknown within 85 s; then: heal us-1
  kubectl get myapp web -o yaml                        # every decision, with its reason
  kubectl --kubeconfig $dir/us-1.kubeconfig get pods   # a member's own view
  make demo-down                                       # end it
EOT
