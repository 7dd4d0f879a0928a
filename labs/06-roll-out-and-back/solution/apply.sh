#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f web.yaml
kubectl rollout status deployment/web --timeout=120s
