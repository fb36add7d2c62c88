#!/usr/bin/env bash
# Builds a node image for kind out of Debian packages and Go modules, without a container registry.
#
#   build.sh            every stage, in order
#   build.sh STAGE...   only these
#
#   NODE_IMAGE   name of the image     (kindest/node:v<Kubernetes>-offline)
#   CACHE        what is kept          (${XDG_CACHE_HOME:-~/.cache}/myapp-hub-kindnode)
#   MIRROR       Debian mirror         (the one that apt uses)
#
# README.md says what it needs, and how the image differs from kind's own.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/versions.env"

node_image=${NODE_IMAGE:-kindest/node:v$K8S_VERSION-offline}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/myapp-hub-kindnode}
bin=$cache/bin       # what the binaries stage built
rootfs=$cache/rootfs # the node's file system
log=$cache/log

. "$here/lib/archive.sh"
. "$here/lib/host.sh"
. "$here/lib/binaries.sh"
. "$here/lib/rootfs.sh"
. "$here/lib/images.sh"
. "$here/lib/docker.sh"
. "$here/lib/node.sh"

stages=(
  packages # install the Debian packages that the other stages call
  limits   # raise the inotify limits that several nodes use up
  binaries # build Kubernetes, etcd, CoreDNS, containerd, runc, crictl, the CNI plugins and pause
  rootfs   # Debian, kind's files and the binaries, as the file system of a node
  images   # wrap the control plane into images, and put them into the node's containerd
  docker   # have a Docker daemon that runs privileged containers
  node     # load the file system into Docker, as the node image
)

main() {
  local stage began
  if (($# == 0)); then
    set -- "${stages[@]}"
  fi
  for stage in "$@"; do
    if [[ " ${stages[*]} " != *" $stage "* ]]; then
      fail "no stage is called $stage; there are: ${stages[*]}"
    fi
  done
  if ((EUID != 0)); then
    fail "root is needed, for debootstrap and chroot"
  fi
  mkdir -p "$bin" "$log"
  for stage in "$@"; do
    began=$SECONDS
    say "== $stage"
    "stage_$stage"
    say "== $stage: $((SECONDS - began)) s"
  done
}

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }

fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}

# quietly NAME COMMAND... keeps the output of a program in a log, and shows its end if the program fails.
# Not for functions: errexit does not hold in them here.
quietly() {
  local name=$1
  shift
  if ! "$@" >"$log/$name.log" 2>&1; then
    tail -n 20 "$log/$name.log" >&2
    fail "$1 failed; all it said is in $log/$name.log"
  fi
}

# need FILE STAGE fails if the stage that makes the file has not run.
need() {
  if [[ ! -e $1 ]]; then
    fail "$1 is missing: run the stage $2 first"
  fi
}

# fresh_directory PATH empties a directory. It stays off what is mounted in it.
fresh_directory() {
  rm -rf --one-file-system "$1"
  mkdir -p "$1"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1 </dev/null; do
    if ((SECONDS >= end)); then
      fail "waited in vain for $what"
    fi
    sleep 0.2
  done
}

main "$@"
