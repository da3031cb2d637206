#!/usr/bin/env bash
# Installs the named Debian packages that are missing; as root on Debian or Ubuntu only.
#   tools/apt.sh podman runc
set -euo pipefail
missing=()
for package in "$@"; do
  [[ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0
[[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null ||
  { echo "these packages are missing: ${missing[*]}; install them, or run this as root on Debian or Ubuntu" >&2; exit 2; }
echo "installing ${missing[*]} from the distribution's packages" >&2
export DEBIAN_FRONTEND=noninteractive
exec 9>/run/hepspark-apt.lock # apt itself fails where it should wait
flock 9
{ apt-get -qq update && apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >/dev/null
