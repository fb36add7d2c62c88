# shellcheck shell=bash
# Loads the node's file system into Docker, as the node image. Sourced by build.sh.

stage_node() {
  need "$rootfs/var/lib/containerd" images
  local work=$cache/node old
  old=$(docker image inspect --format '{{.Id}}' "$node_image" 2>/dev/null || true)
  fresh_directory "$work"
  # systemd looks for $container, and ends on SIGRTMIN+3.
  add_image "$work" "$node_image" "$rootfs" '{
    "Env": ["container=docker", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
    "StopSignal": "SIGRTMIN+3"
  }' --xattrs
  print_archive "$work" | quietly docker-load docker load
  rm -rf "$work"
  remove_nameless "$old"
  docker image inspect --format '{{.Size}}' "$node_image" |
    awk -v name="$node_image" '{printf "%s, %d MB, is in Docker. To use it:\n\n", name, $1 / 1e6}'
  printf '  KIND_NODE_IMAGE=%s make multikind\n\n' "$node_image"
}

# remove_nameless ID removes the image that had the name until now: a gigabyte that nothing would find again.
remove_nameless() {
  if [[ -z $1 || $(docker image inspect --format '{{len .RepoTags}}' "$1" 2>/dev/null) != 0 ]]; then
    return
  fi
  if docker rmi "$1" >"$log/docker-rmi.log" 2>&1; then
    say "removed the image that this one replaces"
  else
    say "the image that this one replaces is still used: $1"
  fi
}
