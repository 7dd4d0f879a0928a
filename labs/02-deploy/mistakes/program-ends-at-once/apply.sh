#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/image: my-nginx:1.0/&\n          command: ["true"]/' deployment.yaml | kubectl apply -f -
until kubectl get pods -l app=nginx -o jsonpath='{.items[*].status.containerStatuses[*].lastState.terminated.reason}{.items[*].status.containerStatuses[*].state.terminated.reason}' | grep -q Completed; do :; done
