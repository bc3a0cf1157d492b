#!/usr/bin/env bash
# Makes a slim base image where no registry of images can be reached: Debian 13 with its Python 3.13, by debootstrap, as root.
set -euo pipefail
name=${1:-mainspring-base:trixie}
say() { echo "base: $*" >&2; }

for tool in debootstrap podman; do
  command -v "$tool" >/dev/null || { say "$tool is missing (Debian and Ubuntu: apt-get install $tool)"; exit 1; }
done
[ "$(id -u)" = 0 ] || { say "debootstrap needs root"; exit 1; }
if podman image exists "localhost/$name"; then say "localhost/$name is there"; exit 0; fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say "Debian 13 into localhost/$name (one to two minutes)"
if ! debootstrap --variant=minbase --include=python3,ca-certificates trixie "$folder/root" ${MIRROR:+"$MIRROR"} >"$folder/log" 2>&1; then
  say "debootstrap failed: $(tail -n 1 "$folder/log")"
  exit 1
fi
# What Debian's own slim images leave out as well.
cd "$folder/root"
find usr/share/doc -mindepth 1 -not -name copyright -not -type d -delete
find usr/share/doc -mindepth 1 -type d -empty -delete
rm -rf usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/lintian usr/share/bash-completion \
  var/cache/apt/* var/cache/debconf/*-old var/lib/apt/lists/* var/log/*.log var/log/apt
tar -C "$folder/root" -c . | podman import --quiet \
  --change 'CMD ["bash"]' --message "Debian 13 by debootstrap" - "$name" >/dev/null
say "localhost/$name is ready, $(du -sm "$folder/root" | cut -f 1) MB"
