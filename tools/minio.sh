#!/usr/bin/env bash
# Puts the MinIO server that the S3 tests run against into the user's cache, and prints where it is.
#   tools/minio.sh          build it if it is absent (about 3 minutes on 2 cores), from its Go module
#   tools/minio.sh --path   only print where it belongs
# The Go checksum database vouches for the module; nothing but the binary stays on disk.
set -euo pipefail

version=v0.0.0-20260212201848-7aac2a2c5b7c # upstream's last; the only place that names it
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hepspark"
binary="$cache/bin/minio-$version"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ "${1:-}" == --path || -x "$binary" ]]; then
  echo "$binary"
  exit
fi

mkdir -p "$cache/bin"
exec 9>"$cache/minio.lock"
flock 9 # a second build waits for the first one's result
if [[ -x "$binary" ]]; then
  echo "$binary"
  exit
fi
rm -rf "$cache"/minio-build.* # left by a build that was killed
work="$(mktemp -d "$cache/minio-build.XXXXXX")"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

go="$("$here/go.sh")"
echo "minio: building $version; this happens once and takes some minutes" >&2
# Compiled without optimising, which saves a quarter of the time: the tests send it little.
# GOROOT is unset so that a variable left in the environment does not pair one Go with another's library.
env -u GOROOT GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS=-modcacherw GOBIN="$work/bin" GOPATH="$work/path" \
  GOCACHE="$work/cache" GOTMPDIR="$work" \
  "$go" install -trimpath -gcflags "all=-N -l -dwarf=false" -ldflags "-s -w" "github.com/minio/minio@$version" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; } # its hundreds of lines would stand among those of the tests that run meanwhile
mv "$work/bin/minio" "$binary" # within one file system, so the binary is there whole or not at all
find "$cache/bin" -name 'minio-*' ! -path "$binary" -delete # an earlier version's
echo "$binary"
