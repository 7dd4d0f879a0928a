#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
here=$(pwd)
./certificates.sh
kubectl annotate service ledger halab.dev/mtls=ledger-tls --overwrite
cd "$(mktemp -d)"
"$here/certificates.sh" client-only
