#!/bin/sh
set -eu
cd "$(dirname "$0")"
kubectl apply -f web.yaml
kubectl rollout status deployment/web --timeout=120s
halab component start apiserver-2 controllers-2
for number in 1 2 3; do ./member.sh "$number"; done
