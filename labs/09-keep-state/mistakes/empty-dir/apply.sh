#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f service.yaml
{ sed '/volumeClaimTemplates/,$d' statefulset.yaml; printf '      volumes:\n        - name: data\n          emptyDir: {}\n'; } | kubectl apply -f -
kubectl rollout status statefulset/counter --timeout=60s
