#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's,mountPath: /etc/pay,mountPath: /etc/pay/key\n              subPath: key,' web.yaml | kubectl apply -f -
kubectl rollout status deployment/web --timeout=60s
