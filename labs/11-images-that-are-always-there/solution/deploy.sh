#!/bin/sh
# deploy.sh IMAGE
set -eu
sed "s|IMAGE|$1|;/^#/d" "$(dirname "$0")/../start/deployment.yaml" | kubectl apply -f -
kubectl rollout status deployment/shop --timeout=120s
