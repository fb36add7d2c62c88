# shellcheck shell=bash
# Builds everything that runs in a node and is not Debian's. Sourced by build.sh.

stage_binaries() {
  local -x CGO_ENABLED=0
  kubernetes
  local slim='-ldflags=-s -w'
  go_build etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION" "$slim" go.etcd.io/etcd/server/v3
  go_build coredns github.com/coredns/coredns "$COREDNS_VERSION" "$slim" github.com/coredns/coredns
  # Without the snapshotters that kind leaves out as well.
  local containerd=github.com/containerd/containerd/v2
  go_build containerd "$containerd" "$CONTAINERD_VERSION" \
    -tags 'no_aufs no_zfs no_btrfs no_devmapper urfave_cli_no_docs' \
    "$slim -X $containerd/version.Version=v$CONTAINERD_VERSION" \
    "$containerd"/cmd/{containerd,ctr,containerd-shim-runc-v2}
  # runc enters namespaces in C, and needs libseccomp.
  CGO_ENABLED=1 go_build runc github.com/opencontainers/runc "$RUNC_VERSION" \
    -tags seccomp "$slim -X main.version=$RUNC_VERSION" github.com/opencontainers/runc
  go_build cni github.com/containernetworking/plugins "$CNI_VERSION" "$slim" \
    github.com/containernetworking/plugins/plugins/{main/ptp,main/loopback,ipam/host-local,meta/portmap}
  go_build crictl sigs.k8s.io/cri-tools "$CRICTL_VERSION" \
    "$slim -X sigs.k8s.io/cri-tools/pkg/version.Version=v$CRICTL_VERSION" sigs.k8s.io/cri-tools/cmd/crictl
  pause
}

kubernetes() {
  local go_mod replacements version=v$K8S_VERSION flags
  # Its go.mod replaces the staging modules by directories that the module does not contain. They are published
  # as well, as v0.MINOR.PATCH.
  go_mod=$(module_file GoMod k8s.io/kubernetes "$K8S_VERSION")
  replacements=$(awk -v version="v0.${K8S_VERSION#*.}" \
    '$2 == "=>" && $3 ~ /^\.\/staging\// {print "replace", $1, "=>", $1, version}' "$go_mod")
  # What `kubectl version` and the API server report: kubeadm compares them.
  flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
  flags+=" -X k8s.io/component-base/version.gitMajor=1"
  flags+=" -X k8s.io/component-base/version.gitMinor=$(cut -d . -f 2 <<<"$K8S_VERSION")"
  flags+=" -X k8s.io/component-base/version.gitTreeState=clean"
  flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"
  replacements=$replacements go_build kubernetes k8s.io/kubernetes "$K8S_VERSION" "-ldflags=$flags" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubeadm,kubectl}
}

# The parent of every pod's processes is C, and its source is in the Kubernetes module.
pause() {
  local tree from="pause $PAUSE_VERSION of Kubernetes $K8S_VERSION"
  if is_built pause "$from"; then
    return
  fi
  tree=$(module_file Dir k8s.io/kubernetes "$K8S_VERSION")
  say "pause: building $PAUSE_VERSION"
  fresh_directory "$bin/pause"
  quietly pause gcc -Os -Wall -static -s "-DVERSION=v$PAUSE_VERSION" \
    -o "$bin/pause/pause" "$tree/build/pause/linux/pause.c"
  printf '%s\n' "$from" >"$bin/pause.from"
}

# go_build NAME MODULE VERSION FLAG|PACKAGE... builds packages of a module into $bin/NAME, with the versions of
# dependencies that the module itself asks for. `go install PACKAGE@VERSION` refuses modules with replacements,
# so the module is built as the only requirement of an empty one. $replacements are lines for its go.mod.
go_build() {
  local name=$1 module=$2 version=$3
  shift 3
  local from work=$cache/modules/$name
  from="$(go env GOVERSION) CGO_ENABLED=$CGO_ENABLED $module@v$version $*"
  if is_built "$name" "$from"; then
    return
  fi
  say "$name: building $module v$version"
  fresh_directory "$bin/$name"
  mkdir -p "$work"
  printf 'module nodeimage\n\ngo 1.26.0\n\nrequire %s v%s\n\n%s\n' \
    "$module" "$version" "${replacements:-}" >"$work/go.mod"
  (cd "$work" && GOWORK=off quietly "$name" go build -mod=mod -trimpath -buildvcs=false -o "$bin/$name/" "$@")
  printf '%s\n' "$from" >"$bin/$name.from"
}

# is_built NAME FROM: $bin/NAME was built to its end, from exactly this. If not, the mark of an older build goes.
is_built() {
  local name=$1 from=$2
  if [[ -d $bin/$name && -f $bin/$name.from && $(<"$bin/$name.from") == "$from" ]]; then
    say "$name: is there"
    return 0
  fi
  rm -f "$bin/$name.from"
  return 1
}

# module_file FIELD MODULE VERSION prints a path in the module cache: Dir, or GoMod.
module_file() {
  (cd / && GOWORK=off go mod download -json "$2@v$3") | jq --exit-status --raw-output ".$1"
}
