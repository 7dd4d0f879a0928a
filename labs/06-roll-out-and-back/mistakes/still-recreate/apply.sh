#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
awk '/type: RollingUpdate/ {print "    type: Recreate"; skip = 1; next} /minReadySeconds/ {skip = 0} !skip {print}' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
