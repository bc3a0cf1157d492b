#!/bin/sh
# The steps of every image's build. None of what they bring along (uv, a compiler, caches) is in the final stage.
#
#   install.sh tools              uv and setuptools, locked
#   install.sh packages NAME...   Debian packages, such as a compiler
#   install.sh code               mainspring itself, from /source to /opt/mainspring-code
#   install.sh environment        the locks in /opt/mainspring/locks, into /opt/mainspring/environment
#   install.sh shrink             what no task reads, out of the environment
#   install.sh standard-library   bytecode of Python's own modules
set -eu

PREFIX=/opt/mainspring
TOOLS=/tools/environment

fail() {
  echo "mainspring: error: $*" >&2
  exit 1
}

# Behind a proxy that opens TLS, the build is given its certificates as a secret (and keeps them out of the image).
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
if [ -n "${INDEX:-}" ]; then
  export UV_DEFAULT_INDEX="$INDEX" PIP_INDEX_URL="$INDEX"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_CACHE_DIR=/cache/uv UV_LINK_MODE=copy

check_python() {
  command -v python3 >/dev/null || fail "the base image has no python3; name one with Python 3.10 to 3.13 by BASE="
  python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
    fail "the base image has $(python3 --version), and 3.10 to 3.13 is needed; name another one by BASE="
}

install_packages() {
  command -v apt-get >/dev/null || fail "the base image lacks $* and has no apt-get to install them; use one of Debian's or Ubuntu's"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_tools() {
  check_python
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/python" -m pip install --quiet --no-cache-dir --require-hashes -r /tools/requirements-image.txt
}

make_code() {
  "$TOOLS/bin/uv" build --quiet --wheel --no-build-isolation --python "$TOOLS/bin/python" --out-dir /wheels /source
  "$TOOLS/bin/uv" pip install --quiet --no-deps --compile-bytecode --python "$TOOLS/bin/python" \
    --target "$PREFIX-code" /wheels/*.whl
  # A task imports components: the command line, and what other images are made of, would be dead weight in each.
  rm -r "$PREFIX-code/bin" "$PREFIX-code/mainspring/pipelines"
  find "$PREFIX-code/mainspring" -type f \( -name '*.txt' -o -name '*.in' -o -name '*.yaml' -o -name '*.md' \) -delete
}

make_environment() {
  check_python
  "$TOOLS/bin/uv" venv --quiet --no-project --python "$(command -v python3)" "$PREFIX/environment"
  python=$PREFIX/environment/bin/python
  # What has no wheel is built with the locked setuptools, not with whatever is newest.
  install="$TOOLS/bin/uv pip install --quiet --compile-bytecode --require-hashes --python $python"
  $install --build-constraints /tools/requirements-image.txt --requirements "$PREFIX/locks/requirements.txt" ||
    fail "the lock does not fit this platform ($(uname -m), $(python3 --version), $(libc)); see uv's words above"
  $install --no-deps --requirements "$PREFIX/locks/runtime.txt"
  echo "$PREFIX-code" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mainspring.pth"
}

libc() {
  python3 -c 'import platform; print(" ".join(platform.libc_ver()))'
}

# What a task never reads: symbol tables, libraries' own tests, and the source of the Kubernetes client's thousands of
# generated classes beside their bytecode (Python takes it from where the source was).
shrink_environment() {
  find "$PREFIX/environment" -type f -name '*.so' -exec strip --strip-unneeded {} +
  packages=$("$PREFIX/environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  find "$packages" -type f \( -name '*_test.py' -o -name '*_test.*.pyc' \) -delete
  rm -rf "$packages/websocket/tests"
  generated=$packages/kubernetes/client
  "$PREFIX/environment/bin/python" -m compileall -q -b "$generated" || fail "kubernetes/client does not compile"
  find "$generated" -type f \( -name '*.py' -o -path '*/__pycache__/*' \) -delete
}

# Python's own slim images come without bytecode, and nothing can be written once the root file system is read-only.
compile_standard_library() {
  python3 -B -c 'import encodings, os, sys; sys.exit(not os.path.exists(encodings.__cached__))' ||
    python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|site-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" >/dev/null
}

step=$1
shift
case $step in
  tools) make_tools ;;
  packages) install_packages "$@" ;;
  code) make_code ;;
  environment) make_environment ;;
  shrink) shrink_environment ;;
  standard-library) compile_standard_library ;;
  *) fail "no step $step" ;;
esac
