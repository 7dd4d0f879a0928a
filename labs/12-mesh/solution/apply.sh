#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f shop.yaml -f pay.yaml
kubectl annotate service bank --overwrite halab.dev/traffic='{"ejectAfter": 3, "ejectSeconds": 30}'
./certificates.sh
kubectl annotate service ledger --overwrite halab.dev/mtls=ledger-tls
for name in shop-v1 shop-v2 pay pay-sick ledger; do kubectl rollout status "deployment/$name" --timeout=120s; done
