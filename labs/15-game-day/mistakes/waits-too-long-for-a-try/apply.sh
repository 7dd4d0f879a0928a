#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f shop.yaml
sed 's/backendRequest: 700ms/backendRequest: 4s/' route.yaml | kubectl apply -f -
kubectl rollout status deployment/shop --timeout=60s
