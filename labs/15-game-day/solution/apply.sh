#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f shop.yaml -f route.yaml
kubectl rollout status deployment/shop --timeout=120s
