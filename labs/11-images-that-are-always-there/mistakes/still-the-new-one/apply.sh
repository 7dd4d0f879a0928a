#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
./registries.sh
./deploy.sh "$LAB_ADDRESS:5000/shop@$(./publish.sh 1.0)"
kubectl set image deployment/shop "app=$LAB_ADDRESS:5000/shop@$(./publish.sh 1.1)"
kubectl rollout status deployment/shop --timeout=60s
