#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
./certificates.sh
kubectl annotate service ledger halab.dev/mtls=ledger-tls --overwrite
./certificates.sh client-only
