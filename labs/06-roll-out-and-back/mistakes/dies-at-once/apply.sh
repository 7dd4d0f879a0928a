#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
# Neither a pause before the end nor a program that finishes its work.
awk '/lifecycle:/ {skip = 1; next} /resources:/ {skip = 0} !skip {print}' web.yaml |
  sed 's/          env:/&\n            - name: ON_TERM\n              value: abrupt/' | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
