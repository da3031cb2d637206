#!/usr/bin/env bash
# Builds the missing programs of the tests, all at the same time, and shows the progress.
#   tools/build.sh minio versitygw    runs tools/minio.sh and tools/versitygw.sh
set -euo pipefail
set -m # each builder gets a process group, by which all of it is ended
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
tell_seconds=15

missing=()
for name in "$@"; do
  [[ -e "$("$here/$name.sh" --path)" ]] || missing+=("$name")
done
((${#missing[@]})) || exit 0

builders=()
finish() { for group in "$teller" "${builders[@]}"; do kill -- "-$group" 2>/dev/null || true; done; }
(while sleep "$tell_seconds"; do echo "building ${missing[*]}: $SECONDS s so far" >&2; done) &
teller=$!
trap finish EXIT
trap 'exit 130' INT TERM
for name in "${missing[@]}"; do
  { "$here/$name.sh" >/dev/null && echo "$name: built after $SECONDS s" >&2; } &
  builders+=($!)
done
code=0
for builder in "${builders[@]}"; do wait "$builder" || code=1; done
exit "$code"
