#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
# Every ten seconds, three failures: half a minute passes before anything happens.
awk '/livenessProbe:/ {inside = 1} inside && /periodSeconds|failureThreshold/ {next} {print}' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
