#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/automount/d' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
