#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f robot.yaml -f web.yaml -f ledger-policy.yaml -f web-policy.yaml
kubectl label namespace "$(kubectl config view --minify -o 'jsonpath={..namespace}')" --overwrite pod-security.kubernetes.io/enforce=restricted
kubectl rollout status deployment/web --timeout=120s
