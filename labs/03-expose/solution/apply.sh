#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f service.yaml -f node-port.yaml
kubectl rollout status deployment/nginx-deployment --timeout=120s
