#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f web.yaml -f slow.yaml
kubectl rollout status deployment/web --timeout=120s
kubectl rollout status deployment/slow --timeout=120s
