#!/bin/sh
set -eu
here=$(dirname "$0")
kubectl apply -f "$here/web.yaml" -f "$here/hpa.yaml"
cp "$here/scaler.py" scaler.py
kubectl rollout status deployment/web --timeout=120s
