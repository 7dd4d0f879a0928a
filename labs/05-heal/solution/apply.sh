#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f web.yaml -f slow.yaml
kubectl rollout status deployment/web --timeout=60s
kubectl rollout status deployment/slow --timeout=60s
