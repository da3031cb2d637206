#!/usr/bin/env bash
# Makes .venv with everything that hepspark needs, at the locked versions, and finds or installs Java 17.
# Run by make; does nothing that is already done. As root on Debian or Ubuntu it installs what is missing.
#   tools/setup.sh          what all targets need
#   tools/setup.sh deploy   on top of it, what the targets of a deployment and the tests need
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "setup: $*" >&2; exit 2; }

# Java's class path, PATH and Spark's scripts cannot hold them.
case "$PWD" in
  *:* | *$'\n'* | *$'\r'*) fail "this folder is ${PWD@Q}: Java cannot use a path with a colon or a line break; move or rename the folder" ;;
esac
iconv --from-code utf-8 --to-code utf-8 <<<"$PWD" >/dev/null 2>&1 ||
  fail "this folder is ${PWD@Q}: Java cannot use a path with a byte that is not UTF-8; move or rename the folder"
unset JDK_JAVA_OPTIONS JAVA_TOOL_OPTIONS _JAVA_OPTIONS # hepspark names what is wrong in them; here Java tells its version

apt_install() { # packages
  [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null || return 1
  echo "setup: installing $* from the distribution's packages" >&2
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null
}

find_python() { # BigDL needs distutils, which Python 3.12 no longer has
  local candidate
  for candidate in python3.11 python3 /usr/bin/python3; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || continue
    "$candidate" -c 'import ensurepip, venv, distutils' 2>/dev/null && { echo "$candidate"; return; }
  done
  return 1
}

find_java() {
  local home
  for home in "${JAVA_HOME:-}" /usr/lib/jvm/*17* "$(readlink -f "$(command -v java || true)" 2>/dev/null | sed 's#/bin/java$##')"; do
    [[ -n "$home" && -x "$home/bin/java" ]] || continue
    "$home/bin/java" -version 2>&1 | grep -q 'version "17' && return
  done
  return 1
}

if [[ "${1:-}" == deploy ]]; then
  .venv/bin/uv pip install --quiet --python .venv --require-hashes -r requirements/deploy.txt
  touch .venv/.deploy
  exit
fi

python="$(find_python 2>/dev/null)" || {
  apt_install python3 python3-venv python3-distutils && python="$(find_python 2>/dev/null)" ||
    fail "hepspark needs Python 3.11 with venv and distutils: install python3.11, python3.11-venv and python3-distutils"
}
find_java || { apt_install openjdk-17-jre-headless && find_java; } ||
  fail "hepspark needs Java 17: install openjdk-17-jre-headless, or set JAVA_HOME to the folder of a Java 17"

export UV_CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/hepspark/uv" UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
[[ -x .venv/bin/python ]] && .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  { rm -rf .venv && "$python" -m venv .venv; }
echo "setup: installing the locked Python packages" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/uv pip sync --quiet --python .venv --require-hashes --build-constraints requirements/build.txt \
  requirements/all.txt requirements/bigdl.txt
.venv/bin/uv pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
# Where the sources are, seen from there: Python does not read a path with an umlaut where LC_ALL is C.
sources=.venv/lib/python3.11/site-packages/_editable_impl_hepspark.pth
rm "$sources" # which uv may share with its cache
echo ../../../../training/src >"$sources"
touch .venv/.ready
