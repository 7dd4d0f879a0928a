#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f web.yaml
kubectl rollout status deployment/web --timeout=60s
# A second API server alone.
halab component start apiserver-2
