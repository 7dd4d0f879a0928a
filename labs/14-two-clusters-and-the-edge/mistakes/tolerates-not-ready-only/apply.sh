#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f kiosk.yaml
kubectl patch deployment kiosk --type=json -p '[{"op": "replace", "path": "/spec/template/spec/tolerations", "value": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}, {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]}]'
kubectl rollout status deployment/kiosk --timeout=60s
