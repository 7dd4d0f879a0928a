#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f route.yaml
sed 's/replicas: 4/replicas: 1/' shop.yaml | kubectl apply -f -
kubectl rollout status deployment/shop --timeout=60s
