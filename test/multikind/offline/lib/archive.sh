# shellcheck shell=bash
# Writes image archives as `docker load` and `ctr images import` read them. Sourced by build.sh.
#
# Without a daemon: images of the same names that a contributor has in Docker stay as they are.

# add_image DIRECTORY NAME ROOT CONFIG [TAR OPTION...] adds an image to an archive that is a directory for now.
# ROOT becomes its only layer, CONFIG is its config in JSON, as the OCI image specification has it.
add_image() {
  local archive=$1 name=$2 root=$3 config=$4
  shift 4
  local layer id
  tar --create --file "$archive/new" --directory "$root" --numeric-owner --sort=name "$@" .
  layer=$(sha256sum <"$archive/new" | cut -d ' ' -f 1)
  mv "$archive/new" "$archive/$layer.tar"
  jq --null-input --arg architecture "$(go env GOARCH)" --arg layer "sha256:$layer" --arg now "$(date -u +%FT%TZ)" \
    --argjson config "$config" \
    '{$architecture, os: "linux", created: $now, $config, rootfs: {type: "layers", diff_ids: [$layer]}}' \
    >"$archive/new"
  id=$(sha256sum <"$archive/new" | cut -d ' ' -f 1)
  mv "$archive/new" "$archive/$id.json"
  jq --null-input --arg name "$name" --arg config "$id.json" --arg layer "$layer.tar" \
    '{Config: $config, RepoTags: [$name], Layers: [$layer]}' >"$archive/$id.entry"
}

# print_archive DIRECTORY writes the archive to standard output.
print_archive() {
  jq --slurp . "$1"/*.entry >"$1/manifest.json"
  (cd "$1" && tar --create --exclude='*.entry' -- *)
}
