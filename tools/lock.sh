#!/usr/bin/env bash
# Resolves the requirements again and writes the locked files. They name no index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../requirements"
compile() {
  ../.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 \
    --custom-compile-command 'make lock' "$@"
}
compile uv.in -o uv.txt
compile build.in -o build.txt
compile --no-deps bigdl.in -o bigdl.txt
compile --only-binary :all: --no-binary pyspark ../pyproject.toml --all-extras -c constraints.in -c uv.in -o all.txt
compile -c all.txt deploy.in -o deploy.txt
# What the Spark image holds: its loops are compiled ahead, without numba.
compile --only-binary :all: --no-binary pyspark --no-emit-package numba --no-emit-package llvmlite -c all.txt -c deploy.txt \
  ../pyproject.toml --extra cluster image.in -o image.txt
# What the hub's image holds, and what the notebook image adds to the Spark image.
compile --only-binary :all: -c all.txt -c deploy.txt hub.in -o hub.txt
compile --only-binary :all: -c all.txt -c deploy.txt -c hub.txt hub-test.in -o hub-test.txt
# aiohttp is left out of the Spark image (deploy/images/spark/prune.yaml), and JupyterHub's server needs it.
mapfile -t there < <(sed -n '/^aiohttp==/d; s/^\([a-z0-9-]*\)==.*/--no-emit-package=\1/p' image.txt)
compile --only-binary :all: "${there[@]}" -c all.txt -c deploy.txt -c image.txt -c hub.txt notebook.in -o notebook.txt
