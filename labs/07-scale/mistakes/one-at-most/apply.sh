#!/bin/sh
set -eu
here=$(cd "$(dirname "$0")/../../solution" && pwd)
kubectl apply -f "$here/web.yaml"
sed 's/maxReplicas: 5/maxReplicas: 1/' "$here/hpa.yaml" | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
until kubectl get hpa web -o jsonpath='{.status.currentMetrics[0].resource.current.averageValue}' | grep -q .; do sleep 0.2; done
