#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f route.yaml
sed '/topologySpread/,/app: shop/d' shop.yaml | sed 's/terminationGracePeriodSeconds/nodeSelector: {kubernetes.io\/hostname: node-1}\n      terminationGracePeriodSeconds/' | kubectl apply -f -
kubectl rollout status deployment/shop --timeout=60s
