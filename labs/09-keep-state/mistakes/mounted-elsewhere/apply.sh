#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f service.yaml
sed 's|mountPath: /data|mountPath: /var/lib/counter|' statefulset.yaml | kubectl apply -f -
kubectl rollout status statefulset/counter --timeout=60s
