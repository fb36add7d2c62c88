# shellcheck shell=bash
# Makes the file system of a node: what kind's images/base/Dockerfile makes, in its order. Sourced by build.sh.
# README.md lists where it departs from that, and why.

# Of the packages in kind's Dockerfile those that a node needs without network storage and without rootless Docker.
node_packages=(ca-certificates conntrack curl e2fsprogs ethtool iproute2 iptables jq kmod libseccomp2 mount nftables
  pigz procps systemd util-linux)

stage_rootfs() {
  need "$bin/kubernetes/kubeadm" binaries
  debian
  fresh_directory "$rootfs"
  tar --extract --file "$cache/debian.tar" --directory "$rootfs" --numeric-owner --xattrs --xattrs-include='*'
  kind_files
  binary_files
  services
  settings
}

# debian keeps Debian itself as $cache/debian.tar, for the next time.
debian() {
  local packages from mirror=${MIRROR:-} tree=$cache/debian
  packages=$(IFS=, && printf '%s' "${node_packages[*]}")
  from="$DEBIAN_SUITE $packages"
  if [[ -f $cache/debian.tar && -f $cache/debian.from && $(<"$cache/debian.from") == "$from" ]]; then
    say "debian: is there"
    return
  fi
  if [[ -z $mirror ]]; then
    # shellcheck disable=SC2016 # apt's variable, not the shell's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n 1p)
  fi
  say "debian: installing $DEBIAN_SUITE from $mirror"
  rm -f "$cache/debian.from"
  fresh_directory "$tree"
  quietly debootstrap debootstrap --variant=minbase --include="$packages" "$DEBIAN_SUITE" "$tree" "$mirror"
  rm -rf "$tree"/debootstrap "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/*.log \
    "$tree"/usr/share/{bug,doc,i18n,info,lintian,locale,man}/*
  # Or else all nodes would have the same.
  rm -f "$tree/etc/machine-id" "$tree/var/lib/dbus/machine-id"
  tar --create --file "$cache/debian.tar" --directory "$tree" --numeric-owner --xattrs --one-file-system .
  rm -rf --one-file-system "$tree"
  printf '%s\n' "$from" >"$cache/debian.from"
}

# kind_files copies what kind's Dockerfile copies: programs 0755, all else 0644.
kind_files() {
  local module from file
  module=$(module_file Dir sigs.k8s.io/kind "$KIND_VERSION")
  from=$module/images/base/files
  while IFS= read -r file; do
    case $file in
      LICENSES/* | */README.txt) ;;
      usr/local/bin/* | kind/bin/*) install -D -m 0755 "$from/$file" "$rootfs/$file" ;;
      *) install -D -m 0644 "$from/$file" "$rootfs/$file" ;;
    esac
  done < <(cd "$from" && find . -type f -printf '%P\n')
}

binary_files() {
  install -m 0755 "$bin"/containerd/* "$bin/crictl/crictl" "$rootfs/usr/local/bin/"
  install -m 0755 "$bin/runc/runc" "$rootfs/usr/local/sbin/"
  install -m 0755 "$bin"/kubernetes/{kubelet,kubeadm,kubectl} "$rootfs/usr/bin/"
  install -d "$rootfs/opt/cni/bin"
  install -m 0755 "$bin"/cni/* "$rootfs/opt/cni/bin/"
}

# services keeps systemd from starting what makes no sense in a container, and has it start what a node needs.
services() {
  local units=$rootfs/lib/systemd/system
  rm -f "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service \
    "$units"/{multi-user,local-fs,basic}.target.wants/* "$units"/sockets.target.wants/*{udev,initctl}* \
    "$rootfs"/etc/systemd/system/*.wants/*
  echo 'ReadKMsg=no' >>"$rootfs/etc/systemd/journald.conf"
  ln -sf /usr/lib/systemd/systemd "$rootfs/sbin/init"
  quietly systemctl-enable chroot "$rootfs" systemctl enable kubelet.service containerd.service undo-mount-hacks.service
  # It would register interpreters with the kernel that the host shares.
  quietly systemctl-mask chroot "$rootfs" systemctl mask systemd-binfmt.service
}

settings() {
  local containerd=$rootfs/etc/containerd/config.toml
  install -d "$rootfs/etc/kubernetes/manifests"
  printf 'v%s' "$K8S_VERSION" >"$rootfs/kind/version"
  install -D -m 0644 -t "$rootfs/kind/manifests" "$here"/files/default-{cni,storage}.yaml

  # As kind does it: the hook hides the host's product id, and rlimits are inherited.
  chroot "$rootfs" ctr oci spec |
    jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
      >"$rootfs/etc/containerd/cri-base.json"

  edit "$containerd" 'sandbox_image = .*' "sandbox_image = \"registry.k8s.io/pause:$PAUSE_VERSION\""
  edit "$containerd" 'restrict_oom_score_adj = false' 'restrict_oom_score_adj = true'
  edit "$containerd" 'SystemdCgroup = true' 'SystemdCgroup = false'
  edit "$rootfs/etc/default/kubelet" 'KUBELET_EXTRA_ARGS=.*' '& --fail-cgroupv1=false'
  install -m 0644 "$here/files/cni.conflist.tmpl" "$rootfs/etc/containerd/"
  printf '\n[plugins."io.containerd.grpc.v1.cri".cni]\n  conf_template = "/etc/containerd/cni.conflist.tmpl"\n' \
    >>"$containerd"
}

# edit FILE PATTERN REPLACEMENT fails if the pattern is nowhere: kind's file is then not what it was.
edit() {
  if ! grep --quiet "$2" "$1"; then
    fail "nothing matches '$2' in kind's ${1#"$rootfs"}: it has changed; see what has become of it"
  fi
  sed --in-place "s#$2#$3#" "$1"
}
