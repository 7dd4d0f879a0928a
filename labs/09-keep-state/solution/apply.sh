#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f service.yaml -f statefulset.yaml
kubectl rollout status statefulset/counter --timeout=120s
