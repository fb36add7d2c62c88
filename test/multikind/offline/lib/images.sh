# shellcheck shell=bash
# Puts the images of the control plane into the node's containerd. Sourced by build.sh.

registry=registry.k8s.io

stage_images() {
  need "$rootfs/etc/containerd/config.toml" rootfs
  local work=$cache/images
  fresh_directory "$work"
  mkdir "$work/archive"
  component_images
  as_kubeadm_wants
  say "importing"
  print_archive "$work/archive" | import_images
  rm -rf "$work"
}

component_images() {
  local component
  for component in kube-apiserver kube-controller-manager kube-scheduler; do
    component_image "$component:v$K8S_VERSION" "kubernetes/$component" "/usr/local/bin/$component"
  done
  iptables_into "$work/kube-proxy"
  component_image "kube-proxy:v$K8S_VERSION" kubernetes/kube-proxy /usr/local/bin/kube-proxy
  component_image "etcd:$ETCD_VERSION-0" etcd/server /usr/local/bin/etcd
  component_image "coredns/coredns:v$COREDNS_VERSION" coredns/coredns /coredns '{"Entrypoint": ["/coredns"]}'
  component_image "pause:$PAUSE_VERSION" pause/pause /pause '{"Entrypoint": ["/pause"], "User": "65535:65535"}'
}

# component_image NAME:TAG BINARY PATH [CONFIG] makes an image of one binary, and of what is in $work/NAME already.
component_image() {
  local image=$1 binary=$2 path=$3 config=${4:-'{"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin"]}'}
  local root=$work/${image%%[:/]*}
  mkdir -p "$root/tmp" "$root/etc"
  install -D -m 0755 "$bin/$binary" "$root$path"
  add_image "$work/archive" "$registry/$image" "$root" "$config" --owner=0 --group=0 --mtime=@0
}

# kube-proxy calls iptables or nft: these, the extensions of iptables, and their libraries, from the node's Debian.
# It is the nft variant of iptables, which kind's entrypoint chooses in the node as well.
iptables_into() {
  local root=$1 name files
  mkdir -p "$root/run" "$root/var/lib" "$root/lib/modules"
  mapfile -t files < <(cd "$rootfs" && find ./usr/sbin/xtables-nft-multi ./usr/sbin/nft ./usr/lib/*/xtables -type f)
  {
    printf '%s\n' "${files[@]}"
    (cd "$rootfs" && find ./usr/lib/*/xtables -type l)
    chroot "$rootfs" ldd "${files[@]}" | awk '/^\t/ {for (i = 1; i <= NF; i++) if ($i ~ /^\//) print "." $i}'
  } | sort --unique |
    tar --create --directory "$rootfs" --dereference --hard-dereference --files-from=- |
    tar --extract --directory "$root"
  for name in {iptables,ip6tables}{,-save,-restore}; do
    ln -s xtables-nft-multi "$root/usr/sbin/$name"
  done
}

# as_kubeadm_wants fails unless the images are just those that kubeadm will ask for: it could pull none.
as_kubeadm_wants() {
  if ! diff --label 'kubeadm wants' --label 'versions.env makes' --unified=0 \
    <("$bin/kubernetes/kubeadm" config images list --kubernetes-version "v$K8S_VERSION" 2>/dev/null | sort) \
    <(jq --raw-output '.RepoTags[]' "$work"/archive/*.entry | sort); then
    fail "the images are not those that kubeadm v$K8S_VERSION asks for: correct versions.env"
  fi
}

# import_images reads an archive. The node's own containerd imports it, in a chroot, as `kind build node-image` has
# it do in a container: packed, for each node to unpack what it runs, and pinned, so that no kubelet collects them.
import_images() (
  install -m 0644 "$here/files/import.toml" "$rootfs/tmp/import.toml"
  rm -rf "$rootfs/var/lib/containerd"
  chroot "$rootfs" containerd --config /tmp/import.toml >"$log/import-containerd.log" 2>&1 </dev/null &
  server=$!
  trap 'kill "$server"; wait "$server" || true; rm -rf "$rootfs/tmp/import.toml" "$rootfs/run/containerd"' EXIT
  wait_for 20 "containerd to answer; see $log/import-containerd.log" chroot "$rootfs" ctr images ls
  quietly import chroot "$rootfs" ctr --namespace k8s.io images import \
    --all-platforms --digests --no-unpack --label io.cri-containerd.pinned=pinned -
  chroot "$rootfs" ctr --namespace k8s.io images ls --quiet 2>>"$log/import.log" | grep "^$registry.*:[^@]*$"
)
