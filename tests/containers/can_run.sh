#!/usr/bin/env bash
# Whether this machine can make, build and run an image at all, tried on one with a single program in it. Where it cannot
# (no root, no mounts, no namespaces), prints the last words of the step that fails and exits with 1.
set -euo pipefail

for tool in podman buildah runc debootstrap; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap makes the base image, and needs root"; exit 1; }

folder=$(mktemp -d)
name=localhost/mainspring-probe:$$
finish() {
  podman image rm --force "$name" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT

try() {
  local what=$1
  shift
  if ! "$@" >"$folder/log" 2>&1; then
    echo "$what fails: $(grep -m 1 '^Error' "$folder/log" || tail -n 1 "$folder/log")"
    exit 1
  fi
}

# A program and what it loads, as they are on this machine: nothing has to be downloaded for the question.
mkdir -p "$folder/root/tmp"
for file in /bin/true $(ldd /bin/true | grep -o '/[^ ]*'); do
  cp --parents --dereference "$file" "$folder/root"
done
printf 'FROM scratch\nCOPY root /\nRUN ["/bin/true"]\n' >"$folder/Dockerfile"
try "buildah bud" timeout 120 buildah bud --quiet --network=host --tag "$name" "$folder"
try "podman run" timeout 120 podman run --rm --read-only --network=none --user 65532:65532 "$name" /bin/true
