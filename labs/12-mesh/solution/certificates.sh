#!/bin/sh
# The learner's script is the solution: run it where it may write.
set -eu
script=$(cd "$(dirname "$0")" && pwd)/../start/certificates.sh
cd "$(mktemp -d)"
exec sh "$script" "$@"
