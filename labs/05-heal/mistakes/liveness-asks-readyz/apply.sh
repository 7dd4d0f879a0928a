#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's#path: /healthz#path: /readyz#' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
