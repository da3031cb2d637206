#!/usr/bin/env bash
# Puts the MinIO server that the S3 tests run against into the user's cache, and prints where it is.
#   tools/minio.sh          build it if it is absent (about 3 minutes on 2 cores), from the Go module of the mirror
#   tools/minio.sh --path   only print where it belongs
# The committed go.sum vouches for the modules.
source "$(dirname "${BASH_SOURCE[0]}")/go_program.sh"

go_tool minio "$here/../deploy/mirror/go/minio" "${1:-}"
