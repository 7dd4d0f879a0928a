#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f budget.yaml
kubectl rollout restart deployment/web
kubectl rollout status deployment/web --timeout=60s
