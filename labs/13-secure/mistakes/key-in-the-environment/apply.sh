#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f web.yaml
kubectl patch deployment web --type=json -p '[{"op": "remove", "path": "/spec/template/spec/containers/0/volumeMounts"}]'
kubectl set env deployment/web --from=secret/pay-key --prefix=PAY_
kubectl rollout status deployment/web --timeout=60s
