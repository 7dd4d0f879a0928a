#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/clusterIP/d' service.yaml | kubectl apply -f -
kubectl apply -f statefulset.yaml
kubectl rollout status statefulset/counter --timeout=60s
