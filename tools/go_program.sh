# Sourced by the scripts that put one program, the tool of a Go module, into the user's cache.
#   go_tool NAME FOLDER OPTION
# prints where the program NAME is. If it is absent, `go install tool` in FOLDER builds it, unless OPTION is --path. Nothing
# but the program stays on disk. Where HEPSPARK_GO names a folder, what Go has fetched and compiled is kept there for the
# builds that follow: those of the gate, which removes the folder at its end.
# shellcheck shell=bash
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hepspark"

go_tool() {
  local name=$1 folder=$2 option=$3 key go kept
  key="$(cat "$folder"/go.{mod,sum} | sha256sum | cut -c1-16)"
  local binary="$cache/bin/$name-$key"
  if [[ "$option" == --path || -x "$binary" ]]; then
    echo "$binary"
    return
  fi

  mkdir -p "$cache/bin"
  exec 9>"$cache/$name.lock"
  flock 9 # a second build waits for the first one's result
  if [[ -x "$binary" ]]; then
    echo "$binary"
    return
  fi
  rm -rf "$cache/$name"-build.* # left by a build that was killed
  work="$(mktemp -d "$cache/$name-build.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM

  go="$("$here/go.sh")"
  echo "$name: building $key; this happens once and takes some minutes" >&2
  kept="${HEPSPARK_GO:-$work}"
  # GOROOT is unset so that a variable left in the environment does not pair one Go with another's library.
  (cd "$folder" && env -u GOROOT GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS='-modcacherw -buildvcs=false' \
    GOBIN="$work/bin" GOPATH="$kept/path" GOCACHE="$kept/cache" GOTMPDIR="$work" \
    "$go" install -trimpath -ldflags "-s -w" -mod=readonly tool) >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; } # its hundreds of lines would stand among those of the tests that run meanwhile
  mv "$work/bin/$name" "$binary" # within one file system, so the binary is there whole or not at all
  find "$cache/bin" -name "$name-*" ! -path "$binary" -delete # an earlier version's
  echo "$binary"
}
