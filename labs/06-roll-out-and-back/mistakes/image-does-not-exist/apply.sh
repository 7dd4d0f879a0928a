#!/bin/sh
set -eu
kubectl set image deployment/web app=halab-app:2.0.1
until kubectl get pods -l app=web -o jsonpath='{.items[*].status.containerStatuses[*].state.waiting.message}' | grep -q halab-app; do :; done
