#!/bin/sh
set -eu
cd "$(dirname "$0")"
./registries.sh
halab image registry mirror "$LAB_ADDRESS:5000" "$LAB_ADDRESS:5001"
./deploy.sh "$LAB_ADDRESS:5000/shop@$(./publish.sh 1.0)"
kubectl set image deployment/shop "app=$LAB_ADDRESS:5000/shop@$(./publish.sh 1.1)"
kubectl rollout status deployment/shop --timeout=120s
kubectl rollout undo deployment/shop
kubectl rollout status deployment/shop --timeout=120s
