#!/usr/bin/env bash
# Puts the MinIO server that the S3 tests run against into the user's cache, and prints where it is.
#   tools/minio.sh          build it if it is absent (about 3 minutes on 2 cores), from its Go module
#   tools/minio.sh --path   only print where it belongs
# The Go checksum database vouches for the module.
source "$(dirname "${BASH_SOURCE[0]}")/go_program.sh"

version=v0.0.0-20260212201848-7aac2a2c5b7c # upstream's last; the only place that names it
go_program minio "$version" "${1:-}" "$here" "github.com/minio/minio@$version"
