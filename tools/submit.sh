#!/usr/bin/env bash
# Submits a run with kubectl alone: prints the manifests that Helm would make of chart `training`, and applies them.
#   tools/submit.sh CONFIG [RUN]    CONFIG: values of the chart; RUN: name of the run, CONFIG's own name without it
# kubectl and helm are those of PATH, or HEPSPARK_KUBECTL and HEPSPARK_HELM; the cluster is KUBECONFIG's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "submit: $*" >&2; exit 2; }

config="${1:-}" kubectl="${HEPSPARK_KUBECTL:-kubectl}" helm="${HEPSPARK_HELM:-helm}"
[[ -n "$config" ]] || fail "no run is given: make submit CONFIG=run.yaml, a file with values of helm/training/values.yaml"
[[ -r "$config" ]] || fail "$config cannot be read"
run="${2:-$(basename "${config%.*}")}"
for program in "$kubectl" "$helm"; do
  command -v "$program" >/dev/null || fail "$program is not on the PATH; the last lines of \`make deploy\` print the PATH with it"
done

namespace="${NAMESPACE:-hepspark}"
site="$("$kubectl" --namespace "$namespace" get configmap training-values --output 'jsonpath={.data.values\.yaml}')" ||
  fail "namespace $namespace has no ConfigMap training-values, which \`make deploy\` writes; see KUBECONFIG and NAMESPACE"
manifests="$("$helm" template "$run" helm/training --namespace "$namespace" --skip-tests \
  --values <(printf '%s\n' "$site") --values "$config")" || exit 2
printf '%s\n' "$manifests"
"$kubectl" --namespace "$namespace" apply --filename - <<<"$manifests" >&2
