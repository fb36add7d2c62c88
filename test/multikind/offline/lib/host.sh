# shellcheck shell=bash
# What the build changes on the host, besides Docker: packages and limits. Sourced by build.sh.

host_packages=(ca-certificates debootstrap docker.io gcc iptables jq libc6-dev libcap2-bin libseccomp-dev pkg-config)

stage_packages() {
  local package missing=()
  for package in "${host_packages[@]}"; do
    # Docker need not be Debian's.
    if [[ $package == docker.io ]] && { docker info || command -v dockerd; } >/dev/null 2>&1; then
      continue
    fi
    if [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
      missing+=("$package")
    fi
  done
  if ((${#missing[@]} == 0)); then
    say "nothing to install"
    return
  fi
  say "installing on this host: ${missing[*]}"
  quietly apt-update apt-get update
  DEBIAN_FRONTEND=noninteractive quietly apt-install apt-get install --yes --no-install-recommends "${missing[@]}"
}

# A node is a whole system: systemd, containerd, the kubelet and every pod watch files. The 128 instances that
# Linux grants a user are gone with the second node, and then a kubelet ends with "too many open files".
stage_limits() {
  at_least fs.inotify.max_user_instances 8192
  at_least fs.inotify.max_user_watches 1048576
}

at_least() {
  local key=$1 wanted=$2 now
  now=$(sysctl --values "$key")
  if ((now >= wanted)); then
    say "$key is $now, enough"
    return
  fi
  say "setting on this host until it reboots: $key=$wanted (it was $now)"
  sysctl --quiet --write "$key=$wanted"
}
