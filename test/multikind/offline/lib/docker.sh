# shellcheck shell=bash
# Has a Docker daemon that runs privileged containers, as nodes are. Sourced by build.sh.

probe_image=myapp-hub-kindnode-probe:latest
wrapper=/usr/local/bin/runc-capfit

# Nothing is changed where Docker works. Where it does not, each change is announced.
stage_docker() {
  need "$bin/pause/pause" binaries
  if ! docker info >/dev/null 2>&1; then
    start_docker
  fi
  load_probe
  if runs_privileged; then
    say "Docker runs privileged containers"
  else
    fit_capabilities
    runs_privileged || fail "Docker still cannot run a privileged container: $(<"$log/probe.log")"
    say "Docker runs privileged containers now"
  fi
  docker rmi "$probe_image" >/dev/null
}

# The probe is the pause binary: static, and with -v it prints its version and ends.
load_probe() {
  local work=$cache/probe
  fresh_directory "$work"
  add_image "$work" "$probe_image" "$bin/pause" '{"Entrypoint": ["/pause"]}'
  print_archive "$work" | docker load >/dev/null
  rm -rf "$work"
}

runs_privileged() {
  docker run --rm --privileged --network none "$probe_image" -v >"$log/probe.log" 2>&1
}

start_docker() {
  if [[ -d /run/systemd/system ]]; then
    say "no Docker daemon answers; starting it: systemctl start docker"
    systemctl start docker
  else
    say "no Docker daemon answers and there is no systemd; starting dockerd by itself, log in $log/dockerd.log"
    say "to stop it: kill \$(cat /var/run/docker.pid)"
    setsid dockerd >"$log/dockerd.log" 2>&1 </dev/null &
  fi
  wait_for 30 "Docker to answer; see $log/dockerd.log" docker info
}

# --privileged means every capability that the kernel knows. Where the host itself was started without one of them,
# runc cannot grant it and gives up. The wrapper asks runc for what there is.
fit_capabilities() {
  local bounding last missing
  bounding=$((16#$(awk '$1 == "CapBnd:" {print $2}' /proc/self/status)))
  last=$(</proc/sys/kernel/cap_last_cap)
  missing=$((((1 << (last + 1)) - 1) & ~bounding))
  if ((missing == 0)); then
    fail "Docker cannot run a privileged container, and no capability is missing here: $(<"$log/probe.log")"
  fi
  say "Docker cannot run a privileged container: this host lacks $(capsh --decode="$(printf %x "$missing")")"
  say "installing on this host: $wrapper, an OCI runtime that asks runc for the capabilities there are"
  install -m 0755 "$here/files/runc-capfit" "$wrapper"
  set_default_runtime /etc/docker/daemon.json
  say "reloading Docker"
  kill -HUP "$(</var/run/docker.pid)"
  wait_for 10 "Docker to take the runtime" default_runtime_is capfit
}

# set_default_runtime FILE makes the wrapper Docker's default: kind has no option that chooses a runtime.
set_default_runtime() {
  local file=$1 before='{}' after
  mkdir -p "$(dirname "$file")"
  if [[ -s $file ]]; then
    before=$(<"$file")
    cp "$file" "$file.before-capfit"
    say "keeping the old $file as $file.before-capfit"
  fi
  after=$(jq --arg path "$wrapper" '.runtimes.capfit.path = $path | ."default-runtime" = "capfit"' <<<"$before")
  say "changing on this host: $file"
  diff --unified=1 --label before --label after <(jq . <<<"$before") <(printf '%s\n' "$after") || true
  printf '%s\n' "$after" >"$file"
}

default_runtime_is() { [[ $(docker info --format '{{.DefaultRuntime}}') == "$1" ]]; }
