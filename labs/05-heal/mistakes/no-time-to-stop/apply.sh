#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/terminationGracePeriodSeconds: 20/terminationGracePeriodSeconds: 1/' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
