#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed "s/operator: Exists/operator: Exists\n          tolerationSeconds: 3/" kiosk.yaml | kubectl apply -f -
kubectl rollout status deployment/kiosk --timeout=60s
