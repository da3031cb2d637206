#!/usr/bin/env bash
# Puts versitygw into the user's cache, the S3 server of another make that the S3 tests run against, and prints where it is.
#   tools/versitygw.sh          build it if it is absent (about 2 minutes on 2 cores), from its Go module (tools/versitygw)
#   tools/versitygw.sh --path   only print where it belongs
# The committed go.sum vouches for the modules.
source "$(dirname "${BASH_SOURCE[0]}")/go_program.sh"

go_tool versitygw "$here/versitygw" "${1:-}"
