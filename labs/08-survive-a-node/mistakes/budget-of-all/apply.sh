#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f web.yaml
sed 's/minAvailable: 2/minAvailable: 3/' budget.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
