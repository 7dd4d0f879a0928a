#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
awk '/tolerations:/ {skip = 1; next} /terminationGrace/ {skip = 0} !skip {print}' web.yaml | kubectl apply -f - -f budget.yaml
kubectl rollout status deployment/web --timeout=60s
