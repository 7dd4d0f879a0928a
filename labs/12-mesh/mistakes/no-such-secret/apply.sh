#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl annotate service ledger halab.dev/mtls=ledger --overwrite
