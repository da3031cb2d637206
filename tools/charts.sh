#!/usr/bin/env bash
# Puts the programs that check the charts into the user's cache, and prints the folder: helm, helm-unittest, helm-docs,
# kubeconform, pod-security, and the schemas of the Kubernetes that the mirror holds and of the oldest that charts take.
#   tools/charts.sh          build what is absent (about 3 minutes on 2 cores), from Go modules (tools/go-tools)
#   tools/charts.sh --path   only print where they belong
# The committed go.sum files vouch for the modules; nothing but the programs stays on disk (see go_program.sh).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
kubernetes="$here/../deploy/mirror/go/kubernetes"
oldest="$here/oldest-kubernetes"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hepspark"

version_in() { # folder of a module
  sed -nE 's/^(require )?\s*k8s.io\/kubernetes (v[0-9.]+).*/\2/p' "$1/go.mod" | grep -m 1 . ||
    { echo "charts: $1/go.mod names no version of k8s.io/kubernetes" >&2; exit 2; }
}
version="$(version_in "$kubernetes")"
key="$({
  cat "$here"/go-tools/{go.mod,go.sum,pod-security/main.go} "$here/charts.sh" "$here/kube_schemas.py" "$oldest/go.sum"
  echo "$version"
} | sha256sum | cut -c1-16)"
place="$cache/charts-$key"
if [[ "${1:-}" == --path || -d "$place" ]]; then
  echo "$place"
  exit
fi

# A function, read as a whole: an edit of this file does not disturb a build that is going on.
build() {
  mkdir -p "$cache"
  exec 9>"$cache/charts.lock"
  flock 9 # a second build waits for the first one's result
  if [[ -d "$place" ]]; then
    echo "$place"
    return
  fi
  rm -rf "$cache"/charts-build.* # left by a build that was killed
  work="$(mktemp -d "$cache/charts-build.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM

  go="$("$here/go.sh")"
  echo "charts: building helm, helm-unittest, helm-docs, kubeconform and pod-security; this happens once and takes some minutes" >&2
  # GOROOT is unset so that a variable left in the environment does not pair one Go with another's library.
  run_go() { # folder, arguments
    (cd "$1" && env -u GOROOT GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS='-modcacherw -buildvcs=false' GOBIN="$work/out" \
      GOPATH="${HEPSPARK_GO:-$work}/path" GOCACHE="${HEPSPARK_GO:-$work}/cache" GOTMPDIR="$work" "$go" "${@:2}")
  }
  # Without a cluster to ask, helm takes charts for the Kubernetes that it was built for.
  minor="${version#v1.}" minor="${minor%%.*}" helm=helm.sh/helm/v3/pkg
  flags="-s -w"
  for package in chartutil lint/rules; do
    flags+=" -X $helm/$package.k8sVersionMajor=1 -X $helm/$package.k8sVersionMinor=$minor"
  done
  run_go "$here/go-tools" install -mod=readonly -trimpath -ldflags "$flags" tool 2> >(grep -v '^go: downloading' >&2)
  for folder in "$kubernetes" "$oldest"; do
    module="$(run_go "$folder" mod download -json k8s.io/kubernetes | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
    schemas="$work/out/schemas/$(version_in "$folder")"
    "${PYTHON:-python3}" "$here/kube_schemas.py" "$module/api/openapi-spec/swagger.json" "$schemas"
  done

  find "$cache" -maxdepth 1 -name 'charts-????????????????' -exec rm -rf {} + # an earlier version's
  mv "$work/out" "$place" # within one file system, so all is there or nothing
  echo "$place"
}

build
