#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/my-nginx:1.0/my-nginx:9.9/' deployment.yaml | kubectl apply -f -
until kubectl get pods -l app=nginx -o jsonpath='{.items[*].status.containerStatuses[*].state.waiting.message}' | grep -q my-nginx; do :; done
