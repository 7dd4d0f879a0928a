#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f service.yaml
sed 's/  serviceName: counter/&\n  persistentVolumeClaimRetentionPolicy:\n    whenScaled: Delete/' statefulset.yaml | kubectl apply -f -
kubectl rollout status statefulset/counter --timeout=60s
