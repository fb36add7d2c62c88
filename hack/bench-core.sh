#!/usr/bin/env bash
# Runs the Go benchmarks of the packages given, and sums them up with benchstat:
# those of the working tree, beside those of the commit BASE if there is one.
# `make bench-core` says what is measured, and how often.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
cleanup() {
  if [[ -d $work/base ]]; then
    git worktree remove --force "$work/base"
  fi
  rm -rf "$work"
}
trap cleanup EXIT

# One package at a time: on a small machine two would disturb each other.
measure() {
  go test -p 1 -run '^$' -bench "$CORE" -benchmem -benchtime 200ms -count "$COUNT" "$@"
}

files=()
if [[ -n ${BASE:-} ]]; then
  git worktree add --quiet --detach "$work/base" "$BASE"
  echo "measuring $BASE" >&2
  (cd "$work/base" && measure "$@") >"$work/base.txt"
  files+=("base=$work/base.txt")
fi
echo "measuring the working tree" >&2
measure "$@" >"$work/now.txt"
files+=("now=$work/now.txt")
$BENCHSTAT "${files[@]}"
