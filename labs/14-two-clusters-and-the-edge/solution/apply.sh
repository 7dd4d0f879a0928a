#!/bin/sh
set -eu
folder=$(pwd)
cd "$(dirname "$0")"
cp front.yml "$folder/front.yml"
kubectl apply -f kiosk.yaml
./west.sh
kubectl rollout status deployment/kiosk --timeout=120s
kubectl rollout status deployment/shop --timeout=120s
